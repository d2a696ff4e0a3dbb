"""The log's segments as bytes: blocks that are flushed whole, and a reader with one buffer.

A segment file is a row of blocks, all little-endian:
    magic 2 | length 2 | crc32 4 | epoch 4 | reserved_to 4 | base 4 | end 4 | entries
    entry: kind 1 | count 1 | number 4 | a 4 | b 4 | count values of 4
A record's a and b are its boot id and uptime; a gap's are its last number and its reason. A block
holds numbers base..end-1. The crc32 starts from the length, so that it covers it too.
"""

from binascii import crc32
from struct import pack, pack_into, unpack_from

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.flash import Flash

    Record = tuple[int, int, int, int, tuple[int, ...]]  # number, kind, boot id, uptime_s, values
    Gap = tuple[int, int, int]  # first, last, reason

MAGIC = b"\xb1\x4b"
HEAD = "<2sHI"
HEAD_BYTES = 8
STATE = "<IIII"
ENTRIES_AT = 24  # behind head and state
ENTRY = "<BBIII"
ENTRY_BYTES = 14
BLOCK_BYTES = 1000  # no allocation above 1 KiB


class Segment:
    """One file: `first` is the lowest number that it may hold."""

    __slots__ = ("first", "name", "size")

    def __init__(self, name: str, size: int, first: int):
        self.name = name
        self.size = size
        self.first = first


def entry_bytes(record: "Record") -> int:
    """What a record takes in a block."""
    return ENTRY_BYTES + 4 * len(record[4])


def encode(
    epoch: int, reserved_to: int, base: int, end: int, gaps: "list[Gap]", records: "list[Record]"
) -> bytearray:
    """One block."""
    entries: list[Record] = [(first, m.GAP, last, reason, ()) for first, last, reason in gaps]
    entries += records
    block = bytearray(ENTRIES_AT + sum([entry_bytes(entry) for entry in entries]))
    pack_into(STATE, block, HEAD_BYTES, epoch, reserved_to, base, end)
    at = ENTRIES_AT
    for number, kind, a, b, values in entries:
        pack_into(ENTRY, block, at, kind, len(values), number, a, b)
        at += ENTRY_BYTES
        for value in values:
            pack_into("<i", block, at, value)
            at += 4
    length = len(block) - HEAD_BYTES
    block[:HEAD_BYTES] = pack(HEAD, MAGIC, length, crc32(memoryview(block)[HEAD_BYTES:], length))
    return block


class Reader:
    """Holds one block at a time; `epoch`, `reserved_to`, `base` and `end` are those of it."""

    def __init__(self, flash: "Flash"):
        self.epoch = 0
        self.reserved_to = 0
        self.base = 0
        self.end = 0
        self._flash = flash
        self._buffer = bytearray(BLOCK_BYTES)
        self._segment: Segment | None = None  # whose block is held ...
        self._offset = 0  # ... from here ...
        self._length = 0  # ... so many bytes

    def load(self, segment: Segment, offset: int = 0) -> bool:
        """Hold the first whole block at or behind `offset`; garbage is passed over."""
        self._segment = None
        while offset + ENTRIES_AT <= segment.size:
            count = self._flash.read(segment.name, offset, self._buffer)
            length = self._checked_length(count)
            if length:
                self._segment = segment
                self._offset = offset
                self._length = length
                self.epoch, self.reserved_to, self.base, self.end = unpack_from(
                    STATE, self._buffer, HEAD_BYTES
                )
                return True
            found = self._buffer.find(MAGIC, 1, count)
            offset += found if found > 0 else max(1, count - 1)
        return False

    def load_next(self, segment: Segment) -> bool:
        """Hold the block behind the one held."""
        return self.load(segment, self._offset + self._length)

    def block(self) -> bytes:
        """The block held."""
        return bytes(memoryview(self._buffer)[: self._length])

    def read(self, segment: Segment, number: int) -> "Record | None":
        """The record of that number; a search goes on from the block held where it can."""
        if self._segment is not segment or number < self.base:
            if not self.load(segment):
                return None
        while number >= self.end:
            if not self.load_next(segment):
                return None
        at = ENTRIES_AT
        while at < self._length:
            kind, count, found, boot_id, uptime_s = unpack_from(ENTRY, self._buffer, at)
            at += ENTRY_BYTES
            if found == number and kind != m.GAP:
                values = unpack_from("<{}i".format(count), self._buffer, at)
                return number, kind, boot_id, uptime_s, values
            at += 4 * count
        return None

    def gaps(self) -> "list[Gap]":
        """The gaps in the block held."""
        found = []
        at = ENTRIES_AT
        while at < self._length:
            kind, count, first, last, reason = unpack_from(ENTRY, self._buffer, at)
            if kind == m.GAP:
                found.append((first, last, reason))
            at += ENTRY_BYTES + 4 * count
        return found

    def forget(self) -> None:
        """What is held is no longer what is in flash."""
        self._segment = None

    def _checked_length(self, count: int) -> int:
        """The length of the block that the buffer begins with, 0 where it is none."""
        if count < ENTRIES_AT:
            return 0
        magic, length, check = unpack_from(HEAD, self._buffer)
        if magic != MAGIC or not ENTRIES_AT - HEAD_BYTES <= length <= count - HEAD_BYTES:
            return 0
        body = memoryview(self._buffer)[HEAD_BYTES : HEAD_BYTES + length]
        return HEAD_BYTES + length if crc32(body, length) == check else 0
