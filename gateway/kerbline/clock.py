"""The two named clocks of the gateway: real time, and the street time of a simulation.

Street time dates records and drives schedules and rules; real time drives links, expiry and
outages. In production they are one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

MAX_ROWS = 1_000
LATEST_MS = 1 << 53  # what a double still counts in whole milliseconds


@dataclass(frozen=True, slots=True)
class StreetRow:
    """From `real_ms` on (UTC), street time is `street_ms` and runs `rate` times as fast."""

    real_ms: int
    street_ms: int
    rate: float


@dataclass(frozen=True, slots=True)
class StreetTable:
    """Street time as a piecewise linear function of real UTC; without rows they are one.

    Before the first row street time runs at rate 1 with that row's offset. It never goes back.
    """

    rows: tuple[StreetRow, ...] = ()

    @classmethod
    def parse(cls, text: str | bytes) -> StreetTable:
        """Read `[[real_ms, street_ms, rate], ...]` in JSON; ValueError says what is wrong."""
        data = json.loads(text)
        if not isinstance(data, list) or len(data) > MAX_ROWS:
            raise ValueError(f"a list of at most {MAX_ROWS} rows is expected")
        table = cls(tuple(_row(entry) for entry in data))
        for number, (before, after) in enumerate(zip(table.rows, table.rows[1:], strict=False)):
            if after.real_ms <= before.real_ms:
                raise ValueError(f"row {number + 2} does not follow row {number + 1} in real time")
            if after.street_ms < _along(before, after.real_ms):
                raise ValueError(f"row {number + 2} turns street time back")
        return table

    def street_ms(self, real_utc_ms: int) -> int:
        """The street time at a real time, ms since 1970, rounded down."""
        if not self.rows:
            return real_utc_ms
        first = self.rows[0]
        if real_utc_ms < first.real_ms:
            return real_utc_ms + first.street_ms - first.real_ms
        return _along(_last(r for r in self.rows if r.real_ms <= real_utc_ms), real_utc_ms)

    def real_ms(self, street_utc_ms: int) -> int:
        """The first real millisecond at which street time has reached `street_utc_ms`."""
        if not self.rows:
            return street_utc_ms
        first = self.rows[0]
        if street_utc_ms <= first.street_ms:
            return street_utc_ms + first.real_ms - first.street_ms
        row = _last(r for r in self.rows if r.street_ms < street_utc_ms)
        real = row.real_ms + math.ceil((street_utc_ms - row.street_ms) / row.rate)
        while _along(row, real) < street_utc_ms:  # the quotient was rounded, and `_along` too
            real += 1
        while _along(row, real - 1) >= street_utc_ms:
            real -= 1
        later = (r.real_ms for r in self.rows if r.real_ms > row.real_ms)
        return min(real, next(later, real))  # a jump is reached when the next row begins


def _row(entry: object) -> StreetRow:
    match entry:
        case [int(real), int(street), int() | float() as rate]:
            row = StreetRow(real, street, rate)
        case _:
            raise ValueError("a row is [real_ms, street_ms, rate]")
    if not (0 < row.rate <= 1_000_000) or not (max(abs(row.real_ms), abs(street)) < LATEST_MS):
        raise ValueError("a row's rate is above 0 and its times are ms since 1970")
    return row


def _along(row: StreetRow, real_ms: int) -> int:
    return row.street_ms + math.floor((real_ms - row.real_ms) * row.rate)


def _last(rows: Iterable[StreetRow]) -> StreetRow:
    *_, last = rows
    return last


class Clock:
    """Real UTC, real monotonic time, and the street time of a moment; all in milliseconds."""

    __slots__ = ("street",)

    def __init__(self, street: StreetTable | None = None) -> None:
        self.street = street or StreetTable()

    def utc_ms(self) -> int:
        """Real UTC, ms since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds since some start, never set back: for time-outs and intervals."""
        return time.monotonic_ns() // 1_000_000

    def monotonic_us(self) -> int:
        """The same in microseconds, for a line where single bytes count."""
        return time.monotonic_ns() // 1_000

    def street_ms(self, real_utc_ms: int) -> int:
        """The street time at a real time, ms since 1970."""
        return self.street.street_ms(real_utc_ms)


class ManualClock(Clock):
    """A clock that stands until it is advanced: virtual time for tests and simulations."""

    __slots__ = ("_monotonic_ms", "_utc_ms")

    def __init__(self, utc_ms: int = 0, street: StreetTable | None = None) -> None:
        super().__init__(street)
        self._utc_ms = utc_ms
        self._monotonic_ms = 0

    def utc_ms(self) -> int:
        """The UTC that was set."""
        return self._utc_ms

    def monotonic_ms(self) -> int:
        """The sum of all advances."""
        return self._monotonic_ms

    def monotonic_us(self) -> int:
        """The sum of all advances."""
        return self._monotonic_ms * 1_000

    def advance(self, ms: int) -> None:
        """Let `ms` pass on both real clocks."""
        self._utc_ms += ms
        self._monotonic_ms += ms

    def set_utc(self, utc_ms: int) -> None:
        """Set UTC as an operator or NTP would; monotonic time does not notice."""
        self._utc_ms = utc_ms
