"""A district's leaks from its balance: inflow less the consumer meters, less what is usual.

What a customer loses has passed his meter and so raises nothing here. The volumes come from
`ledger`, what a tight district would show and how sure a change of it is from `baseline`, the
alarms from `network`. Parameters were chosen on simulated districts (docs/understand/leaks.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks import meters as consumer
from kerbline.control.leaks.baseline import Baseline
from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.ledger import Entry, Ledger
from kerbline.control.leaks.network import WARM_DAYS, Alarm, Change, Network
from kerbline.control.leaks.totaliser import Register

FORMAT = 2
SCALE_DAYS = 1
SAVED = (*("steps", "scale_steps", "scale_use_l", "first_l", "off_l", "use_l", "inflow_l"),)


class BalanceWatch:
    """One district with `meters` consumer meters, read every `step_min` minutes."""

    def __init__(self, meters: int, step_min: int, register: Register | None = None) -> None:
        self.meters = meters
        self.day_steps = 1440 // step_min
        self.per_hour = 60 / step_min
        self.ledger = Ledger(meters, self.day_steps, register)
        self.baseline: Baseline | None = None
        self.network = Network(self.day_steps)
        self.steps = 0
        self.scale_steps = 0  # of the first day, which tells how much is used
        self.scale_use_l = 0.0
        self.first_l = np.zeros(self.day_steps)  # its use, step by step
        self.off_l = self.use_l = self.inflow_l = 0.0  # of the last entry, a step

    def step(
        self,
        reads: NDArray[np.uint32],
        present: NDArray[np.bool_],
        inflow_l: float,
        *,
        planned: bool = False,
        mains_l2: float = 0.0,
    ) -> list[Change]:
        """One time step: totalisers in litres where `present`, the inflow's (NaN if not read).

        `mains_l2` as an Entry has it, where the inflow is that of several mains.

        In a `planned` step (flushing, a fire) what flows in tells of no leak.
        """
        at, self.steps = self.steps, self.steps + 1
        if planned:
            self.ledger.forget_inflow()
        entry = self.ledger.step(reads, present, inflow_l, mains_l2)
        if entry is None:
            return []
        if self.baseline is None:
            self._scale(entry, at)
            return []
        return list(self._judge(self.baseline, entry, at))

    @property
    def alarms(self) -> list[Alarm]:
        """The leaks that run, the oldest first."""
        return self.network.alarms

    def lph(self, alarm: Alarm) -> float:
        """The size of a leak that runs."""
        return alarm.size_l * self.per_hour

    def accept(self) -> None:
        """What is taken for a leak is usual from now on: an operator says so."""
        self.network.alarms.clear()
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
            self.network.levels.add(off_l, entry.steps, at)
            self.off_l = off_l / entry.steps
            self.use_l = entry.use_l / entry.steps
            self.inflow_l = entry.inflow_l / entry.steps
        if at < WARM_DAYS * self.day_steps:
            baseline.forget()
            return
        for change in self.network.step(baseline, entry.steps, at):
            seen = {
                "inflow_lph": self.inflow_l * self.per_hour,
                "use_lph": self.use_l * self.per_hour,
                "beyond_usual_lph": self.off_l * self.per_hour,
            }
            yield replace(change, seen=change.seen | seen)

    def saved(self) -> State:
        """The whole state, as arrays; `restore` is its inverse, to the last bit."""
        state = saved(self, SAVED) | under("ledger", self.ledger.saved())
        state |= under("network", self.network.saved())
        state["format"] = np.array([FORMAT])
        if self.baseline is not None:
            state |= under("baseline", self.baseline.saved())
        return state

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is another district's or format."""
        if int(state["format"][0]) != FORMAT:
            raise ValueError(f"format {int(state['format'][0])} of a balance is not {FORMAT}")
        restore(self, SAVED, state)
        self.ledger.restore(part_of("ledger", state))
        self.network.restore(part_of("network", state))
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
