"""The book of commands: each id runs once, every change of state leaves an audit line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kerbline.model import Command, CommandResult, CommandState
from kerbline.store.database import Database
from kerbline.store.schema import sealed

COMMANDS_KEPT = 10_000
OUTCOME_UNKNOWN = "outcome_unknown"  # delivered, then the gateway stopped before the answer
ID_REUSED = "id_reused"  # the id stands in the book for another order

# What may follow what; a state without a successor is final.
NEXT = {
    CommandState.PENDING: frozenset(CommandState) - {CommandState.PENDING},
    CommandState.DELIVERED: frozenset(
        [CommandState.OK, CommandState.ERROR, CommandState.EXPIRED, CommandState.REJECTED]
    ),
}

_COLUMNS = "id, asset, operation, arguments, expires_at_ms, source, state, reason, at_ms"


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of handing in a command: carry it out if `new`, else answer with `result`."""

    new: bool
    result: CommandResult


class CommandLedger:
    """The commands of one store; every call is a durable transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, command: Command, at_ms: int, *, goes: bool = False) -> Submission:
        """Enter a command as PENDING, or say what became of the one with its id.

        One that `goes` at once is DELIVERED with the same write: it has waited for one already.
        """
        with self._database.transaction() as sql:
            known = self._find(sql, command.id)
            if known is None:
                result = CommandResult(command.id, command.asset, CommandState.PENDING, "", at_ms)
                self._enter(sql, command, result)
                if goes:
                    result = replace(result, state=CommandState.DELIVERED)
                    self._enter(sql, command, result)
                return Submission(new=True, result=result)
        stored, result = known
        if _order(stored) != _order(command):
            rejected = CommandState.REJECTED
            result = CommandResult(command.id, command.asset, rejected, ID_REUSED, at_ms)
        return Submission(new=False, result=result)

    def settle(self, result: CommandResult) -> bool:
        """Enter a new state; False when the command is unknown or can't go there."""
        with self._database.transaction() as sql:
            known = self._find(sql, result.command_id)
            if known is None or result.state not in NEXT.get(known[1].state, frozenset()):
                return False
            self._enter(sql, known[0], result)
        return True

    def open(self) -> list[tuple[Command, CommandState]]:
        """The commands that are not final, oldest first: after a restart the agent's to settle."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM command WHERE state IN (?, ?) ORDER BY at_ms",
            CommandState.PENDING,
            CommandState.DELIVERED,
        )
        return [(command, result.state) for command, result in map(_parsed, rows)]

    def known(self, command_id: str) -> CommandResult | None:
        """What became of a command; None where the book has none with that id."""
        with self._database.transaction() as sql:
            known = self._find(sql, command_id)
        return known[1] if known else None

    def standing(self, asset: str = "") -> list[tuple[Command, int]]:
        """Commands from outside that may still hold their asset, and when each came, oldest first.

        Of one asset or of all; a command that was refused, failed or came too late holds nothing.
        """
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, (SELECT min(a.at_ms) FROM command_audit a WHERE a.command = c.id)"
            " AS came_ms FROM command c WHERE operation IN ('set_level', 'release')"
            " AND (state IN (?, ?, ?) OR reason = ?) AND source NOT LIKE 'control/%'"
            " AND (asset = ? OR ? = '')"
            " ORDER BY (SELECT min(a.id) FROM command_audit a WHERE a.command = c.id)",
            CommandState.PENDING,
            CommandState.DELIVERED,
            CommandState.OK,
            OUTCOME_UNKNOWN,
            asset,
            asset,
        )
        return [(_parsed(row)[0], came_ms) for *row, came_ms in rows]

    def audit(self, command_id: str) -> list[CommandResult]:
        """Every state that the command went through, in order."""
        rows = self._database.rows(
            "SELECT a.command, c.asset, a.state, a.reason, a.at_ms FROM command_audit a"
            " JOIN command c ON c.id = a.command WHERE a.command = ? ORDER BY a.id",
            command_id,
        )
        return [
            CommandResult(command, asset, CommandState(state), reason, at_ms)
            for command, asset, state, reason, at_ms in rows
        ]

    def log(self, sql: sqlite3.Connection, command: Command, result: CommandResult) -> None:
        """Enter a command with its outcome, within the caller's transaction."""
        known = self._find(sql, command.id)
        self._enter(sql, known[0] if known else command, result)

    def trim(self, sql: sqlite3.Connection) -> None:
        """Forget the oldest final commands above COMMANDS_KEPT, within the caller's transaction."""
        sql.execute(
            "DELETE FROM command WHERE state NOT IN (?, ?) AND id NOT IN"
            " (SELECT id FROM command ORDER BY at_ms DESC LIMIT ?)",
            (CommandState.PENDING, CommandState.DELIVERED, COMMANDS_KEPT),
        )
        sql.execute("DELETE FROM command_audit WHERE command NOT IN (SELECT id FROM command)")

    @staticmethod
    def _find(sql: sqlite3.Connection, command_id: str) -> tuple[Command, CommandResult] | None:
        row = sql.execute(f"SELECT {_COLUMNS} FROM command WHERE id = ?", (command_id,)).fetchone()
        return None if row is None else _parsed(row)

    @staticmethod
    def _enter(sql: sqlite3.Connection, command: Command, result: CommandResult) -> None:
        sql.execute(
            f"INSERT OR REPLACE INTO command ({_COLUMNS}, crc)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            sealed(
                command.id,
                command.asset,
                command.operation,
                orjson.dumps(dict(command.arguments)).decode(),
                command.expires_at_ms,
                command.source,
                result.state,
                result.reason,
                result.at_ms,
            ),
        )
        _note(sql, result)


def _order(command: Command) -> tuple[str, str, dict[str, int]]:
    return command.asset, command.operation, dict(command.arguments)


def _note(sql: sqlite3.Connection, result: CommandResult) -> None:
    sql.execute(
        "INSERT INTO command_audit (command, at_ms, state, reason, crc) VALUES (?, ?, ?, ?, ?)",
        sealed(result.command_id, result.at_ms, result.state, result.reason),
    )


def _parsed(row: Iterable[Any]) -> tuple[Command, CommandResult]:
    name, asset, operation, arguments, expires_at_ms, source, state, reason, at_ms = row
    command = Command(name, asset, operation, orjson.loads(arguments), expires_at_ms, source)
    return command, CommandResult(name, asset, CommandState(state), reason, at_ms)
