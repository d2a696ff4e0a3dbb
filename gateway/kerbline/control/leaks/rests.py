"""Evidence of a leak from how long and how often a totaliser rests, over all meters at once.

A leak of q litres an hour turns a totaliser of one litre at least every 1/q hours, whoever
draws water beside it: one pause that is longer refutes every leak of q or more. So tiers of
pauses, from none to some hours, each sum what speaks for a leak since they were last refuted:

- days without such a rest, where ordinary days have one (each household's own share of days);
- pauses as long as any of these two days: a leak ends them with one litre and began them with
  one, time and again; a tap, a flush or an appliance that fills ends them with several;
- single litres after a rest, more of them among all that ends a rest than is usual here; where
  reads are an hour or more apart, single litres step by step as well.

All are logarithms of likelihood ratios (Wald's sequential test), weighted down where they depend
on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int32]
Meters = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Tier:
    """A pause, and what days without a longer one say of leaks that would allow none."""

    rest_h: float
    least_days: float  # nothing is said before
    sure_nats: float  # of evidence that raise an alarm
    share: float  # of days with such a rest, before it is learned
    weight: float  # of days, as they depend on each other: guests, a baby
    learned_nats: float  # bound of what days say where such a rest has been seen before
    days_nats: float  # bound where it has not often been
    unseen_nats: float  # bound where it has never been since the first read


# Nobody keeps water running for days on end, so the fast tiers need no other evidence.
TIERS = (
    Tier(0.0, 1.2, 7, 0.95, 1.0, 30, 30, 30),
    Tier(0.25, 1.2, 7, 0.95, 1.0, 7.5, 7.5, 7.5),
    Tier(0.5, 2.0, 8, 0.95, 1.2, 14, 6, 5),
    Tier(1.0, 1.3, 10, 0.95, 0.5, 6, 6, 1.5),
    Tier(1.75, 2.0, 13, 0.92, 0.5, 6, 6, 1.5),
    Tier(2.75, 3.0, 13, 0.88, 0.5, 6, 6, 1.5),
    Tier(4.25, 4.6, 11, 0.8, 0.5, 6, 6, 1.5),
)
HOURLY = (  # an hour without water is rarer than a quarter of one
    Tier(0.0, 1.5, 7.5, 0.92, 0.9, 30, 7, 14),
    Tier(1.0, 1.5, 12, 0.9, 0.5, 6, 6, 3),
    Tier(2.0, 3.0, 13, 0.85, 0.5, 6, 6, 1.5),
    Tier(4.0, 4.6, 11, 0.8, 0.5, 6, 6, 1.5),
)
TWO_HOURLY = (
    Tier(0.0, 3.0, 9, 0.7, 0.6, 14, 8, 2),
    Tier(2.0, 3.0, 13, 0.85, 0.5, 6, 6, 1.5),
    Tier(4.0, 4.6, 11, 0.8, 0.5, 6, 6, 1.5),
)
TABLES = ((30, TIERS), (60, HOURLY), (120, TWO_HOURLY))  # by the longest step, minutes
LONGEST_STEP_MIN = TABLES[-1][0]
LONGEST_STEPS = 250  # a rest that is told apart
DAYS_LEARNED = 32
EARLY_NATS = 0.6  # against a leak for each day that half as long again as the least is yet to come
SHARE_MOST = 0.97

DRIP_NATS, TAP_NATS = 2.0, -0.375  # a longest pause that one litre ends, or several
ENDS_LEAST_NATS, ENDS_MOST_NATS = -5.0, 4.0

QUIET_H = 0.75  # of rest before water of which it is asked whether it is a single litre
MORE_SINGLES = 0.5  # by so much a leak of 0.25 L/h raises the odds of one litre against several
SINGLES_WEIGHT, SINGLES_NATS = 0.9, 10.0
SINGLES = 0.15  # of what ends a rest is one litre, before it is learned
ENDS_A_DAY, ENDS_LEARNED = 5, 200
DOUBT_PACE = 4  # a share is learned slower, but at first, while there may be a leak

SCORE, FINE = 8, 16  # of `score` and of `extra` are one nat
DROP, ALONE = 1, 4  # bits of `flags`: the last water was one litre; a pause was before it
SHORT_H = 0.5  # pauses between litres of a leak that is as fast that they may follow each other

FIELDS = (
    *("age", "zeros", "since", "score", "habit", "singles", "extra"),
    *("rested", "longest", "flags"),
)


class Rests:
    """The rests of `count` meters, in steps of `step_min`: 44 bytes a meter at 7 tiers."""

    def __init__(self, count: int, step_min: int) -> None:
        self.coarse = step_min > TABLES[0][0]
        table = next(tiers for longest, tiers in TABLES if step_min <= longest)
        of_rest: dict[int, Tier] = {}
        for tier in table:
            of_rest.setdefault(min(int(tier.rest_h * 60 / step_min), LONGEST_STEPS), tier)
        chosen = list(of_rest.values())
        self.rests = np.array(list(of_rest), np.uint16)
        tiers = len(self.rests)
        self.day = 1440 // step_min
        self.quiet = max(1, round(QUIET_H * 60 / step_min))
        self.short = max(1, int(SHORT_H * 60 / step_min))

        def each(values: list[float], unit: float) -> NDArray[np.float32]:
            return (np.array(values) * unit).astype(np.float32)[:, None]

        self.least = each([tier.least_days for tier in chosen], self.day).astype(np.uint16)
        self.sure = each([tier.sure_nats for tier in chosen], SCORE)
        self.weight = each([tier.weight for tier in chosen], 1)
        self.most = each([tier.days_nats for tier in chosen], SCORE)
        self.most_learned = each([tier.learned_nats for tier in chosen], SCORE)
        self.most_unseen = each([tier.unseen_nats for tier in chosen], SCORE)
        self.prior = each([tier.share for tier in chosen], 65536).astype(np.uint16)
        self.age = 0  # steps

        self.zeros = np.zeros(count, np.uint16)  # steps without flow, up to now
        self.since = np.zeros((tiers, count), np.uint16)  # steps since a tier was refuted
        self.score = np.zeros((tiers, count), np.int8)  # how the longest pauses ended since
        self.habit = np.empty((tiers, count), np.uint16)  # share of days that refute it, of 65536
        self.habit[:] = self.prior
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
        self.age += 1
        self.since += np.minimum(spans, 4)
        ended = np.flatnonzero(flowed & (spans == 1))
        paused = ended[self.zeros[ended] > 0]
        self._ended(paused, counts[paused], day)
        if self.coarse:
            # A leak of a litre a step leaves no rest: litre follows litre.
            follows = ended[(self.zeros[ended] == 0) & (self.flags[ended] & DROP > 0)]
            self._single(follows, counts[follows] == 1, day)
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
        unseen = self.since[:, meters] + self.day > self.age
        np.minimum(nats, self.most_unseen, out=nats, where=unseen)
        early = np.maximum(self.least * np.float32(1.5) - self.since[:, meters], 0)
        nats -= early * np.float32(EARLY_NATS * SCORE / self.day)
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
