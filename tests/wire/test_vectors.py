"""Every message, good and malformed, byte for byte as a second implementation makes it."""

from hashlib import sha256

from kerbwire import cobs, frame
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import (
    DATAGRAM,
    KEY_BYTES,
    MAC_BYTES,
    NODE_ID_BYTES,
    NONCE_BYTES,
    SCHEMA_HASH_BYTES,
    SLOT_LEAD_MS,
    STREAM,
    VALUES,
)
from kerbwire.node import NodeSession
from kerbwire.polled import PolledNode
from kerbwire.ranges import RangeSet
from kerbwire.schema import SCHEMAS, by_hash, by_name
from wire.pair import drained, fault_codes
from wire.vectors import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kerbwire.engine import Engine, Event


def _scripted(first: bytes) -> "Callable[[int], bytes]":
    """A source of randomness that starts with these bytes."""
    left = [first]

    def random(count: int) -> bytes:
        return left.pop() if left and len(left[-1]) == count else bytes(count)

    return random


class Exchange:
    """A node and a gateway as the vectors have them, moved step by step."""

    def __init__(self, given: "dict[str, Any]", framing: int):
        info = m.Info(SCHEMAS[0].hash, given["boot_id"], given["epoch"], given["firmware"])
        info.build = bytes.fromhex(given["build"])
        for name in ("first_rseq", "next_rseq", "uptime_s", "period_s", "command_id"):
            setattr(info, name, given[name])
        node_id, key = bytes.fromhex(given["node_id"]), bytes.fromhex(given["key"])
        generation = given["generation"]
        random = _scripted(bytes.fromhex(given["node_nonce"]))
        self.node = NodeSession(node_id, generation, key, info, random, framing)
        self.gateway = GatewaySession(
            node_id,
            (generation, key, None),
            None,
            RangeSet(),
            _scripted(bytes.fromhex(given["gateway_nonce"])),
            framing,
            None if framing == STREAM else 7,
        )
        self.gateway.set_utc(given["utc_ms"], given["uncertainty_ms"])
        self.framing = framing

    def greet(self) -> bytes:
        self.node.start(0)
        return self.node.outgoing(0)

    def welcome(self) -> bytes:
        """HELLO to the gateway; its WELCOME."""
        self.gateway.receive(self.greet(), 0)
        assert [event[0] for event in drained(self.gateway)] == ["KEYS"]
        assert self.gateway.outgoing(0) == b""  # not before the key is durable
        self.gateway.key_stored(0)
        return self.gateway.outgoing(0)

    def confirm(self) -> bytes:
        """WELCOME to the node; its INFO."""
        self.node.receive(self.welcome(), 0)
        assert [event[0] for event in drained(self.node)] == ["KEY"]
        assert self.node.outgoing(0) == b""
        self.node.key_stored(0)
        return self.node.outgoing(0)

    def up(self) -> bytes:
        """INFO to the gateway; its first POLL, taken by the node."""
        self.gateway.receive(self.confirm(), 0)
        poll = self.gateway.outgoing(0)
        assert [event[0] for event in drained(self.gateway)] == ["KEYS", "UP"]
        self.node.receive(poll, 0)
        assert self.node.up and self.gateway.up
        return poll

    def take(self, data: bytes) -> bytes:
        """One frame whole, as it goes over the line."""
        return data if self.framing == DATAGRAM else cobs.encode(data)


def _up_step(pair: Exchange, data: bytes, now: int) -> "tuple[list[Event], bytes]":
    pair.gateway.receive(data, now)
    return drained(pair.gateway), pair.gateway.outgoing(now + 10)


def _record(given: "list[Any]") -> "tuple[int, int, int, tuple[int, ...]]":
    return given[0], given[1], given[2], tuple(given[3])


def _exchange(known: "dict[str, Any]", framing: int) -> None:
    given = known["given"]
    part = known["stream" if framing == STREAM else "datagram"]
    want = {
        case["name"]: bytes.fromhex(case["stream" if framing == STREAM else "frame"])
        for case in part
    }
    assert Exchange(given, framing).greet() == want["HELLO"]
    assert Exchange(given, framing).welcome() == want["WELCOME"]
    assert Exchange(given, framing).confirm() == want["INFO"]
    pair = Exchange(given, framing)
    pair.gateway.start(0)
    assert pair.gateway.outgoing(0) == want["HELLO?"]
    assert pair.up() == want["POLL with time"]
    assert ("TIME", given["utc_ms"], given["uncertainty_ms"] + 4) in drained(pair.node)

    record = _record(given["keyframe"])
    pair.node.send_report(record, 0)
    sent = pair.node.outgoing(0)
    assert sent == want["REPORT keyframe"]
    events, poll = _up_step(pair, sent, 0)
    assert events == [("RECORD", m.REPORT, 77) + record]
    assert poll == want["POLL seen"]
    pair.node.receive(poll, 10)
    assert drained(pair.node) == [("SEEN",)]

    record = _record(given["delta"])
    pair.node.send_report(record, 10)
    sent = pair.node.outgoing(10)
    assert sent == want["REPORT delta"]
    assert _up_step(pair, sent, 10)[0] == [("RECORD", m.REPORT, 77) + record]

    record = _record(given["backfill"])
    pair.node.send_backfill(record, 10)
    sent = pair.node.outgoing(10)
    assert sent == want["REPORT backfill"]
    pair.gateway.receive(sent, 10)
    assert drained(pair.gateway) == [("RECORD", m.REPORT, 77) + record]

    record = _record(given["event"])
    pair.node.send_event(record, 10)
    sent = pair.node.outgoing(10)
    assert sent == want["EVENT"]
    pair.gateway.receive(sent, 10)
    assert drained(pair.gateway) == [("RECORD", m.EVENT, 77) + record]

    pair.node.send_gap(*given["gap"], 10)
    sent = pair.node.outgoing(10)
    assert sent == want["GAP"]
    pair.gateway.receive(sent, 10)
    assert drained(pair.gateway) == [("GAP", 77) + tuple(given["gap"])]


def test_every_message_on_a_stream() -> None:
    _exchange(load("exchange"), STREAM)


def test_every_message_in_datagrams() -> None:
    _exchange(load("exchange"), DATAGRAM)


def test_the_messages_down() -> None:
    known = load("exchange")
    given = known["given"]
    for framing, part in ((STREAM, "stream"), (DATAGRAM, "datagram")):
        pair = Exchange(given, framing)
        pair.up()
        drained(pair.node)
        pair.node.info.next_rseq = 6  # it has made what these tell of
        events = []
        for case in known[part]:
            if case["name"] in ("CMD", "NEED_KEYFRAME", "POLL seen", "POLL kept"):
                pair.node.receive(pair.take(bytes.fromhex(case["frame"])), 5)
                events += drained(pair.node)
        number, expires, op, args = given["command"]
        assert ("COMMAND", number, expires, op, tuple(args)) in events
        assert ("KEPT",) in events and not [e for e in events if e[0] == "FAULT"]
        assert pair.node.kept.spans() == ((1, 1), (3, 3))


def test_a_base_that_is_unknown_brings_need_keyframe() -> None:
    known = load("exchange")
    pair = Exchange(known["given"], STREAM)
    pair.up()
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["stream"]}
    for name in ("RESULT", "IDLE", "REPORT base unknown"):
        pair.gateway.receive(want[name], 0)
    assert fault_codes(pair.gateway) == ["base"]
    pair.node.receive(pair.gateway.outgoing(0), 0)
    assert not fault_codes(pair.node)


def test_objects_both_ways() -> None:
    known = load("exchange")
    content = bytes.fromhex(known["given"]["content"])
    digest = sha256(content).digest()[:16]
    for framing, part in ((STREAM, "stream"), (DATAGRAM, "datagram")):
        pair = Exchange(known["given"], framing)
        pair.up()
        want = {case["name"]: bytes.fromhex(case["frame"]) for case in known[part]}
        drained(pair.node)

        def sent(session: "Engine", to: "Engine", name: str) -> "list[Event]":
            assert session.channel
            session.channel.sent = frame.Header(want[name]).fseq
            data = session.outgoing(1)
            assert data == pair.take(want[name]), name
            to.receive(data, 1)
            return drained(to)

        pair.gateway.objects.want(digest[:8])
        assert sent(pair.gateway, pair.node, "WANT down") == [("WANT", digest[:8])]
        pair.node.objects.offer(1, m.OBJECT_LOG, digest, 150, 100)
        offered = ("OFFER", 1, m.OBJECT_LOG, digest, 150, 100)
        assert sent(pair.node, pair.gateway, "OFFER up") == [offered]
        pair.gateway.objects.offer(2, m.OBJECT_UPDATE, digest, 150, 100)
        offered = ("OFFER", 2, m.OBJECT_UPDATE, digest, 150, 100)
        assert sent(pair.gateway, pair.node, "OFFER down") == [offered]
        pair.node.objects.accept(2)
        assert sent(pair.node, pair.gateway, "WANT up") == [("WANTED", 2, 0)]
        pair.gateway.objects.give(2, 0, content[:100])
        assert sent(pair.gateway, pair.node, "BLOCK 0") == [("BLOCK", 2, 0, content[:100])]
        assert sent(pair.node, pair.gateway, "WANT up, next") == [("WANTED", 2, 1)]
        pair.gateway.objects.give(2, 1, content[100:])
        whole = [("BLOCK", 2, 1, content[100:]), ("OBJECT", 2, True)]
        assert sent(pair.gateway, pair.node, "BLOCK 1") == whole
        assert sent(pair.node, pair.gateway, "WANT up, whole") == [("SENT", 2, True)]


def _subject(case: "dict[str, str]", known: "dict[str, Any]") -> "tuple[Exchange, Engine]":
    pair = Exchange(known["given"], STREAM)
    if case["state"] == "greeting":
        pair.greet()
    elif case["state"] == "confirming":
        pair.confirm()
    else:
        pair.up()
    subject = pair.gateway if case["to"] == "gateway" else pair.node
    drained(subject)
    return pair, subject


def test_malformed_frames_are_told_by_code() -> None:
    known = load("malformed")
    for case in known["frames"]:
        pair, subject = _subject(case, known)
        assert not subject.receive(pair.take(bytes.fromhex(case["frame"])), 1), case
        events = drained(subject)
        assert events == [("FAULT", case["error"])], (case["name"], events)


def test_malformed_frames_change_nothing_in_a_session() -> None:
    """After all of them, a good report still gets through."""
    known = load("malformed")
    pair = Exchange(known["given"], STREAM)
    pair.up()
    for case in known["frames"]:
        if case["to"] == "gateway" and case["state"] == "up" and case["error"] != "replay":
            data = bytes.fromhex(case["frame"])
            pair.gateway.receive(pair.take(data[:-1] + bytes((data[-1] ^ 0x55,))), 1)
    drained(pair.gateway)
    pair.node.send_report(_record(known["given"]["keyframe"]), 1)
    pair.gateway.receive(pair.node.outgoing(1), 1)
    assert [event[0] for event in drained(pair.gateway)] == ["RECORD"]


def test_what_comes_is_taken_for_what_it_is() -> None:
    known = load("received")
    for end in known["ends"]:
        pair = Exchange(known["given"], STREAM)
        pair.confirm()
        pair.node.info.next_rseq = 1 << 40
        for case in end["frames"]:
            subject: Engine = pair.gateway if end["to"] == "gateway" else pair.node
            subject.receive(pair.take(bytes.fromhex(case["frame"])), 0)
            events = drained(subject)
            faults = [event[1] for event in events if event[0] == "FAULT"]
            assert faults == ([case["error"]] if "error" in case else []), (case["name"], events)
            _taken(case, events, pair.node)


def test_later_items_of_what_calls_a_node_on_a_bus() -> None:
    known = load("bus")
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["frames"]}
    for name in ("HELLO? by name", "DISCOVER"):
        for call in (name, name + ", and later items"):
            given = Exchange(known["given"], DATAGRAM).node
            key = bytes.fromhex(known["given"]["key"])
            random = _scripted(bytes.fromhex(known["given"]["node_nonce"]))
            node_id = bytes.fromhex(known["given"]["node_id"])
            node = PolledNode(node_id, known["given"]["generation"], key, given.info, random)
            node.start(0)
            node.receive(want[call], 0)
            assert node.outgoing(SLOT_LEAD_MS).endswith(want["HELLO"]), call


def _taken(case: "dict[str, Any]", events: "list[Event]", node: NodeSession) -> None:
    """Are these the events of the case, and what the node was told?"""
    records = [event[3:] for event in events if event[0] == "RECORD"]
    assert records == [_record(given) for given in case.get("records", [])], case["name"]
    gaps = [list(event[2:]) for event in events if event[0] == "GAP"]
    assert gaps == ([case["gap"]] if "gap" in case else []), case["name"]
    if "seen" in case:
        assert [list(span) for span in node._uplink.seen.spans()] == case["seen"], case["name"]
    if "kept" in case:
        assert [list(span) for span in node.kept.spans()] == case["kept"], case["name"]
    offer = case.get("offer")
    times = [event[1:] for event in events if event[0] == "TIME"]
    taken = offer and not offer[0]  # it is for the node's newest frame, INFO
    assert times == ([(offer[2], offer[3] + 4)] if taken else []), case["name"]


def test_schemas_have_these_hashes_for_ever() -> None:
    for case in load("schemas")["schemas"]:
        schema = by_hash(bytes.fromhex(case["hash"]))
        assert schema is not None and (schema.name, schema.version) == (
            case["name"],
            case["version"],
        )
        assert (schema is by_name(case["name"])) == (case["version"] == 2)
        fields = [[field.name, field.scale, field.unit] for field in schema.fields]
        if schema.version > 1:
            for told, field in zip(fields, schema.fields):
                told += [field.predictor, field.reference, field.argument, field.count]
        assert fields == case["fields"]
    assert by_name("nothing") is None and by_hash(bytes(8)) is None


def test_nearest_number() -> None:
    for expected in (0, 1, 127, 128, 255, 256, 300, 70_000, 1 << 24):
        for ahead in range(-120, 121, 7):
            number = expected + ahead
            if number >= 0:
                assert frame.nearest(number & 0xFF, 8, expected) == number
                assert frame.nearest(number & 0xFFFF, 16, expected) == number
    assert frame.nearest(255, 8, 0) == -1


def test_sizes_of_what_is_on_the_wire() -> None:
    """NODE_ID_BYTES, KEY_BYTES, NONCE_BYTES, MAC_BYTES, SCHEMA_HASH_BYTES, VALUES."""
    known = load("exchange")
    given = known["given"]
    assert len(bytes.fromhex(given["key"])) == KEY_BYTES
    assert len(bytes.fromhex(given["node_nonce"])) == NONCE_BYTES
    hello = bytes.fromhex(known["stream"][0]["frame"])
    node_id = bytes.fromhex(given["node_id"])
    assert len(node_id) <= NODE_ID_BYTES
    assert len(hello) == 1 + 1 + (1 + len(node_id)) + 1 + (1 + NONCE_BYTES) + MAC_BYTES
    for schema in SCHEMAS:
        assert len(schema.hash) == SCHEMA_HASH_BYTES and len(schema.fields) <= VALUES
