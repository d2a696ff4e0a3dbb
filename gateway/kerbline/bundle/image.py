"""A MicroPython app image as an ESP32 boots it: is it one, is it whole, what version is it?

ESP-IDF's formats: esp_image_header_t (magic, chip id, whether a SHA-256 stands at the end) and
esp_app_desc_t (magic, version), which is the first thing in the first segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from kerbline.bundle import archive
from kerbline.bundle.faults import PackFault

MAGIC = 0xE9
HEADER_BYTES = 24
HASH_BYTES = 32
CHIPS: Mapping[str, int] = {"esp32": 0, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}
_DESCRIPTION = HEADER_BYTES + 8  # behind the first segment's header
_DESCRIPTION_MAGIC = 0xABCD5432.to_bytes(4, "little")
_TABLE_MAGIC = b"\xaa\x50"
_TABLES = (0x8000, 0x7000)  # of an image for flashing that begins at 0, or at 0x1000


def load(path: Path, chip: str) -> bytes:
    """The app image in a file; raises PackFault unless it is a whole one for that chip."""
    data = archive.read(path)
    if len(data) < _DESCRIPTION + 32 or data[0] != MAGIC:
        raise PackFault(f"{path}: is no image of an ESP32; take MicroPython's .app-bin")
    if any(data[at : at + 2] == _TABLE_MAGIC for at in _TABLES):
        raise PackFault(
            f"{path}: has boot loader and partitions, which no update writes; "
            "take the .app-bin of the same build"
        )
    there = int.from_bytes(data[12:14], "little")
    if CHIPS.get(chip) != there:
        known = next((name for name, number in CHIPS.items() if number == there), f"{there}")
        raise PackFault(f"{path}: is for chip {known}, the board has {chip}; take that one's")
    if data[23] == 1 and sha256(data[:-HASH_BYTES]).digest() != data[-HASH_BYTES:]:
        raise PackFault(f"{path}: is damaged: its SHA-256 is wrong; fetch it again")
    if len(data) > archive.limit("image.bin"):
        raise PackFault(f"{path}: has {len(data):,} bytes; no partition holds it")
    return data


def app_version(image: bytes) -> str:
    """The version in its description, or "" where it has none."""
    if image[_DESCRIPTION : _DESCRIPTION + 4] != _DESCRIPTION_MAGIC:
        return ""
    version = image[_DESCRIPTION + 16 : _DESCRIPTION + 48].split(b"\0")[0]
    return version.decode("ascii", "replace") if version.isascii() else ""
