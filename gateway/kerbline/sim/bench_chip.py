"""An ESP32's flash and fuses as its ROM loader and its bootloader see them, and a stock image.

The flash is bytes; the partition table in it says where the file system and the NVS lie, as on
the chip. The image is made here: it has the form of MicroPython's, not its code.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from random import Random

from kerbline.firmware import image

MIB = 1 << 20
MAGIC = 0xE9  # esp_image_header_t
ENTRY_MAGIC = 0x50AA  # esp_partition_info_t
DESCRIBED, DESCRIPTION_BYTES = 0xABCD5432, 256  # esp_app_desc_t
TABLE_AT = 0x8000
APP_AT = 0x1_0000
FACTORY, OTA_0 = 0x00, 0x10  # app partitions' subtypes
OTA_BYTES = 0x18_0000  # of each, in MicroPython's OTA variant
OTA_VFS_BYTES = 0xF_0000
NVS_AT, NVS_BYTES = 0x9000, 0x6000
# Where the second stage of the boot lies, and how an image names its chip (esp_chip_id_t).
BOOT_AT = {"esp32": 0x1000, "esp32s3": 0, "esp32c3": 0, "esp32c6": 0}
CHIP_ID = {"esp32": 0, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}


@dataclass(frozen=True, slots=True)
class Part:
    """A line of the partition table."""

    label: str
    offset: int
    size: int


def partitions(flash: bytes | bytearray) -> dict[str, Part]:
    """What the flash's partition table names; empty where there is none."""
    found = {}
    for at in range(TABLE_AT, TABLE_AT + 0xC00, 32):
        magic, _, _, offset, size, label = struct.unpack_from("<HBBII16s", flash, at)
        if magic != ENTRY_MAGIC:
            break
        name = label.rstrip(b"\0").decode("ascii", "replace")
        found[name] = Part(name, offset, size)
    return found


def bootable(flash: bytes | bytearray, chip: str) -> bool:
    """Would the ROM find a boot image, and that an app?"""
    return flash[BOOT_AT[chip]] == flash[APP_AT] == MAGIC


def stock_image(
    chip: str = "esp32", app_bytes: int = 200_000, seed: int = 1, *, version: str = ""
) -> bytes:
    """What is flashed at the chip's offset: bootloader, table, app, as MicroPython's file.

    The app is noise that deflates to two thirds, as the real one does (1.7 MB to 1.1 MB).
    """
    vfs = image.PARTITIONS[chip]
    table = _table((0, FACTORY, APP_AT, vfs.offset - APP_AT, b"factory"), vfs_bytes=vfs.size)
    chance = Random(seed)
    boot = _program(chip, chance.randbytes(20_000))
    words = [chance.randbytes(16) for _ in range(2_000)]
    size = 0
    body = []
    while size < app_bytes:
        body.append(chance.choice(words) if chance.random() < 0.4 else chance.randbytes(16))
        size += 16
    whole = bytearray(b"\xff" * (APP_AT - BOOT_AT[chip]))
    whole[: len(boot)] = boot
    at = TABLE_AT - BOOT_AT[chip]
    whole[at : at + len(table)] = table
    return bytes(whole) + _program(chip, _described(version, "micropython") + b"".join(body))


def app(
    version: str = "", project: str = "micropython", *, chip: str = "esp32", size: int = 1024
) -> bytes:
    """An app of some bytes of that description (esp_app_desc_t); the rest is noise of its own."""
    noise = Random(version + project).randbytes(size)
    return _program(chip, _described(version, project) + noise)


def apps(
    chip: str = "esp32", held: Mapping[int, bytes] | None = None, *, size: int = OTA_BYTES
) -> bytes:
    """The flash before the file system with those apps, by subtype, in partitions of that size.

    Without any it is as stock: one app, in `factory`. What is behind the end is erased.
    """
    vfs = image.PARTITIONS[chip]
    if held is None:
        held, size = {FACTORY: app(chip=chip)}, vfs.offset - APP_AT
    rows = [(1, 0x00, 0xD000, 0x2000, b"otadata")] if any(held) else []
    whole = bytearray(b"\xff" * APP_AT)
    at = APP_AT
    for subtype, content in held.items():
        label = f"ota_{subtype - OTA_0}" if subtype else "factory"
        rows.append((0, subtype, at, size, label.encode()))
        whole[at:] = b"\xff" * (at - len(whole)) + content
        at += size
    table = _table(*rows, vfs_bytes=OTA_VFS_BYTES if any(held) else vfs.size)
    whole[TABLE_AT : TABLE_AT + len(table)] = table
    return bytes(whole)


def _described(version: str, project: str) -> bytes:
    """esp_app_desc_t, with which an app begins."""
    told = struct.pack("<I12x32s32s", DESCRIBED, version.encode(), project.encode())
    return told.ljust(DESCRIPTION_BYTES, b"\0")


def _table(*rows: tuple[int, int, int, int, bytes], vfs_bytes: int) -> bytes:
    """A partition table: type, subtype, offset, size, label of each line, and the usual ones."""
    end = max(offset + size for _, _, offset, size, _ in rows)
    nvs = (1, 0x02, NVS_AT, NVS_BYTES if rows[0][4] == b"factory" else 0x4000, b"nvs")
    phy = (1, 0x01, NVS_AT + NVS_BYTES, 0x1000, b"phy_init")
    every = [nvs, phy, *rows, (1, 0x81, end, vfs_bytes, b"vfs")]
    table = b"".join(
        struct.pack("<HBBII16sI", ENTRY_MAGIC, kind, subtype, offset, size, label, 0)
        for kind, subtype, offset, size, label in every
    )
    return table + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table, usedforsecurity=False).digest()


def _program(chip: str, code: bytes) -> bytes:
    """An ESP image of one segment, with checksum and hash (esp_app_format.h)."""
    code += bytes(-len(code) % 4)
    header = struct.pack(
        "<BBBBIBBBBHBHH4xB",
        MAGIC, 1, 2, 0x2F, 0x4008_0000, 0xEE, 0, 0, 0, CHIP_ID[chip], 0, 0, 0xFFFF, 1,
    )  # fmt: skip
    data = header + struct.pack("<II", 0x4008_0000, len(code)) + code
    data += bytes(15 - len(data) % 16) + bytes([reduce(xor, code, 0xEF)])
    return data + hashlib.sha256(data).digest()
