"""The node's log in flash: a record keeps its number through power cuts, or its loss is declared.

The log is a row of segment files; a segment is a row of blocks, each flushed whole:
    magic 2 | length 2 | crc32 4 | epoch 4 | reserved_to 4 | base 4 | next 4 | entries
    entry: kind 1 | count 1 | number 4 | a 4 | b 4 | count values of 4
A record's a and b are its boot id and uptime; a gap's are its last number and its reason.
A segment's first block holds all gaps that are not settled, so that a changed gap begins a new
segment and any older one may go. Numbers up to `reserved_to` may have been given since the
block was flushed: after a power cut they are a gap, and numbering goes on above them.
"""

from binascii import crc32
from struct import pack, pack_into, unpack_from

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.flash import Flash
    from kerbwire.ranges import RangeSet

    Record = tuple[int, int, int, int, tuple[int, ...]]  # number, kind, boot id, uptime_s, values
    Gap = tuple[int, int, int]  # first, last, reason

RESERVE = 64  # numbers that a power cut may cost
SEGMENT_BYTES = 16_384  # four erase blocks of littlefs
SEGMENTS = 24  # 384 KiB, about 100 days of a streetlight's reports
MAGIC = b"\xb1\x4b"
HEAD = "<2sHI"
HEAD_BYTES = 8
STATE = "<IIII"
STATE_BYTES = 16
ENTRY = "<BBIII"
ENTRY_BYTES = 14
BLOCK_BYTES = 1000  # no allocation above 1 KiB
GAPS = 48  # a snapshot of so many fits a block
ENOSPC = 28


class _Segment:
    """One file: `first` is the lowest number that it may hold."""

    __slots__ = ("first", "name", "size")

    def __init__(self, name: str, size: int, first: int):
        self.name = name
        self.size = size
        self.first = first


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
        self.pending: list[Record] = []  # has a number, not in flash yet; never above RESERVE
        self._reserved_to = 0
        self._segments: list[_Segment] = []
        self.dirty = True  # gaps or a torn block: the next write begins a segment
        self._refused = 0  # records that got no number because flash failed
        self._kept_to = 0
        self._buffer = bytearray(BLOCK_BYTES)
        self._loaded: _Segment | None = None  # whose block is in the buffer ...
        self._offset = 0  # ... where it begins ...
        self._length = 0  # ... its length with its head ...
        self._base = 0  # ... and the numbers base..end-1 that it may hold
        self._end = 0

    def open(self) -> None:
        """Take up the log after a boot, or begin a new epoch where there is none to read."""
        names = self._flash.names()
        for name in [name for name in names if not name.startswith("s")]:
            self._flash.remove(name)  # a segment that a power cut kept from its name
        names = [name for name in names if name.startswith("s")]
        for name in names:
            self._index(name, newest=name == names[-1])
        if not names or self._segments == [] or self._segments[-1].name != names[-1]:
            for name in names:  # the unreadable one last: a power cut must not revive older ones
                self._flash.remove(name)
            self._segments = []
            self.gaps = []
            self.epoch = int.from_bytes(self._random(4), "big") or 1
            self.next = 1
            self._reserved_to = 0
        if self._reserved_to >= self.next:
            self._declare(self.next, self._reserved_to, m.GAP_POWER)
            self.next = self._reserved_to + 1
        self._reserved_to = self.next - 1
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
        if self.flush():
            self._append([], self.next, self.next, self.next - 1)

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
        if segment is None or not self._seek(segment, number):
            return None
        return self._find(number)

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

    def _index(self, name: str, *, newest: bool) -> None:
        """Learn a segment's range; of the newest also the log's state, from its last block."""
        segment = _Segment(name, self._flash.size(name), 0)
        if not self._load(segment, 0):
            if not newest:
                self._flash.remove(name)  # what it held is missing and will be declared
            return
        segment.first = self._base
        self._segments.append(segment)
        if not newest:
            return
        self._take_gaps()
        while True:
            _, _, _, self.epoch, self._reserved_to, _, self.next = unpack_from(
                HEAD + "IIII", self._buffer
            )
            if not self._load(segment, self._offset + self._length):
                return

    def _take_gaps(self) -> None:
        offset = HEAD_BYTES + STATE_BYTES
        while offset < self._length:
            kind, count, first, last, reason = unpack_from(ENTRY, self._buffer, offset)
            if kind == m.GAP:
                self.gaps.append((first, last, reason))
            offset += ENTRY_BYTES + 4 * count

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
            size = HEAD_BYTES + STATE_BYTES
            for record in self.pending:
                more = ENTRY_BYTES + 4 * len(record[4])
                if size + more > BLOCK_BYTES:
                    break
                size += more
                count += 1
            part = self.pending[:count]
            if self._segments[-1].size + size > self._segment_bytes:
                self._begin_segment()
            end = part[-1][0] + 1
            self._append(part, part[0][0], end, max(self._reserved_to, end - 1 + RESERVE))
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
        base = self.pending[0][0] if self.pending else self.next
        entries: list[Record] = [
            (first, m.GAP, last, reason, ()) for first, last, reason in self.gaps
        ]
        reserved_to = max(self._reserved_to, base - 1 + RESERVE)
        block = self._block(entries, base, base, reserved_to)
        name = "s{:08x}".format(sequence)
        self._flash.create(name, block)
        self._segments.append(_Segment(name, len(block), base))
        self._reserved_to = reserved_to
        self.dirty = False
        for segment in oldest:
            self._remove(segment)

    def _append(self, entries: "list[Record]", base: int, end: int, reserved_to: int) -> None:
        """Flush a block; only then are the numbers up to `reserved_to` there to be given."""
        block = self._block(entries, base, end, reserved_to)
        segment = self._segments[-1]
        self._flash.append(segment.name, block)
        segment.size += len(block)
        self._reserved_to = reserved_to

    def _block(self, entries: "list[Record]", base: int, end: int, reserved_to: int) -> bytes:
        size = HEAD_BYTES + STATE_BYTES
        for entry in entries:
            size += ENTRY_BYTES + 4 * len(entry[4])
        block = bytearray(size)
        pack_into(STATE, block, HEAD_BYTES, self.epoch, reserved_to, base, end)
        offset = HEAD_BYTES + STATE_BYTES
        for number, kind, a, b, values in entries:
            pack_into(ENTRY, block, offset, kind, len(values), number, a, b)
            offset += ENTRY_BYTES
            for value in values:
                pack_into("<i", block, offset, value)
                offset += 4
        length = size - HEAD_BYTES
        check = crc32(memoryview(block)[HEAD_BYTES:], length)
        block[:HEAD_BYTES] = pack(HEAD, MAGIC, length, check)
        return bytes(block)

    def _drop_oldest(self) -> None:
        """Make room at once, for flash is full: its loss is declared as soon as there is some."""
        self._declare_full(self._segments[1].first - 1)
        self._remove(self._segments[0])

    def _declare_full(self, last: int) -> None:
        """What was not kept of the oldest numbers up to `last` becomes a gap."""
        first = max(self._segments[0].first, self._kept_to + 1)
        if first <= last:
            self._declare(first, last, m.GAP_FULL)

    def _remove(self, segment: _Segment) -> None:
        if self._loaded is segment:
            self._loaded = None
        self._segments.remove(segment)
        self._flash.remove(segment.name)

    def _seek(self, segment: _Segment, number: int) -> bool:
        """Bring the block into the buffer that may hold `number`."""
        if self._loaded is not segment or number < self._base:
            if not self._load(segment, 0):
                return False
        while number >= self._end:
            if not self._load(segment, self._offset + self._length):
                return False
        return number >= self._base

    def _load(self, segment: _Segment, offset: int) -> bool:
        """The first whole block at or behind `offset` into the buffer; garbage is passed over."""
        self._loaded = None
        while offset + HEAD_BYTES + STATE_BYTES <= segment.size:
            count = self._flash.read(segment.name, offset, self._buffer)
            length = self._checked_length(count)
            if length:
                self._loaded = segment
                self._offset = offset
                self._length = length
                _, _, self._base, self._end = unpack_from(STATE, self._buffer, HEAD_BYTES)
                return True
            found = self._buffer.find(MAGIC, 1, count)
            offset += found if found > 0 else max(1, count - 1)
        return False

    def _checked_length(self, count: int) -> int:
        """The length of the block that the buffer begins with, 0 where it is none."""
        if count < HEAD_BYTES + STATE_BYTES:
            return 0
        magic, length, check = unpack_from(HEAD, self._buffer)
        if magic != MAGIC or not STATE_BYTES <= length <= count - HEAD_BYTES:
            return 0
        body = memoryview(self._buffer)[HEAD_BYTES : HEAD_BYTES + length]
        return HEAD_BYTES + length if crc32(body, length) == check else 0

    def _find(self, number: int) -> "Record | None":
        offset = HEAD_BYTES + STATE_BYTES
        while offset < self._length:
            kind, count, found, boot_id, uptime_s = unpack_from(ENTRY, self._buffer, offset)
            offset += ENTRY_BYTES
            if found == number and kind != m.GAP:
                values = unpack_from("<{}i".format(count), self._buffer, offset)
                return number, kind, boot_id, uptime_s, values
            offset += 4 * count
        return None
