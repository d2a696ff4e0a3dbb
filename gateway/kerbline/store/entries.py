"""How an entry of the durable log is written: flat JSON that any language reads."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kerbline.model import Alarm, Entry, Gap, Key, Reading, Severity
from kerbline.store.schema import checksum

# Level 1 brings a reading from 280 bytes to about 40; level 6 saves little more in thrice the time.
COMPRESSION = 1

_TEXT = rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")'
# A reading's JSON as it is `written`: groups are the texts of source, epoch, number, asset, kind,
# observed_at_ms, and of uncertainty_ms, values and quality with their names. Thrice as quick as to
# decode it.
READING = re.compile(
    rb'\{"type":"reading","source":%b,"epoch":(-?\d++),"number":(-?\d++),"asset":%b,"kind":%b,'
    rb'"observed_at_ms":(-?\d++),("uncertainty_ms":-?\d++,"values":\{.*\},"quality":\[.*\]),'
    rb'"received_at_ms":-?\d++\}' % (_TEXT, _TEXT, _TEXT)
)


class Garbled(ValueError):
    """Bytes that are no batch body."""


def written(entries: Iterable[Entry]) -> bytes:
    """A JSON array with one flat object an entry."""
    return orjson.dumps([to_json(entry) for entry in entries])


def packed(entries: Sequence[Entry]) -> bytes:
    """The body of a batch: zlib over what is `written`."""
    return zlib.compress(written(entries), COMPRESSION)


def decoded(body: bytes) -> tuple[Entry, ...]:
    """The entries of what is `written`; raises Garbled."""
    try:
        return tuple([from_json(item) for item in orjson.loads(body)])
    except (ValueError, KeyError, TypeError) as error:
        raise Garbled(str(error)) from error


def unpacked(body: bytes) -> tuple[Entry, ...]:
    """The entries of a batch body; raises Garbled."""
    return decoded(_inflated(body))


def inflated(seq: int, at_ms: int, count: int, body: bytes, crc: int | None) -> bytes:
    """What is `written` in a row of the log; raises Garbled. `crc` is None in rows of format 1."""
    if crc is not None and crc != checksum(seq, at_ms, count, body):
        raise Garbled("its checksum differs")
    return _inflated(body)


def checked(seq: int, at_ms: int, count: int, body: bytes, crc: int | None) -> tuple[Entry, ...]:
    """The entries of a row of the log; raises Garbled."""
    return decoded(inflated(seq, at_ms, count, body, crc))


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except (zlib.error, TypeError) as error:
        raise Garbled(str(error)) from error


def to_json(entry: Entry) -> dict[str, Any]:
    """One entry as a flat object whose "type" tells which, and whose values are the entry's own."""
    if isinstance(entry, Reading):
        return {
            "type": "reading",
            "source": entry.key.source,
            "epoch": entry.key.epoch,
            "number": entry.key.number,
            "asset": entry.asset,
            "kind": entry.kind,
            "observed_at_ms": entry.observed_at_ms,
            "uncertainty_ms": entry.uncertainty_ms,
            "values": entry.values if isinstance(entry.values, dict) else dict(entry.values),
            "quality": entry.quality,
            "received_at_ms": entry.received_at_ms,
        }
    if isinstance(entry, Gap):
        return {
            "type": "gap",
            "source": entry.source,
            "epoch": entry.epoch,
            "first": entry.first,
            "last": entry.last,
            "reason": entry.reason,
            "declared_at_ms": entry.declared_at_ms,
        }
    return {
        "type": "alarm",
        "source": entry.key.source,
        "epoch": entry.key.epoch,
        "number": entry.key.number,
        "asset": entry.asset,
        "rule": entry.rule,
        "active": entry.active,
        "severity": entry.severity,
        "observed_at_ms": entry.observed_at_ms,
        "evidence": dict(entry.evidence),
    }


def from_json(item: dict[str, Any]) -> Entry:
    """The inverse of to_json; raises KeyError, TypeError or ValueError on anything else."""
    kind = item["type"]
    if kind == "gap":
        return Gap(
            item["source"],
            item["epoch"],
            item["first"],
            item["last"],
            item["reason"],
            item["declared_at_ms"],
        )
    key = Key(item["source"], item["epoch"], item["number"])
    if kind == "reading":
        values = item["values"]
        if list in map(type, values.values()):
            values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return Reading(
            key,
            item["asset"],
            item["kind"],
            item["observed_at_ms"],
            item["uncertainty_ms"],
            values,
            tuple(item["quality"]),
            item["received_at_ms"],
        )
    if kind != "alarm":
        raise ValueError(f"unknown entry type {kind!r}")
    return Alarm(
        key,
        item["asset"],
        item["rule"],
        item["active"],
        Severity(item["severity"]),
        item["observed_at_ms"],
        item["evidence"],
    )
