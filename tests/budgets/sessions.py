"""Two ends of a session for the benchmarks."""

import random

from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import Schema

PERIOD_S = 900


def connected(schema: Schema) -> tuple[NodeSession, GatewaySession]:
    """Both ends on a serial line, with a session up."""
    info = m.Info(schema.hash, 1, 1, 1)
    info.period_s = PERIOD_S
    rng = random.Random(1).randbytes
    node = NodeSession(b"sl-0001", 0, bytes(16), info, rng, STREAM)
    keys = (0, bytes(16), None)
    gateway = GatewaySession(b"sl-0001", keys, None, RangeSet(), rng, STREAM, None)
    node.start(0)
    for _ in range(2):
        gateway.receive(node.outgoing(0), 0)
        gateway.key_stored(0)
        node.receive(gateway.outgoing(0), 0)
        node.key_stored(0)
    assert node.up and gateway.up
    return node, gateway
