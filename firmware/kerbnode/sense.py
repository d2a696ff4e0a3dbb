"""The sense concern: reads the drivers, steps the asset, drives the lamp, makes the records."""

import asyncio

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.clock import Clock
    from kerbnode.hal import Board
    from kerbnode.records import Records
    from kerbnode.wake import Wake

TICK_MS = 100
FADE_TICK_MS = 20  # 50 steps a second: no eye sees them


class Sense:
    """Ticks every 100 ms, quicker while the lamp fades; a report at each full period."""

    def __init__(
        self,
        board: "Board",
        clock: "Clock",
        instruments: "object",
        records: "Records",
        wakes: "tuple[Wake, ...]",
        report_s: int,
    ):
        self.beats = 0
        self._board = board
        self._clock = clock
        self._instruments = instruments
        self._records = records
        self._wakes = wakes  # of those who wait for records
        self._report_s = report_s
        self._reported_s = board.uptime_ms() // 1000

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            self.beats += 1
            self.tick()
            fading = self._instruments.asset.fading
            await asyncio.sleep((FADE_TICK_MS if fading else TICK_MS) / 1000)

    def tick(self) -> None:
        """One look at the world."""
        uptime_ms = self._board.uptime_ms()
        utc_ms = self._clock.known_ms(self._board.monotonic_ms())
        street_s = None if utc_ms is None else self._board.street_ms(utc_ms) // 1000
        events = self._instruments.tick(uptime_ms, street_s)
        if self._board.quiet():
            return
        for code, value in events:
            self.record(uptime_ms, m.EVENT, (code, value))
        uptime_s = uptime_ms // 1000
        if is_due(self._reported_s, uptime_s, street_s, self._report_s):
            self._reported_s = uptime_s
            self.record(uptime_ms, m.REPORT, self._instruments.asset.values())

    def record(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        """Make a record and tell the link and the store."""
        self._records.make(uptime_ms, kind, values)
        for wake in self._wakes:
            wake.set()


def is_due(reported_s: int, uptime_s: int, street_s: "int | None", period_s: int) -> bool:
    """Has a period ended since the last report? Periods are aligned to UTC when it is known.

    However many have ended (a fast clock, a slow tick), one report tells of them all.
    """
    shift = 0 if street_s is None else street_s - uptime_s
    return (uptime_s + shift) // period_s > (reported_s + shift) // period_s
