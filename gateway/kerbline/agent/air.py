"""Air by the hour and the day, worked out of the log: figures of stations, and their alarms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kerbline.agent.log_follower import LogFollower
from kerbline.agent.records import Records
from kerbline.assets import Registry
from kerbline.config import Config, Node
from kerbline.control.air.configured import settings, terms
from kerbline.control.air.report import DAY_KIND, HOUR_KIND
from kerbline.control.air.stations import Figure, Stations
from kerbline.model import Alarm, Entry, Gap
from kerbline.store import GroupCommit, Store

RULE = "air"  # under which the store keeps what was noted
_FIGURES = (HOUR_KIND, DAY_KIND)


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
        self._config = config
        self._stations = Stations(terms(config.air), self._noted.get("stations"))
        if not self._noted:
            self.note()  # with the first of what counts, or a kill would pass it over

    def join(self, nodes: Iterable[Node]) -> None:
        """These nodes are there from now on; a station may be among them."""
        self._config = replace(self._config, nodes=tuple(nodes))
        self._revision = -1

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
        self._stations.serve(settings(self._config, registry))
