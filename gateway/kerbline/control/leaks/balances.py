"""A district's water balances as they become due: a day's tally, and its zone's sums by the hour.

Households enter as the sums that are told anyway: another sum of the same day less that one would
be what a late one used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from kerbline.control import zone_water
from kerbline.control.leaks.tally import Day, Pipes, values
from kerbline.model import Reading, Value

HOUR_MS = 3_600_000
HOURS_KEPT = 24 * 12  # of the zone's sums
GIVEN_UP_MS = 10 * 24 * HOUR_MS  # a day whose sums never came is told without them

Hour = tuple[int, float]  # litres, and of how many of 100 meters


class Balances:
    """Those of one district, each told once."""

    def __init__(self, step_ms: int, pipes: Pipes | None, saved: Mapping[str, Any]) -> None:
        """`saved` as it was given, or nothing."""
        self._step_ms = step_ms
        self._pipes = pipes
        self._meters = self._own = 0
        self._has_sum = True
        hours = saved.get("hours", {}).items()
        self._hours: dict[int, Hour | None] = {  # of the zone's households, None: withheld
            int(hour): None if it is None else (it[0], it[1]) for hour, it in hours
        }
        self._pending = [Day(**day) for day in saved.get("pending", ())]
        self._ready: list[tuple[int, Mapping[str, Value]]] = []
        self._told_ms: int = saved.get("told_ms", -1)
        self._last: Mapping[str, Value] = saved.get("last", {})

    def serve(self, meters: int, own: int, *, has_sum: bool = True) -> None:
        """So many meters, and of how many of them the volumes come with a Day.

        `has_sum`: the others are the households of the zone's sum, each of them; else nobody knows.
        """
        self._meters, self._own, self._has_sum = meters, own, has_sum

    def figure(self, reading: Reading) -> None:
        """The log has an hour of the zone's households, or a balance of ours."""
        if reading.kind != zone_water.KIND:
            self._told_ms = max(self._told_ms, reading.observed_at_ms)
            self._last = reading.values
            return
        litres = reading.values.get("consumed_l")
        share = reading.values.get("completeness_pct", 0)
        hour = reading.observed_at_ms // HOUR_MS - 1
        is_known = isinstance(litres, int) and isinstance(share, int | float) and share > 0
        self._hours[hour] = (int(litres), float(share)) if is_known else None  # type: ignore[arg-type]
        while len(self._hours) > HOURS_KEPT:
            del self._hours[min(self._hours)]

    def add(self, days: Iterable[Day], newest_ms: int) -> None:
        """Days that are over."""
        self._pending += days
        self._settle(newest_ms)

    def due(self, newest_ms: int) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """What is to be told, by the days' ends."""
        self._settle(newest_ms)
        found, self._ready = self._ready, []
        for end_ms, figures in found:
            if end_ms > self._told_ms:
                self._told_ms, self._last = end_ms, figures
                yield end_ms, figures

    def told(self) -> Mapping[str, Any] | None:
        """The last."""
        return {"end_ms": self._told_ms, **self._last} if self._last else None

    def saved(self) -> Mapping[str, Any]:
        """All of it as JSON carries it over a restart."""
        return {
            "hours": {str(hour): it for hour, it in self._hours.items()},
            "pending": [asdict(day) for day in self._pending],
            "told_ms": self._told_ms,
            "last": dict(self._last),
        }

    def _settle(self, newest_ms: int) -> None:
        left: list[Day] = []
        for day in self._pending:
            end_ms = (day.end + 1) * self._step_ms
            hours = range(end_ms // HOUR_MS - 24, end_ms // HOUR_MS)
            needs_sum = self._own < self._meters and self._has_sum
            is_whole = not needs_sum or all(hour in self._hours for hour in hours)
            left.append(day)
            if is_whole or newest_ms - end_ms > GIVEN_UP_MS:
                self._ready += map(
                    self._balance, left
                )  # sums come in order: no more of a day before
                left = []
        self._pending = left

    def _balance(self, day: Day) -> tuple[int, Mapping[str, Value]]:
        """By the day's end."""
        end_ms = (day.end + 1) * self._step_ms
        hours = range(end_ms // HOUR_MS - 24, end_ms // HOUR_MS)
        consumed_l: float | None = day.consumed_l
        pct = 100 * day.read / self._own if self._own else 0.0
        if self._own < self._meters:
            known = [hour for hour in map(self._hours.get, hours) if hour is not None]
            is_known = self._has_sum and len(known) == len(hours)
            share = min(hour[1] for hour in known) if is_known else 0.0
            pct = (pct * self._own + share * (self._meters - self._own)) / self._meters
            homes_l = sum(litres * 100 / told_pct for litres, told_pct in known)
            consumed_l = day.consumed_l + homes_l if share > 0 else None
        return end_ms, values(day, consumed_l if self._meters else None, pct, self._pipes)
