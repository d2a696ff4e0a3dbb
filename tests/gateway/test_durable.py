"""What outlasts a power cut: each step is cut, and what was not synced is lost; modes, links."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kerbline import durable

STEPS = ("open", "write", "fsync", "replace", "unlink", "ftruncate", "mkdir")
Files = Mapping[str, bytes]


class Cut(BaseException):
    """Nothing runs any more."""


class Machine:
    """A folder whose machine stops before a step; `killed` and `unplugged` is what then stands.

    Unplugged, a file has what was last synced of it, under the names that were last synced, or
    (`named`) under those of the moment: file systems may write names first.
    """

    def __init__(self, folder: Path, cut_at: int) -> None:
        self._folder = folder
        self._left = cut_at
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self._real = {name: getattr(os, name) for name in STEPS}
        for path in folder.iterdir():
            self._names[path.name] = path.stat().st_ino
            self._contents[path.stat().st_ino] = path.read_bytes()

    @contextmanager
    def running(self) -> Iterator[None]:
        for name in STEPS:
            setattr(os, name, self._counted(name))
        try:
            yield
        finally:
            for name, function in self._real.items():
                setattr(os, name, function)

    def _counted(self, name: str) -> Callable[..., Any]:
        def step(*given: Any, **more: Any) -> Any:
            if self._left == 0:
                self._stop()
            self._left -= 1
            done = self._real[name](*given, **more)
            if name == "fsync":
                self._synced(given[0])
            return done

        return step

    def _synced(self, descriptor: int) -> None:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            self._names = {each.name: each.inode() for each in os.scandir(self._folder)}
        else:
            path = Path(f"/proc/self/fd/{descriptor}").resolve()
            self._contents[about.st_ino] = path.read_bytes()

    def _stop(self) -> None:
        if self._left == 0:
            for name, function in self._real.items():  # to look at what stands
                setattr(os, name, function)
            here = {each.name: each.inode() for each in os.scandir(self._folder)}
            self.killed: Files = {name: (self._folder / name).read_bytes() for name in here}
            self.unplugged: Files = self._safe(self._names)
            self.named: Files = self._safe(here)
        self._left = -1
        raise Cut

    def _safe(self, names: Mapping[str, int]) -> Files:
        return {name: self._contents.get(number, b"") for name, number in names.items()}


def cuts(folder: Path, before: Files, work: Callable[[Path], None]) -> Iterator[Files]:
    """What each cut within `work` leaves of a folder that had `before`, in all three ways."""
    for at in range(100):
        here = folder / str(at)
        here.mkdir()
        for name, content in before.items():
            (here / name).write_bytes(content)
        machine = Machine(here, at)
        try:
            with machine.running():
                work(here)
        except Cut:
            yield from (machine.killed, machine.unplugged, machine.named)
        else:
            assert at > 3, "several steps were cut"
            # What it leaves when it returns needs nothing more to be durable.
            assert machine._safe(machine._names) == {
                each.name: each.read_bytes() for each in here.iterdir()
            }
            return


def test_a_file_that_is_replaced_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    seen = [
        left["x"]
        for left in cuts(
            tmp_path,
            {"x": b"old", "x.new": b"of a kill"},
            lambda at: durable.replace(at / "x", b"new"),
        )
    ]
    assert set(seen) == {b"old", b"new"} and len(seen) >= 18


def test_what_is_appended_is_there_or_a_part_of_it_at_the_end(tmp_path: Path) -> None:
    for left in cuts(tmp_path, {"x": b"1\n"}, lambda at: durable.append(at / "x", b"2\n")):
        assert left["x"] in (b"1\n", b"1\n2\n")


def test_a_first_line_is_durable_with_its_name(tmp_path: Path) -> None:
    for left in cuts(tmp_path, {}, lambda at: durable.append(at / "x", b"1\n")):
        assert left.get("x", b"") in (b"", b"1\n")


def test_what_is_written_in_its_place_is_durable(tmp_path: Path) -> None:
    for left in cuts(tmp_path, {"x": b"longer"}, lambda at: durable.place(at / "x", b"new")):
        assert left["x"] in (b"longer", b"newger", b"new")


def test_what_is_erased_is_never_gone_unblanked(tmp_path: Path) -> None:
    """A name that comes back after a power cut leads to zeros."""
    gone = False
    for left in cuts(tmp_path, {"x": b"key", "y": b"y"}, lambda at: durable.erase(at / "x")):
        assert left.get("x", bytes(3)) in (b"key", bytes(3))
        gone = gone or "x" not in left
    assert gone


def test_erasing_takes_several_and_none(tmp_path: Path) -> None:
    path, held = tmp_path / "key", tmp_path / "held"
    durable.replace(path, b"secret")
    draft = durable.draft_of(path)
    draft.write_bytes(b"secret")
    held.hardlink_to(path)
    durable.erase(draft, path)
    assert [*tmp_path.iterdir()] == [held]
    assert held.read_bytes() == bytes(6)
    durable.erase(draft, path)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_files_are_private_from_their_first_byte(tmp_path: Path, umask: int) -> None:
    seen: list[int] = []
    real = os.write

    def looking(descriptor: int, content: Any) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, content)

    before = os.umask(umask)
    os.write = looking
    try:
        made = durable.folder(tmp_path / "a" / "b")
        (made / "x.new").touch(0o666)  # of somebody else
        durable.replace(made / "x", b"x")
        durable.place(made / "p", b"p")
        durable.append(made / "l", b"l")
        durable.replace(made / "open", b"o", mode=0o666)
    finally:
        os.write = real
        os.umask(before)
    modes = [stat.S_IMODE((made / name).stat().st_mode) for name in ("x", "p", "l", "open")]
    assert modes == [0o600] * 3 + [0o666 & ~umask]
    assert seen == [0o600, 0o600]  # the others are written through a buffer
    for each in (made, made.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700


def test_a_link_at_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    aim = tmp_path / "aim"
    aim.write_bytes(b"untouched")
    for name in ("x", "x.new"):
        (tmp_path / name).symlink_to(aim)
    for refused in (durable.place, durable.append):
        with pytest.raises(OSError, match="x'") as told:
            refused(tmp_path / "x", b"n")
        assert told.value.filename == str(tmp_path / "x")
    with pytest.raises(OSError, match="symbolic links"):
        durable.erase(tmp_path / "x")
    durable.replace(tmp_path / "x", b"new")  # in the place of both links
    assert not (tmp_path / "x").is_symlink() and (tmp_path / "x").read_bytes() == b"new"
    assert aim.read_bytes() == b"untouched"
    assert {each.name for each in tmp_path.iterdir()} == {"aim", "x"}


@contextmanager
def full(most_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("change", [durable.replace, durable.append])
def test_a_full_disk_leaves_a_file_as_it_was(
    tmp_path: Path, change: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with full(1_000), pytest.raises(OSError, match="too large") as told:
        change(path, bytes(5_000))
    assert Path(str(told.value.filename)).name in ("x", "x.new")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"x": b"old"}


def test_a_file_where_a_folder_is_to_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError, match="a'"):
        durable.folder(tmp_path / "a" / "b")


def test_what_fails_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.replace(tmp_path / "x", b"new")
    with pytest.raises(FileNotFoundError), durable.writing(tmp_path / "y") as file:
        file.write((tmp_path / "none").read_bytes())
    with pytest.raises(FileNotFoundError, match="none"):
        durable.replace(tmp_path / "none" / "x", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.mkfifo(path)
    calls: list[Callable[[], object]] = [
        lambda: durable.content(path),
        lambda: durable.place(path, b"new"),
        lambda: durable.append(path, b"new"),
        lambda: durable.erase(path),
    ]
    for call in calls:
        with pytest.raises(OSError, match="/x'"):
            call()
    durable.replace(path, b"new")
    assert durable.content(path) == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_is_its_folders_owners(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    made = durable.folder(tmp_path / "a" / "b")
    durable.replace(made / "x", b"x")
    durable.append(made / "l", b"l")
    durable.place(made / "p", b"p")
    for each in (made.parent, made, *made.iterdir()):
        assert (each.stat().st_uid, each.stat().st_gid) == (4711, 4712)
