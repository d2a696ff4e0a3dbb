"""Leaks of metered districts: detectors that follow the durable log, and what they tell.

What they know is what is durable, so a kill changes nothing; their alarms leave as all alarms do,
a day's water balance from the log alone. A step at a time is worked on, so that nobody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kerbline.agent.following import Following
from kerbline.agent.leaks.zone import Zone
from kerbline.agent.records import Records
from kerbline.assets import Registry
from kerbline.clock import Clock
from kerbline.config import District
from kerbline.control import zone_water
from kerbline.control.leaks import BALANCE, INFLOW, WATER_BALANCE
from kerbline.local_socket import Answer, Declined, Question
from kerbline.model import Alarm, Entry, Reading
from kerbline.store import GroupCommit, Store

RULE = "leaks"  # under which the store keeps what was noted, by zone
LOOK_S = 10.0
ACCEPT_S = 8.0  # less than who asks waits
AT_ONCE = 50  # readings, before others have their turn
NOTE_MS = 6 * 3_600_000  # of reads between two notes; after a kill the log since is read again

log = logging.getLogger("kerbline.agent")


class Leaks:
    """An `Inlet` that looks for leaks in what became durable; `run` is its task."""

    def __init__(
        self,
        gateway: str,
        districts: Iterable[District],
        registry: Registry | None,
        store: Store,
        group: GroupCommit,
        clock: Clock,
    ) -> None:
        """Takes up what the store noted; without that a district learns from all of the log."""
        self._gateway = gateway
        self._registry = registry
        self._group = group
        self._clock = clock
        self._revision = -1
        noted = {zone: _parsed(body) for zone, body in store.memories(RULE).items()}
        by_zone = {one.zone: one for one in districts}
        self.zones = [
            Zone(
                *(one, registry, noted.get(one.zone, {}), store.head),
                [by_zone[each] for each in one.neighbours],
            )
            for one in by_zone.values()
        ]
        after = min((zone.taken for zone in self.zones), default=store.head)
        self._log = Following(group, after, RULE)
        self._routes: dict[str, list[tuple[Zone, int]]] = {}
        self._noted: dict[str, int] = {}
        self._records: Records | None = None
        self._heard = asyncio.Event()

    def offer(self, entry: Entry) -> None:
        """What is not durable is not known."""

    def log_grew(self, committed: Any = None) -> None:  # noqa: ANN401 - as of an Inlet
        """There is something to look at."""
        self._log.log_grew(committed)

    async def run(self, records: Records, look_s: float = LOOK_S) -> None:
        """Follow the log and tell what is found, for ever."""
        loop = asyncio.get_running_loop()
        self._mind_registry()
        await self._log.catch_up(self._take)
        self._records = records
        while True:
            if self._mind_registry():
                await self._log.catch_up(self._take)
            await self._tell(records)
            look_at = loop.time() + look_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._log.grew.wait()
            self._log.grew.clear()
            await self._log.follow(self._take)

    def note(self) -> None:
        """Have it noted with the next commit how far this came."""
        for zone in self.zones:
            self._note(zone)

    async def answer(self, _question: Question) -> Answer:
        """For `kerbline leaks status`: how each district is; times in ms since 1970."""
        return {"districts": [zone.told() for zone in self.zones]}

    async def accept(self, question: Question) -> Answer:
        """For `kerbline leaks accept`: what `alarm` tells is usual, and no leak.

        It is answered when the log has it; who asks again has the same answer.
        """
        asset, _, rule = str(question.get("alarm")).partition(":")
        zone = next((one for one in self.zones if one.config.zone == asset), None)
        if self._records is None:
            raise Declined("it still reads what it has in store; ask again in a minute")
        if zone is not None and rule in zone.may_accept():
            await self._records.found(zone.accept(rule))
        try:
            async with asyncio.timeout(ACCEPT_S):
                while zone is not None and zone.usual.is_asked(rule):
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            why = self._group.blocked or "the disk is slow"
            raise Declined(f"it is not in the store yet ({why}); ask again") from None
        from_ms = None if zone is None else zone.usual.from_ms(rule)
        if from_ms is not None:
            return {"from_ms": from_ms}
        up = [f"{one.config.zone}:{rule}" for one in self.zones for rule in one.may_accept()]
        rules, known = f"{BALANCE} or {INFLOW}", ", ".join(up) or "none"
        raise Declined(f"only a {rules} that is up can be usual; up now: {known}")

    def _note(self, zone: Zone) -> None:
        self._noted[zone.config.zone] = zone.first_ms
        body = json.dumps(zone.saved(), separators=(",", ":"))
        self._group.save_memory(RULE, zone.config.zone, body)

    async def _take(self, seq: int, entries: Iterable[Entry]) -> None:
        for number, entry in enumerate(entries, 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if isinstance(entry, Alarm):
                self._own_alarm(seq, entry)
            elif isinstance(entry, Reading):
                await self._reading(seq, entry)
        for zone in self.zones:
            zone.taken = max(zone.taken, seq)
            if abs(zone.first_ms - self._noted.get(zone.config.zone, 0)) >= NOTE_MS:
                self._note(zone)

    def _own_alarm(self, seq: int, alarm: Alarm) -> None:
        if alarm.key.source != self._gateway:
            return
        for zone in self.zones:
            if alarm.evidence.get("zone") == zone.config.zone and seq > zone.taken:
                zone.was_told(alarm, seq)
        self._heard.set()

    async def _reading(self, seq: int, reading: Reading) -> None:
        if reading.key.source == self._gateway and reading.kind in (WATER_BALANCE, zone_water.KIND):
            for zone in self.zones:
                if reading.asset == zone.config.zone:
                    zone.figure(reading)
            return
        routes = self._routes.get(reading.asset)
        if not routes:
            return
        came_ms = self._clock.street_ms(reading.received_at_ms)
        for zone, meter in routes:
            if seq > zone.taken:
                await _slowly(zone.take(meter, reading, came_ms, seq))

    async def _tell(self, records: Records) -> None:
        for zone in self.zones:
            await _slowly(zone.judge())
            for finding in list(zone.findings()):
                await records.found(finding)
                zone.issued(finding)
            for end_ms, values in list(zone.balances()):
                await records.worked_out(zone.config.zone, WATER_BALANCE, end_ms, values)

    def _mind_registry(self) -> bool:
        """Another list, other meters; while it is lost nobody knows them, and they stay.

        Is a part of the log to be read again, for districts that have others?
        """
        registry = self._registry
        revision = 0 if registry is None else registry.revision
        lost = registry is not None and registry.lost
        if self._revision == revision or (lost and self._revision >= 0):
            return False
        self._revision = revision
        self._routes = {}
        for zone in self.zones:
            zone.serve()
            for asset, meter in zone.routes():
                self._routes.setdefault(asset, []).append((zone, meter))
        taken = min(zone.taken for zone in self.zones)
        behind = taken < self._log.cursor
        self._log.cursor = min(taken, self._log.cursor)
        return behind


async def _slowly(work: Iterator[None]) -> None:
    """Lamps and buses go first."""
    for _ in work:
        await asyncio.sleep(0)


def _parsed(body: str) -> Mapping[str, Any]:
    found = json.loads(body)
    return found if isinstance(found, dict) else {}
