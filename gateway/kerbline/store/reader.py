"""Reads a store's file beside its running gateway: writes nothing, holds no snapshot for long."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from kerbline.store.database import StoreCorrupt, StoreError, StoreTooNew, faults, must_be_store
from kerbline.store.schema import FORMAT, FORMATS_AHEAD

CHUNK_BATCHES = 64  # read at a time: a long read would keep SQLite from folding its log
Row = tuple[int, int, int, bytes, int | None]  # seq, at_ms, entries, body, crc


class Reader:
    """One open file; made by `open`, to be closed."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store at `path`; raises StoreError with a remedy in its text."""
        must_be_store(path)
        # With a log there is a gateway, or was one that could not end; without, nothing changes,
        # and SQLite must not make files here that the gateway's user could not open.
        mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
        with faults(path, mark=False):
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None
            )
            connection.text_factory = _text
            try:
                (found,) = connection.execute("PRAGMA user_version").fetchone()
            except BaseException:
                connection.close()
                raise
        reader = cls(path, connection)
        if found != FORMAT:
            reader.close()
            raise _of_format(path, found)
        return reader

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query; raises StoreBlocked or StoreCorrupt."""
        with faults(self.path, mark=False):
            try:
                return self.connection.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                    raise
                # "unsupported file format", "no such column": these are not our tables.
                text = f"{self.path} is damaged ({error}): restart to set it aside"
                raise StoreCorrupt(text) from error

    def batches(self, after: int = 0) -> Iterator[Row]:
        """The log behind a sequence, oldest first; a few at a time are in memory."""
        query = (
            "SELECT seq, at_ms, entries, body, crc FROM batch WHERE seq > ? ORDER BY seq LIMIT ?"
        )
        while rows := self.rows(query, after, CHUNK_BATCHES):
            for row in rows:
                yield row[0], row[1], row[2], row[3], row[4]
            after = rows[-1][0]

    def in_use(self) -> bool:
        """Does a gateway run on it?"""
        try:
            lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def _text(raw: bytes) -> str:
    """A text of a file that may be damaged."""
    return raw.decode(errors="replace")


def _of_format(path: Path, found: int) -> StoreError:
    if 0 < found < FORMAT:
        return StoreError(
            f"{path} has format {found}: start this kerbline's gateway once, it takes it along"
        )
    if FORMAT < found <= FORMAT + FORMATS_AHEAD:
        return StoreTooNew(
            f"{path} has format {found}, this kerbline knows {FORMAT}: install newer"
        )
    return StoreCorrupt(f"{path} is no store of kerbline's, or its header is damaged")
