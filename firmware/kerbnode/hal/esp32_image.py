"""The app partitions of an ESP32; loaded for a MicroPython image, and gone again."""

from esp32 import Partition

BLOCK = 4096
ERASE = 6  # ioctl's
ENOENT = 2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Place:
    """An app partition; `subtype` is how the partition table tells it from the others."""

    def __init__(self, partition: Partition):
        self._partition: Any = partition
        self.subtype, _, self.size = partition.info()[1:4]

    def read(self, at: int, room: "bytearray | memoryview") -> None:
        """Fill `room`; OSError."""
        self._partition.readblocks(at // BLOCK, room, at % BLOCK)

    def write(self, at: int, data: "bytes | memoryview") -> None:
        """One piece after the other: each sector that begins in it is erased first; OSError."""
        for sector in range(-(-at // BLOCK), -(-(at + len(data)) // BLOCK)):
            self._partition.ioctl(ERASE, sector)
        self._partition.writeblocks(at // BLOCK, data, at % BLOCK)


def running() -> Place:
    """What runs."""
    return Place(Partition(Partition.RUNNING))  # type: ignore[arg-type]


def following() -> Place:
    """Where another image goes; OSError where the board has no second place for one."""
    found = Place(Partition(Partition.RUNNING).get_next_update())  # type: ignore[arg-type]
    if found.subtype == running().subtype:  # ESP-IDF gives the only one that there is
        raise OSError(ENOENT)
    return found


def settle() -> None:
    """What runs stays; OSError where nothing else could."""
    Partition.mark_app_valid_cancel_rollback()
