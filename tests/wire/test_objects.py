"""Objects over the line: offered, wanted, sent block by block, whole at the end."""

from hashlib import sha256

from kerbwire import cbor
from kerbwire import messages as m
from kerbwire.asking import Asking
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    BLOCK_BYTES,
    FRAME_BYTES,
    IDLE_MS,
    OBJECT_BYTES,
    OBJECT_HASH_BYTES,
    OBJECTS,
    SILENCE_MS,
    TRIES,
    UNACKED_FRAMES,
    WANTED_BLOCKS,
)
from kerbwire.objects import Objects
from kerbwire.schema import STREETLIGHT
from wire.pair import Pair, Random, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine, Event

_LATER_S = Pair.UTC_MS // 1000 + 3600


class Host:
    """What one end has: objects to give by hash, and what came of others, which outlives it."""

    def __init__(self) -> None:
        self.block = 1
        self.given: dict[int, bytes] = {}  # under these handles
        self.blocks: dict[bytes, list[bytes]] = {}  # came, by hash
        self.coming: dict[int, bytes] = {}  # under these handles
        self.written = 0  # blocks, each time that one was asked for
        self.ended: list[Event] = []

    def offer(self, session: "Engine", handle: int, data: bytes, block: int) -> None:
        """Offer `data`."""
        digest = sha256(data).digest()[:16]
        self.given[handle] = data
        self.block = block
        session.objects.offer(handle, m.OBJECT_UPDATE, digest, len(data), block)

    def take(self, session: "Engine", event: "Event") -> None:
        """One event of the engine."""
        if event[0] == "OFFER":
            _, handle, _, digest, _, _ = event
            assert isinstance(handle, int) and isinstance(digest, bytes)
            self.coming[handle] = digest
            held = self.blocks.setdefault(digest, [])
            hashed = sha256()
            for block in held:
                hashed.update(block)
            self.ended += session.objects.accept(handle, len(held), hashed)
        elif event[0] == "BLOCK":
            _, handle, index, data = event
            assert isinstance(handle, int) and isinstance(data, bytes)
            held = self.blocks[self.coming[handle]]
            assert index == len(held)
            held.append(data)
        elif event[0] == "WANTED":
            _, handle, index = event
            assert isinstance(handle, int) and isinstance(index, int)
            at = index * self.block
            session.objects.give(handle, index, self.given[handle][at : at + self.block])
            self.written += 1
        elif event[0] in ("OBJECT", "SENT"):
            self.ended.append(event)

    def has(self, data: bytes) -> bool:
        """Did all of it come?"""
        at = 0
        for block in self.blocks.get(sha256(data).digest()[:16], []):
            if data[at : at + len(block)] != block:
                return False
            at += len(block)
        return at == len(data)


class ObjectPair(Pair):
    """A pair whose hosts move objects."""

    def __init__(self, seed: int = 1, **line: int):
        self.below = Host()
        self.above = Host()
        Pair.__init__(self, seed, **line)

    def _node_step(self) -> None:
        Pair._node_step(self)
        for event in self.node_events:
            self.below.take(self.node, event)
        self.node_events.clear()
        self._write(self.node, self.up_line)

    def _gateway_step(self) -> None:
        Pair._gateway_step(self)
        for event in self.gateway_events:
            self.above.take(self.gateway, event)
        self.gateway_events.clear()
        self._write(self.gateway, self.down_line)

    def ends(self, direction: int) -> "tuple[tuple[Engine, Host], tuple[Engine, Host]]":
        """(session, host) of the sender, then of the receiver; direction 0 is up."""
        above, below = (self.gateway, self.above), (self.node, self.below)
        return (above, below) if direction else (below, above)


def _pair(seed: int = 1, **line: int) -> ObjectPair:
    pair = ObjectPair(seed, **line)
    pair.settled()
    return pair


def _data(count: int) -> bytes:
    return Random(count).bytes(count)


def test_objects_go_both_ways() -> None:
    for size, block in ((1, 1), (500, 100), (501, 100), (5000, BLOCK_BYTES)):
        for direction in (0, 1):
            pair = _pair()
            (sender, from_), (_, to) = pair.ends(direction)
            from_.offer(sender, 3, _data(size), block)
            assert pair.run(60_000, lambda: bool(to.ended and from_.ended)), (size, direction)
            assert to.has(_data(size))
            assert to.ended == [("OBJECT", 3, True)] and from_.ended == [("SENT", 3, True)]
            assert from_.written == -(-size // block) and not pair.faults


def test_a_bad_line_costs_time_only() -> None:
    for seed in range(12):
        pair = _pair(seed, delay_ms=5, jitter_ms=9)
        pair.up_line.loss = pair.down_line.loss = 30
        pair.up_line.repeat = pair.down_line.repeat = 20
        pair.up_line.garble = pair.down_line.garble = 10
        pair.above.offer(pair.gateway, 1, _data(3000), 128)
        pair.below.offer(pair.node, 1, _data(2000), 100)
        over = [pair.above, pair.below]
        assert pair.run(3_600_000, lambda: all([len(host.ended) == 2 for host in over])), seed
        assert pair.below.has(_data(3000)) and pair.above.has(_data(2000))
        assert pair.above.written == 24 and pair.below.written == 20  # repeats are the engine's


def test_after_a_lost_link_or_gateway_at_most_one_block_comes_again() -> None:
    for how in ("line", "silence", "gateway", "node"):
        for stop in range(1, 12):
            pair = _pair(stop)
            pair.above.offer(pair.gateway, 1, _data(1200), 100)
            pair.run(3600, lambda: pair.above.written == stop)
            if how == "gateway":  # knows nothing any more, but its object
                pair.start_gateway()
            elif how == "node":  # a power cut; flash has its blocks
                pair.restart_node()
            elif how == "line":
                pair.gateway.failed(pair.now)
                pair.node.failed(pair.now)
            else:
                pair.up_line.cut = pair.down_line.cut = True
                pair.run(SILENCE_MS + IDLE_MS)
                pair.up_line.cut = pair.down_line.cut = False
            if how == "gateway":
                pair.settled()
                pair.above.offer(pair.gateway, 1, _data(1200), 100)
            done = pair.run(900_000, lambda: ("OBJECT", 1, True) in pair.below.ended)
            assert done and pair.below.has(_data(1200)), (how, stop)
            assert pair.above.written <= 12 + 1, (how, stop)


_LONG = 100_000  # an update of every file of a node
_LONG_BLOCKS = -(-_LONG // BLOCK_BYTES)


def _blocks(pair: ObjectPair) -> int:
    """Blocks that went down: frames of class 2 that are no short OFFER."""
    count = 0
    for data in pair.down_line.written:
        count += len([f for f in frames([data]) if f[0] & 3 == 2 and len(f) > 60])
    return count


def test_a_link_cut_at_any_frame_costs_one_block() -> None:
    """100 kB over a line that ends at each k-th frame, whichever way; the session lives."""
    data = _data(_LONG)
    for every in (3, 40):
        pair = _pair(every)
        pair.above.offer(pair.gateway, 1, data, BLOCK_BYTES)
        cuts = 0
        while not pair.above.ended:
            start = len(pair.up_line.written) + len(pair.down_line.written)

            def gone() -> bool:
                sent = len(pair.up_line.written) + len(pair.down_line.written)
                return sent >= start + every or bool(pair.above.ended)

            assert pair.run(3_600_000, gone)
            pair.up_line._flying.clear()  # what is on the line is lost with it
            pair.down_line._flying.clear()
            pair.gateway.failed(pair.now)
            pair.node.failed(pair.now)
            cuts += 1
        assert pair.below.has(data) and cuts > _LONG_BLOCKS // every
        assert pair.above.written == _LONG_BLOCKS, every  # the host is asked for none twice
        assert _LONG_BLOCKS <= _blocks(pair) <= _LONG_BLOCKS + cuts, (every, cuts)


def test_an_end_that_begins_anew_at_any_frame_costs_one_block() -> None:
    """100 kB, and either end loses all but its objects and blocks, again and again."""
    data = _data(_LONG)
    for who in ("gateway", "node", "both"):
        pair = _pair(9)
        pair.above.offer(pair.gateway, 1, data, BLOCK_BYTES)
        cuts = 0
        while not pair.below.ended:
            start = len(pair.up_line.written) + len(pair.down_line.written)

            def gone() -> bool:
                sent = len(pair.up_line.written) + len(pair.down_line.written)
                return sent >= start + 40 or bool(pair.below.ended)

            assert pair.run(3_600_000, gone)
            if who != "gateway":
                pair.restart_node()
            if who != "node":
                pair.start_gateway()
                pair.settled()
                pair.above.offer(pair.gateway, 1, data, BLOCK_BYTES)
            cuts += 1
        assert pair.below.has(data) and cuts > _LONG_BLOCKS // 40
        assert pair.above.written <= _LONG_BLOCKS + cuts, (who, cuts)


def test_all_held_already_is_looked_at_once() -> None:
    pair = _pair()
    data = _data(300)
    digest = sha256(data).digest()[:16]
    for first in (data, b"?" + data[1:]):
        pair.below.blocks[digest] = [first[:100], first[100:200], first[200:]]
        pair.below.ended.clear()
        pair.above.ended.clear()
        pair.above.offer(pair.gateway, 1 + (first != data), data, 100)
        pair.run(1000, lambda: bool(pair.above.ended))
        assert pair.above.written == 0
        assert pair.above.ended[0][2] == pair.below.ended[0][2] == (first == data)


def test_what_is_not_what_was_offered_is_refused() -> None:
    pair = _pair()
    pair.above.offer(pair.gateway, 1, _data(300), 100)
    pair.above.given[1] = b"?" * 300
    assert pair.run(5000, lambda: bool(pair.above.ended))
    assert pair.below.ended == [("OBJECT", 1, False)] and pair.above.ended == [("SENT", 1, False)]


def test_an_object_may_be_refused_at_once_or_later() -> None:
    for after in (0, 1):
        sender, receiver = Objects(Random(1).bytes), Objects(Random(2).bytes)
        sender.offer(7, m.OBJECT_LOG, bytes(32), 300, 100)
        assert _passed(sender, receiver) == [("OFFER", 7, m.OBJECT_LOG, bytes(32), 300, 100)]
        if after:
            assert receiver.accept(7) == []
            assert _passed(receiver, sender) == [("WANTED", 7, 0)]
            sender.give(7, 1, b"late")  # not the one that is wanted
            assert sender.pull(1) is None
            sender.give(7, 0, bytes(100))
            assert _passed(sender, receiver) == [("BLOCK", 7, 0, bytes(100))]
        receiver.refuse(7)
        assert _passed(receiver, sender) == [("SENT", 7, False)]
        assert sender.deadline() is None and not sender.busy
        sender.offer(7, m.OBJECT_LOG, bytes(32), 300, 100)  # once more: the host is asked again
        assert _passed(sender, receiver)[0][0] == "OFFER"


def _passed(sender: Objects, receiver: Objects, now: int = 0) -> "list[Event]":
    """What the next body of one end brings at the other one."""
    body = sender.pull(now)
    assert body is not None
    items = cbor.decode(body)
    assert isinstance(items[0], int)
    return receiver.receive(items[0], items, now)


def test_an_object_may_be_asked_for_by_its_hash() -> None:
    above, below = Asking(Random(1).bytes), Objects(Random(2).bytes)
    data = _data(50)
    digest = sha256(data).digest()
    above.want(digest[:8])
    assert _passed(above, below) == [("WANT", digest[:8])]
    assert above.pull(1) is None and above.deadline() is not None
    assert _passed(above, below, 500) == [("WANT", digest[:8])]  # until it is offered
    above.begin()
    assert _passed(above, below, 501) == [("WANT", digest[:8])]  # a new session asks at once
    below.offer(1, m.OBJECT_SCHEMA, digest, 50, 50)
    assert _passed(below, above, 502)[0][0] == "OFFER"
    assert above.deadline() is None
    above.want(digest[:8])
    above.want(b"")
    assert above.pull(600) is None


def test_a_hash_that_is_asked_for_fits_in_all_its_bytes() -> None:
    """Not in the first eight only: 9 to 32 bytes name one object, or none."""
    digest = sha256(STREETLIGHT.encode()).digest()
    for count in (8, 9, 16, 17, 32):
        pair = Pair().settled()
        pair.gateway.objects.want(digest[:count])
        pair.run(100)
        offered = [event for event in pair.gateway_events if event[0] == "OFFER"]
        assert [event[3] for event in offered[:1]] == [digest[: max(16, count)]], count
        assert pair.gateway.objects._request is None  # that is it
        if count > 8:
            other = digest[: count - 1] + bytes((digest[count - 1] ^ 1,))
            pair.gateway.objects.want(other)
            pair.gateway_events.clear()
            pair.run(100)
            assert not [event for event in pair.gateway_events if event[0] == "OFFER"]
            assert ("WANT", other) in pair.node_events  # the host may have it


def test_what_is_withdrawn_is_let_go_of_and_makes_room() -> None:
    above, below = Asking(Random(1).bytes), Objects(Random(2).bytes)
    data = _data(500)
    digest = sha256(data).digest()[:16]
    above.offer(7, m.OBJECT_UPDATE, digest, 500, 100)
    assert _passed(above, below)[0][0] == "OFFER"
    below.accept(7)
    assert _passed(below, above) == [("WANTED", 7, 0)]
    above.withdraw(8)  # nothing is offered under that
    above.withdraw(7)
    told = _passed(above, below, 10_000)
    assert [event[:3] for event in told] == [("OBJECT", 7, False), ("OFFER", 7, 0)]
    below.refuse(7)
    assert _passed(below, above, 10_000) == [("SENT", 7, False)]
    assert above.deadline() is None and below.deadline() is None
    for handle in range(8, 12):  # of a peer that does not answer, one after the other
        above.offer(handle, m.OBJECT_UPDATE, digest, 500, 100)
        above.withdraw(handle)
    above.offer(20, m.OBJECT_UPDATE, digest, 500, 100)
    above.begin()
    bodies = [cbor.decode(above.pull(0) or b"") for _ in range(2)]
    assert [(body[1], body[5]) for body in bodies] == [(11, 0), (20, m.OBJECT_UPDATE)]
    assert above.pull(0) is None


def test_another_object_under_a_handle_in_use_ends_the_one_before() -> None:
    sender, receiver = Objects(Random(1).bytes), Objects(Random(2).bytes)
    sender.offer(7, m.OBJECT_LOG, bytes(32), 300, 100)
    first = _passed(sender, receiver)[0]
    other: list[int | bytes] = [m.OFFER, 7, b"1" * 32, 300, 100, m.OBJECT_LOG]
    # While the host thinks, its answer would be taken for the other's; the sender repeats.
    assert receiver.receive(m.OFFER, other, 0) == []
    assert first[0] == "OFFER" and receiver.accept(7) == []
    assert _passed(receiver, sender) == [("WANTED", 7, 0)]
    sender.give(7, 0, bytes(100))
    assert _passed(sender, receiver) == [("BLOCK", 7, 0, bytes(100))]
    told = receiver.receive(m.OFFER, other, 0)
    assert told == [("OBJECT", 7, False), ("OFFER", 7, m.OBJECT_LOG, b"1" * 32, 300, 100)]
    receiver.refuse(7)
    third = other[:2] + [b"2" * 32] + other[3:]
    assert [event[0] for event in receiver.receive(m.OFFER, third, 0)] == ["OFFER"]  # one ended


def test_a_node_that_starts_again_in_an_offer_offers_anew() -> None:
    """With other bytes under the same handle, at every block of the first."""
    for stop in range(5):
        pair = _pair(stop + 1)
        pair.below.offer(pair.node, 1, _data(500), 100)
        pair.run(2000, lambda: pair.below.written == stop)
        pair.restart_node()
        pair.below.offer(pair.node, 1, _data(333), 100)
        assert pair.run(60_000, lambda: pair.above.has(_data(333))), stop
        pair.run(1000)
        ended = [event for event in pair.above.ended if event[2]]
        assert ended == [("OBJECT", 1, True)] and not pair.above.has(_data(500))
        assert pair.below.ended == [("SENT", 1, True)]
        assert stop == 0 or ("OBJECT", 1, False) in pair.above.ended, stop


def test_whatever_a_peer_says_a_host_is_told_of_each_object_s_end_once() -> None:
    """Offers over offers, blocks of any, hosts that take, refuse or wait: in order all the same."""
    random = Random(5)
    whole = 0
    for _ in range(60):
        receiver = Objects(random.bytes)
        bodies = [random.bytes(1 + random.below(40)) for _ in range(4)]
        taken: dict[int, bytes] = {}  # what came under the handles that are under way
        hashes: dict[int, bytes] = {}
        asked: list[int] = []
        for _ in range(400):
            data = bodies[random.below(4)]
            handle = random.below(3)
            what = random.below(8)
            items: list[int | bytes] = [m.BLOCK, handle]
            if what == 0:
                items = [m.OFFER, handle, sha256(data).digest(), len(data), 10, m.OBJECT_LOG]
            elif what == 1 and random.chance(20):
                receiver.begin()
                continue
            else:
                at = random.below(1 + len(data) // 10)
                if handle in taken and random.chance(80):
                    at = len(taken[handle]) // 10
                    data = next(d for d in bodies if sha256(d).digest() == hashes[handle])
                items += [at, data[10 * at : 10 * at + 10]]
            try:
                events = receiver.receive(m.BLOCK if what else m.OFFER, items, 0)
            except RemoteError:
                events = []
            for event in events:
                kind, handle = event[:2]
                assert isinstance(handle, int)
                if kind == "OFFER":
                    assert handle not in taken and handle not in asked, event
                    assert isinstance(event[3], bytes)
                    hashes[handle] = event[3]
                    asked.append(handle)
                elif kind == "BLOCK":
                    assert isinstance(event[3], bytes) and event[2] == len(taken[handle]) // 10
                    taken[handle] += event[3]
                else:
                    assert kind == "OBJECT" and (handle in taken or handle in asked)
                    if event[2]:
                        assert sha256(taken[handle]).digest() == hashes[handle]
                        whole += 1
                    taken.pop(handle, None)
                    asked = [other for other in asked if other != handle]
            for handle in [handle for handle in asked if random.chance(50)]:
                asked.remove(handle)
                if random.chance(80):
                    taken[handle] = b""
                    assert receiver.accept(handle) == []
                else:
                    receiver.refuse(handle)
            assert len(taken) <= OBJECTS
            receiver.pull(0)
    assert whole > 100


def test_a_block_takes_one_place_and_holds_nothing_up() -> None:
    """UNACKED_FRAMES, and TRIES of a block before backing off."""
    pair = _pair()
    pair.above.offer(pair.gateway, 1, _data(20_000), 200)
    pair.run(1000, lambda: pair.gateway.objects.busy)
    pair.up_line.cut = True
    for command_id in range(1, UNACKED_FRAMES + 1):
        pair.gateway.send_command(command_id, _LATER_S, m.OP_IDENTIFY, (1,))
    commands: list[Event] = []
    pair.down_line.written.clear()
    pair.run(20)
    sizes = [len(data) for data in frames(pair.down_line.written)]
    assert len([size for size in sizes if size < 60]) >= UNACKED_FRAMES - 1  # at once
    pair.run(600)
    blocks = len([size for size in sizes if size > 200])
    assert blocks <= 1 and not commands
    pair.up_line.cut = False
    for command_id in range(1, UNACKED_FRAMES + 1):
        pair.node.send_result(command_id, m.OK, 0)
    assert pair.run(60_000, lambda: pair.below.has(_data(20_000)))
    pair = _pair()
    pair.above.offer(pair.gateway, 1, _data(2000), 200)
    pair.run(1000, lambda: pair.gateway.objects.busy)
    pair.up_line.cut = True
    pair.down_line.written.clear()
    pair.run(20_000)
    big = [data for data in frames(pair.down_line.written) if len(data) > 200]
    assert TRIES <= len(big) <= TRIES + 4


def test_a_live_report_overtakes_an_object() -> None:
    pair = _pair()
    pair.below.offer(pair.node, 1, _data(20_000), 200)
    pair.run(500)
    slowest = 0
    for _ in range(20):
        began = pair.now
        rseq = pair.make()
        assert pair.run(2000, lambda: rseq in pair.held)
        slowest = max(slowest, pair.now - began)
    assert slowest <= 25


def test_objects_at_a_time() -> None:
    """OBJECTS: one more is refused here, and displaces one there."""
    sender, receiver = Objects(Random(1).bytes), Objects(Random(2).bytes)
    for handle in range(OBJECTS):
        sender.offer(handle, 1, bytes(32), 10, 10)
        _passed(sender, receiver)
    assert _local(sender, OBJECTS) == "window"
    offer: list[int | bytes] = [m.OFFER, 9, bytes(32), 10, 10, 1]
    events = receiver.receive(m.OFFER, offer, 0)
    assert events == [("OBJECT", 0, False), ("OFFER", 9, 1, bytes(32), 10, 10)]
    assert len(receiver._incoming) == OBJECTS


def _local(objects: Objects, handle: int, hash_: bytes = bytes(32), size: int = 1) -> str:
    try:
        objects.offer(handle, 1, hash_, size, 1)
    except LocalError as fault:
        return fault.code
    return ""


def _remote(items: "list[int | bytes]", *, accepted: bool = True) -> str:
    objects = Objects(Random(1).bytes)
    objects.offer(5, 1, bytes(32), 100 * 100, 100)
    objects.receive(m.OFFER, [m.OFFER, 5, bytes(32), 250, 100, 1], 0)
    if accepted:
        objects.accept(5)
    assert isinstance(items[0], int)
    try:
        objects.receive(items[0], items, 0)
    except RemoteError as fault:
        return fault.code
    return ""


def test_bounds_of_what_a_peer_says() -> None:
    """OBJECT_BYTES, OBJECT_HASH_BYTES, BLOCK_BYTES, WANTED_BLOCKS."""
    digest = bytes(OBJECT_HASH_BYTES)
    offer: list[int | bytes] = [m.OFFER, 0, digest, OBJECT_BYTES, BLOCK_BYTES, 0]
    assert _remote(offer) == "" and _remote(offer + [b"unknown"]) == ""
    wrong: tuple[tuple[int, int | bytes], ...] = (
        (1, 256),
        (1, -1),
        (1, b""),
        (2, digest[1:]),
        (2, bytes(33)),
        (2, 0),
        (3, 0),
        (3, OBJECT_BYTES + 1),
        (4, 0),
        (4, BLOCK_BYTES + 1),
        (5, 256),
        (5, b""),
    )
    for at, item in wrong:
        assert _remote(offer[:at] + [item] + offer[at + 1 :]) == "value", (at, item)
    assert _remote(offer[:5]) == "value"
    whole = (1 << WANTED_BLOCKS) - 1
    assert _remote([m.WANT, 5, 0, whole]) == "" and _remote([m.WANT, 5, 0, whole + 1]) == "value"
    assert _remote([m.WANT, 5, 99, 2]) == "value" and _remote([m.WANT, 5, 101, 0]) == "value"
    assert _remote([m.WANT, 5, -1, 1]) == "value" and _remote([m.WANT, 5, 0, -1]) == "value"
    assert _remote([m.WANT, 5, b"", 1]) == "value" and _remote([m.WANT, 5, 0]) == "value"
    assert _remote([m.WANT, 9, 0, 1]) == ""  # long ended
    assert _remote([m.WANT, bytes(7)]) == "value" and _remote([m.WANT]) == "value"
    assert _remote([m.BLOCK, 5, 0, bytes(100)]) == "" and _remote([m.BLOCK, 5, 0]) == "value"
    assert _remote([m.BLOCK, 5, 0, bytes(99)]) == "value"
    assert _remote([m.BLOCK, 5, -1, b""]) == "value" and _remote([m.BLOCK, 5, 0, 0]) == "value"
    assert _remote([m.BLOCK, 5, 1, bytes(100)]) == ""  # not its turn: WANT says so
    assert _remote([m.BLOCK, 6, 0, b"x"]) == "object"
    assert _remote([m.BLOCK, 5, 0, bytes(100)], accepted=False) == "object"


def test_the_largest_block_fits_a_frame() -> None:
    largest = OBJECT_BYTES // BLOCK_BYTES
    body = cbor.encode([m.BLOCK, 255, largest, bytes(BLOCK_BYTES)])
    assert 1 + 1 + 2 + len(body) + 8 <= FRAME_BYTES
    assert _local(Objects(Random(1).bytes), 0, bytes(15)) == "object"
    assert _local(Objects(Random(1).bytes), 0, size=OBJECT_BYTES + 1) == "object"
