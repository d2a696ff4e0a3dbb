"""What stands in a store, and how far behind each sink is, without touching it."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass

import orjson

from kerbline.store.database import used_bytes
from kerbline.store.reader import Reader

_TIMES = "FILTER (WHERE typeof(at_ms) = 'integer')"  # a flipped bit makes a text of a number


@dataclass(frozen=True, slots=True)
class Behind:
    """What a sink has not delivered yet; `again` batches it delivers once more."""

    sink: str
    batches: int
    entries: int
    age_s: int  # of the oldest, 0 when there is none
    again: int


@dataclass(frozen=True, slots=True)
class Census:
    """Sizes in bytes, times in ms since 1970 (real UTC), None where the log is empty."""

    path: str
    running: bool
    file_bytes: int
    log_bytes: int
    used_bytes: int
    cap_bytes: int | None
    left_bytes: int | None
    batches: int
    entries: int
    bytes_an_entry: float  # as they lie in the file
    oldest_ms: int | None
    newest_ms: int | None
    sinks: tuple[Behind, ...]
    gaps: dict[str, int]  # declarations by reason
    unreadable: int  # batches: `verify` says which


def take(reader: Reader, now_ms: int, cap_bytes: int | None) -> Census:
    """Count; `cap_bytes` is the config's max_bytes. Goes through every batch once."""
    batches, entries, body_bytes, oldest, newest = reader.rows(
        "SELECT count(*), coalesce(sum(entries), 0), coalesce(sum(length(body)), 0),"
        f" min(at_ms) {_TIMES}, max(at_ms) {_TIMES} FROM batch"
    )[0]
    log = reader.path.with_name(reader.path.name + "-wal")
    used = used_bytes(reader.connection)
    gaps, unreadable = _gaps(reader)
    return Census(
        path=str(reader.path),
        running=reader.in_use(),
        file_bytes=reader.path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        used_bytes=used,
        cap_bytes=cap_bytes,
        left_bytes=None if cap_bytes is None else max(0, cap_bytes - used),
        batches=batches,
        entries=entries,
        bytes_an_entry=round(body_bytes / entries, 1) if entries else 0.0,
        oldest_ms=oldest,
        newest_ms=newest,
        sinks=tuple(_behind(reader, now_ms)),
        gaps=gaps,
        unreadable=unreadable,
    )


def _behind(reader: Reader, now_ms: int) -> list[Behind]:
    found = []
    for sink, seq, last, resume in reader.rows(
        "SELECT c.sink, c.seq, r.last, r.resume FROM cursor c LEFT JOIN replay r ON r.sink = c.sink"
        " AND typeof(r.last) = 'integer' AND typeof(r.resume) = 'integer'"
        " WHERE typeof(c.seq) = 'integer' ORDER BY c.sink"
    ):
        batches, entries, oldest = reader.rows(
            f"SELECT count(*), coalesce(sum(entries), 0), min(at_ms) {_TIMES} FROM batch"
            " WHERE seq > ?",
            max(seq, resume or 0),
        )[0]
        again = "SELECT count(*) FROM batch WHERE seq > ? AND seq <= ?"
        repeats = reader.rows(again, seq, last)[0][0] if last is not None else 0
        age_s = max(0, now_ms - oldest) // 1000 if oldest is not None else 0
        found.append(Behind(sink, batches, entries, age_s, repeats))
    return found


def _gaps(reader: Reader) -> tuple[dict[str, int], int]:
    gaps: Counter[str] = Counter()
    unreadable = 0
    for _, _, _, body, _ in reader.batches():
        try:
            text = zlib.decompress(body)
            if b'"type":"gap"' in text:  # most batches have none: spare them the parsing
                gaps.update(each["reason"] for each in orjson.loads(text) if each["type"] == "gap")
        except (zlib.error, ValueError, TypeError, KeyError):
            unreadable += 1
    return dict(sorted(gaps.items())), unreadable
