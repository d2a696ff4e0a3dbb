"""Orders of one NGSI-LD broker: the ways they come, the way that all commands go, what is told.

They come to an endpoint of ours by HTTP, or as notifications over MQTT. Each that is in the book
is a DeviceOperation at the broker, with every state that it goes through.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from kerbline.agent import asking
from kerbline.agent.city import ngsi_ld
from kerbline.agent.city.ways import Ways
from kerbline.agent.orders import Orders
from kerbline.agent.together import together
from kerbline.assets import Registry
from kerbline.clock import Clock
from kerbline.config import Commands, Config, NgsiLd
from kerbline.counters import Counters
from kerbline.model import Command, CommandResult, CommandState, Entry, NodeState
from kerbline.north.commands import Rejection, Rights
from kerbline.north.ngsi_ld import models, orders
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.known import Known
from kerbline.north.ngsi_ld.models import operation
from kerbline.north.ngsi_ld.notifications import Notification, Seen, Verdict, judged
from kerbline.north.ngsi_ld.sink import NgsiLdSink
from kerbline.north.ngsi_ld.units import converted
from kerbline.north.sink import Sink
from kerbline.store import GroupCommit, Store, StoreBlocked

SLACK_S = 1.0  # orders look by the half second whether their time is over
SOURCE_CHARS = 32


class CityOrders:
    """What one broker orders. It follows what was ordered before a restart as well."""

    def __init__(
        self,
        config: Config,
        broker: NgsiLd,
        commands: Commands,
        registry: Registry,
        sink: NgsiLdSink,
        orders_: Orders,
        store: Store,
        group: GroupCommit,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._commands = commands
        self._city = models.city_of(config, registry)
        self._sink = sink
        self._orders = orders_
        self._store = store
        self._group = group
        self._clock = clock
        self._counters = counters
        self._name = f"ngsi-ld:{broker.name}"[:SOURCE_CHARS]
        self._rights = Rights(frozenset(commands.operations), commands.priority)
        self._catalogue = orders.Catalogue(config, self._city, ngsi_ld.terms(broker))
        self.known = Known(self._catalogue, self._changes)
        for reading in store.latest():
            self.known.offer(reading)
        self._following: set[asyncio.Task[CommandResult]] = set()
        self._ways = Ways(
            config, broker, commands, self._catalogue, self.known, self, clock, counters
        )

    @property
    def source(self) -> str:
        """Whose orders these are, as it stands in the book."""
        return f"{self._commands.priority}/{self._name}"

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """Its tasks."""
        return self._ways.running()

    def urn(self, command_id: str) -> str:
        """The id of the entity that an order is."""
        return self._city.urn(operation.TYPE, command_id)

    async def order(self, entity: str, given: Mapping[str, object], key: str) -> CommandResult:
        """One request by HTTP, to its end or as far as there is time; `key`: its sender's own."""
        now_ms = self._clock.utc_ms()
        wanted = orders.wanted(self._catalogue.targets, entity, given, self._catalogue.terms)
        if isinstance(wanted, Rejection):
            self._counters.count(f"city_orders.{wanted.reason}")
            return wanted.result(now_ms)
        mark: object = orjson.dumps(given) if key else os.urandom(16)
        name = orders.command_id(self._name, entity, key, mark)
        within_s = min(self._commands.ttl_s, self._commands.answer_s)
        result = await self._begun(wanted, name, now_ms + round(within_s * 1000))
        try:
            async with asyncio.timeout(self._commands.answer_s + SLACK_S):
                return await asyncio.shield(result)
        except TimeoutError:
            return await self._stands(name, wanted.asset)

    def judged(
        self, notification: Notification, seen: Seen
    ) -> list[tuple[str, Mapping[str, object]]]:
        """What a notification orders, by entity; the rest of it is no news, or refused."""
        orders_: list[tuple[str, Mapping[str, object]]] = []
        now_ms = self._clock.utc_ms()
        ttl_ms = round(self._commands.ttl_s * 1000)
        for entity, given in notification.data:
            target = self._catalogue.targets.get(entity)
            if target is None:
                self._counters.count("city_orders.unknown_entity")
                continue
            found: dict[Verdict, dict[str, object]] = {}
            for name in target.attributes:
                if name in given:
                    each = given[name]
                    verdict = judged(
                        entity, name, each, notification, self.known, seen, now_ms, ttl_ms
                    )
                    found.setdefault(verdict, {})[name] = each
            for verdict in (Verdict.OURS, Verdict.SEEN):
                if verdict in found:
                    self._counters.count(f"city_orders.{verdict.value}")
            if stale := found.get(Verdict.STALE):
                name = self._id(entity, stale, notification)
                self._refuse(CommandResult(name, target.asset, CommandState.EXPIRED, "expired"))
            if ordered := found.get(Verdict.ORDER):
                orders_.append((entity, ordered))
        return orders_

    def moves(self, command: Command, result: CommandResult) -> None:
        """How an order in the book stands: the broker is told, and whoever asks for the state."""
        self._sink.report(operation.change(result, self._city, command))
        if result.state is CommandState.OK:
            self._carried_out(command, result.at_ms)
        elif result.state not in asking.UNDER_WAY:
            self._restate(command.asset)

    def tell(self, result: CommandResult) -> None:
        """The end of an order from before a restart, which `moves` told already."""

    def refused(self, result: CommandResult) -> None:
        """An order that never came into the book."""
        self._sink.report(operation.change(result, self._city))
        self._restate(result.asset)

    def _changes(self, entry: Entry | NodeState) -> Sequence[Change]:
        try:
            return models.changes(entry, self._city)
        except ngsi_ld.UNREADABLE:  # counted by the sink
            return ()

    async def take(
        self, entity: str, given: Mapping[str, object], notification: Notification
    ) -> None:
        """One order of a notification."""
        now_ms = self._clock.utc_ms()
        name = self._id(entity, given, notification)
        wanted = orders.wanted(self._catalogue.targets, entity, given, self._catalogue.terms)
        if isinstance(wanted, Rejection):
            reason = f"{wanted.reason}: {wanted.detail}"
            self._refuse(CommandResult(name, wanted.asset, CommandState.REJECTED, reason))
            return
        told_ms = min(notification.notified_at_ms or now_ms, now_ms)
        expires_ms = told_ms + round(self._commands.ttl_s * 1000)
        await self._begun(wanted, name, expires_ms)

    async def _begun(
        self, wanted: orders.Wanted, name: str, expires_ms: int
    ) -> asyncio.Future[CommandResult]:
        """Hand an order in, to each lamp of a group; what becomes of it in the end."""
        if not wanted.lamps:
            return (await self._submit(wanted, name, expires_ms)).result
        askers = []
        for lamp in wanted.lamps:
            part = replace(wanted, asset=lamp, lamps=())
            askers.append(await self._submit(part, orders.command_id(name, lamp), expires_ms))
        following = asyncio.create_task(self._together(wanted, name, askers))
        self._following.add(following)
        following.add_done_callback(self._following.discard)
        return following

    async def _together(
        self, wanted: orders.Wanted, name: str, askers: Sequence[_Asker]
    ) -> CommandResult:
        """What became of an order to a group, when it is over for each of its lamps."""
        results = [await asker.result for asker in askers]
        result = together(name, wanted.asset, results, self._clock.utc_ms())
        self._sink.report(operation.change(result, self._city, what=wanted.order))
        return result

    async def _submit(self, wanted: orders.Wanted, name: str, expires_ms: int) -> _Asker:
        """Hand one in; what has no form is refused."""
        asker = _Asker(self)
        order = orders.proposal(
            wanted,
            name,
            expires_at=expires_ms if wanted.expires_at is None else wanted.expires_at,
            priority=self._commands.priority,
            source=self._name,
        )
        try:
            await asking.submit(self._orders, wanted.asset, order, asker, self._rights)
        except TypeError as error:
            self._counters.count("city_orders.wrong_type")
            now_ms, refused = self._clock.utc_ms(), f"wrong_type: {error}"
            asker.tell(CommandResult(name, wanted.asset, CommandState.REJECTED, refused, now_ms))
        return asker

    def _id(self, entity: str, given: Mapping[str, object], notification: Notification) -> str:
        """The same for the same message, however often it comes."""
        when = notification.id or notification.notified_at_ms or self._clock.utc_ms()
        text = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
        return orders.command_id(self._name, entity, text, when)

    def _refuse(self, result: CommandResult) -> None:
        self._counters.count(f"city_orders.{result.reason.partition(':')[0]}")
        now = self._clock.utc_ms()
        dated = CommandResult(result.command_id, result.asset, result.state, result.reason, now)
        self.refused(dated)

    async def _stands(self, name: str, asset: str) -> CommandResult:
        """How an order stands for which there is no time left to wait."""
        try:
            found = await self._group.call(self._store.commands.known, name)
        except StoreBlocked:
            found = None
        return found or CommandResult(name, asset, CommandState.PENDING)

    def _carried_out(self, command: Command, at_ms: int) -> None:
        """Until its next reading an asset is as it was ordered to be."""
        target = self._catalogue.at(command.asset)
        if target is None:
            return
        at_ms = self._clock.street_ms(at_ms)
        values: dict[str, Attribute] = {}
        if command.operation == "set_level":
            pct = command.whole("level_pct")
            values[orders.LEVEL] = Attribute(pct / 100, at_ms, orders.ONE)
            values[orders.POWER] = Attribute("on" if pct else "off", at_ms)
        for name, register in target.attributes.items():
            value = command.arguments.get(register.name) if register else None
            if value is None or register is None:
                continue
            if register.rule is None:
                values[name] = Attribute(value, at_ms)
            elif (result := converted(register.rule, value)) is not None:
                values[name] = Attribute(result[0], at_ms, register.rule.code)
        for name, attribute in values.items():
            if name in target.attributes:
                self.known.carried_out(target.id, name, attribute)

    def _restate(self, asset: str) -> None:
        """The broker holds what was ordered for what is so: it came otherwise."""
        target = self._catalogue.at(asset)
        if target is not None and not self._commands.held_here:
            measured = self.known.measured(target.id)
            if measured:
                self.known.restated(target.id, measured)
                self._sink.restate(Change(target.id, target.type, measured))


class _Asker(asking.Waiting):
    """Waits for one order, and follows it."""

    def __init__(self, desk: CityOrders) -> None:
        super().__init__()
        self._desk = desk
        self._followed = False

    def moves(self, command: Command, result: CommandResult) -> None:
        """It stands so now."""
        self._followed = True
        self._desk.moves(command, result)

    def tell(self, result: CommandResult) -> None:
        """What became of it, or of the one with its id before."""
        super().tell(result)
        if not self._followed and result.state is CommandState.REJECTED:
            self._desk.refused(result)


def made(
    config: Config,
    registry: Registry,
    sinks: Sequence[Sink],
    orders_: Orders,
    store: Store,
    group: GroupCommit,
    clock: Clock,
    counters: Counters,
) -> list[CityOrders]:
    """Of each broker of a config that may order something."""
    found = []
    for broker in config.brokers:
        sink = next((each for each in sinks if each.name == ngsi_ld.name(broker)), None)
        if broker.commands is not None and isinstance(sink, NgsiLdSink):
            found.append(
                CityOrders(
                    config,
                    broker,
                    broker.commands,
                    registry,
                    sink,
                    orders_,
                    store,
                    group,
                    clock,
                    counters,
                )
            )
    return found
