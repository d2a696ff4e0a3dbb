"""The gateway's own key pair, X25519, to which claims are sealed; made where there is none yet."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kerbline import durable
from kerbline.config.faults import Complaint
from kerbline.config.rules import read_secret
from kerbline.keys.faults import KeyFault

FILE = "gateway.key"  # in the gateway's state folder
NAME = "x25519"
_PRIVATE = re.compile(r"[0-9a-f]{64}")
_PUBLIC = re.compile(rf"{NAME} +([0-9a-fA-F]{{64}})")
_FINGERPRINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """Both halves, 32 bytes each (RFC 7748)."""

    private: bytes = field(repr=False)
    public: bytes


def load(state: Path) -> GatewayKey | None:
    """The key in a state folder, None where none was made; raises KeyFault."""
    path = state / FILE
    if not path.exists():
        return None
    content = read_secret(path)
    if isinstance(content, Complaint):
        raise KeyFault(f"the gateway's key {content.problem}; {content.remedy}")
    if not _PRIVATE.fullmatch(content):
        raise KeyFault(
            f"the gateway's key {path} is damaged; put its backup there, or remove it, run "
            "`kerbline gateway key` and give every technician what that prints"
        )
    return _of(bytes.fromhex(content))


def load_or_make(state: Path) -> GatewayKey:
    """The key in a state folder, made durable there at first; raises KeyFault."""
    made = load(state)
    if made is not None:
        return made
    path = state / FILE
    private = X25519PrivateKey.generate().private_bytes_raw()
    try:
        durable.folder(state)
        draft = path.with_suffix(f".{os.getpid()}.new")
        durable.fresh(draft, private.hex().encode() + b"\n")
        with suppress(FileExistsError):  # another process was quicker, and its key is the one
            os.link(draft, path)
        draft.unlink()
        durable.sync(state)
    except OSError as error:
        raise KeyFault(f"{path}: can't be written: {error.strerror}") from None
    made = load(state)
    if made is None:
        raise KeyFault(
            f"the gateway's key {path} is a link that leads nowhere; bring back what it leads to, "
            "or put its backup there"
        )
    return made


def told(public: bytes) -> str:
    """The public half as a technician's profile takes it."""
    return f"{NAME} {public.hex()}"


def read_public(text: str) -> bytes:
    """The public half in what `told` wrote, other lines around it or not; raises KeyFault."""
    for line in text.splitlines():
        found = _PUBLIC.fullmatch(line.strip())
        if found:
            return bytes.fromhex(found[1])
    raise KeyFault(
        f'no line "{NAME} " and 64 hex digits; take what `kerbline gateway key` prints at the '
        "gateway"
    )


def fingerprint(public: bytes) -> str:
    """What two people compare by phone: 80 bits of SHA-256 in five groups."""
    digits = sha256(public).digest()[:_FINGERPRINT_BYTES].hex()
    return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def _of(private: bytes) -> GatewayKey:
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return GatewayKey(private, public)
