"""A corpus of 1,000 frames: each again at every later state, and with each of its bits turned.

Nothing of it may be taken: no event, no session confirmed or replaced, no key erased. A repeated
plain answer is no such thing, and neither is the HELLO that a HELLO? brings, which proves nothing.
A HELLO that no INFO ever confirmed may be said again: both its keys are kept once more as they are.
Each trial is made on a copy of the end that hears it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest

from kerbwire import cobs
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.limits import DATAGRAM, STREAM
from tests.wire.pair import Pair, drained, flipped, frames

FRAMES = 1000
NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
REPLAY_STRIDE = 1 if NIGHTLY else 20  # of the states at which all older frames are said again
FLIP_STRIDE = 1 if NIGHTLY else 10


class Recorded(Pair):
    """A pair that shows each frame to `watch` just before the other end hears it."""

    def __init__(self, seed: int, framing: int) -> None:
        self.heard: list[tuple[bool, bytes]] = []  # upward?, frame
        Pair.__init__(self, seed, framing)

    def one_frame(self) -> Iterator[tuple[bool, bytes]]:
        """Let time pass to the next frames; each is yielded before it is heard."""
        for upward, line in ((True, self.up_line), (False, self.down_line)):
            for data in line.take(self.now):
                for one in [data] if self.framing == DATAGRAM else frames([data]):
                    yield upward, one
                    self.end(upward=upward).receive(self.framed(one), self.now)
                    self.heard.append((upward, one))
        self._node_step()
        self._gateway_step()
        times = [self.up_line.next_ms(), self.down_line.next_ms()]
        times += [self.node.deadline(), self.gateway.deadline()]
        self.now = max(self.now + 1, min([time for time in times if time is not None]))

    def framed(self, data: bytes) -> bytes:
        """As it travels."""
        return data if self.framing == DATAGRAM else cobs.encode(data)

    def end(self, *, upward: bool) -> Any:
        """Who hears what travels that way."""
        return self.gateway if upward else self.node


def _life(pair: Recorded, count: int) -> None:
    """What happens between frames: records, commands, gaps, restarts, new sessions."""
    if count % 3 == 0:
        pair.make(values=(count % 101, count, 7 * count, 1, 2, 3, 4))
    if count % 29 == 0:
        pair.make(m.EVENT, (m.EV_MOTION, count))
    if count % 41 == 0 and pair.gateway.up:
        expires = Pair.UTC_MS // 1000 + 9_999_999
        pair.gateway.send_command(1 + count, expires, m.OP_IDENTIFY, (3,))
    if count % 67 == 0:
        pair.lose(3)
    if count % 131 == 0:
        pair.restart_node()
    if count % 173 == 0:
        pair.start_gateway()
    if count % 101 == 0:
        pair.node.start(pair.now)
    for event in pair.node_events:
        if event[0] == "COMMAND":
            number = event[1]
            assert isinstance(number, int)
            pair.node.send_result(number, m.OK, 0)
    pair.node_events.clear()


def _state(end: Any) -> tuple[Any, ...]:
    """What an attacker wants to change: the session, the keys, what is known of the peer."""
    handshake = end._handshake
    own = handshake.keys if hasattr(handshake, "keys") else (handshake.generation, handshake.key)
    channel = end.channel
    opened = (channel.top, channel._seen, channel.schema_hash) if channel else None
    return id(channel), opened, own, end.kept.spans()


def _copied(end: Any) -> Any:
    """A twin of that end: all its own but the ciphers, which have no state."""
    memo: dict[int, Any] = {}
    near = [end.channel, end._handshake._pending, getattr(end._handshake, "_confirmed", None)]
    for one in near:
        channel = one if one is None or isinstance(one, Channel) else one.channel
        if channel is not None:
            memo[id(channel._keys)] = channel._keys
    return copy.deepcopy(end, memo)


def _taken(pair: Recorded, end: Any, data: bytes) -> list[Any]:
    """The events that a frame brings to that end, faults apart; its state must stay."""
    before = _state(end)
    end.receive(pair.framed(data), pair.now)
    events = [event for event in drained(end) if event[0] != "FAULT"]
    assert _state(end) == before
    kept = ("KEYS", *before[2])
    return [event for event in events if event != kept or event[3] is None]


def _again(pair: Recorded) -> int:
    """Every frame heard so far comes once more, to both ends."""
    for upward in (True, False):
        twin = _copied(pair.end(upward=upward))
        drained(twin)
        for ours, data in pair.heard:
            if ours == upward:
                assert _taken(pair, twin, data) == [], data
    return len(pair.heard)


def _turned(pair: Recorded, data: bytes, *, upward: bool) -> int:
    """The frame that is about to be heard, with each of its bits turned."""
    twin = _copied(pair.end(upward=upward))
    drained(twin)
    for bit in range(8 * len(data)):
        assert _taken(pair, twin, flipped(data, bit)) == [], (data, bit)
    return 8 * len(data)


@pytest.mark.parametrize("framing", [STREAM, DATAGRAM])
def test_no_frame_is_taken_again_and_none_with_a_turned_bit(framing: int) -> None:
    pair = Recorded(framing + 1, framing)
    again = turned = 0
    while len(pair.heard) < FRAMES:
        for upward, data in pair.one_frame():
            count = len(pair.heard)
            _life(pair, count)
            if count % REPLAY_STRIDE == 0:
                again += _again(pair)
            if count % FLIP_STRIDE == 0:
                turned += _turned(pair, data, upward=upward)
    assert pair.doubled == 0
    assert again > FRAMES**2 // (2 * REPLAY_STRIDE) - FRAMES
    assert turned > 100 * FRAMES // FLIP_STRIDE
