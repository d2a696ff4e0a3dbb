"""What a rule asks for: conditions on readings, events, silence, the local time and the sun.

A condition on an asset hears its readings; one on time says by itself how long what it says holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeAlias

from kerbline.control.light.programs import DAWN, DUSK, HALF_DAY_S, Sky
from kerbline.model import Reading, Value

NEVER_MS = 1 << 62
AHEAD_MS = 60_000  # a reading from further in the future was dated by a wrong clock
EVENT = "event"
UNDATED = "undated"  # the quality of what happened some day before


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number beyond `bound`: above it (sense 1) or below it (-1), until it is back at `until`."""

    asset: str
    value: str
    bound: float
    until: float
    sense: int
    max_age_ms: int

    def judge(self, value: Value, *, before: bool) -> bool | None:
        """Does it hold with this value, `before` without it? None: this is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not math.isfinite(value):
            return None
        limit = self.until if before else self.bound
        return (value - limit) * self.sense > 0

    def __str__(self) -> str:
        return f"{self.asset} {self.value}"


@dataclass(frozen=True, slots=True)
class Equal:
    """A value that is just `wanted`, of its type too."""

    asset: str
    value: str
    wanted: Value
    max_age_ms: int

    def judge(self, value: Value, *, before: bool) -> bool | None:
        """Does it hold with this value?"""
        del before
        if isinstance(value, bool) != isinstance(self.wanted, bool):
            return False
        return value == self.wanted

    def __str__(self) -> str:
        return f"{self.asset} {self.value}"


@dataclass(frozen=True, slots=True)
class Told:
    """An event of an asset, no longer ago than `within_ms`."""

    asset: str
    event: str
    within_ms: int

    def __str__(self) -> str:
        return f"{self.asset} {self.event}_ms"


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing heard of an asset for `silent_ms`."""

    asset: str
    silent_ms: int

    def __str__(self) -> str:
        return f"{self.asset} heard_ms"


@dataclass(frozen=True, slots=True)
class Hours:
    """Between two local times of day in minutes, on weekdays (1 is Monday) on which it begins.

    No days: every day. The same time twice: the whole day from there on.
    """

    from_min: int
    to_min: int
    zone: tzinfo
    days: frozenset[int] = frozenset()

    def look(self, at_ms: int) -> tuple[bool, int]:
        """Does it hold, and until when is that so at least, ms?"""
        today = datetime.fromtimestamp(at_ms / 1000, self.zone).date()
        holds, next_ms = False, NEVER_MS
        for more in (-1, 0, 1):
            day = today + timedelta(days=more)
            begin_ms = self._utc_ms(day, self.from_min)
            later = self.to_min <= self.from_min
            end_ms = self._utc_ms(day + timedelta(days=later), self.to_min)
            fits = not self.days or day.isoweekday() in self.days
            holds |= fits and begin_ms <= at_ms < end_ms
            next_ms = min([next_ms, *(edge for edge in (begin_ms, end_ms) if edge > at_ms)])
        return holds, next_ms

    def _utc_ms(self, day: date, minute: int) -> int:
        hour, rest = divmod(minute, 60)
        wall = datetime(day.year, day.month, day.day, hour, rest, tzinfo=self.zone)
        return round(wall.astimezone(UTC).timestamp()) * 1000

    def __str__(self) -> str:
        return "local time"


@dataclass(frozen=True, slots=True)
class Sun:
    """While the sun's centre is below a height in degrees, or above it."""

    below: bool
    elevation_deg: float
    sky: Sky

    def look(self, at_ms: int) -> tuple[bool, int]:
        """Does it hold, and until when is that so at least, ms?"""
        midnight_s = self.sky.midnight(at_ms // 1000)
        dusk_s, dawn_s = (
            self.sky.crossing(midnight_s, self.elevation_deg, sense) for sense in (DUSK, DAWN)
        )
        down = dusk_s * 1000 <= at_ms < dawn_s * 1000
        noon_s = midnight_s + HALF_DAY_S + 1  # the day after is another one's
        edges = [each * 1000 for each in (dusk_s, dawn_s, noon_s) if each * 1000 > at_ms]
        return down == self.below, min(edges, default=at_ms + 1000)

    def __str__(self) -> str:
        return "sun"


OfAsset: TypeAlias = Threshold | Equal | Told | Silent
Condition: TypeAlias = OfAsset | Hours | Sun


@dataclass(slots=True)
class Term:
    """A condition of a rule, and what is known of it."""

    condition: Condition
    holds: bool = False
    since_ms: int = 0  # street time, when it began to hold
    heard: tuple[int, ...] = ()  # when what it goes by was observed, and its number
    until_ms: int = NEVER_MS  # from then on it says something else by itself
    said: Value = ""

    def begin(self, now_ms: int) -> None:
        """The gateway runs: who is silent is so from now on."""
        self.look(now_ms)
        if isinstance(self.condition, Silent):
            self.until_ms = now_ms + self.condition.silent_ms

    def hear(self, reading: Reading, now_ms: int) -> bool:
        """A reading of its asset; True where it may change what the rule says.

        One that is not newer than what was heard changes nothing, so order and copies do not
        matter; nor does one that a wrong clock dated ahead of us.
        """
        at_ms = reading.observed_at_ms
        heard = (at_ms, reading.key.epoch, reading.key.number)  # nodes date by the second
        if heard <= self.heard or at_ms > now_ms + AHEAD_MS or UNDATED in reading.quality:
            return False
        condition = self.condition
        match condition:
            case Threshold() | Equal():
                value = reading.values.get(condition.value)
                before = self.holds and now_ms < self.until_ms
                holds = None if value is None else condition.judge(value, before=before)
                if value is None or holds is None:
                    return False
                self.said = value
                self._hold(at_ms, at_ms + condition.max_age_ms if holds else 0, now_ms)
            case Told():
                if reading.kind != EVENT or reading.values.get(EVENT) != condition.event:
                    return False
                self.said = at_ms
                self._hold(at_ms, at_ms + condition.within_ms, now_ms)
            case Silent():
                self.said = at_ms
                self.holds, self.until_ms = False, at_ms + condition.silent_ms
        self.heard = heard
        return True

    def set_back(self, now_ms: int) -> None:
        """The clock went back: what was heard by the wrong one is not newer than what comes."""
        ahead_ms = self.heard[0] - now_ms if self.heard else 0
        if ahead_ms <= AHEAD_MS:
            return
        self.heard = ()
        self.since_ms = min(self.since_ms, now_ms)
        if self.until_ms < NEVER_MS:
            self.until_ms -= ahead_ms

    def look(self, now_ms: int) -> None:
        """Time has passed, or gone back."""
        condition = self.condition
        if isinstance(condition, Hours | Sun):
            holds, self.until_ms = condition.look(now_ms)
            if holds and not self.holds:
                self.since_ms = now_ms
            self.holds = holds
        elif now_ms >= self.until_ms:
            self.holds = isinstance(condition, Silent)
            self.since_ms, self.until_ms = self.until_ms, NEVER_MS

    def _hold(self, at_ms: int, until_ms: int, now_ms: int) -> None:
        if until_ms <= now_ms:  # it is over already
            self.holds, self.until_ms = False, NEVER_MS
            return
        if not self.holds:
            self.since_ms = min(at_ms, now_ms)
        self.holds, self.until_ms = True, until_ms


def inputs(terms: list[Term]) -> Mapping[str, Value]:
    """What a rule was decided from, by name."""
    found: dict[str, Value] = {}
    for term in terms:
        if isinstance(term.condition, Hours | Sun):
            continue
        if term.heard:
            found[str(term.condition)] = term.said
    return found
