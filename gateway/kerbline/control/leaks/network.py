"""The alarms of one district's network: raised, sized, told apart and ended by its baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kerbline.control.leaks.baseline import Baseline
from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.level import SAVED as LEVELS
from kerbline.control.leaks.level import Levels
from kerbline.control.leaks.onsets import NOTHING, Shift
from kerbline.control.leaks.states import BASE, LEAK, SQUARE, USE

RAISE_SIGMA = 5.0
EARLY_SIGMA, EARLY_DAYS = 3.0, 5.0  # more while the baseline is young, and how soon that goes
GROWN_SIGMA = 3.5  # a leak is larger than it was; a sudden one needs RAISE_SIGMA
SHRUNK_SIGMA = 4.5
REPAIRED_SIGMA = 4.4
MOSTLY = 0.7  # of a leak; a drop by more, be it of more than the leak, is a repair
FITS_NATS = 6.0  # worse than a drop of any size, and the repair is not of the whole
APART_NATS = 3.0  # between two repairs, to tell which it was
GROWTH_DAYS = 2.0  # so long a growth may prove to have been none
BRIEF_DAYS = 1.0  # a leak that comes and goes may be use that nobody counts
UNCOUNTED_SIGMA = 4.5  # meters that stand are drawn through, and no leak runs
LOWER_SIGMA = 6.0  # less flows than a tight district had: that is usual from now on
LONG_DAYS, MIRROR_DAYS = 1, 30
MIRROR_SIGMA = 3.0  # a district that falls by more, falls and rises of itself: leaks never fall
QUIET_SIGMA = 4.2  # below, what is seen tells of noise
LEAST = 0.002  # of the mean use; a smaller change is background
FADED = 0.35  # of its most, or half of LEAST; a leak that fell so far is gone
WARM_DAYS = 3  # nothing is said before
SOME_H, SLOW_H = 2.0, 10.0  # what changed later is not yet sure, or sudden
SECOND = 0.01  # of the mean use; another leak is as large at least,
SECOND_AFTER_DAYS, SECOND_H = 1.0, 6.0  # and comes suddenly and later
MOST_ALARMS = 4
PRIOR_NATS = 8.0  # against a leak, before it is seen


def _likelier(sigma: float, other: float) -> bool:
    """By so much that it is not chance."""
    return sigma * sigma - other * other > 2 * APART_NATS


class Kind(StrEnum):
    """What a district has."""

    NETWORK = "network"


class Part(StrEnum):
    """What of all that runs is gone, where it isn't one leak of some."""

    ALL = "all"
    GROWTH = "growth"  # the last one, which was none


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that was raised (`up`) or cleared at this step.

    `start` is the step that raised it and names it; `since` the step at which the leak began, as
    it looked then.
    """

    start: int
    kind: Kind
    up: bool
    since: int
    lph: float
    litres: float  # lost so far
    sure_pct: float
    seen: dict[str, float]


@dataclass(slots=True)
class Alarm:
    """A leak that runs; sizes in litres a step."""

    start: int
    since: int
    size_l: float
    litres: float
    sigma: float


SAVED = ("most_l", "grows", "growth_l", "growth_at", "mirror")
ALARM = ("start", "since", "size_l", "litres", "sigma")


class Network:
    """The leaks that run in a district of `day_steps` steps a day."""

    def __init__(self, day_steps: int) -> None:
        self.day_steps = day_steps
        self.per_hour = day_steps / 24
        self.levels = Levels(day_steps)
        self.alarms: list[Alarm] = []
        self.most_l = 0.0  # of all that runs, as far as it is sure
        self.grows = False  # what runs has become more, little by little
        self.growth_l = 0.0  # the last that it became more by, and when
        self.growth_at = 0
        self.mirror = 0.0  # the surest fall of long, slowly forgotten

    def step(self, baseline: Baseline, steps: int, at: int) -> Iterator[Change]:
        """What changes with an entry of `steps` steps that ends with `at`."""
        for alarm in self.alarms:
            alarm.litres += alarm.size_l * steps
        rising, falling = baseline.rising(), baseline.falling()
        baseline.noise.quiet = max(rising.sigma, falling.sigma) < QUIET_SIGMA
        self.mirror *= float(np.exp(-steps / (MIRROR_DAYS * self.day_steps)))
        if self.alarms:
            yield from self._running(baseline, rising, falling, at)
        else:
            yield from self._waiting(baseline, rising, falling, at)

    def _waiting(
        self, baseline: Baseline, rising: Shift, falling: Shift, at: int
    ) -> Iterator[Change]:
        uncounted = baseline.uncounted()
        if uncounted.sigma > UNCOUNTED_SIGMA and _likelier(uncounted.sigma, baseline.onsets.flow()):
            baseline.accept(uncounted, BASE)
            return
        early = np.exp(-(at / self.day_steps - WARM_DAYS) / EARLY_DAYS)
        enough = RAISE_SIGMA + EARLY_SIGMA * float(early)
        if rising.age >= LONG_DAYS * self.day_steps:
            enough += max(self.mirror - MIRROR_SIGMA, 0.0)
        least_l = LEAST * baseline.scale_l
        if rising.sigma > max(enough, falling.sigma) and rising.size_l > least_l:
            before = baseline.x.copy()
            baseline.accept(rising, LEAK)
            lower = before - baseline.x
            lower_l = lower[BASE] + (lower[USE] + lower[SQUARE]) * baseline.scale_l
            self.levels.since(at - rising.age, at, float(lower_l))
            self.most_l = baseline.least_l()
            self.grows, self.growth_l = False, 0.0
            yield self._raise(rising, float(baseline.x[LEAK]), at)
            return
        if falling.age >= LONG_DAYS * self.day_steps:
            self.mirror = max(self.mirror, falling.sigma)
        if falling.sigma > LOWER_SIGMA:
            baseline.accept(falling, BASE)

    def _running(
        self, baseline: Baseline, rising: Shift, falling: Shift, at: int
    ) -> Iterator[Change]:
        was_l = float(baseline.x[LEAK])
        instead = baseline.uncounted(instead=True)
        uncounted = baseline.uncounted()
        best = max(baseline.onsets.flow(), baseline.gone().sigma)
        if uncounted.sigma > UNCOUNTED_SIGMA and _likelier(
            uncounted.sigma, max(best, instead.sigma)
        ):
            baseline.accept(uncounted, BASE)
            return
        if instead.sigma > UNCOUNTED_SIGMA and _likelier(instead.sigma, best):
            baseline.accept(instead, LEAK)
            yield from self._clear(baseline, -instead.size_l, at - instead.age, Part.ALL, at)
            return
        some, slow = SOME_H * self.per_hour, SLOW_H * self.per_hour
        gone, which = self._repaired(baseline, at)
        fits = falling.size_l < -MOSTLY * was_l
        fits |= falling.sigma**2 - gone.sigma**2 < 2 * FITS_NATS
        if fits and gone.sigma > max(REPAIRED_SIGMA, rising.sigma):
            baseline.accept(gone, LEAK)
            if which is Part.GROWTH:
                self.growth_l = 0.0
            else:
                yield from self._clear(baseline, -gone.size_l, at - gone.age, which, at)
        elif falling.sigma > max(SHRUNK_SIGMA, rising.sigma) and falling.age >= some:
            baseline.accept(falling, LEAK)
            if baseline.x[LEAK] < FADED * was_l:
                yield from self._clear(baseline, was_l, at - falling.age, Part.ALL, at)
            else:
                self.levels.clear()
        elif rising.sigma > (GROWN_SIGMA if rising.age >= slow else RAISE_SIGMA):
            baseline.accept(rising, LEAK)
            self.grows |= rising.age >= slow
            self.growth_l, self.growth_at = float(baseline.x[LEAK]) - was_l, at
            if self._another(baseline, rising, was_l, at):
                self._sizes(baseline, was_l, at)
                self.levels.clear()
                yield self._raise(rising, float(baseline.x[LEAK]) - was_l, at)
        elif was_l < max(FADED * self.most_l, LEAST / 2 * baseline.scale_l):
            yield from self._clear(baseline, None, at, Part.ALL, at)
        if not self.alarms:
            return
        running_l = float(baseline.x[LEAK])
        self.most_l = max(self.most_l, baseline.least_l())
        self._sizes(baseline, running_l, at + 1)

    def _sizes(self, baseline: Baseline, total_l: float, until: int) -> None:
        """What all leaks lose; the newest has what is not the older ones'."""
        half_day_sd = np.sqrt(1.5 * baseline.noise.share / self.levels.length) * baseline.scale_l
        size_l = self.levels.size_l(until, float(half_day_sd))
        older_l = sum(alarm.size_l for alarm in self.alarms[:-1])
        if size_l is None or (self.grows and total_l > size_l):
            size_l = total_l
        if size_l > older_l:  # else it is about to end, as large as it was
            self.alarms[-1].size_l = size_l - older_l

    def _another(self, baseline: Baseline, rising: Shift, was_l: float, at: int) -> bool:
        """A jump by more than all that runs, not the growth of a leak that is young."""
        return (
            rising.size_l > max(was_l, SECOND * baseline.scale_l)
            and rising.sigma > RAISE_SIGMA
            and rising.age <= SECOND_H * self.per_hour
            and at - self.alarms[-1].start >= SECOND_AFTER_DAYS * self.day_steps
            and len(self.alarms) < MOST_ALARMS
        )

    def _repaired(self, baseline: Baseline, at: int) -> tuple[Shift, Alarm | Part]:
        """What is likeliest to be gone; nothing while two of them explain the drop alike."""
        every: list[tuple[Shift, Alarm | Part]] = [(baseline.gone(), Part.ALL)]
        if self.growth_l > 0 and at - self.growth_at < GROWTH_DAYS * self.day_steps:
            every.append((baseline.gone(self.growth_l), Part.GROWTH))
        if len(self.alarms) > 1:
            every += [(baseline.gone(alarm.size_l), alarm) for alarm in self.alarms]
        every.sort(key=lambda each: each[0].sigma, reverse=True)
        if len(every) > 1 and every[0][0].sigma ** 2 - every[1][0].sigma ** 2 < 2 * APART_NATS:
            return NOTHING, Part.ALL
        return every[0]

    def _clear(
        self, baseline: Baseline, was_l: float | None, repaired: int, which: Alarm | Part, at: int
    ) -> Iterator[Change]:
        if isinstance(which, Alarm):
            self.alarms.remove(which)
            self.most_l = sum(alarm.size_l for alarm in self.alarms)
            self.levels.clear()
            yield self._change(which, up=False)
            return
        if was_l is not None:  # else it went little by little
            self._sizes(baseline, was_l, repaired)
        baseline.tight(max(0.02 * (was_l or 0.0), 0.001 * baseline.scale_l))
        self.levels.clear()
        if at - self.alarms[0].start < BRIEF_DAYS * self.day_steps:
            baseline.doubt()
        for alarm in self.alarms:
            yield self._change(alarm, up=False)
        self.alarms.clear()

    def _raise(self, rising: Shift, size_l: float, at: int) -> Change:
        since = at - rising.age
        alarm = Alarm(at, since, size_l, size_l * (at + 1 - since), rising.sigma)
        self.alarms.append(alarm)
        return self._change(alarm, up=True)

    def _change(self, alarm: Alarm, *, up: bool) -> Change:
        nats = alarm.sigma * alarm.sigma / 2 - PRIOR_NATS
        return Change(
            alarm.start,
            Kind.NETWORK,
            up,
            alarm.since,
            alarm.size_l * self.per_hour,
            alarm.litres,
            100 / (1 + float(np.exp(-nats))),
            {"sigma": alarm.sigma},
        )

    def saved(self) -> State:
        """The whole state."""
        rows = [[getattr(alarm, name) for name in ALARM] for alarm in self.alarms]
        state = saved(self, SAVED) | under("levels", saved(self.levels, LEVELS))
        state["alarms"] = np.array(rows, np.float64).reshape(-1, len(ALARM))
        return state

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave."""
        restore(self, SAVED, state)
        restore(self.levels, LEVELS, part_of("levels", state))
        self.alarms = [
            Alarm(int(row[0]), int(row[1]), *(float(x) for x in row[2:])) for row in state["alarms"]
        ]
