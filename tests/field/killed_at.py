"""Runs `kerbline` and kills it, as `kill -9` does, before a change of a file in a folder.

python killed_at.py FOLDER WHERE WORD...; WHERE is EVENT:END (`os.rename:/key`: when a file whose
path ends so is about to be renamed to it) or a number: before the n-th change of any file there.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from kerbline.cli import main

CHANGES = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR


class Killer:
    """An audit hook; see sys.addaudithook."""

    def __init__(self, folder: str, where: str) -> None:
        self._folder = folder
        self._left = int(where) if where.isdigit() else 0
        self._event, _, self._end = where.partition(":")

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in CHANGES or (event == "open" and not (given[2] or 0) & WRITING):
            return
        target = given[1] if event in ("os.rename", "os.link") else given[0]
        path = os.fsdecode(target) if isinstance(target, str | bytes | os.PathLike) else ""
        if not path.startswith(self._folder):
            return
        self._left -= 1
        if self._left == 0 or (event == self._event and path.endswith(self._end)):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, where, *words = sys.argv[1:]
    sys.argv[1:] = words
    sys.addaudithook(Killer(folder, where))
    main()
