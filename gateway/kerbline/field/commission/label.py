"""The label on a board: a QR code of at most 45 characters that holds no secret, and its text.

    payload = "KB1:" node ":" MAC ":" check

node   the node id with capital letters for small ones; one that has a capital letter or a "_" of
       its own is "$" and 18 digits of base 43 (the alphabet below) of the number whose 16 digits
       of base 65 are its characters, 0 behind its end
MAC    the chip's base MAC address in 12 hex digits
check  4 characters of base 32 (RFC 4648): the first 20 bits of the SHA-256 of what stands before

All of it is of QR's alphanumeric set (ISO/IEC 18004, 7.4.4), so it fits a version 3 code at error
correction Q (47 characters), a short id a version 2.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from kerbline import durable
from kerbline.field.commission.words import CommissionFault

SCHEME = "KB1"
MOST = 45  # characters
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$%*+-./"  # QR's but space and colon
NODE_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
NODE_CHARACTERS = 16
CODED_CHARACTERS = 18  # 43**18 > 65**16
CHECK_CHARACTERS = 4
_PLAIN = re.compile(r"[0-9a-z][0-9a-z-]{0,15}")
_MAC = re.compile(r"[0-9A-F]{12}")
SCALE = 8  # pixels a module


@dataclass(frozen=True, slots=True)
class Label:
    """What stands on a board: the node's id and its chip's MAC, lower case with colons."""

    node_id: str
    mac: str

    @property
    def payload(self) -> str:
        """The text of the code."""
        head = f"{SCHEME}:{_coded(self.node_id)}:{self.mac.replace(':', '').upper()}:"
        return head + _check(head)


def parse(payload: str) -> Label:
    """What a label says; raises CommissionFault where it is none, or was read or typed wrongly."""
    parts = payload.strip().upper().rsplit(":", 2)
    scheme, _, node = parts[0].partition(":")
    if len(parts) != 3 or scheme != SCHEME or len(payload.strip()) > MOST:
        raise CommissionFault("label", text=payload[:MOST])
    head = f"{parts[0]}:{parts[1]}:"
    if parts[2] != _check(head) or not _MAC.fullmatch(parts[1]):
        raise CommissionFault("label", text=payload[:MOST])
    label = Label(_decoded(node), ":".join(re.findall("..", parts[1].lower())))
    if label.payload != payload.strip().upper():  # an id that no label of ours would code so
        raise CommissionFault("label", text=payload[:MOST])
    return label


def save(label: Label, folder: Path, caption: str) -> tuple[Path, Path]:
    """NODE.png and NODE.svg in that folder; the caption is the SVG's title."""
    import segno

    code = segno.make_qr(label.payload, error="q", mode="alphanumeric", boost_error=False)
    paths = folder / f"{label.node_id}.png", folder / f"{label.node_id}.svg"
    for path, more in zip(paths, ({}, {"title": caption, "nl": True}), strict=True):
        drawn = io.BytesIO()
        code.save(drawn, kind=path.suffix[1:], scale=SCALE, border=4, **more)
        durable.replace(path, drawn.getvalue())
    return paths


def drawn(label: Label) -> str:
    """The code in half blocks, for a terminal."""
    import segno

    text = io.StringIO()
    code = segno.make_qr(label.payload, error="q", mode="alphanumeric", boost_error=False)
    code.terminal(text, compact=True)
    return text.getvalue()


def _check(head: str) -> str:
    return base64.b32encode(sha256(head.encode()).digest())[:CHECK_CHARACTERS].decode()


def _coded(node_id: str) -> str:
    if _PLAIN.fullmatch(node_id):
        return node_id.upper()
    number = 0
    for letter in node_id.ljust(NODE_CHARACTERS, "\0"):
        number = number * 65 + NODE_LETTERS.find(letter) + 1
    digits = ""
    for _ in range(CODED_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return "$" + digits


def _decoded(node: str) -> str:
    if not node.startswith("$"):
        return node.lower()
    number = 0
    for letter in node[1:]:
        number = number * len(ALPHABET) + max(0, ALPHABET.find(letter))
    letters = ""
    while number:
        number, digit = divmod(number, 65)
        letters = (NODE_LETTERS[digit - 1] if digit else "") + letters
    return letters
