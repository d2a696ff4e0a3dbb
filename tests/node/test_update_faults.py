"""What befalls a node beside an update: flash that fails, memory that runs out, orders between.

For MicroPython alone, as test_update. Whatever it is, the node starts, goes on, and says so.
"""

import os

import slots
from node.ram_flash import RamFlash

try:
    import vfs
except ImportError:
    vfs = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbnode.hal.sim import Nvs

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    import choice
    from kerbnode import nvs, orders, staging, standing, trial, update, working
    from kerbwire import manifest
    from kerbwire import messages as m
    from node import release_key, updates
    from node.test_update import DATA, NEW, PARTS, SIGNED, Pole, staged

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
FAIL_EACH = 1 if NIGHTLY else 13  # operations, of which one fails
IMAGE_BYTES = 32 * 4096
EIO = 5
WHOLE = release_key.whole(DATA, NEW) if vfs is not None else b""


class Store:
    """NVS with flash of its own; `fails` when it is to."""

    def __init__(self, before: "Nvs"):
        self._blobs = {name: before.get(name) for name in ("root", "slots")}
        self.fails = False

    def get(self, name: str) -> "bytes | None":
        return self._blobs.get(name)

    def set(self, name: str, blob: bytes) -> None:
        if self.fails:
            raise OSError(EIO)
        self._blobs[name] = blob


class Failing(RamFlash):
    """Programs and erases that come to nothing, from one on: that one, or all."""

    def __init__(self) -> None:
        super().__init__(bytearray(b"\xff" * IMAGE_BYTES))
        self.done = 0
        self.fails = range(0)

    def writeblocks(
        self, block: int, buffer: "bytes | memoryview", offset: int = 0
    ) -> "int | None":  # type: ignore[override]
        return -EIO if self._failed() else super().writeblocks(block, buffer, offset)

    def ioctl(self, op: int, argument: int) -> "int | None":
        return -EIO if op == 6 and self._failed() else super().ioctl(op, argument)

    def _failed(self) -> bool:
        self.done += 1
        return self.done - 1 in self.fails


class Restarting:
    """Too little memory to judge and apply beside a session: the node restarts for both."""

    def __enter__(self) -> None:
        self._enough = working.NEED_BYTES
        working.NEED_BYTES = 1 << 40  # no heap has it

    def __exit__(self, *_: object) -> None:
        working.NEED_BYTES = self._enough


def left(pole: "Pole") -> "updates.Served":
    """A node that is about to restart, to judge a release."""
    node = pole.node()
    bring(node, SIGNED)
    assert node.leaving and node.told == []
    return node


def bring(node: "updates.Served", data: bytes, kind: int = 2) -> None:
    """An object, and no restart."""
    node.restarts = False
    node.given(kind, data)


def told_at_boot(pole: "Pole") -> "list[int]":
    """What a node says of an update when it starts."""
    node = pole.node()
    standing.begin(node)
    return node.told


def lived(pole: "Pole") -> "tuple[list[int], str]":
    """(what was told, the build that runs) of an update on a flash that may fail."""
    pole.boot()
    node = pole.node()
    node.given(m.OBJECT_UPDATE, SIGNED)
    node.given(m.OBJECT_PARTS, PARTS, handle=4)
    if trial.activate(node):
        pole.boot()
        try:
            updates.acked(node)
        except OSError:
            pass  # as trial.confirmed has it
    return node.told, pole.boot()


def life_on(failing: "tuple[int, int]") -> int:
    """An update while these operations fail, (from, count); how many it has.

    A flash that is sound again takes the release then.
    """
    flash = Failing()
    with Pole(flash) as pole:
        pole.store = Store(pole.store)
        first = flash.done
        flash.fails = range(first + failing[0], first + sum(failing))
        told, runs = lived(pole)
        done = flash.done - first
        assert (runs == "new") == (m.UPDATE_CONFIRMED in told), told
        refusals = [code for code in told if code >= m.UPDATE_SIGNATURE]
        assert runs == "new" or refusals, told
        assert refusals or not failing[1], (failing, told, runs)
        flash.fails = range(0)
        if runs == "old":
            assert updates.serve(pole.store, vfs, (SIGNED, PARTS)) == "new"
    return done


def test_flash_fails_at_each_write_once_or_for_good() -> None:
    """Also where the chip restarts to judge and to apply."""
    with Restarting():
        most = life_on((0, 0))
        lives = [(at, count) for count in (1, 1 << 20) for at in range(0, most, FAIL_EACH)]
        for each in lives:
            life_on(each)
    assert most > 50
    print("operations", most, "lives", len(lives))


def test_a_mark_that_flash_does_not_let_go_keeps_no_node_from_its_boot() -> None:
    flash = Failing()
    with Pole(flash) as pole, Restarting():
        pole.store = Store(pole.store)
        left(pole)
        flash.fails = range(1 << 20)
        assert [pole.boot() for _ in range(3)] == ["old"] * 3
        flash.fails = range(0)
        assert told_at_boot(pole) == [m.UPDATE_CUT]
        assert pole.boot() == "old" and told_at_boot(pole) == []


def test_a_mark_of_noise_is_none() -> None:
    with Pole() as pole:
        os.mkdir(updates.HOME + "/u")
        for text in (b"\xff\xfe", b"", b"2", b"2 x u/2", b"x 0 y"):
            with open(updates.HOME + "/u/next", "wb") as file:
                file.write(text)
            assert pole.boot() == "old"
            assert "next" not in os.listdir(updates.HOME + "/u")


def test_a_restart_while_it_is_judged_is_told() -> None:
    """Else a gateway offers it again at once, and a node that can't restarts for ever."""

    def dark(*_: object) -> "Iterator[None]":
        yield
        raise updates.Power

    with Pole() as pole, Restarting():
        for path in ("judged", "applied"):
            whole = getattr(staging, path)
            left(pole)
            if path == "applied":
                assert pole.boot() == "old" and told_at_boot(pole) == [m.UPDATE_TAKEN]
                bring(pole.node(), PARTS, m.OBJECT_PARTS)
            setattr(staging, path, dark)
            try:
                pole.boot()
                raise AssertionError("the power stayed")
            except updates.Power:
                pass
            finally:
                setattr(staging, path, whole)
            assert pole.boot() == "old"
            assert told_at_boot(pole) == [m.UPDATE_CUT], path
            assert told_at_boot(pole) == []
        assert updates.serve(pole.store, vfs, (SIGNED, PARTS)) == "new"


def test_a_node_whose_nvs_takes_nothing_does_not_restart_for_it() -> None:
    with Pole() as pole, Restarting():
        pole.store = Store(pole.store)
        pole.store.fails = True
        node = pole.node()
        bring(node, SIGNED)
        assert not node.leaving and node.told == [m.UPDATE_FLASH]


def test_what_a_build_left_is_not_done_on_trial_nor_after_an_order() -> None:
    """It would lay what comes over the build that is to be gone back to."""
    third = updates.files("third")
    data = release_key.build(6, third)
    release = release_key.signed(data), release_key.whole(data, third, (updates.COMMON,))
    for order in (m.OP_ACTIVATE, m.OP_ROLLBACK):
        with Pole() as pole:
            node = staged(pole)
            if order == m.OP_ROLLBACK:
                assert trial.activate(node) and pole.boot() == "new"
                updates.acked(node)
                assert pole.boot() == "new"
            with Restarting():
                node = pole.node()
                node.given(m.OBJECT_UPDATE, release[0])
                bring(node, release[1], m.OBJECT_PARTS)
                assert node.leaving
                assert orders.obey(node, order, ()) == m.OK
                if order == m.OP_ROLLBACK:
                    assert pole.boot() == "old"
                    assert told_at_boot(pole) == [m.UPDATE_ORDERED_BACK]
                    assert trial.read(1) == DATA
                    continue
                assert [pole.boot() for _ in range(4)] == ["new"] * 3 + ["old"]
                assert told_at_boot(pole) == [m.UPDATE_BOOTS_FAILED]


def test_an_order_to_go_back_is_not_undone_by_what_is_applied_beside_it() -> None:
    """The build to go back to has been good; what is applied has never run."""
    third = updates.files("third")
    data = release_key.build(6, third)
    with Pole() as pole:
        assert trial.activate(staged(pole)) and pole.boot() == "new"
        updates.acked(pole.node())
        node = pole.node()
        node.given(m.OBJECT_UPDATE, release_key.signed(data))
        step, working.Work.step = working.Work.step, lambda _: False
        try:
            node.given(m.OBJECT_PARTS, release_key.whole(data, third, (updates.COMMON,)), 4)
        finally:
            working.Work.step = step
        assert orders.obey(node, m.OP_ROLLBACK, ()) == m.OK
        while node.update.step():
            pass
        assert pole.boot() == "old" and trial.read(0) != data
        assert told_at_boot(pole) == [m.UPDATE_ORDERED_BACK]


def test_a_crash_beside_the_node_is_told_too() -> None:
    with Pole() as pole:
        node = pole.node()
        step, working.Work.step = working.Work.step, lambda _: False
        try:
            node.given(m.OBJECT_UPDATE, SIGNED)
        finally:
            working.Work.step = step
        assert pole.boot() == "old" and told_at_boot(pole) == [m.UPDATE_CUT]
        assert updates.serve(pole.store, vfs, (SIGNED, PARTS)) == "new"


def test_parts_that_come_once_more_are_staged_still() -> None:
    with Pole() as pole:
        node = staged(pole)
        node.given(m.OBJECT_PARTS, PARTS, handle=8)
        assert node.told[-1] == m.UPDATE_STAGED
        assert trial.activate(node) and pole.boot() == "new"


def test_an_order_that_is_refused_keeps_no_node_from_leaving() -> None:
    with Pole() as pole, Restarting():
        node = left(pole)
        assert orders.obey(node, m.OP_ACTIVATE, ()) == m.FAILED
        assert node.leaving


def test_what_is_offered_to_a_node_that_leaves_costs_nothing_of_what_it_leaves_for() -> None:
    with Pole() as pole, Restarting():
        node = left(pole)
        node.restarts = False
        node.given(m.OBJECT_UPDATE, release_key.signed(release_key.build(6, NEW)), 4, blocks=1)
        assert node.update is None
        assert pole.boot() == "old"
        assert told_at_boot(pole) == [m.UPDATE_TAKEN]


def test_too_little_memory_is_told_wherever_it_shows() -> None:
    def short(*_: object) -> None:
        raise MemoryError

    places = (
        (working, "of"), (working, "begun"), (staging, "judged"), (update, "sha256"),
        (staging, "_create"), (update.Coming, "put"),
    )  # fmt: skip
    with Pole() as pole:
        for place, name in places:
            whole = getattr(place, name)
            setattr(place, name, short)
            node = pole.node()
            try:
                node.given(m.OBJECT_UPDATE, SIGNED)
            finally:
                setattr(place, name, whole)
            assert node.told == [m.UPDATE_MEMORY] and node.update is None, name
        staged(pole)


def test_what_is_not_foreseen_ends_an_update_and_not_all_that_follow() -> None:
    def odd(*_: object) -> "Iterator[None]":
        yield
        raise IndexError

    for restarts in (False, True):
        with Pole() as pole:
            node = pole.node()
            node.given(m.OBJECT_UPDATE, SIGNED)
            whole, staging.applied = staging.applied, odd
            enough, working.NEED_BYTES = working.NEED_BYTES, 1 << 40 if restarts else 0
            try:
                node.given(m.OBJECT_PARTS, PARTS, handle=4)
            finally:
                staging.applied, working.NEED_BYTES = whole, enough
            assert node.told == [m.UPDATE_TAKEN, m.UPDATE_DAMAGED]
            staged(pole)


def test_a_build_that_confirms_itself_leaves_nothing_under_way() -> None:
    """A gateway may offer once more what it has not heard of; a meter would wait for the rest."""
    with Pole() as pole:
        node = staged(pole)
        node.given(m.OBJECT_PARTS, PARTS, handle=9, blocks=1)
        node.update.close()
        assert len(os.listdir(updates.HOME + "/u")) == 1
        assert trial.activate(node) and pole.boot() == "new"
        updates.acked(pole.node())
        assert os.listdir(updates.HOME + "/u") == []


def test_a_meter_waits_no_more_for_an_update_that_nobody_goes_on_with() -> None:
    """Each wait is longer than the rest of its wake, and a cell is to last for years."""

    def waits() -> bool:
        node = pole.node()
        node.rest = updates.Plain()
        node.rest.lingers_ms = -1
        standing.begin(node)
        return node.rest.lingers_ms > 0

    with Pole() as pole:
        pole.boot()
        assert not waits(), "nothing came"
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED, blocks=5)
        node.update.close()
        assert [waits() for _ in range(standing.WAKES)] == [True] * standing.WAKES
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED, blocks=1)
        node.update.close()
        assert [waits() for _ in range(standing.WAKES + 2)] == [True] * standing.WAKES + [False] * 2
        assert os.listdir(updates.HOME + "/u") == []
        staged(pole)


def flip(path: str, at: int = 7) -> None:
    """One bit of that file."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ 4,)))


def test_an_object_that_is_damaged_after_it_was_staged_is_brought_anew() -> None:
    for damaged in (NEW["cutapp/a.py"], updates.COMMON):
        with Pole() as pole:
            staged(pole)
            flip(trial.object_path(manifest.digest(damaged)))
            node = pole.node()
            node.given(m.OBJECT_UPDATE, SIGNED)
            assert node.told == [m.UPDATE_TAKEN], "it is lacking"
            if damaged == updates.COMMON:  # parts have only what changed
                node.given(m.OBJECT_PARTS, PARTS, handle=4)
                assert node.told[-1] == m.UPDATE_PARTS
            node.given(m.OBJECT_PARTS, WHOLE, handle=5)
            assert node.told[-1] == m.UPDATE_STAGED
            assert trial.activate(node) and pole.boot() == "new"


def test_a_good_build_that_flash_has_changed_gives_way_to_the_one_before() -> None:
    """It raises something at each boot, and no trial counts them: it would restart for ever."""
    with Pole() as pole:
        path = trial.object_path(manifest.digest(NEW["cutapp/a.py"]))
        updates.failed(pole.store)
        assert pole.boot() == "old", "there is no other"
        assert trial.activate(staged(pole)) and pole.boot() == "new"
        updates.failed(pole.store)
        assert pole.boot() == "new" and slots.trial, "a trial is counted by its boots"
        updates.acked(pole.node())
        updates.failed(pole.store)
        assert pole.boot() == "new", "it is what it was"
        flip(path)
        updates.failed(pole.store)
        assert pole.boot() == "old" and told_at_boot(pole) == [m.UPDATE_DAMAGED]
        updates.failed(pole.store)
        assert pole.boot() == "old", "nor is the other"


def test_a_build_that_was_never_good_takes_no_damaged_ones_place() -> None:
    with Pole() as pole:
        staged(pole)
        flip(trial.object_path(manifest.digest(updates.files("old")["cutapp/a.py"])), 40)
        updates.failed(pole.store)
        assert pole.boot() == "old" and told_at_boot(pole) == []


def test_blocks_that_can_not_be_read_any_more_are_brought_anew() -> None:
    def unread(*_: object) -> None:
        raise OSError(EIO)

    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED, blocks=5)
        node.update.close()
        node = pole.node()
        whole, update.sha256 = update.sha256, unread
        try:
            node.given(m.OBJECT_UPDATE, SIGNED)
        finally:
            update.sha256 = whole
        assert node.told == [m.UPDATE_FLASH]
        assert os.listdir(updates.HOME + "/u") == []
        staged(pole)


def test_a_flash_that_is_full_keeps_nothing_of_an_update() -> None:
    """Else the log has no room until the next one."""

    def full(*_: object) -> None:
        raise OSError(28)

    with Pole() as pole:
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED)
        free = os.statvfs(updates.HOME)[3]
        whole, staging.Sink.end = staging.Sink.end, full
        try:
            node.given(m.OBJECT_PARTS, PARTS, handle=4)
        finally:
            staging.Sink.end = whole
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_NO_ROOM]
        assert os.listdir(updates.HOME + "/u") == [] and os.statvfs(updates.HOME)[3] >= free
        assert len(os.listdir(updates.HOME + "/o")) == 4
        staged(pole)


def test_a_trial_ends_though_nvs_takes_its_time_no_more() -> None:
    """Nobody else would restart the chip: it is fed, and no ack confirms it."""
    with Pole() as pole:
        assert trial.activate(staged(pole))
        assert pole.boot() == "new"
        (timer,) = updates.Timer.made
        kept, updates.Esp32.NVS.set_blob = updates.Esp32.NVS.set_blob, fail
        try:
            for _ in range(choice.STEPS):
                timer.callback(timer)
            raise AssertionError("it goes on for ever")
        except updates.Power:
            assert pole.boot() == "old", "a boot that can't be counted is none"
        finally:
            updates.Esp32.NVS.set_blob = kept
        assert nvs.get_checked(pole.store, "slots") is not None


def fail(*_: object) -> None:
    raise OSError(EIO)
