"""Finds telegrams in a stream of bytes, however it is cut; bounded, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kerbline.config.telegram import Frame
from kerbline.south.serial.checksums import SUMS

BLANKS = b"\0\r\n "  # what stands between telegrams
HEX_DIGITS = frozenset(b"0123456789ABCDEFabcdef")


@dataclass(frozen=True, slots=True)
class Telegram:
    """One whole telegram whose checksum is right: from its start to its end, without checksum."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """A telegram that began and came to nothing: "checksum", "half", "too_long"."""

    code: str


Found = Telegram | Broken


class Splitter:
    """Takes bytes in any pieces and gives the telegrams in them; holds at most one telegram.

    What a stream gives does not depend on where it is cut. After a broken telegram the search goes
    on at the byte after its start. A text telegram may hold no second start: where one stands, the
    first telegram was cut off.
    """

    __slots__ = ("_end", "_frame", "_pending", "_start", "_synced", "skipped")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._start = frame.start.encode("latin-1")
        self._end = frame.end.encode("latin-1")
        self._pending = bytearray()
        self._synced = bool(self._start)
        self.skipped = 0  # bytes that belonged to no telegram and are no blanks, since the start

    @property
    def pending(self) -> int:
        """Bytes of a telegram that is not whole yet."""
        return len(self._pending)

    def drop(self) -> None:
        """Forget what is half: the line was silent in its midst, or was opened anew."""
        self._skip(len(self._pending))
        self._synced = bool(self._start)

    def receive(self, data: bytes) -> Iterator[Found]:
        """What the bytes so far completed, in its order; take it whole before the next call."""
        self._pending += data
        while self._seek():
            found = self._next()
            if found is None:
                return
            yield found

    def _seek(self) -> bool:
        """Drop what precedes the next start; False when there is none yet."""
        pending, start = self._pending, self._start
        if not start:
            return bool(pending)
        at = pending.find(start)
        if at < 0:  # the first bytes of a start may have come
            keep = next(n for n in range(len(start) - 1, -1, -1) if pending.endswith(start[:n]))
            at = len(pending) - keep
        self._skip(at)
        return pending.startswith(start)

    def _next(self) -> Found | None:
        """The telegram that begins here, or how it broke; None while it is not whole."""
        length = self._text() if self._end else self._binary()
        if isinstance(length, Broken):
            return self._give_up(length)
        if length is None:
            return None
        checksum = self._frame.checksum
        if checksum is None:
            return self._whole(length, 0)
        tail = checksum.bytes
        if len(self._pending) < length + tail:
            return None
        told = bytes(self._pending[length : length + tail])
        if self._value(told) != SUMS[checksum.type](self._covered(length)):
            return self._give_up(Broken("checksum"))
        self._synced = True  # a right checksum tells a start as well
        return self._whole(length, tail)

    def _text(self) -> int | Broken | None:
        """How long the telegram is up to its end, that included."""
        pending, start, most = self._pending, self._start, self._frame.max_bytes
        end = pending.find(self._end, len(start), most)
        again = pending.find(start, 1, most if end < 0 else end) if start else -1
        if again >= 0:
            return Broken("half")
        if end >= 0:
            return end + len(self._end)
        return Broken("too_long") if len(pending) >= most else None

    def _binary(self) -> int | Broken | None:
        """How long the telegram is without its checksum."""
        frame = self._frame
        total = frame.bytes
        if frame.length is not None:
            at, width = frame.length.at, frame.length.width
            if len(self._pending) < at + width:
                return None
            total = frame.length.plus + int.from_bytes(
                self._pending[at : at + width], _order(frame.byte_order)
            )
            if not frame.least_bytes <= total <= frame.max_bytes:
                return Broken("too_long")
        assert total is not None
        return total - frame.tail_bytes if len(self._pending) >= total else None

    def _value(self, told: bytes) -> int | None:
        checksum = self._frame.checksum
        assert checksum is not None
        if checksum.form == "hex":
            return int(told, 16) if HEX_DIGITS.issuperset(told) else None
        return int.from_bytes(told, _order(checksum.byte_order or self._frame.byte_order))

    def _covered(self, length: int) -> bytes:
        checksum = self._frame.checksum
        assert checksum is not None
        first = 0 if checksum.covers == "whole" else len(self._start)
        last = length - (len(self._end) if checksum.covers == "inside" else 0)
        return bytes(self._pending[first:last])

    def _whole(self, length: int, tail: int) -> Found:
        data = bytes(self._pending[:length])
        del self._pending[: length + tail]
        if not self._synced:  # the first line after an opening may be the rest of one
            self._synced = True
            self.skipped += length
            return Broken("half")
        return Telegram(data)

    def _give_up(self, broken: Broken) -> Broken:
        """Go on behind the start that led to nothing; without one, behind what was looked at."""
        if self._start:
            self._skip(1)
        elif broken.code == "too_long":
            self._skip(self._frame.max_bytes + 1 - len(self._end))  # an end may have begun
            self._synced = False
        else:
            self._skip(self._pending.find(self._end) + len(self._end))
        return broken

    def _skip(self, count: int) -> None:
        self.skipped += len(self._pending[:count].translate(None, BLANKS))
        del self._pending[:count]


def _order(name: str) -> Literal["big", "little"]:
    return "big" if name == "high_first" else "little"
