"""What bounds an update beside its parts: expiry, full flash, a silent gateway.

For MicroPython alone, as test_update.
"""

import asyncio
import os

import slots

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import room, standing, trial, update
    from kerbwire import messages as m
    from node import release_key, updates
    from node.ram_flash import BLOCK_BYTES, RamFlash
    from node.test_update import DATA, NEW, PARTS, SIGNED, Pole

EXPIRES_S = 800_000_000  # since 2000
EXPIRES_MS = 1000 * (EXPIRES_S + 946_684_800)
STEPS = 8  # of 15 s


def served(pole: "Pole", utc_ms: int) -> "updates.Served":
    """A node whose gateway has given it the time."""
    node = pole.node()
    node.clock.trusted = True
    node.clock.utc_ms = lambda _now: utc_ms
    return node


def bring(node: "updates.Served") -> None:
    """A release that expires."""
    data = release_key.build(5, NEW, expires_s=EXPIRES_S)
    node.given(m.OBJECT_UPDATE, release_key.signed(data))
    node.given(m.OBJECT_PARTS, release_key.whole(data, NEW, (updates.COMMON,)), handle=4)


def test_a_release_that_expires_while_it_is_staged_is_not_started() -> None:
    """Whoever has the time; a node without it, or with another, starts it as before."""
    with Pole() as pole:
        node = served(pole, EXPIRES_MS - 1)
        bring(node)
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED]
        late = served(pole, EXPIRES_MS)
        before = pole.store.get("slots")
        assert not trial.activate(late)
        assert late.told == [m.UPDATE_EXPIRED] and pole.store.get("slots") == before
        assert pole.boot() == "old"
        bring(late)
        assert late.told[1] == m.UPDATE_EXPIRED
        assert trial.activate(served(pole, EXPIRES_MS - 1)), "the clock is set back"
        assert pole.boot() == "new"
        updates.acked(served(pole, EXPIRES_MS + 1))
        assert pole.boot() == "new" and not slots.trial, "what runs does not expire"


def test_a_node_without_the_time_starts_what_is_staged() -> None:
    with Pole() as pole:
        bring(pole.node())
        assert trial.activate(pole.node()) and pole.boot() == "new"


def left(fault: Exception) -> "list[int]":
    """What is told of a build that can't confirm itself, by the one before it."""

    def failing(_node: object) -> None:
        raise fault

    with Pole() as pole:
        bring(pole.node())
        assert trial.activate(pole.node()) and pole.boot() == "new"
        confirm, trial.confirm = trial.confirm, failing
        try:
            asyncio.run(trial.confirmed(pole.node()))
        finally:
            trial.confirm = confirm
        (timer,) = updates.Timer.made
        try:
            for _ in range(STEPS):
                timer.callback(timer)
            raise AssertionError("the trial goes on")
        except updates.Power:
            pass
        assert pole.boot() == "old"
        node = pole.node()
        standing.begin(node)
    return node.told


def test_a_build_without_memory_to_confirm_itself_says_so() -> None:
    assert left(MemoryError()) == [m.UPDATE_MEMORY]
    assert left(OSError(5)) == [m.UPDATE_FLASH]


def free() -> int:
    return os.statvfs(updates.HOME)[3] * BLOCK_BYTES


def fill(path: str, left: int) -> None:
    """Another writer leaves so many blocks free."""
    with open(path, "wb") as file:
        while os.statvfs(updates.HOME)[3] > left:
            file.write(bytes(BLOCK_BYTES))
            file.flush()


def large(count: int, size: int) -> "tuple[bytes, bytes, dict[str, bytes]]":
    """(manifest, parts, files) of a build with so many files more, of which none is as another."""
    content = dict(NEW)
    for number in range(count):
        content["cutapp/more%02d.py" % number] = b"#%02d" % number * (size // 3)
    data = release_key.build(5, content)
    return data, release_key.whole(data, content, (updates.COMMON,)), content


def test_no_room_is_told_in_kib_before_a_block_of_its_parts_is_taken() -> None:
    data, parts, _ = large(40, 3000)
    with Pole() as pole:
        was = free()
        node = pole.node()
        node.given(m.OBJECT_UPDATE, release_key.signed(data))
        assert node.given(m.OBJECT_PARTS, parts, handle=4) == 0
        taken, told = node.told
        assert taken == m.UPDATE_TAKEN and told % 256 == m.UPDATE_NO_ROOM
        lacks = (told >> m.UPDATE_BITS) * 1024
        least = len(parts) + 40 * BLOCK_BYTES - was
        assert least < lacks < least + 16 * BLOCK_BYTES, (least, lacks)
        assert os.listdir(updates.HOME + "/u") == ["manifest"] and pole.boot() == "old"
        node = pole.node()
        node.given(m.OBJECT_UPDATE, SIGNED)
        node.given(m.OBJECT_PARTS, PARTS, handle=4)
        assert node.told[-1] == m.UPDATE_STAGED, "a smaller one has room"


def test_what_is_counted_is_enough_and_not_much_more() -> None:
    """On a flash that another writer has left just so much of."""
    for count, size in ((0, 0), (40, 90), (60, 400), (20, 3000), (3, 16_000), (7, 8192)):
        data, parts, _ = large(count, size)
        with Pole(RamFlash(bytearray(b"\xff" * (160 * BLOCK_BYTES)))) as pole:
            node = pole.node()
            node.given(m.OBJECT_UPDATE, release_key.signed(data))
            needs = room.needed(len(parts), 0)
            fill(updates.HOME + "/x", needs + update.SPARE_BLOCKS)
            before = os.statvfs(updates.HOME)[3]
            node.given(m.OBJECT_PARTS, parts, handle=4)
            assert node.told[-1] == m.UPDATE_STAGED, (count, size, node.told)
            parts_blocks = len(parts) // BLOCK_BYTES
            took = before - os.statvfs(updates.HOME)[3] + parts_blocks
            print(count, size, "counted", needs, "took", took)
            assert took <= needs <= took + 12, (count, size)


def test_another_writer_fills_flash_in_the_middle_of_the_copy() -> None:
    data, parts, _ = large(8, 5000)
    with Pole() as pole:
        for steps in (1, 3, 9, 30):
            node = pole.node()
            node.given(m.OBJECT_UPDATE, release_key.signed(data))
            node.steps = steps

            def full() -> None:
                fill(updates.HOME + "/log", 0)

            node.befalls = full
            node.given(m.OBJECT_PARTS, parts, handle=4)
            assert node.told[-1] in (m.UPDATE_NO_ROOM, m.UPDATE_STAGED), (steps, node.told)
            assert pole.boot() == "old"
            os.remove(updates.HOME + "/log")
        node = pole.node()
        if (
            node.given(m.OBJECT_UPDATE, release_key.signed(data))
            and node.told[-1] == m.UPDATE_TAKEN
        ):
            node.given(m.OBJECT_PARTS, parts, handle=4)
        assert node.told[-1] == m.UPDATE_STAGED
        assert trial.activate(node) and pole.boot() == "new"


def test_two_gateways_that_bring_two_releases_by_turns_make_no_mix() -> None:
    """Each offer of either ends the other's; whichever comes last to its end is what starts."""
    other = updates.files("other", 2000)
    data = release_key.build(6, other)
    signed, parts = release_key.signed(data), release_key.whole(data, other, (updates.COMMON,))
    for turn in range(1, 6):
        with Pole() as pole:
            node = pole.node()
            node.given(m.OBJECT_UPDATE, SIGNED, blocks=turn)
            node.given(m.OBJECT_UPDATE, signed, handle=5, blocks=turn)
            node.given(m.OBJECT_UPDATE, SIGNED)
            node.given(m.OBJECT_PARTS, PARTS, handle=4, blocks=turn)
            node.given(m.OBJECT_UPDATE, signed, handle=5)
            node.given(m.OBJECT_PARTS, parts, handle=6, blocks=turn)
            node.given(m.OBJECT_PARTS, PARTS, handle=4)
            node.given(m.OBJECT_UPDATE, SIGNED)
            node.given(m.OBJECT_PARTS, parts, handle=6)
            assert pole.boot() == "old"
            node.given(m.OBJECT_UPDATE, signed, handle=5)
            node.given(m.OBJECT_PARTS, parts, handle=6)
            assert node.told[-1] == m.UPDATE_STAGED, node.told
            assert trial.activate(node) and pole.boot() == "other", node.told


def test_the_clock_leaps_between_the_manifest_and_the_start() -> None:
    """A gateway's wrong clock refuses at the most: what runs stays, and what is staged too."""
    with Pole() as pole:
        node = served(pole, EXPIRES_MS - 1)
        bring(node)
        for leap_ms in (EXPIRES_MS + 10**12, EXPIRES_MS):
            assert not trial.activate(served(pole, leap_ms)) and pole.boot() == "old"
        assert trial.activate(served(pole, EXPIRES_MS - 10**12)) and pole.boot() == "new"
        assert DATA != slots.manifest and slots.trial
