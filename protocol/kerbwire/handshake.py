"""HELLO, WELCOME, INFO: how two sides that share K_g come to a session.

Here are the states of both roles, one table, and the three messages; `node` and `gateway` do
what a step needs. A side that gets a new key announces it, and goes on when its host says that
it is stored.
"""

from kerbwire import cbor, frame, keyschedule, seal
from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    BUILD_BYTES,
    MAC_BYTES,
    NODE_ID_BYTES,
    NONCE_BYTES,
    SCHEMA_HASH_BYTES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.channel import Keys

NODE = 0
GATEWAY = 1

# States.
REST = 0  # nothing under way; a session may be up
GREETING = 1  # node: HELLO is out
KEEPING = 2  # the new key is being made durable
CONFIRMING = 3  # node: INFO is out; gateway: WELCOME is out

# What moves them.
ASKED = 0  # node: start, HELLO?, or the session is worn out
WELCOMED = 1  # node: a WELCOME verified
STORED = 2  # the host says that the key is durable
HEARD = 3  # node: first sealed frame of the new session; gateway: its INFO
GREETED = 4  # gateway: a HELLO with a new nonce verified

STATES = ("rest", "greeting", "keeping", "confirming")
INPUTS = ("asked", "welcomed", "stored", "heard", "greeted")

NODE_STEPS = {
    (REST, ASKED): GREETING,
    (GREETING, ASKED): GREETING,
    (KEEPING, ASKED): KEEPING,
    (CONFIRMING, ASKED): GREETING,
    (GREETING, WELCOMED): KEEPING,
    (KEEPING, STORED): CONFIRMING,
    (CONFIRMING, HEARD): REST,
}
GATEWAY_STEPS = {
    (REST, GREETED): KEEPING,
    (KEEPING, GREETED): KEEPING,
    (CONFIRMING, GREETED): KEEPING,
    (KEEPING, STORED): CONFIRMING,
    (CONFIRMING, HEARD): REST,
}
STEPS = {NODE: NODE_STEPS, GATEWAY: GATEWAY_STEPS}
TRANSITIONS = {(role,) + step: end for role in STEPS for step, end in STEPS[role].items()}


def node_id_of(data: bytes, header: frame.Header) -> bytes:
    """The node id that a HELLO names, before anything is verified; RemoteError if it is none."""
    items = items_of(data, header)
    if items[0] != m.HELLO or len(items) != 4 or not isinstance(items[1], bytes):
        raise RemoteError("type")
    if not 0 < len(items[1]) <= NODE_ID_BYTES:
        raise RemoteError("value")
    return items[1]


def items_of(data: bytes, header: frame.Header) -> "list[int | bytes]":
    """The items of a plain frame that ends in a MAC, which nobody has checked yet."""
    items = cbor.decode(data[header.size : max(0, len(data) - MAC_BYTES)])
    if not items:
        raise RemoteError("short")
    return items


def greeting(data: bytes, header: frame.Header, type_: int) -> "tuple[bytes, int, bytes, int]":
    """(node id, generation, nonce, address) of a HELLO (address 0) or WELCOME (node id b"")."""
    items = items_of(data, header)
    if type_ == m.WELCOME and len(items) == 5:
        items.pop()  # on a bus: whom it is for
    if items[0] != type_ or len(items) != 4:
        raise RemoteError("type")
    parts = items[1:]
    if type_ == m.HELLO:
        parts.append(0)
    else:
        parts.insert(0, b"")
    node_id, generation, nonce, address = parts
    if (
        not isinstance(node_id, bytes)
        or not isinstance(nonce, bytes)
        or not isinstance(generation, int)
        or not isinstance(address, int)
        or len(node_id) > NODE_ID_BYTES
        or len(nonce) != NONCE_BYTES
        or not 0 <= generation < (1 << 32) - 1  # the one after it has 32 bits too
        or not 0 <= address < 255
    ):
        raise RemoteError("value")
    return node_id, generation, nonce, address


def encode_hello(
    key: bytes, node_id: bytes, generation: int, nonce: bytes, address: "int | None"
) -> bytes:
    """HELLO, whole."""
    data = frame.plain_header(frame.UP, address)
    data += cbor.encode([m.HELLO, node_id, generation, nonce])
    return data + keyschedule.hello_mac(key, data)


def take_welcome(
    data: bytes, header: frame.Header, key: bytes, node_id: bytes, generation: int, own: bytes
) -> "tuple[Keys, int, bytes]":
    """A WELCOME to the HELLO with our nonce `own`: session keys, address, the next key.

    RemoteError where it is not for us.
    """
    _, named, nonce, address = greeting(data, header, m.WELCOME)
    cut = len(data) - MAC_BYTES
    mac = keyschedule.hello_mac(key, data[:cut] + own)
    if named != generation or not seal.equal(mac, data[cut:]):
        raise RemoteError("mac")
    keys = keyschedule.session_keys(key, node_id, own, nonce)
    return keys, address, keyschedule.ratchet(key)


def encode_info(info: m.Info) -> bytes:
    """INFO's body; its uptime is that of the moment of sending."""
    return cbor.encode(
        [
            m.INFO,
            info.messages_version,
            info.schema_hash,
            info.boot_id,
            info.epoch,
            info.first_rseq,
            info.next_rseq,
            info.uptime_s,
            info.period_s,
            info.firmware,
            info.command_id,
            info.config_version,
            info.build,
        ]
    )


def decode_info(items: "list[int | bytes]") -> m.Info:
    """INFO from its items (the type first); RemoteError("value") or ("version")."""
    if len(items) < 12:
        raise RemoteError("value")
    schema_hash = items[2]
    if not isinstance(schema_hash, bytes) or len(schema_hash) != SCHEMA_HASH_BYTES:
        raise RemoteError("value")
    numbers: list[int] = []
    for item in items[1:2] + items[3:12]:
        if not isinstance(item, int) or not 0 <= item < 1 << 40:
            raise RemoteError("value")
        numbers.append(item)
    if not m.spoken(numbers[0]):
        raise RemoteError("version")
    # boot id, log epoch, uptime, period, firmware and CONFIG's version have 32 bits
    if numbers[1] < 1 or max(numbers[1:3] + numbers[5:8] + numbers[9:]) >> 32:
        raise RemoteError("value")
    info = m.Info(schema_hash, numbers[1], numbers[2], numbers[7])
    info.messages_version = numbers[0]
    info.first_rseq = numbers[3]
    info.next_rseq = numbers[4]
    info.uptime_s = numbers[5]
    info.period_s = numbers[6]
    info.command_id = numbers[8]
    info.config_version = numbers[9]
    if numbers[0] >= 3 and len(items) > 12:
        build = items[12]
        if not isinstance(build, bytes) or len(build) not in (0, BUILD_BYTES):
            raise RemoteError("value")
        info.build = build
    return info
