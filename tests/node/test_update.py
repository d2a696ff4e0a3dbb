"""An update from its first byte to the ack that confirms it, and everything that must refuse one.

For MicroPython alone: what a slot mounts is littlefs's, and imports are its own.
"""

import os

import slots

try:
    import vfs
except ImportError:
    vfs = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import nvs, standing, trial
    from kerbnode.hal.sim import Nvs
    from kerbwire import manifest, parts, release
    from kerbwire import messages as m
    from node import release_key, updates
    from node.ram_flash import BLOCK_BYTES, RamFlash

    OLD = updates.files("old")
    NEW = updates.files("new")
    DATA = release_key.build(5, NEW)
    SIGNED = release_key.signed(DATA)
    PARTS = release_key.whole(DATA, NEW, (updates.COMMON,))


class Pole:
    """A node's flash with build "old" of sequence 2 laid on it."""

    def __init__(self, flash: "RamFlash | None" = None) -> None:
        self.flash = flash or RamFlash(bytearray(b"\xff" * (64 * BLOCK_BYTES)))
        vfs.VfsLfs2.mkfs(self.flash)
        vfs.mount(vfs.VfsLfs2(self.flash), updates.HOME)
        slots.home = updates.HOME + "/"
        os.mkdir(updates.HOME + "/nvs")
        self.store = Nvs(updates.HOME + "/nvs")
        updates.lay(self.store, "old", 2)

    def boot(self) -> str:
        return updates.boot(self.store, vfs)

    def cut(self, node: "updates.Served") -> None:
        """The power goes: flash is as it was before the node could close its files."""
        left = bytes(self.flash.image)
        node.update.close()
        vfs.umount(updates.HOME)
        self.flash.image[:] = left
        vfs.mount(vfs.VfsLfs2(self.flash), updates.HOME)

    def node(self) -> "updates.Served":
        return updates.Served(self.store)

    def state(self) -> "standing.State":
        return standing.State(self.store)

    def __enter__(self) -> "Pole":
        assert self.boot() == "old"
        return self

    def __exit__(self, *_: object) -> None:
        slots.home, slots.manifest, slots.slot, slots.trial = "/", b"", 255, False
        vfs.umount(updates.HOME)


def staged(pole: Pole) -> "updates.Served":
    node = pole.node()
    node.given(m.OBJECT_UPDATE, SIGNED)
    assert node.told == [m.UPDATE_TAKEN]
    node.given(m.OBJECT_PARTS, PARTS)
    assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED] and node.update is None
    return node


def test_a_release_is_taken_tried_and_confirmed() -> None:
    with Pole() as pole:
        node = staged(pole)
        assert pole.boot() == "old", "nothing runs before it is ordered"
        assert trial.activate(node)
        assert pole.boot() == "new" and slots.trial
        assert (pole.state().good, pole.state().trial, pole.state().tries) == (0, 1, 1)
        assert updates.Machine.watched[-1] == 30_000
        node = pole.node()
        standing.begin(node)
        assert node.session.info.build == manifest.build_id(DATA)
        updates.acked(node)
        assert node.told == [m.UPDATE_CONFIRMED]
        assert not slots.trial
        (timer,) = updates.Timer.made
        timer.callback(timer)
        assert not timer.runs
        assert pole.boot() == "new" and pole.state().highest == 5
        assert not updates.Timer.made


def test_the_build_before_stays_until_the_next_and_may_be_ordered_back() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        pole.boot()
        updates.acked(pole.node())
        node = pole.node()
        assert trial.go_back(node)
        assert pole.boot() == "old" and not slots.trial
        standing.begin(node)
        assert node.told == [m.UPDATE_ORDERED_BACK]
        standing.begin(node)
        assert node.told == [m.UPDATE_ORDERED_BACK], "told once"
        assert not trial.activate(node), "what was confirmed before is no update"
        node.given(m.OBJECT_UPDATE, SIGNED)
        assert node.told[-1] == m.UPDATE_SEQUENCE


def test_objects_that_no_slot_names_go() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        pole.boot()
        updates.acked(pole.node())
        third = updates.files("third")
        data = release_key.build(6, third)
        parts = release_key.whole(data, third, (updates.COMMON,))
        assert updates.serve(pole.store, vfs, (release_key.signed(data), parts)) == "third"
        kept = [manifest.digest(each) for each in list(NEW.values()) + list(third.values())]
        there = os.listdir(updates.HOME + "/o")
        assert sorted(there) == sorted({trial.object_path(each)[-32:] for each in kept})
        assert os.listdir(updates.HOME + "/u") == []


def refused(pole: Pole, signed: bytes, outcome: int, parts: bytes = b"") -> None:
    """Nothing of it runs, and what runs goes on."""
    node = pole.node()
    node.given(m.OBJECT_UPDATE, signed)
    if parts:
        assert node.told == [m.UPDATE_TAKEN], node.told
        node.given(m.OBJECT_PARTS, parts)
    assert node.told[-1:] == [outcome], "{} {} {}".format(node.told, outcome, len(parts))
    assert node.update is None
    assert not trial.activate(node), "it would run"
    assert pole.boot() == "old"


def test_what_is_not_a_release_for_this_node_is_refused() -> None:
    with Pole() as pole:
        for at in list(range(24)) + [len(SIGNED) - 1] + list(range(40, len(SIGNED), 173)):
            flipped = bytearray(SIGNED)
            flipped[at] ^= 1 << at % 8
            refused(pole, bytes(flipped), m.UPDATE_SIGNATURE)
        for cut in (1, 40, 1500, len(SIGNED) - 1):
            refused(pole, SIGNED[:cut], m.UPDATE_SIGNATURE)
        made = release_key.build
        for data, outcome in (
            (made(5, NEW, "water-meter-esp32"), m.UPDATE_BOARD),
            (made(2, NEW), m.UPDATE_SEQUENCE),
            (made(1, NEW), m.UPDATE_SEQUENCE),
            (DATA[:-1], m.UPDATE_MALFORMED),
        ):
            refused(pole, release_key.signed(data), outcome)
        other = bytearray(updates.ROOT)
        other[-1] ^= 1
        nvs.set_checked(pole.store, "root", bytes(other))
        refused(pole, SIGNED, m.UPDATE_SIGNATURE)
        pole.store.set("root", b"\x00")
        refused(pole, SIGNED, m.UPDATE_NO_ROOT)


def test_a_release_expires_where_the_time_is_known() -> None:
    signed = release_key.signed(release_key.build(5, NEW, expires_s=1000))
    with Pole() as pole:
        node = pole.node()
        node.clock.trusted = True
        node.clock.utc_ms = lambda _: 1000 * (946_684_800 + 1000)
        node.given(m.OBJECT_UPDATE, signed)
        assert node.told == [m.UPDATE_EXPIRED]
        node = pole.node()
        node.given(m.OBJECT_UPDATE, signed)
        assert node.told == [m.UPDATE_TAKEN], node.told


def test_parts_that_are_not_what_was_signed_are_refused() -> None:
    with Pole() as pole:
        for at in range(0, len(PARTS), 31):
            flipped = bytearray(PARTS)
            flipped[at] ^= 1 << at % 8
            refused(pole, SIGNED, m.UPDATE_PARTS, bytes(flipped))
        refused(pole, SIGNED, m.UPDATE_PARTS, PARTS[:-30])
        swapped = dict(NEW)
        swapped["cutapp/a.py"] = OLD["cutapp/a.py"]
        refused(pole, SIGNED, m.UPDATE_PARTS, release_key.whole(DATA, swapped))
        third = updates.files("third")
        refused(pole, SIGNED, m.UPDATE_PARTS, release_key.whole(DATA, third))
        lacking = release_key.whole(DATA, NEW, (updates.COMMON, NEW["cutapp/b.py"]))
        refused(pole, SIGNED, m.UPDATE_PARTS, lacking)
        refused(pole, release.joined(DATA, SIGNED[-1504:])[:-1] + b"\x00", m.UPDATE_SIGNATURE)
        staged(pole)


def test_too_little_memory_is_told_and_another_time_goes_better() -> None:
    """A heap in pieces is no reason to take no update until the next restart."""

    def short(*_: object) -> "Iterator[None]":
        yield
        raise MemoryError

    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED)
        whole, parts.steps = parts.steps, short
        try:
            node.given(m.OBJECT_PARTS, PARTS)
        finally:
            parts.steps = whole
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_MEMORY] and node.update is None
        assert node.given(m.OBJECT_PARTS, PARTS, handle=4) == 0, "all blocks are here"
        assert node.told[-1] == m.UPDATE_STAGED


def test_parts_without_a_manifest_are_of_no_use() -> None:
    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_PARTS, PARTS)
        assert node.told == [m.UPDATE_PARTS]


def test_a_build_that_does_not_boot_is_left_after_three_tries() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        assert [pole.boot() for _ in range(4)] == ["new"] * 3 + ["old"]
        node = pole.node()
        standing.begin(node)
        assert node.told == [m.UPDATE_BOOTS_FAILED] and not slots.trial
        assert pole.boot() == "old"


def test_a_build_that_no_gateway_hears_is_left_after_120_s_awake() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        assert pole.boot() == "new"
        ticks = 0
        try:
            while ticks < 99:
                if ticks == 3:  # a restart begins no new 120 s
                    assert pole.boot() == "new"
                (timer,) = updates.Timer.made
                ticks += 1
                timer.callback(timer)
        except updates.Power:
            pass
        assert ticks * 15 == 120
        assert pole.boot() == "old"
        node = pole.node()
        standing.begin(node)
        assert node.told == [m.UPDATE_NO_ACK]


def test_a_wake_counts_as_a_boot_of_a_trial_and_asks_for_no_object() -> None:
    with Pole() as pole:
        updates.Machine.cause = 4
        try:
            assert trial.activate(staged(pole))
            assert [pole.boot() for _ in range(4)] == ["new"] * 3 + ["old"]
        finally:
            updates.Machine.cause = 1


def test_a_node_that_can_not_read_its_nvs_runs_what_has_been_good() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        pole.store.set("slots", b"damaged")
        assert pole.boot() == "old"
        for blob in (b"", bytes(13)):
            pole.store.set("slots", blob)
            assert pole.boot() == "old"


def test_a_slot_that_lacks_an_object_gives_way_to_the_other() -> None:
    with Pole() as pole:
        assert trial.activate(staged(pole))
        os.remove(trial.object_path(manifest.digest(NEW["cutapp/a.py"])))
        assert pole.boot() == "old" and pole.state().told == m.UPDATE_BOOTS_FAILED
        staged_again = staged(pole)
        os.remove(trial.object_path(manifest.digest(OLD["cutapp/a.py"])))
        assert pole.boot() == "new" and not slots.trial
        standing.begin(staged_again)


def test_a_line_that_is_cut_costs_no_block_and_a_power_cut_four_kib() -> None:
    big = updates.files("new", 20_000)
    data = release_key.build(5, big)
    parts = release_key.whole(data, big, (updates.COMMON,))
    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_UPDATE, release_key.signed(data))
        assert node.given(m.OBJECT_PARTS, parts, handle=4, blocks=50) == 50
        for handle in (4, 5):  # the same gateway again, then one that began anew
            node.session.objects.begin()
            assert node.given(m.OBJECT_PARTS, parts, handle=handle, blocks=10) == 10
        node.update.close()  # asleep: nothing is lost
        node = pole.node()
        assert node.given(m.OBJECT_PARTS, parts, blocks=5) == 5
        pole.cut(node)
        node = pole.node()
        left = -(-len(parts) // updates.BLOCK) - 75
        again = node.given(m.OBJECT_PARTS, parts)
        assert left <= again <= left + 4096 // updates.BLOCK
        assert node.told == [m.UPDATE_STAGED]


def test_a_next_root_holds_from_the_first_ack_on() -> None:
    following = updates.ROOT[:-1] + b"\x99"
    data = release_key.build(5, NEW, next_root=following)
    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_UPDATE, release_key.signed(data))
        node.given(m.OBJECT_PARTS, release_key.whole(data, NEW, (updates.COMMON,)))
        assert trial.activate(node)
        pole.boot()
        assert nvs.get_checked(pole.store, "root") == updates.ROOT
        updates.acked(pole.node())
        assert nvs.get_checked(pole.store, "root") == following
        nvs.set_checked(pole.store, "root", updates.ROOT)  # as a cut between two blobs leaves it
        pole.boot()
        standing.begin(pole.node())
        assert nvs.get_checked(pole.store, "root") == following
