"""A backlog's way north: as text from the log to the message, and behind what is live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.model import ANCHOR_KIND, Alarm, Entry, Gap, Key, Reading, Severity
from kerbline.north.cbor import Cbor
from kerbline.north.dialect import Outgoing
from kerbline.north.live import Live
from kerbline.north.mapping import Mapper, rfc3339
from kerbline.north.outbox import Outbox
from kerbline.north.texts import FIRST_BYTES
from kerbline.north.topics import Topics
from kerbline.north.window import LEAST, Window
from kerbline.store import Batch
from kerbline.store.entries import packed, written
from kerbline.store.schema import sealed
from tests.gateway.memory_port import MemoryPort
from tests.gateway.samples import T0_MS, gap, reading
from tests.gateway.test_north import QUICK, TOPICS, Log, deliver

MAPPERS = (Mapper(Topics("kerbline", "gw-1")), Mapper(Topics("kerbline", "gw-1"), Cbor()))
# Texts that look like what stands around them.
TRAPS = ['},{"type":"', '"quality":[]', ',"values":{}', "\\", '\\"', "\n", "\x00", "}]", "é\u2028"]
TEXTS = st.lists(st.sampled_from(TRAPS) | st.text(max_size=4), max_size=3).map("".join)
WHOLE = st.integers(0, (1 << 63) - 1)
VALUES = st.dictionaries(
    TEXTS | st.sampled_from(["type", "quality", "received_at_ms"]),
    st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.booleans()
    | TEXTS
    | st.tuples(st.integers(0, 9), st.floats(allow_nan=False, allow_infinity=False)),
    max_size=4,
)
KEYS = st.builds(Key, TEXTS, WHOLE, WHOLE)
TIMES = st.integers(T0_MS, T0_MS + 10_000_000) | st.integers(-(1 << 63), (1 << 63) - 1)
READINGS = st.builds(
    Reading,
    KEYS,
    TEXTS,
    TEXTS,
    TIMES,
    WHOLE,
    VALUES,
    st.lists(TEXTS, max_size=2).map(tuple),
    WHOLE,
)
GAPS = st.builds(Gap, TEXTS, WHOLE, WHOLE, WHOLE | st.none(), TEXTS, TIMES)
ALARMS = st.builds(
    Alarm, KEYS, TEXTS, TEXTS, st.booleans(), st.sampled_from(Severity), TIMES, VALUES
)
ENTRIES = st.lists(READINGS | GAPS | ALARMS, min_size=1, max_size=6)


def filled(mapper: Mapper, batch: Batch) -> list[Outgoing]:
    """What a backlog of one batch goes out as."""
    chunk = mapper.chunk()
    for _ in chunk.fill(batch):
        pass
    return list(chunk.outgoing())


def row(entries: list[Entry]) -> Batch:
    """Entries as they come back from the log."""
    return Batch.read(*sealed(1, T0_MS, len(entries), packed(entries)))


@given(ENTRIES)
def test_what_comes_from_the_log_and_what_is_live_are_the_same_bytes(entries: list[Entry]) -> None:
    for mapper in MAPPERS:
        assert filled(mapper, row(entries)) == mapper.outgoing(entries)


@given(READINGS)
def test_a_message_says_what_the_reading_says(one: Reading) -> None:
    said = {
        "source": one.key.source,
        "asset": one.asset,
        "epoch": one.key.epoch,
        "first": one.key.number,
        "last": one.key.number,
        "readings": [
            {
                "n": one.key.number,
                "kind": one.kind,
                "observed_at": rfc3339(one.observed_at_ms),
                "uncertainty_ms": one.uncertainty_ms,
                "values": one.values,
                "quality": one.quality,
            }
        ],
    }
    as_json, as_cbor = [mapper.outgoing([one]) for mapper in MAPPERS]
    if one.kind == ANCHOR_KIND:
        assert as_json == as_cbor == []
        return
    assert as_json[0].message.payload == orjson.dumps(said)
    assert cbor2.loads(as_cbor[0].message.payload) == orjson.loads(orjson.dumps(said))
    assert as_json[0].log == (one.key.source, one.key.epoch)
    assert list(as_json[0].marks) == [one.key.number]


@given(ENTRIES)
def test_a_batch_falls_apart_between_its_entries_only(entries: list[Entry]) -> None:
    batch = row(entries * 30)
    pieces = list(batch.pieces())
    assert b"[" + b",".join([text for piece in pieces for text in piece]) + b"]" == batch.body
    assert len(batch) == len(entries) * 30
    assert [written([entry])[1:-1] for entry in entries] == [
        text for piece in row(entries).pieces() for text in piece
    ]


def test_a_long_batch_comes_in_small_pieces() -> None:
    assert max(map(len, row([reading(n) for n in range(1, 501)]).pieces())) < 60


def bodies() -> Iterator[bytes]:
    """Batches that nobody of ours wrote, though their checksums hold."""
    good = written([reading(1)])
    yield b""
    yield b"["
    yield b"[1]"
    yield b"nonsense"
    yield good[:-9]
    yield good.replace(b'"number"', b'"nummer"')
    yield good.replace(b'"number":1', b'"number":1.5')
    yield good.replace(b'"type":"reading"', b'"type":"dream"')
    yield good.replace(b"sl-1", b"\xff")
    yield written([gap(1, 2)]).replace(b'"declared_at_ms":', b'"declared_at_ms":[],"was":')
    yield written([gap(1, 2)]).replace(b'"reason"', b'"treason"')


@pytest.mark.parametrize("body", list(bodies()))
def test_what_cannot_be_read_of_a_batch_is_a_gap_of_the_store(body: bytes) -> None:
    (lost,) = filled(MAPPERS[0], Batch(7, T0_MS, body))
    assert (lost.log, lost.marks) == (("store", 0), ((7, 7),))


@pytest.mark.parametrize(
    ("mapper", "right", "wrong"),
    [
        (MAPPERS[0], b'"number":2', b'"number":9223372036854775808'),
        (MAPPERS[1], b'"number":2', b'"number":9223372036854775808'),
        (MAPPERS[1], b'"level_pct":', b'"level_pct"?'),  # JSON goes as it is
    ],
)
def test_what_cannot_be_read_spoils_nothing_beside_it(
    mapper: Mapper, right: bytes, wrong: bytes
) -> None:
    body = written([reading(n) for n in range(1, 4)])
    at = body.index(b'"number":2')
    bad = body[:at] + body[at:].replace(right, wrong, 1)
    chunk = mapper.chunk()
    for batch in (Batch(1, T0_MS, bad), Batch.made(2, T0_MS, [reading(4), reading(5)])):
        for _ in chunk.fill(batch):
            pass
    *_, told = chunk.outgoing()
    numbers = [item["n"] for item in _tree(mapper, told)["readings"]]
    assert numbers == list(told.marks)
    assert numbers[-2:] == [4, 5]


def _tree(mapper: Mapper, told: Outgoing) -> Any:
    return (orjson if mapper is MAPPERS[0] else cbor2).loads(told.message.payload)


def test_a_chunk_of_many_bytes_says_the_same() -> None:
    long = {f"register_{n}": "x" * 1_000 for n in range(100)}
    entries = [replace(reading(n, f"sl-{n % 3}"), values=long) for n in range(1, 31)]
    assert sum(len(written([entry])) for entry in entries) > 2 * FIRST_BYTES
    chunk = MAPPERS[0].chunk()
    for n, entry in enumerate(entries):
        for _ in chunk.fill(Batch.made(n, T0_MS, [entry])):
            pass
    told = {mark: each for each in chunk.outgoing() for mark in each.marks}
    for entry in entries:
        assert told[entry.key.number] == MAPPERS[0].outgoing([entry])[0]


def test_long_entries_are_fewer_on_their_way() -> None:
    log = Log(reading(n) for n in range(1, 101))
    limits = replace(QUICK, read_entries=10, chunk_bytes=20 * len(log.batches[0].body))

    async def story(_outbox: Outbox, _port: MemoryPort) -> None:
        await log.until(100)

    deliver(log, story, limits)
    assert log.cursors == [20, 40, 60, 80, 100]


def test_a_batch_that_another_hand_wrote_is_as_good() -> None:
    entries: list[Entry] = [reading(1), gap(2, 3), reading(4)]
    spaced = json.dumps(json.loads(written(entries)), indent=1).encode()
    assert filled(MAPPERS[0], Batch(1, T0_MS, spaced)) == MAPPERS[0].outgoing(entries)


def test_a_backlog_stands_still_while_something_live_is_on_its_way() -> None:
    log = Log(reading(n, f"sl-{n % 40}") for n in range(1, 4_001))
    arrived = asyncio.Event()

    async def story(outbox: Outbox, port: MemoryPort) -> None:
        port.slow[TOPICS.readings("live")] = arrived
        await port.until(10)
        before = len(port.published)
        assert before < 30
        outbox.offer(reading(1, "live"))
        for _ in range(100):
            await asyncio.sleep(0)
        topics = [message.topic for message in port.published]
        assert TOPICS.readings("live") in topics
        assert len(topics) - 1 - before <= LEAST
        arrived.set()
        await log.until(4_000)
        assert len(port.published) == 1 + 40 + 1

    deliver(log, story, replace(QUICK, patience_s=60.0))


def test_a_backlog_waits_for_what_is_live_but_not_for_ever() -> None:
    async def scene() -> None:
        lane = Live(10, 10)
        lane.open()
        await lane.quiet()
        lane.offer(reading(1))
        waiting = asyncio.create_task(lane.quiet())
        await asyncio.sleep(0)
        assert not waiting.done()
        lane.acknowledge(("sl-1", 7), (1,))
        await waiting
        lane.offer(reading(2))
        async with asyncio.timeout(60):
            await lane.quiet()  # nobody acknowledges

    asyncio.run(scene())


@pytest.mark.parametrize(("took_s", "room"), [(0.0001, LEAST), (0.002, 5), (0.1, 12), (5.0, 12)])
def test_a_window_is_as_wide_as_the_way_is_long(took_s: float, room: int) -> None:
    async def scene() -> None:
        window = Window(12)
        for longer in (3.0, 1.0, 2.0):
            await window.enter()
            window.leave(took_s * longer)
        for _ in range(room):
            await window.enter()
        one_more = asyncio.create_task(window.enter())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not one_more.done()
        window.leave(took_s)
        await one_more

    asyncio.run(scene())


def test_a_row_whose_time_is_no_number_is_declared_lost() -> None:
    body = packed([reading(1)])
    (lost,) = filled(MAPPERS[0], Batch.read(3, "soon", 1, body, 5))
    assert (lost.log, lost.marks) == (("store", 0), ((3, 3),))
