"""A node's life with updates on a whole flash, littlefs and NVS, and what holds after a cut in it.

`Life` keeps book of what may run, of what was confirmed, of the root and of the outcome that the
gateway has not been told, at each operation; `check` holds a restarted node to it.
"""

from struct import unpack

import vfs

import slots
from kerbnode import nvs, standing, trial
from kerbwire import messages as m
from node import nvs_pages, release_key, updates
from node.ram_flash import BLOCK_BYTES, RamFlash

FILES = 48  # blocks of littlefs
IMAGE_BYTES = (FILES + nvs_pages.PAGES) * BLOCK_BYTES
NONE = 255
SEEDS = release_key.SEED, b"a next key", b"the next key of a bad one"
ROOTS = tuple([release_key.public(seed) for seed in SEEDS])
# What else a node has in NVS, with the radio's calibration that the image puts there.
OTHERS = (("settings", 300), ("settings_was", 300), ("config", 120), ("key", 24), ("boot", 8),
          ("identity", 19), ("identity_was", 19), ("command", 8), ("rate", 8))  # fmt: skip


class Files:
    """The blocks of a flash that are littlefs's."""

    def __init__(self, flash: RamFlash):
        self.readblocks = flash.readblocks
        self.writeblocks = flash.writeblocks
        self._flash = flash

    def ioctl(self, op: int, argument: int) -> "int | None":
        return FILES if op == 4 else self._flash.ioctl(op, argument)


class Volume:
    """A started chip: mounted, and its NVS repaired."""

    def __init__(self, device: RamFlash, life: "Life | None" = None):
        self.store = nvs_pages.Nvs(device, FILES) if life is None else Kept(device, life)
        vfs.mount(vfs.VfsLfs2(Files(device)), updates.HOME)
        slots.home = updates.HOME + "/"

    def __enter__(self) -> "nvs_pages.Nvs":
        return self.store

    def __exit__(self, *_: object) -> None:
        slots.home, slots.manifest, slots.slot, slots.trial = "/", b"", 255, False
        vfs.umount(updates.HOME)


class Life:
    """What may be at a moment: noted with each operation."""

    def __init__(self, flash: RamFlash):
        self.flash = flash
        self.builds = ("old",)
        self.roots = (ROOTS[0],)
        self.highest = 2
        self.owed = NONE
        self.writes: list[tuple[int, str, bytes]] = []  # of NVS: before which operation

    def note(self) -> "tuple[tuple[str, ...], tuple[bytes, ...], int, int]":
        said = updates.heard if self.owed == m.UPDATE_CUT else self.owed in updates.heard
        owed = NONE if said else self.owed
        return self.builds, self.roots, self.highest, owed

    def begins(self, name: str, blob: bytes) -> None:
        """NVS is written."""
        self.writes.append((len(self.flash.log), name, blob))
        if name == "root":
            self.roots += (blob[:-4],)

    def ended(self, name: str, blob: bytes) -> None:
        """It is durable."""
        if name == "root":
            self.roots = (blob[:-4],)
        if name == "slots":
            _, _, _, _, highest, told = unpack(standing.FORM, blob[:-4])
            assert highest >= self.highest, "the confirmed sequence fell"
            judged = self.owed == m.UPDATE_CUT and (told != NONE or bool(updates.heard))
            assert judged or self.owed in (NONE, told) or self.owed in updates.heard, "never told"
            self.highest, self.owed = highest, told
            updates.heard.clear()


class Kept(nvs_pages.Nvs):
    """NVS of which a life keeps book."""

    def __init__(self, flash: RamFlash, life: Life):
        nvs_pages.Nvs.__init__(self, flash, FILES)
        self._life = life

    def set(self, name: str, blob: bytes) -> None:
        self._life.begins(name, blob)
        nvs_pages.Nvs.set(self, name, blob)
        self._life.ended(name, blob)


class Release:
    """A release, its parts, and its signature by either root."""

    def __init__(self, sequence: int, name: str, size: int, next_root: bytes = b""):
        content = updates.files(name, size)
        self.data = release_key.build(sequence, content, next_root=next_root)
        self._signed = [release_key.signed(self.data, seed) for seed in SEEDS]
        self.parts = release_key.whole(self.data, content, (updates.COMMON,))

    def by(self, root: bytes) -> bytes:
        """Signed for that root."""
        return self._signed[ROOTS.index(root)]


def bring(store: "nvs_pages.Nvs", release: Release) -> None:
    """The gateway brings it."""
    node = updates.Served(store)
    node.given(m.OBJECT_UPDATE, release.by(nvs.get_checked(store, "root")))
    node.given(m.OBJECT_PARTS, release.parts, handle=4)
    assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED], node.told


def laid(flash: RamFlash) -> RamFlash:
    """As a cable leaves a node: build "old" of sequence 2, and NVS as a node's is."""
    vfs.VfsLfs2.mkfs(Files(flash))
    nvs_pages.Nvs(flash, FILES, "phy").set("cal_data", bytes(1904))
    with Volume(flash) as store:
        for name, count in OTHERS:
            store.set(name, bytes(count))
        updates.lay(store, "old", 2)
    return flash


def recorded(size: int) -> "tuple[bytes, list[object], Life]":
    """(flash before, operations, book) of a life; `size` is that of the file which changes most."""
    flash = laid(RamFlash(bytearray(b"\xff" * IMAGE_BYTES)))
    before = bytes(flash.image)
    life = Life(flash)
    flash.note = life.note
    live(life, size)
    return before, flash.log, life


def live(life: Life, size: int) -> None:
    """A release is tried, confirmed with a new root, ordered back; a bad one is tried and left."""
    updates.heard.clear()
    with Volume(life.flash, life) as store:
        assert updates.boot(store, vfs) == "old"
        bring(store, Release(5, "new", size, ROOTS[1]))
        life.builds = ("old", "new")
        assert trial.activate(updates.Served(store))
        assert updates.boot(store, vfs) == "new"
        tick()
        node = updates.Served(store)
        standing.begin(node)
        updates.acked(node)
        life.builds = ("new",)
        assert life.roots == (ROOTS[1],) and life.highest == 5
        assert updates.boot(store, vfs) == "new"
        life.builds = ("new", "old")
        assert trial.go_back(updates.Served(store))
        life.builds = ("old",)
        assert updates.boot(store, vfs) == "old"
        standing.begin(updates.Served(store))
        bring(store, Release(6, "bad", size, ROOTS[2]))
        life.builds = ("old", "bad")
        assert trial.activate(updates.Served(store))
        assert [updates.boot(store, vfs) for _ in range(4)] == ["bad"] * 3 + ["old"]
        life.builds = ("old",)
        standing.begin(updates.Served(store))
        assert life.roots == (ROOTS[1],) and life.highest == 5 and life.owed == NONE


def tick() -> None:
    """The trial's timer comes."""
    updates.Timer.made[-1].callback(updates.Timer.made[-1])


def check(
    image: bytearray, note: "tuple[object, ...]", last: "Release | None" = None
) -> "list[tuple[int, int, bytes, object]]":
    """Start from that flash; serve it then, if there is a release to serve.

    What the start wrote, each operation with what holds where the power goes once more.
    """
    builds, roots, highest, owed = note
    flash = RamFlash(image)
    again = builds, ROOTS if "new" in builds else roots, highest, NONE
    flash.note = lambda: again
    with Volume(flash) as store:
        name = updates.boot(store, vfs)
        assert name in builds, "{} of {}".format(name, builds)
        assert nvs.get_checked(store, "root") in roots, "the root"
        node = updates.Served(store)
        standing.begin(node)
        assert owed == NONE or node.told, "never told"
        state = standing.State(store)
        assert state.highest >= highest, "{} after {}".format(state.highest, highest)
        assert state.told == NONE
        root = nvs.get_checked(store, "root")
        if name == "new" and not slots.trial:
            assert root == ROOTS[1], "it names the next root"
        own = len(flash.log)
        if last is not None:
            assert updates.serve(store, vfs, (last.by, last.parts)) == "last"
            assert updates.boot(store, vfs) == "last" and not slots.trial
            assert standing.State(store).highest == 7
            assert nvs.get_checked(store, "root") in ROOTS
    return flash.log[:own]


def worn(image: bytearray, first: int, left: int, *, oldest: bool) -> RamFlash:
    """That flash with its NVS, from block `first` on, worn in: one page is free.

    `left` entries are on the page that is written. What an update needs lies on the page that goes
    next: the `oldest` one, or the one that is written.
    """
    found = nvs_pages.Nvs(RamFlash(image), first)
    blobs = [(name, found.get(name)) for name in ("slots", "root", "image")]
    blobs = [(name, blob) for name, blob in blobs if blob is not None]
    flash = RamFlash(bytearray(image))
    at, size = first * BLOCK_BYTES, nvs_pages.PAGES * BLOCK_BYTES
    flash.image[at : at + size] = b"\xff" * size
    store = nvs_pages.Nvs(flash, first)
    for name, blob in blobs if oldest else ():
        store.set(name, blob)
    count, pages = 0, store.free + (not oldest)
    while store.free > 1 or (oldest and pages > 1):
        if store.free < pages:
            pages = store.free
            for number in range(5):  # a page that has more that lives
                store.set("own%d.%d" % (pages, number), bytes((number,)) * 60)
        count += 1
        store.set("totals", b"%03d" % count * 100)
    for name, blob in () if oldest else blobs:
        store.set(name, blob)
    while store.left != left:
        count += 1
        entries = min(10, store.left - left - 2)
        if 0 < store.left - left - 2 - entries < 3:
            entries -= 3
        store.set("totals", bytes((count & 255,)) * (entries * nvs_pages.ENTRY_BYTES))
    assert store.free == 1
    return flash


def turning(
    image: bytearray, first: int, kind: int, name: str, blob: bytes
) -> "tuple[bytes, list[tuple[int, int, bytes]]]":
    """(flash before, operations) of that write of NVS, as the last one of its page.

    `kind` 0: that is full after its data; 1: before; 2, 3: as these, and the oldest page goes.
    """
    room = 1 + -(-len(blob) // nvs_pages.ENTRY_BYTES)  # of its data
    flash = worn(image, first, room - kind % 2, oldest=kind > 1)
    before = bytes(flash.image)
    flash.note = int
    nvs_pages.Nvs(flash, first).set(name, blob)
    log = [entry[:3] for entry in flash.log]
    gone = [entry[1] // BLOCK_BYTES for entry in log if not entry[2]]
    was = nvs_pages.Nvs(RamFlash(bytearray(before)), first).where("slots")
    assert gone == [was[0][0] // BLOCK_BYTES], "another page was erased"
    return before, log
