"""BATCH: records packed by columns, decoded alone or against a base, seen together."""

from kerbwire import bases, batch, columns, unpacking
from kerbwire import messages as m
from kerbwire.errors import LocalError, RemoteError
from kerbwire.fields import Field
from kerbwire.limits import (
    BATCH_BASES,
    BATCH_RECORDS,
    BODY_BYTES,
    DELTA_REACH,
    FRAME_BYTES,
    STREAM,
    TAG_BYTES,
)
from kerbwire.schema import (
    AIR_QUALITY,
    OLDER,
    SCHEMAS,
    STREETLIGHT,
    WATER_METER,
    Schema,
    by_name,
)
from wire.pair import Pair, Random, drained, frames, up_pair
from wire.vectors import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kerbwire.report import Record


def _info(schema: "Schema", period_s: int = 900) -> m.Info:
    info = m.Info(schema.hash, 9, 77, 1)
    info.period_s = period_s
    return info


def _record(given: "list[Any]") -> "Record":
    return given[0], given[1], given[2], tuple(given[3])


def _held(*records: "Record") -> bases.Bases:
    held = bases.Bases()
    for record in records:
        held.add_last(record)
    return held


def _light(rseq: int, boot: int = 1) -> "Record":
    lit = rseq // 5 % 2
    values = (40 * lit, lit * (240 + rseq % 5), 1000 + 6 * rseq, 9 + rseq // 4, 12, 1, 900 * rseq)
    return rseq, boot, 900 * rseq, values


def _schema(case: "dict[str, Any]") -> "Schema":
    """The one that is named, or a class of the case's own."""
    if "fields" in case:
        rows = case["fields"]
        return Schema(
            9, case["schema"], 2, tuple([Field(*f[:3], tuple(f[3:6]), f[6]) for f in rows])
        )
    schema = by_name(case["schema"])
    assert schema is not None
    return schema


def test_the_vectors_of_packed_columns() -> None:
    for case in load("batch")["batches"]:
        schema = _schema(case)
        info = _info(schema, case["period_s"])
        records = [_record(given) for given in case["records"]]
        base = None if case["base"] is None else _record(case["base"])
        held = _held() if base is None else _held(base)
        assert unpacking.decode(bytes.fromhex(case["packed"]), held, info, schema) == records
        ours = batch.encode(records, base, schema, info)
        assert unpacking.decode(ours[1:], held, info, schema) == records
        assert len(ours) <= 1 + len(case["packed"]) // 2, case["name"]


def test_whatever_the_numbers_they_come_back() -> None:
    random = Random(4)
    for turn in range(120):
        schema = SCHEMAS[turn % 3]
        width = (3, 12, 40, 61)[turn % 4]
        records = []
        uptime_s = random.below(1 << 20)
        for number in range(1 + random.below(BATCH_RECORDS)):
            values = [random.word() << 32 | random.word() for _ in range(schema.width)]
            values = [(value & (1 << width) - 1) - (1 << width - 1) for value in values]
            if turn % 5 == 0:
                values = [value if random.chance(10) else 0 for value in values]
            uptime_s += random.below(1800)
            records.append((100 + number, 9, uptime_s, tuple(values)))
        base = records.pop(0) if len(records) > 1 and turn % 2 else None
        held = _held() if base is None else _held(base)
        info = _info(schema)
        try:
            body = batch.encode(records, base, schema, info)
        except LocalError:
            assert width > 40  # products of such numbers: such records go whole
            continue
        assert unpacking.decode(body[1:], held, info, schema) == records


def test_every_cut_and_every_bit_of_a_batch_is_borne() -> None:
    schema = AIR_QUALITY
    records = [
        (5 + n, 9, 600 * n, (60 + n % 7, 90, 150, 400 + n, 180, 1, 2, 3, 0)) for n in range(9)
    ]
    info = _info(schema, 600)
    body = batch.encode(records, None, schema, info)[1:]
    for cut in range(len(body)):
        try:
            unpacking.decode(body[:cut], _held(), info, schema)
            raise AssertionError("a cut batch was taken")
        except RemoteError as fault:
            assert fault.code == "value"
    for bit in range(8 * len(body)):
        twisted = bytearray(body)
        twisted[bit // 8] ^= 0x80 >> bit % 8
        try:
            assert len(unpacking.decode(bytes(twisted), _held(), info, schema)) <= BATCH_RECORDS
        except RemoteError as fault:
            assert fault.code in ("value", "base", "schema")


def test_a_batch_of_another_schema_names_it() -> None:
    record = _light(3, 9)
    info = _info(WATER_METER)
    body = batch.encode([record], None, STREETLIGHT, _info(STREETLIGHT))
    bits = int.from_bytes(b"\x01" + body[1:], "big")
    width = 8 * len(body[1:])
    rest = bits & (1 << width - 1) - 1  # behind the flag
    for named, schema, expected in (
        (STREETLIGHT, STREETLIGHT, None),
        (STREETLIGHT, WATER_METER, "schema"),
        (OLDER[0], STREETLIGHT, "schema"),  # version 1 foretells nothing
    ):
        hashed = 1 << 64 | int.from_bytes(named.hash, "big")
        packed = ((hashed << width - 1 | rest) << 0).to_bytes((width + 64) // 8, "big")
        try:
            assert unpacking.decode(packed, _held(), info, schema) == [record] and not expected
        except RemoteError as fault:
            assert fault.code == expected


def test_the_longest_body_fits_a_frame() -> None:
    assert BODY_BYTES + 4 + TAG_BYTES == FRAME_BYTES
    assert columns.log2(0) == -1 and columns.log2(1 << 40) == 40
    pair = up_pair()
    random = Random(8)
    left = [
        (number, 1, 900 * number, tuple([random.below(5000) for _ in range(7)]))
        for number in range(1, 121)
    ]
    sent = 0
    while left:
        count = pair.node.send_batch(left, pair.now)
        left = left[count:]
        pair.run(100)
        sent += 1
    longest = [len(data) for data in frames(pair.up_line.written) if len(data) > 100]
    assert FRAME_BYTES - 20 <= max(longest) <= FRAME_BYTES
    assert sorted(pair.held) == list(range(1, 121)) and sent < 20


def test_records_come_out_one_by_one_in_order_once() -> None:
    pair = up_pair()
    records = [_light(number) for number in range(1, 31)]
    assert pair.node.send_batch(records, pair.now) == 30
    assert not pair.node.wants(1) and not pair.node.wants(30) and pair.node.wants(31)
    assert pair.node.window(pair.now) == 3
    data = pair.node.outgoing(pair.now)
    pair.gateway.receive(data, pair.now)
    events = drained(pair.gateway)
    assert events == [("RECORD", m.REPORT, 77) + record for record in records]
    pair.gateway.receive(data, pair.now)
    assert drained(pair.gateway) == [("FAULT", "replay")]
    pair.node.receive(pair.gateway.outgoing(pair.now + 10), pair.now + 10)
    assert pair.node._uplink.seen.cumulative == 30 and pair.node.window(pair.now) == 4


def test_the_next_batch_has_the_one_before_as_its_base() -> None:
    pair = up_pair()
    sizes = []
    for first in (1, 25, 49):
        records = [_light(number) for number in range(first, first + 24)]
        assert pair.node.send_batch(records, pair.now) == 24
        data = pair.node.outgoing(pair.now)
        sizes.append(len(data))
        pair.up_line.put(data, pair.now)
        pair.run(100)
    assert sizes[1] < sizes[0] and len(pair.held) == 72
    pair.gateway._intake._bases = bases.Bases()
    pair.node.send_batch([_light(73)], pair.now)
    assert pair.run(60_000, lambda: ("gateway", "base") in pair.faults)
    pair.run(100)
    pair.node.send_batch([_light(73)], pair.now)
    pair.run(100)
    assert 73 in pair.held


def _greeted_anew(pair: Pair) -> Pair:
    """The same two ends, in another session."""
    pair.faults.clear()
    pair.node.info.next_rseq = 1 + pair.node._uplink._highest_sent
    pair.node.start(pair.now)
    assert not pair.node.up
    return pair.settled()


def test_the_base_of_a_batch_outlives_its_session() -> None:
    pair = up_pair()
    sizes = []
    for first in (1, 25):
        assert pair.node.send_batch([_light(first + n) for n in range(24)], pair.now) == 24
        data = pair.node.outgoing(pair.now)
        sizes.append(len(data))
        pair.up_line.put(data, pair.now)
        _greeted_anew(pair)
    assert sizes[1] + 10 <= sizes[0] and len(pair.held) == 48 and pair.faults == []


def test_a_gateway_that_lost_the_base_of_a_batch_says_so_once() -> None:
    """Its RAM is gone, or the log is another one: its numbers mean other records."""
    for forget in ("restart", "epoch"):
        pair = up_pair()
        pair.node.send_batch([_light(1), _light(2)], pair.now)
        pair.run(100)
        if forget == "restart":
            pair.start_gateway()
        else:
            pair.node.info.epoch += 1
        _greeted_anew(pair)
        pair.node.send_batch([_light(3)], pair.now)
        assert pair.run(60_000, lambda: ("gateway", "base") in pair.faults)
        pair.run(100)
        pair.node.send_batch([_light(3)], pair.now)
        pair.run(100)
        assert 3 in pair.held and pair.faults == [("gateway", "base")]


def test_a_number_that_is_given_twice_stands_for_the_later_record() -> None:
    """A log that was set back: what follows is decoded against what the node has, or not at all."""
    found = bases.Bases()
    for level in (10, 60):
        found.add_last((10, 1, 900, (level, 245, 1000, 10, 12, 0, 9)))
    base = found.get(10)
    assert base is not None and base[3][0] == 60
    pair = up_pair()
    pair.node.send_batch([_light(first) for first in range(1, 11)], pair.now)
    pair.run(1000)
    assert pair.gateway._intake._bases.get(10) is not None
    pair.node.info.next_rseq = 3
    pair.faults.clear()
    pair.node.start(pair.now)
    pair.settled()
    assert pair.gateway._intake._bases.get(10) is None
    pair.node._uplink._lasts = [(pair.node._uplink._batches, _light(10))]
    pair.node.send_batch([_light(11), _light(12)], pair.now)
    pair.run(100)
    assert ("gateway", "base") in pair.faults and 11 not in pair.held


def test_a_base_is_named_only_while_the_gateway_surely_holds_it() -> None:
    pair = up_pair()
    pair.node.send_batch([_light(1)], pair.now)
    pair.run(100)
    lasts, sent = pair.node._uplink._lasts, pair.node._uplink._batches
    assert batch.nearest(lasts, sent, _light(2)) == _light(1)
    assert batch.nearest(lasts, sent, _light(2, boot=2)) is None
    assert batch.nearest(lasts, sent, _light(1 + DELTA_REACH)) == _light(1)
    assert batch.nearest(lasts, sent, _light(2 + DELTA_REACH)) is None
    assert batch.nearest(lasts, sent + BATCH_BASES // 2, _light(2)) is None
    held = _held(*[_light(number) for number in range(1, BATCH_BASES + 2)])
    assert held.get(1) is None and held.get(2) == _light(2)


def test_a_live_profile_is_a_batch_of_one() -> None:
    pair = Pair()
    pair.node.info.schema_hash = WATER_METER.hash
    pair.settled()
    hours = tuple([number % 5 * 9 for number in range(24)])
    for day in range(1, 4):
        values = (1000 + day * sum(hours), hours[23], 0, 3600, 0) + hours
        pair.node.send_report((day, 1, 86_400 * day, values), pair.now)
        data = pair.node.outgoing(pair.now)
        pair.up_line.put(data, pair.now)
        pair.run(100)
        assert pair.held[day] == values and len(data) < 60


def test_records_of_an_older_version_go_whole() -> None:
    pair = up_pair()
    record = (1, 1, 900, (30, 245, 1000, 10, 12, 0))
    assert pair.node.send_batch([record, record], pair.now) == 1
    pair.run(100)
    assert pair.held[1] == record[3]
    assert STREETLIGHT.begins_with(6) and not OLDER[0].begins_with(7)
    assert STREAM == pair.framing
