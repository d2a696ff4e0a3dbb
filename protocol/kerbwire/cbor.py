"""Deterministic CBOR (RFC 8949 section 4.2.1) of what bodies are made of: integers and bytes.

A body is a CBOR sequence (RFC 8742), so there is no array around it. Decoding refuses whatever
is not the one shortest form, and more than CBOR_ITEMS items.
"""

from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import CBOR_ITEMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_UINT = 0x00
_NEGATIVE = 0x20
_BYTES = 0x40


def _head(major: int, number: int) -> bytes:
    """Major type and argument in the shortest form."""
    if number < 24:
        return bytes((major | number,))
    if number < 0x100:
        return bytes((major | 24, number))
    if number < 0x10000:
        return bytes((major | 25,)) + number.to_bytes(2, "big")
    if number < 0x100000000:
        return bytes((major | 26,)) + number.to_bytes(4, "big")
    if number >> 64:
        raise LocalError("integer")
    return bytes((major | 27,)) + number.to_bytes(8, "big")


def encode(items: "Sequence[int | bytes]") -> bytes:
    """The items, one after the other; integers from -2^64 to 2^64 - 1."""
    parts = []
    for item in items:
        if isinstance(item, int):
            parts.append(_head(_UINT, item) if item >= 0 else _head(_NEGATIVE, -1 - item))
        else:
            parts.append(_head(_BYTES, len(item)))
            parts.append(item)
    return b"".join(parts)


def decode(body: bytes, most: int = CBOR_ITEMS) -> "list[int | bytes]":
    """All items of a body; RemoteError("cbor") for anything but their deterministic form."""
    items: list[int | bytes] = []
    at = 0
    end = len(body)
    while at < end:
        if len(items) == most:
            raise RemoteError("cbor")
        major = body[at] & 0xE0
        number = body[at] & 0x1F
        at += 1
        if number > 23:
            if number > 27:
                raise RemoteError("cbor")
            size = 1 << (number - 24)
            if at + size > end:
                raise RemoteError("cbor")
            number = int.from_bytes(body[at : at + size], "big")
            at += size
            # The shortest form only: 24 is the least for one byte, else what half the size holds.
            if number < (24 if size == 1 else 1 << (4 * size)):
                raise RemoteError("cbor")
        if major == _UINT:
            items.append(number)
        elif major == _NEGATIVE:
            items.append(-1 - number)
        elif major == _BYTES and number <= end - at:
            items.append(bytes(body[at : at + number]))
            at += number
        else:
            raise RemoteError("cbor")
    return items
