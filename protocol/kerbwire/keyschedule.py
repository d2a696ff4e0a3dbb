"""From a node's key K_g to everything that one session needs.

K_0 is the node's own 16-byte key; each session ratchets K_(g+1) = HKDF(K_g), so that a key
read out of a node today opens nothing that was said before its last session.
"""

from kerbwire import cbor, hkdf, seal
from kerbwire.channel import DOWN_ID, UP_ID, Keys
from kerbwire.limits import KEY_BYTES, MAC_BYTES

_AES_CCM_16_64_128 = 10  # COSE algorithm


def ratchet(key: bytes) -> bytes:
    """K_(g+1) of K_g."""
    return hkdf.hkdf(b"", key, b"ratchet", KEY_BYTES)


def hello_mac(key: bytes, message: bytes) -> bytes:
    """The 8 bytes that end HELLO and WELCOME."""
    return hkdf.hmac(hkdf.hkdf(b"", key, b"hello", 32), message)[:MAC_BYTES]


def _info(sender_id: bytes, node_id: bytes, kind: bytes, length: int) -> bytes:
    """RFC 8613 section 3.2.1: [id, id_context, alg_aead, type, L] with the node id as context."""
    text = bytes((0x60 | len(kind),)) + kind
    head = b"\x85" + cbor.encode([sender_id, node_id, _AES_CCM_16_64_128])
    return head + text + cbor.encode([length])


def session_keys(key: bytes, node_id: bytes, node_nonce: bytes, gateway_nonce: bytes) -> Keys:
    """What one session's channel needs of K_g (RFC 8613 section 3.2)."""
    salt = node_nonce + gateway_nonce

    def derive(sender_id: bytes, kind: bytes, length: int) -> bytes:
        return hkdf.hkdf(salt, key, _info(sender_id, node_id, kind, length), length)

    up = seal.cipher(derive(UP_ID, b"Key", KEY_BYTES))
    down = seal.cipher(derive(DOWN_ID, b"Key", KEY_BYTES))
    return Keys(up, down, derive(b"", b"IV", seal.NONCE_BYTES))
