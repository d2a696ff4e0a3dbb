"""A BME280's trimming, read once and loaded for that alone (datasheet 4.2.2, 5.4.1)."""

from struct import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ID = 0x60


def read(registers: "Callable[[int, int], bytearray]") -> "tuple[int, ...] | str":
    """T1..T3, P1..P9, H1..H6, or a fault. They have no checksum: read twice, and equal."""
    if registers(0xD0, 1)[0] != ID:
        return "address"
    first = registers(0x88, 26)
    later = registers(0xE1, 7)
    if first != registers(0x88, 26) or later != registers(0xE1, 7):
        return "trimming"
    h2, h3, high4, middle, high5, h6 = unpack("<hBbBbb", later)
    return unpack("<HhhHhhhhhhhhxB", first) + (
        h2,
        h3,
        high4 << 4 | middle & 15,
        high5 << 4 | middle >> 4,
        h6,
    )
