"""Images and boards that are not as they should be: a build runs with its image, or the one before.

For MicroPython alone, as test_image.
"""

import os

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import trial
    from kerbnode.sim import app_image, partitions
    from kerbnode.sim.partitions import ABORTED, FACTORY, FIRST, INVALID, NEW, PENDING, VALID
    from kerbwire import messages as m
    from node import imaged, updates
    from node.ram_flash import BLOCK_BYTES

    EACH = 1 if os.getenv("KERBLINE_NIGHTLY") else 11  # pairs of sectors, of which one is tried
    ROOM = imaged.APP * BLOCK_BYTES


def taken(chip: "imaged.Chip", release: "imaged.Release") -> None:
    """Brought, tried and confirmed."""
    node = updates.Served(chip.store)
    release.bring(node)
    assert node.told[-1] == m.UPDATE_STAGED, node.told
    assert trial.activate(node)
    chip.start()
    updates.acked(updates.Served(chip.store))


def refused(chip: "imaged.Chip", release: "imaged.Release") -> "list[int]":
    """What the node tells of a release that it does not take."""
    before = bytes(chip.apps.flash.image)
    node = updates.Served(chip.store)
    assert release.bring(node) == 0
    at, end = chip.apps.at(min(chip.apps.apps)) * BLOCK_BYTES, imaged.NVS * BLOCK_BYTES
    assert chip.apps.flash.image[at:end] == before[at:end], "it wrote to an app partition"
    return node.told


def test_the_partition_that_runs_is_no_place_for_an_image() -> None:
    with imaged.Chip(imaged.laid((FIRST,)), (FIRST,)) as chip:
        assert chip.start() == ("old", "one")
        assert refused(chip, imaged.Release(5, "new", "two")) == [m.UPDATE_NO_OTA]
        taken(chip, imaged.Release(6, "new", "one"))
        assert chip.start() == ("new", "one")


def test_a_factory_image_and_one_place_take_one_image() -> None:
    both = FACTORY, FIRST
    with imaged.Chip(imaged.laid(both), both) as chip:
        assert chip.start() == ("old", "one")
        taken(chip, imaged.Release(5, "new", "two"))
        assert chip.start() == ("new", "two")
        assert refused(chip, imaged.Release(6, "next", "three")) == [m.UPDATE_NO_OTA]
        assert trial.go_back(updates.Served(chip.store))
        assert [chip.start() for _ in range(3)] == [("old", "one")] * 3


def test_a_release_that_does_not_come_up_goes_back_to_a_factory_image() -> None:
    both = FACTORY, FIRST
    with imaged.Chip(imaged.laid(both), both) as chip:
        chip.start()
        node = updates.Served(chip.store)
        imaged.Release(5, "new", "two").bring(node)
        assert trial.activate(node)
        assert [chip.start() for _ in range(4)] == [("new", "two")] * 3 + [("old", "one")]
        assert chip.tells() == [m.UPDATE_BOOTS_FAILED]


def unsound() -> "list[tuple[str, bytes]]":
    """Images that a release can name and no bootloader starts."""
    good = imaged.image("two")
    flipped = bytearray(good)
    flipped[1000] ^= 4
    header = bytearray(good)
    header[12] = app_image.CHIPS["esp32c3"]
    return [
        ("of another chip", app_image.image(bytes(5000), "two", chip="esp32s3")),
        ("of another chip by its header", bytes(header)),
        ("cut", good[:-500]),
        ("with a bit flipped", bytes(flipped)),
        ("no image", b"\x00" + good[1:]),
        ("of 17 segments", good[:1] + b"\x11" + good[2:]),
    ]


def test_an_image_that_no_bootloader_starts_ends_its_trial_at_the_first_boot() -> None:
    for what, content in unsound():
        with imaged.Chip(imaged.laid()) as chip:
            chip.start()
            node = updates.Served(chip.store)
            imaged.Release(5, "new", content).bring(node)
            assert node.told[-1] == m.UPDATE_STAGED, (what, node.told)
            assert trial.activate(node)
            before = chip.restarts
            assert chip.start() == ("old", "one"), what
            assert chip.restarts == before + 2, what
            assert chip.tells() == [m.UPDATE_BOOTS_FAILED], what
            assert chip.start() == ("old", "one"), what
            taken(chip, imaged.Release(6, "last", "three"))
            assert chip.start() == ("last", "three"), what


def test_an_image_that_crashes_before_anything_runs_is_started_three_times() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        imaged.Release(5, "new", app_image.image(bytes(999), "two", app_image.PANICS)).bring(node)
        assert trial.activate(node)
        before = chip.restarts
        assert chip.start() == ("old", "one")
        assert chip.restarts == before + 7, "each of three starts after one of the old image"
        assert chip.tells() == [m.UPDATE_BOOTS_FAILED]
        assert chip.start() == ("old", "one")


def test_an_image_that_crashes_between_starts_is_started_three_times_in_all() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        good = imaged.image("two")
        imaged.Release(5, "new", good).bring(node)
        assert trial.activate(node)
        assert chip.start() == ("new", "two")
        panics = app_image.image(bytes(999), "two", app_image.PANICS)
        at = chip.apps.at(1) * BLOCK_BYTES
        chip.apps.flash.image[at : at + len(panics)] = panics
        before = chip.restarts
        assert chip.start() == ("old", "one")
        assert chip.restarts == before + 5


def test_an_image_may_fill_its_partition_and_not_one_byte_more() -> None:
    full = b""
    for size in range(ROOM - 2 * app_image.DESCRIPTION, ROOM):
        full = app_image.image(bytes(size - app_image.DESCRIPTION), "full")
        if len(full) == ROOM:
            break
    assert len(full) == ROOM
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert refused(chip, imaged.Release(5, "new", full + b"\xff")) == [m.UPDATE_NO_ROOM]
        taken(chip, imaged.Release(6, "new", full))
        assert chip.start() == ("new", "full")


def test_an_image_that_lies_in_the_other_partition_is_not_sent() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        taken(chip, imaged.Release(5, "new", "two"))
        node = updates.Served(chip.store)
        assert imaged.Release(6, "next", "one").bring(node) == 0, "a cable laid it"
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED]
        assert trial.activate(node)
        assert chip.start() == ("next", "one")
        updates.acked(updates.Served(chip.store))
        assert [chip.start() for _ in range(2)] == [("next", "one")] * 2


def test_an_image_that_was_found_there_is_unbound_before_another_overwrites_it() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        taken(chip, imaged.Release(5, "new", "two"))
        imaged.Release(6, "next", "three").bring(updates.Served(chip.store), blocks=0)
        node = updates.Served(chip.store)
        imaged.Release(7, "last", "one").bring(node)
        assert node.told[-1] == m.UPDATE_STAGED
        other = updates.Served(chip.store)
        assert imaged.Release(8, "after", "three").bring(other, blocks=5) == 5
        other.update.close()
        assert not trial.activate(updates.Served(chip.store)), "its image is overwritten"
        assert chip.start() == ("new", "two")


def test_an_app_partition_that_fails_is_told_and_tried_again_from_its_beginning() -> None:
    new = imaged.Release(5, "new", "two")
    total = -(-len(new.image) // updates.BLOCK)
    for operation in ("program", "erase"):
        with imaged.Chip(imaged.laid()) as chip:
            chip.start()
            real = getattr(chip.apps, operation)
            left = [20 if operation == "program" else 1]

            def fails(*given: object) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(-0x6004)  # ESP_ERR_FLASH_OP_TIMEOUT
                real(*given)

            setattr(chip.apps, operation, fails)
            node = updates.Served(chip.store)
            assert new.bring(node) < total
            assert node.told[-1] == m.UPDATE_FLASH, (operation, node.told)
            setattr(chip.apps, operation, real)
            assert chip.start() == ("old", "one")
            node = updates.Served(chip.store)
            assert new.bring(node) == total, operation
            assert node.told[-1] == m.UPDATE_STAGED and trial.activate(node)
            assert chip.start() == ("new", "two")


def test_both_partitions_may_hold_one_image() -> None:
    flash = imaged.laid()
    one = imaged.image("one")
    with imaged.Chip(flash) as chip:
        at = chip.apps.at(1) * BLOCK_BYTES
        flash.image[at : at + len(one)] = one
        chip.start()
        node = updates.Served(chip.store)
        assert imaged.Release(5, "new", "one").bring(node) == 0
        assert trial.activate(node)
        assert chip.start() == ("new", "one") and chip.apps.running == 0
        updates.acked(updates.Served(chip.store))
        taken(chip, imaged.Release(6, "next", "two"))
        assert chip.start() == ("next", "two")


def test_a_release_without_an_image_ends_one_that_is_half_there() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        assert imaged.Release(5, "new", "two").bring(node, blocks=9) == 9
        node.update.close()
        taken(chip, imaged.Release(6, "next", None))
        assert chip.start() == ("next", "one")
        assert trial.go_back(updates.Served(chip.store))
        assert chip.start() == ("old", "one")
        taken(chip, imaged.Release(7, "last", "two"))
        assert chip.start() == ("last", "two")


def sectors() -> "list[tuple[str, bytes]]":
    """What a sector of otadata may hold that should not."""
    from binascii import crc32
    from struct import pack

    def entry(sequence: int, state: int, damaged: int = 0) -> bytes:
        crc = crc32(pack("<I", sequence), partitions.NOTHING) ^ damaged
        return pack(partitions.ENTRY, sequence, b"\xff" * 20, state, crc)

    found = [("erased", b"\xff" * 32), ("zeros", bytes(32)), ("noise", bytes(range(7, 39)))]
    for sequence in (0, 1, 2, 7, 0xFFFF_FFF0):
        for state in (NEW, PENDING, VALID, INVALID, ABORTED, 0xFFFF_FFFF):
            found.append(("{} {}".format(sequence, state), entry(sequence, state)))
    found.append(("bad CRC", entry(2, VALID, 1)))
    return found


def test_whatever_otadata_holds_the_good_slot_runs_with_its_image() -> None:
    flash = imaged.laid()
    with imaged.Chip(flash) as chip:
        chip.start()
        taken(chip, imaged.Release(5, "new", "two"))
        assert chip.start() == ("new", "two")
    most = 0
    found = sectors()
    for number in range(0, len(found) ** 2, EACH):
        one, first = found[number // len(found)]
        other, second = found[number % len(found)]
        damaged = imaged.RamFlash(bytearray(flash.image))
        for sector, content in ((0, first), (1, second)):
            at = (imaged.FILES + sector) * BLOCK_BYTES
            damaged.image[at : at + BLOCK_BYTES] = content + b"\xff" * (BLOCK_BYTES - 32)
        with imaged.Chip(damaged) as chip:
            assert chip.start() == ("new", "two"), (one, other)
            most = max(most, chip.restarts)
            chip.restarts = 0
            assert chip.start() == ("new", "two") and chip.restarts == 1, (one, other)
    assert most == 2


def test_a_build_that_a_cable_laid_runs_on_the_image_that_came_with_it() -> None:
    """`kerbline flash` leaves NVS, and erases what it does not lay of app partitions."""
    flash = imaged.laid()
    with imaged.Chip(flash) as chip:
        chip.start()
        taken(chip, imaged.Release(5, "new", "two"))
        taken(chip, imaged.Release(6, "next", "three"))
        taken(chip, imaged.Release(7, "last", None))
        taken(chip, imaged.Release(8, "after", "four"))
        assert chip.start() == ("after", "four") and chip.apps.running == 1
        first = chip.apps.at(0) * BLOCK_BYTES
        other = chip.apps.at(1) * BLOCK_BYTES
    vfs.VfsLfs2.mkfs(imaged.Files(flash))
    with imaged.Chip(flash):
        updates.lay_files("cable", 0)
    cable = imaged.image("cable")
    erased = b"\xff" * BLOCK_BYTES
    for at in (imaged.FILES * BLOCK_BYTES, (imaged.FILES + 1) * BLOCK_BYTES, other):
        flash.image[at : at + BLOCK_BYTES] = erased
    flash.image[first : first + len(cable)] = cable
    with imaged.Chip(flash) as chip:
        assert [chip.start() for _ in range(6)] == [("cable", "cable")] * 6
        taken(chip, imaged.Release(9, "new", "two"))
        assert [chip.start() for _ in range(3)] == [("new", "two")] * 3
