"""A district's volumes step by step, with what is not yet known of them as a variance.

A meter that was not read is imputed from its own mean, the district's pattern of this very step
and what it drew last; its next read corrects the sum, so an imputation's error goes out as it
came in and never adds up. A step without the inflow or with too few meters is joined to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.stands import LARGE, NONE, Standing, Stands
from kerbline.control.leaks.stands import SAVED as STANDS
from kerbline.control.leaks.totaliser import NEVER, Register, Totalisers, Volumes

Floats = NDArray[np.float64]
Reads = NDArray[np.uint32]
Mask = NDArray[np.bool_]

ENOUGH = 0.5  # share of the meters that a step needs
RATE_SD = 0.3  # a home's mean of some days about its long mean, share of it
LARGE_RATE_SD = 0.8  # of a large customer's, who has working days and others
LEARNT_DAYS = 14  # after which a meter's mean is forgotten
DEAD_DAYS = 3  # a longer silence is imputed for good and not corrected
SAVED = (
    *("mean", "off_l", "imputed_l", "unknown_l2", "inflow_l", "mains_l2", "steps", "entries"),
    *("persists", "error_l2"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """`steps` steps as one: litres of inflow (NaN after an exchange) and of consumption.

    `likely_l` is the use of these steps alone, as if nothing had been corrected for earlier ones;
    `square_l2` is the sum over the meters of what each drew, squared; `unknown_l2` the variance
    (L2) of what was imputed and still is not known, `carried_l2` the part of the last entry's
    that is still in it; `read` the meters that were read. Of meters that are imputed for good,
    `lost_l2` is the variance that stays and `wander_l2` that of their rate a step, over days.
    `mains_l2` is the sum over the steps of what passed each main, squared: more than the inflow's
    where water flows on to the next district.
    """

    steps: int
    inflow_l: float
    use_l: float
    likely_l: float
    square_l2: float
    unknown_l2: float
    carried_l2: float
    read: int
    lost_l2: float = 0.0
    wander_l2: float = 0.0
    mains_l2: float = 0.0
    still: Standing = NONE


class Ledger:
    """Volumes of one district from its totalisers, O(1) a meter (34 bytes)."""

    def __init__(self, meters: int, day_steps: int, register: Register | None = None) -> None:
        self.day_steps = day_steps
        self.totalisers = Totalisers(meters, register)
        self.stands = Stands(meters, day_steps)
        self.mean = np.ones(meters, np.float32)  # share in the pattern
        self.off_l = np.zeros(meters, np.float32)  # what it drew last beyond its mean
        self.imputed_l = np.zeros(meters, np.float32)
        self.unknown_l2 = np.zeros(meters, np.float32)
        self.inflow_l = float("nan")
        self.mains_l2 = 0.0  # since the last entry
        self.steps = 0  # since the last entry
        self.entries = 0
        self.persists = 0.3  # of what a meter draws beyond its mean, into the next step
        self.error_l2 = 0.0  # of an imputed step, per unit of mean

    def step(
        self, reads: Reads, present: Mask, inflow_l: float, mains_l2: float = 0.0
    ) -> Entry | None:
        """Takes a step's totalisers; None where the step is joined to the next."""
        self.steps += 1
        self.mains_l2 += mains_l2
        known = self.totalisers.kept.blank != NEVER
        turned = present & known & (reads > self.totalisers.kept.last)
        stale = inflow_l == self.inflow_l and turned.any()  # an old read again
        if stale or not np.isfinite(inflow_l) or present.sum() < ENOUGH * present.size:
            self.totalisers.step(reads, np.zeros_like(present))
            return None
        entry = self._entry(self.totalisers.step(reads, present), present, known, inflow_l)
        self.steps, self.mains_l2, self.inflow_l = 0, 0.0, inflow_l
        self.entries += 1
        return entry

    def _entry(self, volumes: Volumes, present: Mask, known: Mask, inflow_l: float) -> Entry:
        """The steps since the last entry as one; what was not read is guessed, and learnt from."""
        steps = self.steps
        drawn_l = volumes.counts.astype(np.float64)
        mean = self.mean.astype(np.float64)
        before = self.stands.before(drawn_l, mean)
        single = (volumes.spans == steps) & ~before.caught_up
        late = (volumes.spans > steps) | before.caught_up
        out = known & (volumes.spans == 0)  # not read, or exchanged
        live = single & (~before.stood | (drawn_l > 0))
        weight = mean[live].sum()
        pattern = float(drawn_l[live].sum() / weight) if weight > 0 else 0.0
        stands = self.stands.step(before, volumes, drawn_l, mean, pattern / steps)
        guess_l = np.maximum(mean * pattern + self.persists * self.off_l, 0)
        guess_l[stands] = 0
        self._learn(drawn_l, guess_l, mean, pattern, single & ~stands, steps)

        carried_l2 = float(self.unknown_l2[out & ~present].sum())
        dead_steps = DEAD_DAYS * self.day_steps
        dead = self.totalisers.kept.blank >= dead_steps
        past = before.caught_up | (volumes.spans > dead_steps)
        corrected_l = np.where(past, guess_l, drawn_l - self.imputed_l)
        doubt = 1 + float(mean[out].sum()) / weight if weight > 0 else 1.0  # the pattern errs, too
        self._impute(guess_l, mean * doubt, pattern, out & ~dead)
        self.off_l[out] *= self.persists
        done = present | dead
        self.imputed_l[done] = self.unknown_l2[done] = 0
        lost = mean[out & dead] * doubt
        still = self.stands.told(before, stands, mean, pattern, self.error_l2)
        unread = np.concatenate([lost, mean[stands & before.large]])
        drawn = drawn_l[single]
        flow_l = inflow_l - self.inflow_l
        return Entry(
            steps=steps,
            inflow_l=flow_l if flow_l >= 0 else float("nan"),
            use_l=float(drawn.sum() + corrected_l[late].sum() + guess_l[out].sum()),
            likely_l=float(drawn.sum() + guess_l[late].sum() + guess_l[out].sum()),
            square_l2=float(drawn @ drawn) * known.size / max(drawn.size, 1) / steps,
            unknown_l2=float(self.unknown_l2.sum()),
            carried_l2=carried_l2,
            read=int(present.sum()),
            lost_l2=self.error_l2 * float(lost.sum()),
            wander_l2=_wander_l2(unread, still.total, pattern / steps),
            mains_l2=self.mains_l2,
            still=still,
        )

    def forget_inflow(self) -> None:
        """What flowed in since the last entry is not to be told: another meter, a flushing."""
        self.inflow_l = float("nan")

    def saved(self) -> State:
        """The whole state."""
        state = saved(self, SAVED) | under("totalisers", self.totalisers.saved())
        return state | under("stands", saved(self.stands, STANDS))

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of other meters."""
        restore(self, SAVED, state)
        self.totalisers.restore(part_of("totalisers", state))
        restore(self.stands, STANDS, part_of("stands", state))

    def _learn(
        self,
        drawn_l: Floats,
        guess_l: Floats,
        mean: Floats,
        pattern: float,
        single: Mask,
        steps: int,
    ) -> None:
        """A meter's mean, what persists, and how wrong this very guess would have been."""
        drawn = drawn_l[single]
        if not drawn.size:
            return
        rate = 1 / min(self.day_steps + self.entries, LEARNT_DAYS * self.day_steps)
        error = drawn - guess_l[single]
        error_l2 = float(error @ error / mean[single].sum())
        self.error_l2 = max(error_l2, 0.8 * self.error_l2)
        before = self.off_l[single].astype(np.float64)
        off = drawn - mean[single] * pattern
        if steps == 1 and self.entries > 1:
            power = float(before @ before)
            if power > 0:
                persists = float(np.clip(before @ off / power, 0, 0.95))
                self.persists += rate * (persists - self.persists)
        if pattern > 0:
            self.mean[single] = np.maximum(mean[single] + rate * off / max(1, pattern), 0)
        self.off_l[single] = off / steps

    def _impute(self, guess_l: Floats, mean: Floats, pattern: float, out: Mask) -> None:
        self.imputed_l[out] += guess_l[out]
        age = np.minimum(self.totalisers.kept.blank[out], self.day_steps // 2).astype(np.float64)
        rate_l = RATE_SD * mean[out] * pattern
        self.unknown_l2[out] += self.error_l2 * mean[out] + rate_l * rate_l * (2 * age + 1)


def _wander_l2(unread: Floats, total: float, rate: float) -> float:
    """How far means of those who are not read go in days, at `rate` a mean; `total` is of all."""
    rate_sd = np.where(unread > LARGE * total, LARGE_RATE_SD, RATE_SD)
    wander_l = rate_sd * unread * rate
    return float(wander_l @ wander_l)
