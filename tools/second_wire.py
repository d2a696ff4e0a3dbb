"""A second implementation of kerbwire's sealing, made from protocol/wire.md alone.

It shares no line with protocol/kerbwire: CBOR by cbor2, ciphers and HKDF by `cryptography`, HMAC
by the standard library. The golden vectors are its work, so that the engine is held to the text.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

UP, DOWN = 0, 1
REPORT_CLASS, CONTROL_CLASS, OBJECT_CLASS, PLAIN_CLASS = range(4)
TAG_BYTES = 8

Items = Sequence[int | bytes]


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


def ratchet(key: bytes) -> bytes:
    return hkdf(b"", key, b"ratchet", 16)


def mac(key: bytes, message: bytes) -> bytes:
    secret = hkdf(b"", key, b"hello", 32)
    return hmac.new(secret, message, hashlib.sha256).digest()[:8]


def body(items: Items) -> bytes:
    """A CBOR sequence."""
    return b"".join(cbor2.dumps(item, canonical=True) for item in items)


def cobs(frame: bytes) -> bytes:
    """A frame on a byte stream."""
    blocks = frame.split(b"\0")
    return b"".join(bytes((len(block) + 1,)) + block for block in blocks) + b"\0"


def first_byte(direction: int, class_: int, *, parity: int = 0, wide: int = 0, at: int = 0) -> int:
    """b0 of layout 1; `at` says whether an address byte follows."""
    return 1 << 6 | direction << 5 | at << 4 | parity << 3 | wide << 2 | class_


def plain(direction: int, address: int | None, items: Items) -> bytes:
    """A plain frame without a MAC."""
    head = bytes((first_byte(direction, PLAIN_CLASS, at=address is not None),))
    return head + (b"" if address is None else bytes((address,))) + body(items)


@dataclass(frozen=True, slots=True)
class Session:
    """The keys of one session and the frames that they make."""

    key: bytes
    generation: int
    node_id: bytes
    node_nonce: bytes
    gateway_nonce: bytes
    address: int | None
    schema_hash: bytes

    def derived(self, sender_id: bytes, kind: str, length: int) -> bytes:
        info = cbor2.dumps([sender_id, self.node_id, 10, kind, length])
        return hkdf(self.node_nonce + self.gateway_nonce, self.key, info, length)

    def nonce(self, direction: int, fseq: int) -> bytes:
        sender_id = bytes((direction,))
        plain_nonce = bytes((1,)) + bytes(6) + sender_id + fseq.to_bytes(5, "big")
        common_iv = self.derived(b"", "IV", 13)
        return bytes(a ^ b for a, b in zip(plain_nonce, common_iv, strict=True))

    def seal(
        self,
        direction: int,
        class_: int,
        fseq: int,
        plain_text: bytes,
        *,
        parity: int | None = None,
        wide: bool = True,
    ) -> bytes:
        """A sealed frame with a counter of 16 bits, or of 8."""
        own = self.generation & 1 if parity is None else parity
        at = self.address is not None
        header = bytes((first_byte(direction, class_, parity=own, wide=wide, at=at),))
        header += b"" if self.address is None else bytes((self.address,))
        header += (fseq & 0xFFFF).to_bytes(2, "big")[not wide :]
        external = header + (self.schema_hash if class_ == REPORT_CLASS else b"")
        aad = cbor2.dumps(["Encrypt0", b"", external])
        cipher = AESCCM(self.derived(bytes((direction,)), "Key", 16), tag_length=TAG_BYTES)
        return header + cipher.encrypt(self.nonce(direction, fseq), plain_text, aad)

    def hello(self) -> bytes:
        address = None if self.address is None else 0
        data = plain(UP, address, [0, self.node_id, self.generation, self.node_nonce])
        return data + mac(self.key, data)

    def welcome(self) -> bytes:
        items: Items = [1, self.generation, self.gateway_nonce, self.address or 0]
        data = plain(DOWN, self.address, items)
        return data + mac(self.key, data + self.node_nonce)
