"""Parts of a gateway that its config may have or not: each is made, and loaded, where it does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kerbline import local_socket
from kerbline.agent.city import sinks
from kerbline.agent.light.lamps import Lights
from kerbline.agent.orders import Orders
from kerbline.agent.records import Records
from kerbline.clock import Clock, StreetTable
from kerbline.config import Config
from kerbline.control.light.decision import MEMORY
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.north.commands import Rights
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, Store

if TYPE_CHECKING:
    from kerbline.agent.air import AirFigures
    from kerbline.agent.alerts import Alerts
    from kerbline.agent.assets import Assets
    from kerbline.agent.city.orders import CityOrders
    from kerbline.agent.figures import Figures
    from kerbline.agent.fleet.updates import Updates
    from kerbline.agent.leaks.districts import Leaks
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.agent.light.rules import LightRules
    from kerbline.agent.together import Groups
    from kerbline.assets import Registry


def assets(config: Config) -> Assets | None:
    """The registry of a gateway that serves a city, its list read."""
    if config.city is None:
        return None
    from kerbline.agent.assets import Assets

    assets = Assets(config)
    assets.start()
    return assets


def alerts(config: Config, store: Store, group: GroupCommit) -> Alerts | None:
    """A city is told when what it was told is over."""
    if config.city is None:
        return None
    from kerbline.agent.alerts import Alerts

    return Alerts({node.id: node.asset for node in config.nodes}, store, group)


def figures(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit
) -> Figures | None:
    """What a gateway that serves a city works out of its log."""
    if config.city is None or registry is None:
        return None
    from kerbline.agent.figures import Figures

    return Figures(config.gateway.id, config.city, registry, store, group)


def leaks(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit, clock: Clock
) -> Leaks | None:
    """What looks for leaks in the districts of a config."""
    if not config.districts:
        return None
    try:
        from kerbline.agent.leaks.districts import Leaks
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        remedy = "pip install 'kerbline[analysis]', or leave the section out"
        raise KerblineError(f"[[district]] needs numpy: {remedy}") from None

    return Leaks(config.gateway.id, config.districts, registry, store, group, clock)


def receiving(config: Config, orders: Orders, clock: Clock, counters: Counters) -> Orders | Groups:
    """Where a broker's orders come in: those to a group go to its lamps."""
    if not config.lamp_groups:
        return orders
    from kerbline.agent.together import Groups
    from kerbline.config.light import members

    named = {each.name: members(config.lamp_groups, each.name) for each in config.lamp_groups}
    return Groups(named, orders, clock, counters, rights(config))


def programs(
    config: Config, clock: Clock, group: GroupCommit, kinds: Mapping[str, str]
) -> LightPrograms | None:
    """Light by the clock, where a config has lamps that are lit by it."""
    if config.light is None:
        return None
    from kerbline.agent.light.programs import LightPrograms

    return LightPrograms(config, clock, group, kinds)


def lighting(
    programs: LightPrograms | None, rules: LightRules | None, nodes: Nodes, records: Records
) -> Iterator[Coroutine[Any, Any, None]]:
    """What tells lamps of the time."""
    if programs is not None:
        yield programs.run(nodes)
    if rules is not None:
        yield rules.run(records)


def rules(
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
    from kerbline.agent.light.rules import LightRules

    return LightRules(config, clock, store, group, lights, programs)


def air(
    config: Config, registry: Registry | None, store: Store, group: GroupCommit
) -> AirFigures | None:
    """What a gateway with stations works out of their reports."""
    if config.air is None:
        return None
    from kerbline.agent.air import AirFigures

    return AirFigures(config, registry, store, group)


def city_orders(
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
    from kerbline.agent.city import orders as city_orders

    return city_orders.made(config, registry, north.sinks, orders, store, group, clock, counters)


def updates(config: Config, nodes: Nodes, clock: Clock) -> Updates | None:
    """What brings releases to the nodes, where a config names whose."""
    if config.firmware is None:
        return None
    from kerbline.agent.fleet import update_links

    return update_links.made(config, nodes, clock)


async def bringing(updates: Updates | None) -> None:
    if updates is not None:
        await updates.run()


def update_answers(
    config: Config,
    updates: Updates | None,
    nodes: Nodes,
    registry: Registry | None,
    clock: Clock,
) -> dict[str, local_socket.Answering]:
    """What is asked of campaigns; without [firmware] each answer says so."""
    if updates is None:
        return dict.fromkeys(("update-start", "update-status", "update-turn"), no_firmware)
    from kerbline.agent.fleet.update_answers import Answers

    return dict(Answers(config, updates, nodes, registry, clock, asyncio.to_thread).all())


def ways_gone(config: Config) -> list[Coroutine[Any, Any, None]]:
    """To take away from a broker what the config names no more."""
    folder = config.gateway.state_dir
    silent = [each for each in config.brokers if each.commands is None]
    gone = [each for each in silent if (folder / f"orders-{each.name}.json").exists()]
    if not gone:
        return []
    from kerbline.agent.city import ways as city_ways

    return [city_ways.take_away(config, each) for each in gone]


async def no_city(_question: local_socket.Question) -> local_socket.Answer:
    raise local_socket.Declined("its config had no [city] when it started; restart it")


async def no_firmware(_question: local_socket.Question) -> local_socket.Answer:
    raise local_socket.Declined(
        "its config had no [firmware] when it started; write the root of your releases there, "
        'root = "release.pub", and restart it'
    )


async def no_district(_question: local_socket.Question) -> local_socket.Answer:
    raise local_socket.Declined("its config had no [[district]] when it started; restart it")


def street(config: Config) -> StreetTable | None:
    if config.simulation is None:
        return None
    return StreetTable.parse(config.simulation.clock_table.read_bytes())


def rights(config: Config) -> Rights:
    """What may be asked over the broker."""
    if config.mqtt is None:
        return Rights()
    return Rights(frozenset(config.mqtt.operations), config.mqtt.priority)
