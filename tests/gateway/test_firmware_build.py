"""A board's build: what it reaches and nothing else, the same bytes each time, in its budget."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from kerbline import boards
from kerbline.firmware import build, collect, every, identity, image, kept
from kerbline.firmware.shrink import shrunk
from kerbwire import manifest
from kerbwire.messages import MESSAGES_VERSION
from tests.gateway import boards_at_hand as at_hand
from tools.trees import ROOT

MOST_FILES = 42
MOUNT = """
import hashlib, os, sys, vfs
class Ram:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
    def readblocks(self, number, buffer, offset=0):
        at = number * 4096 + offset
        buffer[:] = self.data[at:at + len(buffer)]
    def writeblocks(self, number, buffer, offset=0):
        at = number * 4096 + offset
        self.data[at:at + len(buffer)] = buffer
    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.data) // 4096
        if operation == 5:
            return 4096
        if operation == 6:
            return 0
ram = Ram(sys.argv[1])
vfs.umount("/")
vfs.mount(ram, "/")  # by itself, as a stock image's _boot.py finds it
def show(folder):
    for name, kind, *_ in os.ilistdir(folder or "/"):
        path = folder + "/" + name
        if kind == 0x4000:
            show(path)
        else:
            with open(path, "rb") as file:
                print(path, hashlib.sha256(file.read()).digest().hex())
show("")
class Nvs:
    def __init__(self, name):
        pass
    def get_blob(self, name, room):
        raise OSError(-0x1102)
class Machine:
    NVS = Nvs
    reset_cause = staticmethod(lambda: 1)
sys.path[:] = ["", ".frozen"]
os.chdir("/")
sys.modules["machine"] = sys.modules["esp32"] = sys.modules["network"] = Machine
import choice, slots
choice.main()
import kerbwire.node, kerbnode.app
print("imported", kerbnode.app.main.__name__, slots.slot, kerbnode.app.__file__)
with open("/more", "w") as file:
    file.write("a node keeps a journal here")
print(os.stat("/more")[6])
"""


def target(name: str) -> build.Target:
    file = boards.find(name)
    return build.of_board(boards.load(file), str(file))


@pytest.fixture(scope="module")
def meter() -> build.Firmware:
    return build.build(target("water-meter-esp32"), keep=kept.folder())


def test_only_what_the_board_reaches_is_there(meter: build.Firmware) -> None:
    assert " WaterRegister" in meter.names
    for foreign in ("LampHead", "AirStation", "Scd41", "Streetlight"):
        assert foreign not in meter.names, foreign
    assert b"world.json" not in b"".join(part.content for part in meter.parts)


def test_files_are_few_and_main_is_source(meter: build.Firmware) -> None:
    """The image runs main.py and boot.py by name, and only as source; each file costs writes."""
    assert len(meter.files) + len(meter.starts) <= MOST_FILES
    assert set(meter.starts) == build.STARTS
    assert all(path.endswith(".mpy") for path in meter.files)
    assert all(data[:2] == b"M\x06" for data in meter.files.values())


def test_two_builds_are_equal(meter: build.Firmware, tmp_path: Path) -> None:
    """As it was kept, by who knows which process; made anew; from what that one kept."""
    again, third = (build.build(target("water-meter-esp32"), keep=tmp_path / "keep") for _ in "ab")
    held = [json.loads(file.read_text())[1] for file in (tmp_path / "keep").iterdir()]
    (texts,) = (each for each in held if collect.IDENTITY in each)
    assert repr(collect.NO_COMMIT) in texts[collect.IDENTITY], "the next commit makes all anew"
    assert len(held) == 2 and "kerbnode/build" not in held[held[0] is texts]
    trees = []
    for name, firmware in (("one", meter), ("two", again), ("three", third)):
        build.write(firmware, tmp_path / name)
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        trees.append({str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files})
    assert trees[0] == trees[1] == trees[2]
    assert {"littlefs.bin", "build.json", "sizes.txt", "main.py"} <= trees[0].keys()


def test_small_sources_are_kept_by_what_they_were_made_from(tmp_path: Path) -> None:
    one, two = ({"main": f"def said():\n    print({n!r})\nsaid()"} for n in ("one", "two"))
    made = kept.together(one, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    assert kept.together(two, tmp_path) == collect.together(two) != made == collect.together(one)
    (other,) = set(tmp_path.iterdir()) - {file}
    assert kept.together(one, tmp_path, shrunk) == shrunk(one)
    file.write_text(other.read_text())
    assert kept.together(one, tmp_path) == collect.together(two), "it is not read"
    for spoilt in (whole[:-9], whole.replace("print", "prinz"), "[1, 2]", "3", ""):
        file.write_text(spoilt)
        assert kept.together(one, tmp_path) == made
        assert file.read_text() == whole


def test_what_is_made_beside_us_is_waited_for(tmp_path: Path) -> None:
    made: list[int] = []
    beside = threading.Thread(target=lambda: kept.together({"main": "pass"}, tmp_path, make))

    def make(texts: Mapping[str, str]) -> dict[str, str]:
        made.append(len(made))
        if made == [0]:
            beside.start()
        return dict(texts)

    assert kept.together({"main": "pass"}, tmp_path, make) == {"main": "pass"}
    beside.join()
    assert made == [0]
    assert len(list(tmp_path.iterdir())) == 1, "the lock is left"


def test_only_so_many_small_sources_are_kept(tmp_path: Path) -> None:
    for number in range(kept.MOST_FILES + 3):
        newest = kept.together({"main": f"print({number})"}, tmp_path)
    assert len(list(tmp_path.iterdir())) == kept.MOST_FILES
    assert any(newest["main"] in file.read_text() for file in tmp_path.iterdir())


def test_a_build_says_which_it_is(meter: build.Firmware) -> None:
    about = json.loads(meter.identity)
    assert (about["board"], about["chip"]) == ("water-meter-esp32", "esp32")
    assert about["wire"] == MESSAGES_VERSION
    assert about["version"] == identity.version()
    code = b"".join(part.content for part in meter.parts)
    assert about["board"].encode() in code, "a node could not say it"
    if about["commit"] != identity.UNKNOWN:
        assert bytes.fromhex(about["commit"][:8]) in code
    for part in meter.parts:
        assert about["files"][part.path] == sha256(part.content).hexdigest()


def test_what_a_node_says_of_its_build() -> None:
    """kerbnode/build.py of the tree and of a build have the same names."""
    tree: dict[str, object] = {}
    exec((ROOT / "firmware/kerbnode/build.py").read_text(), tree)
    made: dict[str, object] = {}
    numbers = identity.numbers(identity.version())
    text = collect.identity(numbers, "b-esp32", MESSAGES_VERSION)
    exec(collect.of_commit(text, "a1b2c3d4e5" * 4), made)
    names = {"VERSION", "COMMIT", "BOARD", "WIRE"}
    assert names <= tree.keys() and names <= made.keys()
    assert (tree["VERSION"], tree["WIRE"]) == (numbers, MESSAGES_VERSION)
    assert (made["COMMIT"], made["BOARD"]) == (b"\xa1\xb2\xc3\xd4", "b-esp32")


def test_a_stock_image_mounts_the_file_system(
    meter: build.Firmware, tmp_path: Path, micropython: Path
) -> None:
    whole = meter.image()
    assert whole is not None and len(whole) == image.PARTITIONS["esp32"].size
    (tmp_path / "littlefs.bin").write_bytes(whole)
    (tmp_path / "mount.py").write_text(MOUNT)
    done = subprocess.run(
        [micropython, "-X", "heapsize=16M", tmp_path / "mount.py", tmp_path / "littlefs.bin"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    *lines, imported, size = done.stdout.splitlines()
    there = dict(line.split() for line in lines)
    wanted = {f"/{path}": data for path, data in meter.layout().items()}
    assert there == {path: sha256(data).hexdigest() for path, data in wanted.items()}
    assert imported == "imported main 0 /app/kerbnode/app.mpy"
    assert size == "27"


@pytest.fixture
def board_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(boards.find("water-meter-esp32c3"), tmp_path))


def kerbline(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kerbline", "node", "build", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_a_board_of_each_kind_keeps_its_budget(meter: build.Firmware) -> None:
    """No release can be made of one that does not."""
    others = [
        build.build(target(name), keep=kept.folder())
        for name in ("air-quality-esp32", "streetlight-esp32")
    ]
    assert [fault for each in (meter, *others) for fault in build.exceeded(each)] == []


def test_an_exceeded_budget_fails_the_build(board_file: Path) -> None:
    text = board_file.read_text().splitlines()
    (line,) = [number for number, each in enumerate(text) if each.startswith("mpy_bytes")]
    (stays,) = [n for n, each in enumerate(text) if each.startswith("resident_mpy_bytes")]
    text[line], text[stays] = "mpy_bytes = 20_000", "resident_mpy_bytes = 19_000"
    board_file.write_text("\n".join(text) + "\n")
    done = kerbline(board_file.parent, f"./{board_file.name}", "--out", "out")
    assert done.returncode == 1
    assert f"{board_file.name}:{line + 1}: budget.mpy_bytes: " in done.stderr
    assert f"{board_file.name}:{stays + 1}: budget.resident_mpy_bytes: " in done.stderr
    stamp = board_file.parent / "out" / board_file.stem / every.STAMP
    assert not stamp.exists(), "a build that failed would be taken for a good one"
    assert not stamp.with_name(build.IMAGE_FILE).exists(), "nobody shall flash it"


def test_the_simulated_board_is_not_built(tmp_path: Path) -> None:
    """It would stop at `import esp32`."""
    done = kerbline(tmp_path, "sim")
    assert (done.returncode, done.stdout) == (1, "")
    assert "sim runs on a PC as it is: there is nothing to build" in done.stderr


def test_a_build_is_kept_until_something_changes(board_file: Path, tmp_path: Path) -> None:
    def built() -> str:
        (told,) = every.build([str(board_file)], tmp_path)
        assert not [fault for fault in told.faults if "mpy_bytes" not in fault]
        return told.report

    folder = tmp_path / "water-meter-esp32c3"
    board_file.write_text(roomy(board_file.read_text()))
    assert "(as it was)" not in built()
    assert "(as it was)" in built()
    (folder / "main.py").write_text("pass\n")
    (folder / "left.mpy").write_text("from an older build")
    assert "(as it was)" not in built()
    assert (folder / "main.py").read_bytes() != b"pass\n"
    assert not (folder / "left.mpy").exists()


def roomy(text: str) -> str:
    """The board with budgets that nothing exceeds: they are another test's business."""
    lines = [
        line.split("=")[0] + "= 1_000_000" if "mpy_bytes" in line else line
        for line in text.splitlines()
    ]
    return "\n".join(lines) + "\n"


def test_a_slot_names_all_of_a_build(meter: build.Firmware) -> None:
    for slot in build.SLOTS:
        there = {f"/{path}": data for path, data in meter.layout(slot).items()}
        assert at_hand.running(there, slot) == meter.files | meter.starts
    made = manifest.decode(meter.manifest)
    assert (made.sequence, made.board) == (0, "water-meter-esp32")


def test_what_only_a_cable_lays_is_the_same_in_every_build(meter: build.Firmware) -> None:
    """It runs whatever slot there is, so nothing of a build may be in it."""
    other = build.build(target("streetlight-esp32"), keep=kept.folder())
    assert other.starts == meter.starts


def test_native_code_is_for_the_boards_chip() -> None:
    text = "import micropython\n@micropython.viper\ndef f(a: int) -> int:\n    return a + 1\n"
    made = {chip.name: _compiled(text, chip.native) for chip in boards.CHIPS.values() if chip.gpios}
    assert made["esp32"] == made["esp32s3"] != made["esp32c3"] == made["esp32c6"]
    plain: Mapping[str, bytes] = {n: _compiled("x = 1\n", n) for n in ("xtensawin", "rv32imc")}
    assert plain["xtensawin"] == plain["rv32imc"]


def _compiled(text: str, native: str) -> bytes:
    from kerbline.firmware import cross

    made = cross.compile_text(text, "f", native)
    assert not made.complaint
    return made.content


def test_the_manifest_freezes_what_a_build_may_take() -> None:
    """firmware/manifest.py is the same set for who freezes it into an image of their own."""
    taken: set[str] = set()

    def package(name: str, base_path: str = ".") -> None:
        assert (ROOT / "firmware" / base_path / name).is_dir()
        taken.add(name)

    def module(name: str) -> None:
        taken.add(name.removesuffix(".py"))

    names = {"package": package, "module": module}
    exec((ROOT / "firmware/manifest.py").read_text(), dict(names))
    assert taken == {name.partition(".")[0] for name in collect.tree()}
