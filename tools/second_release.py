"""A second implementation of what signs a release: HSS/LMS with a seed, COSE_Sign1, manifests.

Shares no code with kerbwire; written from RFC 8554, RFC 9858, RFC 9052 and protocol/wire.md.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import cbor2

CHAINS, TOP, HEIGHT, BYTES = 51, 15, 10, 24
LMS_TYPE, OTS_TYPE = 11, 7  # LMS_SHA256_M24_H10, LMOTS_SHA256_N24_W4
ALGORITHM = -46


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()[:BYTES]


def _digits(data: bytes) -> list[int]:
    return [digit for code in data for digit in (code >> 4, code & 15)]


@dataclass(frozen=True)
class Tree:
    """One tree, made from its seed as RFC 8554's appendix A has it."""

    seed: bytes

    @cached_property
    def ident(self) -> bytes:
        return sha256(b"I" + self.seed).digest()[:16]

    def _secret(self, leaf: int, place: int) -> bytes:
        return _hash(self.ident, struct.pack(">IHB", leaf, place, 0xFF), self.seed)

    def _chain(self, leaf: int, place: int, data: bytes, first: int, last: int) -> bytes:
        for step in range(first, last):
            data = _hash(self.ident, struct.pack(">IHB", leaf, place, step), data)
        return data

    @cached_property
    def nodes(self) -> dict[int, bytes]:
        """The tree: 1 is the root, the leaves are from 2^10 on."""
        found = {}
        for leaf in range(1 << HEIGHT):
            ends = [self._chain(leaf, i, self._secret(leaf, i), 0, TOP) for i in range(CHAINS)]
            key = _hash(self.ident, struct.pack(">IH", leaf, 0x8080), *ends)
            node = leaf + (1 << HEIGHT)
            found[node] = _hash(self.ident, struct.pack(">IH", node, 0x8282), key)
        for node in range((1 << HEIGHT) - 1, 0, -1):
            pair = found[2 * node], found[2 * node + 1]
            found[node] = _hash(self.ident, struct.pack(">IH", node, 0x8383), *pair)
        return found

    @cached_property
    def public(self) -> bytes:
        return struct.pack(">III", 1, LMS_TYPE, OTS_TYPE) + self.ident + self.nodes[1]

    def signature(self, leaf: int, message: bytes) -> bytes:
        """An HSS signature by that leaf."""
        salt = self._secret(leaf, 0xFFFD)
        hashed = _hash(self.ident, struct.pack(">IH", leaf, 0x8181), salt, message)
        rest = sum(TOP - digit for digit in _digits(hashed))
        digits = _digits(hashed + struct.pack(">H", rest << 4))[:CHAINS]
        told = struct.pack(">III", 0, leaf, OTS_TYPE) + salt
        for place, digit in enumerate(digits):
            told += self._chain(leaf, place, self._secret(leaf, place), 0, digit)
        told += struct.pack(">I", LMS_TYPE)
        node = leaf + (1 << HEIGHT)
        while node > 1:
            told += self.nodes[node ^ 1]
            node >>= 1
        return told


def signed(tree: Tree, leaf: int, manifest: bytes) -> bytes:
    """COSE_Sign1 with that leaf's signature."""
    protected = cbor2.dumps({1: ALGORITHM})
    about = cbor2.dumps(["Signature1", protected, b"", manifest])
    content = [protected, {}, manifest, tree.signature(leaf, about)]
    return cbor2.dumps(cbor2.CBORTag(18, content))


def manifest(
    sequence: int,
    expires_s: int,
    version: tuple[int, int, int],
    board: str,
    files: Iterable[tuple[str, bytes]],
    *,
    commit: bytes = bytes(4),
    next_root: bytes = b"",
    image: bytes = b"",
) -> bytes:
    """A manifest's bytes; `files` are (name, content), `image` a content as well."""
    told = b"KBM1" + struct.pack(">II", sequence, expires_s) + bytes(version) + commit
    told += bytes((len(board),)) + board.encode() + bytes((len(next_root),)) + next_root
    told += b"\1" + _named(image) if image else b"\0"
    rows = sorted((name.encode(), content) for name, content in files)
    told += struct.pack(">H", len(rows))
    return told + b"".join(bytes((len(n),)) + n + _named(content) for n, content in rows)


def _named(content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + sha256(content).digest()[:16]
