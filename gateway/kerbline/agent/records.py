"""The way of a record through the gateway: to the live lane and the store, then back as `kept`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kerbline.clock import Clock
from kerbline.model import Entry, Finding, Gap, Key, Reading, Value
from kerbline.north.sink import Inlet
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit

if TYPE_CHECKING:
    from kerbline.south.measured import Measured


class Records:
    """Takes what arrived and what we found ourselves; our own records are numbered here."""

    def __init__(
        self,
        gateway: str,
        epoch: int,
        group: GroupCommit,
        sinks: Sequence[Inlet],
        nodes: Nodes,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._group = group
        self._sinks = sinks
        self._nodes = nodes
        self._clock = clock
        self._numbered = 0

    async def take(self, entry: Entry) -> None:
        """Offer an entry to the live lanes and put it into the open group; waits for room."""
        for sink in self._sinks:
            sink.offer(entry)
        await self._group.put(entry)

    async def keep_private(self, entry: Entry) -> None:
        """Put an entry into the open group alone: it is nobody's but ours."""
        await self._group.put(entry)

    async def resume(self, earlier: Iterable[int]) -> None:
        """Our own numbers of earlier runs that never became durable are a gap each."""
        for epoch in earlier:
            now_ms = self._clock.utc_ms()
            await self.take(Gap(self._gateway, epoch, 1, None, "restart", now_ms))

    @property
    def clock(self) -> Clock:
        """What all records are dated by."""
        return self._clock

    def now_ms(self) -> int:
        """Street time, ms since 1970: what our own findings are dated by."""
        return self._clock.street_ms(self._clock.utc_ms())

    async def found(self, finding: Finding) -> None:
        """An alarm of ours begins or ends."""
        await self.take(finding.alarm(self._key()))

    async def found_at(self, findings: Iterable[Finding]) -> None:
        """Alarms of devices begin or end, dated by real UTC."""
        for finding in findings:
            at_ms = self._clock.street_ms(finding.observed_at_ms)
            await self.found(replace(finding, observed_at_ms=at_ms))

    async def worked_out(
        self,
        area: str,
        kind: str,
        at_ms: int,
        values: Mapping[str, Value],
        quality: tuple[str, ...] = (),
    ) -> None:
        """A figure of ours over many readings; it leaves from the log alone."""
        key, now_ms = self._key(), self._clock.utc_ms()
        await self._group.put(Reading(key, area, kind, at_ms, 0, values, quality, now_ms))

    async def ended(self, asset: str, at_ms: int, values: Mapping[str, Value]) -> None:
        """An event of ours: what a node told has ended, at a street time."""
        now_ms = self._clock.utc_ms()
        await self.take(Reading(self._key(), asset, "event", at_ms, 0, values, (), now_ms))

    async def polled(self, burst: Iterable[Measured]) -> Sequence[Reading]:
        """Polls or telegrams of devices become readings of ours."""
        readings = [
            Reading(
                key=self._key(),
                asset=values.asset,
                kind=values.kind,
                observed_at_ms=self._clock.street_ms(values.read_at_ms),
                uncertainty_ms=values.uncertainty_ms,
                values=values.values,
                quality=values.quality,
                received_at_ms=values.received_at_ms or values.read_at_ms,
            )
            for values in burst
        ]
        for reading in readings:
            await self.take(reading)
        return readings

    async def confirm(self) -> None:
        """What became durable: the nodes may delete it, the sinks may deliver it; for ever."""
        while True:
            committed = await self._group.committed()
            self._nodes.keep(committed.kept)
            self._nodes.ask_again(self._group.passed_over())
            for sink in self._sinks:
                sink.log_grew(committed)

    def _key(self) -> Key:
        self._numbered += 1
        return Key(self._gateway, self._epoch, self._numbered)
