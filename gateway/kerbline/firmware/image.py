"""The file system of a stock image, with the node in it: what flashing writes in one go.

The parameters are those with which MicroPython's VfsLfs2 makes and mounts one (ports/esp32's
_boot.py and inisetup.py: blocks of 4096 bytes; extmod/vfs_lfs: reads and writes of 32 bytes, a
cache four times that, block_cycles 100). Disk version 2.0 is read by every littlefs 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from kerbline.errors import KerblineError

BLOCK_BYTES = 4096
UNIT_BYTES = 32
DISK_VERSION = 0x0002_0000
MIB = 1 << 20


class NoImage(KerblineError):
    """The image can't be made."""

    code = "firmware"


@dataclass(frozen=True, slots=True)
class Partition:
    """Where the stock image has its file system."""

    offset: int
    size: int


_OF_4_MIB = Partition(0x20_0000, 2 * MIB)
# partitions-4MiB.csv, and for the S3 partitions-8MiB.csv, of MicroPython 1.24's ports/esp32.
PARTITIONS: Mapping[str, Partition] = {
    "esp32": _OF_4_MIB,
    "esp32s3": Partition(0x20_0000, 6 * MIB),
    "esp32c3": _OF_4_MIB,
    "esp32c6": _OF_4_MIB,
}


def made(files: Mapping[str, bytes], size: int) -> bytes:
    """A littlefs image of `size` bytes with the files, by their paths without a leading slash.

    The same files make the same bytes.
    """
    system = _system(size)
    system.format()
    system.mount()
    for path in sorted(files):
        folder = path.rpartition("/")[0]
        if folder:
            system.makedirs(folder, exist_ok=True)
        with system.open(path, "wb") as file:
            file.write(files[path])
    return bytes(system.context.buffer)


class Inside:
    """A file system that is somewhere else, block by block; nothing is written to it.

    What can't be read raises NoImage, and what `block` raises comes through.
    """

    def __init__(self, block: Callable[[int], bytes], size: int) -> None:
        """`block` gives BLOCK_BYTES by their number; `size` is of the partition in bytes."""
        self._block = cache(block)
        self._broken: Exception | None = None
        self._system = _system(size, self)
        self._done(self._system.mount)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted."""
        return sorted(self._done(lambda: self._system.listdir(folder)))

    def content(self, path: str, most_bytes: int) -> bytes:
        """A file's first bytes."""
        with self._done(lambda: self._system.open(path, "rb")) as file:
            return bytes(self._done(lambda: file.read(most_bytes)))

    def read(self, _config: object, block: int, offset: int, size: int) -> bytearray:
        """For littlefs, through which no exception comes."""
        if self._broken is None:
            try:
                return bytearray(self._block(block)[offset : offset + size])
            except Exception as fault:  # noqa: BLE001 - raised again behind it
                self._broken = fault
        return bytearray(size)

    def _done(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - littlefs has no types
        from littlefs.errors import LittleFSError

        try:
            return work()
        except LittleFSError as fault:
            raise NoImage(f"no file system can be read there ({fault})") from self._broken
        finally:
            if self._broken is not None:
                raise self._broken


def _system(size: int, context: Any = None) -> Any:  # noqa: ANN401 - littlefs has no types
    try:
        import littlefs  # the wheel's gateway does without
    except ImportError:
        raise NoImage("littlefs-python is not installed: pip install 'kerbline[field]'") from None
    return littlefs.LittleFS(
        context,
        mount=False,
        block_size=BLOCK_BYTES,
        block_count=size // BLOCK_BYTES,
        read_size=UNIT_BYTES,
        prog_size=UNIT_BYTES,
        lookahead_size=UNIT_BYTES,
        cache_size=4 * UNIT_BYTES,
        block_cycles=100,
        disk_version=DISK_VERSION,
    )
