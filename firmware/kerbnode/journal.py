"""The node's log in flash: a record keeps its number through power cuts, or its loss is declared.

The log is a row of segments (their bytes: blocks.py). A segment's first block holds all gaps that
are not settled, so that a changed gap begins a new segment and any older one may go. Each block
says up to which number more may have been given since: after a power cut those are a gap, and
numbering goes on above them.
"""

from kerbnode import loaded
from kerbnode.blocks import BLOCK_BYTES, ENTRIES_AT, Reader, Segment, encode, entry_bytes
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.blocks import Gap, Record
    from kerbnode.flash import Flash
    from kerbwire.ranges import RangeSet

RESERVE = 64  # numbers that a power cut may cost
SEGMENT_BYTES = 16_384  # four erase blocks of littlefs
SEGMENTS = 24  # 384 KiB, about 100 days of a streetlight's reports
GAPS = 48  # a snapshot of so many fits a block
ENOSPC = 28


class Journal:
    """Gives numbers, keeps records until they are released, and says which ones are lost."""

    def __init__(
        self,
        flash: "Flash",
        random: "Callable[[int], bytes]",
        segment_bytes: int = SEGMENT_BYTES,
        segments: int = SEGMENTS,
    ):
        self._flash = flash
        self._random = random
        self._segment_bytes = segment_bytes
        self._max_segments = segments
        self.epoch = 0
        self.next = 1
        self.gaps: list[Gap] = []
        self.faults = 0  # failed writes
        self.writes = 0  # each erases a block of flash, and one in fifty another
        self.pending: list[Record] = []  # has a number, not in flash yet; never above RESERVE
        self._reserved_to = 0
        self._segments: list[Segment] = []
        self._reader = Reader(flash)
        self.dirty = True  # gaps or a torn block: the next write begins a segment
        self._refused = 0  # records that got no number because flash failed
        self._kept_to = 0
        self._is_open = False

    def open(self) -> None:
        """Take up the log after a boot, or begin a new epoch where there is none to read.

        With flash that answers nothing at all there is no log: its epoch is 0, which names none,
        and every record is refused. A later boot may find the old log again.
        """
        from kerbnode.uptake import open_log  # here: a boot needs it once

        open_log(self)

    def first(self) -> int:
        """The oldest number that the log may hold."""
        oldest = self._segments[0].first if self._segments else self.next
        return min(oldest, self.gaps[0][0]) if self.gaps else oldest

    def append(self, kind: int, boot_id: int, uptime_s: int, values: "tuple[int, ...]") -> int:
        """Give a record its number, in RAM until the next flush; 0 when flash refuses more.

        A refused record is declared in a gap as soon as flash can be written again.
        """
        if self.next > self._reserved_to and not self.flush():
            self._refused += 1
            return 0
        number = self.next
        self.next += 1
        self.pending.append((number, kind, boot_id, uptime_s, values))
        return number

    def flush(self) -> bool:
        """Bring all to flash; False when it can't be written, and then nothing is forgotten."""
        if not self._is_open:
            return False
        for room in (0, 1):  # segments to drop first
            try:
                if room:
                    self.rarely("drop_oldest")
                self._write_all()
                return True
            except OSError as error:
                self.faults += 1
                self.dirty = True  # never append behind a torn block
                if error.errno != ENOSPC or len(self._segments) < 2:
                    break
        return False

    def close(self) -> None:
        """An orderly stop: no number is reserved any more, the next boot has no gap."""
        self.rarely("close")

    def read(self, number: int) -> "Record | None":
        """The record of that number, or None when the log has it no more."""
        for record in self.pending:
            if record[0] == number:
                return record
        segment = None
        for candidate in self._segments:
            if candidate.first > number:
                break
            segment = candidate
        return None if segment is None else self._reader.read(segment, number)

    def covering(self, number: int) -> "Gap | None":
        """The declared gap that holds `number`."""
        for gap in self.gaps:
            if gap[0] <= number <= gap[1]:
                return gap
        return None

    def release(self, kept: "RangeSet") -> None:
        """Forget what the gateway holds durably: settled gaps, and segments kept as a whole."""
        self._kept_to = kept.cumulative
        if self.gaps:
            self.gaps = [gap for gap in self.gaps if not kept.covers(gap[0], gap[1])]
        while len(self._segments) > 1 and not self.dirty:
            first, last = self._segments[0].first, self._segments[1].first - 1
            if first <= last and not self._settled(kept, first, last):
                break
            self._remove(self._segments[0])

    def _settled(self, kept: "RangeSet", first: int, last: int) -> bool:
        for low, high in kept.missing(first, last):
            gap = self.covering(low)
            if gap is None or gap[1] < high:
                return False
        return True

    def rarely(self, what: str, *given: int) -> None:
        """One of `segments`, which goes again, but where many numbers may be lost."""
        from kerbnode import segments

        getattr(segments, what)(self, *given)
        if what != "lost":
            loaded.forget("kerbnode", ("segments",))

    def _write_all(self) -> None:
        if self.dirty:
            self.rarely("begin_segment")
        while self.pending:
            count = 0
            size = ENTRIES_AT
            for record in self.pending:
                if size + entry_bytes(record) > BLOCK_BYTES:
                    break
                size += entry_bytes(record)
                count += 1
            if self._segments[-1].size + size > self._segment_bytes:
                self.rarely("begin_segment")
            last = self.pending[count - 1][0]
            self._append(self.pending[:count], last + 1, max(self._reserved_to, last + RESERVE))
            self.pending = self.pending[count:]
        if self._refused:
            self.rarely("declare", self.next, self.next + self._refused - 1, m.GAP_FLASH_FAULT)
            self.next += self._refused
            self._refused = 0
            self.rarely("begin_segment")

    def _append(self, records: "list[Record]", end: int, reserved_to: int) -> None:
        """Flush a block; only then are the numbers up to `reserved_to` there to be given."""
        base = records[0][0] if records else end
        block = encode(self.epoch, reserved_to, base, end, [], records)
        segment = self._segments[-1]
        self.writes += 1
        self._flash.append(segment.name, block)
        segment.size += len(block)
        self._reserved_to = reserved_to

    def _remove(self, segment: Segment) -> None:
        self._reader.forget()
        self._segments.remove(segment)
        self._flash.remove(segment.name)
