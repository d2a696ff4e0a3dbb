"""The node's log in flash: a record keeps its number through power cuts, or its loss is declared.

The log is a row of segments (their bytes: blocks.py). A segment's first block holds all gaps that
are not settled, so that a changed gap begins a new segment and any older one may go. Each block
says up to which number more may have been given since: after a power cut those are a gap, and
numbering goes on above them.
"""

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
        from kerbnode.uptake import take_up  # here: a boot needs it once

        try:
            most = self._max_segments * 3 // 4
            found = take_up(self._flash, self._reader, self._segment_bytes, most, GAPS - 1)
        except OSError:
            self.faults += 1  # half of what was read must give no number again
            return
        if found is None:
            self.epoch = int.from_bytes(self._random(4), "big") or 1
        else:
            self.epoch, self._reserved_to, self.next, self.gaps, self._segments = found
        if self._reserved_to >= self.next:
            self._declare(self.next, self._reserved_to, m.GAP_POWER)
            self.next = self._reserved_to + 1
        self._reserved_to = self.next - 1
        self._is_open = True
        self.flush()

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
                    self._drop_oldest()
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
        try:
            if self.flush():
                self._append([], self.next, self.next - 1)
        except OSError:
            self.faults += 1  # then the next boot declares the reserve, as after a power cut

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

    def lost(self, number: int) -> None:
        """Declare a number that `read` has not found and that the gateway lacks."""
        oldest = self._segments[0].first if self._segments else self.next
        self._declare(number, number, m.GAP_FULL if number < oldest else m.GAP_FLASH_FAULT)

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

    def _declare(self, first: int, last: int, reason: int) -> None:
        """Note a gap; it swallows what it overlaps and grows together with its like beside it."""
        others = []
        for gap in self.gaps:
            touches = gap[2] == reason and gap[1] + 1 >= first and gap[0] <= last + 1
            if touches or (gap[1] >= first and gap[0] <= last):
                first = min(first, gap[0])
                last = max(last, gap[1])
            else:
                others.append(gap)
        self.gaps = sorted(others + [(first, last, reason)])
        self.dirty = True

    def _write_all(self) -> None:
        if self.dirty:
            self._begin_segment()
        while self.pending:
            count = 0
            size = ENTRIES_AT
            for record in self.pending:
                if size + entry_bytes(record) > BLOCK_BYTES:
                    break
                size += entry_bytes(record)
                count += 1
            if self._segments[-1].size + size > self._segment_bytes:
                self._begin_segment()
            last = self.pending[count - 1][0]
            self._append(self.pending[:count], last + 1, max(self._reserved_to, last + RESERVE))
            self.pending = self.pending[count:]
        if self._refused:
            self._declare(self.next, self.next + self._refused - 1, m.GAP_FLASH_FAULT)
            self.next += self._refused
            self._refused = 0
            self._begin_segment()

    def _begin_segment(self) -> None:
        """A new file with all open gaps; it has its name only when it is whole.

        What has no room beside it is declared in it, and removed only then.
        """
        surplus = len(self._segments) - self._max_segments + 1
        if len(self.gaps) > GAPS:
            surplus = max(surplus, 1)
        oldest = self._segments[: max(0, min(surplus, len(self._segments) - 1))]
        if oldest:
            self._declare_full(self._segments[len(oldest)].first - 1)
        sequence = int(self._segments[-1].name[1:], 16) + 1 if self._segments else 0
        name = "s{:08x}".format(sequence)
        base = self.pending[0][0] if self.pending else self.next
        reserved_to = max(self._reserved_to, base - 1 + RESERVE)
        block = encode(self.epoch, reserved_to, base, base, self.gaps, [])
        self.writes += 1
        self._flash.create(name, block)
        self._segments.append(Segment(name, len(block), base))
        self._reserved_to = reserved_to
        self.dirty = False
        for segment in oldest:
            self._remove(segment)

    def _append(self, records: "list[Record]", end: int, reserved_to: int) -> None:
        """Flush a block; only then are the numbers up to `reserved_to` there to be given."""
        base = records[0][0] if records else end
        block = encode(self.epoch, reserved_to, base, end, [], records)
        segment = self._segments[-1]
        self.writes += 1
        self._flash.append(segment.name, block)
        segment.size += len(block)
        self._reserved_to = reserved_to

    def _drop_oldest(self) -> None:
        """Make room at once, for flash is full: its loss is declared as soon as there is some."""
        self._declare_full(self._segments[1].first - 1)
        self._remove(self._segments[0])

    def _declare_full(self, last: int) -> None:
        """What was not kept of the oldest numbers up to `last` becomes a gap."""
        first = max(self._segments[0].first, self._kept_to + 1)
        if first <= last:
            self._declare(first, last, m.GAP_FULL)

    def _remove(self, segment: Segment) -> None:
        self._reader.forget()
        self._segments.remove(segment)
        self._flash.remove(segment.name)
