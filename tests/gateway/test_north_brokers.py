"""Delivery through real brokers, which are killed: all arrives, nothing hangs, no traceback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from kerbline.agent.light.loops import Loops
from kerbline.agent.orders import Orders
from kerbline.clock import ManualClock
from kerbline.control.program import Plan, State
from kerbline.counters import Counters
from kerbline.demo.stage import free_port
from kerbline.model import Command
from kerbline.north.commands import Rejection, parse
from kerbline.north.mapping import Mapper
from kerbline.north.mqtt import ACK_TIMEOUT_S, MAX_WAITING, BrokerAddress, MqttPort
from kerbline.north.outbox import Outbox, OutboxLimits
from kerbline.north.port import NotConnected
from kerbline.north.topics import Topics
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.south.arrivals import Answered
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests import steady
from tests.gateway.samples import T0_MS, reading, stored

TOPICS = Topics("kerbline", "gw-1")
MAPPER = Mapper(TOPICS)
QUICK = OutboxLimits(backoff_min_s=0.02, backoff_max_s=0.2, read_entries=200)
SOURCES = 11
BURST = 700


def here(kind: BrokerKind) -> Any:
    """A broker as a test parameter, skipped where there is none."""
    reason = f"there is no {kind} here: apt-get install {kind}"
    return pytest.param(kind, marks=pytest.mark.skipif(program(kind) is None, reason=reason))


each_broker = pytest.mark.parametrize("kind", [here(kind) for kind in BrokerKind])


def port_to(broker: Broker, subscriptions: Sequence[str] = (TOPICS.commands,)) -> MqttPort:
    address = BrokerAddress("127.0.0.1", broker.port, "gw-1")
    return MqttPort(address, subscriptions, MAPPER.status("offline", None))


def with_broker(
    kind: BrokerKind,
    folder: Path,
    story: Callable[[Broker], Awaitable[None]],
    limit_s: float = 120,
    more: str = "",
) -> list[dict[str, Any]]:
    """Tell `story` with a running broker, `more` in its config; what the loop complained of."""
    complaints: list[dict[str, Any]] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        broker = Broker(kind, folder / "broker", free_port(), more=more)
        await broker.start()
        try:
            async with asyncio.timeout(limit_s):
                await story(broker)
        finally:
            await broker.kill()

    steady.run(scene())
    return complaints


class City:
    """A subscriber with a persistent session, as a data platform has."""

    def __init__(self, broker: Broker) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.seqs: dict[str, int] = {}
        self._broker = broker
        self._came = asyncio.Event()
        self.subscribed = asyncio.Event()

    async def listen(self) -> None:
        """Subscribe, and again whenever the broker comes back."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self._broker.port, identifier="city", clean_session=False
                ) as client:
                    await client.subscribe("kerbline/gw-1/+/readings", qos=1)
                    self.subscribed.set()
                    async for message in client.messages:
                        payload = orjson.loads(message.payload)
                        for item in payload["readings"]:
                            self.counts[payload["source"], item["n"]] += 1
                        self._came.set()
            await asyncio.sleep(0.05)

    async def until(self, count: int) -> None:
        """Wait until it has `count` different readings."""
        while len(self.counts) < count:
            self._came.clear()
            await self._came.wait()


@each_broker
def test_a_broker_killed_for_two_seconds_gets_everything(kind: BrokerKind, tmp_path: Path) -> None:
    total, outage_s = 12_000, 2.0
    store = Store.open(tmp_path / "kerbline.db")
    for start in range(0, total, 100):
        group = [reading(n // SOURCES + 1, f"sl-{n % SOURCES}") for n in range(start, start + 100)]
        store.append(group, T0_MS)
    made = {(e.key.source, e.key.number) for e in stored(store)}  # type: ignore[union-attr]

    async def story(broker: Broker) -> None:
        city = City(broker)
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        outbox = Outbox(
            "mqtt",
            port_to(broker),
            group,
            MAPPER,
            cursor=store.open_cursor("mqtt"),
            utc_ms=lambda: T0_MS,
            random=random.Random(2).random,
            limits=replace(QUICK, chunk_entries=total // 4),
        )
        committing = asyncio.create_task(group.run())
        listening = asyncio.create_task(city.listen())
        await city.subscribed.wait()
        running = asyncio.create_task(outbox.run())
        while outbox.cursor < store.head // 4:  # noqa: ASYNC110 - it is looked at each turn
            await asyncio.sleep(0)
        await broker.kill()
        await asyncio.sleep(outage_s)
        assert outbox.cursor < store.head, "it was killed in the middle"
        await broker.start()
        await city.until(total)
        for task in (running, listening):
            task.cancel()
            await asyncio.wait([task])
        await outbox.close()
        group.stop()
        await committing
        await group.close()
        assert set(city.counts) == made

    assert with_broker(kind, tmp_path, story) == []
    store = Store.open(tmp_path / "kerbline.db")
    assert store.open_cursor("mqtt") > 0
    store.close()


@each_broker
def test_a_kill_ends_every_publish_at_once_and_leaves_no_complaint(
    kind: BrokerKind, tmp_path: Path
) -> None:
    chance = random.Random(7)

    async def flood(port: MqttPort) -> None:
        with contextlib.suppress(NotConnected):
            await port.connect()
            async with asyncio.TaskGroup() as lanes:
                for lane in range(15):
                    lanes.create_task(publish_on(port, lane))

    async def publish_on(port: MqttPort, lane: int) -> None:
        message = MAPPER.outgoing([reading(lane + 1)])[0].message
        with contextlib.suppress(NotConnected):
            while True:
                await port.publish(message)

    async def story(broker: Broker) -> None:
        port = port_to(broker)
        for _ in range(12):
            flooding = asyncio.create_task(flood(port))
            await asyncio.sleep(chance.random() * 0.03)
            await broker.kill()
            async with asyncio.timeout(1):
                await flooding
            await broker.start()
        await port.close()
        with pytest.raises(NotConnected):
            await port.publish(MAPPER.status("online", T0_MS))

    assert with_broker(kind, tmp_path, story) == []


@each_broker
def test_a_command_comes_in_and_a_retained_one_is_told_apart(
    kind: BrokerKind, tmp_path: Path
) -> None:
    async def story(broker: Broker) -> None:
        port = port_to(broker)
        kinds = {"lamp-1": "streetlight"}
        order = b'{"id": "%s", "operation": "release", "expires_at": %d}'
        async with aiomqtt.Client("127.0.0.1", broker.port) as operator:
            topic = "kerbline/gw-1/lamp-1/command"
            await operator.publish(topic, order % (b"old", T0_MS + 9), qos=1, retain=True)
            await port.connect()
            stale = parse(await port.receive(), TOPICS, kinds, T0_MS)
            assert isinstance(stale, Rejection)
            assert stale.reason == "retained"
            await operator.publish(topic, order % (b"new", T0_MS + 9), qos=1)
            fresh = parse(await port.receive(), TOPICS, kinds, T0_MS)
            assert getattr(fresh, "id", None) == "new"
        await port.close()

    assert with_broker(kind, tmp_path, story) == []


class Obedient:
    """A lamp that does what it is told, and says so."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Command] = asyncio.Queue()

    def reachable(self, asset: str) -> bool:
        """Always."""
        return True

    def refusal(self, command: Command) -> str:
        """Never."""
        return ""

    def send(self, command: Command) -> bool:
        """Take it."""
        self.sent.put_nowait(command)
        return True


@each_broker
def test_each_command_of_a_burst_gets_its_result(kind: BrokerKind, tmp_path: Path) -> None:
    """They are read as fast as they are carried out: the others wait at the broker."""

    async def told(client: aiomqtt.Client) -> set[str]:
        await client.subscribe("kerbline/gw-1/+/result", qos=1)
        subscribed.set()
        found: set[str] = set()
        async for message in client.messages:
            found.add(orjson.loads(message.payload)["id"])
            if len(found) == BURST:
                break
        return found

    async def burst(client: aiomqtt.Client) -> None:
        order = {"operation": "release", "expires_at": T0_MS + 60_000}
        topic = "kerbline/gw-1/lamp-1/command"
        bodies = [orjson.dumps({**order, "id": f"c{number}"}) for number in range(BURST)]
        for start in range(0, BURST, 50):
            some = bodies[start : start + 50]
            await asyncio.gather(*[client.publish(topic, body, qos=1) for body in some])

    async def story(broker: Broker) -> None:
        store = Store.open(tmp_path / "kerbline.db")
        store._database.connection.execute("PRAGMA synchronous=OFF")  # its speed is another test's
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        clock, counters, street = ManualClock(T0_MS), Counters(), Obedient()
        outbox = Outbox(
            "mqtt",
            MqttPort(BrokerAddress("127.0.0.1", broker.port, "gw-1"), [TOPICS.commands], None),
            group,
            MAPPER,
            cursor=store.open_cursor("mqtt"),
            utc_ms=clock.utc_ms,
            random=random.Random(2).random,
            counters=counters,
        )
        loops = Loops(Plan(), clock, State(), group)
        kinds = {"lamp-1": "streetlight"}
        orders = Orders(kinds, store, group, street, loops, clock, counters)

        async def answer() -> None:
            while True:
                command = await street.sent.get()
                await orders.answered(Answered(command.id, command.asset, ""))

        there = "127.0.0.1", broker.port
        running = [asyncio.create_task(outbox.run()), asyncio.create_task(answer())]
        while not outbox.connected:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
        async with aiomqtt.Client(*there) as city, aiomqtt.Client(*there) as operator:
            hearing = asyncio.create_task(told(city))
            await subscribed.wait()
            await burst(operator)
            running.append(asyncio.create_task(orders.serve(outbox, TOPICS)))
            assert await hearing == {f"c{number}" for number in range(BURST)}
        assert "commands.dropped" not in counters.totals()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await outbox.close()
        await group.close()

    subscribed = asyncio.Event()
    assert with_broker(kind, tmp_path, story, 300) == []


@each_broker
def test_what_is_dropped_of_a_flood_is_counted_and_said_once(
    kind: BrokerKind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """QoS 0 knows no window."""

    async def story(broker: Broker) -> None:
        counters = Counters()
        address = BrokerAddress("127.0.0.1", broker.port, "gw-1")
        port = MqttPort(address, [TOPICS.commands], None, counters)
        await port.connect()
        async with aiomqtt.Client("127.0.0.1", broker.port) as operator:
            while counters.totals().get("commands.dropped", 0) < 2:
                await operator.publish("kerbline/gw-1/lamp-1/command", b"{}", qos=0)
                await asyncio.sleep(0)
        for _ in range(MAX_WAITING):
            await port.receive()
        await port.close()

    with caplog.at_level(logging.WARNING):
        assert with_broker(kind, tmp_path, story) == []
    assert len([text for text in caplog.messages if "come faster" in text]) == 1


@each_broker
def test_the_will_speaks_when_the_gateway_cannot(kind: BrokerKind, tmp_path: Path) -> None:
    async def story(broker: Broker) -> None:
        port = port_to(broker)
        await port.connect()
        await port.publish(MAPPER.status("online", T0_MS))
        async with aiomqtt.Client("127.0.0.1", broker.port) as city:
            await city.subscribe(TOPICS.status, qos=1)
            states = [await _state(city)]
            assert port._client is not None
            vanished = port._client._client.socket()
            assert isinstance(vanished, socket.socket)
            vanished.shutdown(socket.SHUT_RDWR)  # no DISCONNECT: as when the power goes
            states.append(await _state(city))
            assert states == ["online", "offline"]
        await port.close()

    assert with_broker(kind, tmp_path, story) == []


async def _state(city: aiomqtt.Client) -> str:
    return str(orjson.loads((await anext(city.messages)).payload)["state"])


@pytest.mark.parametrize("kind", [here(BrokerKind.MOSQUITTO)])
def test_what_a_broker_refuses_to_take_is_not_delivered(kind: BrokerKind, tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite kerbline/gw-1/status\ntopic read #\n")

    async def scene() -> None:
        broker = Broker(kind, tmp_path / "broker", free_port(), more=f"acl_file {rules}\n")
        await broker.start()
        port = port_to(broker)
        try:
            await port.connect()
            await port.publish(MAPPER.status("online", T0_MS))
            with pytest.raises(NotConnected, match="sl-1/readings is refused: Not authorized"):
                await port.publish(MAPPER.outgoing([reading(1)])[0].message)
        finally:
            await port.close()
            await broker.kill()

    steady.run(scene())


@each_broker
def test_the_newest_version_that_a_broker_has_is_spoken(kind: BrokerKind, tmp_path: Path) -> None:
    async def story(broker: Broker) -> None:
        port = port_to(broker)
        await port.connect()
        newest = aiomqtt.ProtocolVersion.V5
        older = aiomqtt.ProtocolVersion.V311
        assert port._version is (newest if kind is BrokerKind.MOSQUITTO else older)
        await port.close()

    assert with_broker(kind, tmp_path, story) == []


@each_broker
def test_two_gateways_of_one_name_are_told(kind: BrokerKind, tmp_path: Path) -> None:
    """A copied card: each takes the other's place at the broker."""

    async def story(broker: Broker) -> None:
        first, second = port_to(broker), port_to(broker)
        await first.connect()
        waiting = asyncio.create_task(first.receive())
        await second.connect()
        with pytest.raises(NotConnected, match="does another client call itself gw-1, too\\?"):
            await waiting
        await second.close()
        await first.close()

    assert with_broker(kind, tmp_path, story) == []


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first byte of an MQTT packet, and what follows its length."""
    (head,) = await reader.readexactly(1)
    size = shift = 0
    more = True
    while more:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        more = byte > 127
    return head, await reader.readexactly(size)


class Frugal:
    """A broker that takes few messages at a time, and acknowledges when no more comes."""

    def __init__(self, takes: int, *, acking: bool = True) -> None:
        self.topics: list[str] = []
        self.most = 0  # open at a time
        self._takes = takes
        self._acking = acking

    @contextlib.asynccontextmanager
    async def port(self, ack_timeout_s: float = ACK_TIMEOUT_S) -> AsyncIterator[MqttPort]:
        """A connection to it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        at = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1], "gw-1")
        port = MqttPort(at, [TOPICS.commands], ack_timeout_s=ack_timeout_s)
        try:
            async with asyncio.timeout(60):
                await port.connect()
                yield port
        finally:
            await port.close()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: list[bytes] = []
        coming = asyncio.ensure_future(_packet(reader))
        try:
            while True:
                if not (await asyncio.wait((coming,), timeout=0.05))[0]:
                    for name in waiting if self._acking else ():
                        writer.write(b"\x40\x02" + name)
                    waiting.clear()
                    continue
                head, body = coming.result()
                coming = asyncio.ensure_future(_packet(reader))
                if head == 0x10:
                    writer.write(b"\x20\x06\0\0\x03\x21" + self._takes.to_bytes(2))
                elif head == 0x82:
                    writer.write(b"\x90\x04" + body[:2] + b"\0\1")
                elif head >> 4 == 3:
                    end = 2 + int.from_bytes(body[:2])
                    self.topics.append(body[2:end].decode())
                    waiting.append(body[end : end + 2])
                    self.most = max(self.most, len(waiting))
        except asyncio.IncompleteReadError:
            writer.close()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


NINE = [MAPPER.outgoing([reading(1, f"sl-{n}")])[0].message for n in range(9)]


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("burst", [1, 4])
def test_a_broker_is_not_given_more_at_a_time_than_it_takes(takes: int, burst: int) -> None:
    """Receive Maximum, MQTT 5, 3.2.2.3.3: HiveMQ's is 10, and it hangs up on the eleventh.

    However little it takes, bursts stay in order.
    """
    broker = Frugal(takes)

    async def scene() -> None:
        async with broker.port() as port, asyncio.TaskGroup() as publishing:
            for start in range(0, len(NINE), burst):
                publishing.create_task(port.publish(*NINE[start : start + burst]))

    steady.run(scene())
    assert broker.topics == [message.topic for message in NINE]
    assert 0 < broker.most <= takes


def test_a_broker_that_takes_no_more_is_left() -> None:
    async def scene() -> None:
        async with Frugal(2, acking=False).port(ack_timeout_s=0.1) as port:
            with pytest.raises(NotConnected, match=r"^no acknowledgement$"):
                await port.publish(*NINE)

    steady.run(scene())


def test_a_socket_that_is_closed_before_the_loop_gets_to_it_is_left_alone() -> None:
    """Paho opens and closes in a thread; the number may be another connection's by then."""
    complaints: list[dict[str, Any]] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        address = BrokerAddress("127.0.0.1", 1883, "gw-1")
        client = MqttPort(address, [])._new_client(aiomqtt.ProtocolVersion.V311)
        near, far = socket.socketpair()
        number = near.fileno()
        client._on_socket_open(client._client, None, near)
        client._on_socket_register_write(client._client, None, near)
        near.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not loop.remove_reader(number)
        assert not loop.remove_writer(number)
        far.close()

    asyncio.run(scene())
    assert complaints == []
