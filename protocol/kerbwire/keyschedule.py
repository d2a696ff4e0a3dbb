"""From a node's key K_g to everything that one session needs.

K_0 is the node's own 16-byte key; each session ratchets K_(g+1) = HKDF(K_g), so that a key
read out of a node today opens nothing that was said before its last session.
"""

from kerbwire import cbor, fast, seal
from kerbwire.limits import KEY_BYTES, MAC_BYTES

_AES_CCM_16_64_128 = 10  # COSE algorithm
UP_ID = b"\x00"  # sender id of the node (RFC 8613 section 3.1)
DOWN_ID = b"\x01"  # sender id of the gateway


def ratchet(key: bytes) -> bytes:
    """K_(g+1) of K_g."""
    return seal.hkdf(b"", key, b"ratchet", KEY_BYTES)


def hello_mac(key: bytes, message: bytes) -> bytes:
    """The 8 bytes that end HELLO and WELCOME."""
    return seal.hmac(seal.hkdf(b"", key, b"hello", 32), message)[:MAC_BYTES]


def _info(sender_id: bytes, node_id: bytes, kind: bytes, length: int) -> bytes:
    """RFC 8613 section 3.2.1: [id, id_context, alg_aead, type, L] with the node id as context."""
    text = bytes((0x60 | len(kind),)) + kind
    head = b"\x85" + cbor.encode([sender_id, node_id, _AES_CCM_16_64_128])
    return head + text + cbor.encode([length])


class SessionKeys:
    """Both sender keys as ciphers, and the common IV (RFC 8613 section 3.2)."""

    __slots__ = ("_iv", "down", "up")

    def __init__(self, key: bytes, node_id: bytes, node_nonce: bytes, gateway_nonce: bytes):
        salt = node_nonce + gateway_nonce

        def derive(sender_id: bytes, kind: bytes, length: int) -> bytes:
            return seal.hkdf(salt, key, _info(sender_id, node_id, kind, length), length)

        self.up = seal.Cipher(derive(UP_ID, b"Key", KEY_BYTES))
        self.down = seal.Cipher(derive(DOWN_ID, b"Key", KEY_BYTES))
        self._iv = derive(b"", b"IV", seal.NONCE_BYTES)

    def nonce(self, sender_id: bytes, fseq: int) -> bytes:
        """RFC 8613 section 5.2: id's length, id to 7 bytes, 40-bit number, xor the common IV."""
        plain = bytes((len(sender_id),)) + bytes(7 - len(sender_id)) + sender_id
        return fast.xor(plain + fseq.to_bytes(5, "big"), self._iv)
