"""A district's leaks from its inflow alone: what is added to the usual week, not multiplied.

A season, growth or a hot day multiplies a week's shape; a leak adds nearly the same at 4 as at 20
o'clock. Each step asks for onsets from hours to months ago whether a leak since then explains the
flow better than none (`inflow_bank`), against the shape of the week (`inflow_week`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.inflow_bank import BASE, LEAK, LEVEL, OLDEST, SLOPE, Bank
from kerbline.control.leaks.inflow_bank import DAY as OF_DAY
from kerbline.control.leaks.inflow_common import Common
from kerbline.control.leaks.inflow_week import Week

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FORMAT = 2
BURST_H, LONG_H = 12.0, 96.0  # an onset younger than this is a burst; one older has been averaged
BURST_SIGMA, SIGMA, LONG_SIGMA = 5.5, 3.8, 3.1
LEAST_H = 2.0  # no alarm on less data
LOW_H = 72.0  # until less flow is a new normal
LEAST = 0.003  # of the usual flow
BURST_DAYS, SOME_DAYS, DAYS_H = 5.0, 3.0, 48.0
MIRROR, MIRROR_DAYS = 1.1, 90.0  # a series is trusted no further than it errs downwards
SETTLE_H = 6.0  # after a change
REPAIRED, REPAIRED_SIGMA = 0.4, 2.5  # what may be left of a leak after a drop
GONE, GONE_SIGMA = 0.0015, 1.5  # what may be left where it fades
# What a filter says of a leak's size is doubted by, in parts of the change: its onset is not quite
# the leak's, which spoils young ones most.
YOUNG_H, YOUNG_DOUBT, OLD_DOUBT, FALL_DOUBT = 24.0, 0.2, 0.1, 0.5
ACCEPTED_DOUBT, DOUBT_DAYS = 0.05, 30.0  # of one that was taken for usual; until that is learned
NO_FLOW = 0.02  # of the usual flow: closed, or no meter; says nothing of leaks


class Kind(StrEnum):
    """How a leak was seen."""

    BURST = "burst"  # within hours, by the jump
    LEAK = "leak"  # by what it adds to the week


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm of a series that was raised (`up`) or cleared at this step."""

    series: int
    kind: Kind
    up: bool
    lph: float
    litres: float  # lost so far
    sure_pct: float
    seen: dict[str, float]


@dataclass(slots=True)
class Kept:
    """The alarms' state, (series,) each."""

    steps: NDArray[np.int64]  # (1,)
    up: Bools
    burst: Bools
    litres: Floats
    mirror: Floats  # (onsets, series): the worst error downwards, slowly forgotten
    doubt: Floats  # variance of what was left of leaks that are usual now, shares


class InflowWatch:
    """The inflows of `count` districts, stepped together, `step_min` apart."""

    def __init__(
        self, count: int, step_min: int, causes: int = 0, peers: Floats | None = None
    ) -> None:
        """`causes`: how many are told with each step; `peers` (series,): a number of whose
        neighbour each is, see `inflow_common`."""
        self.day_steps = 1440 // step_min
        self.step_min = step_min
        self.week = Week(count, self.day_steps)
        self.bank = Bank(count, self.day_steps)
        has_common = causes > 0 or peers is not None
        self.common = Common(count, self.day_steps, causes, peers) if has_common else None
        self.kept = Kept(
            np.zeros(1, np.int64),
            np.zeros(count, np.bool_),
            np.zeros(count, np.bool_),
            np.zeros(count),
            np.zeros((OLDEST + 1, count)),
            np.zeros(count),
        )

    def step(
        self, flow: Floats, slot: int | None = None, causes: Floats | None = None
    ) -> list[Change]:
        """One step's flows (series,), m3/h, NaN where missing or not to be judged.

        `slot` is the step's place in the local week, a holiday's that of a Sunday; without one
        the weeks are counted from the first step. `causes` (causes, series): see `inflow_common`.
        """
        at = int(self.kept.steps[0])
        self.kept.steps[0] += 1
        place = at % self.week.slots if slot is None else slot
        week, bank, up = self.week.kept, self.bank, self.kept.up
        self.week.keep(flow, place, at)
        if (at + 1) % self.day_steps == 0:
            for one, start in self.week.train(at):
                bank.begin(one, at, start.slope, start.noise, start.day)
                week.day_level[one] = 1.0
        if not week.ready.any():
            return []
        shape = week.shape[place]
        y, inverse = flow / week.scale / shape, 1 / shape
        there = week.ready & (bank.kept.since < at) & (flow > NO_FLOW * week.scale)
        bank.predict(week.day, up)
        if self.common is not None:
            y = self._without_common(self.common, y, inverse, there, causes)
        bank.update(y, inverse, self.week.value_var(place), there)
        bank.age(at)
        changes = self._judge(at, there)
        calm = there & ~up
        mean = bank.kept.mean[:, BASE]
        self.week.learn(y, mean[LEVEL], mean[OF_DAY], place, at, calm)
        if (at + 1) % self.day_steps == 0:
            level_var = bank.kept.cov[LEVEL, LEVEL, BASE]
            self.week.end_day(mean[LEVEL], mean[SLOPE], level_var, ~up)
        return changes

    def _without_common(
        self, common: Common, y: Floats, inverse: Floats, there: Bools, told: Floats | None
    ) -> Floats:
        """y less what its causes explain."""
        off = np.where(there, y / np.maximum(self.bank.expected(inverse), 0.05) - 1, np.nan)
        causes = common.regressors(off, told)
        found: Floats = y / (1 + common.share(causes))
        common.learn(causes, np.nan_to_num(off), self.week.kept.noise, there & ~self.kept.up)
        return found

    def accept(self, one: int) -> None:
        """What is taken for a leak is usual from now on: an operator says so."""
        level, cov = float(self.bank.kept.mean[LEVEL, BASE, one]), self.bank.kept.cov
        var = float(cov[LEAK, LEAK, BASE, one])
        leak = self.bank.absorb(one)
        self.kept.doubt[one] += var + (ACCEPTED_DOUBT * leak) ** 2
        self.week.shift(one, level, leak)
        self.bank.renew(one, int(self.kept.steps[0]) - 1)
        self.kept.up[one] = False

    def lph(self) -> Floats:
        """(series,): each leak's size now, litres an hour; 0 where no alarm is up."""
        leak = np.where(self.kept.up, self.bank.kept.mean[LEAK, BASE], 0.0)
        return np.maximum(leak, 0.0) * self.week.kept.scale * 1000.0

    def _judge(self, at: int, there: Bools) -> list[Change]:
        """What the bank says after a step."""
        kept, bank, up = self.kept, self.bank, self.kept.up
        self.kept.litres += self.lph() * self.step_min / 60
        kept.doubt *= 1 - 1 / (DOUBT_DAYS * self.day_steps)
        shape_var = self.week.shape_var() + kept.doubt
        sigmas = bank.sigmas(shape_var)
        ages = bank.ages_h(at)
        settled = there & (at - bank.kept.since >= SETTLE_H * bank.hour_steps)
        old = ages >= LEAST_H
        needed = np.where(ages < BURST_H, BURST_SIGMA, np.where(ages < LONG_H, SIGMA, LONG_SIGMA))
        errs = there & ~up & (at - bank.kept.since > self.day_steps) & old
        fades = 1 - 1 / (MIRROR_DAYS * self.day_steps)
        kept.mirror = np.where(errs, np.maximum(kept.mirror * fades, -sigmas), kept.mirror)
        ratio = np.where(old, sigmas / np.maximum(needed, MIRROR * kept.mirror), 0.0)
        odd = np.where(ages < BURST_H, BURST_DAYS, np.where(ages < DAYS_H, SOME_DAYS, 0.0))
        least = np.maximum(odd * np.sqrt(self.week.kept.day), LEAST)
        large = bank.kept.mean[LEAK, 1:] > least * np.maximum(bank.kept.mean[LEVEL, 1:], 0.1)
        rises = np.where(large, ratio, 0.0)
        falls = np.where(up | (ages >= LOW_H), -ratio, 0.0)
        rise, fall = rises.max(axis=0), falls.max(axis=0)
        changes = []
        for one in np.flatnonzero(settled & (np.maximum(rise, fall) > 1)).tolist():
            if rise[one] >= fall[one]:
                onset = int((rises[:, one] > 1).argmax())  # the youngest: it saw least else
                grown = self._rise(one, onset, float(ages[onset, one]), float(sigmas[onset, one]))
                changes += grown
            else:
                onset = int((falls[:, one] > 1).argmax())
                changes += self._fall(one, onset, float(shape_var[one]), float(sigmas[onset, one]))
            bank.renew(one, at)
        left = np.maximum(GONE, GONE_SIGMA * np.sqrt(bank.kept.cov[LEAK, LEAK, BASE] + shape_var))
        settled = there & (at - bank.kept.since >= SETTLE_H * bank.hour_steps)
        gone = up & settled & (bank.kept.mean[LEAK, BASE] < left)
        for one in np.flatnonzero(gone).tolist():
            changes.append(self._clear(one, 0.0))
            bank.close(one)
            bank.renew(one, at)
        return changes

    def _rise(self, one: int, onset: int, age_h: float, sigma: float) -> list[Change]:
        """A leak is there, or has grown."""
        change = self.bank.kept.mean[LEAK, onset + 1, one] - self.bank.kept.mean[LEAK, BASE, one]
        self.bank.accept(one, onset, (YOUNG_DOUBT if age_h < YOUNG_H else OLD_DOUBT) * change)
        if self.kept.up[one]:
            return []
        self.kept.up[one] = True
        self.kept.burst[one] = age_h < BURST_H
        self.week.drop(one)
        self.kept.litres[one] = self._lph(one) * age_h
        return [self._change(one, sigma, {"age_h": age_h})]

    def _fall(self, one: int, onset: int, shape_var: float, sigma: float) -> list[Change]:
        """A leak has gone or shrunk; or what was usual had one in it."""
        bank = self.bank.kept
        before, left = (float(bank.mean[LEAK, place, one]) for place in (BASE, onset + 1))
        sd = math.sqrt(bank.cov[LEAK, LEAK, onset + 1, one] + shape_var)
        if self.kept.up[one] and left < max(REPAIRED * before, REPAIRED_SIGMA * sd):
            change = self._clear(one, sigma)
            self.bank.mend(one)
            return [change]
        self.bank.accept(one, onset, FALL_DOUBT * (left - before))
        if not self.kept.up[one]:
            level = float(bank.mean[LEVEL, BASE, one])
            bank.mean[LEAK, BASE, one] = max(bank.mean[LEAK, BASE, one], 0.2 - level)
            self.week.shift(one, level, self.bank.absorb(one))
        return []

    def _clear(self, one: int, sigma: float) -> Change:
        change = self._change(one, sigma, {}, up=False)
        self.kept.up[one] = False
        return change

    def _lph(self, one: int) -> float:
        leak = float(self.bank.kept.mean[LEAK, BASE, one])
        return max(leak, 0.0) * float(self.week.kept.scale[one]) * 1000.0

    def _change(self, one: int, sigma: float, more: dict[str, float], *, up: bool = True) -> Change:
        kept, bank = self.kept, self.bank.kept
        seen = {
            "leak_pct": 100 * float(bank.mean[LEAK, BASE, one]),
            "level_pct": 100 * float(bank.mean[LEVEL, BASE, one]),
            "sigma": sigma,
        }
        return Change(
            one,
            Kind.BURST if kept.burst[one] else Kind.LEAK,
            up,
            self._lph(one),
            float(kept.litres[one]),
            100 * (1 - 0.5 * math.erfc(abs(sigma) / math.sqrt(2))),
            seen | more,
        )

    def saved(self) -> dict[str, NDArray[Any]]:
        """The whole state, as arrays; `restore` is its inverse."""
        found: dict[str, NDArray[Any]] = {"format": np.array([FORMAT])}
        for name, part in self._parts().items():
            for item in fields(part):
                found[f"{name}.{item.name}"] = getattr(part, item.name).copy()
        return found

    def restore(self, saved: dict[str, NDArray[Any]]) -> None:
        """Goes on from what `saved` gave; ValueError where that is of other series or format."""
        if int(saved["format"][0]) != FORMAT:
            raise ValueError(f"format {int(saved['format'][0])} is not {FORMAT}")
        for name, part in self._parts().items():
            for item in fields(part):
                mine, theirs = getattr(part, item.name), saved[f"{name}.{item.name}"]
                if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
                    raise ValueError(f"{name}.{item.name}: {theirs.shape} is not {mine.shape}")
                setattr(part, item.name, theirs.copy())

    def _parts(self) -> dict[str, Any]:
        parts = {"alarm": self.kept, "bank": self.bank.kept, "week": self.week.kept}
        return parts if self.common is None else {**parts, "common": self.common.kept}


def score(inflow: Floats, step_min: int) -> list[list[dict[str, Any]]]:
    """Alarms of each series of `inflow` (series, time), m3/h, NaN where missing."""
    watch = InflowWatch(inflow.shape[0], step_min)
    found: list[list[dict[str, Any]]] = [[] for _ in inflow]
    for at, flow in enumerate(np.ascontiguousarray(inflow.T, dtype=np.float64)):
        for change in watch.step(flow):
            if change.up:
                found[change.series].append({"start": at, "end": None})
            else:
                found[change.series][-1]["end"] = at
    return found
