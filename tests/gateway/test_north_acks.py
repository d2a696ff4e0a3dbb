"""A consumer's acknowledgements: what they let go, what is refused, and a broker without memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from kerbline.model import Entry, Gap
from kerbline.north.acks import MAX_PAYLOAD_BYTES, MAX_RANGES, Acks, Refused
from kerbline.north.live import Live
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.outbox import Outbox, OutboxLimits
from kerbline.north.port import Message, NotConnected
from kerbline.sim.broker import Broker, BrokerKind
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.memory_port import MemoryPort
from tests.gateway.samples import EPOCH, T0_MS, alarm, gap, reading
from tests.gateway.test_north import QUICK, TOPICS, Log, deliver
from tests.gateway.test_north_brokers import MAPPER as BROKER_MAPPER
from tests.gateway.test_north_brokers import TOPICS as BROKER_TOPICS
from tests.gateway.test_north_brokers import each_broker, port_to, with_broker

BY_APPLICATION = replace(QUICK, ack_timeout_s=0.05)
LOG = ("sl-1", EPOCH)


def acks() -> Acks:
    made = Acks(Live(10, 1_000))
    made.published(LOG, range(1, 21))
    made.published(LOG, [(21, 30), (31, None)])
    return made


def ack(**fields: object) -> bytes:
    return orjson.dumps({"source": "sl-1", "epoch": EPOCH, **fields})


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"cumulative": 19}, {20, (21, 30), (31, None)}),
        ({"ranges": [[4, 20], [1, 2]]}, {3, (21, 30), (31, None)}),
        ({"cumulative": 5, "ranges": [[2, 19], [3, 4], [20, 20]]}, {(21, 30), (31, None)}),
        ({"cumulative": 20, "gaps": [[21, 30], [31, None]]}, set()),
        ({"gaps": [[21, 29], [31, 40]]}, {*range(1, 21), (21, 30), (31, None)}),
        ({}, {*range(1, 21), (21, 30), (31, None)}),
    ],
)
def test_what_an_acknowledgement_covers(fields: dict[str, object], left: set[object]) -> None:
    made = acks()
    made.take(ack(**fields))
    assert set(made.sent(LOG)) == left


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\x00", "not_json"),
        (b"[]", "not_json"),
        (b"[" * 5_000, "not_json"),
        (ack(cumulative=5)[:-1], "not_json"),
        (ack(cumulative=5) + b" " * MAX_PAYLOAD_BYTES, "too_long"),
        (ack(ranges=[[1, 1]] * (MAX_RANGES + 1)), "too_long"),
        (ack(rseq=5), "unknown_field"),
        (orjson.dumps({"source": 1, "epoch": 7}), "wrong_type"),
        (orjson.dumps({"source": "sl-1"}), "wrong_type"),
        (ack(cumulative=True), "wrong_type"),
        (ack(cumulative="5"), "wrong_type"),
        (ack(cumulative=-1), "out_of_range"),
        (ack(cumulative=1 << 63), "out_of_range"),
        (ack(ranges={}), "wrong_type"),
        (ack(ranges=[[1]]), "wrong_type"),
        (ack(ranges=[[1, None]]), "wrong_type"),
        (ack(ranges=[[5, 4]]), "out_of_range"),
        (ack(ranges=[[0, 4]]), "out_of_range"),
        (ack(gaps=[["a", 4]]), "wrong_type"),
        (orjson.dumps({"source": "sl-2", "epoch": EPOCH, "cumulative": 1}), "foreign"),
        (orjson.dumps({"source": "sl-1", "epoch": EPOCH + 1, "cumulative": 1}), "foreign"),
        (ack(cumulative=32), "future"),
        (ack(cumulative=3, ranges=[[7, 1_000_000_000_000]]), "future"),
    ],
)
def test_what_is_no_acknowledgement_is_named_and_counts_for_nothing(
    payload: bytes, reason: str
) -> None:
    made = acks()
    before = set(made.sent(LOG))
    with pytest.raises(Refused) as refused:
        made.take(payload)
    assert refused.value.reason == reason
    assert set(made.sent(LOG)) == before


def test_random_bytes_never_do_anything_else() -> None:
    chance = random.Random(5)
    good = ack(cumulative=7, ranges=[[9, 12]], gaps=[[21, 30]])
    taken = 0
    for _ in range(20_000):
        mutated = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        with contextlib.suppress(Refused):
            acks().take(bytes(mutated))
            taken += 1
    assert 0 < taken < 20_000


def answers(messages: list[Message]) -> list[Message]:
    """What a consumer says to messages that it holds."""
    found = []
    for message in messages:
        topic = message.topic.rpartition("/")
        body = orjson.loads(message.payload)
        told = {name: body[name] for name in ("source", "epoch") if name in body}
        if topic[2] == "readings":
            told["ranges"] = [[item["n"], item["n"]] for item in body["readings"]]
        elif topic[2] == "gap":
            told["gaps"] = [[body["first"], body["last"]]]
        elif topic[2] == "alarm":
            told["ranges"] = [[body["n"], body["n"]]]
        else:
            continue
        found.append(Message(TOPICS.acks.replace("+", body["source"]), orjson.dumps(told)))
    return found


def test_the_cursor_waits_for_the_consumer_and_what_it_lost_comes_again() -> None:
    entries: list[Entry] = [*[reading(n) for n in range(1, 301)], gap(301, None), alarm(1)]
    log = Log(entries)

    async def story(_outbox: Outbox, port: MemoryPort) -> None:
        await port.until(5)  # status, two of readings, gap, alarm
        assert log.cursors == []
        first = list(port.published)
        await port.until(9)
        assert log.cursors == []
        assert Counter(m.payload for m in port.published)[first[1].payload] == 2
        for message in answers(first):
            port.incoming.put_nowait(message)
        await log.until(len(entries))

    deliver(log, story, BY_APPLICATION)


def test_only_what_is_open_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(reading(n) for n in range(1, 11))

    async def story(_outbox: Outbox, port: MemoryPort) -> None:
        await port.until(2)
        topic = TOPICS.acks.replace("+", "sl-1")
        for payload in (b"nonsense", ack(cumulative=11), ack(cumulative=12), ack(cumulative=7)):
            port.incoming.put_nowait(Message(topic, payload))
        await port.until(3)
        again = orjson.loads(port.published[2].payload)
        assert [item["n"] for item in again["readings"]] == [8, 9, 10]
        port.incoming.put_nowait(Message(topic, ack(ranges=[[8, 10]])))
        await log.until(10)

    with caplog.at_level(logging.WARNING):
        deliver(log, story, BY_APPLICATION)
    assert [text.partition(": ")[2] for text in caplog.messages] == [
        "an acknowledgement is refused: not_json: an object is expected",
        "an acknowledgement is refused: future: 11 is beyond 10, the last that was published",
        "no acknowledgement for 0.05 s; publishing again",
    ]


def test_a_live_reading_is_not_doubled_while_its_acknowledgement_is_on_the_way() -> None:
    log = Log()
    limits = replace(BY_APPLICATION, ack_timeout_s=5.0)

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        while not outbox.connected:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0)
        outbox.offer(reading(1))
        await port.until(2)
        log.add([reading(1), reading(2)])
        outbox.log_grew()
        await port.until(3)
        body = orjson.loads(port.published[2].payload)
        assert [item["n"] for item in body["readings"]] == [2]
        port.incoming.put_nowait(Message(TOPICS.acks.replace("+", "sl-1"), ack(cumulative=2)))
        await log.until(2)

    deliver(log, story, limits)


class Consumer:
    """A data platform with a disk of its own: what it answers for, it has."""

    def __init__(self, broker: Broker) -> None:
        self.counts: Counter[int] = Counter()
        self.gaps: set[tuple[int, int | None]] = set()
        self.came = asyncio.Event()
        self.deaf = False
        self._broker = broker

    async def listen(self) -> None:
        """Subscribe, and again whenever the broker comes back; messages are taken while deaf.

        Through the gateway's port: the library alone leaves a future and a bad socket to the loop
        where a broker is killed under it.
        """
        topics = [f"kerbline/gw-1/+/{what}" for what in ("readings", "gap")]
        port = MqttPort(BrokerAddress("127.0.0.1", self._broker.port, "platform"), topics)
        try:
            while True:
                with contextlib.suppress(NotConnected):
                    await port.connect()
                    while True:
                        message = await port.receive()
                        if not self.deaf:
                            await self._take(port, orjson.loads(message.payload))
                await asyncio.sleep(0.02)
        finally:
            await port.close()

    async def _take(self, port: MqttPort, body: dict[str, object]) -> None:
        told = {"source": body["source"], "epoch": body["epoch"]}
        readings = body.get("readings")
        if isinstance(readings, list):
            self.counts.update(item["n"] for item in readings)
            told["ranges"] = [[item["n"], item["n"]] for item in readings]
        else:
            first, last = body["first"], body["last"]
            assert isinstance(first, int)
            self.gaps.add((first, last if isinstance(last, int) else None))
            told["gaps"] = [[first, last]]
        await port.publish(Message(f"kerbline/gw-1/{body['source']}/ack", orjson.dumps(told)))
        self.came.set()


@each_broker
def test_a_broker_that_acknowledges_and_loses_its_disk_loses_nothing(
    kind: BrokerKind, tmp_path: Path
) -> None:
    total = 2_000
    store = Store.open(tmp_path / "kerbline.db")
    for start in range(1, total, 100):
        store.append([reading(n) for n in range(start, start + 100)], T0_MS)
    store.append([Gap("sl-1", EPOCH, total + 1, None, "log_lost", T0_MS)], T0_MS)

    async def story(broker: Broker) -> None:
        consumer = Consumer(broker)
        group = GroupCommit(store, GroupPolicy(1, 0.05), lambda: T0_MS)
        limits = OutboxLimits(
            backoff_min_s=0.02, backoff_max_s=0.2, read_entries=300, ack_timeout_s=0.3
        )
        port = port_to(broker, [BROKER_TOPICS.commands, BROKER_TOPICS.acks])
        outbox = Outbox(
            "mqtt",
            port,
            group,
            BROKER_MAPPER,
            cursor=store.open_cursor("mqtt"),
            utc_ms=lambda: T0_MS,
            random=random.Random(2).random,
            limits=limits,
        )
        tasks = [
            asyncio.create_task(each) for each in (group.run(), consumer.listen(), outbox.run())
        ]
        for life in range(4):
            consumer.deaf = True  # the broker takes messages that nobody gets
            await asyncio.sleep(0.1)
            assert outbox.cursor < store.head
            await broker.kill()
            broker.forget()
            await broker.start()
            consumer.deaf = False
            while len(consumer.counts) < (life + 1) * total // 5:
                consumer.came.clear()
                await consumer.came.wait()
        while outbox.cursor < store.head:
            consumer.came.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await consumer.came.wait()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks[1:])
        await outbox.close()
        group.stop()
        await tasks[0]
        await group.close()
        assert set(consumer.counts) == set(range(1, total + 1))
        assert consumer.gaps == {(total + 1, None)}

    assert with_broker(kind, tmp_path, story, limit_s=300) == []
