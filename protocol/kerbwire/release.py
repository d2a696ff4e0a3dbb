"""A signed manifest: COSE_Sign1 (RFC 9052 section 4.2) by HSS/LMS (RFC 8778, algorithm -46).

Tag 18, protected headers {1: -46}, no others, the manifest, the signature; nothing outside of it.
"""

from kerbwire import lms
from kerbwire.errors import RemoteError
from kerbwire.limits import MANIFEST_BYTES

_HEAD = b"\xd2\x84\x44\xa1\x01\x38\x2d\xa0"
_SIGNED = b"\x84\x6aSignature1\x44\xa1\x01\x38\x2d\x40"  # Sig_structure up to the payload


def _length(count: int) -> bytes:
    """The head of so many bytes in CBOR, in its shortest form; count < 2^16."""
    if count < 24:
        return bytes((0x40 | count,))
    return bytes((0x58, count)) if count < 256 else b"\x59" + count.to_bytes(2, "big")


def to_be_signed(manifest: bytes) -> bytes:
    """What the signature is over: Sig_structure of RFC 9052 section 4.4."""
    return _SIGNED + _length(len(manifest)) + manifest


def joined(manifest: bytes, signature: bytes) -> bytes:
    """The signed manifest."""
    heads = _length(len(manifest)), _length(len(signature))
    return _HEAD + heads[0] + manifest + heads[1] + signature


def split(signed: bytes) -> "tuple[bytes, bytes]":
    """(manifest, signature), neither of them judged; RemoteError("signature") for no COSE_Sign1."""
    at, end = _where(signed)
    return signed[at:end], signed[end + 3 :]


def _where(signed: "bytes | bytearray") -> "tuple[int, int]":
    """Where the manifest begins and ends; a signature of the right length follows."""
    count = len(signed) - len(_HEAD) - 3 - lms.SIGNATURE_BYTES
    for head in (1, 2, 3):
        size = count - head
        if 0 <= size <= MANIFEST_BYTES and len(_length(size)) == head:
            at = len(_HEAD) + head
            heads = _HEAD + _length(size), _length(lms.SIGNATURE_BYTES)
            if signed[:at] == heads[0] and signed[at + size : at + size + 3] == heads[1]:
                return at, at + size
    raise RemoteError("signature")


def verified(signed: "bytes | bytearray", root: bytes) -> bytes:
    """The manifest, if the root signed it; RemoteError("signature")."""
    at, end = _where(signed)
    view = memoryview(signed)  # a node has no room for both twice
    manifest = view[at:end]
    lms.verify(root, (_SIGNED, _length(end - at), manifest), view[end + 3 :])
    return bytes(manifest)
