"""Delivery: what entries look like to the city, and that all of them get there."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import orjson
import pytest

from kerbline.model import CommandResult, CommandState, Entry, Key, NodeState
from kerbline.north.backoff import Backoff
from kerbline.north.dialect import Outgoing
from kerbline.north.fit import MESSAGE_BYTES
from kerbline.north.mapping import READINGS_PER_MESSAGE, Mapper, rfc3339
from kerbline.north.outbox import Outbox, OutboxLimits
from kerbline.north.port import Message
from kerbline.north.topics import MAX_LEVELS, Topics
from kerbline.north.window import LEAST
from kerbline.sim import virtual_time
from kerbline.store import Batch, Committed
from tests.gateway.memory_port import MemoryPort
from tests.gateway.samples import EPOCH, T0_MS, alarm, gap, reading

TOPICS = Topics("city/kerbline", "gw-1")
MAPPER = Mapper(TOPICS)
QUICK = OutboxLimits(backoff_min_s=0.001, backoff_max_s=0.002)


def body(outgoing: Outgoing) -> dict[str, object]:
    payload: dict[str, object] = orjson.loads(outgoing.message.payload)
    return payload


def test_readings_of_one_source_share_a_message_with_their_keys() -> None:
    first, second = MAPPER.outgoing([reading(1), reading(9, "sl-2"), reading(2)])
    assert first.message.topic == "city/kerbline/gw-1/sl-1/readings"
    assert (first.log, list(first.marks)) == (("sl-1", EPOCH), [1, 2])
    assert second.message.topic == "city/kerbline/gw-1/sl-2/readings"
    payload = body(first)
    readings = payload.pop("readings")
    assert payload == {"source": "sl-1", "asset": "of-sl-1", "epoch": 7, "first": 1, "last": 2}
    assert isinstance(readings, list)
    assert readings[0] == {
        "n": 1,
        "kind": "streetlight",
        "observed_at": "2026-09-21T14:13:20.001Z",
        "uncertainty_ms": 50,
        "values": dict(reading(1).values),
        "quality": [],
    }


def test_a_message_is_bounded_and_never_mixes_epochs() -> None:
    many = [reading(n) for n in range(1, 421)]
    other = replace(many[0], key=Key("sl-1", EPOCH + 1, 1))
    sizes = [len(outgoing.marks) for outgoing in MAPPER.outgoing([*many, other])]
    assert sizes == [READINGS_PER_MESSAGE, READINGS_PER_MESSAGE, 20, 1]


def test_long_readings_share_a_message_up_to_its_bytes_and_one_longer_goes_alone() -> None:
    wide = {f"register_{n}": n for n in range(900)}
    long = [replace(reading(n), values=wide) for n in range(1, 9)]
    huge = replace(reading(9), values={f"register_{n}": n for n in range(5_000)})
    made = MAPPER.outgoing([*long, huge, reading(10)])
    assert [mark for outgoing in made for mark in outgoing.marks] == list(range(1, 11))
    assert [list(outgoing.marks) for outgoing in made[-2:]] == [[9], [10]]
    assert all(len(outgoing.marks) > 1 for outgoing in made[:-3])
    sizes = [len(outgoing.message.payload) for outgoing in made if outgoing is not made[-2]]
    assert max(sizes) <= MESSAGE_BYTES + 200 < len(made[-2].message.payload)


def test_gaps_alarms_and_results_have_topics_of_their_own() -> None:
    lost, found = MAPPER.outgoing([gap(3, None, "log_lost"), alarm(4)])
    assert lost.message.topic == "city/kerbline/gw-1/sl-1/gap"
    assert body(lost)["last"] is None
    assert found.message.topic == "city/kerbline/gw-1/meter-2/alarm"
    assert (body(found)["rule"], found.log, found.marks) == ("continuous_flow", ("gw-1", 1), (4,))
    result = MAPPER.result(CommandResult("a1", "lamp-1", CommandState.OK, "", T0_MS))
    assert result.message.topic == "city/kerbline/gw-1/lamp-1/result"
    assert MAPPER.status("offline", None).retained


def test_any_name_makes_a_sound_topic() -> None:
    topic = Topics("a/b/c", "gw 1").readings("we.ird/$+#\u00e9")
    assert topic.count("/") < MAX_LEVELS
    assert not set(topic) & set(" .$+#\u00e9")
    assert Topics("kerbline", "gw-1").commanded("kerbline/gw-1/a/b/command") is None


@pytest.mark.parametrize("ms", [0, 1, 999, 1_000, T0_MS, T0_MS + 7])
def test_times_are_rfc_3339_in_milliseconds(ms: int) -> None:
    assert len(rfc3339(ms)) == len("2026-01-31T12:00:00.000Z")
    assert rfc3339(ms).endswith(f".{ms % 1000:03d}Z")


@pytest.mark.parametrize("ms", [-(1 << 70), -1, 1 << 53, 1 << 70])
def test_a_time_that_no_calendar_has_never_stops_the_outbox(ms: int) -> None:
    assert rfc3339(ms) in ("1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")


def test_back_off_is_full_jitter_under_a_doubling_ceiling() -> None:
    backoff = Backoff(1, 10, lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 8, 10]
    backoff.reset()
    assert backoff.next_s() == 1
    assert Backoff(1, 10, lambda: 0.0).next_s() == 0


class Log:
    """A durable log in memory."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.batches: list[Batch] = []
        self.cursors: list[int] = []
        self.saved = asyncio.Event()
        self.read_seqs: list[int] = []
        self.add(entries)

    def add(self, entries: Iterable[Entry]) -> None:
        """Commit entries, one a batch."""
        for entry in entries:
            self.batches.append(Batch.made(len(self.batches) + 1, T0_MS, [entry]))

    async def read(self, after: int, limit: int, sink: str = "") -> Sequence[Batch]:
        """The next batches."""
        assert sink == "mqtt"
        await asyncio.sleep(0)
        batches = self.batches[after : after + limit]
        self.read_seqs += [batch.seq for batch in batches]
        return batches

    def save_cursor(self, sink: str, seq: int) -> None:
        """Remember it."""
        assert sink == "mqtt"
        self.cursors.append(seq)
        self.saved.set()

    async def until(self, seq: int) -> None:
        """Wait until the cursor is there."""
        while self.cursors[-1:] != [seq]:
            self.saved.clear()
            await self.saved.wait()


def deliver(
    log: Log,
    story: Callable[[Outbox, MemoryPort], Awaitable[None]],
    limits: OutboxLimits = QUICK,
) -> MemoryPort:
    """Tell `story` with a running outbox; the broker afterwards."""

    async def scene() -> MemoryPort:
        port, chance = MemoryPort(), random.Random(1)
        outbox = Outbox(
            "mqtt",
            port,
            log,
            MAPPER,
            cursor=0,
            utc_ms=lambda: T0_MS,
            random=chance.random,
            limits=limits,
        )
        running = asyncio.create_task(outbox.run())
        async with asyncio.timeout(5):
            await story(outbox, port)
        running.cancel()
        await asyncio.wait([running])
        await outbox.close()
        return port

    return virtual_time.run(scene())


def arrived(messages: Iterable[Message]) -> Counter[int]:
    """How often each record number of sl-1 was published."""
    return Counter(
        item["n"]
        for message in messages
        if message.topic.endswith("sl-1/readings")
        for item in orjson.loads(message.payload)["readings"]
    )


def states(port: MemoryPort) -> list[str]:
    """What the gateway said of itself."""
    return [
        orjson.loads(message.payload)["state"]
        for message in port.published
        if message.topic == TOPICS.status
    ]


def test_the_log_is_delivered_in_packed_messages_and_the_cursor_follows() -> None:
    log = Log(reading(n) for n in range(1, 1001))

    async def story(_outbox: Outbox, port: MemoryPort) -> None:
        await log.until(1000)
        assert port.most_in_flight <= QUICK.window

    port = deliver(log, story)
    assert arrived(port.published) == Counter(range(1, 1001))
    assert len(port.published) == 1000 / READINGS_PER_MESSAGE + 2
    assert states(port) == ["online", "offline"]


def test_what_the_live_lane_delivered_is_not_sent_again() -> None:
    log = Log()

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        await port.until(1)
        outbox.offer(reading(1))
        log.add([reading(1), reading(2)])  # the live one is still on its way
        outbox.log_grew()
        await log.until(2)

    assert arrived(deliver(log, story).published) == Counter([1, 2])


def test_a_commit_that_the_live_lane_delivered_whole_is_not_read() -> None:
    log = Log()

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        await port.until(1)
        for number in range(1, 7):
            if number != 4:  # for that there was no room in the live lane
                outbox.offer(reading(number))
            log.add([reading(number)])
            outbox.log_grew(Committed(number, (reading(number),), ()))
            await log.until(number)

    assert arrived(deliver(log, story).published) == Counter(range(1, 7))
    assert log.cursors[-1] == 6
    assert set(log.read_seqs) <= {1, 4}  # the first perhaps, as the connection is new


HELD = replace(QUICK, hold_s=2.0)


def test_where_the_last_counts_for_the_newest_what_is_live_waits_for_a_backlog() -> None:
    log = Log(reading(n) for n in range(1, 1001))

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        await port.until(2)  # of the backlog's five
        for number in (1001, 1002):
            outbox.offer(reading(number))
        log.add([reading(1001)])  # committed before it went: it goes by the log, once
        outbox.log_grew()
        await log.until(1001)
        await asyncio.sleep(0.1)
        assert arrived(port.published) == Counter(range(1, 1003))
        outbox.offer(reading(1003))
        await asyncio.sleep(0.01)

    numbers = list(arrived(deliver(log, story, HELD).published).elements())
    assert numbers == list(range(1, 1004))


def test_what_is_live_waits_no_longer_than_that() -> None:
    log = Log([reading(1)])

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        port.slow[TOPICS.readings("sl-1")] = asyncio.Event()  # a backlog that takes for ever
        await port.until(2)
        outbox.offer(alarm(2))
        await asyncio.sleep(1.9)
        assert len(port.published) == 2
        await asyncio.sleep(0.2)
        assert port.published[-1].topic.endswith("/alarm")

    deliver(log, story, HELD)


def test_without_a_connection_the_live_lane_takes_nothing() -> None:
    log = Log()

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        port.die()
        outbox.offer(reading(1))
        await port.until(3)
        outbox.offer(reading(1))
        port.up = True
        log.add([reading(1)])
        outbox.log_grew()
        await log.until(1)

    assert arrived(deliver(log, story).published) == Counter([1])


def test_an_unacknowledged_batch_is_sent_again_and_the_cursor_waits() -> None:
    log = Log(reading(n) for n in range(1, 101))

    async def story(_outbox: Outbox, port: MemoryPort) -> None:
        port.acking = False
        await port.until(1)
        port.die()  # the status message of the first connection was in flight
        port.acking = True
        port.up = True
        await port.until(3)
        await log.until(100)

    counts = arrived(deliver(log, story).published)
    assert set(counts) == set(range(1, 101))
    assert log.cursors == [100]


def test_a_dying_broker_costs_repeats_at_most() -> None:
    log = Log(reading(n) for n in range(1, 12_001))
    limits = replace(QUICK, read_entries=300)

    async def story(_outbox: Outbox, port: MemoryPort) -> None:
        for count in (5, 20, 40, 41, 60):
            await port.until(count)
            port.die()
            port.up = True
        await log.until(12_000)

    counts = arrived(deliver(log, story, limits).published)
    assert set(counts) == set(range(1, 12_001))
    assert counts.total() - 12_000 <= 5 * LEAST * READINGS_PER_MESSAGE, "what was under way"
    assert log.cursors == sorted(log.cursors)


def test_results_wait_for_the_broker_in_order_and_commands_come_in() -> None:
    log = Log()

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        port.die()
        for name in ("a", "b", "c"):
            outbox.tell(CommandResult(name, "lamp-1", CommandState.OK, "", T0_MS))
        port.up = True
        await port.until(4)
        order = Message(f"{TOPICS.status}/x", b"{}")
        port.incoming.put_nowait(order)
        assert await outbox.received() == order

    port = deliver(log, story)
    results = [m for m in port.published if m.topic == TOPICS.result("lamp-1")]
    assert [orjson.loads(result.payload)["id"] for result in results] == ["a", "b", "c"]


def test_the_newest_state_of_a_node_is_retained_and_told_to_each_connection() -> None:
    log = Log()
    away = NodeState("sl-1", "lamp-1", "streetlight", online=False, since_ms=None)
    there = replace(away, online=True, since_ms=T0_MS, firmware="1.2.3", board="a", build="00ff")

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        outbox.show(away)
        await port.until(2)
        outbox.show(there)
        outbox.show(there)  # no news
        outbox.tell(CommandResult("a", "lamp-1", CommandState.OK, "", T0_MS))
        await port.until(4)
        port.die()
        port.up = True
        await port.until(6)

    shown = [m for m in deliver(log, story).published if m.topic == TOPICS.state("sl-1")]
    assert all(message.retained for message in shown)
    told = [orjson.loads(message.payload) for message in shown]
    assert [each["state"] for each in told] == ["offline", "online", "online"]
    assert told[0]["since"] is told[0]["firmware"] is told[0]["board"] is told[0]["build"] is None
    assert told[2] == told[1]
    assert told[1] == {
        "source": "sl-1",
        "asset": "lamp-1",
        "kind": "streetlight",
        "state": "online",
        "since": rfc3339(T0_MS),
        "firmware": "1.2.3",
        "board": "a",
        "build": "00ff",
    }


def test_a_flood_of_live_entries_is_bounded_and_the_log_has_the_rest() -> None:
    log = Log()
    limits = replace(QUICK, live_entries=10)

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        await port.until(1)
        for n in range(1, 101):
            outbox.offer(reading(n))
        log.add(reading(n) for n in range(1, 101))
        outbox.log_grew()
        await log.until(100)

    assert arrived(deliver(log, story, limits).published) == Counter(range(1, 101))
