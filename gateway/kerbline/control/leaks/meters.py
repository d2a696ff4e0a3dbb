"""Leaks behind consumer meters: flow that never rests as long as it would without one.

A leak of q litres an hour turns a totaliser of one litre at least every 1/q hours. So a longer
pause refutes every leak of q or more, and its absence for as many days as a household usually
needs to show one is evidence. Tiers of rest, from none to some hours, each keep when they
were last refuted, how reliably they are on an ordinary day, and whether pauses nearly as long as the
leak would allow end with one litre (a dripping leak) or with several (somebody turns a tap).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.totaliser import Register, Totalisers

FORMAT = 1

RESTS_H = (0.0, 0.25, 0.5, 1.0, 1.75, 2.75, 4.25)  # pauses longer than this refute a tier
LEAST_DAYS = (1.2, 1.2, 1.2, 1.3, 2.0, 3.0, 4.6)  # nothing is said of a tier before
PRIOR = (0.95, 0.95, 0.95, 0.95, 0.92, 0.88, 0.8)  # of a day to refute a tier, before it is learned
DAYS_LEARNED = 32
NIGHT_WEIGHT, NIGHTS_NATS = 0.5, 6.0  # nights depend on each other: they count half, and not for ever
DRIP_NATS, TAP_NATS = 2.0, -0.5  # a pause as long as any that ends with one litre, and with several
ENDS_NATS = (-5.0, 4.0)  # all such pauses together
QUIET_H = 0.75  # of rest before water whose volume is judged
MORE_SINGLES = 0.5  # odds of one litre against several rise by so much with a leak of the least size
SINGLES_WEIGHT, SINGLES_NATS = 0.7, 8.0
SINGLES = 0.15  # of what ends a rest is one litre, before it is learned
ENDS_LEARNED = 200
SURE_NATS = (5.5, 7.0, 7.0, 10.0, 10.0, 10.0, 10.0)  # of evidence that raise an alarm
SCORE, FINE = 8, 16  # of `score` and of `extra` are one nat
BLOCK_H = 4


class Kind(StrEnum):
    """What is up with a meter."""

    LEAK = "leak"


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm of a meter that was raised (`up`) or cleared at this step."""

    meter: int
    kind: Kind
    up: bool
    lph: float
    litres: float  # lost so far
    sure_pct: float
    seen: dict[str, float]


class MeterWatch:
    """The consumer meters of a zone, `count` of them, stepped together."""

    def __init__(self, count: int, step_min: int, register: Register | None = None) -> None:
        self.count = count
        self.step_min = step_min
        self.totalisers = Totalisers(count, register)
        self.day = 1440 // step_min
        self.block = max(1, BLOCK_H * 60 // step_min)
        self.rests = np.unique(np.floor(np.array(RESTS_H) * 60 / step_min).astype(np.uint16))
        chosen = [
            int(np.argmax(np.floor(np.array(RESTS_H) * 60 / step_min) == r)) for r in self.rests
        ]
        self.least = (np.array(LEAST_DAYS)[chosen] * self.day).astype(np.uint16)[:, None]
        self.sure = (np.array(SURE_NATS)[chosen] * SCORE).astype(np.float32)[:, None]
        tiers = len(self.rests)
        self.quiet = max(1, round(QUIET_H * 60 / step_min))
        self.steps = 0
        self.zeros = np.zeros(count, np.uint16)  # steps without flow, up to now
        self.since = np.zeros((tiers, count), np.uint16)  # steps since a tier was refuted
        self.score = np.zeros((tiers, count), np.int8)  # how pauses ended since
        self.habit = np.empty((tiers, count), np.uint16)  # of a day to refute a tier, of 65536
        self.habit[:] = (np.array(PRIOR)[chosen] * 65536).astype(np.uint16)[:, None]
        self.drop = np.zeros(count, np.bool_)  # the last flow was of one litre
        self.singles = np.full(count, int(SINGLES * 65536), np.uint16)  # of what ends rests: a litre
        self.extra = np.zeros(count, np.uint8)  # evidence that it is more than usual
        self.rested = np.zeros(count, np.uint8)  # tiers refuted today, a bit each
        self.longest = np.zeros((2, count), np.uint8)  # pause of today and of the day before
        self.volume = np.zeros(count, np.uint16)  # of the open block
        self.smallest = np.full((2, count), 0xFFFF, np.uint16)  # block of today, of the day before
        self.tier = np.zeros(count, np.uint8)  # 1 + the tier that raised the alarm, 0 without one
        self.began = np.zeros(count, np.uint32)  # the step since which the alarm's water is counted
        above = np.arange(256)[:, None] > self.rests
        self._bits = (above << np.arange(tiers)).sum(axis=1).astype(np.uint8)
        share = np.minimum((np.arange(256) + 0.5) / 256, 0.97)
        self._nats = (-np.log1p(-share) * (SCORE / self.day)).astype(np.float32)

    def step(self, reads: NDArray[np.uint32], present: NDArray[np.bool_]) -> list[Change]:
        """One time step of all meters: `reads` in counts of a litre where `present`."""
        volumes = self.totalisers.step(reads, present)
        counts, spans = volumes.counts, volumes.spans
        seen = spans > 0
        flowed = counts != 0
        if self.steps % self.day == 0 and self.steps:
            self._close_day()
        self.since += seen
        self._volume(counts, seen)
        ended = np.flatnonzero(flowed & (self.zeros > 0) & (spans == 1) & (counts > 0))
        if len(ended):
            self._ended(ended, counts[ended])
        still = seen & ~flowed
        before = self.zeros
        after = np.where(still, np.minimum(before, 0xFFFE - spans) + spans, before)
        changes = list(self._refute(before, after))
        after[flowed] = 0
        self.drop[flowed] = ((counts == 1) & (before > 0))[flowed]
        self.zeros = after
        np.maximum(self.longest[0], np.minimum(after, 255).astype(np.uint8), out=self.longest[0])
        self.steps += 1
        changes.extend(self._raise())
        return changes

    def _ended(self, meters: NDArray[np.intp], counts: NDArray[np.int32]) -> None:
        """Pauses that ended with these counts."""
        pauses = self.zeros[meters]
        self._singles(meters[pauses >= self.quiet], counts[pauses >= self.quiet] == 1)
        tiers = np.searchsorted(self.rests, pauses, side="left")
        usual = self.longest[:, meters].max(axis=0)
        inside = (tiers < len(self.rests)) & (pauses + 1 + pauses // 8 >= usual)
        meters, counts, tiers = meters[inside], counts[inside], tiers[inside]
        drips = np.where(self.drop[meters], DRIP_NATS * SCORE, 0.0)
        gain = np.where(counts == 1, drips, TAP_NATS * SCORE).astype(np.int16)
        low, high = (int(nats * SCORE) for nats in ENDS_NATS)
        for tier in (tiers, np.minimum(tiers + 1, len(self.rests) - 1)):
            score = self.score[tier, meters] + gain
            self.score[tier, meters] = np.clip(score, low, high)
            gain = np.where(tier == len(self.rests) - 1, 0, gain)

    def _singles(self, meters: NDArray[np.intp], single: NDArray[np.bool_]) -> None:
        """What ended a rest: a share of single litres above the usual is a leak's."""
        share = self.singles[meters] / 65536.0
        odds = share / (1 - share) + MORE_SINGLES
        gain = np.where(single, np.log(odds / (1 + odds) / share), -np.log((1 + odds) * (1 - share)))
        extra = self.extra[meters] + np.rint(gain * (SINGLES_WEIGHT * FINE))
        self.extra[meters] = np.clip(extra, 0, SINGLES_NATS * FINE)
        slow = self.extra[meters] > SINGLES_WEIGHT * 2 * FINE
        fast = max(1 / ENDS_LEARNED, 1 / (self.steps / self.day * 5 + 12))
        share += (single - share) * np.where(slow, 1 / (3 * ENDS_LEARNED), fast)
        self.singles[meters] = np.clip(share, 0.03, 0.6) * 65536

    def _refute(self, before: NDArray[np.uint16], after: NDArray[np.uint16]) -> Iterator[Change]:
        """Tiers whose longest rest was passed between two lengths of a pause."""
        moved = np.flatnonzero(after > before)
        was, now = before[moved], after[moved]
        for tier, rest in enumerate(self.rests.tolist()):
            meters = moved[(was <= rest) & (now > rest)]
            if len(meters):
                self._forget_nights(tier, meters)
        alarmed = moved[self.tier[moved] > 0]
        if len(alarmed):
            rest = self.rests[self.tier[alarmed] - 1].astype(np.uint32)
            for meter in alarmed[after[alarmed] > rest + rest // 2 + 2].tolist():
                yield self._change(meter, up=False)
                self.tier[meter] = 0
        rests = after > self.rests[:, None]
        self.since[rests] = 0
        self.score[rests] = 0
        self.extra[rests[-1]] = 0
        self.rested |= self._bits[np.minimum(after, 255)]

    def _forget_nights(self, tier: int, meters: NDArray[np.intp]) -> None:
        """Days without rest count against the habit once a rest has come after all."""
        days = self.since[tier, meters] // self.day
        late = days > 1
        if late.any():
            keep = (1 - 1 / DAYS_LEARNED) ** (days[late] - 1)
            self.habit[tier, meters[late]] = (self.habit[tier, meters[late]] * keep).astype(
                np.uint16
            )

    def _volume(self, counts: NDArray[np.int32], seen: NDArray[np.bool_]) -> None:
        """The smallest volume of a block of hours; a block with a missing read is not used."""
        added = self.volume + np.clip(counts, 0, 0x7FFF)
        added[~seen] = 0xFFFF
        self.volume = np.minimum(added, 0xFFFF).astype(np.uint16)
        if (self.steps + 1) % self.block == 0:
            np.minimum(self.smallest[0], self.volume, out=self.smallest[0])
            self.volume[:] = 0

    def _close_day(self) -> None:
        for tier in range(len(self.rests)):
            habit = self.habit[tier].astype(np.int32)
            rested = (self.rested >> np.uint8(tier) & 1).astype(bool)
            habit += np.where(rested, (65535 - habit) // DAYS_LEARNED, 0)
            self.habit[tier] = np.clip(habit, 0, 65535)
        self.rested[:] = 0
        for pair, none in ((self.longest, 0), (self.smallest, 0xFFFF)):
            pair[1] = pair[0]
            pair[0] = none
        np.minimum(self.since, 60_000, out=self.since)

    def _raise(self) -> Iterator[Change]:
        nats = self._evidence()
        up = (nats >= self.sure) & (self.since >= self.least) & (self.tier == 0)
        for meter in np.flatnonzero(up.any(axis=0)).tolist():
            self.tier[meter] = 1 + int(np.argmax(up[:, meter]))
            self.began[meter] = self.steps - int(self.since[self.tier[meter] - 1, meter])
            yield self._change(meter, up=True)

    def _evidence(self) -> NDArray[np.float32]:
        nights = self.since * self._nats[self.habit >> 8]
        nights[1:] *= NIGHT_WEIGHT
        np.minimum(nights[1:], NIGHTS_NATS * SCORE, out=nights[1:])
        nights += self.score
        nights += self.extra * (SCORE / FINE)
        return nights

    def _change(self, meter: int, *, up: bool) -> Change:
        lph = self.lph(meter)
        tier = int(self.tier[meter]) - 1
        hours = (self.steps - int(self.began[meter])) * self.step_min / 60
        nats = float(self._evidence()[tier, meter]) / SCORE
        return Change(
            meter,
            Kind.LEAK,
            up,
            lph,
            lph * hours,
            100 / (1 + float(np.exp(-nats))),
            {
                "hours_without_rest": hours,
                "rest_h": float(self.rests[tier]) * self.step_min / 60,
                "usual_days_pct": round(100 * int(self.habit[tier, meter]) / 65536, 1),
            },
        )

    def lph(self, meter: int) -> float:
        """The leak's size as the last two days tell it: the smallest block, or the longest pause."""
        block = int(self.smallest[:, meter].min())
        longest = int(self.longest[:, meter].max())
        if longest == 0 or block >= 2 * self.block:
            return block / self.block * 60 / self.step_min if block < 0xFFFF else 0.0
        return 60 / self.step_min / (longest + 1)


def score(
    reads: NDArray[np.uint32], missing: NDArray[np.bool_] | None, step_min: int
) -> dict[str, Any]:
    """Alarms of leaks over recorded reads (meters x time), as each step would have raised them."""
    watch = MeterWatch(reads.shape[0], step_min)
    alarms: list[dict[str, Any]] = []
    up: dict[int, dict[str, Any]] = {}
    present = np.ones(reads.shape[0], np.bool_)
    columns = np.ascontiguousarray(reads.T)
    gaps = None if missing is None else np.ascontiguousarray(missing.T)
    for step in range(reads.shape[1]):
        if gaps is not None:
            present = ~gaps[step]
        for change in watch.step(columns[step], present):
            if change.up:
                up[change.meter] = {"meter": change.meter, "start": step, "lph": change.lph}
                alarms.append(up[change.meter])
            else:
                up.pop(change.meter)["lph"] = round(change.lph, 3)
    for meter, alarm in up.items():
        alarm["lph"] = round(watch.lph(meter), 3)
    return {"customer": alarms}
