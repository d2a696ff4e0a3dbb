"""The database file: its settings, its one owner, and what its errors mean."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline.errors import KerblineError
from kerbline.store import aside
from kerbline.store.aside import beside
from kerbline.store.schema import CHECKED, FORMAT, FORMATS_AHEAD, checksum, make
from kerbline.store.wal import log_end

FILE_NAME = "kerbline.db"
# Bytes written a reading at 33 (100) a commit: 579 (253) with 4 KiB pages, 335 (124) with 1 KiB.
PAGE_BYTES = 1024
# A hot page goes to the log at each commit but to the file once a checkpoint: make those rare.
CHECKPOINT_PAGES = 8000
LOG_BYTES = 16_000_000
# SQLite's own is 2,000: a backlog that is read once fills it, and no byte fewer is written.
CACHE_KIB = 500
HEADER_BYTES = 100  # SQLite's "Database File Format", 1.3

_DAMAGED = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,  # our own statements break none of a sound file's
)
_BLOCKED = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
)
_REFUSED = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)


class StoreError(KerblineError):
    """Base of the store's errors: `code` is stable, the text says what to do."""

    code = "store"


class StoreBlocked(StoreError):
    """The disk refuses for now (full, read-only, failing); nothing was changed; try again later."""

    code = "store_blocked"


class StoreCorrupt(StoreError):
    """The file is no longer a sound database; the next open looks at every page of it."""

    code = "store_corrupt"


class StoreTooNew(StoreError):
    """A newer kerbline wrote this store; it is left as it is."""

    code = "store_too_new"


class StoreTaken(StoreError):
    """Another process has this store open."""

    code = "store_taken"


@contextmanager
def faults(path: Path, *, mark: bool = True) -> Iterator[None]:
    """Turn SQLite's errors into ours; one that tells of damage also marks the file for a check."""
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite quotes the garbage in its message
        if mark:
            _suspect(path).touch()
        raise StoreCorrupt(f"{path} is damaged: restart to set it aside") from error
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # Python gives no code when a text is no UTF-8, and SQLite always gives one.
        undecodable = isinstance(error, sqlite3.OperationalError) and not primary
        if primary in _DAMAGED or undecodable:
            if mark:
                _suspect(path).touch()
            raise StoreCorrupt(f"{path} is damaged ({error}): restart to set it aside") from error
        if primary in _BLOCKED:
            raise StoreBlocked(f"{path}: {error}: free space or mend the disk") from error
        raise


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier run left of its log: bytes that are of no use.

    They are a commit that never ended; or, of a `damaged` log, durable ones that the damage hides,
    with a copy if there was room for it.
    """

    cut_bytes: int = 0
    damaged: bool = False
    copy: Path | None = None


class Database:
    """One open database file, held by one process; `quarantined` says where a damaged one went.

    `left` is what was found of the log at the open; `unsound` counts by table the rows that
    failed their checksum. `refused` says why the disk did not take it at the open: until `settle`
    it can be read alone.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        locks: tuple[int, int],
        quarantined: Path | None,
    ) -> None:
        self.path = path
        self.connection = connection
        self.quarantined = quarantined
        self.unsound: Counter[str] = Counter()
        self.left = Left()
        self.refused = ""
        self._locks = locks
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path, *, set_aside: bool = False) -> Database:
        """Open or create; a damaged file is set aside whole and a new one begun.

        A street cabinet has nobody to ask: to refuse would stop lamps and lose what the nodes
        hold too. So the gateway goes on, says so upstream, and the old file stays for study.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        locks = _locked(path)
        quarantined = None
        try:
            if set_aside:
                quarantined = _set_aside(path)
                locks = _relocked(path, locks)
            try:
                connection, left, refused = _opened_anyhow(path)
            except StoreCorrupt:
                quarantined = _set_aside(path)
                locks = _relocked(path, locks)
                connection, left, refused = _opened_anyhow(path)
        except (StoreError, OSError):
            _unlock(locks)
            raise
        database = cls(path, connection, locks, quarantined)
        database.left, database.refused = left, refused
        return database

    @classmethod
    def own(cls, path: Path) -> Database:
        """Open one that exists, for a command; a damaged one is left as it is and named."""
        must_be_store(path)
        locks = _locked(path)
        try:
            if log_end(path).damaged:
                raise StoreCorrupt(
                    f"{path}: the log beside it is damaged: start the gateway, it keeps a copy"
                )
            return cls(path, _opened(path)[0], locks, None)
        except (StoreError, OSError):
            _unlock(locks)
            raise

    def settle(self) -> None:
        """Where the disk refused at the open: ask it again; raises StoreBlocked or StoreCorrupt."""
        if not self.refused:
            return
        self.connection.close()
        try:
            self.connection, _ = _opened(self.path)
        except StoreBlocked as error:
            self.connection = _readable(self.path, error)
            raise
        self.refused = ""

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when it returns; raises StoreBlocked or StoreCorrupt."""
        if self.refused:
            raise StoreBlocked(self.refused)
        with faults(self.path):
            self._must_be_there()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _must_be_there(self) -> None:
        """A file that was removed still takes writes, and nobody would ever read them."""
        try:
            there = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            raise StoreCorrupt(f"{self.path} was removed or replaced while open: restart")

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query; raises StoreBlocked or StoreCorrupt."""
        with faults(self.path):
            cursor = self.connection.execute(query, values)
            try:
                yield from cursor
            finally:
                with suppress(sqlite3.ProgrammingError):  # given up after the close
                    cursor.close()

    def sound_rows(self, table: str, order: str = "1") -> Iterator[tuple[Any, ...]]:
        """The rows of a table that match their checksum; the others are counted in `unsound`."""
        for *row, crc in self.rows(
            f"SELECT {', '.join(CHECKED[table])}, crc FROM {table} ORDER BY {order}"
        ):
            if checksum(*row) == crc:
                yield tuple(row)
            else:
                self.unsound[table] += 1

    def used_bytes(self) -> int:
        """Bytes of the pages in use; freed pages are used again before the file grows."""
        with faults(self.path):
            return used_bytes(self.connection)

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self.connection.close()
        _unlock(self._locks)  # after SQLite: the close of a file ends its locks of this process


def must_be_store(path: Path) -> None:
    """Raises StoreError for a file that is there by mistake; a damaged store is none of these."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file: name a store, or a config whose gateway ran")
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if head and 0 not in head:  # a text: SQLite's header has many, wherever it is damaged
        raise StoreError(
            f"{path} is no store of kerbline's: name {FILE_NAME} in a gateway's state_dir,"
            " or its config without --file"
        )


def used_bytes(sql: sqlite3.Connection) -> int:
    """Bytes of the pages in use."""
    (pages,) = sql.execute("PRAGMA page_count").fetchone()
    (free,) = sql.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = sql.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_bytes)


def _opened(path: Path) -> tuple[sqlite3.Connection, Left]:
    """A sound database, and what an earlier run left of its log."""
    left = Left()
    with faults(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # Before the first page is written, for it can't be changed after.
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=OFF")  # Debian's default rewrites the deleted
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            left = _left(path, connection)
            if left.damaged:  # the copy took SQLite's locks of this process away
                connection.close()
                return _opened(path)[0], left
            _check(path, connection)
            _make_tables(path, connection)
        except (sqlite3.Error, StoreError, UnicodeDecodeError) as error:
            connection.close()
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
                # "unsupported file format", "no such table": these are not our tables.
                raise StoreCorrupt(
                    f"{path} is damaged ({error}): restart to set it aside"
                ) from error
            raise
    return connection, left


def _opened_anyhow(path: Path) -> tuple[sqlite3.Connection, Left, str]:
    """A database to write to; or, with the reason, one to read where the disk takes nothing.

    A street is served without a store, too: its nodes keep what is not acknowledged.
    """
    try:
        return *_opened(path), ""
    except StoreBlocked as error:
        end = log_end(path)  # before SQLite has it: its close may end it
        return _readable(path, error), Left(end.cut_bytes, end.damaged), str(error)


def _readable(path: Path, refusal: StoreBlocked) -> sqlite3.Connection:
    """All sound commits, without a file for the log's index; an empty store where there is none."""
    with faults(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # the index is then in memory
            _check(path, connection)
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found == 0 and not connection.execute("SELECT * FROM sqlite_schema").fetchall():
                connection.close()
                connection = sqlite3.connect(
                    ":memory:", isolation_level=None, check_same_thread=False
                )
                make(connection, 0)
            elif found != FORMAT:  # to be taken along, for which there is no room
                raise refusal
            connection.execute("PRAGMA query_only=ON")
        except (sqlite3.Error, StoreError, UnicodeDecodeError):
            connection.close()
            raise
    return connection


def _left(path: Path, connection: sqlite3.Connection) -> Left:
    """Look at the log that an earlier run left, which SQLite takes over in silence."""
    if not beside(path, "-wal").exists():
        return Left()
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # finds the log's end
    (_, frames, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    end = log_end(path, max(0, frames))
    if not end.cut_bytes:
        return Left()
    copy = None
    if end.damaged:
        with suppress(OSError):
            copy = aside.copy_log(path)
    # Else the rest lies behind what is written next, and is found again.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Left(end.cut_bytes, end.damaged, copy)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """Look at every page when an earlier run met damage; it takes about a second a gigabyte."""
    if not _suspect(path).exists():
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreCorrupt(f"{path} is damaged: {verdict}")
    _suspect(path).unlink()


def _make_tables(path: Path, connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= found <= FORMAT + FORMATS_AHEAD:
        raise StoreCorrupt(f"{path} is damaged (format {found}): restart to set it aside")
    if found > FORMAT:
        raise StoreTooNew(
            f"{path} has format {found}, this kerbline knows {FORMAT}: install the newer one again"
        )
    make(connection, found)


def _locked(path: Path) -> tuple[int, int]:
    """The locks that make this process the one owner, freed by its death.

    Commands look at `.lock`; whoever removes that file still meets the lock of the database.
    """
    first = _lock(path, beside(path, ".lock"), 0o600)
    try:
        return first, _lock(path, path, 0o644)
    except BaseException:
        os.close(first)
        raise


def _relocked(path: Path, locks: tuple[int, int]) -> tuple[int, int]:
    """The locks for a database that begins anew; the old one was set aside."""
    os.dup2(fresh := _lock(path, path, 0o644), locks[1], inheritable=False)
    os.close(fresh)
    return locks


def _lock(path: Path, file: Path, mode: int) -> int:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise StoreBlocked(f"{file}: {error.strerror}: free space or mend the disk") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreTaken(f"{path} is in use: stop the other kerbline first") from None
    return lock


def _unlock(locks: tuple[int, int]) -> None:
    for lock in locks:
        os.close(lock)


def _set_aside(path: Path) -> Path:
    target = aside.move(path)
    _suspect(path).unlink(missing_ok=True)
    return target


def _suspect(path: Path) -> Path:
    return beside(path, ".suspect")
