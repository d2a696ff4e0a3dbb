"""Figures of a day: how many of a group's lamps were in order, and of whom anything was heard.

By the UTC hour: a lamp has failed in an hour in which it said so once. Two masks of 24 bits an
asset and day; a day is told once, some hours after its end, and never corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerbline.assets import Registry
from kerbline.assets.asset import STREETLIGHT
from kerbline.control.latest import Latest
from kerbline.model import Reading, Value

KIND = "kpi"
FORMAT = 1  # of what `saved` gives

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GRACE_MS = 6 * HOUR_MS  # what comes later is in no figure
KEPT_DAYS = 2  # beside the one under way
SURE_MS = HOUR_MS // 2  # whose time is less sure belongs to no hour
AHEAD_MS = 600_000  # further in the future is a clock that is wrong
FAILED = 16 | 64 | 128  # of a lamp's `status`: dark, lit by day, cycling


@dataclass(frozen=True, slots=True)
class Area:
    """What a name stands for: the lamps of a group, the assets of a zone, or both."""

    lamps: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """The figures of an area for the day that ended at `end_ms`."""

    area: str
    end_ms: int
    values: Mapping[str, Value]


class Days:
    """The days that are not told yet. Time is an argument: street time, ms since 1970."""

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        """`saved` as it was given; what is of another format is as good as nothing."""
        self._areas: Mapping[str, Area] = {}
        self._wanted: frozenset[str] = frozenset()
        self._issued: dict[str, int] = {}  # the first day of an area that is not told ...
        self._next: dict[str, int] = {}  # ... as the log has it
        self._days: dict[int, dict[str, tuple[int, int]]] = {}  # heard and failed, by hour
        self._latest = Latest()
        if saved is not None and saved.get("format") == FORMAT:
            self._latest.seen_ms = saved["seen_ms"]
            self._next = dict(saved["next"])
            self._days = {
                int(day): {asset: (heard, failed) for asset, (heard, failed) in of.items()}
                for day, of in saved["days"].items()
            }

    def serve(self, areas: Mapping[str, Area]) -> None:
        """These are the areas from now on."""
        self._areas = areas
        self._wanted = frozenset(
            asset for area in areas.values() for asset in (*area.lamps, *area.assets)
        )

    def take(self, reading: Reading, now_ms: int) -> None:
        """A reading of any asset, in any order."""
        at_ms = reading.observed_at_ms
        day, since_ms = divmod(at_ms, DAY_MS)
        too_old = now_ms // DAY_MS - day > KEPT_DAYS
        if reading.asset not in self._wanted or too_old or at_ms > now_ms + AHEAD_MS:
            return
        if reading.uncertainty_ms > SURE_MS:
            return
        of = self._days.setdefault(day, {})
        heard, failed = of.get(reading.asset, (0, 0))
        bit = 1 << since_ms // HOUR_MS
        status = reading.values.get("status", 0)
        if reading.kind == "streetlight" and isinstance(status, int) and status & FAILED:
            failed |= bit
        of[reading.asset] = heard | bit, failed

    def due(self, now_ms: int) -> Sequence[Told]:
        """The figures of days that are over, each once; a day without us has none."""
        if self._latest.is_behind(now_ms):
            if self._latest.was_wrong(now_ms):
                self._next.clear()
                self._issued.clear()
                self._days.clear()
            return []
        self._days.setdefault(now_ms // DAY_MS, {})
        found: list[Told] = []
        for day in sorted(self._days):
            end_ms = (day + 1) * DAY_MS
            if now_ms < end_ms + GRACE_MS:
                break
            found += self._told(day, end_ms)
            if now_ms // DAY_MS - day > KEPT_DAYS:
                del self._days[day]
        return found

    def closed(self, area: str, end_ms: int) -> None:
        """The log has the figures of a day."""
        self._next[area] = max(self._next.get(area, 0), end_ms // DAY_MS)

    def saved(self) -> dict[str, Any]:
        """All of it as JSON carries it over a restart."""
        told = {area: day for area, day in self._next.items() if area in self._areas}
        days = {str(day): of for day, of in self._days.items()}
        seen_ms = self._latest.seen_ms
        return {"format": FORMAT, "seen_ms": seen_ms, "next": told, "days": days}

    def _told(self, day: int, end_ms: int) -> Iterator[Told]:
        of = self._days[day]
        for name, area in self._areas.items():
            if day < max(self._next.get(name, 0), self._issued.get(name, 0)):
                continue
            self._issued[name] = day + 1
            values = dict(_figures(area, of))
            if values:
                yield Told(name, end_ms, values)


def areas(registry: Registry, households: Mapping[str, int], least: int) -> Mapping[str, Area]:
    """Groups of lamps and zones with devices here.

    `households` of each zone: where they are fewer than `least`, theirs does not count.
    """
    lamps: dict[str, list[str]] = {}
    assets: dict[str, list[str]] = {}
    for asset in registry.served():
        if asset.group and asset.type == STREETLIGHT and not registry.personal(asset.id):
            lamps.setdefault(asset.group, []).append(asset.id)
        few = households.get(asset.zone, 0) < least
        if asset.zone and not (few and registry.personal(asset.id)):
            assets.setdefault(asset.zone, []).append(asset.id)
    return {
        name: Area(tuple(lamps.get(name, ())), tuple(assets.get(name, ())))
        for name in (*lamps, *(zone for zone in assets if zone not in lamps))
    }


def _figures(area: Area, of: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, Value]]:
    if area.lamps:
        masks = [of[lamp] for lamp in area.lamps if lamp in of]
        heard = sum(mask.bit_count() for mask, _ in masks)
        failed = sum(mask.bit_count() for _, mask in masks)
        if heard:
            yield "lamp_availability_pct", round(100 * (heard - failed) / heard, 1)
        yield "group_completeness_pct", round(100 * len(masks) / len(area.lamps), 1)
    if area.assets:
        present = sum(asset in of for asset in area.assets)
        yield "zone_completeness_pct", round(100 * present / len(area.assets), 1)
