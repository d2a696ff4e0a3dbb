"""The book of commands: each id runs once, every change of state leaves an audit line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kerbline.model import Command, CommandResult, CommandState, Value
from kerbline.store.database import Database, StoreBlocked
from kerbline.store.daybook import Daybook, values
from kerbline.store.schema import sealed

COMMANDS_KEPT = 10_000
LATE_KEPT = 1_000  # commands that the disk refused
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


# Who may hold an asset: orders from outside that were carried out, or perhaps were.
_HOLDS = (
    "operation IN ('set_level', 'release') AND source NOT LIKE 'control/%'"
    f" AND (state IN ({{states}}) OR reason = '{OUTCOME_UNKNOWN}')"
)
_STANDING = _HOLDS.format(states="'PENDING', 'DELIVERED', 'OK'")
_LASTING = _HOLDS.format(states="'OK'")
_CAME = "(SELECT min(a.{what}) FROM command_audit a WHERE a.command = c.id)"


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of handing in a command: carry it out if `new`, else answer with `result`.

    `refused`: why the disk did not take it; it is in the book of this run alone, for now.
    """

    new: bool
    result: CommandResult
    refused: str = ""


class CommandLedger:
    """The commands of one store; every call but `jot` is a durable transaction of its own.

    What the disk refuses is remembered, of LATE_KEPT commands, and written when it takes it: an id
    still runs once, unless the gateway is killed before and the daybook had no room.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._daybook = Daybook(database.path)
        self._names: set[str] = set()  # of all commands in the book, and perhaps of some forgotten
        self._late: dict[str, tuple[Command, list[CommandResult]]] = {}

    def load(self) -> None:
        """Learn what is in the book, and enter what left before a kill and is not in it yet."""
        self._names.update(name for (name,) in self._database.rows("SELECT id FROM command"))
        for command, at_ms in self._daybook.open():
            outcome = self._daybook.outcome(command.id)
            if command.id not in self._names:
                self._note(
                    command, _came(command, at_ms, goes=True) + ([outcome] if outcome else [])
                )
            elif outcome is None or not self.settle(outcome):
                self._daybook.strike((command.id,))

    def jot(self, command: Command, at_ms: int) -> bool:
        """May a command leave now, and `submit` wait for the disk meanwhile? It waits for nothing.

        True when it is surely new and so written down that a kill can't make us forget that it
        left; a power cut can, unless `submit` has returned. For any thread. While the disk refuses
        it is always False.
        """
        if self._late or command.id in self._names or not self._daybook.write(command, at_ms):
            return False
        self._names.add(command.id)
        return True

    def submit(self, command: Command, at_ms: int, *, goes: bool = False) -> Submission:
        """Enter a command as PENDING, or say what became of the one with its id.

        One that `goes` at once is DELIVERED with the same write: it has waited for one already.
        Raises StoreBlocked where the disk refuses and too many wait for it.
        """
        known = self._find(command.id)
        if known is None:
            results = _came(command, at_ms, goes=goes)
            refused = self._note(command, results)
            if refused:
                self._daybook.write(command, at_ms)  # so that a kill does not forget it
            return Submission(new=True, result=results[-1], refused=refused)
        stored, result = known
        if _order(stored) != _order(command):
            rejected = CommandState.REJECTED
            result = CommandResult(command.id, command.asset, rejected, ID_REUSED, at_ms)
        return Submission(new=False, result=result)

    def settle(self, result: CommandResult) -> bool:
        """Enter a new state; False when the command is unknown or can't go there."""
        known = self._find(result.command_id)
        if known is None or result.state not in NEXT.get(known[1].state, frozenset()):
            return False
        refused = self._note(known[0], [result])
        if refused and result.state not in NEXT and self._daybook.write(known[0], result.at_ms):
            self._daybook.note(result)
        return True

    def open(self) -> list[tuple[Command, CommandState]]:
        """The commands that are not final, oldest first: after a restart the agent's to settle."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM command c WHERE state IN (?, ?)"
            f" ORDER BY {_CAME.format(what='id')}",
            CommandState.PENDING,
            CommandState.DELIVERED,
        )
        known = [(command, result.state) for command, result in map(_parsed, rows)]
        late = [(command, results[-1].state) for command, results in self._late.values()]
        return [each for each in known if each[0].id not in self._late] + [
            each for each in late if each[1] in NEXT
        ]

    def known(self, command_id: str) -> CommandResult | None:
        """What became of a command; None where the book has none with that id."""
        known = self._find(command_id)
        return known[1] if known else None

    def standing(self, asset: str = "") -> list[tuple[Command, int]]:
        """Commands from outside that may still hold their asset, and when each came, oldest first.

        Of one asset or of all; a command that was refused, failed or came too late holds nothing.
        """
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, {_CAME.format(what='at_ms')} FROM command c WHERE {_STANDING}"
            f" AND (asset = ? OR ? = '') ORDER BY {_CAME.format(what='id')}",
            asset,
            asset,
        )
        found = [(_parsed(row)[0], came_ms) for *row, came_ms in rows]
        late = self._late
        return [(command, came_ms) for command, came_ms in found if command.id not in late] + [
            (command, results[0].at_ms)
            for command, results in late.values()
            if asset in ("", command.asset) and _stands(command, results[-1])
        ]

    def audit(self, command_id: str) -> list[CommandResult]:
        """Every state that the command went through, in order."""
        rows = self._database.rows(
            "SELECT a.command, c.asset, a.state, a.reason, a.at_ms FROM command_audit a"
            " JOIN command c ON c.id = a.command WHERE a.command = ? ORDER BY a.id",
            command_id,
        )
        late = self._late.get(command_id, (None, []))[1]
        return [
            CommandResult(command, asset, CommandState(state), reason, at_ms)
            for command, asset, state, reason, at_ms in rows
        ] + late

    def log(self, sql: sqlite3.Connection, command: Command, result: CommandResult) -> None:
        """Enter a command with its outcome, within the caller's transaction."""
        known = self._find(command.id)
        self._enter(sql, known[0] if known else command, result)

    def save_late(self, sql: sqlite3.Connection) -> None:
        """Enter what the disk refused before, within the caller's transaction."""
        for command, results in self._late.values():
            for result in results:
                self._enter(sql, command, result)

    def late_saved(self) -> None:
        """The caller's transaction is durable."""
        self._daybook.strike(self._late)
        self._late.clear()

    def trim(self, sql: sqlite3.Connection) -> set[str]:
        """Forget the oldest final commands above COMMANDS_KEPT, within the caller's transaction.

        But never the newest of each asset that holds it or let go of it. Returns what `trimmed` is
        told when that is durable.
        """
        newest = f"SELECT id, max({_CAME.format(what='id')}) FROM command c WHERE {_LASTING}"
        gone = sql.execute(
            "DELETE FROM command WHERE state NOT IN (?, ?) AND id NOT IN"
            " (SELECT id FROM command ORDER BY at_ms DESC LIMIT ?)"
            f" AND id NOT IN (SELECT id FROM ({newest} GROUP BY asset)) RETURNING id",
            (CommandState.PENDING, CommandState.DELIVERED, COMMANDS_KEPT),
        ).fetchall()
        sql.execute("DELETE FROM command_audit WHERE command NOT IN (SELECT id FROM command)")
        return {name for (name,) in gone}

    def trimmed(self, gone: set[str]) -> None:
        """The caller's transaction is durable: whoever comes under such a name is new."""
        self._names -= gone

    def close(self) -> None:
        """Let go of the daybook; what it lists is entered by the next `load`."""
        self._daybook.close()

    def _find(self, command_id: str) -> tuple[Command, CommandResult] | None:
        if command_id in self._late:
            command, results = self._late[command_id]
            return command, results[-1]
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM command WHERE id = ?", command_id)
        return next(map(_parsed, rows), None)

    def _note(self, command: Command, results: list[CommandResult]) -> str:
        """Enter states of a command, and what waited; why not, where the disk refuses."""
        before = self._late.get(command.id, (command, []))[1]
        entered = {**self._late, command.id: (command, before + results)}
        try:
            with self._database.transaction() as sql:
                for order, states in entered.values():
                    for result in states:
                        self._enter(sql, order, result)
        except StoreBlocked as refusal:
            if len(entered) > LATE_KEPT:
                raise
            self._late = entered
            return str(refusal)
        self._daybook.strike(entered)
        self._late.clear()
        return ""

    def _enter(self, sql: sqlite3.Connection, command: Command, result: CommandResult) -> None:
        self._names.add(command.id)
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


def _came(command: Command, at_ms: int, *, goes: bool) -> list[CommandResult]:
    pending = CommandResult(command.id, command.asset, CommandState.PENDING, "", at_ms)
    return [pending, replace(pending, state=CommandState.DELIVERED)][: 1 + goes]


def _order(command: Command) -> tuple[str, str, dict[str, Value]]:
    return command.asset, command.operation, dict(command.arguments)


def _stands(command: Command, result: CommandResult) -> bool:
    """As _STANDING says it."""
    states = (CommandState.PENDING, CommandState.DELIVERED, CommandState.OK)
    return (
        command.operation in ("set_level", "release")
        and not command.source.startswith("control/")
        and (result.state in states or result.reason == OUTCOME_UNKNOWN)
    )


def _note(sql: sqlite3.Connection, result: CommandResult) -> None:
    sql.execute(
        "INSERT INTO command_audit (command, at_ms, state, reason, crc) VALUES (?, ?, ?, ?, ?)",
        sealed(result.command_id, result.at_ms, result.state, result.reason),
    )


def _parsed(row: Iterable[Any]) -> tuple[Command, CommandResult]:
    name, asset, operation, arguments, expires_at_ms, source, state, reason, at_ms = row
    given = values(orjson.loads(arguments))
    command = Command(name, asset, operation, given, expires_at_ms, source)
    return command, CommandResult(name, asset, CommandState(state), reason, at_ms)
