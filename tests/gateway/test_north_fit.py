"""A broker that takes no long messages gets short ones, whether it says so or hangs up."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from kerbline.north.fit import AROUND_BYTES, LEAST_BYTES, LOSSES, MESSAGE_BYTES, Fit
from kerbline.north.mapping import Mapper
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.outbox import Outbox
from kerbline.north.port import Message, NotConnected
from kerbline.sim.broker import Broker, BrokerKind
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.samples import T0_MS, reading
from tests.gateway.test_north_brokers import QUICK, TOPICS, City, here, with_broker

READINGS = 1_000
LIMIT_BYTES = 20_000
LIMITS = {
    "said": (BrokerKind.MOSQUITTO, f"max_packet_size {LIMIT_BYTES}\n"),
    "mosquitto": (BrokerKind.MOSQUITTO, f"message_size_limit {LIMIT_BYTES}\n"),
    "nats": (BrokerKind.NATS, f"max_payload: {LIMIT_BYTES}\n"),
}


@pytest.mark.parametrize(
    "limit", [pytest.param(each, marks=here(LIMITS[each][0]).marks) for each in LIMITS]
)
def test_a_backlog_gets_to_a_broker_that_takes_no_long_messages(
    limit: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind, more = LIMITS[limit]
    store = Store.open(tmp_path / "kerbline.db")
    store.append([reading(n) for n in range(1, READINGS + 1)], T0_MS)

    async def story(broker: Broker) -> None:
        city, mapper = City(broker), Mapper(TOPICS)
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        outbox = Outbox(
            "mqtt",
            MqttPort(BrokerAddress("127.0.0.1", broker.port, "gw-1"), [], fit=mapper.fit),
            group,
            mapper,
            cursor=store.open_cursor("mqtt"),
            utc_ms=lambda: T0_MS,
            random=random.Random(2).random,
            limits=QUICK,
        )
        listening = asyncio.create_task(city.listen())
        await city.subscribed.wait()
        running = asyncio.create_task(outbox.run())
        await city.until(READINGS)
        for task in (running, listening):
            task.cancel()
        await asyncio.wait((running, listening))
        await outbox.close()
        await group.close()
        assert set(city.counts.values()) == {1}

    assert with_broker(kind, tmp_path, story, 60, more) == []
    halved = [text for text in caplog.messages if "never acknowledged" in text]
    assert len(halved) == (0 if limit == "said" else 2)


@pytest.mark.parametrize("kind", [here(BrokerKind.MOSQUITTO)])
def test_a_broker_that_refuses_what_we_may_not_say_is_sent_no_shorter_messages(
    kind: BrokerKind, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic read #\n")

    async def story(broker: Broker) -> None:
        fit = Fit()
        port = MqttPort(BrokerAddress("127.0.0.1", broker.port, "gw-1"), [], fit=fit)
        for _ in range(3 * LOSSES):
            await port.connect()
            with pytest.raises(NotConnected, match="Not authorized"):
                await port.publish(*[Message("kerbline/gw-1/sl-1/readings", b"x" * 30_000)] * 90)
            await port.close()  # while refusals of the others are on their way
        assert fit.most_bytes == MESSAGE_BYTES

    assert with_broker(kind, tmp_path, story, 60, f"acl_file {tmp_path / 'acl'}\n") == []


@pytest.mark.parametrize("kind", [here(BrokerKind.MOSQUITTO)])
def test_a_line_too_slow_for_long_messages_gets_short_ones(
    kind: BrokerKind, tmp_path: Path
) -> None:
    async def story(broker: Broker) -> None:
        fit = Fit()
        address, child = BrokerAddress("127.0.0.1", broker.port, "gw-1"), broker._child
        assert child is not None
        port = MqttPort(address, [], ack_timeout_s=0.1, fit=fit)
        for _ in range(LOSSES):
            assert fit.most_bytes == MESSAGE_BYTES
            await port.connect()
            child.process.send_signal(signal.SIGSTOP)
            with pytest.raises(NotConnected, match="no acknowledgement"):
                await port.publish(*[Message("kerbline/gw-1/sl-1/readings", b"x" * 30_000)] * 2)
            await port.close()  # or what it answers when it goes on would count as taken
            child.process.send_signal(signal.SIGCONT)
        assert fit.most_bytes == 15_000

    assert with_broker(kind, tmp_path, story, 60) == []


def test_what_a_broker_says_counts_as_long_as_it_says_so() -> None:
    fit = Fit()
    fit.told(5_000)
    assert fit.most_bytes == 5_000 - AROUND_BYTES
    fit.told(100)
    assert fit.most_bytes == 0
    fit.told(None)
    assert fit.most_bytes == MESSAGE_BYTES
    fit.told(1 << 28)
    assert fit.most_bytes == MESSAGE_BYTES


def test_outages_shorten_nothing_that_was_acknowledged_before() -> None:
    fit = Fit()
    fit.taken(60_000)
    for _ in range(9):
        fit.lost([100, 60_000])
    assert fit.most_bytes == MESSAGE_BYTES
    fit.lost([60_001])
    fit.taken(60_002)
    fit.lost([60_003])
    assert fit.most_bytes == MESSAGE_BYTES, "not in a row"
    for _ in range(99):
        fit.lost([70_000])
    assert fit.most_bytes == 60_002


def test_there_is_an_end_to_it() -> None:
    fit = Fit()
    for _ in range(99):
        fit.lost([])
        fit.lost([LEAST_BYTES])
    assert fit.most_bytes == MESSAGE_BYTES
    for _ in range(99):
        fit.lost([fit.most_bytes, 1])
    assert fit.most_bytes == LEAST_BYTES
