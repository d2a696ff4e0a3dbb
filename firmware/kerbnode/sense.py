"""The sense concern: reads the drivers, steps the asset, drives the lamp, makes the records."""

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.clock import Clock
    from kerbnode.hal.board import Board
    from kerbnode.instruments import Instruments
    from kerbnode.records import Records
    from kerbnode.store import Store
    from kerbnode.wake import Wake

TICK_MS = 100


class Sense:
    """Ticks every 100 ms, quicker while the lamp fades, and when an input moves."""

    def __init__(
        self,
        board: "Board",
        clock: "Clock",
        instruments: "Instruments",
        records: "Records",
        wakes: "tuple[Wake, ...]",
        report_s: int,
        store: "Store",
    ):
        self.beats = 0
        self._board = board
        self._clock = clock
        self._instruments = instruments
        self._records = records
        self._wakes = wakes  # of those who wait for records
        self._period_ms = 1000 * report_s
        self._reported_ms = board.uptime_ms()
        self._store = store

    def report_each(self, report_s: int) -> None:
        """Another period from now on."""
        self._period_ms = 1000 * report_s

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            self.beats += 1
            self.tick()
            await self._board.tick_wait(self._instruments.asset.fading or TICK_MS)

    def tick(self) -> None:
        """One look at the world."""
        uptime_ms = self._board.uptime_ms()
        utc_ms = self._clock.known_ms(self._board.monotonic_ms())
        street_ms = None if utc_ms is None else self._board.street_ms(utc_ms)
        events = self._instruments.tick(uptime_ms, street_ms)
        for code, value in events:
            self.record(uptime_ms, m.EVENT, (code, value))
        if is_due(self._reported_ms, uptime_ms, street_ms, self._period_ms):
            self._reported_ms = uptime_ms
            values = self._instruments.asset.values()
            if values:  # safe mode has none
                self.record(uptime_ms, m.REPORT, values)

    def record(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        """Make a record and tell the link and the store."""
        if self._board.quiet():
            return
        if kind == m.REPORT:  # no totals after a power cut are less than what is reported here
            self._store.keep_totals()
        self._records.make(uptime_ms, kind, values)
        for wake in self._wakes:
            wake.set()


def is_due(reported_ms: int, uptime_ms: int, street_ms: "int | None", period_ms: int) -> bool:
    """Has a period ended since the last report? Periods are aligned to UTC when it is known.

    However many have ended (a fast clock, a slow tick), one report tells of them all; a clock
    that is set back a little over a period's end makes none twice.
    """
    passed_ms = uptime_ms - reported_ms
    if passed_ms < period_ms // 2:
        return False
    return (uptime_ms if street_ms is None else street_ms) % period_ms < passed_ms
