"""The composition root of the gateway: everything is made, wired, started and stopped here."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerbline import health, local_socket
from kerbline.agent import attendance, devices, sinks, upkeep
from kerbline.agent.actuators import Actuators
from kerbline.agent.dead_letters import Letters
from kerbline.agent.lights import Lights
from kerbline.agent.loops import Loops, plan, remembered
from kerbline.agent.on_site import OnSite
from kerbline.agent.orders import Asker, Orders
from kerbline.agent.records import Records
from kerbline.agent.standing import Standing
from kerbline.agent.status import Status
from kerbline.clock import Clock, StreetTable
from kerbline.config import Config
from kerbline.control.light.decision import MEMORY
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.keys import KeyRing
from kerbline.model import ANCHOR_KIND, Gap, Reading
from kerbline.north.commands import Rights
from kerbline.north.sink import Sink
from kerbline.south.arrivals import Anchored, Answered, Joined, Noted
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, GroupPolicy, RetentionPolicy, Store

if TYPE_CHECKING:
    from kerbline.agent.air import AirFigures
    from kerbline.agent.alerts import Alerts
    from kerbline.agent.assets import Assets
    from kerbline.agent.city_orders import CityOrders
    from kerbline.agent.figures import Figures
    from kerbline.agent.leaks import Leaks
    from kerbline.agent.light_programs import LightPrograms
    from kerbline.agent.light_rules import LightRules
    from kerbline.agent.together import Groups
    from kerbline.assets import Registry
    from kerbline.south.modbus.bus import Bus
    from kerbline.south.serial.device import Device

log = logging.getLogger("kerbline.agent")

STORE_FILE = "kerbline.db"
KEY_FOLDER = "keys"
DAY_S = 86_400
# What is live waits at most so long for the thread that reads a backlog; CPython's own is 5 ms.
SWITCH_S = 0.0005


async def run(config: Config) -> None:
    """Serve the nodes and devices that `config` names until cancelled; then stop in order.

    Raises KerblineError for what a person has to mend.
    """
    sys.setswitchinterval(SWITCH_S)
    clock = Clock(_street(config))
    counters = Counters()
    config.gateway.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    policy = RetentionPolicy(config.store.max_bytes, config.store.keep_days * DAY_S)
    store = Store.open(config.gateway.state_dir / STORE_FILE, policy)
    group_policy = GroupPolicy(config.store.commit_readings, config.store.commit_interval_s)
    group = GroupCommit(store, group_policy, clock.utc_ms, config.gateway.id)
    nodes = Nodes(config, KeyRing(config.gateway.state_dir / KEY_FOLDER), clock, counters)
    nodes.prepare(store)
    assets = _assets(config)
    registry = assets.registry if assets else None
    north = sinks.made(config, store, group, clock, counters, registry)
    loops = Loops(plan(config), clock, remembered(store), group)
    bridged = devices.made(config, clock, counters)
    programs = _programs(config, clock, group)
    actuators = Actuators(nodes, bridged.actuators, clock, programs)
    orders = Orders(
        devices.kinds(config), store, group, actuators, loops, clock, counters, _rights(config)
    )
    receiving = _receiving(config, orders, clock, counters)
    lights = Lights(loops, orders, group, clock)
    rules = _rules(config, clock, store, group, lights, programs)
    hears = Hears(orders, loops, lights, rules)
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    standing = Standing(store, group)
    for bus in bridged.buses.values():
        bus.recall(standing.names)
    alerts = _alerts(config, store, group)
    figures = _figures(config, registry, store, group)
    leaks = _leaks(config, registry, store, group, clock)
    city = _city_orders(config, registry, north, orders, store, group, clock, counters)
    known = [each.known for each in city]
    air = _air(config, registry, store, group)
    followers = [each for each in (figures, leaks, air) if each is not None]
    inlets = [*known, *north.inlets, *followers]
    records = Records(config.gateway.id, epoch, group, inlets, nodes, clock)

    committing = asyncio.create_task(group.run())
    confirming = asyncio.create_task(records.confirm())
    try:
        others: dict[str, Asker] = {each.source: each for each in north.agents}
        others |= {each.source: each for each in city}
        await orders.resume(north.outboxes, others)
        await records.resume(store.undeclared)
        async with asyncio.TaskGroup() as tasks:
            for own in (committing, confirming):
                tasks.create_task(_watch(own))
            for sink in north.sinks:
                tasks.create_task(sink.run())
            for outbox, topics in north.masters:
                tasks.create_task(receiving.serve(outbox, topics))
            for agent in north.agents:
                tasks.create_task(agent.serve(orders))
            for running in [each for broker in city for each in broker.running()]:
                tasks.create_task(running)
            for leaving in _ways_gone(config):
                tasks.create_task(leaving)
            tasks.create_task(_take_arrivals(nodes, records, hears, group, alerts, actuators))
            tasks.create_task(loops.run(lights.follow))
            for running in bridged.running():
                tasks.create_task(running)
            tasks.create_task(_take_answers(actuators, orders))
            for source in bridged.sources:
                tasks.create_task(_take_polls(source, records, hears, standing))
            for running in _lit(programs, rules, nodes, records):
                tasks.create_task(running)
            tasks.create_task(nodes.run())
            lines = attendance.Lines(config, bridged.buses, bridged.serials, clock.utc_ms)
            tasks.create_task(attendance.show(nodes, north.displays, clock))
            tasks.create_task(attendance.show(lines, north.entities, clock))
            tasks.create_task(orders.retry())
            tasks.create_task(orders.enter())
            tasks.create_task(health.report(counters))
            status = Status(
                config.gateway.id,
                clock,
                nodes,
                bridged.sources,
                north,
                store,
                group,
                counters,
                assets,
                figures,
                air,
            )
            on_site = OnSite(bridged.buses, bridged.actuators, orders, clock)
            answers: dict[str, local_socket.Answering] = {
                "assets": assets.reload if assets else _no_city,
                "dead-letters": Letters(north.refusing).answer,
                "leaks": leaks.answer if leaks else _no_district,
                "leaks-accept": leaks.accept if leaks else _no_district,
                "status": status.tell,
                "modbus-read": on_site.read,
                "modbus-write": on_site.write,
            }
            socket = config.gateway.state_dir / local_socket.SOCKET_FILE
            tasks.create_task(local_socket.serve(socket, answers))
            if assets is not None:
                tasks.create_task(assets.watch(standing, records))
            for follower in followers:
                tasks.create_task(follower.run(records))
            tasks.create_task(upkeep.watch(config.gateway.id, store, group, records))
            health.notify("READY=1")
    finally:
        health.notify("STOPPING=1")
        for follower in followers:
            follower.note()
        await _stop(committing, confirming, north.sinks, group)


@dataclass(frozen=True, slots=True)
class Hears:
    """Whoever decides something on a reading."""

    orders: Orders
    loops: Loops
    lights: Lights
    rules: LightRules | None

    async def consider(self, reading: Reading, records: Records) -> None:
        """Do what a reading calls for."""
        decided = self.loops.consider(reading)
        if decided.commands:
            self.lights.follow(decided.commands)
        if self.rules is not None:
            self.rules.consider(reading)
        for finding in decided.findings:
            await records.found(finding)

    async def answered(self, answer: Answered) -> None:
        """A node has answered; an order from outside may have given a lamp back."""
        is_own = self.orders.is_own(answer.command_id)
        await self.orders.answered(answer)
        if self.rules is not None and not is_own:
            self.rules.joined(answer.asset)

    async def joined(self, asset: str) -> None:
        """A node is there again: send what waits for it, and what it may have forgotten."""
        await self.orders.joined(asset)
        if self.rules is not None:
            self.rules.joined(asset)


async def _stop(
    committing: asyncio.Task[None],
    confirming: asyncio.Task[None],
    north: Sequence[Sink],
    group: GroupCommit,
) -> None:
    """Commit what came, then let go of the city and the file."""
    group.stop()
    await asyncio.wait([committing])
    if not committing.cancelled() and committing.exception() is not None:
        log.error("stopped with records that are not stored: %s", committing.exception())
    confirming.cancel()
    for sink in north:
        await sink.close()
    await group.close()


async def _take_arrivals(
    nodes: Nodes,
    records: Records,
    hears: Hears,
    group: GroupCommit,
    alerts: Alerts | None,
    actuators: Actuators,
) -> None:
    """What the nodes sent: to the loops first, they are in a hurry; then on its way up."""
    if alerts is not None:
        await alerts.begin(records)
    while True:
        match await nodes.next():
            case Reading(kind=kind) as anchor if kind == ANCHOR_KIND:
                await records.keep_private(anchor)
            case Reading() as reading:
                await hears.consider(reading, records)
                await records.take(reading)
                if alerts is not None:
                    await alerts.consider(reading, records)
            case Gap() as gap:
                await records.take(gap)
            case Anchored(node, boot_id, anchor):
                group.save_anchor(node, boot_id, anchor)
            case Noted(rule, name, body):
                group.save_memory(rule, name, body)
            case Answered() as answer:
                await hears.answered(actuators.noted(answer))
            case Joined(_, asset):
                await hears.joined(asset)


async def _take_polls(
    source: Bus | Device, records: Records, hears: Hears, standing: Standing
) -> None:
    """What a bus or a serial device gave, the same way, a tick at a time."""
    while True:
        burst = await source.next()
        for reading in await records.polled(burst):
            await hears.consider(reading, records)
        for measured in burst:
            standing.note(measured.findings)
            await records.found_at(measured.findings)


async def _take_answers(actuators: Actuators, orders: Orders) -> None:
    """What commands to devices came to."""
    while True:
        await orders.answered(await actuators.answered())


async def _watch(own: asyncio.Task[None]) -> None:
    """End the agent when the store, or what confirms to nodes and sinks, can't go on."""
    await asyncio.wait([own])
    own.result()


def _assets(config: Config) -> Assets | None:
    """The registry of a gateway that serves a city, its list read."""
    if config.city is None:
        return None
    from kerbline.agent.assets import Assets

    assets = Assets(config)
    assets.start()
    return assets


def _alerts(config: Config, store: Store, group: GroupCommit) -> Alerts | None:
    """A city is told when what it was told is over."""
    if config.city is None:
        return None
    from kerbline.agent.alerts import Alerts

    return Alerts({node.id: node.asset for node in config.nodes}, store, group)


def _figures(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit
) -> Figures | None:
    """What a gateway that serves a city works out of its log."""
    if config.city is None or registry is None:
        return None
    from kerbline.agent.figures import Figures

    return Figures(config.gateway.id, config.city, registry, store, group)


def _leaks(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit, clock: Clock
) -> Leaks | None:
    """What looks for leaks in the districts of a config."""
    if not config.districts:
        return None
    try:
        from kerbline.agent.leaks import Leaks
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        remedy = "pip install 'kerbline[analysis]', or leave the section out"
        raise KerblineError(f"[[district]] needs numpy: {remedy}") from None

    return Leaks(config.gateway.id, config.districts, registry, store, group, clock)


def _receiving(config: Config, orders: Orders, clock: Clock, counters: Counters) -> Orders | Groups:
    """Where a broker's orders come in: those to a group go to its lamps."""
    if not config.lamp_groups:
        return orders
    from kerbline.agent.together import Groups
    from kerbline.config.light import members

    named = {each.name: members(config.lamp_groups, each.name) for each in config.lamp_groups}
    return Groups(named, orders, clock, counters, _rights(config))


def _programs(config: Config, clock: Clock, group: GroupCommit) -> LightPrograms | None:
    """Light by the clock, where a config has lamps that are lit by it."""
    if config.light is None:
        return None
    from kerbline.agent.light_programs import LightPrograms

    return LightPrograms(config, clock, group)


def _lit(
    programs: LightPrograms | None, rules: LightRules | None, nodes: Nodes, records: Records
) -> Iterator[Coroutine[Any, Any, None]]:
    """What tells lamps of the time."""
    if programs is not None:
        yield programs.run(nodes)
    if rules is not None:
        yield rules.run(records)


def _rules(
    config: Config,
    clock: Clock,
    store: Store,
    group: GroupCommit,
    lights: Lights,
    programs: LightPrograms | None,
) -> LightRules | None:
    """An operator's rules, where a config has any, or had some that left something behind."""
    if not config.rules and not any(store.memories(MEMORY).values()):
        return None
    from kerbline.agent.light_rules import LightRules

    return LightRules(config, clock, store, group, lights, programs)


def _air(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit
) -> AirFigures | None:
    """What a gateway with stations works out of their reports."""
    if config.air is None:
        return None
    from kerbline.agent.air import AirFigures

    return AirFigures(config, registry, store, group)


def _city_orders(
    config: Config,
    registry: Registry | None,
    north: sinks.North,
    orders: Orders,
    store: Store,
    group: GroupCommit,
    clock: Clock,
    counters: Counters,
) -> list[CityOrders]:
    """What the brokers of a config order, where they may."""
    if registry is None or all(broker.commands is None for broker in config.brokers):
        return []
    from kerbline.agent import city_orders

    return city_orders.made(config, registry, north.sinks, orders, store, group, clock, counters)


def _ways_gone(config: Config) -> list[Coroutine[Any, Any, None]]:
    """To take away from a broker what the config names no more."""
    folder = config.gateway.state_dir
    silent = [each for each in config.brokers if each.commands is None]
    gone = [each for each in silent if (folder / f"orders-{each.name}.json").exists()]
    if not gone:
        return []
    from kerbline.agent import city_ways

    return [city_ways.take_away(config, each) for each in gone]


async def _no_city(_question: local_socket.Question) -> local_socket.Answer:
    raise local_socket.Declined("its config had no [city] when it started; restart it")


async def _no_district(_question: local_socket.Question) -> local_socket.Answer:
    raise local_socket.Declined("its config had no [[district]] when it started; restart it")


def _street(config: Config) -> StreetTable | None:
    if config.simulation is None:
        return None
    return StreetTable.parse(config.simulation.clock_table.read_bytes())


def _rights(config: Config) -> Rights:
    """What may be asked over the broker."""
    if config.mqtt is None:
        return Rights()
    return Rights(frozenset(config.mqtt.operations), config.mqtt.priority)
