"""The sink of one NGSI-LD broker of a config, made of its parts; nothing else imports these."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from kerbline.assets import Registry
from kerbline.clock import Clock
from kerbline.config import Commands, Config, NgsiLd
from kerbline.counters import Counters
from kerbline.model import Alarm, Entry, Gap, NodeState, Reading
from kerbline.north.ngsi_ld import models, orders
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.client import Client
from kerbline.north.ngsi_ld.contexts import Contexts
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.dead_letters import DeadLetters, place
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.memory import load
from kerbline.north.ngsi_ld.orders import Catalogue
from kerbline.north.ngsi_ld.pace import Pace
from kerbline.north.ngsi_ld.sink import Models, NgsiLdSink, Terms
from kerbline.north.ngsi_ld.token import Anonymous, ClientCredentials, FileToken, Tokens
from kerbline.north.sink import Journal
from kerbline.north.tls import TlsFiles
from kerbline.store import Store

KIND = "ngsi_ld"
UNREADABLE = (ArithmeticError, AssertionError, AttributeError, KeyError, TypeError, ValueError)


def name(broker: NgsiLd) -> str:
    """Under which the store keeps its cursor."""
    return f"{KIND}:{broker.name}"


def made(
    config: Config,
    broker: NgsiLd,
    registry: Registry,
    store: Store,
    journal: Journal,
    clock: Clock,
    counters: Counters,
) -> NgsiLdSink:
    """A sink with its cursor, what it remembers of the broker, and its dead letters."""
    sink = name(broker)
    http = client(broker)
    tenant = {"NGSILD-Tenant": broker.tenant} if broker.tenant else {}
    courier = Courier(sink, http, tokens(broker, http), tenant, clock.utc_ms, counters)
    folder = config.gateway.state_dir
    cursor = store.open_cursor(sink)
    path = folder / f"{KIND}-{broker.name}.json"
    city = models.city_of(config, registry)
    told = _Told(city, registry, counters, everything=broker.personal == "all")
    concise, link = broker.form == "concise", broker.context_in == "link"
    pace = (Pace(broker.deadband, broker.heartbeat_s), Pace(broker.deadband, broker.heartbeat_s))
    return NgsiLdSink(
        sink,
        Models(told.changes, told.standing, lambda: registry.revision),
        Form(Contexts(broker.context), concise=concise, link=link),
        courier,
        journal,
        DeadLetters(place(folder, broker.name)),
        cursor=cursor,
        latest=store.latest(),
        memory_path=path,
        remembered=load(path, f"{broker.url} {broker.tenant}", cursor=cursor),
        paces=pace,
        terms=Terms(
            broker.history,
            a_second=broker.history_per_s,
            backoff_s=(min(0.5, broker.backoff_max_s), broker.backoff_max_s),
        ),
        street_ms=lambda: clock.street_ms(clock.utc_ms()),
        utc_ms=clock.utc_ms,
        random=random.random,
        counters=counters,
        elsewhere=Catalogue(config, city, terms(broker)) if _is_held_here(broker) else (),
    )


def terms(broker: NgsiLd) -> orders.Terms:
    """What was agreed with a broker that may order something."""
    commands = broker.commands or Commands()
    everything = broker.personal == "all"
    return orders.Terms(commands.attributes, commands.hold_s, everything=everything)


def client(broker: NgsiLd) -> Client:
    """Connections to a broker."""
    tls = TlsFiles(broker.tls.ca, broker.tls.cert, broker.tls.key) if broker.tls else None
    return Client(broker.url, timeout_s=broker.timeout_s, tls=tls, compress=broker.gzip)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a broker is told: of what is personal nothing, but with `everything`."""

    city: City
    registry: Registry
    counters: Counters
    everything: bool

    def changes(self, what: Entry | NodeState) -> Sequence[Change]:
        """Of an entry, or of a node's state."""
        if isinstance(what, Gap) or (not self.everything and self._is_personal(what)):
            return ()
        try:
            return models.changes(what, self.city)
        except UNREADABLE:  # of another kerbline's store, or of a damaged one
            self.counters.count("ngsi_ld.unmapped")
            return ()

    def standing(self) -> Sequence[Change]:
        """Of the list of assets and the config."""
        return models.standing(self.city, personal=self.everything)

    def _is_personal(self, what: Reading | Alarm | NodeState) -> bool:
        kind = "" if isinstance(what, Alarm) else what.kind
        return self.registry.personal(what.asset, kind)


def tokens(broker: NgsiLd, client: Client) -> Tokens:
    """Who we are to a broker."""
    if broker.token_file is not None:
        return FileToken(broker.token_file)
    if broker.oauth2 is None:
        return Anonymous()
    where = broker.oauth2
    loop = asyncio.get_running_loop()
    return ClientCredentials(
        client, where.token_url, where.client_id, where.client_secret_file, where.scope, loop.time
    )


def _is_held_here(broker: NgsiLd) -> bool:
    """Has the broker no state of its own of what may be ordered?"""
    return broker.commands is not None and broker.commands.held_here
