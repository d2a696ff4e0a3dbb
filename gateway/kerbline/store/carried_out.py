"""What the book says was carried out, and when; read beside a running gateway."""

from __future__ import annotations

import orjson

from kerbline.model import Command, CommandState
from kerbline.store.daybook import values
from kerbline.store.ledger import OUTCOME_UNKNOWN
from kerbline.store.reader import Reader

_QUERY = (
    "SELECT c.id, c.asset, c.operation, c.arguments, c.expires_at_ms, c.source,"
    " (SELECT max(a.at_ms) FROM command_audit a"
    " WHERE a.command = c.id AND a.state = ?) AS went_ms"
    " FROM command c WHERE (c.state = ? OR c.reason = ?) AND c.source NOT LIKE 'control/%'"
    " AND typeof(c.at_ms) = 'integer' AND c.at_ms >= ? ORDER BY went_ms"
)


def orders(reader: Reader, from_ms: int, to_ms: int) -> list[tuple[int, Command]]:
    """Orders of people and the city that left between two times (real UTC, ms), oldest first.

    At most as many as the book keeps. One whose answer nobody heard is among them.
    """
    found = []
    rows = reader.rows(_QUERY, CommandState.DELIVERED, CommandState.OK, OUTCOME_UNKNOWN, from_ms)
    for name, asset, operation, arguments, expires_at_ms, source, went_ms in rows:
        if not isinstance(went_ms, int) or not from_ms <= went_ms < to_ms:
            continue
        try:
            given = values(orjson.loads(arguments))
        except (ValueError, TypeError, AttributeError):  # a damaged row: `verify` tells of it
            continue
        found.append((went_ms, Command(name, asset, operation, given, expires_at_ms, source)))
    return found
