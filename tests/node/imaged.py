"""A chip with two app partitions and NVS beside its littlefs: it starts as the real one does.

`Chip.start` runs the bootloader, then what a cable lays, as often as that restarts the chip.
"""

import sys

import vfs

import slots
from kerbnode import standing
from kerbnode.sim import app_image, partitions
from kerbnode.sim.chip.esp32 import Partition
from kerbwire import messages as m
from node import nvs_pages, release_key, updates
from node.ram_flash import BLOCK_BYTES, RamFlash

FILES = 40  # blocks of littlefs
APP = 2  # blocks of an app partition
NVS = FILES + 2 + 2 * APP  # its first block
IMAGE_BYTES = (NVS + nvs_pages.PAGES) * BLOCK_BYTES
OTA = (partitions.FIRST, partitions.FIRST + 1)
RESTARTS = 12  # without a build that runs: more is for ever


def image(name: str, size: int = 6000) -> bytes:
    """A MicroPython image that has a name for its version."""
    payload = bytes([n * 7 & 0xFF for n in range(size - app_image.DESCRIPTION)])
    return app_image.image(payload, name)


class Files:
    """The blocks of a flash that are littlefs's."""

    def __init__(self, flash: "RamFlash"):
        self.readblocks = flash.readblocks
        self.writeblocks = flash.writeblocks
        self._flash = flash

    def ioctl(self, op: int, argument: int) -> "int | None":
        return FILES if op == 4 else self._flash.ioctl(op, argument)


class Noted(nvs_pages.Nvs):
    """NVS that notes what is written."""

    def __init__(self, flash: "RamFlash", writes: "list[tuple[int, str, bytes]] | None"):
        nvs_pages.Nvs.__init__(self, flash, NVS)
        self._log = flash.log
        self._writes = writes
        self.highest = 0  # confirmed, durably

    def set(self, name: str, blob: bytes) -> None:
        """As always."""
        if self._writes is not None:
            self._writes.append((len(self._log), name, blob))
        nvs_pages.Nvs.set(self, name, blob)
        if name == "slots":
            self.highest = standing.unpack(standing.FORM, blob[:-4])[4]


class Chip:
    """Powered on: mounted, with its partitions; `with` takes it all down again."""

    def __init__(
        self,
        flash: "RamFlash",
        apps: "tuple[int, ...]" = OTA,
        writes: "list[tuple[int, str, bytes]] | None" = None,
    ):
        """`writes` is filled: of NVS, before which operation."""
        vfs.mount(vfs.VfsLfs2(Files(flash)), updates.HOME)
        slots.home = updates.HOME + "/"
        self.store = Noted(flash, writes)
        self.apps = partitions.Chip(flash, partitions.laid(FILES, APP, apps))
        Partition.chip = self.apps
        updates.Esp32.Partition = Partition
        sys.modules["esp32"] = updates.Esp32
        self.restarts = 0

    def __enter__(self) -> "Chip":
        return self

    def __exit__(self, *_: object) -> None:
        slots.home, slots.manifest, slots.slot, slots.trial = "/", b"", 255, False
        del sys.modules["esp32"]
        vfs.umount(updates.HOME)

    def start(self) -> "tuple[str, str]":
        """Power on: the build and the image that run in the end."""
        for _ in range(RESTARTS):
            self.restarts += 1
            self.apps.boot()
            if self.apps.describes(self.apps.running)[1] == app_image.PANICS:
                continue
            try:
                return updates.boot(self.store, vfs), self.runs()
            except updates.Power:
                pass
        raise AssertionError("it restarts for ever")

    def tells(self) -> "list[int]":
        """What a node that begins now tells of an update before."""
        node = updates.Served(self.store)
        standing.begin(node)
        return node.told

    def runs(self) -> str:
        """The image."""
        return self.apps.describes(self.apps.running)[0]


def laid(apps: "tuple[int, ...]" = OTA) -> "RamFlash":
    """A flash with build "old" and image "one" on it, as a cable lays them."""
    flash = RamFlash(bytearray(b"\xff" * IMAGE_BYTES))
    vfs.VfsLfs2.mkfs(Files(flash))
    one = image("one")
    with Chip(flash, apps) as chip:
        at = chip.apps.at(min(chip.apps.apps)) * BLOCK_BYTES
        flash.image[at : at + len(one)] = one
        updates.lay(chip.store, "old", 2)
    return flash


class Release:
    """A release, with an image or without."""

    def __init__(self, sequence: int, name: str, image_name: "str | bytes | None", size: int = 300):
        """`image_name`: or the image itself."""
        content = updates.files(name, size)
        self.name = name
        self.image = image(image_name) if isinstance(image_name, str) else image_name
        self.data = release_key.build(sequence, content, image=self.image)
        self.signed = release_key.signed(self.data)
        self.parts = release_key.whole(self.data, content, (updates.COMMON,))

    def bring(self, node: "updates.Served", blocks: int = 1 << 30) -> int:
        """What a gateway does until all is staged, or refused; how many blocks of an image went."""
        sent = 0
        node.given(m.OBJECT_UPDATE, self.signed)
        if node.told[-1] == m.UPDATE_TAKEN:
            node.given(m.OBJECT_PARTS, self.parts, handle=4)
        if node.told[-1] == m.UPDATE_IMAGE:
            sent = node.given(m.OBJECT_IMAGE, self.image, handle=5, blocks=blocks)
        return sent
