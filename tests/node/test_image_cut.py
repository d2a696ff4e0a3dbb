"""The power goes at every flash operation of an update with an image: slot and image fit.

As test_update_cut, with the app partitions and otadata in the same flash: what the bootloader
erases and writes is cut too. After every cut the chip comes up with one build whole and with the
image that this build is for; some are then served until they run the last release, on its image.
"""

import gc
import os

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import standing, trial
    from kerbwire import messages as m
    from node import imaged, updates
    from node import update_life as lives
    from node.ram_flash import TEARS, replay, tear

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
CUT_EACH = 1 if NIGHTLY else 7  # operations, of which one is cut
SERVE_EACH = 1 if NIGHTLY else 4  # restarts, of which one is served to the end
OLD, NEW, BAD = ("old", "one"), ("new", "two"), ("bad", "three")


def bring(chip: "imaged.Chip", release: "imaged.Release") -> None:
    """The gateway brings it."""
    node = updates.Served(chip.store)
    release.bring(node)
    assert node.told[-1] == m.UPDATE_STAGED, node.told


def recorded() -> "tuple[bytes, list[object], list[tuple[int, str, bytes]]]":
    """(flash before, operations, writes of NVS) of a life.

    One is tried, confirmed, ordered back; another one tried and left.
    """
    flash = imaged.laid()
    before = bytes(flash.image)
    allowed = [(OLD,)]
    writes: list[tuple[int, str, bytes]] = []
    with imaged.Chip(flash, writes=writes) as chip:
        flash.note = lambda: (allowed[0], chip.store.highest)
        assert chip.start() == OLD
        bring(chip, imaged.Release(5, "new", "two"))
        allowed[0] = (OLD, NEW)
        assert trial.activate(updates.Served(chip.store))
        assert chip.start() == NEW
        node = updates.Served(chip.store)
        standing.begin(node)
        updates.acked(node)
        allowed[0] = (NEW,)
        assert chip.start() == NEW
        allowed[0] = (NEW, OLD)
        assert trial.go_back(updates.Served(chip.store))
        allowed[0] = (OLD,)
        assert chip.start() == OLD
        standing.begin(updates.Served(chip.store))
        bring(chip, imaged.Release(6, "bad", "three"))
        allowed[0] = (OLD, BAD)
        assert trial.activate(updates.Served(chip.store))
        assert [chip.start() for _ in range(4)] == [BAD] * 3 + [OLD]
        allowed[0] = (OLD,)
        standing.begin(updates.Served(chip.store))
        assert chip.start() == OLD
    return before, flash.log, writes


def restarted(
    image: bytearray, note: "tuple[tuple[object, ...], int]", last: "imaged.Release | None"
) -> None:
    """Start from that flash; serve it then, if there is a release to serve."""
    allowed, highest = note
    with imaged.Chip(imaged.RamFlash(image)) as chip:
        found = chip.start()
        assert found in allowed, "{} of {}".format(found, allowed)
        assert standing.State(chip.store).highest >= highest, "the confirmed sequence fell"
        if last is None:
            return
        for _ in range(6):
            node = updates.Served(chip.store)
            standing.begin(node)
            updates.acked(node)
            if slots_are(last):
                assert chip.start() == ("last", "four")
                return
            last.bring(node)
            assert node.told[-1] == m.UPDATE_STAGED, node.told
            assert trial.activate(node)
            chip.start()
        raise AssertionError("never confirmed")


def slots_are(release: "imaged.Release") -> bool:
    """Is it what runs?"""
    import slots

    return slots.manifest == release.data and not slots.trial


def test_the_power_goes_at_every_operation_of_an_update_with_an_image() -> None:
    before, log, _ = recorded()
    last = imaged.Release(7, "last", "four")
    image, left = bytearray(before), bytearray(len(before))
    gc.collect()
    cuts = served = 0
    for number, entry in enumerate(log):
        if number % CUT_EACH == 0:
            for how in TEARS:
                left[:] = image
                tear(left, entry, how)
                serves = cuts % SERVE_EACH == 0
                restarted(left, entry[3], last if serves else None)
                served += serves
                cuts += 1
        replay(image, entry)
    print("operations", len(log), "restarts", cuts, "served to the end", served)
    assert len(log) > 380 and cuts >= len(log) // CUT_EACH * len(TEARS)


def test_the_power_goes_while_what_says_which_image_turns_a_page_of_nvs() -> None:
    """As in test_update_cut, with the blob `image` beside `slots`."""
    before, log, writes = recorded()
    image = bytearray(before)
    done = cuts = operations = 0
    for number, (at, name, blob) in enumerate(writes):
        for entry in log[done:at]:
            replay(image, entry)
        done = at
        for kind in range(4) if NIGHTLY else (number % 4,):
            worn, steps = lives.turning(image, imaged.NVS, kind, name, blob)
            left, torn = bytearray(worn), bytearray(len(worn))
            for place, step in enumerate(steps):
                if (place + number) % CUT_EACH == 0:
                    for how in TEARS if NIGHTLY else TEARS[place % len(TEARS) :][:1]:
                        torn[:] = left
                        tear(torn, step + (None,), how)
                        restarted(torn, log[at][3], None)
                        cuts += 1
                replay(left, step)
            operations += len(steps)
    names = [name for _, name, _ in writes]
    print("writes of `image`", names.count("image"), "operations", operations, "restarts", cuts)
    assert names.count("image") >= 8 and cuts >= operations // CUT_EACH - len(writes)
