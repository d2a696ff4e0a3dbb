"""The gateway's end of CLAIM: how a node that it does not know is asked, and what it says.

What is sealed in a claim is the business of field tool and gateway; here it is bytes.
"""

from kerbwire import cbor, frame
from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.limits import CLAIM_BYTES, NODE_ID_BYTES


def encode(node_id: bytes, sealed: bytes, address: "int | None") -> bytes:
    """CLAIM, whole: `address` 0 but on a point-to-point line."""
    return frame.plain_header(frame.UP, address) + cbor.encode([m.CLAIM, node_id, sealed])


def is_claim(data: bytes, header: frame.Header) -> bool:
    """Is this plain frame up a CLAIM?"""
    return data[header.size : header.size + 1] == bytes((m.CLAIM,))


def claim_of(data: bytes, header: frame.Header) -> "tuple[bytes, bytes]":
    """(node id, sealed claim) of a CLAIM, of which nothing is proven; RemoteError if malformed."""
    items = cbor.decode(data[header.size :])
    if items[:1] != [m.CLAIM] or header.direction != frame.UP:
        raise RemoteError("type")
    parts = [item for item in items[1:3] if isinstance(item, bytes)]
    if len(parts) < 2:
        raise RemoteError("value")
    node_id, sealed = parts
    if not 0 < len(node_id) <= NODE_ID_BYTES or not 0 < len(sealed) <= CLAIM_BYTES:
        raise RemoteError("value")
    return node_id, sealed


def ask(address: "int | None", node_id: bytes = b"") -> bytes:
    """HELLO? with the permit bit, by name on a bus: 4 bytes at most where nobody is named."""
    items: list[int | bytes] = [m.HELLO_REQUEST, 1]
    if node_id:
        items.append(node_id)
    return frame.plain_header(frame.DOWN, address) + cbor.encode(items)
