"""How a payload is written: a tree of plain values as bytes. CBOR is in `cbor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import orjson


class Encoding(Protocol):
    """One way to write payloads."""

    def one(self, payload: object) -> bytes:
        """A value whole; mappings and tuples are written as objects and arrays."""

    def taken(self, text: bytes) -> bytes:
        """A value that is JSON already."""

    def joined(self, head: dict[str, object], items: Sequence[bytes]) -> bytes:
        """`head`, whose last value is an empty array, with these values, written, in the array."""


class Json:
    """RFC 8259."""

    def one(self, payload: object) -> bytes:
        """UTF-8 without white space; what is not finite becomes null."""
        return orjson.dumps(payload, default=dict)

    def taken(self, text: bytes) -> bytes:
        """As it is."""
        return text

    def joined(self, head: dict[str, object], items: Sequence[bytes]) -> bytes:
        """The same with the array filled."""
        return b"".join((orjson.dumps(head)[:-2], b",".join(items), b"]}"))


JSON = Json()
