"""What is wrong with a bus, by order or by a seeded schedule; pure: time and chance are arguments.

An order is `NAME`, `NAME=UNITS`, `NAME=UNITS:AMOUNT`, `NAME=UNITS:AMOUNT:CHANCE`, UNITS being
`3`, `3,7`, `10-19` or `all`; which NAMEs take an amount, FORMS says.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kerbline.errors import KerblineError

UNITS = range(1, 248)
DEVICE_FAILURE = 4

# NAME: the amount's meaning and what it is without one; None: it takes none.
FORMS: dict[str, tuple[str, float] | None] = {
    "dead": None,
    "slow": ("seconds", 0.4),
    "crc": None,
    "wrong-unit": None,
    "exception": ("code", DEVICE_FAILURE),
    "truncated": None,
    "late": ("seconds", 0.3),
}
LINE_FORMS = ("echo", "unplug")
SHORTEST_S, LONGEST_S = 0.5, 5.0  # of what a schedule draws


class BadFault(KerblineError):
    """An order for a fault that nobody understands; the text says the remedy."""

    code = "fault"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of some units; at each answer it strikes with `chance`."""

    name: str
    units: frozenset[int]
    amount: float = 0.0
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Unplug:
    """The adapter vanishes `after_s` from the start, or from its return, for `for_s`."""

    after_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything that is wrong by order."""

    faults: tuple[Fault, ...] = ()
    echo: bool = False
    unplug: Unplug | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """What a schedule gives one unit until a time (s from its beginning): a fault, or health."""

    until_s: float
    fault: Fault | None


@dataclass(slots=True)
class Schedule:
    """Each unit in turn well and ill, `share` of the time; the same for the same seed.

    It begins when it is asked first, and goes on through new connections.
    """

    seed: int
    share: float = 0.2
    _begun_s: float | None = None
    _drawn: dict[int, tuple[Iterator[Episode], Episode]] = field(default_factory=dict)

    def at(self, unit: int, now_s: float) -> Fault | None:
        """What the unit has at a time; of one unit time only goes on."""
        if self._begun_s is None:
            self._begun_s = now_s
        if unit not in self._drawn:
            episodes = self._episodes(unit)
            self._drawn[unit] = (episodes, next(episodes))
        episodes, episode = self._drawn[unit]
        while episode.until_s <= now_s - self._begun_s:
            episode = next(episodes)
        self._drawn[unit] = (episodes, episode)
        return episode.fault

    def _episodes(self, unit: int) -> Iterator[Episode]:
        chance = random.Random(f"{self.seed}/{unit}")
        until_s = 0.0
        while True:
            until_s += chance.uniform(SHORTEST_S, LONGEST_S)
            if chance.random() >= self.share:
                yield Episode(until_s, None)
                continue
            name = chance.choice(sorted(FORMS))
            form = FORMS[name]
            amount = 0.0 if form is None else form[1]
            if form is not None and form[0] == "seconds":
                amount *= chance.random()
            strikes = chance.choice((0.1, 0.5, 1.0))
            yield Episode(until_s, Fault(name, frozenset({unit}), amount, strikes))


def parse(words: Iterable[str]) -> Orders:
    """Orders from a command line; raises BadFault."""
    found: list[Fault] = []
    echo, unplug = False, None
    for word in " ".join(words).split():
        name, _, rest = word.partition("=")
        if name == "echo" and not rest:
            echo = True
        elif name == "unplug":
            unplug = _unplug(word, rest)
        elif name in FORMS:
            found.append(_fault(word, name, rest))
        else:
            known = ", ".join([*FORMS, *LINE_FORMS])
            raise BadFault(f"--fault {word}: no such fault; known: {known}")
    return Orders(tuple(found), echo, unplug)


def units(text: str) -> frozenset[int]:
    """`3`, `3,7`, `10-19` or `all`; raises ValueError."""
    if text in ("", "all"):
        return frozenset(UNITS)
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        chosen.update(range(int(first), int(last or first) + 1))
    if not chosen or not chosen <= set(UNITS):
        raise ValueError("units are 1 to 247")
    return frozenset(chosen)


def _fault(word: str, name: str, rest: str) -> Fault:
    form = FORMS[name]
    whom, *numbers = rest.split(":")
    try:
        chosen = units(whom)
        amount, chance = _numbers(numbers, form)
        if not 0 <= chance <= 1 or amount < 0 or (name == "exception" and not 1 <= amount <= 255):
            raise ValueError("out of range")
    except ValueError as error:
        middle = f"[:{form[0].upper()}]" if form else ""
        remedy = f"write {name}=UNITS{middle}[:CHANCE], UNITS as 3,7 or 10-19 or all"
        raise BadFault(f"--fault {word}: {error}; {remedy}") from None
    return Fault(name, chosen, amount, chance)


def _numbers(texts: Sequence[str], form: tuple[str, float] | None) -> tuple[float, float]:
    numbers = [float(text) for text in texts]
    if len(numbers) > (1 if form is None else 2):
        raise ValueError("too many numbers")
    if form is None:
        return 0.0, numbers[0] if numbers else 1.0
    return numbers[0] if numbers else form[1], numbers[1] if len(numbers) > 1 else 1.0


def _unplug(word: str, rest: str) -> Unplug:
    try:
        after_s, for_s = (float(text) for text in rest.split(":"))
        if min(after_s, for_s) <= 0:
            raise ValueError
    except ValueError:
        remedy = "write unplug=AFTER:FOR in seconds, as unplug=10:2"
        raise BadFault(f"--fault {word}: not understood; {remedy}") from None
    return Unplug(after_s, for_s)
