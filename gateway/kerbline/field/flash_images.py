"""MicroPython's image for a chip, checked and kept; and what of it goes where in the flash.

The image is a file that the technician names once. It is known by its SHA-256 from then on, and
another one is taken only with its own (`--sha256`).
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from kerbline import durable
from kerbline.boardtools.loader import SECTOR_BYTES, Region, image_chip
from kerbline.errors import KerblineError

# Where a chip's ROM looks for the second stage of the boot, and how an image names its chip
# (esp_chip_id_t of ESP-IDF).
BOOT_OFFSETS: Mapping[str, int] = {"esp32": 0x1000, "esp32s3": 0, "esp32c3": 0, "esp32c6": 0}
CHIP_IDS: Mapping[str, int] = {"esp32": 0, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}
TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00
ENTRY_MAGIC = 0x50AA  # esp_partition_info_t
IMAGE_MAGIC = 0xE9
LONGEST_BYTES = 16 << 20
KEPT_BLOBS = 24
REMEMBERED = "images.json"


class ImageFault(KerblineError):
    """An image that can't be taken; the text names the file and what to do."""

    code = "image"


@dataclass(frozen=True, slots=True)
class Stock:
    """A checked MicroPython image of a chip; partitions by label as (offset, size)."""

    chip: str
    data: bytes
    sha256: str
    partitions: Mapping[str, tuple[int, int]]
    is_new: bool = False  # seen for the first time, and nobody said its SHA-256


class Cache:
    """Images by their SHA-256 below $XDG_CACHE_HOME/kerbline: what is not whole is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def usual(cls, environment: Mapping[str, str] = os.environ) -> Cache:
        """Of this user."""
        base = environment.get("XDG_CACHE_HOME", "")
        return cls((Path(base) if base.startswith("/") else Path.home() / ".cache") / "kerbline")

    def get(self, digest: str) -> bytes | None:
        """The bytes with this SHA-256, or None."""
        path = self._path(digest)
        with suppress(OSError, zlib.error):
            data = zlib.decompress(path.read_bytes())
            if sha256(data).hexdigest() == digest:
                with suppress(OSError):  # a folder that can only be read
                    os.utime(path)
                return data
        return None

    def put(self, data: bytes) -> str:
        """Keep the bytes; their SHA-256. The oldest go where there are many."""
        digest = sha256(data).hexdigest()
        path = self._path(digest)
        if self.get(digest) is None:
            replaced(path, zlib.compress(data, 1))
            kept = sorted(path.parent.glob("*.z"), key=_age, reverse=True)
            for each in kept[KEPT_BLOBS:]:
                each.unlink(missing_ok=True)
        return digest

    def remembered(self, chip: str) -> str:
        """The SHA-256 of the image that this chip got last, or ""."""
        found = self._all().get(chip, "")
        return found if isinstance(found, str) else ""

    def remember(self, chip: str, digest: str) -> None:
        """The chip gets this image from now on."""
        text = json.dumps(self._all() | {chip: digest}, indent=1) + "\n"
        replaced(self._folder / REMEMBERED, text.encode())

    def _all(self) -> dict[str, object]:
        with suppress(OSError, ValueError):
            found = json.loads((self._folder / REMEMBERED).read_text())
            if isinstance(found, dict):
                return found
        return {}

    def _path(self, digest: str) -> Path:
        return self._folder / "images" / f"{digest}.z"


def stock(file: Path | None, chip: str, expected: str, cache: Cache) -> Stock:
    """The image in the file, or the one that this chip had last; raises ImageFault.

    `expected`: its SHA-256 as hex, or "" where the user gave none.
    """
    known = cache.remembered(chip)
    if file is None:
        found = cache.get(expected or known) if expected or known else None
        if found is None:
            raise ImageFault(
                f"no MicroPython image for {chip} is kept here; name it once with --micropython "
                "FILE (from micropython.org/download, the .bin for this chip)"
            )
        data, name = found, "the kept image"
    else:
        data, name = _read(file), str(file)
    digest = sha256(data).hexdigest()
    if expected and digest != expected.lower():
        raise ImageFault(f"{name}: its SHA-256 is {digest}, not {expected}; fetch it again")
    if known and not expected and digest != known:
        raise ImageFault(
            f"{name}: another image than the last one for {chip} ({known[:16]}...); "
            f"if that is meant, add --sha256 {digest}"
        )
    return Stock(chip, data, digest, _checked(data, chip, name), is_new=not (known or expected))


def keep(image: Stock, cache: Cache) -> None:
    """For the next time, when nobody names a file."""
    cache.put(image.data)
    cache.remember(image.chip, image.sha256)


def regions(image: Stock, system: bytes, *, wipe: bool = False) -> tuple[Region, ...]:
    """What goes into the flash. The NVS partition, which lies within the image, is left as it is;
    with `wipe` it is erased. An app behind the first loses its head: NVS may still name it."""
    base = BOOT_OFFSETS[image.chip]
    at, size = image.partitions["nvs"]
    vfs = image.partitions["vfs"][0]
    found = [
        Region(base, image.data[: at - base], "the boot loader"),
        Region(at + size, image.data[at + size - base :], "MicroPython"),
        Region(vfs, system, "the file system"),
    ]
    others = [part for label, part in image.partitions.items() if label[:4] == "ota_"]
    for at_app, _ in sorted(others)["factory" not in image.partitions :]:
        found.append(Region(at_app, b"\xff" * SECTOR_BYTES, "a MicroPython of before"))
    if wipe:
        found.append(Region(at, b"\xff" * size, "the NVS"))
    return tuple(found)


def replaced(path: Path, content: bytes) -> None:
    """Write a private file whole or not at all; several may do so at once."""
    durable.folder(path.parent)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    durable.replace(path, content, draft=draft)


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _read(file: Path) -> bytes:
    if file.is_file() and file.stat().st_size > LONGEST_BYTES:
        raise ImageFault(f"{file}: is larger than any flash; take MicroPython's .bin")
    return file.read_bytes()


def _checked(data: bytes, chip: str, name: str) -> dict[str, tuple[int, int]]:
    """Its partitions; ImageFault where it is no whole MicroPython image of that chip."""
    there = image_chip(data)
    if there is None:
        raise ImageFault(f"{name}: is no image of an ESP32; take MicroPython's .bin for {chip}")
    if there != CHIP_IDS[chip]:
        other = next((each for each, number in CHIP_IDS.items() if number == there), f"id {there}")
        raise ImageFault(f"{name}: is for {other}, the board has {chip}; take that one's")
    base = BOOT_OFFSETS[chip]
    table = data[TABLE_OFFSET - base : TABLE_OFFSET - base + TABLE_BYTES]
    parts = partitions(table)
    if "vfs" not in parts or "nvs" not in parts:
        raise ImageFault(
            f"{name}: has no partitions vfs and nvs; take MicroPython's .bin, not the .app-bin"
        )
    apps = [offset for label, (offset, _) in parts.items() if label in ("factory", "ota_0")]
    for app in apps:
        if not _is_whole(data[app - base :]):
            raise ImageFault(f"{name}: is damaged or cut off; fetch it again")
    if any(offset % SECTOR_BYTES for offset, _ in parts.values()):
        raise ImageFault(f"{name}: has partitions that begin within a sector")
    return parts


def partitions(table: bytes) -> dict[str, tuple[int, int]]:
    """Where each begins and how many bytes it has, by label; of TABLE_BYTES at TABLE_OFFSET."""
    found = {}
    for at in range(0, len(table) - 31, 32):
        magic, _, _, offset, size, label = struct.unpack_from("<HBBII16s", table, at)
        if magic != ENTRY_MAGIC:
            break
        found[label.rstrip(b"\0").decode("ascii", "replace")] = (offset, size)
    return found


def _is_whole(app: bytes) -> bool:
    """Are all segments there, and has what lies before its SHA-256 that hash? (esp_app_format.h)"""
    if len(app) < 24 or app[0] != IMAGE_MAGIC:
        return False
    at = 24
    for _ in range(app[1]):
        if at + 8 > len(app):
            return False
        at += 8 + int.from_bytes(app[at + 4 : at + 8], "little")
    end = at + 16 - at % 16  # a checksum byte, aligned to 16
    if not app[23]:
        return end <= len(app)
    return sha256(app[:end]).digest() == app[end : end + 32]


class Memory:
    """What each board was flashed with, by MAC, below $XDG_STATE_HOME/kerbline/flashed.

    It only saves time: what a flash holds is found out from the chip.
    """

    def __init__(self, folder: Path, cache: Cache) -> None:
        self._folder = folder
        self._cache = cache

    @classmethod
    def usual(cls, cache: Cache, environment: Mapping[str, str] = os.environ) -> Memory:
        """Of this user."""
        base = environment.get("XDG_STATE_HOME", "")
        state = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
        return cls(state / "kerbline" / "flashed", cache)

    def of(self, mac: str) -> list[Region]:
        """What that board's flash may hold; empty where nothing is known."""
        found = []
        with suppress(OSError, ValueError, KeyError, TypeError):
            for offset, digest in json.loads(self._path(mac).read_text())["regions"]:
                data = self._cache.get(str(digest))
                if data is not None:
                    found.append(Region(int(offset), data))
        return found

    def keep(self, mac: str, board: str, build: str, written: Sequence[Region]) -> None:
        """The board holds these regions now."""
        about = {
            "board": board,
            "build": build,
            "regions": [[each.offset, self._cache.put(each.data)] for each in written],
        }
        replaced(self._path(mac), (json.dumps(about, indent=1) + "\n").encode())

    def _path(self, mac: str) -> Path:
        return self._folder / f"{mac.replace(':', '')}.json"
