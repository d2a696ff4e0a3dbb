"""Whose fault is an answer that tells nothing (409, 500): what was sent, or the broker's; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kerbline.north.backoff import Backoff

TRIES = 5  # then what fails alone is bad, where others were taken meanwhile
MANY = 5  # that fail alone, and none is taken: then it is the broker
APART_S = (1.0, 60.0)  # between two tries of what is in doubt: at first, and at most
REST_S = 0.5  # at first, of what a broker put off while it took others
ALONE_S = 3_600.0  # so long what alone is not taken is in doubt, while upserts are


class Trials:
    """Of one lane: what failed when it went alone, by name."""

    def __init__(self) -> None:
        self.taken = 0
        self._failed: dict[str, tuple[int, int]] = {}  # how often, and what was taken before

    def __contains__(self, name: str) -> bool:
        return name in self._failed

    def took(self, names: Iterable[str]) -> None:
        """The broker has these."""
        for name in names:
            self.taken += 1
            self._failed.pop(name, None)

    def failed(self, name: str, before: int, *, known: bool = False) -> bool:
        """It failed alone, once more: is it to be given up?

        `before`: how much was `taken` when it, or what it was part of, failed for the first time.
        `known`: it is so that the broker is well, whatever was taken.
        """
        times, before = self._failed.get(name, (0, before))
        self._failed[name] = (times + 1, before)
        return times + 1 > TRIES and (known or self.taken > before)

    def forget(self, names: Iterable[str]) -> None:
        """These are given up."""
        for name in names:
            self._failed.pop(name, None)

    def acquitted(self) -> bool:
        """Does the broker take nothing at all? Then none of them is to blame."""
        nothing = all(before == self.taken for _, before in self._failed.values())
        if len(self._failed) < MANY or not nothing:
            return False
        self._failed.clear()
        return True


@dataclass(slots=True)
class _Rest:
    """Since when an entity is put off, and how much was taken when it was tried last."""

    since_s: float
    taken: int
    backoff: Backoff


class Rests:
    """Entities that a broker put off while it took others: each rests by itself."""

    def __init__(self, longest_s: float, random: Callable[[], float]) -> None:
        self._longest_s = longest_s
        self._random = random
        self._known: dict[str, _Rest] = {}

    def __contains__(self, entity: str) -> bool:
        return entity in self._known

    def put_off(self, entity: str, now_s: float, taken: int) -> float | None:
        """For how long it rests now; None where it is given up.

        That is after `ALONE_S`, where others were `taken` since the last try.
        """
        rest = self._known.get(entity)
        if rest is None:
            backoff = Backoff(REST_S, max(REST_S, self._longest_s), self._random)
            rest = self._known[entity] = _Rest(now_s, taken, backoff)
        if now_s - rest.since_s >= ALONE_S and taken > rest.taken:
            return None
        rest.taken = taken
        return rest.backoff.next_s()

    def took(self, entities: Iterable[str]) -> None:
        """The broker has these."""
        for entity in entities:
            self._known.pop(entity, None)


@dataclass(slots=True)
class _Doubt:
    """Since when an entity is in doubt; history `taken` before, `upserts` at the last try."""

    since_s: float
    taken: int
    upserts: int
    backoff: Backoff
    due_s: float = 0.0


class Doubts:
    """Entities of whose history nothing is taken; each is tried again in a rhythm of its own."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._known: dict[str, _Doubt] = {}

    def __contains__(self, entity: str) -> bool:
        return entity in self._known

    def due_s(self, entity: str) -> float:
        """When it is to be tried again; 0 where nothing is in doubt."""
        doubt = self._known.get(entity)
        return doubt.due_s if doubt else 0.0

    def failed(self, entity: str, now_s: float, taken: int, upserts: int) -> None:
        """It was not taken, once more; `taken` of all history before, `upserts` so far."""
        doubt = self._known.setdefault(
            entity, _Doubt(now_s, taken, upserts, Backoff(*APART_S, self._random))
        )
        doubt.upserts = upserts
        doubt.due_s = now_s + APART_S[0] + doubt.backoff.next_s()

    def settled(self, entity: str) -> None:
        """All of it was taken, or is given up."""
        self._known.pop(entity, None)

    def is_well(self, entity: str, now_s: float, taken: int, upserts: int) -> bool:
        """Is the broker well, so that `entity` is to blame?

        It is where it took other history since, and where, after `ALONE_S`, it took upserts since
        the last try and few are in doubt: there is no other history then.
        """
        doubt = self._known.get(entity)
        if doubt is None:
            return False
        long = now_s - doubt.since_s >= ALONE_S and len(self._known) < MANY
        return taken > doubt.taken or (long and upserts > doubt.upserts)
