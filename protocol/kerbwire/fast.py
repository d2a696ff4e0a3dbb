"""The byte loops, portable; a firmware build may put native twins in their place."""


def cobs_encode(frame: bytes, out: bytearray) -> int:
    """COBS of `frame` (<= 254 bytes) and its closing zero into `out`; returns the bytes written."""
    code_at = 0
    at = 1
    for byte in frame:
        if byte:
            out[at] = byte
            at += 1
        else:
            out[code_at] = at - code_at
            code_at = at
            at += 1
    out[code_at] = at - code_at
    out[at] = 0
    return at + 1


def cobs_copy(
    data: "bytes | bytearray | memoryview", at: int, end: int, buffer: bytearray, filled: int
) -> int:
    """Copy data[at:end] up to its first zero to buffer[filled:], as far as that goes.

    Returns the place of the zero, or `end`.
    """
    room = len(buffer)
    for place in range(at, end):
        byte = data[place]
        if not byte:
            return place
        if filled < room:
            buffer[filled] = byte
            filled += 1
    return end


def cobs_decode(buffer: bytearray, length: int, code: int) -> int:
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
