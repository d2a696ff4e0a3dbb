"""An ESP32's partitions: their table, otadata, and the bootloader; over any flash.

As ESP-IDF has them with rollback on, which MicroPython builds with (its sdkconfig.base):
esp_ota_ops.c, bootloader_utility.c, and its "Over The Air Updates", section App Rollback. What
these write is written here by the same erases and programs in the same order, so that each can be
cut. The flash is a block device whose erase gives 0xFF and whose program clears bits.
"""

from binascii import crc32
from struct import pack, unpack

from kerbnode.sim import app_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK = 4096
ERASE = 6  # ioctl's
TABLE, TABLE_ENTRY, TABLE_MAGIC = 0x8000, "<HBBII16sI", 0x50AA  # esp_partition_info_t
APP, DATA = 0, 1
FACTORY, FIRST, OTADATA, ANY = 0x00, 0x10, 0x00, 0xFF  # subtypes; ota_0, and which data
ENTRY = "<I20sII"  # esp_ota_select_entry_t: sequence, label, state, CRC of the sequence
ENTRY_BYTES = 32
NEW, PENDING, VALID, INVALID, ABORTED = range(5)
NOTHING = 0xFFFF_FFFF
ENOENT = 2
FAIL = "ESP_FAIL"
ERRORS = {FAIL: 1, "ESP_ERR_INVALID_ARG": -0x102, "ESP_ERR_INVALID_SIZE": -0x104,
          "ESP_ERR_NOT_FOUND": -0x105, "ESP_ERR_OTA_VALIDATE_FAILED": -0x1503}  # fmt: skip


def error(name: str) -> OSError:
    """What MicroPython makes of an esp_err_t."""
    return OSError(ERRORS[name], name)


class Part:
    """A line of the partition table."""

    def __init__(self, kind: int, subtype: int, first: int, blocks: int, label: str):
        self.kind, self.subtype, self.label = kind, subtype, label
        self.first, self.blocks = first, blocks

    @property
    def index(self) -> int:
        """As the bootloader counts apps: ota_0 is 0, factory -1."""
        return self.subtype - FIRST if self.subtype else -1

    def raw(self) -> bytes:
        """The line."""
        at, size, name = self.first * BLOCK, self.blocks * BLOCK, self.label.encode()
        return pack(TABLE_ENTRY, TABLE_MAGIC, self.kind, self.subtype, at, size, name, 0)


def laid(first: int, blocks: int, apps: "tuple[int, ...]") -> "list[Part]":
    """otadata, if an app is behind the factory's, and apps of those subtypes behind it."""
    found = []
    if any(apps):
        found.append(Part(DATA, OTADATA, first, 2, "otadata"))
        first += 2
    for subtype in apps:
        label = "ota_%d" % (subtype - FIRST) if subtype else "factory"
        found.append(Part(APP, subtype, first, blocks, label))
        first += blocks
    return found


def table(flash: "Any") -> "list[Part]":  # noqa: ANN401 - a block device
    """What the flash's partition table says."""
    found = []
    raw = bytearray(32)
    for number in range(95):
        flash.readblocks(TABLE // BLOCK, raw, 32 * number)
        magic, kind, subtype, at, size, label, _ = unpack(TABLE_ENTRY, raw)
        if magic != TABLE_MAGIC:
            break
        name = label.split(b"\0")[0].decode()
        found.append(Part(kind, subtype, at // BLOCK, size // BLOCK, name))
    return found


class Entry:
    """One sector of otadata."""

    def __init__(self, raw: bytes):
        self.sequence, _, self.state, crc = unpack(ENTRY, raw)
        dead = self.sequence == NOTHING or self.state in (INVALID, ABORTED)
        self.dead = dead  # bootloader_common_ota_select_invalid
        self.sound = self.sequence != NOTHING and crc == crc32(raw[:4], NOTHING)
        self.good = not dead and self.sound


class Chip:
    """A flash with those partitions, and what runs of them: an app's index."""

    def __init__(self, flash: "Any", parts: "list[Part]", kind: str = "esp32"):  # noqa: ANN401
        self.flash = flash
        self.kind = kind
        self.parts = parts
        self.apps = {part.index: part for part in parts if part.kind == APP}
        self.count = len([index for index in self.apps if index >= 0])
        found = [part.first for part in parts if (part.kind, part.subtype) == (DATA, OTADATA)]
        self._otadata = found[0] if found else -1
        self.running = 0
        self.refused = 0  # images that the bootloader did not take

    # The flash.

    def at(self, index: int) -> int:
        """The first block of an app."""
        return self.apps[index].first

    def read(self, block: int, room: "bytearray | memoryview", offset: int = 0) -> None:
        """Fill `room`."""
        self.flash.readblocks(block, room, offset)

    def program(self, block: int, data: bytes, offset: int) -> None:
        """Clear bits."""
        self.flash.writeblocks(block, data, offset)

    def erase(self, block: int) -> None:
        """All of it to 0xFF."""
        self.flash.ioctl(ERASE, block)

    def panic(self) -> None:
        """Writing to what runs (SPI_FLASH_WRITING_DANGEROUS_REGIONS_ABORTS, ESP-IDF's default)."""
        raise AssertionError("the chip aborts")

    # otadata.

    def entries(self) -> "list[Entry]":
        """Both sectors; none where there is no otadata."""
        found = []
        for sector in range(2) if self._otadata >= 0 else ():
            raw = bytearray(ENTRY_BYTES)
            self.read(self._otadata + sector, raw)
            found.append(Entry(bytes(raw)))
        return found

    def active(self) -> int:
        """The sector that counts, -1 where none does (bootloader_common_get_active_otadata)."""
        good = [sector for sector, entry in enumerate(self.entries()) if entry.good]
        if len(good) < 2:
            return good[0] if good else -1
        first, second = self.entries()
        return 0 if first.sequence >= second.sequence else 1

    def boots(self) -> int:
        """The app that otadata names, factory or else the first where it names none."""
        active = self.active()
        if active >= 0 and self.count:
            sequence: int = self.entries()[active].sequence
            return (sequence - 1) % self.count
        return -1 if -1 in self.apps else 0

    def write(self, sector: int, sequence: int, state: int) -> None:
        """Erased first: a power cut between leaves nothing of it."""
        crc = crc32(pack("<I", sequence), NOTHING)
        self.erase(self._otadata + sector)
        self.program(self._otadata + sector, pack(ENTRY, sequence, b"\xff" * 20, state, crc), 0)

    def set_boot(self, index: int) -> None:
        """esp_ota_set_boot_partition and esp_rewrite_ota_data."""
        if not self.whole(index):
            raise error("ESP_ERR_OTA_VALIDATE_FAILED")
        if self._otadata < 0:
            raise error("ESP_ERR_NOT_FOUND")
        if index < 0:
            for sector in range(2):
                self.erase(self._otadata + sector)
            return
        active = self.active()
        if active < 0:
            self.write(0, index + 1, NEW)
            return
        sequence, turn = self.entries()[active].sequence, 0
        while sequence > (index + 1) % self.count + turn * self.count:
            turn += 1
        self.write(active ^ 1, (index + 1) % self.count + turn * self.count, NEW)

    def settle(self) -> None:
        """esp_ota_mark_app_valid_cancel_rollback."""
        if self._otadata < 0:
            raise error("ESP_ERR_NOT_FOUND")
        active = self.active()
        if active < 0:
            raise error(FAIL)
        entry = self.entries()[active]
        if entry.state != VALID:
            self.write(active, entry.sequence, VALID)

    # The bootloader.

    def boot(self) -> None:
        """A reset: choose and check an image; OSError where the chip stays dark."""
        entries = self.entries()
        for sector, entry in enumerate(entries):
            if entry.state == PENDING:
                self.write(sector, entry.sequence, ABORTED)
        chosen, active = self.boots(), self.active()
        if active >= 0 and entries[active].state == NEW:
            self.write(active, entries[active].sequence, PENDING)
        initial = entries and -1 not in self.apps and not any([entry.sound for entry in entries])
        for index in list(range(chosen, -2, -1)) + list(range(chosen + 1, self.count)):
            if index not in self.apps:
                continue
            if self.whole(index):
                if initial and all([entry.dead for entry in entries]):
                    self.write(0, index + 1, VALID)  # set_actual_ota_seq
                self.running = index
                return
            self.refused += 1
        raise OSError(ENOENT)

    def whole(self, index: int) -> bool:
        """Is there a sound image?"""
        room = self.apps[index].blocks * BLOCK
        return app_image.whole(self._reads(index), room, self.kind)

    def describes(self, index: int) -> "tuple[str, str]":
        """Version and project of an image."""
        return app_image.described(self._reads(index))

    def _reads(self, index: int) -> "app_image.Read":
        first = self.apps[index].first
        return lambda at, room: self.read(first + at // BLOCK, room, at % BLOCK)
