"""Air by the hour and the day, worked out of the log: figures of stations, and their alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerbline.agent.log_follower import LogFollower
from kerbline.agent.records import Records
from kerbline.assets import Registry
from kerbline.config import Config
from kerbline.config.air import KIND, REPORT_S, Air
from kerbline.control.air import events, told
from kerbline.control.air.stations import Figure, Setting, Stations, Terms
from kerbline.model import Alarm, Entry, Gap
from kerbline.store import GroupCommit, Store

RULE = "air"  # under which the store keeps what was noted
_FIGURES = (told.HOUR_KIND, told.DAY_KIND)


class AirFigures(LogFollower):
    """Gives the log what follows from it, for each station of `[air]`."""

    def __init__(
        self, config: Config, registry: Registry | None, store: Store, group: GroupCommit
    ) -> None:
        """Takes up what the store noted."""
        assert config.air is not None
        super().__init__(RULE, store, group)
        self._gateway = config.gateway.id
        self._registry = registry
        self._revision = -1
        self._periods = periods(config)
        self._stations = Stations(terms(config.air), self._noted.get("stations"))
        if not self._noted:
            self.note()  # with the first of what counts, or a kill would pass it over

    def told(self) -> Mapping[str, Mapping[str, int]]:
        """For the status: how far each station is."""
        return self._stations.told()

    def _saved(self) -> Mapping[str, Any]:
        return {"stations": self._stations.saved()}

    def _resume(self, now_ms: int) -> None:
        self._stations.resume(now_ms)

    def _take(self, entry: Entry, now_ms: int) -> None:
        if isinstance(entry, Gap):
            return
        is_ours = entry.key.source == self._gateway
        if isinstance(entry, Alarm):
            self._in_a_hurry |= is_ours and self._stations.alarmed(entry)
        elif is_ours and entry.kind in _FIGURES:
            self._stations.closed(entry)
            self._in_a_hurry = True
        else:
            self._stations.take(entry, now_ms)

    async def _tell(self, records: Records) -> None:
        for item in self._stations.due(records.now_ms()):
            if isinstance(item, Figure):
                await records.worked_out(item.asset, item.kind, item.end_ms, item.values)
            else:
                await records.found(item)

    def _mind(self) -> None:
        """South of the line seasons turn over: a station's place says so."""
        registry = self._registry
        revision = 0 if registry is None else registry.revision
        if self._revision == revision:
            return
        self._revision = revision
        settings = {
            asset: Setting(period, registry is not None and _is_southern(registry, asset))
            for asset, period in self._periods.items()
        }
        self._stations.serve(settings)


def terms(air: Air) -> Terms:
    """What `[air]` says for all stations."""
    own = [
        events.Threshold(
            f"air_{each.name}",
            each.pollutant,
            each.above_ugm3,
            each.mean_h,
            each.hold_h,
            each.critical,
        )
        for each in air.own
    ]
    return Terms(
        air.sensor_type,
        air.reference or "",
        frozenset(air.together),
        air.wait_min * 60_000,
        (*events.SETS[air.thresholds], *own),
    )


def periods(config: Config) -> Mapping[str, int]:
    """The stations of a config, each with the minutes that its samples stand for at most."""
    assert config.air is not None
    reports = {node.asset: node.report_s or REPORT_S for node in config.nodes if node.kind == KIND}
    stations = dict.fromkeys(config.air.stations or reports)
    if config.air.reference is not None:
        stations[config.air.reference] = None
    return {each: min(-(-reports.get(each, REPORT_S) // 60), 60) for each in stations}


def _is_southern(registry: Registry, asset: str) -> bool:
    location = registry.asset(asset).location
    return location is not None and location.positions[0][1] < 0
