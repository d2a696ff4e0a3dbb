"""An ESP32's app image: esp_image_header_t, segments, checksum, SHA-256; esp_app_desc_t in it."""

from hashlib import sha256
from struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # Fill the room with what is so many bytes behind the image's first.
    Read = Callable[[int, bytearray | memoryview], None]

MAGIC = 0xE9
CHIPS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}  # esp_chip_id_t
HEADER, SEGMENT, HASH = 24, 8, 32
SEGMENTS = 16  # ESP_IMAGE_MAX_SEGMENTS
SEED = 0xEF  # of the checksum
DESCRIBED = 0xABCD5432  # esp_app_desc_t.magic_word
DESCRIPTION = 256
PIECE = 1024
# What the project of a description may be besides MicroPython: an image that crashes before it
# runs anything, and one that stops there.
PANICS, HANGS = "panics", "hangs"


def image(
    payload: bytes, version: str = "", project: str = "micropython", chip: str = "esp32"
) -> bytes:
    """An image of one segment, which begins with its description."""
    told = pack("<I12x32s32s", DESCRIBED, version.encode(), project.encode())
    payload = told + bytes(DESCRIPTION - len(told)) + payload
    payload += bytes(-len(payload) % 4)
    head = pack("<BBBBI4xH9xB", MAGIC, 1, 2, 0x20, 0x4008_0000, CHIPS[chip], 1)
    data = head + pack("<II", 0x3F40_0020, len(payload)) + payload
    data += bytes(15 - len(data) % 16) + bytes((SEED ^ _folded(payload),))
    digest: bytes = sha256(data).digest()
    return data + digest


def described(read: "Read") -> "tuple[str, str]":
    """Version and project of the image there; "" each where it has no description."""
    told = bytearray(80)
    read(HEADER + SEGMENT, told)
    if unpack("<I", told[:4])[0] != DESCRIBED:
        return "", ""
    version, project = bytes(told[16:48]).split(b"\0")[0], bytes(told[48:80]).split(b"\0")[0]
    return version.decode(), project.decode()


def whole(read: "Read", room: int, chip: str) -> bool:
    """esp_image_verify: is there a sound image for that chip in a partition of so many bytes?"""
    head = bytearray(HEADER)
    read(0, head)
    if head[0] != MAGIC or unpack("<H", head[12:14])[0] != CHIPS[chip] or head[1] > SEGMENTS:
        return False
    at, check = HEADER, SEED
    segment = bytearray(SEGMENT)
    for _ in range(head[1]):
        read(at, segment)
        size = unpack("<I", segment[4:])[0]
        at += SEGMENT
        if at + size + 16 > room:
            return False
        for piece in _pieces(read, at, size):
            check ^= _folded(piece)
        at += size
    at += 15 - at % 16
    if at + 1 + HASH * bool(head[23]) > room:
        return False
    found = bytearray(1)
    read(at, found)
    if found[0] != check:
        return False
    at += 1
    if not head[23]:
        return True
    hashed = sha256()
    for piece in _pieces(read, 0, at):
        hashed.update(piece)
    told = bytearray(HASH)
    read(at, told)
    return bool(hashed.digest() == bytes(told))


def _pieces(read: "Read", at: int, size: int) -> "list[bytes]":
    found = []
    for begin in range(0, size, PIECE):
        piece = bytearray(min(PIECE, size - begin))
        read(at + begin, piece)
        found.append(bytes(piece))
    return found


def _folded(data: bytes) -> int:
    """The XOR of all its bytes: halves of a long number instead of a loop."""
    bits = 8
    while bits < 8 * len(data):
        bits *= 2
    number = int.from_bytes(data, "little")
    while bits > 8:
        bits //= 2
        number = number >> bits ^ number & (1 << bits) - 1
    return number
