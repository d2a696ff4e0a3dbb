"""The store's concern: when the journal goes to flash, and the totals that must outlive a cut."""

import json

from kerbnode import nvs
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Board
    from kerbnode.instruments import Instruments
    from kerbnode.journal import Journal
    from kerbnode.wake import Wake

# A flush erases 1.02 blocks of littlefs (measured, tests/node/test_wear.py). Every 10 s of 12 h of
# night one, with motions, are 1.6 million erases a year, levelled over the image's 512 blocks 3,150
# of the 100,000 that each bears.
BATCH = 16  # records in one flush at most
TOTALS_MS = 60_000  # at least so often, where they change: 35 years of NVS
WAIT_MS = 10_000  # the oldest record waits no longer; events but those of motion do not wait at all


class Store:
    """Writes batches; woken by each new record."""

    def __init__(
        self,
        board: "Board",
        journal: "Journal",
        instruments: "Instruments",
        wake: "Wake",
        kept: "tuple[int, ...] | None",
    ):
        self.beats = 0
        self._board = board
        self._journal = journal
        self._instruments = instruments
        self._wake = wake
        self._oldest_ms: int | None = None
        self._saved_ms = 0
        self._kept = kept  # the totals in NVS

    async def run(self) -> None:
        """Flush whenever it is due, for ever."""
        while True:
            self.beats += 1
            now = self._board.monotonic_ms()
            pending = self._journal.pending
            if pending and self._oldest_ms is None:
                self._oldest_ms = now
            if self._due(now) or now - self._saved_ms >= TOTALS_MS:
                self._oldest_ms = None
                self._saved_ms = now
                self.save()
            waited_ms = 0 if self._oldest_ms is None else now - self._oldest_ms
            await self._wake.wait(max(1, WAIT_MS - waited_ms))

    def save(self) -> None:
        """Bring records and totals to flash now."""
        if not self.keep_totals():
            self._journal.faults += 1  # tried again with the next
        self._journal.flush()  # after them: no record says more than they do

    def keep_totals(self) -> bool:
        """Make the totals durable where they are others; False when NVS can't be written."""
        totals = self._instruments.asset.totals()
        try:
            if totals and totals != self._kept:
                nvs.set_checked(self._board.nvs, "totals", json.dumps(totals).encode())
                self._kept = totals
        except OSError:
            return False
        return True

    def _due(self, now: int) -> bool:
        pending = self._journal.pending
        if len(pending) >= BATCH or self._journal.dirty:
            return True
        for record in pending:
            if record[1] == m.EVENT and record[4][0] not in (m.EV_MOTION, m.EV_MOTION_CLEAR):
                return True
        return self._oldest_ms is not None and now - self._oldest_ms >= WAIT_MS
