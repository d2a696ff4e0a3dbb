"""Files that outlast a power cut: each step that can be cut is a method of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from kerbline import durable


class Disk(Protocol):
    """The steps; `keep` puts them together. All raise OSError."""

    def read(self, path: Path) -> bytes | None:
        """The whole file; None where there is none."""

    def write(self, path: Path, content: bytes) -> None:
        """Make or overwrite the file, mode 0600; durable after `sync`."""

    def sync(self, path: Path) -> None:
        """The file's content is durable."""

    def rename(self, path: Path, to: Path) -> None:
        """In the place of what is there; durable after `sync_folder`."""

    def sync_folder(self, path: Path) -> None:
        """The folder's names are durable."""


class RealDisk:
    """The machine's own (POSIX)."""

    def read(self, path: Path) -> bytes | None:
        """See Disk."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: bytes) -> None:
        """See Disk."""
        durable.fresh(path, content)

    def sync(self, path: Path) -> None:
        """See Disk."""
        durable.sync(path)

    def rename(self, path: Path, to: Path) -> None:
        """See Disk."""
        path.replace(to)

    def sync_folder(self, path: Path) -> None:
        """See Disk."""
        durable.sync(path)


def keep(disk: Disk, path: Path, content: bytes) -> None:
    """Durable on return; cut short, the old or the new content stands there whole."""
    draft = durable.draft_of(path)
    disk.write(draft, content)
    disk.sync(draft)
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
