"""A district's leaks from its balance: inflow less the consumer meters, less what is usual.

What a customer loses has passed his meter and so raises nothing here. The volumes come from
`ledger`, what a tight district would show and how sure a change of it is from `baseline`, a
leak's size from `level`. Parameters were chosen on simulated districts (docs/understand/leaks.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks import meters as consumer
from kerbline.control.leaks.baseline import BASE, LEAK, NOTHING, SQUARE, USE, Baseline, Shift
from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.ledger import Entry, Ledger
from kerbline.control.leaks.level import SAVED as LEVELS
from kerbline.control.leaks.level import Levels
from kerbline.control.leaks.totaliser import Register

FORMAT = 1

RAISE_SIGMA = 5.0
EARLY_SIGMA, EARLY_DAYS = 3.0, 5.0  # more while the baseline is young, and how soon that goes
GROWN_SIGMA = 3.5  # a leak is larger than it was; a sudden one needs RAISE_SIGMA
SHRUNK_SIGMA = 4.5
REPAIRED_SIGMA = 3.8
MOSTLY = 0.7  # of a leak; a drop by more, be it of more than the leak, is a repair
FITS_NATS = 6.0  # worse than a drop of any size, and the repair is not of the whole
APART_NATS = 3.0  # between two repairs, to tell which it was
GROWTH_DAYS = 2.0  # so long a growth may prove to have been none
LOWER_SIGMA = 6.0  # less flows than a tight district had: that is usual from now on
QUIET_SIGMA = 4.2  # below, what is seen tells of noise
LEAST = 0.002  # of the mean use; a smaller change is background
FADED = 0.35  # of its most, or half of LEAST; a leak that fell so far is gone
SCALE_DAYS, WARM_DAYS = 1, 3
SOME_H, SLOW_H = 2.0, 10.0  # what changed later is not yet sure, or sudden
SECOND = 0.01  # of the mean use; another leak is as large at least,
SECOND_AFTER_DAYS, SECOND_H = 1.0, 6.0  # and comes suddenly and later
MOST_ALARMS = 4
PRIOR_NATS = 8.0  # against a leak, before it is seen


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


GROWTH = ("grows", "growth_l", "growth_at")
ALARM = ("start", "since", "size_l", "litres", "sigma")


class BalanceWatch:
    """One district with `meters` consumer meters, read every `step_min` minutes."""

    def __init__(self, meters: int, step_min: int, register: Register | None = None) -> None:
        self.meters = meters
        self.day_steps = 1440 // step_min
        self.per_hour = 60 / step_min
        self.ledger = Ledger(meters, self.day_steps, register)
        self.baseline: Baseline | None = None
        self.levels = Levels(self.day_steps)
        self.alarms: list[Alarm] = []
        self.steps = 0
        self.scale_steps = 0  # of the first day, which tells how much is used
        self.scale_use_l = 0.0
        self.first_l = np.zeros(self.day_steps)  # its use, step by step
        self.most_l = 0.0  # of all that runs
        self.grows = False  # what runs has become more, little by little
        self.growth_l = 0.0  # the last that it became more by, and when
        self.growth_at = 0
        self.off_l = self.use_l = self.inflow_l = 0.0  # of the last entry, a step

    def step(
        self,
        reads: NDArray[np.uint32],
        present: NDArray[np.bool_],
        inflow_l: float,
        *,
        planned: bool = False,
    ) -> list[Change]:
        """One time step: totalisers in litres where `present`, the inflow's (NaN if not read).

        In a `planned` step (flushing, a fire) what flows in tells of no leak.
        """
        at, self.steps = self.steps, self.steps + 1
        if planned:
            self.ledger.forget_inflow()
        entry = self.ledger.step(reads, present, inflow_l)
        if entry is None:
            return []
        if self.baseline is None:
            self._scale(entry, at)
            return []
        return list(self._judge(self.baseline, entry, at))

    def lph(self, alarm: Alarm) -> float:
        """The size of a leak that runs."""
        return alarm.size_l * self.per_hour

    def accept(self) -> None:
        """What is taken for a leak is usual from now on: an operator says so."""
        self.alarms.clear()
        if self.baseline is not None:
            self.baseline.settle()

    def _scale(self, entry: Entry, at: int) -> None:
        if not np.isfinite(entry.inflow_l):
            return
        self.scale_steps += entry.steps
        self.scale_use_l += entry.use_l
        of_day = np.arange(at - entry.steps + 1, at + 1) % self.day_steps
        self.first_l[of_day] = entry.use_l / entry.steps
        if self.scale_steps >= SCALE_DAYS * self.day_steps:
            scale_l = max(self.scale_use_l / self.scale_steps, 1.0)
            self.baseline = Baseline(self.day_steps, scale_l, self.meters, self.first_l)

    def _judge(self, baseline: Baseline, entry: Entry, at: int) -> Iterator[Change]:
        off_l = baseline.step(entry, at)
        if np.isfinite(entry.inflow_l):
            self.levels.add(off_l, entry.steps, at)
            self.off_l = off_l / entry.steps
            self.use_l = entry.use_l / entry.steps
            self.inflow_l = entry.inflow_l / entry.steps
        if at < WARM_DAYS * self.day_steps:
            baseline.forget()
            return
        for alarm in self.alarms:
            alarm.litres += alarm.size_l * entry.steps
        rising, falling = baseline.rising(), baseline.falling()
        baseline.noise.quiet = max(rising.sigma, falling.sigma) < QUIET_SIGMA
        if self.alarms:
            yield from self._running(baseline, rising, falling, at)
        else:
            yield from self._waiting(baseline, rising, falling, at)

    def _waiting(
        self, baseline: Baseline, rising: Shift, falling: Shift, at: int
    ) -> Iterator[Change]:
        early = np.exp(-(at / self.day_steps - WARM_DAYS) / EARLY_DAYS)
        enough = RAISE_SIGMA + EARLY_SIGMA * float(early)
        least_l = LEAST * baseline.scale_l
        if rising.sigma > max(enough, falling.sigma) and rising.size_l > least_l:
            before = baseline.x.copy()
            baseline.accept(rising, LEAK)
            lower = before - baseline.x
            lower_l = lower[BASE] + (lower[USE] + lower[SQUARE]) * baseline.scale_l
            self.levels.since(at - rising.age, at, float(lower_l))
            self.most_l = float(baseline.x[LEAK])
            self.grows, self.growth_l = False, 0.0
            yield self._raise(rising, self.most_l, at)
        elif falling.sigma > LOWER_SIGMA:
            baseline.accept(falling, BASE)

    def _running(
        self, baseline: Baseline, rising: Shift, falling: Shift, at: int
    ) -> Iterator[Change]:
        was_l = float(baseline.x[LEAK])
        some, slow = SOME_H * self.per_hour, SLOW_H * self.per_hour
        gone, which = self._repaired(baseline, at)
        fits = falling.size_l < -MOSTLY * was_l
        fits |= falling.sigma**2 - gone.sigma**2 < 2 * FITS_NATS
        if fits and gone.sigma > max(REPAIRED_SIGMA, rising.sigma):
            baseline.accept(gone, LEAK)
            if which is Part.GROWTH:
                self.growth_l = 0.0
            else:
                yield from self._clear(baseline, -gone.size_l, at - gone.age, which)
        elif falling.sigma > max(SHRUNK_SIGMA, rising.sigma) and falling.age >= some:
            baseline.accept(falling, LEAK)
            if baseline.x[LEAK] < FADED * was_l:
                yield from self._clear(baseline, was_l, at - falling.age, Part.ALL)
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
            yield from self._clear(baseline, None, at, Part.ALL)
        if not self.alarms:
            return
        running_l = float(baseline.x[LEAK])
        self.most_l = max(self.most_l, running_l)
        self._sizes(baseline, running_l, at + 1)

    def _sizes(self, baseline: Baseline, total_l: float, until: int) -> None:
        """What all leaks lose; the newest has what is not the older ones'."""
        half_day_sd = np.sqrt(1.5 * baseline.noise.share / self.levels.length) * baseline.scale_l
        size_l = self.levels.size_l(until, float(half_day_sd))
        older_l = sum(alarm.size_l for alarm in self.alarms[:-1])
        if size_l is None or (self.grows and total_l > size_l):
            size_l = total_l
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
        self, baseline: Baseline, was_l: float | None, repaired: int, which: Alarm | Part
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
            self.lph(alarm),
            alarm.litres,
            100 / (1 + float(np.exp(-nats))),
            {
                "sigma": alarm.sigma,
                "inflow_lph": self.inflow_l * self.per_hour,
                "use_lph": self.use_l * self.per_hour,
                "beyond_usual_lph": self.off_l * self.per_hour,
            },
        )

    def saved(self) -> State:
        """The whole state, as arrays; `restore` is its inverse, to the last bit."""
        state = saved(self, ("steps", "scale_steps", "scale_use_l", "first_l", "most_l", *GROWTH))
        state |= saved(self, ("off_l", "use_l", "inflow_l"))
        state["format"] = np.array([FORMAT])
        rows = [[getattr(alarm, name) for name in ALARM] for alarm in self.alarms]
        state["alarms"] = np.array(rows, np.float64).reshape(-1, len(ALARM))
        state |= under("ledger", self.ledger.saved()) | under("levels", saved(self.levels, LEVELS))
        if self.baseline is not None:
            state |= under("baseline", self.baseline.saved())
        return state

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is another district's or format."""
        if int(state["format"][0]) != FORMAT:
            raise ValueError(f"format {int(state['format'][0])} of a balance is not {FORMAT}")
        restore(self, ("steps", "scale_steps", "scale_use_l", "first_l", "most_l", *GROWTH), state)
        restore(self, ("off_l", "use_l", "inflow_l"), state)
        self.ledger.restore(part_of("ledger", state))
        restore(self.levels, LEVELS, part_of("levels", state))
        self.alarms = [
            Alarm(int(row[0]), int(row[1]), *(float(x) for x in row[2:])) for row in state["alarms"]
        ]
        kept = part_of("baseline", state)
        self.baseline = Baseline(self.day_steps, 1.0, self.meters, self.first_l) if kept else None
        if self.baseline is not None:
            self.baseline.restore(kept)


def score(
    reads: NDArray[np.uint32],
    missing: NDArray[np.bool_] | None,
    inflow_total_l: NDArray[np.float64],
    step_min: int,
) -> dict[str, Any]:
    """Alarms over a recorded district (meters x time), as each step would have raised them."""
    watch = BalanceWatch(reads.shape[0], step_min)
    network: list[dict[str, Any]] = []
    up: dict[int, dict[str, Any]] = {}
    present = np.ones(reads.shape[0], np.bool_)
    columns = np.ascontiguousarray(reads.T)
    gaps = None if missing is None else np.ascontiguousarray(missing.T)
    for step in range(reads.shape[1]):
        if gaps is not None:
            present = ~gaps[step]
        for change in watch.step(columns[step], present, float(inflow_total_l[step])):
            if change.up:
                up[change.start] = {"start": step, "end": None, "lph": change.lph}
                network.append(up[change.start])
            else:
                up.pop(change.start).update(end=step, lph=round(change.lph, 1))
    for alarm in watch.alarms:
        up[alarm.start]["lph"] = round(watch.lph(alarm), 1)
    return {"network": network, "customer": consumer.score(reads, missing, step_min)["customer"]}
