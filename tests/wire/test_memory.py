"""What a node's session holds in memory, measured where it counts: on MicroPython's heap."""

import gc
import sys

from kerbwire import messages as m
from kerbwire.limits import ACK_SPANS, STREAM
from kerbwire.node import NodeSession
from kerbwire.schema import AIR_QUALITY
from wire.pair import Pair, drained, up_pair

STATE_BYTES = 16 * 1024  # of the budget; pointers are twice as wide here as on an ESP32


def _allocated() -> int:
    gc.collect()
    return gc.mem_alloc() if sys.implementation.name == "micropython" else 0


def _full_node() -> "tuple[NodeSession, Pair]":
    """A node with everything full: spans, slots, half a frame, a base."""
    pair = up_pair()
    for rseq in range(2, 3 * ACK_SPANS, 2):
        pair.node.send_backfill((rseq, 1, 60, (1, 2, 3, 4, 5, 6)), pair.now)
        pair.run(20)
    pair.node.send_report((3 * ACK_SPANS, 1, 60, (1, 2, 3, 4, 5, 6)), pair.now)
    pair.run(20)
    pair.down_line.cut = True
    while pair.node.window(pair.now):
        rseq = 1000 + pair.node.window(pair.now)
        pair.node.send_event((rseq, 1, 60, (m.EV_MOTION, 1)), pair.now)
    pair.node.receive(b"\x07" * 200, pair.now)
    drained(pair.node)
    return pair.node, pair


def test_a_full_session_stays_within_its_budget() -> None:
    node, pair = _full_node()
    assert len(node.kept.spans()) == ACK_SPANS
    info = node.info
    pair.node = NodeSession(Pair.NODE_ID, 0, Pair.PSK, info, pair.random.bytes, STREAM)
    pair.channels = []
    full = _allocated()
    del node
    held = full - _allocated()
    assert held <= STATE_BYTES, held


def test_a_steady_exchange_leaves_nothing_behind() -> None:
    pair = up_pair()
    values = tuple(range(len(AIR_QUALITY.fields) - 3))
    before = 0
    for number in range(220):
        pair.make(values=values)
        assert pair.run(1000, pair.drained)
        pair.held.clear()
        pair.node_events.clear()
        pair.gateway_events.clear()
        pair.up_line.written.clear()
        pair.down_line.written.clear()
        if number == 120:
            before = _allocated()
    assert _allocated() - before <= 2048
