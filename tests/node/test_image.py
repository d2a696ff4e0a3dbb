"""A MicroPython image that comes with a release: taken, started with its slot, and left with it.

For MicroPython alone: what a slot mounts is littlefs's, and imports are its own.
"""

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import nvs, standing, trial
    from kerbnode.sim import partitions
    from kerbwire import messages as m
    from node import imaged, updates
    from node.ram_flash import BLOCK_BYTES


def staged(chip: "imaged.Chip", release: "imaged.Release") -> "updates.Served":
    node = updates.Served(chip.store)
    release.bring(node)
    assert node.told[-1] == m.UPDATE_STAGED, node.told
    return node


def test_image_and_slot_start_together_and_stay_at_one_ack() -> None:
    new = imaged.Release(5, "new", "two")
    with imaged.Chip(imaged.laid()) as chip:
        assert chip.start() == ("old", "one")
        node = staged(chip, new)
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_IMAGE, m.UPDATE_STAGED]
        assert chip.start() == ("old", "one"), "nothing starts before it is ordered"
        assert trial.activate(node)
        assert chip.start() == ("new", "two")
        node = updates.Served(chip.store)
        updates.acked(node)
        assert node.told == [m.UPDATE_CONFIRMED]
        assert [each.state for each in chip.apps.entries()][chip.apps.active()] == partitions.VALID
        before = chip.restarts
        assert [chip.start() for _ in range(3)] == [("new", "two")] * 3
        assert chip.restarts == before + 3


def test_an_order_back_takes_the_image_back_too() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.start()
        updates.acked(updates.Served(chip.store))
        assert trial.go_back(updates.Served(chip.store))
        assert [chip.start() for _ in range(3)] == [("old", "one")] * 3


def test_a_build_that_does_not_come_up_leaves_with_its_image() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        assert [chip.start() for _ in range(4)] == [("new", "two")] * 3 + [("old", "one")]
        node = updates.Served(chip.store)
        standing.begin(node)
        assert node.told == [m.UPDATE_BOOTS_FAILED]
        assert chip.start() == ("old", "one")


def test_a_build_that_nobody_hears_leaves_with_its_image() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.start()
        (timer,) = updates.Timer.made
        try:
            for _ in range(9):
                timer.callback(timer)
        except updates.Power:
            pass
        assert chip.start() == ("old", "one")
        node = updates.Served(chip.store)
        standing.begin(node)
        assert node.told == [m.UPDATE_NO_ACK]


def test_an_image_that_the_bootloader_does_not_take_ends_the_trial() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.apps.program(chip.apps.at(1), bytes(64), 512)  # flash decays
        assert chip.start() == ("old", "one")
        node = updates.Served(chip.store)
        standing.begin(node)
        assert node.told == [m.UPDATE_BOOTS_FAILED]
        assert chip.start() == ("old", "one")


def test_an_image_that_decays_later_leaves_a_node_that_runs() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.start()
        updates.acked(updates.Served(chip.store))
        chip.apps.program(chip.apps.at(1), bytes(64), 512)
        assert [chip.start() for _ in range(6)] == [("old", "one")] * 6


def test_a_board_without_a_second_place_refuses_another_image() -> None:
    with imaged.Chip(imaged.laid((partitions.FACTORY,)), (partitions.FACTORY,)) as chip:
        assert chip.start() == ("old", "one")
        node = updates.Served(chip.store)
        imaged.Release(5, "new", "two").bring(node)
        assert node.told == [m.UPDATE_NO_OTA]
        assert trial.activate(staged(chip, imaged.Release(6, "new", "one")))
        assert chip.start() == ("new", "one")


def test_an_image_that_runs_already_is_not_sent() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        assert imaged.Release(5, "new", "one").bring(node) == 0
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED]
        assert trial.activate(node)
        assert chip.start() == ("new", "one")
        updates.acked(updates.Served(chip.store))
        assert trial.activate(staged(chip, imaged.Release(6, "next", "two")))
        assert chip.start() == ("next", "two")
        updates.acked(updates.Served(chip.store))
        assert trial.activate(staged(chip, imaged.Release(7, "last", None)))
        assert chip.start() == ("last", "two"), "without an image the one that runs stays"
        assert [chip.start() for _ in range(3)] == [("last", "two")] * 2 + [("next", "two")]


def test_the_build_before_can_not_run_once_its_image_is_overwritten() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.start()
        updates.acked(updates.Served(chip.store))
        node = updates.Served(chip.store)
        assert imaged.Release(6, "next", "three").bring(node, blocks=1) == 1
        node.update.close()
        assert not trial.go_back(updates.Served(chip.store))
        assert chip.start() == ("new", "two")


def test_a_lost_line_costs_no_block_and_a_power_cut_four_kib() -> None:
    new = imaged.Release(5, "new", "two")
    total = -(-len(new.image) // updates.BLOCK)
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        assert new.bring(node, blocks=20) == 20
        node.session.objects.begin()
        assert node.given(m.OBJECT_IMAGE, new.image, handle=7, blocks=3) == 3
        chip.start()  # the power went: nobody closed anything
        node = updates.Served(chip.store)
        again = node.given(m.OBJECT_IMAGE, new.image)
        assert total - 23 <= again <= total - 23 + BLOCK_BYTES // updates.BLOCK
        assert node.told == [m.UPDATE_STAGED]
        assert trial.activate(node)
        assert chip.start() == ("new", "two")


def test_an_image_that_nobody_signed_is_refused() -> None:
    new = imaged.Release(5, "new", "two")
    other = imaged.image("three")
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        sent = node.given(m.OBJECT_IMAGE, new.image)
        assert (sent, node.told) == (0, [m.UPDATE_PARTS]), "{} {}".format(sent, node.told)
        new.bring(node, blocks=0)
        node = updates.Served(chip.store)
        sent = node.given(m.OBJECT_IMAGE, other, handle=6)
        assert sent == 0, sent
        assert node.told[-1] == m.UPDATE_PARTS
        big = imaged.Release(6, "big", "one")
        big.image = bytes(imaged.APP * BLOCK_BYTES + 1)
        data = imaged.release_key.build(6, updates.files("big"), image=big.image)
        big.signed = imaged.release_key.signed(data)
        big.bring(node)
        assert node.told[-1] == m.UPDATE_NO_ROOM


def test_an_image_that_flash_did_not_keep_is_wanted_again() -> None:
    new = imaged.Release(5, "new", "two")
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        node = updates.Served(chip.store)
        new.bring(node, blocks=25)
        chip.apps.program(chip.apps.at(1), bytes(16), 1024)
        held = node.update
        node.given(m.OBJECT_IMAGE, new.image, handle=5)
        assert node.told[-1] == m.UPDATE_DAMAGED, held
        again = updates.Served(chip.store)
        total = -(-len(new.image) // updates.BLOCK)
        assert new.bring(again) == total and again.told[-1] == m.UPDATE_STAGED


def test_a_blob_that_is_damaged_asks_for_no_image() -> None:
    with imaged.Chip(imaged.laid()) as chip:
        chip.start()
        assert trial.activate(staged(chip, imaged.Release(5, "new", "two")))
        chip.start()
        updates.acked(updates.Served(chip.store))
        assert nvs.get_checked(chip.store, "image") is not None
        for blob in (b"", bytes(27)):
            chip.store.set("image", blob)
            assert chip.start() == ("new", "two")
