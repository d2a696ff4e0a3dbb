"""The schema that a gateway asks a node for, given as an object."""

from hashlib import sha256

from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES, OBJECT_HASH_BYTES, SCHEMA_HASH_BYTES
from kerbwire.schema import by_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.node import NodeSession

SCHEMA_HANDLE = 255  # of the schema that a gateway asks for; the host's objects have others


def hand_out(node: "NodeSession", event: "tuple[object, ...]") -> bool:
    """Give the gateway the schema that it asks for; False for all that is the host's."""
    objects = node.objects
    if event[0] == "WANT" and isinstance(event[1], bytes):
        wanted = event[1]
        own = node.info.schema
        digest = wanted[:SCHEMA_HASH_BYTES]
        schema = own if own and own.hash == digest else by_hash(digest)
        if schema is None:
            return False
        encoding = schema.encode()
        digest = sha256(encoding).digest()
        if not digest.startswith(wanted):
            return False
        if objects.room:
            node.handout = encoding
            digest = digest[: max(OBJECT_HASH_BYTES, len(wanted))]
            objects.offer(SCHEMA_HANDLE, m.OBJECT_SCHEMA, digest, len(encoding), BLOCK_BYTES)
        return True
    if event[0] == "WANTED" and event[1] == SCHEMA_HANDLE and isinstance(event[2], int):
        at = event[2] * BLOCK_BYTES
        objects.give(SCHEMA_HANDLE, event[2], node.handout[at : at + BLOCK_BYTES])
        return True
    return event[0] == "SENT" and event[1] == SCHEMA_HANDLE
