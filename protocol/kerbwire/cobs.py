"""Frames on a byte stream: COBS with a closing zero (Cheshire and Baker, 1999).

A frame has at most 254 bytes, so one code byte and the zero are the whole cost. After noise
the stream is in step again at the next zero.
"""

from kerbwire import fast
from kerbwire.limits import FRAME_BYTES


def encode(frame: bytes) -> bytes:
    """The bytes to put on the line for one frame of 1..254 bytes: always two more.

    They have a place of their own (a bytearray).
    """
    out = bytearray(len(frame) + 2)
    fast.cobs_encode(frame, out)
    return out  # type: ignore[return-value]  # a copy would be garbage


class Deframer:
    """Takes the line's bytes in any portions and hands out frames; allocates nothing.

    `take(data, at)` eats up to the next closing zero and returns the place after what it ate;
    then `length` says what was found: 0 nothing yet, > 0 a frame of that many bytes at the
    start of `buffer`, until the next `take`, -1 bytes that are no COBS, -2 more bytes than a
    frame has.
    """

    __slots__ = ("_code", "_filled", "buffer", "length")

    def __init__(self) -> None:
        self.buffer = bytearray(FRAME_BYTES)
        self._code = 0  # COBS's first byte; the rest goes into the buffer
        self._filled = 0  # bytes so far, with that one; more than a frame has: an overrun
        self.length = 0

    def take(self, data: "bytes | bytearray | memoryview", at: int, end: int = -1) -> int:
        """Eat data[at:end] up to and including the next zero; sets `length`."""
        if end < 0:
            end = len(data)
        self.length = 0
        filled = self._filled
        if not filled and at < end and data[at]:
            self._code = data[at]
            filled = 1
            at += 1
        stop = fast.cobs_copy(data, at, end, self.buffer, filled - 1)
        filled = min(filled + stop - at, FRAME_BYTES + 2)
        if stop == end:
            self._filled = filled
            return end
        if filled > FRAME_BYTES + 1:
            self.length = -2
        elif filled:
            self.length = fast.cobs_decode(self.buffer, filled - 1, self._code)
        self._filled = 0
        return stop + 1

    def frame(self) -> bytes:
        """The frame that the last `take` found."""
        return bytes(memoryview(self.buffer)[: self.length])

    def reset(self) -> None:
        """Forget half a frame: the line broke."""
        self._filled = 0
        self.length = 0
