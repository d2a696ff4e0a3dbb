"""The epochs that a gateway began and whose end is not declared yet: a file that never grows.

It lies beside the database and is written in its place, which a full disk allows: so an epoch that
the database could not take is not given twice, and what is lost of it becomes a gap.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from kerbline import durable
from kerbline.store.aside import beside

BYTES = 4096  # a block of a file system; some 370 epochs, the oldest go first


class Begun:
    """The file `.begun` of a database."""

    def __init__(self, database: Path) -> None:
        self._path = beside(database, ".begun")

    def read(self) -> tuple[int, ...]:
        """The epochs, rising; what a power cut tore is left out."""
        try:
            words = self._path.read_bytes()[:BYTES].split()
        except OSError:
            return ()
        return tuple(sorted({int(word) for word in words if word.isdigit() and len(word) < 16}))

    def write(self, epochs: Collection[int]) -> None:
        """Take their place; a disk that refuses even this costs their gaps, if we are killed."""
        text = b""
        for epoch in sorted(epochs, reverse=True):
            line = b"%d\n" % epoch
            if len(text) + len(line) > BYTES:
                break
            text += line
        with suppress(OSError):
            durable.place(self._path, text.ljust(BYTES))
