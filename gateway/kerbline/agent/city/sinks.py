"""The sinks that a config names, each with its cursor; those it no longer names are forgotten."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from kerbline.agent.city.dead_letters import Refusing
from kerbline.clock import Clock
from kerbline.config import Config, ConfigFault, Fault, File, Mqtt
from kerbline.config.faults import Complaint
from kerbline.config.rules import read_secret
from kerbline.counters import Counters
from kerbline.north.backoff import Backoff
from kerbline.north.encoding import JSON, Encoding
from kerbline.north.mapping import Mapper
from kerbline.north.outbox import Outbox, OutboxLimits
from kerbline.north.sink import Display, Inlet, Journal, Sink
from kerbline.north.topics import Topics
from kerbline.store import GroupCommit, Store

if TYPE_CHECKING:
    from kerbline.agent.city.iota import Agent
    from kerbline.assets import Registry
    from kerbline.north.privacy import Door, Privacy

log = logging.getLogger("kerbline.agent")

MQTT = "mqtt"
FILE_BACKOFF_S = (1.0, 60.0)
ACK_TIMEOUT_S = 30.0  # then a consumer gets a reading again, and after twice as long, and so on


@dataclass(frozen=True, slots=True)
class North:
    """All sinks, and of those the ones that also bring commands, with the topics of these."""

    sinks: tuple[Sink, ...]
    masters: tuple[tuple[Outbox, Topics], ...]
    doors: Mapping[str, Door]  # by name, of sinks that get nothing personal
    agents: tuple[Agent, ...] = ()  # of the sinks, those whose commands have a form of their own

    @property
    def inlets(self) -> list[Inlet]:
        """The sinks as what comes into the log gets to them."""
        found = [(self.doors.get(sink.name), sink) for sink in self.sinks]
        return [sink if door is None else door.before(sink) for door, sink in found]

    @property
    def outboxes(self) -> list[Outbox]:
        """The sinks that are told what became of commands."""
        return [outbox for outbox, _ in self.masters]

    @property
    def refusing(self) -> list[Refusing]:
        """The sinks that keep what is refused."""
        return [sink for sink in self.sinks if _refuses(sink)]

    @property
    def displays(self) -> list[Display]:
        """The sinks that tell how each node is, as that gets to them."""
        return self._displays(self.sinks)

    @property
    def entities(self) -> list[Display]:
        """Those of them to which any device is an entity, not nodes alone."""
        return self._displays([sink for sink in self.sinks if sink not in self.outboxes])

    def _displays(self, sinks: Sequence[Sink]) -> list[Display]:
        found = [(self.doors.get(sink.name), sink) for sink in sinks]
        shown = [(door, sink) for door, sink in found if _shows(sink)]
        return [sink if door is None else door.screen(sink) for door, sink in shown]


def made(
    config: Config,
    store: Store,
    group: GroupCommit,
    clock: Clock,
    counters: Counters,
    registry: Registry | None = None,
) -> North:
    """The sinks of `config`; a new sink begins with the oldest batch of the store."""
    privacy = None if registry is None else _privacy(config, registry)
    doors: dict[str, Door] = {}

    def door(sink: str, personal: str) -> Journal:
        """What a sink reads the log by; the door of one that gets nothing personal is noted."""
        if privacy is None or personal == "all":
            return group
        from kerbline.north.privacy import Door

        doors[sink] = Door(group, privacy)
        return doors[sink]

    masters = []
    if config.mqtt is not None:
        own = door(MQTT, config.mqtt.personal)
        masters.append(_mqtt(config.gateway.id, config.mqtt, store, own, clock, counters))
    files = [_file(each, store, door(_name(each), each.personal), clock) for each in config.files]
    brokers = _brokers(config, store, door, clock, counters, registry)
    agents = _agents(config, store, door, clock, counters, registry)
    behind = [agent.outbox for agent in agents]
    sinks = (*[outbox for outbox, _ in masters], *files, *brokers, *behind)
    for name in store.drop_cursors([sink.name for sink in sinks]):
        log.warning("sink %s is not in the config any more: what only it lacked may go", name)
    return North(sinks, tuple(masters), doors, agents)


def _refuses(sink: object) -> TypeGuard[Refusing]:
    return hasattr(sink, "resend")


def _shows(sink: object) -> TypeGuard[Display]:
    return hasattr(sink, "show")


def _brokers(
    config: Config,
    store: Store,
    door: Callable[[str, str], Journal],
    clock: Clock,
    counters: Counters,
    registry: Registry | None,
) -> list[Sink]:
    """The city's NGSI-LD brokers; a config has them with a city alone."""
    if not config.brokers or registry is None:
        return []
    from kerbline.agent.city import ngsi_ld

    sinks: list[Sink] = []
    for broker in config.brokers:
        own = door(ngsi_ld.name(broker), broker.personal)
        sinks.append(ngsi_ld.made(config, broker, registry, store, own, clock, counters))
    return sinks


def _agents(
    config: Config,
    store: Store,
    door: Callable[[str, str], Journal],
    clock: Clock,
    counters: Counters,
    registry: Registry | None,
) -> tuple[Agent, ...]:
    """The city's IoT Agents; a config has them with a city alone."""
    if not config.agents or registry is None:
        return ()
    from kerbline.agent.city import iota

    agents = []
    for agent in config.agents:
        own = door(iota.name(agent), agent.personal)
        agents.append(iota.made(config, agent, registry, store, own, clock, counters))
    return tuple(agents)


def _privacy(config: Config, registry: Registry) -> Privacy:
    from kerbline.north.privacy import Privacy

    return Privacy(registry, config.gateway.id, {node.id: node.asset for node in config.nodes})


def _name(config: File) -> str:
    return f"file:{config.name}"


def _file(config: File, store: Store, journal: Journal, clock: Clock) -> Sink:
    from kerbline.north.file import Shelf
    from kerbline.north.follower import Follower

    shelf = Shelf(
        config.folder,
        clock.utc_ms,
        max_bytes=config.max_bytes,
        max_age_ms=round(config.max_age_s * 1000),
        keep_files=config.keep_files,
    )
    name = _name(config)
    backoff = Backoff(*FILE_BACKOFF_S, random.random)
    cursor = store.open_cursor(name)
    return Follower(name, shelf.deliver, journal, cursor=cursor, backoff=backoff)


def _mqtt(
    gateway: str,
    config: Mqtt,
    store: Store,
    journal: Journal,
    clock: Clock,
    counters: Counters,
) -> tuple[Outbox, Topics]:
    from kerbline.north.mqtt import BrokerAddress, MqttPort
    from kerbline.north.tls import TlsFiles

    topics = Topics(config.prefix, gateway)
    mapper = Mapper(topics, _encoding(config))
    by_application = config.ack == "application"
    port = MqttPort(
        BrokerAddress(
            config.host,
            config.port,
            client_id=f"kerbline-{gateway}",
            username=config.username,
            password=secret(config.password_file, "mqtt.password_file"),
            tls=TlsFiles(config.tls.ca, config.tls.cert, config.tls.key) if config.tls else None,
        ),
        [topics.commands, topics.acks] if by_application else [topics.commands],
        mapper.status("offline", None),
        counters,
        fit=mapper.fit,
    )
    outbox = Outbox(
        MQTT,
        port,
        journal,
        mapper,
        cursor=store.open_cursor(MQTT),
        utc_ms=clock.utc_ms,
        random=random.random,
        limits=OutboxLimits(
            backoff_min_s=min(1.0, config.backoff_max_s),
            backoff_max_s=config.backoff_max_s,
            ack_timeout_s=ACK_TIMEOUT_S if by_application else None,
        ),
        counters=counters,
    )
    return outbox, topics


def _encoding(config: Mqtt) -> Encoding:
    if config.payload == "json":
        return JSON
    from kerbline.north.cbor import Cbor

    return Cbor()


def secret(path: Path | None, key: str) -> str:
    """What a secret's file holds; raises ConfigFault when it has gone since the check."""
    if path is None:
        return ""
    found = read_secret(path)
    if isinstance(found, Complaint):
        raise ConfigFault([Fault(str(path), 0, key, found.problem, found.remedy)])
    return found
