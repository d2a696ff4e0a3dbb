"""The MQTT port: aiomqtt behind `Port`, each wait raced against the loss of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kerbline.counters import Counters
from kerbline.north.fit import Fit
from kerbline.north.port import Message, NotConnected
from kerbline.north.tls import TlsFiles, plainly

if TYPE_CHECKING:
    from aiomqtt.types import PahoSocket
    from paho.mqtt import client as paho
    from paho.mqtt.reasoncodes import ReasonCode

AT_LEAST_ONCE = 1
# Messages that a broker may send before we acknowledge: with MQTT 5 so many, else its own limit
# (mosquitto 20, nats-server 1,024). What is not taken waits there.
RECEIVE_MAXIMUM = 64
AT_ONCE = 20  # messages that a broker is given before it acknowledges, or fewer if it says so
MAX_WAITING = 1_100  # received and not yet taken; more, of QoS 0, are dropped, and logged
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 0.5
ACK_TIMEOUT_S = 20.0  # a broker that syncs each message to a slow card takes its time
KEEPALIVE_S = 15
# A small live message never waits for the TCP ack of a backlog's large ones (Nagle: 40 ms).
NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # Linux
_UNSPECIFIED = 128  # paho's word for a connection that ended without one
_TAKEN_OVER = 142  # MQTT 5, 3.14.2.1
_UNHEARD = 16  # MQTT 5, 3.4.2.1: it is taken, but nobody has subscribed to it
_TOO_LONG = (131, 149)  # "implementation specific error", "packet too large"
_VERSION_REFUSED = (1, 132)  # "unacceptable protocol version" in 3.1.1 and in 5

T = TypeVar("T")
_log = logging.getLogger(__name__)
_library_log = _log.getChild("aiomqtt")
_library_log.setLevel(logging.CRITICAL)  # it warns of what we raise or mend ourselves


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and as whom we speak to it."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsFiles | None = None


class _Incoming(asyncio.Queue["aiomqtt.Message"]):
    """What the library has received: a message too many is told of, where it would log."""

    def __init__(self, dropped: Callable[[aiomqtt.Message], None]) -> None:
        super().__init__(MAX_WAITING)
        self._dropped = dropped

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Take a message, or drop it."""
        if self.full():
            self._dropped(item)
        else:
            super().put_nowait(item)


class _Burst:
    """Messages that are handed over together, until the last is acknowledged or one refused."""

    __slots__ = ("left", "outcome")

    def __init__(self, loop: asyncio.AbstractEventLoop, messages: int) -> None:
        self.outcome: asyncio.Future[str] = loop.create_future()
        self.left = messages

    def acknowledged(self, refusal: str) -> None:
        """One of them is, or is refused for a reason."""
        self.left -= 1
        if (refusal or not self.left) and not self.outcome.done():
            self.outcome.set_result(refusal)


class _Client(aiomqtt.Client):
    """aiomqtt, but quick and quiet when the broker dies under it.

    This reaches into the library, which offers no other way; the tests that kill brokers watch it.
    """

    gone = False  # the library forgets a loss between CONNACK and the end of __aenter__
    acks: dict[int, tuple[_Burst, int]]  # who waits for that of a message id, and its bytes
    fit: Fit
    ack_timeout_s: float
    turn: asyncio.Lock  # of bursts: one that waits in its midst is not overtaken
    room: asyncio.Semaphore  # to publish
    heard: bool  # is what nobody gets refused?
    unfit = False  # does `fit` know how this connection ended?

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        """Note how much the broker takes, its Receive Maximum: beyond that it may hang up."""
        self.turn = asyncio.Lock()
        self.room = asyncio.Semaphore(min(AT_ONCE, getattr(properties, "ReceiveMaximum", AT_ONCE)))
        self.fit.told(getattr(properties, "MaximumPacketSize", None))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        """Closed instead of accepted: say so now, where the library lets the time run out."""
        self.gone = True
        if self._connected.cancelled():
            return  # whoever waited has gone; the library would trip over it
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code, "closed"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        _noticed(self._disconnected)

    async def hand_over(self, messages: Sequence[Message]) -> str:
        """Publish with QoS 1; the reason for which the broker refuses, empty when it took them.

        The library's own way makes two tasks a message; a burst has one wake-up for all.
        """
        burst = _Burst(self._loop, len(messages))
        try:
            async with self.turn:
                for each in messages:
                    async with asyncio.timeout(self.ack_timeout_s if self.room.locked() else None):
                        await self.room.acquire()
                    if burst.outcome.done():
                        break
                    self._send(each, burst)
            async with asyncio.timeout(self.ack_timeout_s):
                return await burst.outcome
        except TimeoutError:
            self.misfits()
            raise aiomqtt.MqttError("no acknowledgement") from None
        finally:
            burst.outcome.cancel()

    def _send(self, message: Message, burst: _Burst) -> None:
        sent = self._client.publish(message.topic, message.payload, AT_LEAST_ONCE, message.retained)
        if sent.rc:
            self.room.release()
            raise aiomqtt.MqttCodeError(sent.rc, "could not publish")
        self.acks[sent.mid] = burst, len(message.payload)

    def _on_publish(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        """Version 5 tells a refusal here; in 3.1.1 a refused message is lost without a word."""
        burst, length = self.acks.pop(mid, (None, 0))
        if burst is not None:
            self.room.release()
            if reason_code.value in _TOO_LONG:
                self.misfits(length)
            elif not reason_code.is_failure:
                self.fit.taken(length)
            unheard = self.heard and reason_code.value == _UNHEARD
            burst.acknowledged(str(reason_code) if reason_code.is_failure or unheard else "")
        sock = client.socket()
        if QUICK_ACK is not None and isinstance(sock, socket.socket):
            # A broker that has Nagle on holds its next ack for TCP's of this one: 40 ms, else.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def bound(self, dropped: Callable[[aiomqtt.Message], None]) -> None:
        """Acknowledge only what `acknowledge` says; call `dropped` where the library is silent."""
        self._client.manual_ack_set(True)
        self._queue = _Incoming(dropped)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """The broker may send one more."""
        self._client.ack(message.mid, message.qos)

    def misfits(self, *refused: int) -> None:
        """It ends by no will of ours: perhaps what waits, or was refused, is too long."""
        if not self.unfit:
            self.fit.lost([*refused, *[length for _, length in self.acks.values()]])
        self.unfit = True

    def lose(self, reason: str) -> None:
        """End every publish that waits: the connection is lost."""
        for burst, _ in self.acks.values():
            self.room.release()
            if not burst.outcome.done():
                burst.outcome.set_exception(NotConnected(reason))
        self.acks.clear()

    def _on_socket_open(self, client: paho.Client, userdata: object, sock: PahoSocket) -> None:
        """As the library, but see `_register`."""

        def read() -> None:
            client.loop_read()
            while isinstance(sock, ssl.SSLSocket) and sock.pending():  # decoded and not read
                client.loop_read()

        def attend() -> None:
            self._misc_task = self._loop.create_task(self._misc_loop())

        self._loop.call_soon_threadsafe(self._register, self._loop.add_reader, sock, read)
        self._loop.call_soon_threadsafe(attend)

    def _on_socket_register_write(
        self, client: paho.Client, userdata: object, sock: PahoSocket
    ) -> None:
        """The same for what is to be sent."""
        self._loop.call_soon_threadsafe(
            self._register, self._loop.add_writer, sock, client.loop_write
        )

    def _register(
        self, add: Callable[..., None], sock: PahoSocket, step: Callable[[], object]
    ) -> None:
        """Leave a socket alone that is closed by the time the loop gets to it.

        Its number, which the library would register, is then bad or another connection's.
        """
        if sock.fileno() >= 0:
            add(sock, self._attempt, step)

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever a broker sends, the connection ends
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    async def let_go(self) -> None:
        """Disconnect, or forget a connection that is dead, and look at why it is."""
        self.timeout = CLOSE_TIMEOUT_S
        if not self._disconnected.done():
            self.unfit = True  # we end it: what waits still says nothing of its length
        with contextlib.suppress(aiomqtt.MqttError):
            await self.__aexit__(None, None, None)
        _noticed(self._connected)
        _noticed(self._disconnected)


class MqttPort:
    """A `Port` to an MQTT broker: version 5, else 3.1.1; no feature of 5 is needed.

    Sessions are clean: a command sent while we were away is not ours to run later. `will` is
    published by the broker when we vanish.
    """

    def __init__(
        self,
        address: BrokerAddress,
        subscriptions: Sequence[str],
        will: Message | None = None,
        counters: Counters | None = None,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        *,
        heard: bool = False,
        fit: Fit | None = None,
    ) -> None:
        """With `heard`, what nobody has subscribed to is refused, where a broker tells (MQTT 5).

        `fit` learns how long a message may be.
        """
        self._heard = heard
        self._fit = fit or Fit()
        self._ack_timeout_s = ack_timeout_s
        self._address = address
        self._subscriptions = subscriptions
        self._will = will
        self._counters = counters or Counters()
        self._flooded = False
        self._version: aiomqtt.ProtocolVersion | None = None  # what this broker accepted
        self._client: _Client | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._waiting: asyncio.Queue[aiomqtt.Message] = asyncio.Queue(MAX_WAITING)

    async def connect(self) -> None:
        """Connect and subscribe; raises NotConnected."""
        await self.close()
        versions = [aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311]
        for version in [self._version] if self._version else versions:
            try:
                await self._connect(version)
                break
            except aiomqtt.MqttError as error:
                # Some brokers answer version 5 with a refusal, others close without a word.
                refusal = error
                if isinstance(error, aiomqtt.MqttCodeError) and _code(error) in _VERSION_REFUSED:
                    self._version = None
        else:
            address = self._address
            closed = isinstance(refusal, aiomqtt.MqttCodeError) and _code(refusal) == _UNSPECIFIED
            why = plainly(str(refusal), address.host, address.tls, closed=closed)
            raise NotConnected(f"{address.host}:{address.port}: {why}")
        for topic in self._subscriptions:
            await self._race(self._live().subscribe(topic, AT_LEAST_ONCE))

    async def publish(self, *messages: Message) -> None:
        """Return when the broker has acknowledged all; raises NotConnected."""
        try:
            refusal = await self._live().hand_over(messages)
        except aiomqtt.MqttError as error:
            raise NotConnected(str(error)) from error
        if refusal:
            raise NotConnected(f"{_topics(messages)} is refused: {refusal}")

    async def receive(self) -> Message:
        """The next message, acknowledged with that; raises NotConnected when there is none."""
        client = self._live()
        taken = await self._race(self._waiting.get())
        client.acknowledge(taken)
        return Message(taken.topic.value, taken.payload, retained=taken.retain)

    async def close(self) -> None:
        """Disconnect, or let go of a dead connection."""
        client, self._client = self._client, None
        reader, self._reader = self._reader, None
        if client is not None:
            await client.let_go()
        if reader is not None:
            reader.cancel()
            await asyncio.wait((reader,))

    def _live(self) -> _Client:
        if self._client is None or self._lost is None:
            raise NotConnected("not connected yet")
        if self._lost.done():
            raise NotConnected(self._lost.result())
        return self._client

    async def _race(self, call: Coroutine[Any, Any, T]) -> T:
        """Await `call`, but no longer than there is a connection; raises NotConnected."""
        lost = self._lost
        assert lost is not None, "after _live"
        task = asyncio.ensure_future(call)
        task.add_done_callback(_noticed)
        try:
            await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise NotConnected(lost.result())
            return task.result()
        except aiomqtt.MqttError as error:
            raise NotConnected(str(error)) from error
        finally:
            task.cancel()

    async def _connect(self, version: aiomqtt.ProtocolVersion) -> None:
        client = self._new_client(version)
        try:
            await client.__aenter__()
            if client.gone:
                raise aiomqtt.MqttError("closed at once")
        except (aiomqtt.MqttError, asyncio.CancelledError):
            await client.let_go()
            raise
        except UnicodeError as error:
            where = f"{self._address.host}:{self._address.port}"
            raise NotConnected(f"{where}: no host can have that name; mend host") from error
        self._version = version
        self._client = client
        self._waiting = asyncio.Queue(MAX_WAITING)
        self._lost = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(client, self._lost))

    def _new_client(self, version: aiomqtt.ProtocolVersion) -> _Client:
        address, is_5 = self._address, version is aiomqtt.ProtocolVersion.V5
        client = _Client(
            address.host,
            address.port,
            username=address.username or None,
            password=address.password or None,
            identifier=address.client_id,
            protocol=version,
            clean_session=None if is_5 else True,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_TIMEOUT_S,
            max_queued_incoming_messages=MAX_WAITING,
            logger=_library_log,
            socket_options=NO_DELAY,
            will=_will(self._will) if self._will else None,
            tls_params=_tls(address.tls) if address.tls else None,
            properties=_window() if is_5 else None,
        )
        client.acks = {}
        client.ack_timeout_s = self._ack_timeout_s
        client.heard = self._heard
        client.fit = self._fit
        client.bound(lambda message: self._drop(client, message))
        return client

    async def _read(self, client: _Client, lost: asyncio.Future[str]) -> None:
        """Take messages in; its end is how we learn at once that the connection broke."""
        reason = "closed"
        try:
            async for message in client.messages:
                try:
                    self._waiting.put_nowait(message)
                except asyncio.QueueFull:
                    self._drop(client, message)
        except aiomqtt.MqttError as error:
            client.misfits()
            reason = _ended(error.__cause__ or error, self._address.client_id)
        finally:
            lost.set_result(reason)
            client.lose(reason)

    def _drop(self, client: _Client, message: aiomqtt.Message) -> None:
        client.acknowledge(message)  # or the broker would wait for it, and send one less
        self._counters.count("commands.dropped")
        if not self._flooded:  # once: the counters tell of each later flood
            _log.warning("messages come faster than they are taken: some are dropped")
        self._flooded = True


def _topics(messages: Sequence[Message]) -> str:
    return " or ".join(dict.fromkeys(each.topic for each in messages))


def _will(message: Message) -> aiomqtt.Will:
    return aiomqtt.Will(message.topic, message.payload, AT_LEAST_ONCE, message.retained)


def _window() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return properties


def _tls(files: TlsFiles) -> aiomqtt.TLSParameters:
    return aiomqtt.TLSParameters(
        ca_certs=str(files.ca),
        certfile=str(files.cert) if files.cert else None,
        keyfile=str(files.key) if files.key else None,
        keyfile_password="",  # or OpenSSL asks whoever sits at the terminal, and waits
    )


def _ended(error: BaseException, client_id: str) -> str:
    """Why a connection that stood is over."""
    if isinstance(error, aiomqtt.MqttCodeError) and _code(error) in (_UNSPECIFIED, _TAKEN_OVER):
        return (
            "the broker closed the connection; "
            f"if that goes on: does another client call itself {client_id}, too?"
        )
    return str(error)


def _noticed(outcome: asyncio.Future[T]) -> None:
    """Look at a failure, or the loop complains when it is dropped."""
    if outcome.done() and not outcome.cancelled():
        outcome.exception()


def _code(error: aiomqtt.MqttCodeError) -> int | None:
    return error.rc if isinstance(error.rc, int) or error.rc is None else error.rc.value
