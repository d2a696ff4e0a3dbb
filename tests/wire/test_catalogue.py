"""A gateway learns schemas from its nodes, and nothing is lost before it knows them."""

from hashlib import sha256

from kerbwire import catalogue, cbor
from kerbwire import messages as m
from kerbwire.asking import Asking
from kerbwire.catalogue import Catalogue, built_in, decode
from kerbwire.errors import RemoteError
from kerbwire.fields import LAST, REFERRING, SLOPE
from kerbwire.gateway import GatewaySession
from kerbwire.handout import SCHEMA_HANDLE
from kerbwire.limits import SCHEMA_BYTES, SCHEMA_NAME_BYTES, SCHEMAS, STREAM, TRIES, VALUES
from kerbwire.schema import OLDER, STREETLIGHT
from kerbwire.schema import SCHEMAS as NEWEST
from wire.pair import Pair, Random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.catalogue import Schemas
    from kerbwire.engine import Event

_LIGHT = (30, 245, 1000, 10, 12, 0, 5)


class Learning(Pair):
    """A pair whose gateway starts with these schemas only."""

    def __init__(self, schemas: "Schemas", seed: int = 1, **line: int):
        self.schemas = schemas
        Pair.__init__(self, seed, **line)

    def start_gateway(self) -> None:
        self.gateway = GatewaySession(
            self.NODE_ID,
            self.gateway_keys,
            self.epoch,
            self.held_set,
            self.random.bytes,
            STREAM,
            None,
            self.schemas,
        )
        self.gateway.set_utc(self.UTC_MS, 20)
        self.gateway.start(self.now)

    def learnt(self) -> "list[Event]":
        return [event for event in self.gateway_events if event[0] == "SCHEMA"]


def test_reports_wait_until_their_schema_is_known() -> None:
    pair = Learning({})
    for level in range(5):
        pair.make(values=(level,) + _LIGHT[1:])
    assert pair.run(60_000, pair.drained)
    assert [pair.held[rseq] for rseq in range(1, 6)] == [(n,) + _LIGHT[1:] for n in range(5)]
    assert pair.learnt() == [("SCHEMA", STREETLIGHT.hash, STREETLIGHT.encode(), b"")]
    assert pair.gateway.schema and pair.gateway.schema.encode() == STREETLIGHT.encode()
    assert pair.schemas[STREETLIGHT.hash] is pair.gateway.schema
    assert {fault for fault in pair.faults} <= {("gateway", "schema")}


def test_on_a_bad_line_and_across_restarts_too() -> None:
    for seed in range(10):
        pair = Learning({}, seed, jitter_ms=7)
        pair.up_line.loss = pair.down_line.loss = 40
        pair.make(values=_LIGHT)
        pair.run(50 + pair.random.below(900))
        if seed % 2:
            pair.start_gateway()
        else:
            pair.restart_node()
        assert pair.run(3_600_000, pair.drained), seed
        assert len(pair.learnt()) == 1 and not pair.doubled


def test_what_is_known_is_not_asked_for() -> None:
    pair = Learning(built_in())
    pair.make(values=_LIGHT)
    assert pair.run(5000, pair.drained)
    assert not pair.learnt() and pair.gateway._objects is None


def test_events_need_no_schema() -> None:
    pair = Learning({})
    pair.node._uplink._schema = None
    pair.up_line.loss = 0
    pair.make(m.EVENT, (m.EV_MOTION, 1))
    pair.run(60, lambda: 1 in pair.held)
    assert pair.held == {1: (m.EV_MOTION, 1)}


def test_each_schema_comes_back_whole() -> None:
    for schema in NEWEST + OLDER:
        again = decode(schema.encode())
        assert again.encode() == schema.encode() and again.hash == schema.hash
        assert (again.name, again.version, again.width) == (
            schema.name,
            schema.version,
            schema.width,
        )
    assert decode(cbor.encode([99, 1, b"depth_mm", 0, b"MMT"])).name == "class_99"


def test_what_is_no_schema_is_refused() -> None:
    """SCHEMA_NAME_BYTES and VALUES among its bounds."""
    plain: list[int | bytes] = [b"flow_lph", 0, b"E32", 0, 0, 0, 1]
    wide: list[int | bytes] = [b"hourly_l", 0, b"LTR", 1, 0, 0, VALUES]
    good = [9, 2, b"depth_mm", 0, b"MMT", 5, 1, 60, 1] + plain
    assert decode(cbor.encode(good)).fields[0].argument == 60
    wrong: tuple[tuple[int, int | bytes], ...] = (
        (0, -1),
        (0, b""),
        (1, 0),
        (1, b""),
        (2, 7),
        (2, b""),
        (2, b"Depth"),
        (2, b"d" * (SCHEMA_NAME_BYTES + 1)),
        (3, b""),
        (3, 19),
        (3, -1),
        (4, 5),
        (4, b"MMTR"),
        (4, b"\x07"),
        (5, 9),
        (5, -1),
        (6, 2),
        (7, 0),
        (7, 1 << 31),
        (8, 0),
        (8, VALUES + 1),
    )
    bodies = [cbor.encode(good[:at] + [item] + good[at + 1 :]) for at, item in wrong]
    slope = good[:5] + [8, 1, 31, 1] + plain
    bodies += [b"", b"\x09", b"\x09\x02", b"\xff", cbor.encode(good[:8]), cbor.encode(slope)]
    bodies.append(cbor.encode([9, 2] + wide + plain))
    many: list[int | bytes] = []
    for number in range(VALUES + 1):
        many += [b"flow_%d" % number] + plain[1:]
    bodies.append(cbor.encode([9, 2] + many))
    bodies.append(cbor.encode([9, 2] + plain + many[:7] + plain))  # two fields of one name
    for body in bodies:
        try:
            decode(body)
            raise AssertionError(body)
        except RemoteError as fault:
            assert fault.code == "schema"
    for fields in (wide, many[: 7 * VALUES]):
        assert decode(cbor.encode([9, 2] + fields)).width == VALUES


def test_what_foretells_itself_or_from_what_is_foretold_later_is_refused() -> None:
    """Fields that refer to none are foretold first: the others may refer to any of them."""
    plain: list[int | bytes] = [b"power_w", 1, b"WTT", LAST, 0, 0, 1]

    def referring(predictor: int, reference: int) -> "list[int | bytes]":
        return [b"energy_%d" % reference, 0, b"WHR", predictor, reference, 1, 1]

    for predictor in range(SLOPE + 1):
        one = referring(predictor, 1)
        later = [9, 2] + one + plain
        assert decode(cbor.encode(later)).fields[0].reference == 1
        itself = [9, 2] + referring(predictor, 0)
        each_other = [9, 2] + one + referring(predictor, 0)
        for items in (itself, each_other, [9, 2] + one + referring(predictor, 2) + plain):
            try:
                decode(cbor.encode(items))
                assert predictor not in REFERRING, items
            except RemoteError as fault:
                assert fault.code == "schema" and predictor in REFERRING, items
        backwards = [9, 2] + referring(predictor, 2) + referring(predictor, 0) + plain
        assert decode(cbor.encode(backwards)).width == 3
    for schema in NEWEST:
        assert decode(schema.encode()).hash == schema.hash  # two of them refer to later fields


def _offered(schemas: "Schemas", encoding: bytes, size: int) -> "tuple[Catalogue, Asking]":
    """A catalogue that lacks a schema, and the transfer of one under its name."""
    digest = sha256(encoding).digest()[:16]
    mine, objects = Catalogue(schemas), Asking(Random(1).bytes)
    assert mine.find(digest[:8]) is None and mine.lacking == digest[:8]
    items: list[int | bytes] = [m.OFFER, SCHEMA_HANDLE, digest, size, 100, m.OBJECT_SCHEMA]
    for event in objects.receive(m.OFFER, items, 0):
        assert mine.take(event, objects, 0) is None
    return mine, objects


def _depth(number: int, class_id: int = 1) -> bytes:
    """The encoding of a schema that no version has."""
    return cbor.encode([class_id, 100 + number, b"depth_mm", 0, b"MMT", 0, 0, 0, 1])


def _teach(mine: Catalogue, encoding: bytes) -> "Event | None":
    """Have it want that schema and hand it over."""
    digest = sha256(encoding).digest()[:16]
    assert mine.find(digest[:8]) is None
    objects = Asking(Random(1).bytes)
    offer: list[int | bytes] = [m.OFFER, 1, digest, len(encoding), 200, m.OBJECT_SCHEMA]
    block: list[int | bytes] = [m.BLOCK, 1, 0, encoding]
    for event in objects.receive(m.OFFER, offer, 0):
        assert mine.take(event, objects, 0) is None
    return [mine.take(event, objects, 0) for event in objects.receive(m.BLOCK, block, 0)][-1]


def test_what_is_too_long_is_not_learnt() -> None:
    """SCHEMA_BYTES."""
    encoding = cbor.encode([99, 1, b"depth_mm", 0, b"MMT"])
    _, objects = _offered({}, encoding, SCHEMA_BYTES + 1)
    assert objects.pull(0) == cbor.encode([m.WANT, SCHEMA_HANDLE, 0, 0])


def test_a_node_teaches_few_and_what_is_in_use_stays() -> None:
    """SCHEMAS: what it names for ever new costs what it taught before, and nothing else."""
    ours, others = built_in(), built_in()
    mine = Catalogue(ours)
    first = sha256(_depth(0)).digest()[:8]
    mine.begin(first)  # its reports are in the first one
    used = sha256(_depth(2)).digest()[:8]
    for number in range(50):
        told = _teach(mine, _depth(number))
        assert told and told[0] == "SCHEMA" and mine.lacking == b""
        assert len(ours) <= len(built_in()) + SCHEMAS
        assert first in ours and set(built_in()) <= set(ours)
        assert number < SCHEMAS or told[3] not in ours
        if number >= 2:
            assert mine.find(used)  # its backlog has these: the last to go
    assert others == built_in()
    again = Catalogue(ours)  # after a restart of the gateway: the same bound
    assert _teach(again, _depth(99)) and len(ours) == len(built_in()) + SCHEMAS


def test_a_node_teaches_its_own_class_only() -> None:
    mine = Catalogue({})
    mine.class_id = 1
    assert _teach(mine, _depth(0))
    try:
        _teach(mine, _depth(0, class_id=2))
        raise AssertionError("learnt")
    except RemoteError as fault:
        assert fault.code == "schema" and len(mine._schemas) == 1


class Spoilt(Learning):
    """A pair whose node hands out something else for its schema so many times."""

    def __init__(self, times: int):
        self.times = times
        self.spoilt = 0
        Learning.__init__(self, {})

    def _node_step(self) -> None:
        Learning._node_step(self)
        if self.spoilt < self.times and self.node.handout == STREETLIGHT.encode():
            self.node.handout = b"?" * len(self.node.handout)
            self.spoilt += 1


def test_a_schema_that_came_wrong_is_asked_for_again_later_and_not_for_ever() -> None:
    """TRIES in one session, each after a longer wait; the next session begins anew."""
    for times, longest_ms in ((0, 1000), (1, 4000), (TRIES - 1, 34_000), (TRIES, 70_000)):
        pair = Spoilt(times)
        pair.make(values=_LIGHT)
        began = pair.now
        assert pair.run(60_000, pair.drained) == (times < TRIES), times
        assert pair.spoilt == times and pair.now - began < longest_ms
        if times == TRIES:
            pair.times += 1
            pair.run(3_600_000)
            assert pair.spoilt == TRIES  # it was asked no more
            pair.times = 0
            pair.restart_node()
            assert pair.run(60_000, pair.drained)


def test_other_objects_are_the_host_s() -> None:
    mine, objects = Catalogue({}), Asking(Random(1).bytes)
    mine.find(bytes(8))
    for kind, digest in ((m.OBJECT_LOG, bytes(16)), (m.OBJECT_SCHEMA, b"1" * 16)):
        event = ("OFFER", 1, kind, digest, 10, 10)
        assert mine.take(event, objects, 0) == event
    for event in (("BLOCK", 1, 0, b"x"), ("OBJECT", 1, True), ("SENT", 1, True), ("WANT", b"")):
        assert mine.take(event, objects, 0) == event
    assert set(catalogue.built_in()) == {schema.hash for schema in NEWEST + OLDER}
