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

from kerbline.model import Command, CommandResult, CommandState, Value
from kerbline.store.aside import beside

ROOM_BYTES = 65_536  # some 300 orders that the ledger has not entered yet
_OUTCOME_PARTS = 4  # of such a line; an order's has more
_WORD = 8  # bytes of a round's mark and of a checksum, in hex


class Daybook:
    """The file `.daybook` of a database: a line an order, from the start again when all are struck.

    While the disk takes nothing into the ledger, a further line is what became of one.
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
        self._outcomes: dict[str, CommandResult] = {}

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
                row = orjson.loads(body)
                if len(row) == _OUTCOME_PARTS:
                    result = _outcome(row, found)
                    self._outcomes[result.command_id] = result
                else:
                    found.append(_parsed(row))
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
            if command.id not in self._listed and self._append(body):
                self._listed.add(command.id)
            return command.id in self._listed

    def note(self, result: CommandResult) -> None:
        """What became of an order, where the ledger can't have it: somebody is told of it."""
        body = orjson.dumps((result.command_id, result.state, result.reason, result.at_ms))
        with self._lock:
            new = self._outcomes.get(result.command_id) != result
            if new and result.command_id in self._listed and self._append(body):
                self._outcomes[result.command_id] = result

    def outcome(self, name: str) -> CommandResult | None:
        """What became of an order, as noted last."""
        return self._outcomes.get(name)

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

    def _append(self, body: bytes) -> bool:
        line = self._mark + _checksum(body) + body + b"\n"
        if self._file < 0 or self._end + len(line) > ROOM_BYTES:
            return False
        try:
            whole = os.pwrite(self._file, line, self._end) == len(line)
        except OSError:
            return False
        if whole:
            self._end += len(line)
        return whole

    def _reach(self) -> None:
        """Open it to write; where the disk refuses, again when it has taken something else."""
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            with suppress(OSError):  # it has its room when the disk has none left
                os.posix_fallocate(self._file, 0, ROOM_BYTES)
            if not self._listed:
                self._begin()

    def _begin(self) -> None:
        """A round: the first line of the one before counts no more."""
        self._mark = os.urandom(_WORD // 2).hex().encode()
        self._end = 0
        self._outcomes.clear()
        if self._file >= 0:
            with suppress(OSError):  # an order that is read all the same is found in the ledger
                os.pwrite(self._file, b"\n", 0)


def _outcome(row: list[Any], found: list[tuple[Command, int]]) -> CommandResult:
    name, state, reason, at_ms = row
    asset = next((command.asset for command, _ in found if command.id == name), None)
    if asset is None or not isinstance(reason, str) or not isinstance(at_ms, int):
        raise ValueError("of no order before it")
    return CommandResult(name, asset, CommandState(state), reason, at_ms)


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
