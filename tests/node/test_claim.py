"""The claim that a technician left in NVS: said when it is asked for, and not otherwise."""

from kerbnode import claim
from kerbwire import claiming, frame
from kerbwire import messages as m
from kerbwire.limits import BUS, CLAIM_BYTES, DATAGRAM, STREAM
from kerbwire.node import NodeSession
from kerbwire.polled import PolledNode
from kerbwire.schema import STREETLIGHT
from wire.pair import Random, up_pair

SEALED = bytes(range(160))


class Store:
    """An NVS of one blob; None where there is none, b"" where it does not answer."""

    def __init__(self, blob: "bytes | None"):
        self._blob = blob

    def get(self, name: str) -> "bytes | None":
        """The blob."""
        assert name == "claim"
        if self._blob == b"":
            raise OSError(5)
        return self._blob

    def set(self, name: str, blob: bytes) -> None:
        """Nobody writes a claim here."""
        raise AssertionError(name)


def _greeting(framing: int) -> NodeSession:
    info = m.Info(STREETLIGHT.hash, 1, 77, 1)
    random = Random(3).bytes
    if framing == BUS:
        node = PolledNode(b"sl-9", 0, bytes(16), info, random)
    else:
        node = NodeSession(b"sl-9", 0, bytes(16), info, random, framing)
    node.start(0)
    return node


def test_the_claim_goes_as_the_gateway_reads_it() -> None:
    for framing, address in ((STREAM, -1), (DATAGRAM, 0), (BUS, 0)):
        node = _greeting(framing)
        claim.tell(node, Store(SEALED))
        header = frame.Header(node.claim)
        assert claiming.is_claim(node.claim, header) and header.address == address
        assert claiming.claim_of(node.claim, header) == (b"sl-9", SEALED)


def test_what_is_no_claim_is_not_said() -> None:
    for blob in (None, b"", bytes(CLAIM_BYTES + 1)):
        node = _greeting(STREAM)
        claim.tell(node, Store(blob))
        assert node.claim == b""


def test_a_node_with_a_gateway_keeps_it_to_itself() -> None:
    pair = up_pair()
    claim.tell(pair.node, Store(SEALED))
    assert pair.node.claim == b""
    pair.node.start(pair.now)  # it greets anew: a gateway may have forgotten it
    claim.tell(pair.node, Store(SEALED))
    assert pair.node.claim
