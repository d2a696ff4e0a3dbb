"""Evidence of a leak from how long and how often a totaliser rests, over all meters at once.

A leak of q litres an hour turns a totaliser of one litre at least every 1/q hours, whoever
draws water beside it: one pause that is longer refutes every leak of q or more. So tiers of
pauses, from none to some hours, each sum what speaks for a leak since they were last refuted:

- days without such a rest, where ordinary days have one (each household's own share of days);
- pauses as long as any of these two days: a leak ends them with one litre and began them with
  one, time and again; a tap, a flush or an appliance that fills ends them with several;
- single litres after a rest, more of them among all that ends a rest than is usual here.

All are logarithms of likelihood ratios (Wald's sequential test), weighted down where they depend
on each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int32]
Meters = NDArray[np.intp]

RESTS_H = (0.0, 0.25, 0.5, 1.0, 1.75, 2.75, 4.25)  # pauses longer than this refute a tier
LEAST_DAYS = (1.2, 1.2, 2.0, 1.3, 2.0, 3.0, 4.6)  # nothing is said of a tier before
SURE_NATS = (7.0, 7.0, 7.0, 10.0, 10.0, 10.0, 10.0)  # of evidence that raise an alarm
SHARES = (0.95, 0.95, 0.95, 0.95, 0.92, 0.88, 0.8)  # of days with a rest, before it is learned
DAYS_LEARNED = 32
LONGEST_STEPS = 250  # a rest that is told apart

# Days without a rest depend on each other where guests or a baby may have come: they count half,
# and up to a bound. Nobody keeps water running for days on end.
DAY_WEIGHTS = (1.0, 1.0, 1.2, 0.5, 0.5, 0.5, 0.5)
LEARNED_NATS = (30.0, 7.5, 14.0, 6.0, 6.0, 6.0, 6.0)  # where such rests have been seen before
DAYS_NATS = (30.0, 7.5, 6.0, 6.0, 6.0, 6.0, 6.0)
SHARE_MOST = 0.97

DRIP_NATS, TAP_NATS = 2.0, -0.5  # a longest pause that one litre ends, or several
ENDS_LEAST_NATS, ENDS_MOST_NATS = -5.0, 4.0

QUIET_H = 0.75  # of rest before water of which it is asked whether it is a single litre
MORE_SINGLES = 0.5  # by so much a leak of 0.25 L/h raises the odds of one litre against several
SINGLES_WEIGHT, SINGLES_NATS = 0.7, 8.0
SINGLES = 0.15  # of what ends a rest is one litre, before it is learned
ENDS_A_DAY, ENDS_LEARNED = 5, 200
DOUBT_PACE = 4  # a share is learned slower, but at first, while there may be a leak

SCORE, FINE = 8, 16  # of `score` and of `extra` are one nat
DROP, ALONE = 1, 4  # bits of `flags`: the last water was one litre; a pause was before it
SHORT_H = 0.5  # pauses between litres of a leak that is as fast that they may follow each other

FIELDS = ("zeros", "since", "score", "habit", "singles", "extra", "rested", "longest", "flags")


class Rests:
    """The rests of `count` meters, in steps of `step_min`: 44 bytes a meter at 7 tiers."""

    def __init__(self, count: int, step_min: int) -> None:
        steps = np.minimum(np.floor(np.array(RESTS_H) * 60 / step_min), LONGEST_STEPS)
        self.rests = np.unique(steps.astype(np.uint16))
        chosen = [int(np.flatnonzero(steps == rest)[-1]) for rest in self.rests]
        tiers = len(self.rests)
        self.day = 1440 // step_min
        self.quiet = max(1, round(QUIET_H * 60 / step_min))
        self.short = int(SHORT_H * 60 / step_min)
        self.least = (np.array(LEAST_DAYS)[chosen] * self.day).astype(np.uint16)[:, None]
        self.sure = (np.array(SURE_NATS)[chosen] * SCORE).astype(np.float32)[:, None]
        self.weight = np.array(DAY_WEIGHTS, np.float32)[chosen][:, None]
        self.most = (np.array(DAYS_NATS, np.float32)[chosen] * np.float32(SCORE))[:, None]
        learned = np.array(LEARNED_NATS, np.float32)[chosen]
        self.most_learned = (learned * np.float32(SCORE))[:, None]
        self.prior = (np.array(SHARES)[chosen] * 65536).astype(np.uint16)[:, None]
        if self.rests[0] == 0:  # there is no pause whose end could tell more than the days do
            self.most[0] = self.most_learned[0] = DAYS_NATS[0] * SCORE

        self.zeros = np.zeros(count, np.uint16)  # steps without flow, up to now
        self.since = np.zeros((tiers, count), np.uint16)  # steps since a tier was refuted
        self.score = np.zeros((tiers, count), np.int8)  # how the longest pauses ended since
        self.habit = np.empty((tiers, count), np.uint16)  # share of days that refute it, of 65536
        self.habit[:] = (np.array(SHARES)[chosen] * 65536).astype(np.uint16)[:, None]
        self.singles = np.full(count, int(SINGLES * 65536), np.uint16)  # of what ends a rest
        self.extra = np.zeros(count, np.uint8)  # evidence that they are more than that
        self.rested = np.zeros(count, np.uint8)  # tiers refuted today, a bit each
        self.longest = np.zeros((2, count), np.uint8)  # pause of today and of the day before
        self.flags = np.zeros(count, np.uint8)

        above = np.arange(LONGEST_STEPS + 2)[:, None] > self.rests
        self._bits = (above << np.arange(tiers)).sum(axis=1).astype(np.uint8)
        share = np.minimum((np.arange(256) + 0.5) / 256, SHARE_MOST)
        self._nats = (-np.log1p(-share) * (SCORE / self.day)).astype(np.float32)

    def step(self, counts: Counts, spans: NDArray[np.uint16], day: float) -> NDArray[np.uint16]:
        """Takes a step's volumes, `day` days after the first; the pauses that are known by it.

        After missing reads the water's times are unknown. But some pause must have been as long as
        what `counts` litres leave between them.
        """
        flowed = counts > 0
        seen = spans > 0
        self.since += np.minimum(spans, 4)
        ended = np.flatnonzero(flowed & (spans == 1))
        paused = ended[self.zeros[ended] > 0]
        self._ended(paused, counts[paused], day)
        pauses = np.minimum(self.zeros, 0xFFFE - spans)
        np.add(pauses, spans, out=pauses, where=seen & ~flowed)
        gaps = np.flatnonzero(flowed & (spans > 1))
        if len(gaps):
            litres = counts[gaps].astype(np.int64)
            empty = np.maximum(pauses[gaps] + spans[gaps].astype(np.int64) - litres, 0)
            pauses[gaps] = np.maximum(pauses[gaps], empty // (litres + 1))
        self._refute(pauses)
        self.flags[flowed] &= np.uint8(0xFF ^ (DROP | ALONE))
        self.flags[counts == 1] |= np.uint8(DROP)
        self.flags[paused] |= np.uint8(ALONE)
        np.copyto(self.zeros, pauses, where=seen)
        self.zeros[flowed] = 0
        short = np.minimum(pauses, LONGEST_STEPS + 1).astype(np.uint8)
        np.maximum(self.longest[0], short, out=self.longest[0])
        return pauses

    def _ended(self, meters: Meters, counts: Counts, day: float) -> None:
        """Pauses that ended with these counts."""
        pauses = self.zeros[meters]
        quiet = pauses >= self.quiet
        self._single(meters[quiet], counts[quiet] == 1, day)
        tiers = np.searchsorted(self.rests, pauses, side="left")
        usual = self.longest[:, meters].max(axis=0)
        inside = (tiers < len(self.rests)) & (pauses + 1 + pauses // 8 >= usual)
        meters, counts, tiers = meters[inside], counts[inside], tiers[inside]
        flags = self.flags[meters]
        drop = (flags & DROP > 0) & ((flags & ALONE > 0) | (pauses[inside] <= self.short))
        drips = np.where(drop, DRIP_NATS * SCORE, 0)
        gain = np.where(counts == 1, drips, TAP_NATS * SCORE).astype(np.int16)
        low, high = int(ENDS_LEAST_NATS * SCORE), int(ENDS_MOST_NATS * SCORE)
        # As long as any of two days: so it tells of leaks of slower tiers as well.
        for tier in range(len(self.rests)):
            told = tiers <= tier
            score = self.score[tier, meters[told]] + gain[told]
            self.score[tier, meters[told]] = np.clip(score, low, high)

    def _single(self, meters: Meters, single: NDArray[np.bool_], day: float) -> None:
        """What ended a rest: single litres above their usual share, as a cumulative sum."""
        share = self.singles[meters] / 65536.0
        odds = share / (1 - share) + MORE_SINGLES
        several = -np.log((1 + odds) * (1 - share))
        gain = np.where(single, np.log(odds / (1 + odds) / share), several)
        extra = self.extra[meters] + np.rint(gain * (SINGLES_WEIGHT * FINE))
        extra = np.clip(extra, 0, SINGLES_NATS * FINE)
        self.extra[meters] = extra
        pace = max(1 / ENDS_LEARNED, 1 / (ENDS_A_DAY * day + 12))
        doubt = extra > SINGLES_WEIGHT * 2 * FINE  # a leak is not to be learned
        slow = max(1 / (3 * ENDS_LEARNED), DOUBT_PACE * pace * pace)
        share += (single - share) * np.where(doubt, slow, pace)
        self.singles[meters] = np.clip(share, 0.03, 0.6) * 65536

    def _refute(self, pauses: NDArray[np.uint16]) -> None:
        """Forgets what spoke for leaks that these pauses refute."""
        short = np.minimum(pauses, LONGEST_STEPS + 1)
        self.rested |= self._bits[short]
        rests = short > self.rests[:, None]
        late = np.nonzero(rests & (self.since >= 2 * self.day))
        if len(late[0]):
            # Only now are the days without a rest known to be no leak: they were the habit.
            keep = (1 - 1 / DAYS_LEARNED) ** (self.since[late] // self.day - 1)
            self.habit[late] = self.habit[late] * keep
        np.copyto(self.since, 0, where=rests)
        np.copyto(self.score, 0, where=rests)
        self.extra[rests[-1]] = 0

    def close_day(self) -> None:
        """At the end of a day: learns which rests it had."""
        for tier in range(len(self.rests)):
            rested = self.rested & np.uint8(1 << tier) > 0
            room = (65535 - self.habit[tier]) // DAYS_LEARNED
            np.add(self.habit[tier], room, out=self.habit[tier], where=rested)
        self.rested[:] = 0
        self.longest[1] = self.longest[0]
        self.longest[0] = 0
        np.minimum(self.since, 60_000, out=self.since)

    def evidence(self, meters: slice | Meters = slice(None)) -> NDArray[np.float32]:
        """What speaks for a leak as fast as each tier's or faster, tiers x meters, 1/SCORE nats."""
        nats: NDArray[np.float32] = self.since[:, meters] * self._nats[self.habit[:, meters] >> 8]
        nats *= self.weight
        learned = self.habit[:, meters] > self.prior  # there has been such a rest before
        np.minimum(nats, np.where(learned, self.most_learned, self.most), out=nats)
        nats += self.score[:, meters]
        nats += self.extra[meters] * np.float32(SCORE / FINE)
        return nats

    def sure_of(
        self, nats: NDArray[np.float32], meters: slice | Meters = slice(None)
    ) -> NDArray[np.bool_]:
        """Which tiers of which meters have evidence enough, and for long enough."""
        return (nats >= self.sure) & (self.since[:, meters] >= self.least)

    def bounds(self, meter: int, tier: int) -> tuple[float, float]:
        """Between how many litres a step a leak of a tier is after the pauses of two days."""
        longest = min(int(self.longest[:, meter].max()), int(self.rests[tier]))
        return 1 / (longest + 1), 1 / longest if longest else float("inf")
