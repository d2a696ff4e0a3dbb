"""Small things that go into the file with the next commit, beside its entries."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from kerbline.model import Command, CommandResult
from kerbline.store.schema import sealed

BOOTS_KEPT = 32  # boots of one node whose anchor is remembered


@dataclass(frozen=True, slots=True)
class Anchor:
    """The moment a boot began: street UTC (ms since 1970) and the half width of its interval."""

    street_ms: int
    uncertainty_ms: int


@dataclass(frozen=True, slots=True)
class Notes:
    """Small things that may wait for the next commit: lost in a crash they cost repeats only.

    `cursors` by sink, `anchors` by (node, boot id), `memories` by (rule, asset), `outcomes` of
    commands that need no record before they are carried out (those of our own control loops),
    `decisions` of these as (number of this run, at_ms, body).
    """

    cursors: dict[str, int] = field(default_factory=dict)
    anchors: dict[tuple[str, int], Anchor] = field(default_factory=dict)
    memories: dict[tuple[str, str], str] = field(default_factory=dict)
    outcomes: list[tuple[Command, CommandResult]] = field(default_factory=list)
    decisions: list[tuple[int, int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        small = self.cursors or self.anchors or self.memories or self.outcomes
        return bool(small or self.decisions)

    def save(self, sql: sqlite3.Connection) -> None:
        """Write anchors and memories, within the caller's transaction; the rest has its own."""
        for (node, boot_id), anchor in self.anchors.items():
            sql.execute(
                "INSERT INTO boot_anchor (node, boot_id, street_ms, uncertainty_ms, crc)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (node, boot_id) DO UPDATE"
                " SET street_ms = excluded.street_ms, uncertainty_ms = excluded.uncertainty_ms,"
                " crc = excluded.crc",
                sealed(node, boot_id, anchor.street_ms, anchor.uncertainty_ms),
            )
            sql.execute(
                "DELETE FROM boot_anchor WHERE node = ?1 AND id NOT IN"
                " (SELECT id FROM boot_anchor WHERE node = ?1 ORDER BY id DESC LIMIT ?2)",
                (node, BOOTS_KEPT),
            )
        sql.executemany(
            "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)",
            [sealed(*name, body) for name, body in self.memories.items()],
        )
