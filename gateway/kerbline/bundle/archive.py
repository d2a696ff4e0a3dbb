"""A bundle's outside: a ustar archive (POSIX 1003.1-2008) of which the same members make one form.

Reading compares each header with the one that `packed` would write: what any program can put into
an archive beside names and contents (owners, times, links, devices, other orders) is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from kerbline.bundle.faults import BundleFault

BLOCK_BYTES = 512
NAME_BYTES = 100
MOST_BYTES = 16 << 20
MOST_MEMBERS = 1000
# By a member's name, or its folder's; a bundle has no others.
LIMITS: Mapping[str, int] = {
    "bundle.json": 256 << 10,
    "bundle.ed25519": 72,
    "manifest.kbm": 8192,
    "manifest.cose": 16 << 10,
    "objects/": 512 << 10,
    "parts/": 512 << 10,
    "start/": 64 << 10,
    "image.bin": 8 << 20,
    "sbom.cdx.json": 2 << 20,
}
_NAME = re.compile(r"(?:[a-z0-9_-][a-z0-9._-]*/)?[a-z0-9_-][a-z0-9._-]*")
_KINDS = {
    "1": "a hard link",
    "2": "a symbolic link",
    "3": "a character device",
    "4": "a block device",
    "5": "a folder",
    "6": "a pipe",
}
_END = bytes(2 * BLOCK_BYTES)


def packed(members: Mapping[str, bytes]) -> bytes:
    """The archive of these members; the same members make the same bytes."""
    out = bytearray()
    for name in sorted(members):
        content = members[name]
        assert _NAME.fullmatch(name) and len(content) <= limit(name), name
        out += _header(name.encode(), len(content)) + content + bytes(-len(content) % BLOCK_BYTES)
    return bytes(out + _END)


def limit(name: str) -> int:
    """The most bytes that a member of that name has; 0: no bundle has such a member."""
    folder, slash, _ = name.rpartition("/")
    return LIMITS.get(folder + slash if slash else name, 0)


def unpacked(data: bytes, where: object) -> dict[str, bytes]:
    """The members of an archive as `packed` makes it; raises BundleFault for any other."""
    found: dict[str, bytes] = {}
    before = ""
    at = 0
    while True:
        header = data[at : at + BLOCK_BYTES]
        if header == _END[:BLOCK_BYTES]:
            break
        if len(header) < BLOCK_BYTES:
            reason = "truncated" if at and data[257:262] == b"ustar" else "not-a-bundle"
            what = "the archive ends early" if at else "is no archive"
            raise BundleFault(where, reason, what)
        name, size = _checked(header, at, where)
        if name in found:
            raise BundleFault(where, "member-twice", f"{name} is in it twice")
        if name < before:
            raise BundleFault(where, "member-order", f"{name} stands behind {before}")
        if limit(name) == 0:
            raise BundleFault(where, "member-unknown", f"{name} is in it, which no bundle has")
        if size > limit(name) or len(found) == MOST_MEMBERS:
            raise BundleFault(
                where, "too-large", f"{name} has {size:,} bytes, {limit(name):,} are allowed"
            )
        at += BLOCK_BYTES
        end = at + size
        behind = end + -size % BLOCK_BYTES
        if len(data) < behind:
            raise BundleFault(where, "truncated", f"the archive ends within {name}")
        if any(data[end:behind]):
            raise BundleFault(where, "padding", f"something is hidden behind {name}")
        found[name] = data[at:end]
        before = name
        at = behind
    if len(data) < at + len(_END):
        raise BundleFault(where, "truncated", "the archive's end is cut off")
    if data[at : at + len(_END)] != _END or len(data) > at + len(_END):
        raise BundleFault(where, "trailing", "something stands behind the archive's end")
    return found


def read(path: Path) -> bytes:
    """The file, as long as it is a file and no longer than a bundle; raises BundleFault."""
    try:
        # A pipe without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleFault(path, "not-a-bundle", "is no file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BundleFault(path, "unreadable", f"can't be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise BundleFault(path, "too-large", f"has more than {MOST_BYTES:,} bytes")
    return data


def _header(name: bytes, size: int) -> bytes:
    def octal(number: int, digits: int) -> bytes:
        return b"%0*o\0" % (digits, number)

    parts = [
        name.ljust(NAME_BYTES, b"\0"),
        octal(0o644, 7) + octal(0, 7) + octal(0, 7),  # mode, owner, group
        octal(size, 11) + octal(0, 11),  # size, time
        b" " * 8,  # the sum, over itself as spaces
        b"0" + bytes(100),  # a plain file, and no link
        b"ustar\0" + b"00" + bytes(32 + 32),  # no names of owner and group
        octal(0, 7) + octal(0, 7) + bytes(155 + 12),  # no device, no prefix
    ]
    header = b"".join(parts)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _checked(header: bytes, at: int, where: object) -> tuple[str, int]:
    """Name and size of a header that is as `_header` writes it."""
    if header[257:263] != b"ustar\0":
        if at == 0:
            raise BundleFault(where, "not-a-bundle", "is no ustar archive")
        raise BundleFault(where, "header", f"the header at byte {at} is damaged")
    told = sum(header) - sum(header[148:156]) + 8 * 0x20
    if header[148:156] != b"%06o\0 " % told:
        raise BundleFault(where, "header", f"the header at byte {at} is damaged")
    raw = header[:NAME_BYTES].rstrip(b"\0")
    shown = ascii(raw.decode("latin-1"))
    kind = chr(header[156])
    if kind != "0":
        what = _KINDS.get(kind, f"of type {kind!a}, no file")
        raise BundleFault(where, "member-type", f"{shown} is {what}")
    name = raw.decode("latin-1")
    if not _NAME.fullmatch(name) or any(header[345:500]):
        raise BundleFault(where, "member-name", f"{shown} is no name that a bundle has")
    try:
        size = int(header[124:135], 8)
    except ValueError:
        raise BundleFault(where, "header", f"{shown} has no size") from None
    if size < 0 or _header(raw, size) != header:
        raise BundleFault(where, "metadata", f"{shown} has an owner, a time or a mode")
    return name, size
