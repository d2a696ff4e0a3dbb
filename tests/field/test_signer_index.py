"""No index is ever given twice: not after a power cut, not from a backup, not by two at once."""

import itertools
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kerbline.field.signing.counter import FILE, Counter, Step, decode
from kerbline.field.signing.faults import SignerFault
from tests.field.cut_disk import FATES, CutDisk, PowerCut

KEY = Path("/stick/key")
WITNESS = Path("/laptop/state/root.index")
KILLS = 16
HISTORIES = 1500
# Tells each index as soon as it has it: what a signature would leave with.
CHILD = """
import os, sys
from pathlib import Path
from kerbline.field.signing.counter import Counter
from kerbline.field.signing.disk import RealDisk
folder = Path(sys.argv[1])
counter = Counter(RealDisk(), folder / "key", folder / "witness")
os.write(1, b"ready\\n")
while True:
    os.write(1, b"%d\\n" % counter.take())
"""


def counter(disk: CutDisk, key: Path = KEY, witness: Path = WITNESS) -> Counter:
    serial = itertools.count(disk.steps)
    return Counter(disk, key, witness, lambda: f"{next(serial):016x}")


def begun(disk: CutDisk | None = None) -> CutDisk:
    disk = disk or CutDisk()
    counter(disk).begin()
    return disk


def steps_of_one() -> int:
    disk = begun()
    before = disk.steps
    counter(disk).take()
    return disk.steps - before


def with_cuts(disk: CutDisk, cuts: tuple[tuple[int, str], ...]) -> list[int]:
    """The indices that left while the power was cut at these steps, and after."""
    left = [counter(disk).take(), counter(disk).take()]
    for cut_at, fate in cuts:
        disk.cut_at = cut_at
        with suppress(PowerCut):
            left.append(counter(disk).take())
        disk.restart(fate)
    return [*left, counter(disk).take(), counter(disk).take()]


def test_indices_rise_by_one() -> None:
    disk = begun()
    assert [counter(disk).take() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert counter(disk).next() == 5


def test_a_step_takes_both_places_to_the_disk() -> None:
    """Content and name of two files: eight steps."""
    assert steps_of_one() == 8


@pytest.mark.parametrize("fate", FATES)
def test_no_index_twice_wherever_power_is_cut(fate: str) -> None:
    for first in range(steps_of_one() + 1):
        left = with_cuts(begun(), ((first, fate),))
        assert len(set(left)) == len(left) and left == sorted(left), (first, fate, left)


def test_no_index_twice_where_power_is_cut_again() -> None:
    each = list(itertools.product(range(steps_of_one() + 1), FATES))
    for cuts in itertools.product(each, each):
        left = with_cuts(begun(), cuts)
        assert len(set(left)) == len(left) and left == sorted(left), (cuts, left)


class NoSync(CutDisk):
    """A disk that says it has what it has not."""

    def sync(self, path: Path) -> None:
        """Nothing."""


def test_the_sweep_finds_a_step_that_is_not_synced() -> None:
    found = 0
    for cut in itertools.product(range(7), FATES):
        try:
            left = with_cuts(begun(NoSync()), (cut,))
            found += len(set(left)) != len(left)
        except SignerFault:
            found += 1
    assert found


def test_no_history_gives_an_index_twice() -> None:
    """Backups, of the key's folder and brought back at any time, power cuts, two machines."""
    chance = random.Random(8554)
    other = Path("/other/state/root.index")
    refused: list[str] = []
    for _ in range(HISTORIES):
        disk = begun()
        left: list[int] = []
        backups = [disk.read(KEY / FILE)]
        for _ in range(12):
            deed = chance.choice(("take", "take", "take", "cut", "backup", "restore", "elsewhere"))
            if deed == "backup":
                backups.append(disk.read(KEY / FILE))
            elif deed == "restore":
                disk.put(KEY / FILE, chance.choice(backups))
            else:
                disk.cut_at = chance.randrange(8) if deed == "cut" else None
                try:
                    place = other if deed == "elsewhere" else WITNESS
                    left.append(counter(disk, witness=place).take())
                except PowerCut:
                    disk.restart(chance.choice(FATES))
                except SignerFault as fault:
                    refused.append(fault.reason)
        assert len(set(left)) == len(left), left
    assert len(refused) > HISTORIES and set(refused) == {"restored", "moved", "no-witness"}


def test_a_backup_of_one_signature_ago_is_refused() -> None:
    disk = begun()
    counter(disk).take()
    before = disk.read(KEY / FILE)
    counter(disk).take()
    disk.put(KEY / FILE, before)
    with pytest.raises(SignerFault, match=r"is next here, and .* knows of 2") as told:
        counter(disk).take()
    assert told.value.reason == "restored" and "--adopt --next-index N" in str(told.value)


def test_a_copy_beside_the_key_is_refused() -> None:
    """Two folders, one witness: the second that signs is found out."""
    disk, copy = begun(), Path("/copy/key")
    disk.put(copy / FILE, disk.read(KEY / FILE))
    assert counter(disk, copy).take() == 0
    with pytest.raises(SignerFault) as told:
        counter(disk).take()
    assert told.value.reason == "restored"


def test_a_key_that_was_used_elsewhere_is_refused() -> None:
    disk = begun()
    elsewhere = Path("/other/state/root.index")
    counter(disk, witness=elsewhere).adopt(0)
    for _ in range(2):
        counter(disk, witness=elsewhere).take()
    with pytest.raises(SignerFault) as told:
        counter(disk).take()
    assert told.value.reason == "moved"


def test_a_witness_that_is_gone_is_told_and_mended() -> None:
    disk = begun()
    for _ in range(3):
        counter(disk).take()
    disk.put(WITNESS, None)
    with pytest.raises(SignerFault) as told:
        counter(disk).take()
    assert told.value.reason == "no-witness" and "--adopt --next-index N" in str(told.value)
    counter(disk).adopt(3)
    assert counter(disk).take() == 3


def test_an_index_that_came_back_with_its_witness_is_found_by_a_release() -> None:
    """A whole laptop restored: only what is out there tells."""
    disk = begun()
    with pytest.raises(SignerFault) as told:
        counter(disk).take(used=[4, 0])
    assert told.value.reason == "restored"
    assert counter(disk).next() == 0


def test_adopting_goes_up_only() -> None:
    disk = begun()
    for _ in range(5):
        counter(disk).take()
    for too_low, used in ((4, []), (5, [9]), (9, [9])):
        with pytest.raises(SignerFault, match="is the lowest that is known not") as told:
            counter(disk).adopt(too_low, used)
        assert told.value.reason == "too-low"
    counter(disk).adopt(10, [9])
    assert counter(disk).take() == 10
    disk.put(KEY / FILE, Step(2, "a", "b").encoded())  # an old one: the witness counts
    with pytest.raises(SignerFault):
        counter(disk).adopt(10)
    counter(disk).adopt(11)
    assert counter(disk).take() == 11


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 9999,
        Step(1, "a", "b").encoded().replace(b"1", b"2", 1),
        Step(-1, "a", "b").encoded(),
        Step(1, "a", "b").encoded().replace(b'"was"', b'"war"'),
    ],
)
def test_a_damaged_index_is_told(content: bytes) -> None:
    with pytest.raises(SignerFault) as told:
        decode(content, KEY / FILE)
    assert told.value.reason == "damaged" and str(KEY / FILE) in str(told.value)
    disk = begun()
    disk.put(KEY / FILE, content)
    with pytest.raises(SignerFault):
        counter(disk).take()
    counter(disk).adopt(1)
    assert counter(disk).take() == 1


def test_killed_at_any_time_no_index_is_told_twice(tmp_path: Path) -> None:
    """SIGKILL to a real process on a real disk; the next one goes on by itself."""
    from kerbline.field.signing.disk import RealDisk

    (tmp_path / "key").mkdir()
    Counter(RealDisk(), tmp_path / "key", tmp_path / "witness").begin()
    chance = random.Random(9)
    told: list[int] = []
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-S", "-c", CHILD, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            lines = [child.stdout.readline() for _ in range(chance.randrange(4))]
            for _ in range(chance.randrange(20_000)):  # somewhere within the next step
                pass
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        told += [int(line) for line in lines if line.endswith(b"\n")]
    assert len(told) >= KILLS
    assert len(set(told)) == len(told) and told == sorted(told)
