"""CLAIM: who sends it, when, and what a gateway's bus does with strangers."""

from kerbwire import claiming, cobs, frame
from kerbwire import messages as m
from kerbwire.bus import Place
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    BUS_ALL,
    CLAIM_BYTES,
    DATAGRAM,
    ENROL_MS,
    FRAME_BYTES,
    HELLO_REQUEST_MS,
    HELLOS_ON_REQUEST,
    NODE_ID_BYTES,
    STRANGERS,
    STREAM,
)
from kerbwire.node import NodeSession
from kerbwire.poller import PolledGateway
from kerbwire.schema import STREETLIGHT
from kerbwire.strangers import Strangers
from wire.bus_line import GATEWAY, BusLine
from wire.pair import Random, drained, frames
from wire.vectors import load, unhexed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine, Event

SEALED = bytes(range(150))


def _stranger(framing: int) -> NodeSession:
    info = m.Info(STREETLIGHT.hash, 1, 77, 1)
    node = NodeSession(b"sl-9", 0, bytes(16), info, Random(1).bytes, framing)
    node.start(0)
    node.outgoing(0)  # HELLO
    return node


def _answer(node: NodeSession, sealed: bytes) -> None:
    """What a node's host does on ("PERMIT",)."""
    place = None if node._framing == STREAM else 0
    node.claim = claiming.encode(node._handshake.node_id, sealed, place)


def _ask(framing: int, *, permit: bool = True) -> bytes:
    place = None if framing == STREAM else 1
    data = claiming.ask(place)
    if not permit:
        data = frame.plain_header(frame.DOWN, place) + b"\x02"
    return bytes(cobs.encode(data)) if framing == STREAM else data


def _fault(data: bytes) -> str:
    try:
        claiming.claim_of(data, frame.Header(data))
    except RemoteError as error:
        return error.code
    return ""


def test_a_permitted_stranger_says_its_claim_then_hello() -> None:
    for framing in (STREAM, DATAGRAM):
        node = _stranger(framing)
        node.receive(_ask(framing), 1000)
        assert drained(node) == [("PERMIT",)]
        _answer(node, SEALED)
        said = [node.outgoing(1000), node.outgoing(1000)]
        if framing == STREAM:
            said = frames([b"".join(said)])
        header = frame.Header(said[0])
        assert claiming.is_claim(said[0], header)
        assert claiming.claim_of(said[0], header) == (b"sl-9", SEALED)
        assert header.address == (-1 if framing == STREAM else 0)
        assert not claiming.is_claim(said[1], frame.Header(said[1]))
        assert said[1][frame.Header(said[1]).size] == m.HELLO
        assert node.outgoing(1000) == b""  # once for each question
        assert len(_ask(framing)) <= 6


def test_nobody_says_a_claim_unasked_or_without_one() -> None:
    node = _stranger(STREAM)
    node.receive(_ask(STREAM, permit=False), 1000)
    assert drained(node) == []
    node.receive(_ask(STREAM), 1001)
    said = frames([node.outgoing(1001)])
    assert [data[1] for data in said] == [m.HELLO]  # it has none


def test_claims_are_as_rare_as_hellos_on_request() -> None:
    node = _stranger(STREAM)
    for now in range(1000, 1000 + HELLO_REQUEST_MS - 1, 100):
        node.receive(_ask(STREAM), now)
    events = drained(node)
    assert events.count(("PERMIT",)) == HELLOS_ON_REQUEST == len(events)


def test_the_longest_claim_fits_a_frame() -> None:
    data = claiming.encode(b"n" * NODE_ID_BYTES, bytes(CLAIM_BYTES), 0)
    assert len(data) <= FRAME_BYTES
    assert claiming.claim_of(data, frame.Header(data))[1] == bytes(CLAIM_BYTES)


def test_both_ends_say_what_the_vectors_have() -> None:
    vectors = load("claim")
    node_id = unhexed(vectors["node_id"])
    sealed = unhexed(vectors["sealed"]["claim"])
    asked, said = vectors["asked"], vectors["said"]
    assert claiming.ask(None) == unhexed(asked["stream"])
    assert claiming.ask(0) == unhexed(asked["datagram"])
    assert claiming.ask(BUS_ALL, node_id) == unhexed(asked["bus"])
    assert claiming.encode(node_id, sealed, None) == unhexed(said["stream"])
    assert claiming.encode(node_id, sealed, 0) == unhexed(said["datagram"])
    for text in said.values():
        data = unhexed(text)
        assert claiming.is_claim(data, frame.Header(data))
        assert claiming.claim_of(data, frame.Header(data)) == (node_id, sealed)
    for case in vectors["refused"]:
        assert _fault(unhexed(case["frame"])) == case["error"], case["name"]


def test_malformed_claims_are_refused() -> None:
    up = frame.plain_header(frame.UP, 0)
    assert _fault(frame.plain_header(frame.DOWN, 0) + b"\x13\x41n\x41s") == "type"
    for body, code in (
        (b"\x00\x41n\x41s", "type"),
        (b"\x13", "value"),
        (b"\x13\x41n", "value"),
        (b"\x13\x40\x41s", "value"),
        (b"\x13\x41n\x40", "value"),
        (b"\x13\x01\x41s", "value"),
        (b"\x13\x51" + bytes(17) + b"\x41s", "value"),
        (b"\x13\x41n\x58\xc9" + bytes(201), "value"),
        (b"\x13\x41n\x58", "cbor"),
    ):
        assert _fault(up + body) == code, body


class _Town(BusLine):
    """A bus whose gateway knows some of its nodes; the rest carry claims."""

    def __init__(self, count: int, known: int, seed: int = 1, *, loss: int = 0):
        BusLine.__init__(self, count, seed, loss=loss)
        self.joined: list[bytes] = []
        self.refused: list[bytes] = []
        self.foreign: tuple[bytes, ...] = ()
        for node in self.nodes:
            node.hook = self._carried
        for session in self.sessions[known:]:
            self.bus.remove(session.node_id)
        self.sessions = self.sessions[:known]

    def permit(self, ms: int) -> None:
        """Strangers may join."""
        self.bus.enrol(self.now, ms)
        self.at(self.now, GATEWAY)

    def _carried(self, session: "Engine", event: "Event") -> None:
        if event[0] == "PERMIT":
            assert isinstance(session, NodeSession)
            _answer(session, b"sealed " + session._handshake.node_id)

    def _stored(self, session: PolledGateway, keys: "tuple[int, bytes, bytes | None]") -> None:
        self.gateway_keys[session.address - 1] = keys
        session.key_stored(self.now // 1000)

    def _gateway(self) -> None:
        BusLine._gateway(self)
        for event in self.events:
            if event[0] == "CLAIM":
                self._judge(event)
        self.events = [event for event in self.events if event[0] != "CLAIM"]

    def _judge(self, event: "Event") -> None:
        node_id = event[1]
        assert isinstance(node_id, bytes) and event[2] == b"sealed " + node_id
        self.bus.judged(node_id)
        if node_id in self.foreign or node_id in self.joined:
            self.refused.append(node_id)
            return
        self.joined.append(node_id)
        index = [node.node_id for node in self.nodes].index(node_id)
        keys, held = self.gateway_keys[index], self.gateway_held[index]
        session = PolledGateway(node_id, keys, 77, held, self.random.bytes, index + 1)
        session.set_utc(0, 20)
        self.sessions.append(session)
        self.bus.add(Place(session, placed=True))


def test_strangers_join_a_bus_in_a_window_and_only_then() -> None:
    line = _Town(12, 4)
    line.run(20_000)
    assert not line.joined and len(line.sessions) == 4
    line.permit(60_000)
    began = line.now
    assert line.run(60_000, until=lambda: len(line.joined) == 8 and line.all_up())
    assert (line.now - began) // 1000 < 5_000, (line.now - began) // 1000
    for node in line.nodes:
        node.make()
    assert line.run(20_000, until=line.drained)
    line.bus.enrol(line.now, 0)
    assert not line.bus._search.enrolling(line.now)


def test_strangers_join_a_line_that_loses_a_tenth() -> None:
    line = _Town(8, 0, seed=3, loss=10)
    line.permit(120_000)
    assert line.run(120_000, until=lambda: len(line.joined) == 8 and line.all_up())


def test_who_was_refused_is_asked_once_in_a_window() -> None:
    line = _Town(3, 1)
    line.foreign = (b"n-001", b"n-002")
    line.run(2_000)
    for windows in (1, 2):
        line.permit(5_000)
        line.run(20_000)
        assert line.refused.count(b"n-001") == line.refused.count(b"n-002") == windows
    assert not line.joined and line.sessions[0].up


def test_a_claim_outside_its_window_is_noise() -> None:
    line = _Town(2, 2)
    assert line.run(5_000, until=line.all_up)
    data = bytes(cobs.encode(claiming.encode(b"n-777", SEALED, 0)))
    line.permit(ENROL_MS)
    for _ in range(20):
        line.run(37)
        line.bus.receive(data, line.now)
    line.run(1_000)
    assert not line.joined and not line.refused
    assert ("FAULT", "claim") in line.events


def test_a_removed_node_has_no_turn_and_the_row_goes_on() -> None:
    line = _Town(6, 6)
    assert line.run(10_000, until=line.all_up)
    for gone in (0, 5, 2):
        node_id = line.nodes[gone].node_id
        line.bus.remove(node_id)
        line.nodes[gone].dead = True
        line.sessions = [each for each in line.sessions if each.node_id != node_id]
    for node in line.nodes:
        node.make()
    assert line.run(5_000, until=line.drained)


def test_so_many_strangers_wait_and_no_more() -> None:
    strangers = Strangers()
    for number in range(2 * STRANGERS):
        strangers.greeted(b"%d" % number)
        strangers.greeted(b"%d" % number)
    asked = 0
    while strangers.next():
        asked += 1
    assert asked == STRANGERS
    for number in range(2 * STRANGERS):
        strangers.judged(b"%d" % number)
    assert len(strangers._done) == STRANGERS
