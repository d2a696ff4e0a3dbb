"""The claim that a technician left: sent to a gateway that permits strangers to join."""

from kerbwire import frame
from kerbwire import messages as m
from kerbwire.cbor import encode
from kerbwire.handshake import GREETING
from kerbwire.limits import CLAIM_BYTES, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs
    from kerbwire.node import NodeSession

NAME = "claim"  # a blob without a check: its seal is one


def tell(session: "NodeSession", store: "Nvs") -> None:
    """An answer to ("PERMIT",): the claim goes next, if there is one, and no WELCOME came yet."""
    try:
        sealed = store.get(NAME)
    except OSError:
        return  # the gateway asks again
    handshake = session._handshake
    if sealed and len(sealed) <= CLAIM_BYTES and handshake.state == GREETING:
        place = None if session._framing == STREAM else 0
        body = encode([m.CLAIM, handshake.node_id, sealed])
        session.claim = frame.plain_header(frame.UP, place) + body
