"""What befalls NVS beside an update: full, worn, noise in it, another firmware's, not there at all.

A build runs whole each time, and what was confirmed does not fall. For MicroPython alone; NVS is
the model of its pages, with what the IDF gets wrong.
"""

import os
from binascii import crc32
from struct import pack, unpack

import slots
from node.ram_flash import BLOCK_BYTES, RamFlash, replay

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    import choice
    from kerbnode import nvs, orders, standing, trial
    from kerbwire import messages as m
    from node import imaged, nvs_pages, updates
    from node import update_life as lives

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
FAIL_EACH = 1 if NIGHTLY else 13  # operations of NVS, of which one fails
NOISE_EACH = 1 if NIGHTLY else 7  # bytes of it, of which one is noise
NOT_INITIALIZED = -0x1101
SIZE = 300


class Worn(RamFlash):
    """Operations of NVS that fail: so many, from one on."""

    def __init__(self, image: bytearray, first: int, count: int):
        RamFlash.__init__(self, image)
        self.done = 0
        self._first, self._count = first, count

    def begin(self, count: int) -> None:
        """From here on so many."""
        self._first, self._count = self.done, count

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        self._try(block)
        RamFlash.writeblocks(self, block, buffer, offset)

    def ioctl(self, op: int, argument: int) -> "int | None":
        if op == 6:
            self._try(argument)
        return RamFlash.ioctl(self, op, argument)

    def _try(self, block: int) -> None:
        if block >= lives.FILES:
            self.done += 1
            if 0 < self.done - self._first <= self._count:
                raise OSError(5, "worn")


def moments() -> "list[tuple[bytes, tuple[str, ...], int]]":
    """(flash, what may run, highest confirmed): a release staged; confirmed; back; one on trial."""
    flash = lives.laid(RamFlash(bytearray(b"\xff" * lives.IMAGE_BYTES)))
    found = []
    with lives.Volume(flash) as store:
        assert updates.boot(store, vfs) == "old"
        lives.bring(store, lives.Release(5, "new", SIZE, lives.ROOTS[1]))
        found.append((bytes(flash.image), ("old",), 2))
        assert trial.activate(updates.Served(store)) and updates.boot(store, vfs) == "new"
        updates.acked(updates.Served(store))
        found.append((bytes(flash.image), ("new", "old"), 5))
        assert trial.go_back(updates.Served(store)) and updates.boot(store, vfs) == "old"
        standing.begin(updates.Served(store))
        found.append((bytes(flash.image), ("old", "new"), 5))
        lives.bring(store, lives.Release(6, "bad", SIZE))
        assert trial.activate(updates.Served(store)) and updates.boot(store, vfs) == "bad"
        found.append((bytes(flash.image), ("bad", "old"), 5))
    return found


def held(store: "nvs_pages.Nvs", builds: "tuple[str, ...]", highest: int) -> bool:
    """One of these runs, and takes nothing that was there before; does it have a root?"""
    assert updates.boot(store, vfs) in builds
    assert standing.State(store).highest >= highest
    return nvs.get_checked(store, "root") in lives.ROOTS


def test_a_write_of_nvs_that_fails_leaves_a_whole_build() -> None:
    """Once, or from then on. The chip restarts, NVS is well, and another update goes through."""
    laid = bytes(lives.laid(RamFlash(bytearray(b"\xff" * lives.IMAGE_BYTES))).image)
    last = lives.Release(7, "last", SIZE)
    failed = 0
    for count in (1, 1 << 20):
        place = 0
        while True:
            flash = Worn(bytearray(laid), place, count)
            life = lives.Life(flash)
            try:
                lives.live(life, SIZE)
            except (OSError, AssertionError, ValueError, updates.Power):
                pass  # orders fail, a release is not taken, a trial restarts the chip
            if flash.done <= place:
                break
            failed += 1
            lives.check(bytearray(flash.image), life.note(), last)
            place += FAIL_EACH
    print("lives with a write of NVS that fails:", failed)
    assert failed > 200 // FAIL_EACH


def test_a_trial_whose_count_nvs_does_not_take_waits_for_a_start_that_can() -> None:
    flash = Worn(bytearray(moments()[0][0]), 1 << 30, 1)
    with lives.Volume(flash) as store:
        assert updates.boot(store, vfs) == "old" and trial.activate(updates.Served(store))
        flash.begin(1)
        assert updates.boot(store, vfs) == "old" and not slots.trial, "it might go on for ever"
    with lives.Volume(flash) as store:
        assert [updates.boot(store, vfs) for _ in range(4)] == ["new"] * 3 + ["old"]
        assert held(store, ("old",), 2)


def test_a_full_nvs_refuses_an_order_and_loses_nothing() -> None:
    staged = moments()[0][0]
    codes = []
    for place in (0, -1):
        for freed in range(4):
            flash = RamFlash(bytearray(staged))
            with lives.Volume(flash) as store:
                assert updates.boot(store, vfs) == "old"
                fill(flash, freed, place)
            with lives.Volume(flash) as store:
                assert held(store, ("old",), 2)
                before = store.get("slots")
                for _ in range(3):  # the gateway says it again
                    node = updates.Served(store)
                    code = orders.obey(node, m.OP_ACTIVATE, ())
                    assert (code == m.OK) == node.leaving
                codes.append(code)
            with lives.Volume(flash) as store:
                assert held(store, ("new",) if code == m.OK else ("old",), 2)
                assert code == m.OK or store.get("slots") == before
    assert m.FAILED in codes and m.OK in codes, codes


def fill(flash: RamFlash, freed: int, place: int) -> None:
    """Another namespace takes all of NVS, and gives so many blobs back: its first or last ones."""
    other = nvs_pages.Nvs(flash, lives.FILES, "other")
    names = []
    for size in (3000, 300, 32, 1):
        while True:
            try:
                other.set("n%d" % len(names), bytes(size))
            except OSError:
                break
            names.append("n%d" % len(names))
    for _ in range(freed):
        other.erase(names.pop(place))


def test_noise_in_nvs_costs_a_blob_at_most() -> None:
    """Of each byte in turn, while the power is off: heads of pages, bitmaps, an update's blobs."""
    noisy = without = 0
    for image, builds, highest in moments():
        store = nvs_pages.Nvs(RamFlash(bytearray(image)), lives.FILES)
        spans = [span for name in ("slots", "root") for span in store.where(name)]
        spans += [(at - at % BLOCK_BYTES, nvs_pages.FIRST_AT) for at, _ in spans]
        for start, size in spans:
            for at in range(start, start + size):
                if at % NOISE_EACH == 0:
                    for flip in (0x01, 0x80, image[at] or 0x10):  # the last one clears it
                        left = bytearray(image)
                        left[at] ^= flip
                        with lives.Volume(RamFlash(left)) as store:
                            without += not held(store, builds, highest)
                        noisy += 1
    print("noise in NVS:", noisy, "of which the root was lost in", without)
    assert noisy > 4000 // NOISE_EACH and 0 < without < noisy


def test_a_page_whose_erase_has_only_begun_costs_blobs_at_most() -> None:
    """Some bits are erased, the page's head perhaps not: the IDF copies what is left of it again.

    What no model of half an erase in order shows, and what only NVS itself could mend.
    """
    random = Noise()
    counts = {"whole": 0, "without a root": 0, "erased by the image": 0}
    for image, builds, highest in moments():
        slots_blob = nvs_pages.Nvs(RamFlash(bytearray(image)), lives.FILES).get("slots")
        body = slots_blob[:3] + bytes((slots_blob[3] + 1,)) + slots_blob[4:-4]
        blob = body + pack("<I", crc32(body))
        for kind in (2, 3):
            worn, steps = lives.turning(bytearray(image), lives.FILES, kind, "slots", blob)
            flash = bytearray(worn)
            erase = next(step for step in steps if not step[2])
            for step in steps[: steps.index(erase)]:
                replay(flash, step + (None,))
            for bits in (3, 10, 100, 1000) * (50 if NIGHTLY else 5):
                left = bytearray(flash)
                for _ in range(bits):
                    left[erase[1] + random.below(BLOCK_BYTES)] |= 1 << random.below(8)
                counts[fate(left, builds, highest)] += 1
    print("erases that had only begun:", counts)
    assert sum(counts.values()) == 160 * (10 if NIGHTLY else 1)
    assert counts["whole"] > counts["without a root"] > counts["erased by the image"]


class Noise:
    """Numbers that are the same each time."""

    def __init__(self) -> None:
        self._state = 1

    def below(self, end: int) -> int:
        self._state = (self._state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return (self._state >> 8) % end


def fate(image: bytearray, builds: "tuple[str, ...]", highest: int) -> str:
    """What became of NVS; one build runs, and takes nothing older."""
    what = ""
    try:
        nvs_pages.Nvs(RamFlash(bytearray(image)), lives.FILES)
    except OSError as fault:
        assert fault.errno == nvs_pages.NO_FREE_PAGES
        image[lives.FILES * BLOCK_BYTES :] = b"\xff" * (nvs_pages.PAGES * BLOCK_BYTES)
        what = "erased by the image"
    with lives.Volume(RamFlash(image)) as store:
        has_root = held(store, builds, highest)
    return what or ("whole" if has_root else "without a root")


def test_blobs_of_another_firmware_are_not_taken_for_ours() -> None:
    for image, builds, highest in moments():
        for size in (0, 5, 8, 13, 20, 200, 900):
            for name in ("slots", "image"):
                flash = RamFlash(bytearray(image))
                with lives.Volume(flash) as store:
                    body = bytes(size)
                    store.set(name, body + pack("<I", crc32(body) ^ (size == 13)))
                    store.set("ota_state", b"not ours")
                with lives.Volume(flash) as store:
                    assert held(store, builds, highest)


def test_slot_and_image_fit_where_one_blob_is_lost() -> None:
    """Without `slots` they do; without `image` a build runs on the image that there is."""
    old, new = ("old", "one"), ("new", "two")
    flash = imaged.laid()
    lives_with_images = []
    with imaged.Chip(flash) as chip:
        assert chip.start() == old
        imaged.Release(5, "new", "two").bring(updates.Served(chip.store))
        assert trial.activate(updates.Served(chip.store)) and chip.start() == new
        lives_with_images.append((bytes(flash.image), 2))
        updates.acked(updates.Served(chip.store))
        lives_with_images.append((bytes(flash.image), 5))
        assert trial.go_back(updates.Served(chip.store))
        lives_with_images.append((bytes(flash.image), 5))
        assert chip.start() == old
        lives_with_images.append((bytes(flash.image), 5))
    last = imaged.Release(7, "last", "four")
    for image, highest in lives_with_images:
        for lost in ("slots", "image"):
            flash = RamFlash(bytearray(image))
            nvs_pages.Nvs(flash, imaged.NVS).erase(lost)
            with imaged.Chip(flash) as chip:
                found = chip.start()
                assert found in (old, new) or (lost == "image" and found[0] in ("old", "new"))
                assert standing.State(chip.store).highest >= highest
                while slots.trial:
                    found = chip.start()
                last.bring(updates.Served(chip.store))
                assert trial.activate(updates.Served(chip.store))
                assert chip.start() == ("last", "four"), "all is well again"


def test_an_nvs_that_was_erased_runs_what_was_good_and_takes_nothing_older() -> None:
    """The image erases it where the IDF finds no free page, or a newer format."""
    for image, builds, highest in moments():
        left = bytearray(image)
        left[lives.FILES * BLOCK_BYTES :] = b"\xff" * (nvs_pages.PAGES * BLOCK_BYTES)
        with lives.Volume(RamFlash(left)) as store:
            assert updates.boot(store, vfs) == "old" and "old" in builds
            assert standing.State(store).highest >= highest
            node = updates.Served(store)
            standing.begin(node)
            node.given(m.OBJECT_UPDATE, lives.Release(9, "last", SIZE).by(lives.ROOTS[0]))
            assert node.told == [m.UPDATE_NO_ROOT]


def test_an_nvs_that_does_not_start_is_locked_and_tried_again() -> None:
    import sys

    import main

    class Dead:
        @staticmethod
        def NVS(namespace: str) -> None:  # noqa: N802 - the chip's name
            raise OSError(NOT_INITIALIZED, "ESP_ERR_NVS_NOT_INITIALIZED")

    before = {name: sys.modules.get(name) for name in ("esp32", "machine")}
    sys.modules["esp32"], sys.modules["machine"] = Dead, updates.Machine
    try:
        assert main.locked(), "nobody gets a prompt for it"
        try:
            choice.main()
            raise AssertionError("it chose a build")
        except OSError as fault:  # upon which main.py restarts the chip in 10 s
            assert fault.errno == NOT_INITIALIZED
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def test_an_outcome_that_flash_does_not_take_is_told_again() -> None:
    flash = RamFlash(bytearray(moments()[0][0]))
    with lives.Volume(flash) as store:
        assert updates.boot(store, vfs) == "old" and trial.activate(updates.Served(store))
        assert updates.boot(store, vfs) == "new"
        for flushed in (False, False, True, True):
            node = updates.Served(store)
            node.journal.flush = lambda done=flushed: done
            if slots.trial:
                updates.acked(node)
            else:
                standing.begin(node)
            told = unpack(standing.FORM, nvs.get_checked(store, "slots"))[5]
            assert told == (lives.NONE if flushed else m.UPDATE_CONFIRMED)
        assert node.told == []
