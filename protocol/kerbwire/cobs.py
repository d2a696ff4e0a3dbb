"""Frames on a byte stream: COBS with a closing zero (Cheshire and Baker, 1999).

A frame has at most 254 bytes, so one code byte and the zero are the whole cost. After noise
the stream is in step again at the next zero.
"""

from kerbwire import fast
from kerbwire.limits import FRAME_BYTES

_ENCODED_BYTES = FRAME_BYTES + 1  # without the closing zero


def encode(frame: bytes) -> bytes:
    """The bytes to put on the line for one frame of 1..254 bytes."""
    out = bytearray(len(frame) + 2)
    return bytes(memoryview(out)[: fast.cobs_encode(frame, out)])


class Deframer:
    """Takes the line's bytes in any portions and hands out frames.

    `take(data, at)` eats up to the next closing zero and returns the place after what it ate;
    then `length` says what was found: 0 nothing yet, > 0 a frame of that many bytes in
    `frame()`, -1 bytes that are no COBS, -2 more bytes than a frame has.
    """

    __slots__ = ("_buffer", "_filled", "_overrun", "length")

    def __init__(self) -> None:
        self._buffer = bytearray(_ENCODED_BYTES)
        self._filled = 0
        self._overrun = False
        self.length = 0

    def take(self, data: bytes, at: int) -> int:
        """Eat data[at:] up to and including the next zero; sets `length`."""
        self.length = 0
        end = data.find(b"\0", at)
        stop = len(data) if end < 0 else end
        count = stop - at
        if self._filled + count > _ENCODED_BYTES:
            self._overrun = True
        elif count:
            self._buffer[self._filled : self._filled + count] = data[at:stop]
            self._filled += count
        if end < 0:
            return stop
        if self._overrun:
            self.length = -2
        elif self._filled:
            self.length = fast.cobs_decode(self._buffer, self._filled)
        self._filled = 0
        self._overrun = False
        return end + 1

    def frame(self) -> bytes:
        """The frame that the last `take` found."""
        return bytes(memoryview(self._buffer)[: self.length])

    def reset(self) -> None:
        """Forget half a frame: the line broke."""
        self._filled = 0
        self._overrun = False
        self.length = 0
