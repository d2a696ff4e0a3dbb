"""What a broker refused for good, kept with its reason: to be looked at, sent again or dropped.

What is refused again and again is folded: of letters that are alike but for their values the newest
few are kept, each tells how many there were.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kerbline import durable
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import Attribute, Change

MAX_LETTERS = 1_000
MAX_BYTES = 4_000_000
MAX_ALIKE = 20  # of one entity, way and reason, with the same attributes
STALE_BYTES = 64_000  # of letters that went, or as much as is kept: then the file is written anew
FOLDER = "dead-letters"


def place(state_dir: Path, name: str) -> Path:
    """The file of one broker's."""
    return state_dir / FOLDER / f"{name}.jsonl"


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused change."""

    number: int  # of its file, never given twice
    at_ms: int  # real UTC
    way: str  # "upsert" or "temporal"
    reason: str
    change: Change
    count: int = 1  # of its kind up to this one
    first_ms: int = 0  # real UTC, when the first of them came

    @property
    def kind(self) -> tuple[object, ...]:
        """What is alike: a reason may tell values and times, which are not compared."""
        reason = re.sub(r"\d+", "0", self.reason)
        return self.change.id, tuple(self.change.attributes), self.way, reason

    def told(self) -> dict[str, Any]:
        """As JSON: a line of the file, and what the command line shows."""
        return {
            "number": self.number,
            "at": rfc3339(self.at_ms),
            "at_ms": self.at_ms,
            "way": self.way,
            "reason": self.reason,
            "count": self.count,
            "first_at": rfc3339(self.first_ms),
            "first_ms": self.first_ms,
            "id": self.change.id,
            "type": self.change.type,
            "attributes": {name: list(each) for name, each in self.change.attributes.items()},
        }


def _letter(given: Any) -> Letter:  # noqa: ANN401 - any JSON; raises what is not right
    attributes = {
        name: Attribute(value, at_ms, unit_code, tuple(quality), kind)
        for name, (value, at_ms, unit_code, quality, kind) in given["attributes"].items()
    }
    change = Change(given["id"], given["type"], attributes)
    at_ms = given["at_ms"]
    count, first_ms = given.get("count", 1), given.get("first_ms", at_ms)
    return Letter(given["number"], at_ms, given["way"], given["reason"], change, count, first_ms)


class DeadLetters:
    """A file of letters, oldest first, bounded; every call blocks on the disk."""

    def __init__(
        self, path: Path, *, max_letters: int = MAX_LETTERS, max_bytes: int = MAX_BYTES
    ) -> None:
        self.path = path
        self._max_letters = max_letters
        self._max_bytes = max_bytes
        self._letters: dict[int, tuple[Letter, int]] = {}
        self._alike: dict[tuple[object, ...], list[int]] = {}  # numbers, oldest first
        self._size = 0
        self._next = 1
        self.dropped = 0  # pushed out by newer ones since the start
        self._stale = 0  # bytes of the file whose letters went
        self._whole = True  # the file has all of them
        self.unread: OSError | None = None  # then the file stays as it is
        for line in self._lines():
            try:
                self._keep(_letter(orjson.loads(line)), len(line) + 1)
            except (ValueError, KeyError, TypeError, AttributeError):
                self._whole = False  # half a line, of a kill: the next one is not to go onto it
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def letters(self) -> Sequence[Letter]:
        """All of them, oldest first."""
        return [letter for letter, _ in self._letters.values()]

    def add(self, found: Sequence[tuple[str, str, Change]], at_ms: int) -> None:
        """Keep changes with their way and reason, safe from a power cut on return."""
        lines = []
        for way, reason, change in found:
            letter = Letter(self._next, at_ms, way, reason, change, 1, at_ms)
            alike = self._alike.get(letter.kind)
            if alike:
                before = self._letters[alike[-1]][0]
                number, first_ms = before.count + 1, before.first_ms
                letter = dataclasses.replace(letter, count=number, first_ms=first_ms)
            lines.append(orjson.dumps(letter.told(), default=_plain) + b"\n")
            self._keep(letter, len(lines[-1]))
        if self.unread is not None:
            raise self.unread
        if self._whole and self._stale <= max(STALE_BYTES, self._size):
            self._append(b"".join(lines))
        else:
            self._write()

    def drop(self, numbers: Collection[int] | None = None) -> int:
        """Forget letters by number, or all; how many there were."""
        gone = [each for each in self._letters if numbers is None or each in numbers]
        for number in gone:
            self._forget(number)
        if gone:
            self._write()
        return len(gone)

    def _lines(self) -> Sequence[bytes]:
        try:
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            self.unread = error
            return ()

    def _keep(self, letter: Letter, length: int) -> None:
        """Take it in; what there is too much of goes, the oldest of what there is most of."""
        alike = self._alike.setdefault(letter.kind, [])
        self._letters[letter.number] = (letter, length)
        self._size += length
        self._next = max(self._next, letter.number + 1)
        alike.append(letter.number)
        while len(alike) > MAX_ALIKE or self._too_many():
            most = alike if len(alike) > MAX_ALIKE else max(self._alike.values(), key=len)
            self._stale += self._letters[most[0]][1]
            self._forget(most[0])
            self.dropped += 1

    def _forget(self, number: int) -> None:
        letter, length = self._letters.pop(number)
        self._size -= length
        alike = self._alike[letter.kind]
        alike.remove(number)
        if not alike:
            del self._alike[letter.kind]

    def _too_many(self) -> bool:
        return len(self._letters) > 1 and (
            len(self._letters) > self._max_letters or self._size > self._max_bytes
        )

    def _append(self, data: bytes) -> None:
        durable.folder(self.path.parent)
        self._whole = False  # what a full disk refuses is of none of its letters
        durable.append(self.path, data)
        self._whole = True

    def _write(self) -> None:
        if self.unread is not None:
            raise self.unread
        text = b"".join(
            orjson.dumps(letter.told(), default=_plain) + b"\n" for letter in self.letters
        )
        self._whole = False
        durable.folder(self.path.parent)
        durable.replace(self.path, text)
        self._whole, self._stale = True, 0


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
