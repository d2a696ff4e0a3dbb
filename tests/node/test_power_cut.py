"""The power goes at every single flash operation: old or new, nothing lost in silence.

One life is recorded; for each operation of it, and each way in which that one may be left, a node
restarts from what the flash then holds. Under MicroPython that is littlefs; NVS is modelled.
"""

import gc
import os

from node import lives
from node.nvs_pages import Nvs
from node.ram_flash import IMAGE_BYTES, TEARS, RamFlash, replay, tear
from node.torn_flash import TornFlash

try:
    import vfs
except ImportError:
    vfs = None

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
ROUNDS = 90 if NIGHTLY else 24
# Flashes used again and again, three a level: a heap in holes has no room for a new one each time.
POOL = [bytearray(IMAGE_BYTES) for _ in range(6)]


def life_on_littlefs() -> "tuple[bytes, list[object], list[int]]":
    """(flash before, operations, numbers given) of two boots."""
    flash = RamFlash()
    vfs.VfsLfs2.mkfs(flash)
    volume = Volume(flash)
    lives.commission(volume.nvs)
    before = bytes(flash.image)
    book = lives.Book()
    flash.note = book.page
    lives.live(volume.flash, volume.nvs, book, ROUNDS)
    lives.live(volume.flash, volume.nvs, book, 2)
    volume.close()
    return before, flash.log, book.given


class Volume:
    """A mounted littlefs with the folders of a node."""

    def __init__(self, device: RamFlash):
        from kerbnode.flash import Flash
        from kerbnode.hal.sim import Nvs

        vfs.mount(vfs.VfsLfs2(device), "/cut")
        for name in ("/cut/nvs", "/cut/flash"):
            try:
                os.mkdir(name)
            except OSError:
                pass
        self.nvs = Nvs("/cut/nvs")
        self.flash = Flash("/cut/flash")

    def close(self) -> None:
        vfs.umount("/cut")


def restarted(image: bytearray, given: "list[int]", page: "tuple[object, ...]") -> "list[object]":
    """Boot from that flash, check, and go on a little; the operations up to there."""
    device = RamFlash(image)
    device.note = nothing
    volume = Volume(device)
    try:
        journal = lives.check(volume.flash, volume.nvs, given, page, fresh=page[0] == 0)
        further = device.log[:]
        book = lives.Book()
        book.given = given[: page[0]]
        lives.append(journal, book)
        assert journal.flush()
    finally:
        volume.close()
    return further


def nothing() -> None:
    """A restart keeps no book of its own."""


def swept(before: bytes, log: "list[object]", given: "list[int]", again: int = 0) -> int:
    """Cut everywhere; how many restarts that made.

    Each `again`-th restart is cut in its turn, at each of its own operations.
    """
    image, left, used = POOL[3:6] if again else POOL[:3]
    image[:] = before
    cuts = 0
    for entry in log:
        page = entry[3]
        for how in TEARS:
            left[:] = image
            tear(left, entry, how)
            used[:] = left
            further = restarted(used, given, page)
            cuts += 1
            if again and cuts % again == 0:
                cuts += swept(left, [step[:3] + (page,) for step in further], given)
        replay(image, entry)
    return cuts


def life_on_nvs(boots: int) -> "tuple[bytearray, list[object]]":
    """(flash before, operations) of so many short boots, after some that fill the pages."""
    POOL[1][:] = b"\xff" * IMAGE_BYTES
    flash = RamFlash(POOL[1])
    nvs = Nvs(flash)
    lives.commission(nvs)
    book = lives.Book()
    for number in range(18 + boots):
        if number == 18:
            POOL[2][:] = flash.image
            before = POOL[2]
            flash.note = book.page
        lives.live(TornFlash(), Nvs(flash), book, 4)
        book.given = []  # the log is another sweep's
        book.durable = book.kept = 0
    return before, flash.log


def test_the_power_goes_at_every_operation_of_nvs() -> None:
    image, log = life_on_nvs(24 if NIGHTLY else 8)
    left = RamFlash(POOL[0])
    cuts = 0
    for entry in log:
        page = entry[3]
        for how in TEARS:
            left.image[:] = image
            tear(left.image, entry, how)
            lives.check_blobs(Nvs(left), dict(page[3]), page[4])
            if how or NIGHTLY:  # what was repaired is sound
                lives.check_blobs(Nvs(left), dict(page[3]), page[4])
            cuts += 1
        replay(image, entry)
    assert cuts > 1000
    assert len([entry for entry in log if not entry[2]]) >= 2, "no page was erased"
    print("restarts after a cut of NVS:", cuts)


if vfs is not None:

    def test_the_power_goes_at_every_operation_of_littlefs() -> None:
        before, log, given = life_on_littlefs()
        gc.collect()
        cuts = swept(before, log, given, again=1 if NIGHTLY else 50)
        assert cuts > 1000
        print("restarts after a cut:", cuts)
