"""Records on their way: each gets its number, goes out live, and comes again until it is kept.

Owns the order live, gaps, backfill. What is on flash is the journal's business, what has been
heard of is the session's.
"""

import sys

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.blocks import Record
    from kerbnode.hal.board import Board
    from kerbnode.journal import Journal
    from kerbwire.node import NodeSession

LIVE = 16  # records that wait for their first sending; older ones become backfill
SEARCH_AGAIN_MS = 2000  # until the backlog is searched again for frames that got lost
SEARCH = 256  # numbers looked at in one go
BATCH_VALUES = 120  # handed over at once, to begin with: what 96 KiB of heap hold beside the code

_NAMES = {m.EVENT: "event", m.ANCHOR: "anchor"}  # all others have the asset's


class Records:
    """The live lane in RAM and the cursor of the backfill."""

    def __init__(self, board: "Board", journal: "Journal", boot_id: int, kind: str):
        self._board = board
        self._journal = journal
        self._boot_id = boot_id
        self._kind = kind
        self._live: list[Record] = []
        self._cursor = 1
        self._most_values = BATCH_VALUES
        self._told: list[tuple[int, int]] = []  # parts of gaps that went out in this search
        self._search_ms: int | None = None  # when to go on searching the backlog ...
        self._search_on = False  # ... from the cursor, not from its oldest number

    def make(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        """A new record, numbered; the witness of a simulation sees it before anything leaves."""
        uptime_s = uptime_ms // 1000
        number = self._journal.append(kind, self._boot_id, uptime_s, values)
        if not number:
            return  # flash is full of faults: the journal will declare it
        record = self._journal.pending[-1]
        named = _NAMES.get(kind, self._kind)
        self._board.made(named, record, self._journal.epoch)
        self._live.append(record)
        if len(self._live) > LIVE:
            self._live.pop(0)

    def restart(self, kept_to: int) -> None:
        """A new session has seen nothing: offer all that is not kept once more."""
        self._cursor = kept_to + 1
        self._told.clear()
        self._search_ms = None
        self._search_on = False

    def offer(self, session: "NodeSession", now: int) -> None:
        """Hand the session what its window takes."""
        while session.window(now) > 0:
            if self._live:
                record = self._live.pop(0)
                if not _sent_alone(session, record, now):
                    session.send_report(plain(record), now)
            elif not self._offer_gap(session, now) and not self._offer_old(session, now):
                return

    def deadline(self, session: "NodeSession", now: int) -> "int | None":
        """When `offer` may find something again without any event."""
        return self._search_ms if session.window(now) > 0 else None

    def _offer_gap(self, session: "NodeSession", now: int) -> bool:
        """What is not kept of the oldest gap, once flash has it too; False when all are out.

        Each goes once a search: a session that remembers few spans may forget at once that a gap
        is kept, and the backlog must not wait for that.
        """
        if self._journal.dirty:
            return False
        for first, last, reason in self._journal.gaps:
            for low, high in session.kept.missing(first, last):
                if session.wants(high) and (low, high) not in self._told:
                    self._told.append((low, high))
                    session.send_gap(low, high, reason, now)
                    return True
        return False

    def _offer_old(self, session: "NodeSession", now: int) -> bool:
        """The oldest record that the session wants; False when there is none for now."""
        if self._search_ms is not None:
            if now < self._search_ms:
                return False
            self._search_ms = None
            if not self._search_on:
                self.restart(session.kept.cumulative)
        end = self._journal.next
        for number in range(self._cursor, min(end, self._cursor + SEARCH)):
            self._cursor = number + 1
            if not session.wants(number) or self._journal.covering(number):
                continue
            record = self._journal.read(number)
            if record is not None:
                self._send_old(session, record, now)
                return True
            self._journal.rarely("lost", number)
        self._search_on = self._cursor < end
        if self._search_on:
            self._search_ms = now  # go on at once, but let the other tasks run first
        elif session.kept.cumulative + 1 < end:
            self._search_ms = now + SEARCH_AGAIN_MS
        return False

    def _send_old(self, session: "NodeSession", record: "Record", now: int) -> None:
        """A record of the backlog, and with a report those of its like right behind it."""
        if _sent_alone(session, record, now):
            return
        if "kerbnode.update" in sys.modules or not self._most_values:  # there is no room for both
            session.send_backfill(plain(record), now)
            return
        try:
            from kerbnode import backlog

            reports = backlog.gathered(self._journal, session, record, self._most_values)
            self._cursor = record[0] + session.send_batch(reports, now)
        except MemoryError:
            self._cursor = record[0]
            self._most_values //= 2  # it holds fewer, in the end one at a time


def _sent_alone(session: "NodeSession", record: "Record", now: int) -> bool:
    """Hand over a record that is no report; False when it is one."""
    if record[1] == m.EVENT:
        session.send_event(plain(record), now)
    elif record[1] == m.ANCHOR:
        session.send_anchor(plain(record), now)
    else:
        return False
    return True


def plain(record: "Record") -> "tuple[int, int, int, tuple[int, ...]]":
    """The record as the session has it, without its kind."""
    return record[0], record[2], record[3], record[4]
