"""Acknowledgements of a consumer: what it holds of what we published. Needs no trust in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from itertools import accumulate
from typing import Any

import orjson

from kerbline.errors import KerblineError
from kerbline.north.live import Live, Log, Mark

MAX_PAYLOAD_BYTES = 16_384
MAX_RANGES = 1_000
MAX_LOGS = 4_096  # remembered; acknowledgements of an older one are foreign, and it comes again
MAX_NUMBER = 1 << 63
_FIELDS = frozenset(["source", "epoch", "cumulative", "ranges", "gaps"])


class Refused(KerblineError):
    """An acknowledgement that is none: `reason` is a stable word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Acks:
    """What was published and not yet acknowledged by the consumer, by log."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._sent: dict[Log, set[Mark]] = {}
        self._highest: dict[Log, int] = {}

    def sent(self, log: Log) -> Collection[Mark]:
        """What of a log is published in this connection and not acknowledged."""
        return self._sent.get(log, ())

    def published(self, log: Log, marks: Collection[Mark]) -> None:
        """The broker has these; the consumer is to say that it has them, too."""
        self._sent.setdefault(log, set()).update(marks)
        numbers = (mark if isinstance(mark, int) else mark[1] or mark[0] for mark in marks)
        highest = max(self._highest.pop(log, 0), max(numbers, default=0))
        self._highest[log] = highest  # at the end of the order
        if len(self._highest) > MAX_LOGS:
            oldest = next(iter(self._highest))
            del self._highest[oldest]
            self._sent.pop(oldest, None)

    def again(self) -> None:
        """What was published may be lost with its broker: none of it counts as sent."""
        self._sent.clear()

    def take(self, payload: bytes) -> None:
        """Enter an acknowledgement; raises Refused, and then nothing of it counts."""
        log, cumulative, ranges, gaps = _parsed(payload)
        highest = self._highest.get(log)
        if highest is None:
            raise Refused("foreign", f"nothing of {log[0][:40]} {log[1]} was published")
        furthest = max([cumulative, *[last for _, last in ranges]])
        if furthest > highest:
            raise Refused("future", f"{furthest} is beyond {highest}, the last that was published")
        sent = self._sent.get(log, set())
        ranges = sorted([(1, cumulative), *ranges])
        starts = [first for first, _ in ranges]
        ends = list(accumulate((last for _, last in ranges), max))
        marks = {
            mark
            for mark in sent
            if (mark in gaps if not isinstance(mark, int) else mark <= _end(mark, starts, ends))
        }
        sent -= marks
        if not sent:
            self._sent.pop(log, None)
        self._live.acknowledge(log, marks)


Ranges = list[tuple[int, int]]
Gaps = set[tuple[int, int | None]]


def _end(number: int, starts: list[int], ends: list[int]) -> int:
    """How far the ranges reach that begin up to `number`; 0 where none does."""
    found = bisect_right(starts, number)
    return ends[found - 1] if found else 0


def _parsed(payload: bytes) -> tuple[Log, int, Ranges, Gaps]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused("too_long", f"at most {MAX_PAYLOAD_BYTES} bytes")
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise Refused("not_json", "an object is expected") from None
    if not isinstance(body, dict):
        raise Refused("not_json", "an object is expected")
    if unknown := sorted(body.keys() - _FIELDS):
        raise Refused("unknown_field", unknown[0][:40])
    source = body.get("source")
    if not isinstance(source, str):
        raise Refused("wrong_type", "source: a text is expected")
    log = (source, _number("epoch", body.get("epoch"), 0))
    cumulative = _number("cumulative", body.get("cumulative", 0), 0)
    ranges = [(first, _last(first, last)) for first, last in _pairs("ranges", body)]
    gaps: Gaps = set()
    for first, last in _pairs("gaps", body):
        gaps.add((first, None if last is None else _last(first, last)))
    return log, cumulative, ranges, gaps


def _pairs(name: str, body: dict[str, Any]) -> list[tuple[int, Any]]:
    given = body.get(name, [])
    if not isinstance(given, list):
        raise Refused("wrong_type", f"{name}: an array is expected")
    if len(given) > MAX_RANGES:
        raise Refused("too_long", f"{name}: at most {MAX_RANGES}")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in given):
        raise Refused("wrong_type", f"{name}: [first, last] is expected")
    return [(_number(name, first, 1), last) for first, last in given]


def _last(first: int, given: object) -> int:
    last = _number("last", given, 1)
    if last < first:
        raise Refused("out_of_range", f"[{first}, {last}] ends before it begins")
    return last


def _number(name: str, given: object, low: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise Refused("wrong_type", f"{name}: a whole number is expected")
    if not low <= given < MAX_NUMBER:
        raise Refused("out_of_range", f"{name}: {given}")
    return given
