"""Figures that the gateway works out of its log: a zone's water by the hour, and those of a day.

A figure leaves from the log alone, so that none is known that a kill would change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerbline.agent.log_follower import LogFollower
from kerbline.agent.records import Records
from kerbline.assets import Registry
from kerbline.config import City
from kerbline.control import kpi, zone_water
from kerbline.model import Entry, Reading
from kerbline.store import GroupCommit, Store

RULE = "figures"  # under which the store keeps what was noted


class Figures(LogFollower):
    """Gives the log what follows from it."""

    def __init__(
        self, gateway: str, city: City, registry: Registry, store: Store, group: GroupCommit
    ) -> None:
        """Takes up what the store noted."""
        super().__init__(RULE, store, group)
        self._gateway = gateway
        self._registry = registry
        self._least = city.min_households
        terms = zone_water.Terms(city.min_households, city.zone_wait_h)
        self._water = zone_water.ZoneWater(terms, self._noted.get("water"))
        self._days = kpi.Days(self._noted.get("days"))
        self._revision = -1
        if not self._noted:
            self.note()  # with the first of what counts, or a kill would pass it over

    def told(self) -> Mapping[str, Mapping[str, int]]:
        """For the status: how far each zone's water is."""
        return self._water.told()

    def _saved(self) -> Mapping[str, Any]:
        return {"water": self._water.saved(), "days": self._days.saved()}

    def _resume(self, now_ms: int) -> None:
        self._water.resume(now_ms)

    def _take(self, entry: Entry, now_ms: int) -> None:
        if not isinstance(entry, Reading):
            return
        is_ours = entry.key.source == self._gateway
        if is_ours and entry.kind == zone_water.KIND:
            late = entry.values.get("late_hours", 0)
            late = late if isinstance(late, int) else 0
            self._water.closed(entry.asset, entry.observed_at_ms, late)
        elif is_ours and entry.kind == kpi.KIND:
            self._days.closed(entry.asset, entry.observed_at_ms)
        else:
            self._water.take(entry, now_ms)
            self._days.take(entry, now_ms)

    async def _tell(self, records: Records) -> None:
        now_ms = records.now_ms()
        for hour in self._water.due(now_ms):
            flags = (zone_water.WITHHELD,) if hour.litres is None else ()
            values = hour.values()
            await records.worked_out(hour.zone, zone_water.KIND, hour.end_ms, values, flags)
        for day in self._days.due(now_ms):
            await records.worked_out(day.area, kpi.KIND, day.end_ms, day.values)

    def _mind(self) -> None:
        """Another list, other zones; while it is lost nobody knows them, and they stay."""
        registry = self._registry
        if self._revision == registry.revision or (registry.lost and self._revision >= 0):
            return
        self._revision = registry.revision
        members = zone_water.members(registry)
        self._water.serve(members)
        self._days.serve(kpi.areas(registry, zone_water.households(members), self._least))
