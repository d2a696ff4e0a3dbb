"""Old and new ends of kerbwire understand each other, or say that they don't."""

from kerbwire import cbor, cobs, handshake
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.schema import OLDER
from wire.pair import Pair, drained, up_pair
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


def test_trailing_items_of_later_versions_are_ignored() -> None:
    """Of each message whose length says nothing."""
    later: list[int | bytes] = [7, b"later", -1]
    pair = up_pair()
    info = cbor.decode(handshake.encode_info(pair.node.info)) + later
    up: tuple[tuple[int, list[int | bytes]], ...] = (
        (m.CLASS_CONTROL, info),
        (m.CLASS_REPORT, [m.EVENT, 1, 0, 5, 2, 1]),
        (m.CLASS_CONTROL, [m.GAP, 2, 3, 1]),
        (m.CLASS_CONTROL, [m.RESULT, 5, 0, 0]),
        (m.CLASS_CONTROL, [m.IDLE]),
    )
    down: tuple[list[int | bytes], ...] = (
        [m.POLL, 0, 0, 1, 0, 0, 0, 0, Pair.UTC_MS, 1],
        [m.NEED_KEYFRAME],
    )
    for class_, items in up:
        _told(pair, pair.gateway, cbor.encode(items + later[: 3 if items is info else 1]), class_)
        pair.run(30)
    for items in down:
        _told(pair, pair.node, cbor.encode(items + later[:1]))
        pair.run(30)
    assert not pair.faults and pair.held == {1: (2, 1), 2: None, 3: None}


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
