"""esp32.Partition for whole_probe.py: two app partitions, whose bytes are the world's."""

import gc
from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK = 4096
FIRST = 0x10  # the subtype of ota_0
ROOM_BYTES = 1 << 20
ERASE = 6


def partition(chip: "Any") -> "Any":
    """The class, for that chip."""

    class Partition:
        RUNNING = 1
        TYPE_APP = 0

        def __init__(self, which: int, number: int = 0):
            self._number = number

        @classmethod
        def find(cls, kind: int, subtype: int) -> "list[Partition]":
            return [cls(0, subtype - FIRST)]

        @staticmethod
        def mark_app_valid_cancel_rollback() -> None:
            pass

        def info(self) -> "tuple[int, int, int, int, str, bool]":
            return 0, FIRST + self._number, 0, ROOM_BYTES, "ota_%d" % self._number, False

        def get_next_update(self) -> "Partition":
            return Partition(0, self._number ^ 1)

        def set_boot(self) -> None:
            pass

        def readblocks(self, block: int, room: bytearray, at: int = 0) -> None:
            before = chip.begin()
            where = pack("<II", block * BLOCK + at, len(room))
            room[:] = chip.ask(ord("p"), self._number, where)
            chip.end(before)

        def writeblocks(self, block: int, data: bytes, at: int = 0) -> None:
            if chip.watching:
                gc.collect()
                chip.tightest = min(chip.tightest, gc.mem_free())
            before = chip.begin()
            chip.ask(ord("P"), self._number, pack("<I", block * BLOCK + at) + data)
            chip.end(before)

        def ioctl(self, op: int, block: int) -> None:
            assert op == ERASE
            before = chip.begin()
            chip.ask(ord("e"), self._number, pack("<I", block * BLOCK))
            chip.end(before)

    return Partition
