"""The module esp32: NVS, the wake-up sources, and the partitions.

Partition as docs/library/esp32.rst and ports/esp32/esp32_partition.c have it.
"""

from kerbnode.sim.chip.flash import Nvs
from kerbnode.sim.partitions import ANY, APP, BLOCK, DATA, ENOENT, ERASE, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.sim.partitions import Chip


class Partition:
    """esp32.Partition; `chip` is whose."""

    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = APP, DATA
    chip: "Chip"

    def __init__(self, which: "int | str"):
        """`BOOT`, `RUNNING` or a label."""
        chip = self.chip
        if which == Partition.RUNNING:
            found = [chip.apps[chip.running]]
        elif which == Partition.BOOT:
            found = [chip.apps[chip.boots()]] if chip.entries() else []
        elif isinstance(which, int):
            raise ValueError
        else:
            found = [part for part in chip.parts if part.label == which]
        if not found:
            raise OSError(ENOENT)
        self._part = found[0]

    @classmethod
    def find(
        cls,
        type: int = APP,  # noqa: A002 - the chip's name
        subtype: int = ANY,
        label: "str | None" = None,
    ) -> "list[Partition]":
        """Those that fit."""
        return [
            cls(part.label)
            for part in cls.chip.parts
            if part.kind == type and subtype in (part.subtype, ANY) and label in (part.label, None)
        ]

    @classmethod
    def mark_app_valid_cancel_rollback(cls) -> None:
        """What runs stays."""
        cls.chip.settle()

    def info(self) -> "tuple[int, int, int, int, str, bool]":
        """Type, subtype, address, size, label, encrypted."""
        part = self._part
        return part.kind, part.subtype, part.first * BLOCK, part.blocks * BLOCK, part.label, False

    def get_next_update(self) -> "Partition":
        """esp_ota_get_next_update_partition: the one behind it, else the first; may be itself."""
        chip = self.chip
        if not chip.count:
            raise OSError(ENOENT)
        following = self._part.index + 1 if self._part.kind == APP else 0
        return Partition(chip.apps[following if following < chip.count else 0].label)

    def set_boot(self) -> None:
        """It runs after the next reset, on trial."""
        if self._part.kind != APP:
            raise error("ESP_ERR_INVALID_ARG")
        self.chip.set_boot(self._part.index)

    def readblocks(self, block: int, room: bytearray, offset: int = 0) -> None:
        """Fill `room`."""
        self._within(block, len(room), offset)
        self.chip.read(self._part.first + block, room, offset)

    def writeblocks(self, block: int, data: bytes, offset: "int | None" = None) -> None:
        """Without an offset the blocks are erased first."""
        self._within(block, len(data), offset or 0, changes=True)
        if offset is None:
            for each in range(-(-len(data) // BLOCK)):
                self.chip.erase(self._part.first + block + each)
        self.chip.program(self._part.first + block, data, offset or 0)

    def ioctl(self, operation: int, argument: int) -> "int | None":
        """Blocks, their size, erase one."""
        if operation == ERASE:
            self._within(argument, BLOCK, 0, changes=True)
            self.chip.erase(self._part.first + argument)
        known = {1: 0, 2: 0, 3: 0, 4: self._part.blocks, 5: BLOCK, ERASE: 0}
        return known.get(operation)

    def _within(self, block: int, count: int, offset: int, *, changes: bool = False) -> None:
        if block < 0 or block * BLOCK + offset + count > self._part.blocks * BLOCK:
            raise error("ESP_ERR_INVALID_SIZE")
        if changes and self._part is self.chip.apps[self.chip.running]:
            self.chip.panic()


class Esp32:
    """The module."""

    NVS = Nvs
    Partition = Partition
    WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = 0, 1

    def wake_on_ext0(self, *given: object, **more: object) -> None:
        pass

    wake_on_ext1 = wake_on_ext0
