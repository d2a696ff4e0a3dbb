"""The laptop's queue of records: JSON lines, each signed and chained to the one before.

    line      = canonical JSON: keys sorted, no spaces, ASCII; then a line feed
    before    = SHA-256 of the line before without its line feed, 64 zeros for the first
    signature = Ed25519 (RFC 8032) by the laptop's key over the line without this key

A second file tells how many records there are and the last one's hash: a queue that lost its end
is seen too. A line without its line feed was cut by a power failure and told to nobody; the next
record takes its place.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from kerbline import durable
from kerbline.bundle import ed25519
from kerbline.config.faults import Complaint
from kerbline.config.rules import read_secret
from kerbline.field.commission import clock, locks
from kerbline.field.commission.places import Places
from kerbline.field.commission.words import CommissionFault

VERSION = 1
FIRST = "0" * 64
KINDS = ("bound", "proved", "claimed", "failed")
MAX_BYTES = 64 << 20
LONGEST = 64 << 10  # of a line
PATIENCE_S = 10.0  # with others who add a record

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chain:
    """A queue that was verified: its records, and the hash of the last one."""

    records: tuple[Record, ...]
    last: str
    torn: bool  # a cut line follows

    @property
    def last_ms(self) -> int | None:
        """The latest time in it, of records whose clock was not doubted; None without one."""
        times = [clock.read(r["at"]) for r in self.records if r["clock"] == clock.SURE]
        return max(times) if times else None

    def of(self, kind: str, **values: object) -> list[Record]:
        """Records of that kind with these values."""
        return [
            record
            for record in self.records
            if record["kind"] == kind
            and all(record.get(key) == value for key, value in values.items())
        ]


def read(path: Path, *, laptop: str | None = None) -> Chain:
    """Verify a whole queue, or an export of one; CommissionFault names the line that breaks it.

    `laptop`: the public key in hex that must have signed it; else whichever signed the first line
    signed them all. The file beside it that tells its end is looked at where it is there.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except FileNotFoundError:
        data = b""
    if data is None:
        raise CommissionFault("records_size", path=path)
    lines = data.split(b"\n")
    torn = bool(lines.pop())
    before, records = FIRST, []
    for number, line in enumerate(lines, 1):
        record = _judged(line, number, path, before, laptop)
        laptop = record["laptop"]
        before = sha256(line).hexdigest()
        records.append(record)
    chain = Chain(tuple(records), before, torn)
    _check_end(path, lines)
    return chain


def _check_end(path: Path, lines: list[bytes]) -> None:
    """A crash between the two files leaves one record more than was told, never one less."""
    try:
        count, last = _end(path).read_text("ascii").split()
        told = int(count)
    except FileNotFoundError:
        return
    except (ValueError, UnicodeDecodeError):
        raise CommissionFault("records_end", path=_end(path)) from None
    if len(lines) < told:
        raise CommissionFault("records_lost", path=path, told=told, found=len(lines))
    if told and sha256(lines[told - 1]).hexdigest() != last:
        raise CommissionFault("records_changed", path=path, line=told, what="it is another one")


def _judged(line: bytes, number: int, path: Path, before: str, laptop: str | None) -> Record:
    def broken(what: str) -> CommissionFault:
        return CommissionFault("records_changed", path=path, line=number, what=what)

    try:
        record = json.loads(line) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or _canonical(record) != line:
        raise broken("it is no record")
    for key in ("at", "before", "clock", "job", "kind", "laptop", "signature"):
        if not isinstance(record.get(key), str):
            raise broken(f"its {key} is missing")
    if record.get("v") != VERSION or record["kind"] not in KINDS:
        raise broken("it is of a kind or version that is not known here")
    if record.get("n") != number or record["before"] != before:
        raise broken("it does not follow the line before")
    if laptop is not None and record["laptop"] != laptop:
        raise broken("another laptop signed it")
    try:
        clock.read(record["at"])
        public = bytes.fromhex(record["laptop"])
        signature = bytes.fromhex(record["signature"])
    except ValueError:
        raise broken("its time, key or signature is none") from None
    unsigned = {name: value for name, value in record.items() if name != "signature"}
    if not ed25519.verified(_canonical(unsigned), signature, public):
        raise broken("its signature does not fit")
    return record


class Ledger:
    """The queue of this laptop, open for one process."""

    def __init__(self, places: Places) -> None:
        self._path = places.records
        self._private = _laptop_key(places)
        self.laptop = ed25519.public(self._private).hex()

    def chain(self) -> Chain:
        """What is in the queue, verified."""
        return read(self._path, laptop=self.laptop)

    def add(self, kind: str, job: str, body: Mapping[str, object], now_ms: int) -> tuple[int, bool]:
        """The number of that record of that job and life, added where it is not in the queue yet.

        True: added. A "failed" one is added each time.
        """
        with locked(self._path):
            chain = self.chain()
            there = [] if kind == "failed" else chain.of(kind, job=job, life=body["life"])
            if there:
                self._tell_end(len(chain.records), chain.last)
                return int(there[0]["n"]), False
            if chain.torn:
                self._drop_torn()
            number = len(chain.records) + 1
            record = {
                **body,
                "v": VERSION,
                "n": number,
                "at": clock.told(now_ms),
                "clock": clock.doubt(now_ms, chain.last_ms),
                "before": chain.last,
                "laptop": self.laptop,
                "job": job,
                "kind": kind,
            }
            signature = ed25519.sign(_canonical(record), self._private).hex()
            line = _canonical({**record, "signature": signature})
            durable.append(self._path, line + b"\n")
            self._tell_end(number, sha256(line).hexdigest())
            return number, True

    def _tell_end(self, count: int, last: str) -> None:
        durable.replace(_end(self._path), f"{count} {last}\n".encode())

    def _drop_torn(self) -> None:
        whole = self._path.read_bytes().rpartition(b"\n")
        os.truncate(self._path, len(whole[0] + whole[1]))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process adds to the queue meanwhile."""
    lock = path.with_suffix(".lock")
    with locks.held(lock, "records_busy", patience_s=PATIENCE_S, path=path):
        yield


def export(path: Path, to: Path) -> int:
    """Copy a verified queue to a file that verifies by itself; how many records."""
    if to.is_dir():
        raise CommissionFault("records_to", path=to)
    chain = read(path)
    lines = path.read_bytes().split(b"\n")[: len(chain.records)] if chain.records else []
    durable.replace(to, b"".join(line + b"\n" for line in lines))
    return len(lines)


def _end(path: Path) -> Path:
    return path.with_suffix(".end")


def _laptop_key(places: Places) -> bytes:
    """32 bytes, made on first use."""
    path = places.laptop_key
    remedy = "bring it back from a backup, or move it and the queue away: a new key, a new queue"
    if not path.exists():
        if places.records.exists():
            raise CommissionFault("laptop_key", what=f"{path} is gone", remedy=remedy)
        durable.replace(path, (secrets.token_hex(ed25519.KEY_BYTES) + "\n").encode())
    content = read_secret(path)
    if isinstance(content, Complaint):
        raise CommissionFault("laptop_key", what=content.problem, remedy=content.remedy)
    try:
        key = bytes.fromhex(content)
    except ValueError:
        key = b""
    if len(key) != ed25519.KEY_BYTES:
        raise CommissionFault("laptop_key", what=f"{path} holds no key", remedy=remedy)
    return key


def _canonical(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
