"""Old and new ends of kerbwire understand each other, or say that they don't."""

from kerbwire import bases, cbor, cobs, handshake, report
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.fields import ELAPSED, NOTHING, Field, Schema
from kerbwire.polled import PolledUplink
from kerbwire.schema import OLDER, STREETLIGHT, WATER_METER
from wire.pair import Pair, Random, drained, up_pair
from wire.test_catalogue import Learning
from wire.test_vectors import Exchange
from wire.vectors import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine, Event


def _told(pair: Pair, session: "Engine", body: bytes, class_: int = m.CLASS_CONTROL) -> None:
    """The peer says this next, properly sealed."""
    near = session.channel
    assert near
    far = Channel(near._keys, 1 - near.direction, near.parity, near.address, pair.now)
    far.sent = near.top + 1
    far.schema_hash = near.schema_hash
    line = pair.down_line if session is pair.node else pair.up_line
    data = far.seal(class_, body, pair.now)
    other = pair.gateway if session is pair.node else pair.node
    assert other.channel
    other.channel.sent += 1
    line.put(cobs.encode(data), pair.now)


def _unsupported(pair: Pair) -> "list[Event]":
    return [event for event in pair.gateway_events if event[0] == "UNSUPPORTED"]


def test_a_node_says_which_type_it_does_not_know() -> None:
    for type_ in (0, 3, 13, 23, 24, 1 << 40):
        pair = up_pair()
        _told(pair, pair.node, cbor.encode([type_, 1, b"2"]))
        pair.run(50)
        assert _unsupported(pair) == [("UNSUPPORTED", type_)]
        assert pair.faults == [("node", "type")]
        pair.make()
        assert pair.run(5000, pair.drained)


def test_what_a_vector_says_of_it() -> None:
    known = load("exchange")
    pair = Exchange(known["given"], 0)
    pair.up()
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["stream"]}
    pair.node.receive(want["a type of the future"], 0)
    pair.gateway.receive(want["RESULT unsupported"], 0)
    assert drained(pair.node)[-1] == ("FAULT", "type")
    assert drained(pair.gateway)[-1] == ("UNSUPPORTED", 23)
    assert pair.node.outgoing(0) and not pair.gateway.outgoing(0)


def test_a_gateway_ignores_a_type_that_it_does_not_know() -> None:
    pair = up_pair()
    _told(pair, pair.gateway, cbor.encode([23, 1, b"2"]))
    pair.down_line.written.clear()
    pair.run(50)
    assert pair.faults == [("gateway", "type")] and not pair.down_line.written


# Whatever a later version may append: bytes, and integers that are no values.
LATER: "tuple[int | bytes, ...]" = (7, b"later", -1, 1 << 63, (1 << 64) - 1, -(1 << 64))


def test_trailing_items_of_later_versions_are_ignored() -> None:
    """Of each message whose length says nothing."""
    up: tuple[tuple[int, list[int | bytes]], ...] = (
        (m.CLASS_CONTROL, cbor.decode(handshake.encode_info(up_pair().node.info))),
        (m.CLASS_REPORT, [m.EVENT, 1, 0, 5, 2, 1]),
        (m.CLASS_CONTROL, [m.GAP, 2, 3, 1]),
        (m.CLASS_REPORT, [m.ANCHOR, 4, 0, 5, 0, 5, 0, 5]),
        (m.CLASS_CONTROL, [m.RESULT, 5, 0, 0]),
        (m.CLASS_CONTROL, [m.RESULT, 0, m.UNSUPPORTED, 23]),
        (m.CLASS_CONTROL, [m.IDLE]),
    )
    down: tuple[list[int | bytes], ...] = (
        [m.POLL, 0, 0, 1, 0, 0, 0, 0, Pair.UTC_MS, 1],
        [m.POLL, 9, 0, 1, 1, 2, 1, 1, 2, 1, 0, 0, Pair.UTC_MS, 1],
        [m.NEED_KEYFRAME],
    )
    for item in LATER:
        pair = up_pair()
        pair.node.info.next_rseq = 12
        for class_, items in up:
            _told(pair, pair.gateway, cbor.encode(items + [item]), class_)
            pair.run(30)
        pair.node.info.next_rseq = 12
        for items in down:
            _told(pair, pair.node, cbor.encode(items + [item, b"more"]))
            pair.run(30)
        assert not pair.faults, item
        assert pair.held == {1: (2, 1), 2: None, 3: None, 4: (0, 5, 0, 5)}
        assert _unsupported(pair) == [("UNSUPPORTED", 23)] and not pair.node.wants(9)


def test_a_polled_node_ignores_them_too() -> None:
    """A POLL of two items is the short one; what is longer is a whole one, or none."""
    uplink = PolledUplink(m.Info(STREETLIGHT.hash, 1, 77, 1), Random(1).bytes)
    channel = up_pair().node.channel
    assert channel and channel.heard_newest
    poll: list[int | bytes] = [m.POLL, 0, 0, 3, 0, 0]
    for item in LATER:
        assert uplink.receive(m.POLL, poll + [item], channel, 0) == [] and uplink.credit == 3
        try:
            uplink.receive(m.POLL, [m.POLL, 2, item], channel, 0)
            raise AssertionError(item)
        except RemoteError as fault:
            assert fault.code == "value"
    assert uplink.receive(m.POLL, [m.POLL, 2], channel, 0) == [] and uplink.credit == 2


def test_what_is_behind_a_configs_answer_is_ignored() -> None:
    for item in LATER:
        pair = up_pair()
        pair.gateway.send_config(4, {m.CONFIG_REPORT_S: 60})
        _told(pair, pair.gateway, cbor.encode([m.RESULT, 0, m.OK, m.CONFIG, 4, item]))
        pair.run(30)
        assert not pair.faults and ("CONFIGURED", 4, m.OK) in pair.gateway_events


def test_items_whose_number_says_what_they_are_are_none_too_many() -> None:
    """Neither end guesses what a longer one may mean."""
    pair = up_pair()
    _told(pair, pair.gateway, cbor.encode([m.REPORT, 0, 1, 0, 5] + [1] * 8), m.CLASS_REPORT)
    pair.run(30)
    _told(pair, pair.gateway, cbor.encode([m.DIAG, 1, 2, 3]))
    pair.run(30)
    _told(pair, pair.node, cbor.encode([m.COMMAND, 1, 0, 1, b"later"]))
    pair.run(30)
    _told(pair, pair.node, cbor.encode([m.CONFIG, 1, 1, 60, 2]))
    pair.run(30)
    assert pair.faults == [("gateway", "value")] * 2 + [("node", "value")] * 2


def test_a_gateway_speaks_its_own_version_and_three_older_ones() -> None:
    for newest in range(1, 9):
        spoken = [version for version in range(12) if m.spoken(version, newest)]
        assert spoken == list(range(max(1, newest - m.OLDER_VERSIONS), 12))
    assert m.spoken(m.MESSAGES_VERSION)


def test_a_node_from_the_future_is_heard() -> None:
    pair = Pair()
    pair.node.info.messages_version = m.MESSAGES_VERSION + 5
    pair.settled()
    pair.make()
    assert pair.run(5000, pair.drained)


def test_a_node_of_long_ago_is_refused_and_loses_nothing() -> None:
    pair = Pair()
    pair.node.info.messages_version = 0
    pair.make()
    pair.run(60_000)
    assert not pair.node.up and ("gateway", "version") in pair.faults and pair.records
    pair.node.info.messages_version = m.MESSAGES_VERSION  # an update
    assert pair.run(600_000, pair.drained)
    try:
        handshake.decode_info([m.INFO, 0, bytes(8)] + [1] * 9)
    except RemoteError as fault:
        assert fault.code == "version"


def test_another_schema_takes_effect_with_another_session() -> None:
    """The old one stays until then, and records of both come through."""
    pair = up_pair()
    pair.make()
    pair.run(500)
    pair.node.info.schema_hash = OLDER[0].hash
    pair.node.start(pair.now)
    pair.make(values=(1, 2, 3, 4, 5, 6))
    assert pair.run(5000, pair.drained)
    assert pair.gateway.schema and pair.gateway.schema.hash == OLDER[0].hash
    assert pair.held[2] == (1, 2, 3, 4, 5, 6) and not pair.faults


def test_an_info_within_a_session_changes_nothing() -> None:
    pair = up_pair()
    schema = pair.gateway.schema
    items = cbor.decode(handshake.encode_info(pair.node.info))
    items[2] = OLDER[0].hash
    _told(pair, pair.gateway, cbor.encode(items))
    pair.make()
    assert pair.run(5000, pair.drained)
    assert pair.gateway.schema is schema and not pair.faults


def _grown(schema: Schema, *fields: Field) -> Schema:
    """The next version of that class."""
    return Schema(schema.class_id, schema.name, schema.version + 1, schema.fields + fields)


def test_a_backlog_of_any_older_version_comes_through() -> None:
    """Built in, taught, or never known here: a version's fields are the first of the next one's."""
    taught = _grown(STREETLIGHT, Field("dust_pct", 0, "P1"), Field("hourly_w", 1, "WTT", count=3))
    latest = _grown(taught, Field("age_s", 0, "SEC", (ELAPSED, 0, 0)))
    versions = OLDER + (STREETLIGHT, taught)
    for known in ((), versions):
        pair = Learning({schema.hash: schema for schema in known + (latest,)})
        pair.node.info.schema_hash = latest.hash
        made = [tuple(range(width)) for width in (6, 7, 11, 12)]
        for values in made:
            pair.make(values=values)
        assert pair.run(5000, pair.drained)
        assert not pair.faults and [pair.held[n] for n in range(1, 5)] == made


def test_part_of_a_field_is_no_version() -> None:
    assert [n for n in range(40) if WATER_METER.begins_with(n)] == [1, 2, 3, 4, 5, 29]
    assert [n for n in range(40) if STREETLIGHT.begins_with(n)] == list(range(1, 8))
    pair = Pair()
    pair.node.info.schema_hash = WATER_METER.hash
    pair.settled()
    for width in (0, 28, 30):
        body = cbor.encode([m.REPORT, 0, 1, 0, 5] + [1] * width)
        _told(pair, pair.gateway, body, m.CLASS_REPORT)
        pair.run(30)
    assert pair.faults == [("gateway", "value")] * 3 and not pair.held


def test_numbers_behind_a_field_with_several_are_foretold_too() -> None:
    """What an ELAPSED number differs from is told by its place among the numbers."""
    hours = Field("hourly_l", 0, "LTR", (NOTHING, 0, 0), 3)
    schema = Schema(9, "class_9", 2, (hours, Field("age_s", 0, "SEC", (ELAPSED, 0, 0))))
    assert schema.elapsed == (3,) and schema.width == 4
    info = m.Info(schema.hash, 1, 77, 1)
    info.period_s = 900
    first = (1, 1, 900, (0, 0, 0, 900))
    then = (2, 1, 1803, (0, 0, 0, 1803))
    items = cbor.decode(report.encode_delta(then, first, info, schema.elapsed))
    assert items == [m.REPORT, 1, 1, 1 << 4, 3]  # nothing but that it is late
    held = bases.Bases()
    held.add(first, 0)
    assert bases.decode(items, 1, held, info, schema, 1) == then
    assert STREETLIGHT.elapsed == (6,) and WATER_METER.elapsed == ()
