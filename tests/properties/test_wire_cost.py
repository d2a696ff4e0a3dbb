"""No frame of a length costs more than the dearest valid frame of that length.

Cost is the number of executed lines of kerbwire on CPython, from a datagram to its events, in an
engine that has a session. COBS is measured apart: any bytes may be the ciphertext of a valid frame.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from kerbwire import batch, cbor, cobs, keyschedule
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.fields import Field, Schema
from kerbwire.limits import CBOR_ITEMS, CONFIG_KEYS, DATAGRAM, TAG_BYTES, VALUES
from kerbwire.schema import STREETLIGHT
from tests.properties.executed import lines
from tests.wire.pair import Pair, Random, drained, flipped

Items = list[int | bytes]

# As many fields as can be, and of them each number of the first ones is an older version's record.
SCHEMA = Schema(9, "class_9", 9, tuple([Field(f"n{n}", 0, "E48") for n in range(VALUES)]))
HEADER = 4
LEAST = 33  # a peer's lie may cost what the dearest frame of so many bytes costs ...
REFUSAL = 40  # ... and the lines of raising and telling a fault, which a valid frame has not
PACKED = (12,)  # BATCH: few bytes are many records
SHORTEST = HEADER + 1 + TAG_BYTES
LENGTHS = (SHORTEST, SHORTEST + 1, 20, 33, 48, 64, 97, 150, 200, 254)


class Victim:
    """One end of a pair in a session; every frame meets it in the same state."""

    def __init__(self, pair: Pair, *, gateway: bool) -> None:
        self._end: Any = pair.gateway if gateway else pair.node
        self._now = pair.now
        near: Any = self._end.channel
        self._keys = near._keys
        self.far = Channel(near._keys, 1 - near.direction, near.parity, near.address, pair.now)
        self.far.sent = near.top + 1
        self.far.schema_hash = near.schema_hash
        drained(self._end)

    def cost(self, data: bytes) -> int:
        """The lines that this frame takes."""
        twin = copy.deepcopy(self._end, {id(self._keys): self._keys})
        return lines(lambda: twin.receive(data, self._now))

    def within(self, data: bytes, lines: int) -> bool:
        """Does it cost no more, what is imported only for the first such frame apart?"""
        return self.cost(data) <= lines or self.cost(data) <= lines

    def sealed(self, class_: int, body: bytes) -> bytes:
        """A frame that only the peer can make."""
        far = copy.copy(self.far)
        return far.seal(class_, body, self._now)


def _filled(items: Items, size: int, most: int = CBOR_ITEMS) -> bytes:
    """A body of exactly so many bytes: the items, then integers, at most `most` items in all."""
    body = cbor.encode(items)
    room = most - len(items)
    while len(body) < size:
        left = size - len(body)
        step = min([width for width in (1, 2, 3, 5, 9) if left <= width * room])
        step = max([width for width in (1, 2, 3, 5, 9) if width <= min(step, left)])
        body += cbor.encode([(0, 24, 1 << 8, 0, 1 << 16, 0, 0, 0, 1 << 32)[step - 1]])
        room -= 1
    return body


def _stuffed(items: Items, size: int) -> bytes:
    """A body of so many bytes, or one less where none is: the items, then one of bytes."""
    left = size - len(cbor.encode(items))
    return cbor.encode([*items, bytes(max(0, left - (1 if left < 25 else 2)))])


def _greetings(pair: Pair) -> list[bytes]:
    """HELLOs that climb the ratchet as far as they may, in each of their lengths."""
    generation, key, _ = pair.gateway_keys
    found = []
    for steps in (0, 1, 8, 30, 300, 1000):
        ahead = key
        for _ in range(steps):
            ahead = keyschedule.ratchet(ahead)
        data = b"\x53\x00" + cbor.encode([m.HELLO, pair.NODE_ID, generation + steps, bytes(8)])
        found.append(data + keyschedule.hello_mac(ahead, data))
    return found


def _noise(length: int, random: Random, *, upward: bool) -> Iterator[bytes]:
    """Frames of that length from one who has no key."""
    direction = 0 if upward else 0x20
    for first in (0x44, 0x45, 0x54, 0x55, 0x56, 0x50, 0x53, 0x43, 0x5C):
        head = bytes((first | direction,))
        yield head + bytes(length - 1)
        for _ in range(4):
            yield head + random.bytes(length - 1)
        yield head + (b"\x00\xff" * length)[: length - 1]
        yield head + (b"\x01\x00" * length)[: length - 1]
    for type_ in range(24):
        yield bytes((0x53 | direction, 0)) + _filled([type_], length - 2)


def _lies(victim: Victim, length: int, random: Random, *, upward: bool) -> Iterator[bytes]:
    """Frames of that length, or of a byte less, that the peer seals and should not."""
    size = length - HEADER - TAG_BYTES
    for class_ in (0, 1, 2):
        for type_ in [type_ for type_ in range(24) if type_ not in PACKED]:
            yield victim.sealed(class_, _filled([type_], size))
            yield victim.sealed(class_, (bytes((type_, 0x18, 0x18)) * size)[:size])
            yield victim.sealed(class_, bytes((type_,)) + random.bytes(size - 1))
        yield victim.sealed(class_, bytes(size))
    for class_, items in _truths(upward=upward):  # all but one item is as it should be
        for at in range(1, len(items)):
            for item in (b"", -1, (1 << 64) - 1):
                spoilt = [*items[:at], item, *items[at + 1 :]]
                if len(cbor.encode(spoilt)) < size:
                    yield victim.sealed(class_, _filled(spoilt, size))
                    yield victim.sealed(class_, _stuffed(spoilt, size))


def _truths(*, upward: bool) -> list[tuple[int, Items]]:
    """What may be said, as short as can be."""
    if not upward:
        spans = [4, 3, 1, 2, 1, 2, 1, 2, 1]
        return [
            (m.CLASS_CONTROL, [m.NEED_KEYFRAME]),
            (m.CLASS_CONTROL, [m.POLL, 0, 0, 1, 0, 0]),
            (m.CLASS_CONTROL, [m.POLL, 40, 20, 1, 2, 3, 1, 2, 1, 1, 2, 1]),
            (m.CLASS_CONTROL, [m.POLL, 40, 20, 1, *spans, *spans, 0, 1, 2, 3]),
        ]
    return [
        (m.CLASS_CONTROL, [m.IDLE]),
        (m.CLASS_CONTROL, [m.GAP, 90, 95, 1]),
        (m.CLASS_REPORT, [m.EVENT, 90, 0, 5, 2, 1]),
        (m.CLASS_REPORT, [m.ANCHOR, 90, 0, 5, 0, 5, 0, 5]),
        (m.CLASS_CONTROL, [m.RESULT, 1, 0, 0]),
    ]


def _valid(size: int, *, upward: bool) -> Iterator[tuple[int, bytes]]:
    """Bodies of that size that the text allows, behind some of them what is of a later version."""
    for class_, items in _truths(upward=upward):
        if len(cbor.encode(items)) <= size:
            yield class_, _filled(items, size)
        if len(cbor.encode(items)) < size:
            yield class_, _stuffed(items, size)
    if not upward:
        return
    head: Items = [m.REPORT, 0, 90, 0, 5]
    if len(cbor.encode(head)) < size:
        yield m.CLASS_REPORT, _filled(head, size, len(head) + SCHEMA.width)
    for count in range(1, CONFIG_KEYS + 1):
        pairs: Items = [m.DIAG, *(n // 2 + 1 for n in range(2 * count - 1))]
        if len(cbor.encode(pairs)) < size:
            yield m.CLASS_CONTROL, _stuffed(pairs, size)


def _dearest_valid(victim: Victim, length: int, *, upward: bool) -> int:
    """What the dearest frame of that length costs that the text allows."""
    size = length - HEADER - TAG_BYTES
    frames = [victim.sealed(*body) for body in _valid(size, upward=upward)]
    assert {len(data) for data in frames} <= {length, length - 1}
    return max([victim.cost(data) for data in frames])


@pytest.mark.parametrize("upward", [True, False])
def test_no_frame_costs_more_than_the_dearest_valid_one_of_its_length(*, upward: bool) -> None:
    pair = Pair(1, DATAGRAM)
    pair.node.info.schema_hash = SCHEMA.hash
    pair.gateway._intake.catalogue._schemas[SCHEMA.hash] = SCHEMA
    pair.settled()
    pair.make()
    pair.run(1000)
    pair.node.info.next_rseq = 100  # above what the frames here tell of
    victim = Victim(pair, gateway=upward)
    assert len(pair.held) == 1
    greetings = _greetings(pair) if upward else []
    random = Random(7)
    floor = _dearest_valid(victim, LEAST, upward=upward)
    for length in LENGTHS:
        dearest = _dearest_valid(victim, length, upward=upward)
        dearest = max([dearest] + [victim.cost(data) for data in greetings if len(data) == length])
        for data in _noise(length, random, upward=upward):
            assert victim.within(data, dearest), (length, data.hex())
        for data in _lies(victim, length, random, upward=upward):
            assert len(data) in (length, length - 1)
            assert victim.within(data, max(dearest, floor) + REFUSAL), (length, data.hex())


def _batches(pair: Pair) -> Iterator[bytes]:
    """Bodies of BATCH from dull to wild, short and long."""
    random = Random(3)
    info = pair.node.info
    fields = len(STREETLIGHT.fields)
    for spread in (1, 4, 200, 1 << 30):
        for count in (1, 3, 12, 48):
            records = [
                (
                    10 + n,
                    info.boot_id,
                    900 * n,
                    tuple([random.below(spread) for _ in range(fields)]),
                )
                for n in range(count)
            ]
            yield batch.pack(records, None, STREETLIGHT, info)[0]


def test_a_batch_that_lies_costs_no_more_than_the_dearest_that_does_not() -> None:
    """Few bytes may be many records: what bounds it is the number of its records and bits."""
    pair = Pair(1, DATAGRAM).settled()
    victim = Victim(pair, gateway=True)
    random = Random(5)
    bodies = [body for body in _batches(pair) if body]
    dearest = max([victim.cost(victim.sealed(m.CLASS_REPORT, body)) for body in bodies])
    lies = [bytes((m.BATCH,)) + bytes((fill,)) * 240 for fill in (0x00, 0x55, 0xAA, 0xFF)]
    lies += [bytes((m.BATCH,)) + random.bytes(30 * n) for n in range(1, 8) for _ in range(5)]
    for body in bodies:
        lies += [flipped(body, 8 + random.below(8 * len(body) - 8)) for _ in range(3)]
    for body in lies:
        assert victim.within(victim.sealed(m.CLASS_REPORT, body), dearest), body.hex()


def test_a_forged_greeting_costs_no_more_than_a_true_one() -> None:
    """A HELLO climbs the ratchet before its MAC can be checked; limits bound how far."""
    pair = Pair(1, DATAGRAM).settled()
    victim = Victim(pair, gateway=True)
    for data in _greetings(pair):
        true = victim.cost(data)
        for bit in range(16, 8 * len(data), 7):
            forged = flipped(data, bit)
            if forged[2:12] == data[2:12]:  # of the same node, as far ahead
                assert victim.cost(forged) <= true, (data.hex(), bit)


def test_cobs_costs_a_bounded_number_of_lines_a_byte() -> None:
    """Whatever comes: at most four times the lines of the cheapest bytes."""
    costs = []
    for line in (b"\x01" * 254, b"\x02\x07" * 127, b"\xfe" + b"\x07" * 253, b"\x03\x07\x07" * 84):
        deframer = cobs.Deframer()
        costs.append(lines(lambda: deframer.take(line + b"\0", 0)))  # noqa: B023
    assert max(costs) <= 4 * min(costs) <= 12_000, costs
