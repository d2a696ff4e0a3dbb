"""A release root: the two public keys that a bundle is verified with, as release.pub holds them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from kerbline.bundle import archive, ed25519
from kerbline.bundle.faults import BundleFault
from kerbwire.limits import ROOT_BYTES

FIRST_LINE = "kerbline release root"
FINGERPRINT_BYTES = 8
MOST_BYTES = 4096
# One level; LMS_SHA256_M24_H10 and LMOTS_SHA256_N24_W4 (RFC 8554 section 6.1, SP 800-208 4).
HSS_BEGINS = bytes.fromhex("00000001 0000000b 00000007")
_LINE = re.compile(r"(ed25519|hss) ([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Root:
    """Public keys: `hss` for node, gateway and laptop, `ed25519` for the latter two."""

    ed25519: bytes
    hss: bytes

    @property
    def fingerprint(self) -> bytes:
        """Names the root: the first 8 bytes of the SHA-256 of both keys."""
        return sha256(self.ed25519 + self.hss).digest()[:FINGERPRINT_BYTES]

    def __str__(self) -> str:
        return self.fingerprint.hex()

    @property
    def text(self) -> str:
        """What release.pub says."""
        return f"{FIRST_LINE}\ned25519 {self.ed25519.hex()}\nhss {self.hss.hex()}\n"

    @classmethod
    def load(cls, path: Path) -> Root:
        """From release.pub; raises BundleFault with the reason `root` or `unreadable`."""
        data = archive.read(path)
        return cls.parse(data[: MOST_BYTES + 1], path)

    @classmethod
    def parse(cls, data: bytes, where: object) -> Root:
        """From the text of release.pub, which lies at `where`."""
        lines = data.decode("ascii", "replace").splitlines()
        if len(data) > MOST_BYTES or not lines or lines[0] != FIRST_LINE:
            raise BundleFault(where, "root", f"line 1 is not {FIRST_LINE!r}")
        found: dict[str, bytes] = {}
        for number, line in enumerate(lines[1:], 2):
            match = _LINE.fullmatch(line)
            if match is None or match[1] in found or len(match[2]) % 2:
                raise BundleFault(where, "root", f"line {number} is no key, or one told before")
            found[match[1]] = bytes.fromhex(match[2])
        for name, length in (("ed25519", ed25519.KEY_BYTES), ("hss", ROOT_BYTES)):
            if len(found.get(name, b"")) != length:
                raise BundleFault(where, "root", f"the key {name} is not of {length} bytes")
        if not found["hss"].startswith(HSS_BEGINS):
            raise BundleFault(
                where, "root", "the key hss is not of one level with SHA-256/192, H10 and W4"
            )
        return cls(found["ed25519"], found["hss"])
