"""The power goes at every flash operation of an update: old or new, whole, never a mix.

A life is recorded: an update is brought, staged, tried, confirmed with a new root, and ordered
back; another one is tried and left. Each operation of it is cut in each way, those of littlefs and
those of NVS, the chip starts from what is left, imports what its slot names, and is held to the
life's book; some are served until they have confirmed a last release. For MicroPython alone.
"""

import gc
import os

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import working
    from node import update_life as lives
    from node.ram_flash import BLOCK_BYTES, TEARS, replay, tear

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
SIZE = 9000 if NIGHTLY else 6000  # of the file that is changed most
TURN_EACH = 1 if NIGHTLY else 2  # operations of a page that turns, of which one is cut
AGAIN_EACH = 20 if NIGHTLY else 50  # restarts that write, of which one is cut in its turn
SERVE_EACH = 1 if NIGHTLY else 8  # restarts, of which one is served to the end


def swept(
    before: bytes,
    log: "list[object]",
    last: "lives.Release",
    *,
    all_ways: bool,
    serve_each: int,
    each: int = 1,
) -> "tuple[int, int, int, int]":
    """(restarts, those after a cut of NVS, served, cut again) after a cut of `each` operation."""
    image, left, begun = bytearray(before), bytearray(len(before)), bytearray(len(before))
    cuts = of_nvs = served = writing = again = 0
    for number, entry in enumerate(log):
        ways = TEARS if all_ways else TEARS[number % len(TEARS) :][:1]
        for how in ways if number % each == 0 else ():
            left[:] = image
            tear(left, entry, how)
            serves = cuts % serve_each == 0
            begun[:] = left
            further = lives.check(left, entry[3], last if serves else None)
            if further:  # it repaired something, or counted a try
                writing += 1
                if writing % AGAIN_EACH == 1:
                    again += cut_again(begun, further)
            served += serves
            of_nvs += entry[1] >= lives.FILES * BLOCK_BYTES
            cuts += 1
        replay(image, entry)
    return cuts, of_nvs, served, again


def cut_again(before: bytearray, log: "list[object]") -> int:
    """The power goes at each operation of a restart, too; how many that were."""
    image, left = bytearray(before), bytearray(len(before))
    for number, entry in enumerate(log):
        left[:] = image
        tear(left, entry, TEARS[number % len(TEARS)])
        lives.check(left, entry[3])
        replay(image, entry)
    return len(log)


def told(what: str, operations: int, counts: "tuple[int, int, int, int]") -> None:
    """What a sweep was."""
    print(what, operations, "restarts, of NVS, served to the end, cut again:", counts)


def test_the_power_goes_at_every_operation_of_an_update() -> None:
    before, log, _ = lives.recorded(SIZE)
    gc.collect()
    last = lives.Release(7, "last", SIZE)
    counts = swept(before, log, last, all_ways=True, serve_each=SERVE_EACH)
    told("operations", len(log), counts)
    assert counts[0] == len(TEARS) * len(log) > 1500 and counts[1] > 500
    assert counts[2] >= counts[0] // SERVE_EACH and counts[3] > 50


def test_the_power_goes_where_a_chip_restarts_to_judge_and_to_apply() -> None:
    enough = working.NEED_BYTES
    working.NEED_BYTES = 1 << 40  # no heap has it
    try:
        before, log, _ = lives.recorded(SIZE)
        last = lives.Release(7, "last", SIZE)
        gc.collect()
        counts = swept(before, log, last, all_ways=NIGHTLY, serve_each=2 * SERVE_EACH)
    finally:
        working.NEED_BYTES = enough
    told("judged at a boot: operations", len(log), counts)
    assert counts[0] >= len(log) > 500 and counts[1] > 150


def test_the_power_goes_while_a_write_of_nvs_turns_a_page() -> None:
    """Each write of an update once as the last one of its page: another page is copied and erased.

    Before its data, or between data and index; with what it replaces on the page that goes, or not.
    """
    before, log, life = lives.recorded(SIZE)
    last = lives.Release(7, "last", SIZE)
    image = bytearray(before)
    done = operations = 0
    counts = (0, 0, 0, 0)
    for number, (at, name, blob) in enumerate(life.writes):
        for entry in log[done:at]:
            replay(image, entry)
        done = at
        for kind in range(4) if NIGHTLY else (number % 4,):
            worn, steps = lives.turning(image, lives.FILES, kind, name, blob)
            steps = [step + (log[at][3],) for step in steps]
            found = swept(
                worn, steps, last, all_ways=NIGHTLY, serve_each=2 * SERVE_EACH, each=TURN_EACH
            )
            counts = tuple([one + another for one, another in zip(counts, found)])
            operations += len(steps)
    told("pages turned in each write of NVS: operations", operations, counts)
    assert len(life.writes) >= 22 and counts[0] == counts[1] >= operations // TURN_EACH
    assert operations > 700
