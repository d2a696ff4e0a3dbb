"""A release key that signs on a node: one leaf of a tree whose other nodes are made up.

Whoever verifies can't tell; nobody but a test may use a leaf twice.
"""

from hashlib import sha256
from struct import pack

from kerbwire import lms, manifest, parts, release

SEED = b"a key of the tests"
LEAF = b"\x00\x00\x00\x05"
BYTES = 24
CHAINS = 51


def signature(data: bytes, seed: bytes = SEED) -> bytes:
    """Of the bytes that a release signs."""
    salt = sha256(seed + b"salt").digest()[:BYTES]
    ident = sha256(seed).digest()[:16]
    hashed = sha256(ident + LEAF + b"\x81\x81" + salt + data).digest()[:BYTES]
    digits = []
    for code in hashed:
        digits += [code >> 4, code & 15]
    check = sum([15 - digit for digit in digits]) << 4
    digits += [check >> 12 & 15, check >> 8 & 15, check >> 4 & 15]
    out = bytes(4) + LEAF + b"\x00\x00\x00\x07" + salt
    for chain, digit in enumerate(digits):
        link = sha256(seed + b"chain" + bytes((chain,))).digest()[:BYTES]
        for place in range(digit):
            whole = ident + LEAF + pack(">HB", chain, place) + link
            link = sha256(whole).digest()[:BYTES]
        out += link
    path = [sha256(seed + b"path" + bytes((n,))).digest()[:BYTES] for n in range(10)]
    return out + b"\x00\x00\x00\x0b" + b"".join(path)


def public(seed: bytes = SEED) -> bytes:
    """The root."""
    ident = sha256(seed).digest()[:16]
    root = lms.root(ident, (b"",), signature(b"", seed), BYTES, 4, 10)
    return b"\x00\x00\x00\x01\x00\x00\x00\x0b\x00\x00\x00\x07" + ident + root


def build(
    sequence: int,
    files: "dict[str, bytes]",
    board: str = "sim",
    next_root: bytes = b"",
    expires_s: int = 0,
    image: "bytes | None" = None,
) -> bytes:
    """A manifest."""
    made = manifest.Manifest(sequence, (0, 2, 0), board)
    made.next_root = next_root
    made.expires_s = expires_s
    if image is not None:
        made.image = len(image), manifest.digest(image)
    made.entries = tuple([(name, len(data), manifest.digest(data)) for name, data in files.items()])
    return manifest.encoded(made)


def signed(data: bytes, seed: bytes = SEED) -> bytes:
    """The manifest, signed."""
    return release.joined(data, signature(release.to_be_signed(data), seed))


def whole(data: bytes, files: "dict[str, bytes]", had: "tuple[bytes, ...]" = ()) -> bytes:
    """Parts that bring each file as it is, but those whose content a node has; not compressed."""
    told = b""
    place = 0
    here = [manifest.digest(content) for content in had]
    for number, (name, _, digest) in enumerate(manifest.decode(data).entries, 1):
        if digest not in here:
            told += bytes((number - place, parts.WHOLE)) + files[name]
            place = number
    told += b"\x00"
    stored = b"\x01" + pack("<HH", len(told), len(told) ^ 0xFFFF) + told
    return parts.MAGIC + manifest.build_id(data) + stored
