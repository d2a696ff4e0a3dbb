"""Layer 2: the header of a frame.

b0 = layout:2 direction:1 address?:1 session-parity:1 seq16?:1 class:2
b0 | [address:1] | fseq:1..2 | ciphertext | tag:8        sealed (classes 0..2)
b0 | [address:1] | body                                  plain (class 3)
"""

from kerbwire.errors import RemoteError
from kerbwire.limits import FRAME_BYTES, TAG_BYTES
from kerbwire.messages import CLASS_PLAIN

LAYOUT = 1
UP = 0  # node to gateway
DOWN = 1


class Header:
    """A parsed header: `fseq` holds the low `fseq_bits` bits, `size` is the header's length.

    `address` is -1 where there is none; `end` is the frame's length.
    One is enough for a whole line: `parse` may be called again and allocates nothing.
    """

    __slots__ = ("address", "class_", "direction", "end", "fseq", "fseq_bits", "parity", "size")

    def __init__(self, frame: "bytes | None" = None):
        """RemoteError("short", "long" or "layout") where there is no header in `frame`."""
        self.class_ = CLASS_PLAIN
        self.address = self.direction = self.parity = self.fseq = self.fseq_bits = self.size = 0
        self.end = 0
        if frame is not None:
            fault = self.parse(frame, len(frame))
            if fault:
                raise RemoteError(fault)

    def parse(self, data: "bytes | bytearray | memoryview", length: int) -> str:
        """Take the header of data[:length]; "short", "long" or "layout", or "" if sound."""
        if length < 2:
            return "short"
        if length > FRAME_BYTES:
            return "long"
        first = data[0]
        if first >> 6 != LAYOUT:
            return "layout"
        self.direction = first >> 5 & 1
        self.parity = first >> 3 & 1
        self.class_ = first & 3
        self.address = -1
        at = 1
        if first & 0x10:
            self.address = data[1]
            at = 2
        self.fseq = 0
        self.fseq_bits = 0
        if self.class_ != CLASS_PLAIN:
            count = 2 if first & 4 else 1
            if length < at + count + TAG_BYTES:
                return "short"
            self.fseq = data[at] if count == 1 else data[at] << 8 | data[at + 1]
            self.fseq_bits = 8 * count
            at += count
        self.size = at
        self.end = length
        return ""


def plain_header(direction: int, address: "int | None") -> bytes:
    """The header of a plain frame; `address` None leaves the address byte out."""
    first = LAYOUT << 6 | direction << 5 | CLASS_PLAIN
    if address is None:
        return bytes((first,))
    return bytes((first | 0x10, address))


def sealed_header(
    class_: int, direction: int, address: "int | None", parity: int, fseq: int
) -> bytes:
    """The header of a sealed frame, with the low 16 bits of `fseq`."""
    first = LAYOUT << 6 | direction << 5 | parity << 3 | 4 | class_
    if address is None:
        return (first << 16 | fseq & 0xFFFF).to_bytes(3, "big")
    return ((first << 8 | 0x1000 | address) << 16 | fseq & 0xFFFF).to_bytes(4, "big")


def nearest(low: int, bits: int, expected: int) -> int:
    """The number that ends in the `bits` bits `low` and lies nearest to `expected`; -1 if none."""
    span = 1 << bits
    number = expected - expected % span + low
    if number > expected + span // 2:
        number -= span
    elif number <= expected - span // 2:
        number += span
    return number
