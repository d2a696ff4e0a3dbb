"""The index of the next signature, durable in two places, so that none is ever given twice.

One place lies in the key's folder, the other (the witness) outside of it. Each step has a stamp and
names the stamp before it: a folder that came back from a backup, or that was used elsewhere, does
not fit its witness. The folder's place is written first: a step that was cut between the two is
known by that, and its index is lost, never used.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from kerbline.field.signing.disk import Disk, keep
from kerbline.field.signing.faults import SignerFault
from kerbline.field.signing.lms import HEIGHT

FILE = "index"
_ADOPT = (
    "if no copy of this key has signed since, say `--adopt --next-index N` with N above the index "
    "of every release (`kerbline firmware inspect` tells it); if unsure, make a new root"
)


@dataclass(frozen=True, slots=True)
class Step:
    """The index that is next, this step's stamp and the one of the step before."""

    next: int
    stamp: str
    was: str

    def encoded(self) -> bytes:
        """A line of JSON with its CRC."""
        body = asdict(self)
        return (json.dumps(body | {"check": _check(body)}) + "\n").encode()


def _check(body: object) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def decode(data: bytes, where: Path) -> Step:
    """The step in a file; raises SignerFault("damaged")."""
    try:
        body = json.loads(data)
        check = body.pop("check")
        step = Step(**body)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        check, body, step = None, {}, Step(-1, "", "")
    if check != _check(body) or step.next < 0:
        raise SignerFault(where, "damaged", "is no index", f"remove it; {_ADOPT}")
    return step


class Counter:
    """Gives out indices; `key` is the folder of the key, `witness` a file elsewhere."""

    __slots__ = ("_disk", "_key", "_stamp", "_witness")

    def __init__(
        self,
        disk: Disk,
        key: Path,
        witness: Path,
        stamp: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._disk = disk
        self._key = key / FILE
        self._witness = witness
        self._stamp = stamp

    def begin(self) -> None:
        """The first step of a fresh key."""
        self._write(Step(0, self._stamp(), ""))

    def next(self, used: Iterable[int] = ()) -> int:
        """The index that `take` would give; raises SignerFault where it would give none.

        `used` are indices of signatures that somebody has seen: the counter must know of them.
        """
        return self._sound(used).next

    def take(self, used: Iterable[int] = ()) -> int:
        """An index that nobody was given; when it returns, the one after it is durable."""
        step = self._sound(used)
        if self._read(self._witness) != step:  # a step that was cut: at most one at a time
            keep(self._disk, self._witness, step.encoded())
        self._write(Step(step.next + 1, self._stamp(), step.stamp))
        return step.next

    def adopt(self, index: int, used: Iterable[int] = ()) -> None:
        """Go on from this index here, whatever the witness says; the index can only go up."""
        known = [0, *(each + 1 for each in used)]
        here = None
        for place in (self._key, self._witness):
            try:
                step = self._read(place)
            except SignerFault:  # damaged: what the person says counts
                continue
            if step is not None:
                known.append(step.next)
                here = here or step
        if max(known) >= 1 << HEIGHT:
            raise SignerFault(
                self._key, "used-up", "the last index has been used", "sign with the next root"
            )
        if index < max(known):
            raise SignerFault(
                self._key,
                "too-low",
                f"index {index} may have been used: {max(known)} is the lowest that is known not "
                "to be",
                f"say `--next-index {max(known)}` or more",
            )
        self._write(Step(index, self._stamp(), here.stamp if here else ""))

    def _sound(self, used: Iterable[int]) -> Step:
        """Where both places agree, or did until a step was cut."""
        step = self._agreed()
        highest = max(used, default=-1)
        if highest >= step.next:
            raise SignerFault(
                self._key,
                "restored",
                f"index {step.next} is next here, and a release has index {highest}: this is a "
                "copy of the key from before",
                _ADOPT,
            )
        return step

    def _agreed(self) -> Step:
        step = self._read(self._key)
        if step is None:
            raise SignerFault(
                self._key, "damaged", "is not there", f"the key's folder is not whole; {_ADOPT}"
            )
        witness = self._read(self._witness)
        if witness is None:
            raise SignerFault(
                self._witness,
                "no-witness",
                "is not there: nothing on this machine tells that the key is no old copy",
                _ADOPT,
            )
        if step == witness or (step.was == witness.stamp and step.next == witness.next + 1):
            return step
        if step.next < witness.next:
            raise SignerFault(
                self._key,
                "restored",
                f"index {step.next} is next here, and {self._witness} knows of {witness.next}: "
                "this is a copy of the key from before",
                _ADOPT,
            )
        raise SignerFault(
            self._key,
            "moved",
            f"does not follow what {self._witness} knows: the key was used elsewhere",
            _ADOPT,
        )

    def _read(self, place: Path) -> Step | None:
        data = self._disk.read(place)
        return None if data is None else decode(data, place)

    def _write(self, step: Step) -> None:
        keep(self._disk, self._key, step.encoded())
        keep(self._disk, self._witness, step.encoded())
