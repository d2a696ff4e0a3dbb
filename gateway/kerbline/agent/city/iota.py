"""A city's IoT Agent: an outbox in its dialect, and where its commands come from."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kerbline.agent import asking
from kerbline.agent.city.sinks import secret
from kerbline.agent.orders import Orders
from kerbline.assets import Registry
from kerbline.clock import Clock
from kerbline.config import Config, Iota
from kerbline.counters import Counters
from kerbline.model import ANCHOR_KIND, CommandResult, Entry, Gap, NodeState, Reading
from kerbline.north.commands import Rights
from kerbline.north.iota.dialect import IotaDialect
from kerbline.north.iota.masked import Masked
from kerbline.north.iota.names import Topics
from kerbline.north.iota.orders import Commands
from kerbline.north.iota.provision import commanded
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.ngsi_ld import models
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.outbox import Outbox, OutboxLimits
from kerbline.north.sink import Journal
from kerbline.north.tls import TlsFiles
from kerbline.store import Store

KIND = "iota"
PRIORITY = "operator"  # an agent has no word for another
HOLD_S = 2.0  # for a backlog: a longer one is told behind what is live
CHUNK_ENTRIES = 2_000  # each is kept as its measures, not as its text
_UNREADABLE = (ArithmeticError, AssertionError, AttributeError, KeyError, TypeError, ValueError)


class Agent:
    """One agent: its sink of the log, and where its commands come from."""

    def __init__(
        self, outbox: Outbox, commands: Commands, operations: Sequence[str], clock: Clock
    ) -> None:
        self.outbox = outbox
        self._commands = commands
        self._rights = Rights(frozenset(operations), PRIORITY)
        self._clock = clock

    @property
    def source(self) -> str:
        """Of its commands, as it stands in the book."""
        return f"{PRIORITY}/{self._commands.source}"

    async def serve(self, orders: Orders) -> None:
        """Hand in what the agent asks; for ever."""
        while True:
            message = await self.outbox.received()
            for order in self._commands.orders(message, self._clock.utc_ms()):
                await asking.submit(orders, order.asset, order.body, self, self._rights)

    def tell(self, result: CommandResult) -> None:
        """What became of a command; the agent hears of its end alone."""
        self.outbox.tell(result)


class _Told:
    """What an agent is told of entries, and who takes its commands, as long as the list holds."""

    def __init__(
        self,
        config: Config,
        city: City,
        registry: Registry,
        counters: Counters,
        *,
        everything: bool,
    ) -> None:
        self._config = config
        self._city = city
        self._registry = registry
        self._counters = counters
        self._everything = everything
        self._revision = -1
        self._assets: Mapping[str, str] = {}

    def changes(self, what: Entry | NodeState) -> Sequence[Change]:
        """Nothing of a gap: measures have no word for it."""
        if isinstance(what, Gap):
            return ()
        try:
            return models.changes(what, self._city)
        except _UNREADABLE:  # of another kerbline's store, or of a damaged one
            self._counters.count("iota.unmapped")
            return ()

    def public(self, readings: Iterable[Reading]) -> Iterator[Reading]:
        """What of these may be told at all."""
        for each in readings:
            if each.kind == ANCHOR_KIND:
                continue
            if self._everything or not self._registry.personal(each.asset, each.kind):
                yield each

    def assets(self) -> Mapping[str, str]:
        """By device, the asset that its commands are for."""
        if self._revision != self._registry.revision:
            self._revision = self._registry.revision
            found = commanded(self._config, self._city, everything=self._everything)
            self._assets = {device: asset for device, (asset, _) in found.items()}
        return self._assets


def name(agent: Iota) -> str:
    """Under which the store keeps its cursor."""
    return f"{KIND}:{agent.name}"


def made(
    config: Config,
    agent: Iota,
    registry: Registry,
    store: Store,
    journal: Journal,
    clock: Clock,
    counters: Counters,
) -> Agent:
    """An agent with its cursor; a new one begins with the oldest batch of the store."""
    key = secret(agent.api_key_file, "iota.api_key_file")
    topics = Topics(agent.prefix, key)
    city = models.city_of(config, registry)
    told = _Told(config, city, registry, counters, everything=agent.personal == "all")
    ttl_ms = round(agent.command_ttl_s * 1000)
    commands = Commands(agent.name, topics, told.assets, ttl_ms, counters)
    gateway = config.gateway.id
    dialect = IotaDialect(
        topics, registry, gateway, told.changes, commands.asked, arrays=agent.arrays
    )
    dialect.remember(told.public(store.latest()))
    address = BrokerAddress(
        agent.host,
        agent.port,
        client_id=f"kerbline-{gateway}-{agent.name}",
        username=agent.username,
        password=secret(agent.password_file, "iota.password_file"),
        tls=TlsFiles(agent.tls.ca, agent.tls.cert, agent.tls.key) if agent.tls else None,
    )
    will = dialect.status("offline", None)
    # An agent has no session: what comes while it is away, or not back yet, is lost to it.
    port = MqttPort(address, [topics.commands], will, counters, heard=True, fit=dialect.fit)
    outbox = Outbox(
        name(agent),
        Masked(port, key),
        journal,
        dialect,
        cursor=store.open_cursor(name(agent)),
        utc_ms=clock.utc_ms,
        random=random.random,
        limits=OutboxLimits(
            chunk_entries=CHUNK_ENTRIES,
            backoff_min_s=min(1.0, agent.backoff_max_s),
            backoff_max_s=agent.backoff_max_s,
            hold_s=HOLD_S,
        ),
        counters=counters,
    )
    return Agent(outbox, commands, agent.operations, clock)
