"""What a tight district's inflow would be: a Kalman filter over its balance.

inflow - use = background leakage (with a daily swing) + beta x use + clock skew + leak + noise.
The noise has two parts that age differently: an inflow meter's noise adds up, what rounding,
jitter and imputation put in comes out again with the next step (v[t] - v[t-1]).

A change of flow `since` a step is judged by the innovations (Willsky and Jones 1976): each
hypothesis carries what a flow of 1 L a step would have done to the estimate, so that what the
baseline has already swallowed is counted back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.ledger import Entry
from kerbline.control.leaks.noise import SAVED as NOISE
from kerbline.control.leaks.noise import Noise

Floats = NDArray[np.float64]

HARMONICS = 3
BASE, USE, SQUARE, SWING, LATE = 0, 1, 2, 3, 3 + 2 * HARMONICS
EARLY, ERROR, ERROR_BEFORE, LEAK = LATE + 1, LATE + 2, LATE + 3, LATE + 4
STATES = LEAK + 1

CLIP = 3.0  # an innovation beyond so many sigma counts as this many (Huber)
DRIFT = 0.00015  # of the background, a root day, share of the mean use
LOST_DAYS = 4.0  # in which homes that are imputed for good change their ways
LEAK_DRIFT = 0.03  # of a leak, a root day, share of it
SWING_DRIFT = 0.0002
CLOCK_DRIFT = 0.01  # of the mean skew, a root day, share of a step
USUAL = 0.15  # of a day into what is usual at an hour
OLDEST_DAYS = 12  # a change longer ago is no longer asked for
THIN = 0.16  # hypotheses lie so far apart, share of their age
SLOTS = 96
SAVED = (
    *("scale_l", "x", "p", "error_l2", "rate_l", "next_l", "usual_l"),
    *("age", "effect", "weight", "score", "certain"),
    "slots",
)


@dataclass(frozen=True, slots=True)
class Shift:
    """The most likely change: its sureness in sigma, in litres a step, `age` steps ago."""

    sigma: float
    size_l: float
    slot: int
    age: int


NOTHING = Shift(0.0, 0.0, 0, 0)


class Baseline:
    """The balance of one district. `scale_l` is its mean use a step."""

    def __init__(self, day_steps: int, scale_l: float, meters: int, usual_l: Floats) -> None:
        self.day_steps = day_steps
        self.scale_l = scale_l
        self.x = np.zeros(STATES)
        self.p = np.zeros((STATES, STATES))
        sd = np.zeros(STATES)
        sd[BASE] = 1.0 * scale_l
        sd[USE] = 0.1
        sd[SQUARE] = 0.01
        for harmonic in range(HARMONICS):
            sd[SWING + 2 * harmonic : SWING + 2 * harmonic + 2] = scale_l * 0.03 / (1 + harmonic)
        sd[LATE] = sd[EARLY] = 0.2
        self.p[np.diag_indices(STATES)] = sd * sd
        self.noise = Noise(day_steps, meters)
        self.p[ERROR, ERROR] = self.noise.rounding_l2
        self.error_l2 = self.noise.rounding_l2
        self.rate_l = scale_l  # use a step, of the entry before
        self.next_l = scale_l  # and what it made expect of the next step
        self.usual_l = usual_l.copy()  # use of the steps of a day, of the first one at the start
        self.age = np.zeros(SLOTS, np.int64)
        self.effect = np.zeros((SLOTS, STATES))  # of a change of 1 L a step, on the estimate
        self.weight = np.zeros(SLOTS)
        self.score = np.zeros(SLOTS)
        self.certain = np.zeros(SLOTS)  # the weight as if no innovation had been clipped
        self.slots = 0

    def step(self, entry: Entry, at_step: int) -> float:
        """Takes an entry that ended with step `at_step`; the litres beyond a tight district's."""
        self._age(entry)
        h = self._regressors(entry, at_step)
        if not np.isfinite(entry.inflow_l):
            return 0.0
        noise_l2 = self.noise.share * self.noise.flow_l2(entry) + entry.lost_l2
        ph = self.p @ h
        surprise_l = entry.inflow_l - entry.use_l - float(h @ self.x)
        variance_l2 = float(h @ ph) + noise_l2
        sigma = surprise_l / np.sqrt(variance_l2)
        trust = min(1.0, CLIP / abs(sigma)) if sigma else 1.0
        gain = ph * (trust / variance_l2)
        n = self.slots
        seen = entry.steps - self.effect[:n] @ h
        self.certain[:n] += seen * seen / variance_l2
        self.weight[:n] += trust / variance_l2 * seen * seen
        self.score[:n] += trust / variance_l2 * surprise_l * seen
        self.effect[:n] += seen[:, None] * gain
        self.x += gain * surprise_l
        self.p -= np.outer(gain, ph)
        h[ERROR] = h[ERROR_BEFORE] = 0
        self.noise.learn(entry.inflow_l - entry.use_l - float(h @ self.x), entry)
        h[LEAK] = 0
        return entry.inflow_l - entry.use_l - float(h @ self.x)

    def _age(self, entry: Entry) -> None:
        """The errors of the entry before move on; drifts; one more hypothesis."""
        before_l2 = self.error_l2
        self.error_l2 = self.noise.returning_l2(entry) + entry.unknown_l2
        stays = min(entry.carried_l2 / before_l2, 1.0)
        for row in (self.x, *self.p):  # state by state, then the same for the columns
            row[ERROR_BEFORE] = row[ERROR]
            row[ERROR] *= stays
        self.p[ERROR_BEFORE] = self.p[ERROR]
        self.p[ERROR] *= stays
        self.p[ERROR, ERROR] += max(self.error_l2 - stays * stays * before_l2, 0.0)
        days = entry.steps / self.day_steps
        alarmed = self.p[LEAK, LEAK] > 0
        drift_l = DRIFT * self.scale_l * (0.3 if alarmed else 1.0)
        self.p[BASE, BASE] += (drift_l * drift_l + entry.wander_l2 / LOST_DAYS) * days
        swing_l = SWING_DRIFT * self.scale_l
        for state in range(SWING, LATE):
            self.p[state, state] += swing_l * swing_l * days
        for state in (LATE, EARLY):
            self.p[state, state] += CLOCK_DRIFT * CLOCK_DRIFT * days
        if alarmed:
            leak_l = LEAK_DRIFT * self.x[LEAK]
            self.p[LEAK, LEAK] += leak_l * leak_l * days
        n = self.slots
        self.effect[:n, ERROR_BEFORE] = self.effect[:n, ERROR]
        self.effect[:n, ERROR] *= stays
        self.age[:n] += entry.steps
        self._thin()
        n = self.slots
        self.age[n] = 0
        self.effect[n] = 0
        self.weight[n] = self.score[n] = self.certain[n] = 0
        self.slots = n + 1

    def _thin(self) -> None:
        """Drops a hypothesis that is too old, or too close to its neighbours."""
        n = self.slots
        ages = self.age[:n]
        if n and ages[0] > OLDEST_DAYS * self.day_steps:
            gone = 0
        else:
            close = np.flatnonzero(ages[:-2] - ages[2:] < np.maximum(THIN * ages[2:], 1.5))
            if not close.size and n < SLOTS:
                return
            gone = int(close[0]) + 1 if close.size else 0
        for array in (self.age, self.effect, self.weight, self.score, self.certain):
            array[gone : n - 1] = array[gone + 1 : n]
        self.slots = n - 1

    def _regressors(self, entry: Entry, at_step: int) -> Floats:
        h = np.zeros(STATES)
        steps = entry.steps
        rate_l = entry.likely_l / steps  # a correction would be in both sides of the balance
        next_l = self._next(rate_l, at_step)
        h[BASE] = h[LEAK] = steps
        h[USE] = entry.likely_l
        h[SQUARE] = entry.likely_l * rate_l / self.scale_l
        times = np.arange(at_step - steps + 1, at_step + 1) * (2 * np.pi / self.day_steps)
        for harmonic in range(HARMONICS):
            turned = times * (harmonic + 1)
            h[SWING + 2 * harmonic] = np.cos(turned).sum()
            h[SWING + 2 * harmonic + 1] = np.sin(turned).sum()
        h[LATE] = rate_l - self.rate_l
        h[EARLY] = next_l - self.next_l
        self.rate_l, self.next_l = rate_l, next_l
        h[ERROR], h[ERROR_BEFORE] = 1.0, -1.0
        return h

    def _next(self, rate_l: float, at_step: int) -> float:
        """The use to come: clocks that are early have a part of it in their reads already.

        Only what is usual: this step's use errs with this step's reads.
        """
        now, after = at_step % self.day_steps, (at_step + 1) % self.day_steps
        self.usual_l[now] += USUAL * (rate_l - self.usual_l[now])
        return float(self.usual_l[after])

    def rising(self) -> Shift:
        """The surest increase since an entry of the past."""
        return self._surest(1.0)

    def falling(self) -> Shift:
        """The surest decrease."""
        return self._surest(-1.0)

    def _surest(self, sign: float) -> Shift:
        n = self.slots
        if not n:
            return NOTHING
        sigmas = sign * self.score[:n] / np.sqrt(np.maximum(self.certain[:n], 1e-12))
        slot = int(np.argmax(sigmas))
        size_l = float(self.score[slot] / max(self.weight[slot], 1e-12))
        return Shift(float(sigmas[slot]), size_l, slot, int(self.age[slot]))

    def gone(self, size_l: float | None = None) -> Shift:
        """The likeliest entry since which `size_l` of the leak is gone, all of it if None.

        The size is known, so a jump of another size is no repair.
        """
        n = self.slots
        if not n:
            return NOTHING
        if size_l is None:  # the estimate has followed a part of the way
            was_l = self.x[LEAK] / np.maximum(1 - self.effect[:n, LEAK], 0.3)
        else:
            was_l = np.full(n, size_l)
        odds = -was_l * self.score[:n] - was_l * was_l * self.weight[:n] / 2
        slot = int(np.argmax(odds))
        sigma = float(np.sqrt(2 * max(odds[slot], 0.0)))
        return Shift(sigma, -float(was_l[slot]), slot, int(self.age[slot]))

    def accept(self, shift: Shift, state: int) -> None:
        """Takes a change for true: it goes into `state` (LEAK or BASE) with its uncertainty."""
        moved = -self.effect[shift.slot]
        moved[state] += 1
        self.x += moved * shift.size_l
        self.p += np.outer(moved, moved) / self.weight[shift.slot]
        self.slots = 0

    def tight(self, within_l: float) -> None:
        """The leak is repaired: what is left of it (`within_l`, sd) is background again."""
        ph = self.p[:, LEAK].copy()
        gain = ph / (ph[LEAK] + within_l * within_l)
        self.x -= gain * self.x[LEAK]
        self.p -= np.outer(gain, ph)
        self.settle()

    def settle(self) -> None:
        """What is taken for a leak is background from now on."""
        self.x[BASE] += self.x[LEAK]
        self.p[BASE] += self.p[LEAK]
        self.p[:, BASE] += self.p[:, LEAK]
        self.x[LEAK] = 0
        self.p[LEAK] = self.p[:, LEAK] = 0
        self.slots = 0

    def forget(self) -> None:
        """Asks for no change of before now."""
        self.slots = 0

    def saved(self) -> State:
        """The whole state."""
        return saved(self, SAVED) | under("noise", saved(self.noise, NOISE))

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of another district."""
        restore(self, SAVED, state)
        restore(self.noise, NOISE, part_of("noise", state))
