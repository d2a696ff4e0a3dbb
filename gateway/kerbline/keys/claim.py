"""The claim: what a technician's laptop tells one gateway, sealed, about one node.

    sealed  = version 1 | hint 4 | ephemeral X25519 public key 32 | AES-128-GCM ciphertext, tag 16
    hint    = the first 4 bytes of the SHA-256 of the gateway's public key
    key 16 | nonce 12 = HKDF-SHA256(X25519(ephemeral, gateway), salt: none,
                        info: "kerbline claim 1" | ephemeral public | gateway public)
    AAD     = version | hint | ephemeral public
    content = [1, node id, asset, kind, key, generation, link, made (s, UTC since 1970)
               (, latitude, longitude in 10^-4 degrees) (, laptop, technician)],
              deterministic CBOR without an array
    laptop  = the first 8 bytes of the public key that signs the records of this commissioning

X25519 is RFC 7748, HKDF RFC 5869, AES-GCM NIST SP 800-38D, the CBOR that of `kerbwire.cbor`.
The sender stays unknown: whoever has the gateway's public key can seal a claim, and write in it
whose it be. What a claim may do is decided where it is taken, not here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from hashlib import sha256
from typing import get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kerbline.config.rules import KEY_BYTES
from kerbline.config.terms import Name, NodeId
from kerbline.keys.faults import KeyFault
from kerbwire import cbor
from kerbwire.errors import RemoteError

VERSION = 1
PUBLIC_BYTES = 32
HINT_BYTES = 4
TAG_BYTES = 16
MAX_BYTES = 200  # sealed: it goes up in one frame
HEAD_BYTES = 1 + HINT_BYTES + PUBLIC_BYTES
INFO = b"kerbline claim 1"
HEADING = "kerbline claim 1"  # of its form as text

KINDS = ("streetlight", "water_meter", "air_quality")
LINKS = ("udp", "rs485", "uart")
LAPTOP_BYTES = 8
TECHNICIAN_BYTES = 24  # of the name, in UTF-8: what the longest other names leave of MAX_BYTES
PER_DEGREE = 10_000  # 11 m: enough to find a pole, and no more of a household

_NODE_ID = get_args(NodeId)[1]
_NAME = get_args(Name)[1]
_MAX_GENERATION = (1 << 32) - 1
_MAX_MADE_S = 253_402_300_799  # the end of year 9999: what a date can tell
_GCM_KEY_BYTES = 16
_GCM_NONCE_BYTES = 12


class ClaimFault(KeyFault):
    """A claim that can't be taken; `reason` is one of `REASONS`. It never tells a key."""

    code = "claim"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(REASONS[reason])


REASONS = {
    "foreign": "the claim is sealed to another gateway; send it there, or seal it anew with what "
    "`kerbline gateway key` prints here",
    "forged": "the claim was changed since it was sealed; take it from the laptop again",
    "version": "the claim is of another version than ours; use the same version of kerbline on "
    "laptop and gateway",
    "size": "this is no claim: its size is none",
    "content": "what the claim says can't be true; commission the node again",
    "text": 'this is no claim: no line "kerbline claim 1" and base64 behind it',
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One node as its technician left it: `key` is K of `generation`, `made_s` real UTC.

    `position`: latitude and longitude in degrees, where it was told. `laptop` and `technician`
    say where its records are; nothing proves them.
    """

    node_id: str
    asset: str
    kind: str
    key: bytes = field(repr=False)
    generation: int
    link: str
    made_s: int
    position: tuple[float, float] | None = None
    laptop: bytes = b""
    technician: str = ""


def seal(claim: Claim, gateway_public: bytes) -> bytes:
    """The claim for the one gateway that has this X25519 key's other half; <= 200 bytes.

    ClaimFault("content") for a claim that `open` would refuse.
    """
    _judge(claim)
    items: list[int | bytes] = [
        VERSION,
        claim.node_id.encode(),
        claim.asset.encode(),
        claim.kind.encode(),
        claim.key,
        claim.generation,
        claim.link.encode(),
        claim.made_s,
    ]
    if claim.position is not None:
        items += [round(part * PER_DEGREE) for part in claim.position]
    if claim.laptop:
        items += [claim.laptop, _cut(claim.technician)]
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(gateway_public))
    head = bytes((VERSION,)) + hint(gateway_public) + ephemeral.public_key().public_bytes_raw()
    return head + _cipher(shared, head, gateway_public, cbor.encode(items), opening=False)


def open(sealed: bytes, private: bytes) -> Claim:  # noqa: A001 - the opposite of seal
    """What a claim says to the gateway with this X25519 private key; raises ClaimFault."""
    if not HEAD_BYTES + TAG_BYTES < len(sealed) <= MAX_BYTES:
        raise ClaimFault("size")
    if sealed[0] != VERSION:
        raise ClaimFault("version")
    ours = X25519PrivateKey.from_private_bytes(private)
    public = ours.public_key().public_bytes_raw()
    if not is_for(sealed, public):
        raise ClaimFault("foreign")
    head, rest = sealed[:HEAD_BYTES], sealed[HEAD_BYTES:]
    try:
        shared = ours.exchange(X25519PublicKey.from_public_bytes(head[1 + HINT_BYTES :]))
        content = _cipher(shared, head, public, rest, opening=True)
    except (InvalidTag, ValueError):  # ValueError: a point of small order (RFC 7748 section 6.1)
        raise ClaimFault("forged") from None
    return _read(content)


def hint(gateway_public: bytes) -> bytes:
    """Tells claims for other gateways at the cost of a comparison; no proof of anything."""
    return sha256(gateway_public).digest()[:HINT_BYTES]


def is_for(sealed: bytes, gateway_public: bytes) -> bool:
    """Does the claim say that it is for this gateway?"""
    return sealed[1 : 1 + HINT_BYTES] == hint(gateway_public)


def to_text(sealed: bytes) -> str:
    """A claim for a file or a mail."""
    return f"{HEADING}\n{base64.encodebytes(sealed).decode()}"


def from_text(content: bytes) -> bytes:
    """The sealed claim in a file: as `to_text` wrote it, mail around it or not, or as it is."""
    if content[:1] == bytes((VERSION,)) and len(content) <= MAX_BYTES:
        return content
    lines = [line.strip(" \t>") for line in content.decode("ascii", "replace").splitlines()]
    if HEADING not in lines:
        raise ClaimFault("text")
    body = ""
    for line in lines[lines.index(HEADING) + 1 :]:
        if not line and body:
            break
        body += line
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise ClaimFault("text") from None


def _cipher(shared: bytes, head: bytes, public: bytes, data: bytes, *, opening: bool) -> bytes:
    info = INFO + head[1 + HINT_BYTES :] + public
    made = HKDF(SHA256(), _GCM_KEY_BYTES + _GCM_NONCE_BYTES, salt=None, info=info).derive(shared)
    cipher, nonce = AESGCM(made[:_GCM_KEY_BYTES]), made[_GCM_KEY_BYTES:]
    return cipher.decrypt(nonce, data, head) if opening else cipher.encrypt(nonce, data, head)


def _read(content: bytes) -> Claim:
    try:
        items = cbor.decode(content)
    except RemoteError:
        raise ClaimFault("content") from None
    if items[:1] != [VERSION]:
        raise ClaimFault("version")
    match items[1:]:
        case [
            bytes(node_id),
            bytes(asset),
            bytes(kind),
            bytes(key),
            int(generation),
            bytes(link),
            int(made_s),
            *rest,
        ]:
            claim = Claim(
                _ascii(node_id),
                _ascii(asset),
                _ascii(kind),
                key,
                generation,
                _ascii(link),
                made_s,
                _position(rest),
                *_by(rest),
            )
            _judge(claim)
            return claim
    raise ClaimFault("content")


def _cut(name: str) -> bytes:
    """As much of a name as there is room for, whole letters."""
    plain = "".join(filter(str.isprintable, name))
    return plain.encode()[:TECHNICIAN_BYTES].decode("utf-8", "ignore").encode()


def _ascii(text: bytes) -> str:
    return text.decode("ascii", "replace")  # what is not ASCII fits no rule


def _position(place: list[int | bytes]) -> tuple[float, float] | None:
    match place:
        case [int(latitude), int(longitude), *_]:
            return latitude / PER_DEGREE, longitude / PER_DEGREE
    return None


def _by(rest: list[int | bytes]) -> tuple[bytes, str]:
    """The laptop and the technician behind a position, if there are any."""
    match rest:
        case [] | [int(), int()]:
            return b"", ""
        case [bytes(laptop), bytes(name)] | [int(), int(), bytes(laptop), bytes(name)]:
            told = name.decode("utf-8", "replace")
            if told.isprintable():  # it stands in a log
                return laptop, told
    raise ClaimFault("content")


def _judge(claim: Claim) -> None:
    """Refuse what no config file could say either."""
    here = claim.position
    sound = (
        _NODE_ID.judge(claim.node_id) is None
        and _NAME.judge(claim.asset) is None
        and claim.kind in KINDS
        and claim.link in LINKS
        and len(claim.key) == KEY_BYTES
        and 0 <= claim.generation <= _MAX_GENERATION
        and 0 <= claim.made_s <= _MAX_MADE_S
        and (here is None or (abs(here[0]) <= 90 and abs(here[1]) <= 180))
        and len(claim.laptop) in (0, LAPTOP_BYTES)
    )
    if not sound:
        raise ClaimFault("content")
