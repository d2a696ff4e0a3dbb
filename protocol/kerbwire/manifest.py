"""A manifest: the files of one build by name, size and hash, and what it takes to run it.

A node keeps its bytes, and looks up in them where they lie. `release` signs them.
"""

from hashlib import sha256

from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    BUILD_BYTES,
    MANIFEST_BYTES,
    MANIFEST_NAME_BYTES,
    OBJECT_HASH_BYTES,
    ROOT_BYTES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Entry = tuple[str, int, bytes]  # name, size, SHA-256 cut to 16 bytes

MAGIC = b"KBM1"
_BOARD = 19  # where the board's name stands, behind numbers of fixed length
_TAIL = 3 + OBJECT_HASH_BYTES  # of an entry, behind its name


class Manifest:
    """What a manifest says; `expires_s` counts from 2000-01-01 UTC, 0: never.

    `next_root` is b"" where the root stays; `image` (size, digest) or None.
    """

    __slots__ = (
        "board",
        "commit",
        "entries",
        "expires_s",
        "image",
        "next_root",
        "sequence",
        "version",
    )

    def __init__(self, sequence: int, version: "tuple[int, int, int]", board: str):
        self.sequence = sequence
        self.expires_s = 0
        self.version = version
        self.commit = bytes(4)
        self.board = board
        self.next_root = b""
        self.image: tuple[int, bytes] | None = None
        self.entries: tuple[Entry, ...] = ()


def digest(data: bytes) -> bytes:
    """An object's name: the first 16 bytes of its SHA-256."""
    return sha256(data).digest()[:OBJECT_HASH_BYTES]


def build_id(data: bytes) -> bytes:
    """The name of the build: the first 8 bytes of the manifest's SHA-256."""
    return sha256(data).digest()[:BUILD_BYTES]


def encoded(manifest: Manifest) -> bytes:
    """Its bytes, entries in order of their names; LocalError("manifest") where it can't be."""
    out = bytearray(MAGIC)
    try:
        for number in (manifest.sequence, manifest.expires_s):
            out.extend(number.to_bytes(4, "big"))
        out.extend(bytes(manifest.version) + manifest.commit)
        for part in (manifest.board.encode(), manifest.next_root):
            out.append(len(part))
            out.extend(part)
        out.append(0 if manifest.image is None else 1)
        for size, whole in () if manifest.image is None else (manifest.image,):
            out.extend(size.to_bytes(3, "big") + whole)
        out.extend(len(manifest.entries).to_bytes(2, "big"))
        for name, size, whole in sorted(manifest.entries):
            out.append(len(name.encode()))
            out.extend(name.encode() + size.to_bytes(3, "big") + whole)
        decode(bytes(out))
    except (OverflowError, ValueError, RemoteError):
        raise LocalError("manifest")
    return bytes(out)


def decode(data: bytes, *, entries: bool = True) -> Manifest:
    """What the bytes say; RemoteError("manifest") for anything but what `encoded` makes.

    Without `entries` they are checked alone: a node has no room for a list of them.
    """
    try:
        return _decoded(data, entries)
    except (IndexError, ValueError):
        raise RemoteError("manifest")


def _decoded(data: bytes, whole: bool) -> Manifest:  # noqa: FBT001
    _check(len(data) <= MANIFEST_BYTES and data[:4] == MAGIC)
    at = _BOARD + 1 + data[_BOARD]
    board = data[_BOARD + 1 : at]
    version = (data[12], data[13], data[14])
    made = Manifest(int.from_bytes(data[4:8], "big"), version, _plain(board))
    made.expires_s = int.from_bytes(data[8:12], "big")
    made.commit = data[15:19]
    made.next_root = data[at + 1 : at + 1 + data[at]]
    _check(data[at] in (0, ROOT_BYTES))
    at += 1 + data[at]
    _check(data[at] in (0, 1))
    if data[at]:
        made.image = _sized(data, at + 1)
        at += _TAIL
    count = data[at + 1] << 8 | data[at + 2]
    at += 3
    entries = []
    before = b""
    for _ in range(count):
        end = at + 1 + data[at]
        name = data[at + 1 : end]
        _check(before < name and 0 < len(name) <= MANIFEST_NAME_BYTES)
        text = _plain(name)
        for part in text.split("/"):
            _check(part not in ("", ".", ".."))
        entry = (text,) + _sized(data, end)
        if whole:
            entries.append(entry)
        before = name
        at = end + _TAIL
    _check(at == len(data))
    made.entries = tuple(entries)
    return made


def _check(sound: bool) -> None:  # noqa: FBT001 - the one thing it is about
    if not sound:
        raise ValueError


def _plain(name: bytes) -> str:
    """A name of visible ASCII, without what some file system takes for more than a letter."""
    for code in name:
        _check(0x20 < code < 0x7F and code != 0x5C)
    return name.decode()


def _sized(data: bytes, at: int) -> "tuple[int, bytes]":
    """A size of three bytes, not 0, and a digest."""
    size = int.from_bytes(data[at : at + 3], "big")
    whole = data[at + 3 : at + _TAIL]
    _check(size > 0 and len(whole) == OBJECT_HASH_BYTES)
    return size, whole


def image(data: bytes) -> "tuple[int, bytes] | None":
    """(size, digest) of the MicroPython image of a sound manifest, if it names one."""
    at = _BOARD + 1 + data[_BOARD]
    at += 1 + data[at]
    return _sized(data, at + 1) if data[at] else None


def objects(data: bytes) -> "Iterator[tuple[int, bytes]]":
    """(size, digest) of each entry of a sound manifest, in their order."""
    at = _BOARD + 1 + data[_BOARD]
    at += 1 + data[at]
    at += 3 + data[at] * _TAIL
    while at < len(data):
        at += 1 + data[at] + _TAIL
        yield (
            int.from_bytes(data[at - _TAIL : at - OBJECT_HASH_BYTES], "big"),
            data[at - OBJECT_HASH_BYTES : at],
        )
