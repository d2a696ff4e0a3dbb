"""`kerbline firmware`: from the tree to a verified bundle, and what is said on the way."""

import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline import boards
from kerbline.bundle import load
from kerbline.cli import app
from kerbline.errors import KerblineError
from kerbline.field.signing.assembly import expiry_s, last_day
from kerbline.firmware import build, kept
from tests.field import releases
from tools.trees import ROOT

BOARD = releases.BOARD  # tests of installing build it too, and what was built is kept
OTHER = "air-quality-esp32"


@dataclass(frozen=True)
class Done:
    """What a command said; `status` as the shell has it."""

    status: int
    out: str
    err: str


def run(*words: object) -> Done:
    done = CliRunner().invoke(app, ["firmware", *map(str, words)], standalone_mode=False)
    if isinstance(done.exception, KerblineError):
        return Done(done.exception.exit_status, done.stdout, f"{done.stderr}{done.exception}\n")
    if done.exception is not None:
        raise done.exception
    return Done(done.return_value, done.stdout, done.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copied(source: Path, to: Path) -> Path:
    """What a release is built from, elsewhere; with what was made small before."""
    to.mkdir(parents=True)
    shutil.copy(source / "pyproject.toml", to)
    for each in ("firmware", "protocol", "gateway", "boards"):
        unwanted = shutil.ignore_patterns("__pycache__", "vectors")
        shutil.copytree(source / each, to / each, ignore=unwanted)
    (to / "build" / "small").mkdir(parents=True)
    for kept_file in (source / "build" / "small").glob("*.json"):
        with suppress(FileNotFoundError):  # the oldest go when somebody else builds
            shutil.copy(kept_file, to / "build" / "small")
    return to


def small(tree: Path) -> list[str]:
    """What the builds in that tree keep."""
    return sorted(file.name for file in (tree / "build" / "small").glob("*.json"))


def built(tree: Path, out: Path, *, zone: str, locale: str, mask: int) -> bytes:
    """A release of a tree by its own command line."""
    words = ["build", BOARD, "--sequence", "3", "--expires", "2027-06-30", "--over-budget"]
    subprocess.run(
        [sys.executable, "-m", "kerbline", "firmware", *words, "--out", out.name],
        cwd=out.parent,
        env={
            **os.environ,
            "PYTHONPATH": f"{tree}/gateway:{tree}/protocol",
            "TZ": zone,
            "LC_ALL": locale,
            "PYTHONHASHSEED": str(mask),
        },
        umask=mask,
        check=True,
        capture_output=True,
    )
    return out.read_bytes()


def test_a_release_from_the_tree(here: Path) -> None:
    file = boards.find(BOARD)
    build.build(build.of_board(boards.load(file), str(file)), keep=kept.folder())
    one = copied(ROOT, here / "tree")  # with what that build kept
    first = built(one, here / "one.kerb", zone="UTC", locale="C", mask=0o022)
    two = copied(one, here / "another" / "place")
    second = built(two, here / "two.kerb", zone="Pacific/Apia", locale="tr_TR.UTF-8", mask=0o077)
    assert first == second
    assert small(one) == small(two), "it was made anew"

    made = run("keygen", "key")
    assert made.status == 0 and f"{here}/state/kerbline/release/" in made.out
    signed = run("sign", "one.kerb", "--key", "key")
    assert signed.status == 0 and "index 0, 991 left" in signed.out
    verified = run("verify", "one.kerb", "--root", "key/release.pub", "--on", "2027-06-30")
    assert verified.status == 0
    assert verified.out.startswith(f"one.kerb: good; {BOARD} ")
    late = run("verify", "one.kerb", "--root", "key/release.pub", "--on", "2027-07-01")
    assert late.status == 1 and "[expired]" in late.err

    bundle = load(Path("one.kerb"), None)
    table = run("inspect", "one.kerb").out
    told = json.loads(run("inspect", "one.kerb", "--json").out)
    assert told["build"] == bundle.build.hex() and told["build"] in table
    assert told["last_day"] == "2027-06-30" and "2027-06-30" in table
    assert (told["index"], told["sequence"], told["board"]) == (0, 3, BOARD)
    names = [each["name"] for each in told["files"]]
    assert names == sorted(bundle.files) and all(name in table for name in names)
    assert "kerbnode/app.mpy" in names and "build.json" not in names
    assert {"boot.py", "main.py"} <= bundle.starts.keys()


def test_days_are_whole() -> None:
    from datetime import date

    assert expiry_s(None) == 0 and last_day(0) is None
    assert expiry_s(date(2000, 1, 1)) == 86_400
    assert last_day(expiry_s(date(2028, 2, 29))) == "2028-02-29"


def test_a_day_that_no_manifest_tells_is_refused() -> None:
    from datetime import date

    assert last_day(expiry_s(date(2136, 2, 6))) == "2136-02-06"
    for day in (date(1999, 12, 31), date(2136, 2, 7), date(9999, 12, 31)):
        with pytest.raises(
            KerblineError, match=f"--expires {day}: .* from 2000-01-01 to 2136-02-06"
        ):
            expiry_s(day)


def test_a_release_that_is_built_in_vain_is_told(here: Path) -> None:
    words = ("build", "no-board", "--sequence", 8)
    done = run(*words, "--expires", "2020-01-31", "--out", "late.kerb")
    assert "warning: its last day was 2020-01-31: no node" in done.err
    for out in (here, here / "none" / "new.kerb"):
        done = run(*words, "--out", out)
        assert done.status == 1 and f"{out}: " in done.err and "[out]; " in done.err


def test_no_build_takes_the_place_of_what_is_signed(here: Path) -> None:
    words = ("build", "no-board", "--sequence", 8, "--out")
    for name, content, what in (
        ("street.kerb", releases.signed(), "is signed by root"),
        ("release.key", b"kerbline release key", "is no bundle"),
    ):
        (here / name).write_bytes(content)
        done = run(*words, name)
        assert done.status == 1 and f"{name}: {what}" in done.err and "[exists]; " in done.err
        assert "name another --out, or say --replace" in done.err
        assert (here / name).read_bytes() == content
        assert "[exists]" not in run(*words, name, "--replace").err  # but there is no such board
    (here / "street.kerb").write_bytes(releases.unsigned())
    assert "[exists]" not in run(*words, "street.kerb").err


@pytest.mark.usefixtures("here")
def test_a_verdict_is_a_line_and_a_status() -> None:
    Path("good.kerb").write_bytes(releases.signed(expires_s=1))
    Path("pub").write_text(releases.key().root.text)
    Path("other.pub").write_text(releases.stranger().text)
    Path("cut.kerb").write_bytes(releases.signed()[:-1])
    old = ("--on", "2000-01-01")
    assert run("verify", "good.kerb", "--root", "pub", *old, "--at-least", 7).status == 0
    for words, reason in (
        (("good.kerb", "--root", "pub"), "expired"),
        (("good.kerb", "--root", "other.pub", *old), "wrong-root"),
        (("good.kerb", "--root", "pub", *old, "--board", "sim"), "board"),
        (("good.kerb", "--root", "pub", *old, "--at-least", 8), "sequence"),
        (("cut.kerb", "--root", "pub", *old), "truncated"),
        (("none.kerb", "--root", "pub", *old), "unreadable"),
        (("good.kerb", "--root", "good.kerb", *old), "root"),
    ):
        done = run("verify", *words)
        assert done.status == 1 and done.out == ""
        assert f"[{reason}]; " in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.usefixtures("here")
def test_a_release_follows_on_those_of_its_board() -> None:
    Path("street.kerb").write_bytes(releases.signed())
    words = ("build", OTHER, "--over-budget", "--out", "new.kerb", "--from", "street.kerb")
    done = run(*words, "--sequence", 8)
    assert done.status == 1 and f"street.kerb: is for {BOARD}, not for {OTHER}" in done.err
    words = ("build", BOARD, *words[2:])
    done = run(*words, "--sequence", 7)
    assert done.status == 1 and "say --sequence 8 or more" in done.err
    assert not Path("new.kerb").exists()


@pytest.mark.usefixtures("here")
def test_adopting_needs_its_index() -> None:
    from click import UsageError

    for words in (("--adopt",), ("--next-index", "7")):
        with pytest.raises(UsageError, match="go together"):
            run("sign", "some.kerb", "--key", "key", *words)


@pytest.mark.usefixtures("here")
def test_any_file_gets_an_answer() -> None:
    """Neither a traceback nor a bundle for what chance wrote."""
    chance = random.Random(5)
    Path("pub").write_text(releases.key().root.text)
    whole = releases.signed()
    for length in (0, 1, 511, 512, 513, 5000):
        for begin in (b"", whole[:512], whole[:1024]):
            Path("any.kerb").write_bytes(begin + chance.randbytes(length))
            for words in (("verify", "any.kerb", "--root", "pub"), ("inspect", "any.kerb")):
                done = run(*words)
                assert done.status == 1 and done.err.startswith("any.kerb: ")
