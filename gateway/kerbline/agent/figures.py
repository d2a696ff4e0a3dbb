"""Figures that the gateway works out of its log: a zone's water by the hour, and those of a day.

They follow the log as a sink does: what they know is what is durable, their own figures among it.
What they noted last and the log behind that give the same after any kill: no figure twice, none
lost. A figure leaves from the log alone, so that none is known that a kill would change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from kerbline.agent.records import Records
from kerbline.assets import Registry
from kerbline.config import City
from kerbline.control import kpi, zone_water
from kerbline.model import Entry, Reading
from kerbline.store import Committed, GroupCommit, Store, StoreBlocked

RULE = "figures"  # under which the store keeps what was noted
NOTED_BATCHES = 100  # between two notes: so much of the log is read again after a kill
FRESH = 8  # commits that are kept in memory, or the log is read
READ_ENTRIES = 200  # of it at a time
LOOK_S = 10.0
BLOCKED_S = 5.0

log = logging.getLogger("kerbline.agent")


class Figures:
    """An `Inlet` that gives the log what follows from it; `run` is its task."""

    def __init__(
        self, gateway: str, city: City, registry: Registry, store: Store, group: GroupCommit
    ) -> None:
        """Takes up what the store noted; without that, what comes from now on counts."""
        noted = _noted(store)
        self._gateway = gateway
        self._registry = registry
        self._least = city.min_households
        self._group = group
        self._cursor = self._noted_at = min(noted.get("cursor", store.head), store.head)
        terms = zone_water.Terms(city.min_households, city.zone_wait_h)
        self._water = zone_water.ZoneWater(terms, noted.get("water"))
        self._days = kpi.Days(noted.get("days"))
        self._revision = -1
        self._fresh: deque[Committed] = deque(maxlen=FRESH)
        self._grew = asyncio.Event()
        if not noted:
            self.note()  # with the first of what counts, or a kill would pass it over

    def offer(self, entry: Entry) -> None:
        """What is not durable is not known."""

    def log_grew(self, committed: Committed | None = None) -> None:
        """There is something to look at."""
        if committed is not None and committed.seq:
            self._fresh.append(committed)
        self._grew.set()

    async def run(self, records: Records, look_s: float = LOOK_S) -> None:
        """Follow the log and tell what is due, for ever."""
        loop = asyncio.get_running_loop()
        await self._catch_up(records)
        self._water.resume(records.now_ms())
        while True:
            self._mind_registry()
            await self._tell(records)
            look_at = loop.time() + look_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    while True:
                        await self._grew.wait()
                        self._grew.clear()
                        await self._follow(records)

    def note(self) -> None:
        """Have it noted with the next commit how far this came."""
        self._noted_at = self._cursor
        body = {"cursor": self._cursor, "water": self._water.saved(), "days": self._days.saved()}
        self._group.save_memory(RULE, "", json.dumps(body, separators=(",", ":")))

    def told(self) -> Mapping[str, Mapping[str, int]]:
        """For the status: how far each zone's water is."""
        return self._water.told()

    async def _catch_up(self, records: Records) -> None:
        """Read the log to its end; nothing is told before."""
        self._mind_registry()
        while True:
            try:
                batches = await self._group.read(self._cursor, READ_ENTRIES)
            except StoreBlocked as error:
                log.warning("figures: the log can't be read: %s", error)
                await asyncio.sleep(BLOCKED_S)
                continue
            for batch in batches:
                self._take(batch.seq, batch.entries, records.now_ms())
                await asyncio.sleep(0)
            if not batches:
                return

    async def _follow(self, records: Records) -> None:
        """Take what was committed, from memory if it is all there."""
        while self._fresh:
            committed = self._fresh.popleft()
            if committed.seq > self._cursor + 1:
                await self._catch_up(records)
            elif committed.seq == self._cursor + 1:
                self._take(committed.seq, committed.entries, records.now_ms())

    def _take(self, seq: int, entries: Iterable[Entry], now_ms: int) -> None:
        for entry in entries:
            if not isinstance(entry, Reading):
                continue
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
        self._cursor = seq
        if seq - self._noted_at >= NOTED_BATCHES:
            self.note()

    async def _tell(self, records: Records) -> None:
        now_ms = records.now_ms()
        for hour in self._water.due(now_ms):
            flags = (zone_water.WITHHELD,) if hour.litres is None else ()
            values = hour.values()
            await records.worked_out(hour.zone, zone_water.KIND, hour.end_ms, values, flags)
        for day in self._days.due(now_ms):
            await records.worked_out(day.area, kpi.KIND, day.end_ms, day.values)

    def _mind_registry(self) -> None:
        """Another list, other zones; while it is lost nobody knows them, and they stay."""
        registry = self._registry
        if self._revision == registry.revision or (registry.lost and self._revision >= 0):
            return
        self._revision = registry.revision
        members = zone_water.members(registry)
        self._water.serve(members)
        self._days.serve(kpi.areas(registry, zone_water.households(members), self._least))


def _noted(store: Store) -> Mapping[str, Any]:
    """What was noted last; nothing where that is not to be read."""
    body = store.memories(RULE).get("")
    found = json.loads(body) if body else {}
    return found if isinstance(found, dict) else {}
