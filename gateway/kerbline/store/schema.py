"""The tables of the store's file, the steps from an older format, and the checksum of each row.

Pages of SQLite have no checksum: a bit that an SD card flips in a value would be believed. So each
row ends in the CRC-32 of its other columns, which `verify` and the gateway's own reading compare.
"""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

FORMAT = 2
FORMATS_AHEAD = 100  # no kerbline writes a format so far ahead: garbage

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
-- One row a commit: `body` is zlib-compressed JSON, an array of entries (see entries.py).
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, entries INTEGER NOT NULL, body BLOB NOT NULL);
-- Record numbers held, as of batch meta.folded; the rest follows from the batches after it.
CREATE TABLE held (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, epoch INTEGER NOT NULL, spans TEXT NOT NULL,
    UNIQUE (source, epoch));
CREATE TABLE latest (
    asset TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (asset, kind)) WITHOUT ROWID;
CREATE TABLE cursor (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE boot_anchor (
    id INTEGER PRIMARY KEY, node TEXT NOT NULL, boot_id INTEGER NOT NULL,
    street_ms INTEGER NOT NULL, uncertainty_ms INTEGER NOT NULL, UNIQUE (node, boot_id));
-- What a rule remembers of an asset, JSON as the rule wrote it.
CREATE TABLE memory (
    rule TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (rule, asset)) WITHOUT ROWID;
CREATE TABLE command (
    id TEXT PRIMARY KEY, asset TEXT NOT NULL, operation TEXT NOT NULL, arguments TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE command_audit (
    id INTEGER PRIMARY KEY, command TEXT NOT NULL, at_ms INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX command_audit_command ON command_audit (command);
"""

# Beside the tables of every format: an older kerbline leaves it alone, so it needs no new one.
# One row a commit: `body` is zlib-compressed JSON, [[at_ms, decision], ...] (see decisions.py).
BESIDE = "decision"
_BESIDE = f"""
CREATE TABLE IF NOT EXISTS {BESIDE} (
    last INTEGER PRIMARY KEY, entries INTEGER NOT NULL, from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER);
"""

# What each row's checksum covers; an `id` only keeps the order.
CHECKED = {
    "meta": ("name", "value"),
    "batch": ("seq", "at_ms", "entries", "body"),
    "held": ("source", "epoch", "spans"),
    "latest": ("asset", "kind", "body"),
    "cursor": ("sink", "seq"),
    "boot_anchor": ("node", "boot_id", "street_ms", "uncertainty_ms"),
    "memory": ("rule", "asset", "body"),
    "command": (
        "id",
        "asset",
        "operation",
        "arguments",
        "expires_at_ms",
        "source",
        "state",
        "reason",
        "at_ms",
    ),
    "command_audit": ("command", "at_ms", "state", "reason"),
    "replay": ("sink", "last", "resume"),
    "history": ("hour", "asset", "kind", "body"),
    "decision": ("last", "entries", "from_ms", "to_ms", "body"),
}

# The batches of format 1 stay as they are, without one: to write gigabytes again would take an
# SD card minutes. meta.checked_from tells which they are; their bodies have zlib's own checksum.
_SECOND = (
    "".join(
        f"ALTER TABLE {table} ADD COLUMN crc INTEGER;"
        + (f"UPDATE {table} SET crc = checksum({', '.join(columns)});" if table != "batch" else "")
        for table, columns in CHECKED.items()
        if table not in ("replay", "history", "decision")
    )
    + """
-- Batches up to `last` go to the sink again; then it goes on after `resume`.
CREATE TABLE replay (
    sink TEXT PRIMARY KEY, last INTEGER NOT NULL, resume INTEGER NOT NULL,
    crc INTEGER) WITHOUT ROWID;
-- Hours since 1970 in street time; JSON: {"power_w": [count, min, sum, max], ...}.
CREATE TABLE history (
    hour INTEGER NOT NULL, asset TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    crc INTEGER, PRIMARY KEY (hour, asset, kind)) WITHOUT ROWID;
INSERT INTO meta SELECT 'checked_from', newest, checksum('checked_from', newest)
    FROM (SELECT coalesce(max(seq), 0) AS newest FROM batch);
"""
)


def checksum(*values: object) -> int:
    """CRC-32 of the columns of a row, each by its type's first letter, its length and its text."""
    crc = 0
    for value in values:
        if isinstance(value, bytes):
            kind, text = "b", value
        elif isinstance(value, str):
            kind, text = "s", value.encode(errors="surrogatepass")
        else:
            kind, text = type(value).__name__[0], str(value).encode()
        crc = zlib.crc32(text, zlib.crc32(f"{kind}{len(text)}:".encode(), crc))
    return crc


def sealed(*values: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever a column holds
    """A row of `values` and their checksum."""
    return (*values, checksum(*values))


def make(sql: sqlite3.Connection, found: int) -> None:
    """Bring a file of format `found` (0: a new one) to FORMAT, all in one transaction.

    Raises sqlite3.OperationalError where a column is not called as it was.
    """
    if found == FORMAT:
        sql.execute(_BESIDE)
        for table, columns in CHECKED.items():
            sql.execute(f"SELECT {', '.join(columns)}, crc FROM {table} LIMIT 0")
        return
    sql.create_function("checksum", -1, checksum, deterministic=True)
    steps = ("" if found else _FIRST) + _SECOND + _BESIDE
    sql.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={FORMAT}; COMMIT;")
