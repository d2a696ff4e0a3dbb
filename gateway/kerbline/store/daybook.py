"""Orders that leave before the disk has them: written down for a kill, not for a power cut.

What is written and not synced is the kernel's, and outlives this process. That takes microseconds
where a sync takes what the disk likes. The ledger enters the same order durably meanwhile, which
strikes it off here.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from kerbline.model import Command, Value
from kerbline.store.aside import beside

ROOM_BYTES = 65_536  # some 300 orders that the ledger has not entered yet
_WORD = 8  # bytes of a round's mark and of a checksum, in hex


class Daybook:
    """The file `.daybook` of a database: a line an order, from the start again when all are struck.

    Each line begins with the mark of its round and a CRC-32, so that neither the rest of an earlier
    round nor what a power cut tore is read.
    """

    def __init__(self, database: Path) -> None:
        self._path = beside(database, ".daybook")
        self._lock = threading.Lock()  # the event loop writes, the store's thread strikes off
        self._file = -1
        self._mark = b""
        self._end = 0
        self._listed: set[str] = set()

    def open(self) -> list[tuple[Command, int]]:
        """What a run before wrote that is not struck off, each with its real UTC, in order."""
        found: list[tuple[Command, int]] = []
        with suppress(OSError, ValueError, TypeError):
            text = _beginning(self._path)
            self._mark = text[:_WORD]
            for line in text.split(b"\n")[:-1]:
                body = line[2 * _WORD :]
                if line[: 2 * _WORD] != self._mark + _checksum(body):
                    break
                found.append(_parsed(orjson.loads(body)))
                self._end += len(line) + 1
        self._listed = {command.id for command, _ in found}
        self._reach()
        return found

    def write(self, command: Command, at_ms: int) -> bool:
        """Write an order down, once; False where there is no room, or the disk takes nothing."""
        body = orjson.dumps(
            (
                command.id,
                command.asset,
                command.operation,
                dict(command.arguments),
                command.expires_at_ms,
                command.source,
                at_ms,
            )
        )
        with self._lock:
            if command.id in self._listed:
                return True
            line = self._mark + _checksum(body) + body + b"\n"
            if self._file < 0 or self._end + len(line) > ROOM_BYTES:
                return False
            try:
                whole = os.pwrite(self._file, line, self._end) == len(line)
            except OSError:
                return False
            if whole:
                self._end += len(line)
                self._listed.add(command.id)
            return whole

    def strike(self, names: Iterable[str]) -> None:
        """The ledger has these, durably."""
        with self._lock:
            if self._listed:
                self._listed.difference_update(names)
                if not self._listed:
                    self._begin()
            if self._file < 0:
                self._reach()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _reach(self) -> None:
        """Open it to write; where the disk refuses, again when it has taken something else."""
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            if not self._listed:
                self._begin()

    def _begin(self) -> None:
        """A round: the first line of the one before counts no more."""
        self._mark = os.urandom(_WORD // 2).hex().encode()
        self._end = 0
        if self._file >= 0:
            with suppress(OSError):  # an order that is read all the same is found in the ledger
                os.pwrite(self._file, b"\n", 0)


def values(given: dict[str, Any]) -> dict[str, Value]:
    """Arguments from JSON, which has lists alone."""
    return {
        label: tuple(value) if isinstance(value, list) else value for label, value in given.items()
    }


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def _beginning(path: Path) -> bytes:
    if not path.is_file():  # a pipe would keep us waiting
        return b""
    with path.open("rb") as file:
        return file.read(ROOM_BYTES)


def _parsed(row: list[Any]) -> tuple[Command, int]:
    name, asset, operation, arguments, expires_at_ms, source, at_ms = row
    texts, numbers = (name, asset, operation, source), (expires_at_ms, at_ms)
    if not (
        all(isinstance(each, str) for each in texts)
        and all(isinstance(each, int) for each in numbers)
        and isinstance(arguments, dict)
    ):
        raise ValueError("another version's")
    return Command(name, asset, operation, values(arguments), expires_at_ms, source), at_ms
