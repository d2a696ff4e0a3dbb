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
    while at < end and data[at]:
        if filled < room:
            buffer[filled] = data[at]
            filled += 1
        at += 1
    return at


def cobs_decode(buffer: bytearray, length: int) -> int:
    """Undo COBS in place over buffer[:length] (no zero in it); the frame's length or -1."""
    at = 0
    out = 0
    while at < length:
        code = buffer[at]
        at += 1
        end = at + code - 1
        if end > length:
            return -1
        while at < end:
            buffer[out] = buffer[at]
            out += 1
            at += 1
        if at < length and code < 255:
            buffer[out] = 0
            out += 1
    return out


def xor(left: bytes, right: bytes) -> bytes:
    """left xor right[:len(left)]."""
    length = len(left)
    number = int.from_bytes(left, "big") ^ int.from_bytes(right[:length], "big")
    return number.to_bytes(length, "big")
