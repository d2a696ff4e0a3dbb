"""Throws random, mutated and properly sealed nonsense at both ends, in every state.

A round is one seed: a pair in some state, and FRAMES frames at one of its ends. A failing round is
told by its number, which brings it about again:

PYTHONPATH=protocol:tests .venv/bin/python tests/wire/fuzz.py FIRST ROUNDS
MICROPYPATH=.frozen:protocol:tests .venv/bin/micropython tests/wire/fuzz.py FIRST ROUNDS
"""

import gc
import sys

from kerbwire import batch, cbor, cobs, frame, keyschedule
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import LocalError
from kerbwire.limits import DATAGRAM, HELD_SPANS, STREAM
from kerbwire.schema import SCHEMAS, STREETLIGHT
from wire.pair import Pair, Random, drained, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.engine import Engine

FRAMES = 250  # of one round
WEIGHT = 8 * HELD_SPANS  # objects below one engine, at the very most
GROWTH_BYTES = 64 * 1024  # that a whole run may leave behind on MicroPython
_EDGES = (0, 1, -1, 23, 24, 255, 256, 4096, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 1 << 63)
_BODIES: "tuple[tuple[int | bytes, ...], ...]" = (
    (m.INFO, 1, STREETLIGHT.hash, 1, 77, 1, 3, 120, 900, 256, 4, 0),
    (m.REPORT, 0, 9, 0, 900, 1, 2, 3, 4, 5, 6),
    (m.REPORT, 1, 9, 5, 1, -1),
    (m.BATCH,),
    (m.EVENT, 7, 0, 800, 2, 1),
    (m.GAP, 20, 25, 1),
    (m.POLL, 4, 2, 1, 2, 3, 1, 2, 1, 1, 2, 1, 0, 5, 1_790_000_000_000, 20),
    (m.COMMAND, 5, 1_790_000_060, 1, 80, 30, 500),
    (m.RESULT, 5, 0, 80),
    (m.IDLE,),
    (m.NEED_KEYFRAME,),
    (14, 1, 2),
    (m.OFFER, 1, bytes(16), 300, 100, 2),
    (m.WANT, 1, 0, 7),
    (m.WANT, bytes(8)),
    (m.BLOCK, 1, 0, bytes(100)),
)
STATES = ("rest", "greeting", "keeping", "confirming", "up", "busy")


def _pair_in(state: str, seed: int, framing: int) -> Pair:
    pair = Pair(seed, framing)
    if state == "rest":
        pair.node._handshake._due_ms = None
        return pair
    pair.hold_node_key = state == "keeping"
    pair.hold_gateway_keys = state in ("greeting", "keeping")
    pair.down_line.cut = state == "confirming"
    pair.run(30)
    if state in ("up", "busy"):
        pair.settled()
    if state == "busy":
        pair.hold_keep = bool(seed & 1)
        for number in range(6):
            pair.make(values=(number, 1, 2, 3, 4, 5, 6))
            pair.run(7)
        pair.gateway.send_command(5, Pair.UTC_MS // 1000 + 60, m.OP_IDENTIFY, (3,))
        pair.run(3)
    return pair


class _Source:
    """Makes the frames of one round for one end of a pair."""

    def __init__(self, pair: Pair, random: Random, *, upward: bool):
        self.random = random
        self._upward = upward
        self._pair = pair
        written = (pair.up_line if upward else pair.down_line).written
        self._captured = written[:] if pair.framing == DATAGRAM else frames(written)

    def next(self) -> bytes:
        """One frame, or bytes that are none."""
        kind = self.random.below(10)
        if kind < 2 or not self._captured:
            return self.random.bytes(self.random.below(80))
        if kind < 5:
            return self._mutated(self._captured[self.random.below(len(self._captured))])
        if kind < 6:
            return self._plain()
        return self._sealed()

    def _mutated(self, data: bytes) -> bytes:
        for _ in range(1 + self.random.below(3)):
            at = self.random.below(len(data) + 1)
            how = self.random.below(4)
            if how == 0:
                data = data[:at] + self.random.bytes(1) + data[at + 1 :]
            elif how == 1:
                data = data[:at]
            elif how == 2:
                data = data[:at] + self.random.bytes(self.random.below(9)) + data[at:]
            else:
                other = self._captured[self.random.below(len(self._captured))]
                data = data[:at] + other[at:]
        return data

    def _items(self, items: "tuple[int | bytes, ...]") -> bytes:
        """A body with some of its items replaced, left out or added."""
        made = list(items)
        for _ in range(self.random.below(3)):
            at = self.random.below(len(made) + 1)
            how = self.random.below(5)
            if how < 3:
                made[at : at + 1] = [self._item()]
            elif how == 3:
                made = made[:at]
            else:
                made += [self._item() for _ in range(self.random.below(60))]
        if items == (m.BATCH,):
            return self._batch()
        body = cbor.encode(made)
        return self._mutated(body) if self.random.chance(10) else body

    def _batch(self) -> bytes:
        """Packed records of some schema, or bits that are none."""
        schema = SCHEMAS[self.random.below(len(SCHEMAS))]
        records = []
        for number in range(1 + self.random.below(12)):
            values = tuple([self.random.below(1 << 1 + place) for place in range(schema.width)])
            records.append((100 + number, 1, 900 * number, values))
        body = batch.encode(records, None, schema, self._pair.node.info)
        if self.random.chance(30):
            return body
        at = self.random.below(len(body))
        return body[: 1 + at] + self._mutated(body[1 + at :] + bytes(1))

    def _item(self) -> "int | bytes":
        if self.random.chance(10):
            return self.random.bytes(self.random.below(20))
        number = _EDGES[self.random.below(len(_EDGES))] - self.random.below(3)
        return -number if self.random.chance(20) else number

    def _plain(self) -> bytes:
        """A greeting with a MAC that is right more often than not."""
        pair = self._pair
        node = pair.node._handshake
        gateway = pair.gateway._handshake
        direction = frame.UP if self._upward else frame.DOWN
        head = frame.plain_header(direction, None if pair.framing == STREAM else 7)
        key = node.key if self._upward else gateway.keys[1]
        if self._upward:
            nonce = self.random.bytes(8)
            items = (m.HELLO, pair.NODE_ID, node.generation + self.random.below(3), nonce)
        else:
            items = (m.WELCOME, node.generation, self.random.bytes(8), 7)
        if self.random.chance(20):
            return head + cbor.encode([m.HELLO_REQUEST])
        data = head + self._items(items)
        return data + keyschedule.hello_mac(key, data + (b"" if self._upward else node._nonce))

    def _sealed(self) -> bytes:
        """A body of any kind, sealed as only the peer itself can."""
        channel = self._channel()
        body = self._items(_BODIES[self.random.below(len(_BODIES))])
        if channel is None:
            return body
        if self.random.chance(5):
            channel.sent += self.random.below(200)
        class_ = m.CLASS_OF.get(body[0] if body else 0, m.CLASS_CONTROL)
        if self.random.chance(5):
            class_ = self.random.below(3)
        return channel.seal(class_, body[:230], self._pair.now)

    def _channel(self) -> "Channel | None":
        """The far end of one of the victim's own sessions, always in step with it."""
        pair = self._pair
        if self._upward:
            greeted = pair.gateway._handshake._pending
            pending, current = greeted.channel if greeted else None, pair.gateway.channel
        else:
            pending, current = pair.node._handshake._pending, pair.node.channel
        near = pending if current is None or self.random.chance(20) else current
        if near is None:
            return None
        far = Channel(near._keys, 1 - near.direction, near.parity, near.address, pair.now)
        far.sent = near.top + 1
        far.schema_hash = near.schema_hash
        return far


def _use(pair: Pair, session: "Engine", random: Random) -> None:
    """What a host does between frames."""
    for event in drained(session):
        handle = event[1] if len(event) > 1 else None
        if event[0] == "OFFER" and isinstance(handle, int) and random.chance(80):
            session.objects.accept(handle)
        elif event[0] == "WANTED" and isinstance(handle, int) and isinstance(event[2], int):
            session.objects.give(handle, event[2], bytes(100))
    if random.chance(2):
        session.objects.offer(random.below(2), 1, bytes(16), 1000, 100)
    session.outgoing(pair.now)
    if random.chance(10):
        pair.node.key_stored(pair.now)
        pair.gateway.key_stored(pair.now)
    if random.chance(5):
        pair.now += random.below(100_000)
    if random.chance(5):
        pair.gateway.keep(pair.epoch, 1 + random.below(500), 500 + random.below(9))
    if session is pair.node and pair.node.window(pair.now):
        rseq = pair.next_rseq
        if pair.node.wants(rseq):
            pair.node.send_report((rseq, 1, rseq, (1, 2, 3, 4, 5, 6)), pair.now)
        pair.next_rseq += 1
        pair.node.info.next_rseq = pair.next_rseq
    due = (pair.node if session is pair.node else pair.gateway).deadline()
    assert due is None or isinstance(due, int)


def play(seed: int, wrap: "Callable[[Pair], None] | None" = None) -> None:
    """One round; AssertionError tells what went wrong in which. `wrap` may put itself between."""
    random = Random(seed)
    upward = bool(seed & 1)
    framing = DATAGRAM if seed & 2 else STREAM
    pair = _pair_in(STATES[seed // 4 % len(STATES)], seed, framing)
    if wrap:
        wrap(pair)
    session = pair.gateway if upward else pair.node
    source = _Source(pair, random, upward=upward)
    for number in range(FRAMES):
        data = source.next()
        if framing == STREAM and data and random.chance(90):
            data = cobs.encode(data[:254])
        try:
            session.receive(data, pair.now)
            _use(pair, session, random)
        except LocalError as fault:
            raise AssertionError("round {} frame {}: {}".format(seed, number, fault.code))
        except Exception as fault:  # noqa: BLE001 - whatever escapes is what we look for
            raise AssertionError("round {} frame {}: {!r}".format(seed, number, fault))
    assert weight(session) <= WEIGHT, (seed, weight(session))


def weight(thing: object) -> int:
    """How many objects hang on an engine (on MicroPython 0: there the heap itself is measured)."""
    if sys.implementation.name != "cpython":
        return 0
    if isinstance(thing, (list, tuple)):
        return 1 + sum([weight(item) for item in thing])
    if isinstance(thing, dict):
        return 1 + sum([weight(item) for item in thing.values()])
    total = 1
    for class_ in type(thing).__mro__:
        for name in getattr(class_, "__slots__", ()):
            total += weight(getattr(thing, name, None))
    return total


def run(first: int, rounds: int) -> int:
    """So many rounds; the number of frames thrown."""
    play(first)
    gc.collect()
    before = gc.mem_alloc() if sys.implementation.name != "cpython" else 0
    for seed in range(first, first + rounds):
        play(seed)
    gc.collect()
    after = gc.mem_alloc() if sys.implementation.name != "cpython" else 0
    assert after - before < GROWTH_BYTES, (before, after)
    return rounds * FRAMES


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])), "frames, nothing escaped, nothing grew")
