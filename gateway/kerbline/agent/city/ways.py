"""The ways by which a broker's orders come: our endpoint, or notifications over MQTT.

Either is made known to the broker, again and again, so that it outlives what the broker forgets;
what the config names no more is taken away.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

from kerbline import durable
from kerbline.agent.city import ngsi_ld
from kerbline.clock import Clock
from kerbline.config import Commands, Config, NgsiLd
from kerbline.config.city_orders import Notified
from kerbline.config.faults import Complaint
from kerbline.config.rules import read_secret
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.model import CommandResult
from kerbline.north.backoff import Backoff
from kerbline.north.ngsi_ld.client import NoAnswer
from kerbline.north.ngsi_ld.contexts import Contexts
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.known import Known
from kerbline.north.ngsi_ld.notifications import NoNotification, Notification, Seen, parsed
from kerbline.north.ngsi_ld.orders import Catalogue
from kerbline.north.ngsi_ld.registrar import Document, NotPut, Registrar
from kerbline.north.ngsi_ld.registration import registrations, subscription
from kerbline.north.ngsi_ld.token import NoToken
from kerbline.north.port import NotConnected
from kerbline.north.tls import TlsFiles

RENEW_S = 900.0
LOOK_S = 2.0  # between two looks at the list of assets
BACKOFF_S = (1.0, 60.0)
_LAMP = "Streetlight"  # its context has every term of ours
_log = logging.getLogger("kerbline.city_orders")


class Desk(Protocol):
    """Who judges what comes."""

    def urn(self, command_id: str) -> str:
        """The id of the entity that an order is."""

    async def order(self, entity: str, given: Mapping[str, object], key: str) -> CommandResult:
        """An order by HTTP."""

    def judged(
        self, notification: Notification, seen: Seen
    ) -> list[tuple[str, Mapping[str, object]]]:
        """What a notification orders."""

    async def take(
        self, entity: str, given: Mapping[str, object], notification: Notification
    ) -> None:
        """An order of it."""


class NoSecret(KerblineError):
    """A file has gone since the check; the text says which."""

    code = "no_secret"


class Ways:
    """Those of one broker."""

    def __init__(
        self,
        config: Config,
        broker: NgsiLd,
        commands: Commands,
        catalogue: Catalogue,
        known: Known,
        desk: Desk,
        clock: Clock,
        counters: Counters,
    ) -> None:
        assert config.city is not None
        self._gateway = config.gateway.id
        self._broker = broker
        self._commands = commands
        self._catalogue = catalogue
        self._known = known
        self._desk = desk
        self._clock = clock
        self._counters = counters
        self._who = f"{config.city.id}:{config.gateway.id}"
        self._context = Contexts(broker.context).of(_LAMP)[0]
        self._notes = Notes(place(config, broker))
        self._registrar = registrar(broker)
        self._said: set[str] = set()

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """Its tasks."""
        ways = [self._serve()] if self._commands.listen else []
        ways += [self._listen(self._commands.mqtt)] if self._commands.mqtt else []
        return [*ways, self._keep_known()]

    async def _serve(self) -> None:
        from kerbline.north.ngsi_ld.endpoint import Endpoint, ServerTls
        from kerbline.north.ngsi_ld.source import Source

        contexts = Contexts(self._broker.context)
        forms = (Form(contexts, link=True), Form(contexts, concise=True, link=True))
        source = Source(
            self._catalogue, self._known, self._desk.order, self._desk.urn, forms, self._context
        )
        files = self._commands.tls
        endpoint = Endpoint(
            *self._commands.served,
            source.answer,
            token=_secret(self._commands.access_token_file),
            tls=ServerTls(files.cert, files.key, files.client_ca) if files else None,
            refused=lambda status: self._counters.count(f"city_orders.http_{status}"),
        )
        await endpoint.run()

    async def _listen(self, mqtt: Notified) -> None:
        """Take notifications, for ever."""
        from kerbline.north.mqtt import BrokerAddress, MqttPort

        tls = TlsFiles(mqtt.tls.ca, mqtt.tls.cert, mqtt.tls.key) if mqtt.tls else None
        address = BrokerAddress(
            mqtt.host,
            mqtt.port,
            client_id=f"kerbline-{self._gateway}-{self._broker.name}",
            username=mqtt.username,
            password=_secret(mqtt.password_file),
            tls=tls,
        )
        port = MqttPort(address, [mqtt.topic], None, self._counters)
        backoff = Backoff(*BACKOFF_S, random.random)
        said = ""
        while True:
            try:
                await port.connect()
                _log.info("%s: hears notifications on %s", self._broker.name, mqtt.topic)
                while True:
                    message = await port.receive()
                    backoff.reset()
                    await self._notified(message.payload, retained=message.retained)
            except NotConnected as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("%s: no notifications: %s", self._broker.name, said)
            finally:
                await port.close()
            await asyncio.sleep(backoff.next_s())

    async def _notified(self, payload: bytes, *, retained: bool) -> None:
        try:
            if retained:  # it lies at the broker for ever
                raise NoNotification("retained")
            notification = parsed(payload)
        except NoNotification as why:
            self._counters.count(f"city_orders.{str(why).partition(':')[0]}")
            if str(why) not in self._said:  # of a few words of ours
                self._said.add(str(why))
                _log.warning("%s: no notification: %s", self._broker.name, why)
            return
        seen = self._notes.seen
        ordered = self._desk.judged(notification, seen)
        if seen.changed:  # before any of it goes: a broker may repeat it to our next life
            await self._note()
        for entity, given in ordered:
            await self._desk.take(entity, given, notification)

    async def _keep_known(self) -> None:
        """Make the way known to the broker, now and then, and when the assets are others."""
        backoff = Backoff(*BACKOFF_S, random.random)
        said = ""
        while True:
            targets = self._catalogue.targets
            try:
                await self._make_known()
            except (NotPut, NoAnswer, NoToken, NoSecret) as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("%s: not known to the broker: %s", self._broker.name, said)
                await asyncio.sleep(
                    max(backoff.next_s(), error.after_s if isinstance(error, NotPut) else 0.0)
                )
                continue
            said = ""
            backoff.reset()
            left_s = RENEW_S
            while left_s > 0 and self._catalogue.targets is targets:
                await asyncio.sleep(LOOK_S)
                left_s -= LOOK_S

    async def _make_known(self) -> None:
        documents = list(self._documents())
        wanted = {(each.place, each.id) for each in documents}
        for at, name in self._notes.put - wanted:
            await self._registrar.remove(at, name)
            self._notes.put.discard((at, name))
            await self._note()
        new = wanted - self._notes.put
        if new:  # first the note, or what we put would be forgotten
            self._notes.put |= new
            await self._note()
        for document in documents:
            await self._registrar.put(document)
        _log.info("%s: knows of %d", self._broker.name, len(documents))

    def _documents(self) -> Iterator[Document]:
        targets = list(self._catalogue.targets.values())
        now_ms = self._clock.utc_ms()
        commands = self._commands
        if commands.listen and commands.address:
            headers = {"jsonldContext": self._context}
            if commands.access_token_file:
                headers["Authorization"] = f"Bearer {_secret(commands.access_token_file)}"
            mode, address = commands.mode, commands.address
            yield from registrations(targets, self._who, mode, address, headers, now_ms)
        elif commands.mqtt:
            uri = _uri(commands.mqtt)
            document = subscription(targets, self._who, uri, self._context, now_ms)
            if document is not None:
                yield document

    async def _note(self) -> None:
        try:
            await asyncio.to_thread(self._notes.save)
        except OSError as error:
            _log.warning("%s: %s", self._notes.path, error.strerror)


class Notes:
    """What we put at a broker, and which orders it repeats: a small file of the state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put: set[tuple[str, str]] = set()
        self.seen = Seen()
        try:
            given = orjson.loads(path.read_bytes())
            self.put = {(str(at), str(name)) for at, name in given["put"]}
            self.seen = Seen({str(key): str(each) for key, each in given["orders"].items()})
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            _log.warning("%s can't be read: begun anew", path)

    def save(self) -> None:
        """Safe from a power cut on return; raises OSError."""
        self.seen.changed = False
        text = {"put": sorted(self.put), "orders": self.seen.orders}
        durable.folder(self.path.parent)
        durable.replace(self.path, orjson.dumps(text))


async def take_away(config: Config, broker: NgsiLd) -> None:
    """Of a broker that may order nothing any more: what we put there goes."""
    notes = Notes(place(config, broker))
    registrar_ = registrar(broker)
    backoff = Backoff(*BACKOFF_S, random.random)
    while notes.put:
        at, name = next(iter(notes.put))
        try:
            await registrar_.remove(at, name)
        except (NotPut, NoAnswer, NoToken) as error:
            _log.warning("%s: %s", broker.name, error)
            await asyncio.sleep(backoff.next_s())
        else:
            notes.put.discard((at, name))
    await asyncio.to_thread(notes.path.unlink, missing_ok=True)
    await registrar_.close()


def place(config: Config, broker: NgsiLd) -> Path:
    """The file of a broker's notes."""
    return config.gateway.state_dir / f"orders-{broker.name}.json"


def registrar(broker: NgsiLd) -> Registrar:
    """Its own connection to a broker."""
    client = ngsi_ld.client(broker)
    tenant = {"NGSILD-Tenant": broker.tenant} if broker.tenant else {}
    contexts, link = Contexts(broker.context).of(_LAMP), broker.context_in == "link"
    return Registrar(client, ngsi_ld.tokens(broker, client), tenant, contexts, link=link)


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    secret = read_secret(path)
    if isinstance(secret, Complaint):
        raise NoSecret(f"{secret.problem}; {secret.remedy}")
    return secret


def _uri(mqtt: Notified) -> str:
    """How the broker reaches where we listen; with its password, where it has one, from a file."""
    if mqtt.uri_file is not None:
        return _secret(mqtt.uri_file)
    host = f"[{mqtt.host}]" if ":" in mqtt.host else mqtt.host
    return f"mqtt{'s' if mqtt.tls else ''}://{host}:{mqtt.port}/{mqtt.topic}"
