"""What an engine does with the frames of a fuzzing round, as one number for both interpreters.

A persistent worker: each line on its input is a round's seed, answered by a line with its number;
with a `?` before the seed all that the round said comes first.

MICROPYPATH=.frozen:protocol:tests .venv/bin/micropython tests/wire/twin.py
"""

import sys
from binascii import crc32, hexlify

from kerbwire import messages as m
from wire import fuzz

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine, Event
    from wire.pair import Pair


def said(thing: object) -> str:
    """An event or a part of it, in the same words on both interpreters."""
    if isinstance(thing, (bytes, bytearray)):
        return hexlify(thing).decode()
    if isinstance(thing, (tuple, list)):
        return "(" + " ".join([said(part) for part in thing]) + ")"
    if isinstance(thing, m.Info):
        return said([getattr(thing, name) for name in sorted(m.Info.__slots__)])
    return str(thing)


class Witness:
    """Stands between a host and its engine: all bytes and events make up one number."""

    def __init__(self, lines: "list[str] | None" = None):
        self.number = 0
        self._lines = lines

    def note(self, what: str, thing: object) -> None:
        """Something was said."""
        line = what + " " + said(thing)
        self.number = crc32(line.encode(), self.number)
        if self._lines is not None:
            self._lines.append(line)

    def wrap(self, pair: "Pair") -> None:
        """Stand between that pair's hosts and their engines."""
        pair.node = Told(pair.node, self)
        pair.gateway = Told(pair.gateway, self)


class Told:
    """An engine whose every answer a witness hears."""

    def __init__(self, engine: "Engine", witness: Witness):
        self._engine = engine
        self._witness = witness

    def receive(self, data: bytes, now: int) -> bool:
        authentic = self._engine.receive(data, now)
        self._witness.note("in", (data, now, authentic))
        return authentic

    def next_event(self) -> "Event | None":
        event = self._engine.next_event()
        self._witness.note("event", event)
        return event

    def outgoing(self, now: int) -> bytes:
        data = self._engine.outgoing(now)
        self._witness.note("out", data)
        return data

    def deadline(self) -> "int | None":
        due = self._engine.deadline()
        self._witness.note("due", due)
        return due

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def number_of(seed: int, lines: "list[str] | None" = None) -> int:
    """What the round of this seed comes to; its words go to `lines`."""
    witness = Witness(lines)
    fuzz.play(seed, witness.wrap)
    return witness.number


def work() -> None:
    """Answer seeds until the input ends."""
    while True:
        line = sys.stdin.readline().strip()
        if not line:
            return
        lines: "list[str] | None" = [] if line[0] == "?" else None
        number = number_of(int(line.lstrip("?")), lines)
        for one in lines or ():
            print(one)
        print("=", number)


if __name__ == "__main__":
    work()
