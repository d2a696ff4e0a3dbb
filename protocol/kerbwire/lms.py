"""Verifies HSS/LMS signatures (RFC 8554) of one level with SHA-256 alone: 24 bytes, H10, W4.

LMS_SHA256_M24_H10 and LMOTS_SHA256_N24_W4 of NIST SP 800-208 (codes: RFC 9858). Nothing here is
secret. A node loads this for one signature; what it takes is a few buffers and one hash at a time.
"""

from hashlib import sha256
from struct import pack_into

from kerbwire.errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Buffer = bytes | bytearray | memoryview

PUBLIC_BYTES = 52  # levels 4, LMS type 4, LM-OTS type 4, identifier 16, root 24
SIGNATURE_BYTES = (
    1504  # keys 4, leaf 4, type 4, randomizer 24, chains 51 * 24, type 4, path 10 * 24
)
_LEVELS = b"\x00\x00\x00\x01"
_LMS = b"\x00\x00\x00\x0b"
_OTS = b"\x00\x00\x00\x07"
_TYPE_AT = SIGNATURE_BYTES - 244  # of the LMS type within a signature


def verify(public: bytes, parts: "Iterable[Buffer]", signature: "Buffer") -> None:
    """Is it the key's signature of these bytes, in some parts? Else RemoteError("signature")."""
    if not (
        len(public) == PUBLIC_BYTES
        and len(signature) == SIGNATURE_BYTES
        and public[:12] == _LEVELS + _LMS + _OTS
        and signature[:4] == bytes(4)  # no further keys
        and signature[8:12] == _OTS
        and signature[_TYPE_AT : _TYPE_AT + 4] == _LMS
        and bytes(signature[4:8]) < b"\x00\x00\x04"
        and root(public[12:28], parts, signature, 24, 4, 10) == public[28:]
    ):
        raise RemoteError("signature")


def root(
    ident: bytes, parts: "Iterable[Buffer]", signature: "Buffer", n: int, w: int, height: int
) -> bytes:
    """The tree's root that the signature leads to: algorithms 4b and 6a of RFC 8554.

    `signature` is that of an HSS of one level; `n` the bytes of a hash, `w` 4 or 8 bits a chain.
    """
    form = "%ds" % n
    chains = n * 8 // w + (3 if w == 4 else 2)
    leaf = ident + bytes(signature[4:8])
    hashed = sha256(leaf + b"\x81\x81" + signature[12 : 12 + n])
    for part in parts:
        hashed.update(part)
    digits = bytearray(hashed.digest()[:n] + b"\0\0")
    most = (1 << w) - 1
    check = 0
    for code in digits[:n]:
        check += 255 - code if w == 8 else 30 - (code >> 4) - (code & 15)
    pack_into(">H", digits, n, check << (4 if w == 4 else 0))
    # A chain's link: identifier, leaf, chain, place, then the hash before.
    link = bytearray(23 + n)
    link[:20] = leaf
    key = sha256(leaf + b"\x80\x80")
    at = 12
    for chain in range(chains):
        at += n
        link[23:] = signature[at : at + n]
        pack_into(">H", link, 20, chain)
        first = digits[chain] if w == 8 else digits[chain // 2] >> (0 if chain & 1 else 4) & 15
        for place in range(first, most):
            link[22] = place
            pack_into(form, link, 23, sha256(link).digest())
        key.update(memoryview(link)[23:])
    node = int.from_bytes(signature[4:8], "big") + (1 << height)
    found: bytes = sha256(
        ident + node.to_bytes(4, "big") + b"\x82\x82" + key.digest()[:n]
    ).digest()[:n]
    at += n + 4
    while node > 1:
        beside = bytes(signature[at : at + n])
        pair = beside + found if node & 1 else found + beside
        node >>= 1
        found = sha256(ident + node.to_bytes(4, "big") + b"\x83\x83" + pair).digest()[:n]
        at += n
    return found
