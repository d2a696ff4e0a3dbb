# mypy: ignore-errors
"""The byte loops as native code: firmware builds put this in the place of `fast`.

It runs on MicroPython alone and does what `fast` does, byte for byte; the same vectors hold both.
"""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    ptr8 = bytearray


@micropython.viper
def _encode(frame: ptr8, length: int, out: ptr8) -> int:
    code_at = 0
    at = 1
    for i in range(length):
        byte = frame[i]
        if byte:
            out[at] = byte
        else:
            out[code_at] = at - code_at
            code_at = at
        at += 1
    out[code_at] = at - code_at
    out[at] = 0
    return at + 1


def cobs_encode(frame: bytes, out: bytearray) -> int:
    """COBS of `frame` (<= 254 bytes) and its closing zero into `out`; returns the bytes written."""
    return _encode(frame, len(frame), out)


@micropython.viper
def _copy(data: ptr8, at: int, end: int, buffer: ptr8, filled: int, room: int) -> int:
    while at < end:
        byte = data[at]
        if byte == 0:
            break
        if filled < room:
            buffer[filled] = byte
            filled += 1
        at += 1
    return at


def cobs_copy(
    data: "bytes | bytearray | memoryview", at: int, end: int, buffer: bytearray, filled: int
) -> int:
    """Copy data[at:end] up to its first zero to buffer[filled:], as far as that goes.

    Returns the place of the zero, or `end`.
    """
    return _copy(data, at, end, buffer, filled, len(buffer))


@micropython.viper
def cobs_decode(buffer: ptr8, length: int, code: int) -> int:
    """Undo COBS in place: `code` is its first byte, buffer[:length] the rest, no zero in it.

    Returns the frame's length, or -1. A frame is one block of COBS at most, so only the code
    bytes change: to the zeros that they stand for.
    """
    at = code - 1
    while at < length:
        code = buffer[at]
        buffer[at] = 0
        at += code
    return length if at == length else -1
