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


def _head(out: bytearray, major: int, number: int) -> None:
    """Major type and argument in the shortest form."""
    if number < 24:
        out.append(major | number)
        return
    size = 1
    while number >> 8 * size:
        size *= 2
        major += 1
    if size > 8:
        raise LocalError("integer")
    out.append(major + 24)
    while size:
        size -= 1
        out.append(number >> 8 * size & 0xFF)


def encode(items: "Sequence[int | bytes]") -> bytes:
    """The items, one after the other; integers from -2^64 to 2^64 - 1."""
    return bytes(written(items))


def written(items: "Sequence[int | bytes]") -> bytearray:
    """As `encode`, less a copy."""
    out = bytearray()
    for item in items:
        if not isinstance(item, int):
            _head(out, _BYTES, len(item))
            out.extend(item)
        elif item >= 0:
            _head(out, _UINT, item)
        else:
            _head(out, _NEGATIVE, -1 - item)
    return out


def decode(body: "bytes | bytearray", most: int = CBOR_ITEMS) -> "list[int | bytes]":
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
            size = 1 << (number - 24)
            if size > 8 or at + size > end:
                raise RemoteError("cbor")
            number = 0
            for place in range(at, at + size):
                number = number << 8 | body[place]
            at += size
            # The shortest form only: 24 is the least for one byte, else what half the size holds.
            if number < (24 if size == 1 else 1 << (4 * size)):
                major = 1  # which is none
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
