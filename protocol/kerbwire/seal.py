"""The crypto shim: AES-CCM-16-64-128 (COSE algorithm 10).

On MicroPython CCM is made from the cipher mode that every image has, ECB, a block at a time and in
place (RFC 3610).
"""

from kerbwire.limits import TAG_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview

try:
    from cryptolib import aes as _aes
except ImportError:
    from cryptography.exceptions import InvalidTag as _InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM as _AESCCM

    _aes = None

NONCE_BYTES = 13  # of the cipher; RFC 3610 with L = 2
_ECB = 1
_FLAGS_MAC = 0x40 | ((TAG_BYTES - 2) // 2) << 3 | 1  # Adata, M' and L' (RFC 3610 section 2.2)
_FLAGS_COUNTER = 1
# The blocks that all ciphers work in, one after the other: a frame leaves little garbage.
_MAC = bytearray(16)
_COUNTER = bytearray((_FLAGS_COUNTER,)) + bytes(15)
_STREAM = bytearray(16)


class Cipher:
    """One AES-CCM-16-64-128 key: `seal` appends an 8-byte tag, `open` gives None on a wrong one.

    The additional data is never empty. This is CCM over ECB, for less than 256 bytes of each;
    `cipher` makes the right one.
    """

    __slots__ = ("_encrypt",)

    def __init__(self, key: bytes):
        self._encrypt = _aes(key, _ECB).encrypt

    def _cross(
        self,
        nonce: "Buffer",
        aad: "Buffer",
        text: "Buffer",
        start: int,
        length: int,
        out: bytearray,
        to: int,
        opening: int,
    ) -> None:
        """The text's bytes from `start` on xor the key stream into `out`, from `to` on.

        _MAC is the tag. `opening` 255: of what comes out.
        """
        encrypt = self._encrypt
        for at in range(NONCE_BYTES):
            _COUNTER[1 + at] = _MAC[1 + at] = nonce[at]
        _MAC[0] = _FLAGS_MAC
        _MAC[14] = 0
        _MAC[15] = length
        encrypt(_MAC, _MAC)
        _MAC[1] ^= len(aad)
        at = 2
        for byte in aad:
            if at == 16:
                encrypt(_MAC, _MAC)
                at = 0
            _MAC[at] ^= byte
            at += 1
        at = 16
        for place in range(length):
            if at == 16:
                encrypt(_MAC, _MAC)
                _COUNTER[15] += 1
                encrypt(_COUNTER, _STREAM)
                at = 0
            byte = text[start + place]
            key = _STREAM[at]
            _MAC[at] ^= byte ^ key & opening
            out[to + place] = byte ^ key
            at += 1
        encrypt(_MAC, _MAC)
        _COUNTER[15] = 0
        encrypt(_COUNTER, _STREAM)
        for at in range(TAG_BYTES):
            _MAC[at] ^= _STREAM[at]

    def seal(self, nonce: "Buffer", aad: "Buffer", plain: "Buffer", header: bytes = b"") -> bytes:
        """The header, then ciphertext and tag, in a place of their own (here a bytearray).

        The nonce has 13 bytes and is never used twice with this key.
        """
        size = len(header)
        end = size + len(plain)
        out = bytearray(end + TAG_BYTES)
        for at in range(size):
            out[at] = header[at]
        self._cross(nonce, aad, plain, 0, len(plain), out, size, 0)
        for at in range(TAG_BYTES):
            out[end + at] = _MAC[at]
        return out  # type: ignore[return-value]  # a copy would be garbage

    def open(
        self, nonce: "Buffer", aad: "Buffer", sealed: "Buffer", at: int = 0, end: int = -1
    ) -> "bytes | bytearray | None":
        """The plain text of sealed[at:end], or None where the tag is wrong."""
        end = (len(sealed) if end < 0 else end) - TAG_BYTES
        if end < at:
            return None
        out = bytearray(end - at)
        self._cross(nonce, aad, sealed, at, end - at, out, 0, 255)
        difference = 0
        for at in range(TAG_BYTES):
            difference |= _MAC[at] ^ sealed[end + at]
        return None if difference else out


class _Library(Cipher):
    """CCM from the library of the host."""

    __slots__ = ("_ccm",)

    def __init__(self, key: bytes):
        self._ccm = _AESCCM(key, tag_length=TAG_BYTES)

    def seal(self, nonce: "Buffer", aad: "Buffer", plain: "Buffer", header: bytes = b"") -> bytes:
        return header + self._ccm.encrypt(nonce, plain, aad)

    def open(
        self, nonce: "Buffer", aad: "Buffer", sealed: "Buffer", at: int = 0, end: int = -1
    ) -> "bytes | None":
        end = len(sealed) if end < 0 else end
        try:
            return self._ccm.decrypt(nonce, bytes(sealed[at:end]), aad)
        except _InvalidTag:
            return None


def cipher(key: bytes) -> Cipher:
    """The cipher of that key, by what there is here."""
    return _Library(key) if _aes is None else Cipher(key)


def equal(left: "bytes | bytearray", right: bytes) -> bool:
    """Are two tags of one length equal? In a time that does not depend on where they differ."""
    if len(left) != len(right):
        return False
    difference = 0
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0
