"""The consumer meters of a zone: leaks behind them, bursts, backward flow, meters that stand still.

What speaks for a leak is in `rests`; here are its size and the life of its alarm. At most 64
bytes are remembered of a meter, and nothing of the calendar: days are stretches of 24 hours, so
daylight saving and time zones change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.rests import FIELDS, LONGEST_STEP_MIN, SCORE, Rests
from kerbline.control.leaks.totaliser import BACKWARD, Register, Totalisers, Volumes
from kerbline.errors import KerblineError

RULE = "consumer_rests"
MOST_LPH = 20_000  # a home's or a small customer's meter passes no more
BLOCK_H = 4  # the smallest volume in so many hours of two days sizes a leak that never rests
NO_BLOCK = 0xFFFF
BACKWARD_BIT, LITRES_BIT = 2, 8  # of `flags`: it flows back; a read was no multiple of ten litres
TENS_L = 10  # what a meter counts by whose reads are all multiples of it
GROWN = 1.6  # an alarm grows where evidence is sure of a leak so much faster

OURS = ("steps", "volume", "smallest", "tier", "began", "size", "torrent")


class StepTooLong(KerblineError):
    """Reads so far apart that a pause in the flow cannot be seen."""

    code = "step-too-long"
    exit_status = 2


class Kind(StrEnum):
    """What is up with a meter."""

    LEAK = "leak"
    BURST = "burst"
    BACKFLOW = "backflow"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on other things than leaks are told."""

    burst_lph: float = 1_500.0
    burst_h: float = 1.0
    backflow_l: int = 20
    stuck_days: int = 45


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm of a meter that was raised, has grown (both `up`) or was cleared at this step."""

    meter: int
    kind: Kind
    up: bool
    lph: float = 0.0
    litres: float = 0.0  # lost so far
    sure_pct: float = 100.0
    grew: bool = False
    seen: dict[str, float] | None = None


class MeterWatch:
    """The `count` consumer meters of a zone, stepped together."""

    def __init__(
        self,
        count: int,
        step_min: int,
        register: Register | None = None,
        limits: Limits | None = None,
    ) -> None:
        if step_min > LONGEST_STEP_MIN:
            raise StepTooLong(
                f"reads {step_min} min apart show no rests: read at least every two hours"
            )
        self.step_min = step_min
        self.limits = limits or Limits()
        most = int(MOST_LPH * step_min / 60)
        self.totalisers = Totalisers(count, register or Register(most_a_step=most))
        self.rests = Rests(count, step_min)
        self.day = 1440 // step_min
        self.block = max(1, BLOCK_H * 60 // step_min)
        self.steps = 0
        self.volume = np.zeros(count, np.uint16)  # of the open block
        self.smallest = np.full((2, count), NO_BLOCK, np.uint16)  # of today, of the day before
        self.tier = np.zeros(count, np.uint8)  # 1 + the tier that raised the alarm, 0 without one
        self.began = np.zeros(count, np.uint32)  # the step since which the leak has been running
        self.size = np.zeros(count, np.float16)  # L/h, when it was last seen to run
        self.torrent = np.zeros(count, np.uint8)  # steps of more than any use at home

    def step(self, reads: NDArray[np.uint32], present: NDArray[np.bool_]) -> list[Change]:
        """One time step of all meters: `reads` in litres where `present`; what it changed.

        Withhold the reads of a planned event (`present` False): its water is then no evidence.
        """
        if self.steps and self.steps % self.day == 0:
            self._close_day()
        volumes = self.totalisers.step(reads, present)
        resting = self.rests.zeros.copy()
        flags = self.rests.flags
        flags[present & (reads % TENS_L > 0)] |= LITRES_BIT
        ticks = np.where(flags & LITRES_BIT, volumes.counts, volumes.counts // TENS_L)
        pauses = self.rests.step(ticks, volumes.spans, self.steps / self.day)
        self._volume(volumes)
        changes = [
            *self._cleared(pauses),
            *self._bursts(volumes),
            *self._backward(volumes, reads),
            *self._stuck(resting),
        ]
        self.steps += 1
        changes.extend(self._raised())
        return changes

    def _close_day(self) -> None:
        for meter in np.flatnonzero(self.tier).tolist():
            # While a pause is too long for the leak it may have ended: its size stays.
            longest = int(self.rests.longest[:, meter].max())
            if longest <= int(self.rests.rests[self.tier[meter] - 1]):
                self.size[meter] = self.lph(meter)
        self.rests.close_day()
        self.smallest[1] = self.smallest[0]
        self.smallest[0] = NO_BLOCK

    def _volume(self, volumes: Volumes) -> None:
        """The smallest volume of a block; one with a missing read is not used."""
        added = self.volume + np.minimum(volumes.counts, NO_BLOCK)
        np.minimum(added, NO_BLOCK, out=added)
        added[volumes.spans != 1] = NO_BLOCK
        self.volume[:] = added
        if (self.steps + 1) % self.block == 0:
            np.minimum(self.smallest[0], self.volume, out=self.smallest[0])
            self.volume[:] = 0

    def _cleared(self, pauses: NDArray[np.uint16]) -> Iterator[Change]:
        """Alarms whose leak has ended: a pause half as long again as its tier allows."""
        alarmed = np.flatnonzero(self.tier)
        rests = self.rests.rests[self.tier[alarmed] - 1]
        for meter in alarmed[pauses[alarmed] > rests + rests // 2 + 2].tolist():
            slower = np.flatnonzero(self._sure(np.array([meter]))[:, 0])
            if len(slower):  # what had grown is repaired, the first leak is not
                self.tier[meter] = 1 + slower[0]
                self.size[meter] = self.lph(meter)
                continue
            yield self._leak(meter, up=False)
            self.tier[meter] = 0
            self.size[meter] = 0

    def _raised(self) -> Iterator[Change]:
        sure = self._sure()
        for meter in np.flatnonzero(sure.any(axis=0)).tolist():
            fastest = 1 + int(np.argmax(sure[:, meter]))
            before = int(self.tier[meter])
            if before and not self._grew(meter, before - 1, fastest - 1):
                continue
            self.tier[meter] = fastest
            if not before:
                since = int(self.rests.since[fastest - 1, meter])
                self.began[meter] = max(0, self.steps - since)
            self.size[meter] = self.lph(meter)
            yield self._leak(meter, up=True, grew=before > 0)

    def _grew(self, meter: int, before: int, now: int) -> bool:
        """Is a leak of a tier now one of a faster tier, and that since a day later?"""
        rests, since = self.rests.rests, self.rests.since[:, meter]
        faster = int(rests[before]) + 1 >= GROWN * (int(rests[now]) + 1)
        return faster and int(since[before]) >= int(since[now]) + self.day

    def _sure(self, meters: slice | NDArray[np.intp] = slice(None)) -> NDArray[np.bool_]:
        return self.rests.sure_of(self.rests.evidence(meters), meters)

    def _leak(self, meter: int, *, up: bool, grew: bool = False) -> Change:
        tier = int(self.tier[meter]) - 1
        lph, litres = float(self.size[meter]), self.litres(meter)
        nats = float(self.rests.evidence(np.array([meter]))[tier, 0]) / SCORE
        seen = {
            "rest_h": float(self.rests.rests[tier]) * self.step_min / 60,
            "days_without": float(self.rests.since[tier, meter]) / self.day,
            "usual_days_pct": round(100 * int(self.rests.habit[tier, meter]) / 65536, 1),
            "longest_pause_h": int(self.rests.longest[:, meter].max()) * self.step_min / 60,
        }
        sure_pct = 100 / (1 + float(np.exp(-nats)))
        return Change(meter, Kind.LEAK, up, lph, litres, sure_pct, grew, seen)

    def lph(self, meter: int) -> float:
        """The size of a leak that is up, after two days: the smallest block, as pauses allow it."""
        tick_l = 1 if self.rests.flags[meter] & LITRES_BIT else TENS_L
        least, most = self.rests.bounds(meter, int(self.tier[meter]) - 1)
        least, most = tick_l * least, tick_l * most
        block = int(self.smallest[:, meter].min())
        a_step = least if block == NO_BLOCK else min(max(block / self.block, least), most)
        return a_step * 60 / self.step_min

    def litres(self, meter: int) -> float:
        """What a leak that is up has lost so far."""
        return float(self.size[meter]) * (self.steps - int(self.began[meter])) * self.step_min / 60

    def _bursts(self, volumes: Volumes) -> Iterator[Change]:
        limit_l = self.limits.burst_lph * self.step_min / 60
        much = volumes.counts > limit_l * volumes.spans
        needed = max(1, round(self.limits.burst_h * 60 / self.step_min))
        ended = np.flatnonzero((self.torrent > 0) & ~much & (volumes.spans > 0))
        for meter in ended[self.torrent[ended] >= needed].tolist():
            yield Change(meter, Kind.BURST, up=False)
        self.torrent[ended] = 0
        for meter in np.flatnonzero(much).tolist():
            before = int(self.torrent[meter])
            now = min(255, before + int(volumes.spans[meter]))
            self.torrent[meter] = now
            if before < needed <= now:
                lph = float(volumes.counts[meter] / volumes.spans[meter]) * 60 / self.step_min
                hours = now * self.step_min / 60
                yield Change(meter, Kind.BURST, True, lph, lph * hours, seen={"hours": hours})

    def _backward(self, volumes: Volumes, reads: NDArray[np.uint32]) -> Iterator[Change]:
        flags = self.rests.flags
        for meter in np.flatnonzero(volumes.marks == BACKWARD).tolist():
            back_l = self.totalisers.behind(meter, int(reads[meter]))
            if back_l >= self.limits.backflow_l and not flags[meter] & BACKWARD_BIT:
                flags[meter] |= BACKWARD_BIT
                yield Change(meter, Kind.BACKFLOW, up=True, litres=back_l, seen={"litres": back_l})
        # Forward beyond what had flowed back, or another meter: it is over.
        over = (flags & BACKWARD_BIT > 0) & ((volumes.counts > 0) | (volumes.marks > BACKWARD))
        for meter in np.flatnonzero(over).tolist():
            flags[meter] &= 0xFF ^ BACKWARD_BIT
            yield Change(meter, Kind.BACKFLOW, up=False)

    def _stuck(self, resting: NDArray[np.uint16]) -> Iterator[Change]:
        """No litre for weeks: the meter stands still, or nobody is there."""
        limit = min(0xF000, self.limits.stuck_days * self.day)
        now = self.rests.zeros
        for meter in np.flatnonzero((resting < limit) != (now < limit)).tolist():
            days = int(now[meter]) / self.day
            yield Change(meter, Kind.STUCK, up=bool(now[meter] >= limit), seen={"days": days})

    def saved(self) -> State:
        """The whole state; a watch of the same meters that takes it goes on as if never stopped."""
        parts = under("rests", saved(self.rests, FIELDS))
        return saved(self, OURS) | parts | under("totalisers", self.totalisers.saved())

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of other meters."""
        restore(self, OURS, state)
        restore(self.rests, FIELDS, part_of("rests", state))
        self.totalisers.restore(part_of("totalisers", state))


def score(
    reads: NDArray[np.uint32], missing: NDArray[np.bool_] | None, step_min: int
) -> dict[str, Any]:
    """Leaks over recorded reads (meters x time); each is raised by its step and earlier ones.

    A leak that has grown to twice its size or more is told again.
    """
    watch = MeterWatch(reads.shape[0], step_min)
    told: list[dict[str, Any]] = []
    up: dict[int, list[dict[str, Any]]] = {}
    present = np.ones(reads.shape[0], np.bool_)
    by_step = np.ascontiguousarray(reads.T)
    gaps = None if missing is None else np.ascontiguousarray(missing.T)

    def size(meter: int, lph: float) -> None:
        for alarm in up.pop(meter):
            alarm["lph"] = round(lph, 3)

    for step, row in enumerate(by_step):
        if gaps is not None:
            present = ~gaps[step]
        for change in watch.step(row, present):
            if change.kind is not Kind.LEAK:
                continue
            if change.up:
                told.append({"meter": change.meter, "start": step, "lph": change.lph})
                up.setdefault(change.meter, []).append(told[-1])
            else:
                size(change.meter, change.lph)
    for meter in list(up):
        size(meter, watch.lph(meter))
    return {"customer": told}
