"""A NOR flash in RAM under littlefs: every erase and program is written down and can be torn.

One life is recorded once; `replay` and `tear` then give the flash as a power cut at any of its
operations leaves it, so that a sweep costs one restart a cut and not one life. Programming clears
bits, as in the chip; a torn operation leaves any part done, any part not.
"""

BLOCK_BYTES = 4096  # an erase block of the ESP32's flash
BLOCKS = 32
IMAGE_BYTES = BLOCKS * BLOCK_BYTES

CLEAN, TORN, GARBLED = range(3)  # the operation never began; half of it; half of it and noise
TEARS = (CLEAN, TORN, GARBLED)

_PROGRAM, _ERASE, _BLOCK_COUNT, _BLOCK_SIZE, _BLOCK_ERASE = 1, 2, 4, 5, 6
_ERASED = b"\xff" * BLOCK_BYTES


class RamFlash:
    """MicroPython's block protocol with offsets (os.AbstractBlockDev)."""

    def __init__(self, image: "bytearray | None" = None):
        """Works on the `image` given, or on an erased one."""
        self.image = bytearray(b"\xff" * IMAGE_BYTES) if image is None else image
        self.erases = 0
        self.programmed = 0  # bytes
        self.log = []  # (kind, address, data, what `note` said before it)
        self.note = None  # set by who records

    def readblocks(self, block: int, buffer: "bytearray | memoryview", offset: int = 0) -> None:
        at = block * BLOCK_BYTES + offset
        buffer[:] = memoryview(self.image)[at : at + len(buffer)]

    def writeblocks(self, block: int, buffer: "bytes | memoryview", offset: int = 0) -> None:
        self._do(_PROGRAM, block * BLOCK_BYTES + offset, bytes(buffer))

    def ioctl(self, op: int, argument: int) -> "int | None":
        if op == _BLOCK_COUNT:
            return len(self.image) // BLOCK_BYTES
        if op == _BLOCK_SIZE:
            return BLOCK_BYTES
        if op == _BLOCK_ERASE:
            self._do(_ERASE, argument * BLOCK_BYTES, b"")
            return 0
        return None

    def _do(self, kind: int, at: int, data: bytes) -> None:
        if self.note is not None:
            self.log.append((kind, at, data, self.note()))
        if kind == _ERASE:
            self.erases += 1
        self.programmed += len(data)
        _apply(self.image, kind, at, data)


def tear(left: bytearray, entry: "tuple[int, int, bytes, object]", how: int) -> None:
    """Leave of that operation what a power cut during it leaves."""
    kind, at, data, _ = entry
    if how == CLEAN:
        return
    if kind == _ERASE:
        half = BLOCK_BYTES // 2
        left[at : at + half] = _ERASED[:half]
        if how == GARBLED:  # cells between the levels
            for index in range(at + half, at + BLOCK_BYTES):
                left[index] |= index & 0x55
        return
    half = (len(data) + 1) // 2
    _apply(left, _PROGRAM, at, data[:half])
    if how == GARBLED:
        rest = bytes([byte | index & 0xAA for index, byte in enumerate(data[half:])])
        _apply(left, _PROGRAM, at + half, rest)


def replay(image: bytearray, entry: "tuple[int, int, bytes, object]") -> None:
    """Do a recorded operation."""
    _apply(image, entry[0], entry[1], entry[2])


def _apply(image: bytearray, kind: int, at: int, data: bytes) -> None:
    if kind == _ERASE:
        image[at : at + BLOCK_BYTES] = _ERASED
    elif image[at : at + len(data)] == _ERASED[: len(data)]:
        image[at : at + len(data)] = data
    else:
        for index, byte in enumerate(data):
            image[at + index] &= byte
