"""Files that outlast a power cut, as they were or as they become; private from their first byte.

A link at the place of a file is never followed. What root writes belongs to the folder's owner: the
gateway has a user of its own, who reads what `sudo kerbline` left there. All raise OSError, which
names the file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait


def folder(path: Path) -> Path:
    """A folder of mode 0700, with those above it, where there is none."""
    if path.is_dir():
        return path
    if os.path.lexists(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    with _opened(path, os.O_RDONLY | os.O_DIRECTORY) as made:
        _hand_over(made, path.parent)
    return path


def sync(path: Path) -> None:
    """The content of a file, or the names in a folder, are durable."""
    with _opened(path, os.O_RDONLY | os.O_CLOEXEC) as descriptor:
        os.fsync(descriptor)


def content(path: Path) -> bytes:
    """What stands in a file; a pipe or a device at its place is refused, not waited for."""
    with _opened(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK) as descriptor:
        if stat.S_ISFIFO(mode := os.fstat(descriptor).st_mode) or stat.S_ISCHR(mode):
            raise OSError(errno.ENXIO, "no file, but a pipe or a device", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()


def fresh(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """A new file in the place of whatever is there; its name is not durable yet."""
    with writing(path, mode=mode) as file:
        file.write(content)


@contextmanager
def writing(path: Path, *, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """As `fresh`, for a content that comes bit by bit; what fails leaves no file."""
    path.unlink(missing_ok=True)
    with _opened(path, os.O_WRONLY | os.O_EXCL | _FLAGS, mode) as descriptor:
        try:
            _hand_over(descriptor, path.parent)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                yield file
            os.fsync(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)  # a full disk gets its room back
            raise


def settle(draft: Path, path: Path) -> None:
    """Bring a synced draft to its place, durably."""
    draft.replace(path)
    sync(path.parent)


def draft_of(path: Path) -> Path:
    """Where `replace` writes first: what a kill leaves there goes with the next time."""
    return path.with_name(path.name + ".new")


def replace(path: Path, content: bytes, *, mode: int = PRIVATE, draft: Path | None = None) -> None:
    """Write the whole file or nothing; who writes beside others names a draft of his own."""
    draft = draft or draft_of(path)
    fresh(draft, content, mode=mode)
    try:
        settle(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def place(path: Path, content: bytes) -> None:
    """Write into the file that is there, block for block, which a full disk allows; may tear."""
    with _opened(path, os.O_WRONLY | _FLAGS, PRIVATE) as descriptor:
        _hand_over(descriptor, path.parent)
        _write(descriptor, content)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)


def append(path: Path, lines: bytes, *, mode: int = PRIVATE) -> None:
    """Add to a file, there or not; where that fails it is as long as it was."""
    with _opened(path, os.O_WRONLY | os.O_APPEND | _FLAGS, mode) as descriptor:
        _hand_over(descriptor, path.parent)
        before = os.fstat(descriptor).st_size
        try:
            _write(descriptor, lines)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    sync(path.parent)


def erase(*paths: Path) -> None:
    """Overwrite with zeros and remove, durably; nothing where nothing is.

    What a file system or a flash disk keeps of older blocks by itself is out of reach from here.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            place(path, bytes(path.lstat().st_size))
            path.unlink()
            sync(path.parent)


@contextmanager
def _opened(path: Path, flags: int, mode: int = 0) -> Iterator[int]:
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    except OSError as error:
        error.filename = str(path)  # a full disk names none, a folder that was opened its number
        raise
    finally:
        os.close(descriptor)


def _hand_over(descriptor: int, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _write(descriptor: int, content: bytes) -> None:
    while content:  # a disk that fills up takes a part first
        content = content[os.write(descriptor, content) :]
