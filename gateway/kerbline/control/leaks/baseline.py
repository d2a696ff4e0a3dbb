"""What a tight district's inflow would be: a Kalman filter over its balance.

inflow - use = background leakage (with a daily swing) + beta x use + clock skew + leak + noise.
The noise has two parts that age differently: an inflow meter's noise adds up, what rounding,
jitter and imputation put in comes out again with the next step (v[t] - v[t-1]).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.ledger import Entry
from kerbline.control.leaks.noise import SAVED as NOISE
from kerbline.control.leaks.noise import Noise
from kerbline.control.leaks.onsets import FLOW, UNCOUNTED, Onsets, Shift
from kerbline.control.leaks.onsets import SAVED as ONSETS
from kerbline.control.leaks.stands import Standing
from kerbline.control.leaks.states import (
    BASE,
    EARLY,
    ERROR,
    ERROR_BEFORE,
    HARMONICS,
    LATE,
    LEAK,
    SQUARE,
    STATES,
    STILL,
    SWING,
    USE,
)

Floats = NDArray[np.float64]

CLIP = 3.0  # an innovation beyond so many sigma counts as this many (Huber)
DRIFT = 0.00015  # of the background, a root day, share of the mean use
LOST_DAYS = 4.0  # in which homes that are imputed for good change their ways
LEAK_DRIFT = 0.03  # of a leak, a root day, share of it
SWING_DRIFT = 0.0002
CLOCK_DRIFT = 0.01  # of the mean skew, a root day, share of a step
USUAL = 0.15  # of a day into what is usual at an hour
UNCOUNTED_H = 18  # in which use has its ups and downs, a leak has not
LARGE_SD = 0.5
DOUBT = 0.3  # of what may stand
SURE_SIGMA = 2.0  # below its estimate a thing is sure
SAVED = ("scale_l", "x", "p", "error_l2", "rate_l", "next_l", "usual_l", "rests")


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
        self.rests = 0.0  # what meters that stand drew before, in units of the use's pattern
        self.onsets = Onsets(day_steps)

    def step(self, entry: Entry, at_step: int) -> float:
        """Takes an entry that ended with step `at_step`; the litres beyond a tight district's."""
        self._age(entry)
        h = self._regressors(entry, at_step)
        if not np.isfinite(entry.inflow_l):
            return 0.0
        unseen_l2 = entry.still.unit_l2 * self._stopped()
        entry = replace(entry, lost_l2=entry.lost_l2 + unseen_l2)
        noise_l2 = self.noise.share * self.noise.flow_l2(entry) + entry.lost_l2
        ph = self.p @ h
        surprise_l = entry.inflow_l - entry.use_l - float(h @ self.x)
        variance_l2 = float(h @ ph) + noise_l2
        sigma = surprise_l / np.sqrt(variance_l2)
        trust = min(1.0, CLIP / abs(sigma)) if sigma else 1.0
        gain = ph * (trust / variance_l2)
        units = float(entry.steps), entry.still.unit_l
        self.onsets.learn(units, h, gain, surprise_l, variance_l2, trust)
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
        self._stand(entry.still)
        self.onsets.open(entry.steps, stays)

    def _stand(self, still: Standing) -> None:
        """What is drawn through meters that stand: each may have stopped, or nobody be at home."""
        self.rests = still.rests
        self.x[STILL] -= min(still.caught_up, max(float(self.x[STILL]), 0.0))
        if self.x[STILL] > still.rests and self.p[STILL, STILL] > 0:
            follows = self.p[:, STILL] / self.p[STILL, STILL]
            self.x += follows * (still.rests - self.x[STILL])
        share = self._stopped() / max(still.share, 1e-9)
        doubt = share * max(1 - share, 0.0) * still.moved2
        self.p[STILL, STILL] += doubt + still.large2 / 4
        if still.large2 > 0:  # its day is another than a home's
            sd_l = np.sqrt(still.large2) * self.scale_l / max(still.total, 1e-9)
            for state in (BASE, *range(SWING, LATE)):
                self.p[state, state] += (LARGE_SD * sd_l) ** 2

    def _stopped(self) -> float:
        """What surely is drawn through meters that stand, in units of the use's pattern."""
        surely = self.x[STILL] - SURE_SIGMA * np.sqrt(self.p[STILL, STILL])
        return float(np.clip(surely, 0.0, self.rests))

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
        h[STILL] = entry.still.unit_l
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
        return self.onsets.surest(1.0)

    def falling(self) -> Shift:
        """The surest decrease."""
        return self.onsets.surest(-1.0)

    def gone(self, size_l: float | None = None) -> Shift:
        """The likeliest entry since which `size_l` of the leak is gone, all of it if None."""
        return self.onsets.gone(float(self.x[LEAK]), size_l)

    def uncounted(self, *, instead: bool = False) -> Shift:
        """The likeliest entry since which what stands draws more, or less; `instead` of a leak."""
        least, most = -max(self.x[STILL], 0.0), max(self.rests - self.x[STILL], 0.0)
        leak_l = float(self.x[LEAK]) if instead else 0.0
        return self.onsets.uncounted(
            float(least), float(most), leak_l, UNCOUNTED_H * self.day_steps // 24
        )

    def accept(self, shift: Shift, state: int) -> None:
        """Takes a change for true: its flow goes into `state` (LEAK or BASE), with its doubt."""
        sizes = {FLOW: shift.size_l, UNCOUNTED: shift.uncounted}
        for kind, at in ((FLOW, state), (UNCOUNTED, STILL)):
            if sizes[kind]:
                moved = -self.onsets.effect[kind, shift.slot]
                moved[at] += 1
                self.x += moved * sizes[kind]
                self.p += np.outer(moved, moved) / self.onsets.weight[kind, shift.slot]
        self.forget()

    def least_l(self) -> float:
        """What a leak loses a step for sure."""
        return float(self.x[LEAK] - SURE_SIGMA * np.sqrt(self.p[LEAK, LEAK]))

    def tight(self, within_l: float) -> None:
        """The leak is repaired: what is left of it (`within_l`, sd) is background again."""
        ph = self.p[:, LEAK].copy()
        gain = ph / (ph[LEAK] + within_l * within_l)
        self.x -= gain * self.x[LEAK]
        self.p -= np.outer(gain, ph)
        self.settle()

    def doubt(self) -> None:
        """Meters that stand may be drawn through."""
        self.p[STILL, STILL] += (DOUBT * self.rests) ** 2

    def settle(self) -> None:
        """What is taken for a leak is background from now on."""
        self.x[BASE] += self.x[LEAK]
        self.p[BASE] += self.p[LEAK]
        self.p[:, BASE] += self.p[:, LEAK]
        self.x[LEAK] = 0
        self.p[LEAK] = self.p[:, LEAK] = 0
        self.forget()

    def forget(self) -> None:
        """Asks for no change of before now."""
        self.onsets.slots = 0

    def saved(self) -> State:
        """The whole state."""
        state = saved(self, SAVED) | under("noise", saved(self.noise, NOISE))
        return state | under("onsets", saved(self.onsets, ONSETS))

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of another district."""
        restore(self, SAVED, state)
        restore(self.noise, NOISE, part_of("noise", state))
        restore(self.onsets, ONSETS, part_of("onsets", state))
