"""What waits for the disk, in its order; and what goes first when a disk refuses for too long.

A reading of a node goes without loss: its node was not told that it may delete it, and sends it
again when it is asked. Then our own telemetry goes, oldest first, and becomes a gap. Alarms and
gaps stay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from kerbline.model import Entry, Gap, Key, Reading
from kerbwire.ranges import RangeSet

STORE_BLOCKED = "store_blocked"  # the reason of such a gap
PART = 8  # of what waits goes at a time: one walk through all for so many entries that come


class Backlog:
    """Entries that wait for a commit."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._entries: deque[Entry] = deque()
        self._passed: set[str] = set()
        self._lost: dict[int, RangeSet] = {}  # our own numbers, by epoch

    def __len__(self) -> int:
        """Entries that wait."""
        return len(self._entries)

    def append(self, entry: Entry) -> None:
        """One more, at the end."""
        self._entries.append(entry)

    def extend(self, entries: Iterable[Entry]) -> None:
        """More, at the end."""
        self._entries.extend(entries)

    def take(self, count: int) -> list[Entry]:
        """The oldest, up to `count`: they wait no more."""
        group = list(islice(self._entries, count))
        for _ in group:
            self._entries.popleft()
        return group

    def thin(self) -> bool:
        """Let go of a part; False where nothing may go, as where nothing is known to be ours."""
        if not self._own:
            return False
        wanted = max(1, len(self._entries) // PART)
        nodes = [e.key for e in self._entries if isinstance(e, Reading) and self._elsewhere(e.key)]
        gone = set(nodes[-wanted:])  # the newest: what stays has no holes
        if len(gone) < wanted:
            ours = (e.key for e in self._entries if isinstance(e, Reading) and e.key not in gone)
            gone.update(islice(ours, wanted - len(gone)))
        for key in gone:
            if self._elsewhere(key):
                self._passed.add(key.source)
            else:
                self._lost.setdefault(key.epoch, RangeSet()).add(key.number, key.number)
        self._entries = deque(
            [e for e in self._entries if not isinstance(e, Reading) or e.key not in gone]
        )
        return bool(gone)

    def declared(self, at_ms: int) -> list[Gap]:
        """The gaps of what was let go of our own; they are told once."""
        lost, self._lost = self._lost, {}
        return [
            Gap(self._own, epoch, first, last, STORE_BLOCKED, at_ms)
            for epoch, numbers in lost.items()
            for first, last in numbers.spans()
        ]

    def passed_over(self) -> frozenset[str]:
        """The sources that have a copy of what was let go; they are told once."""
        passed, self._passed = frozenset(self._passed), set()
        return passed

    def _elsewhere(self, key: Key) -> bool:
        return key.source != self._own
