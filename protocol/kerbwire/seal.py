"""The crypto shim: AES-CCM-16-64-128 (COSE algorithm 10).

On MicroPython CCM is made from the cipher modes that every image has: the CBC-MAC is the last
block of one CBC call, the key stream one ECB call over the counter blocks (RFC 3610).
"""

from kerbwire import fast
from kerbwire.limits import TAG_BYTES

try:
    from cryptolib import aes as _aes
except ImportError:
    from cryptography.exceptions import InvalidTag as _InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM as _AESCCM

    _aes = None

NONCE_BYTES = 13  # of the cipher; RFC 3610 with L = 2
_ECB = 1
_CBC = 2
_FLAGS_MAC = 0x40 | ((TAG_BYTES - 2) // 2) << 3 | 1  # Adata, M' and L' (RFC 3610 section 2.2)
_FLAGS_COUNTER = 1
_ZERO_BLOCK = bytes(16)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


class Cipher:
    """One AES-CCM-16-64-128 key: `seal` appends an 8-byte tag, `open` gives None on a wrong one.

    The additional data is never empty. This is CCM over ECB and CBC; `cipher` makes the right one.
    """

    __slots__ = ("_ecb", "_key")

    def __init__(self, key: bytes):
        self._key = key
        self._ecb = _aes(key, _ECB)

    def _mac(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        first = bytes((_FLAGS_MAC,)) + nonce + len(plain).to_bytes(2, "big")
        blocks = first + _padded(len(aad).to_bytes(2, "big") + aad) + _padded(plain)
        return _aes(self._key, _CBC, _ZERO_BLOCK).encrypt(blocks)[-16:]

    def _stream(self, nonce: bytes, length: int) -> bytes:
        start = bytes((_FLAGS_COUNTER,)) + nonce
        blocks = [start + i.to_bytes(2, "big") for i in range(1 + (length + 15) // 16)]
        return self._ecb.encrypt(b"".join(blocks))

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        """Ciphertext and tag; the nonce has 13 bytes and is never used twice with this key."""
        stream = self._stream(nonce, len(plain))
        tag = fast.xor(self._mac(nonce, aad, plain)[:TAG_BYTES], stream)
        return fast.xor(plain, stream[16:]) + tag

    def open(self, nonce: bytes, aad: bytes, sealed: bytes) -> "bytes | None":
        """The plain text, or None where the tag is wrong."""
        length = len(sealed) - TAG_BYTES
        if length < 0:
            return None
        stream = self._stream(nonce, length)
        plain = fast.xor(sealed[:length], stream[16:])
        tag = fast.xor(self._mac(nonce, aad, plain)[:TAG_BYTES], stream)
        return plain if equal(tag, sealed[length:]) else None


class _Library(Cipher):
    """CCM from the library of the host."""

    __slots__ = ("_ccm",)

    def __init__(self, key: bytes):
        self._ccm = _AESCCM(key, tag_length=TAG_BYTES)

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        return self._ccm.encrypt(nonce, plain, aad)

    def open(self, nonce: bytes, aad: bytes, sealed: bytes) -> "bytes | None":
        try:
            return self._ccm.decrypt(nonce, sealed, aad)
        except _InvalidTag:
            return None


def cipher(key: bytes) -> Cipher:
    """The cipher of that key, by what there is here."""
    return _Library(key) if _aes is None else Cipher(key)


def equal(left: bytes, right: bytes) -> bool:
    """Are two tags of one length equal? In a time that does not depend on where they differ."""
    if len(left) != len(right):
        return False
    difference = 0
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0
