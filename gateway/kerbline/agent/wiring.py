"""A gateway's parts, made and wired from its config; nothing runs yet."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kerbline import health, local_socket
from kerbline.agent import attendance, devices, optional, upkeep
from kerbline.agent.actuators import Actuators
from kerbline.agent.city import sinks
from kerbline.agent.city.dead_letters import Letters
from kerbline.agent.fleet.enrolment import Enrolment, troubles
from kerbline.agent.fleet.service import Service
from kerbline.agent.fleet.serving import Serving
from kerbline.agent.intake import Hears, take_answers, take_arrivals, take_polls
from kerbline.agent.light.lamps import Lights
from kerbline.agent.light.loops import Loops, plan, remembered
from kerbline.agent.on_site import OnSite
from kerbline.agent.orders import Orders
from kerbline.agent.own_commands import OwnCommands
from kerbline.agent.records import Records
from kerbline.agent.roll import Roll
from kerbline.agent.standing import Standing
from kerbline.agent.status import Status
from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.keys.admission import Admission
from kerbline.keys.ring import KEY_FOLDER
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, GroupPolicy, RetentionPolicy, Store

if TYPE_CHECKING:
    from kerbline.agent.air import AirFigures
    from kerbline.agent.alerts import Alerts
    from kerbline.agent.assets import Assets
    from kerbline.agent.city.orders import CityOrders
    from kerbline.agent.figures import Figures
    from kerbline.agent.leaks.districts import Leaks
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.agent.together import Groups

STORE_FILE = "kerbline.db"
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Log:
    """What a gateway keeps by itself, and by which clock."""

    clock: Clock
    counters: Counters
    store: Store
    group: GroupCommit


@dataclass(frozen=True, slots=True)
class Figured:
    """What a gateway works out of its log, where its config asks for it."""

    figures: Figures | None
    leaks: Leaks | None
    air: AirFigures | None

    @property
    def all(self) -> Sequence[Figures | Leaks | AirFigures]:
        """Those that are there."""
        return [each for each in (self.figures, self.leaks, self.air) if each is not None]


@dataclass(frozen=True, slots=True)
class Gateway:
    """All of one gateway."""

    config: Config  # with the nodes that joined
    log: Log
    nodes: Nodes
    bridged: devices.Devices
    assets: Assets | None
    north: sinks.North
    city: Sequence[CityOrders]
    hears: Hears
    receiving: Orders | Groups
    actuators: Actuators
    programs: LightPrograms | None
    standing: Standing
    alerts: Alerts | None
    figured: Figured
    serving: Serving
    enrolment: Enrolment
    roll: Roll
    records: Records

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What is to run until cancelled, each in a task of its own."""
        hears, nodes, records = self.hears, self.nodes, self.records
        clock, group = self.log.clock, self.log.group
        yield from (sink.run() for sink in self.north.sinks)
        yield from (self.receiving.serve(*master) for master in self.north.masters)
        yield from (agent.serve(hears.orders) for agent in self.north.agents)
        yield from (running for broker in self.city for running in broker.running())
        yield from optional.ways_gone(self.config)
        yield take_arrivals(
            nodes, records, hears, group, self.alerts, self.actuators, self.enrolment
        )
        yield hears.loops.run(hears.lights.follow)
        yield from self.bridged.running()
        yield take_answers(self.actuators, hears)
        for source in self.bridged.sources:
            yield take_polls(source, records, hears, self.standing)
        yield from optional.lighting(self.programs, hears.rules, nodes, records)
        yield nodes.run()
        lines = attendance.Lines(
            self.config, self.bridged.buses, self.bridged.serials, clock.utc_ms
        )
        yield attendance.show(nodes, self.north.displays, clock)
        yield attendance.show(self.serving, self.north.displays, clock)
        yield attendance.show(lines, self.north.entities, clock)
        yield hears.orders.retry()
        yield hears.orders.enter()
        yield health.report(self.log.counters)
        yield optional.bringing(hears.updates)
        yield self.enrolment.run(records)
        yield self.enrolment.judge()
        state = self.config.gateway.state_dir
        yield local_socket.serve(state / local_socket.SOCKET_FILE, self.answers())
        if self.assets is not None:
            yield self.assets.watch(self.standing, records)
        yield from (follower.run(records) for follower in self.figured.all)
        yield upkeep.watch(self.config.gateway.id, self.log.store, group, records)

    def answers(self) -> dict[str, local_socket.Answering]:
        """What is answered at the gateway's own socket."""
        config, log, hears, leaks = self.config, self.log, self.hears, self.figured.leaks
        status = Status(
            config.gateway.id,
            log.clock,
            self.nodes,
            self.bridged.sources,
            self.north,
            log.store,
            log.group,
            log.counters,
            self.assets,
            self.figured.figures,
            self.figured.air,
            self.roll,
        )
        on_site = OnSite(self.bridged.buses, self.bridged.actuators, hears.orders, log.clock)
        registry = self.assets.registry if self.assets else None
        answers: dict[str, local_socket.Answering] = {
            "assets": self.assets.reload if self.assets else optional.no_city,
            "dead-letters": Letters(self.north.refusing).answer,
            "leaks": leaks.answer if leaks else optional.no_district,
            "leaks-accept": leaks.accept if leaks else optional.no_district,
            "status": status.tell,
            "modbus-read": on_site.read,
            "modbus-write": on_site.write,
            "service": Service(self.nodes, hears.orders, log.clock).answer,
        }
        answers |= optional.update_answers(config, hears.updates, self.nodes, registry, log.clock)
        return answers | self.enrolment.answers()


def made(config: Config) -> Gateway:
    """Everything that a config names; raises KerblineError for what a person has to mend."""
    log = _log(config)
    clock, counters, store, group = log.clock, log.counters, log.store, log.group
    ring = KeyRing(config.gateway.state_dir / KEY_FOLDER)
    admission = Admission(config, ring)
    troubles(admission)
    config = replace(config, nodes=admission.nodes())
    nodes = Nodes(config, ring, clock, counters)
    nodes.prepare(store)
    assets = optional.assets(config)
    registry = assets.registry if assets else None
    north = sinks.made(config, store, group, clock, counters, registry)
    loops = Loops(plan(config), clock, remembered(store), group)
    bridged = devices.made(config, clock, counters)
    kinds = devices.kinds(config)
    programs = optional.programs(config, clock, group, kinds)
    actuators = Actuators(nodes, bridged.actuators, clock, programs)
    rights = optional.rights(config)
    orders = Orders(kinds, store, group, actuators, loops, clock, counters, rights)
    receiving = optional.receiving(config, orders, clock, counters)
    own = OwnCommands(kinds, actuators, group, clock)
    lights = Lights(loops, own, group, clock)
    rules = optional.rules(config, clock, store, group, lights, programs)
    updates = optional.updates(config, nodes, clock)
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    standing = Standing(store, group)
    for bus in bridged.buses.values():
        bus.recall(standing.names)
    alerts = optional.alerts(config, store, group)
    figured = Figured(
        optional.figures(config, registry, store, group),
        optional.leaks(config, registry, store, group, clock),
        optional.air(config, registry, store, group),
    )
    roll = Roll(config, kinds, loops)
    serving = Serving(
        admission,
        nodes,
        store,
        group,
        clock,
        kinds,
        roll=roll,
        registry=registry,
        alerts=alerts,
        programs=programs,
        air=figured.air,
    )
    enrolment = Enrolment(config, admission, nodes, serving, clock)
    city = optional.city_orders(config, registry, north, orders, store, group, clock, counters)
    inlets = [*(each.known for each in city), *north.inlets, *figured.all]
    return Gateway(
        config,
        log,
        nodes,
        bridged,
        assets,
        north,
        city,
        Hears(orders, own, loops, lights, rules, updates),
        receiving,
        actuators,
        programs,
        standing,
        alerts,
        figured,
        serving,
        enrolment,
        roll,
        Records(config.gateway.id, epoch, group, inlets, nodes, clock),
    )


def _log(config: Config) -> Log:
    """The store is opened: nobody else serves this state folder from here on."""
    clock = Clock(optional.street(config))
    config.gateway.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    policy = RetentionPolicy(config.store.max_bytes, config.store.keep_days * DAY_S)
    store = Store.open(config.gateway.state_dir / STORE_FILE, policy)
    groups = GroupPolicy(config.store.commit_readings, config.store.commit_interval_s)
    return Log(
        clock, Counters(), store, GroupCommit(store, groups, clock.utc_ms, config.gateway.id)
    )
