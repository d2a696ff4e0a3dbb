"""A district's water by the day: what flowed in, what its meters took, and its least hour.

The figures of the International Water Association's balance (Lambert and Hirner 2000) as far as
meters can tell them: real losses, apparent ones and what is taken without a meter are one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerbline.control.leaks.grid import Row
from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.mains import Flow
from kerbline.control.leaks.totaliser import Totalisers
from kerbline.model import Value

ENOUGH_PCT = 90  # of the meters, or losses are not told
SAVED = (
    "next",
    "input_l",
    "known",
    "consumed_l",
    "hour_l",
    "least_lph",
    "before_l",
    "seen",
    "silent",
)


@dataclass(frozen=True, slots=True)
class Day:
    """The day that ended with step `end`: litres, None where they are not known."""

    end: int
    input_l: float | None
    consumed_l: float
    read: int  # meters that were read, of those whose volumes are added up here
    least_lph: float | None  # of its hours


@dataclass(frozen=True, slots=True)
class Pipes:
    """What unavoidable losses depend on: Lambert et al. 1999."""

    mains_km: float
    connections: int
    pressure_m: float
    private_km: float = 0.0

    @property
    def unavoidable_l(self) -> float:
        """A day's, of pipes in good order."""
        length_l = 18 * self.mains_km + 0.8 * self.connections + 25 * self.private_km
        return length_l * self.pressure_m


class Tally:
    """The open day of a district; exact about reads in the order of their steps."""

    def __init__(self, day_steps: int, begin: int, tallied: tuple[bool, ...]) -> None:
        """`tallied`: of which meters the volumes are added up here; the others' elsewhere."""
        self._day_steps = day_steps
        self._hour_steps = day_steps // 24
        self._tallied = np.array(tallied, np.bool_)
        self.totalisers = Totalisers(len(tallied))
        self.next = begin
        self.before_l = float("nan")  # the total of the mains,
        self.silent = 0  # and steps since then
        self.least_lph = self.hour_l = float("nan")
        self._begin_day()
        self.known = False  # the first day has no read before it

    def step(self, row: Row, flow: Flow | None) -> Day | None:
        """The next step, and what its mains say; the day that ends with it."""
        at, self.next = self.next, self.next + 1
        if at % self._hour_steps == 0:
            self.hour_l = 0.0
        volumes = self.totalisers.step(row.reads, row.present)
        self.consumed_l += float(volumes.counts[self._tallied].sum())
        self.seen |= row.present
        self.silent += 1
        if flow is None or np.isnan(flow.total_l):
            self.hour_l = float("nan")
        elif flow.broken:
            self.known, self.hour_l, self.before_l = False, float("nan"), flow.total_l
            self.silent = 0
        else:
            self.silent = 0
            self.input_l += flow.total_l - self.before_l
            self.hour_l += flow.total_l - self.before_l
            self.before_l = flow.total_l
        if self.next % self._hour_steps == 0:
            self.least_lph = float(np.fmin(self.least_lph, self.hour_l))
        return self._end_day() if self.next % self._day_steps == 0 else None

    def _end_day(self) -> Day:
        is_silent = self.silent > self._hour_steps  # what flowed stands in the next day's, too
        known = self.known and not is_silent and not np.isnan(self.before_l)
        read = int(self.seen[self._tallied].sum())
        least_lph = None if np.isnan(self.least_lph) else self.least_lph
        input_l = self.input_l if known else None
        day = Day(self.next - 1, input_l, self.consumed_l, read, least_lph)
        self._begin_day()
        self.known = not is_silent
        return day

    def _begin_day(self) -> None:
        self.input_l = self.consumed_l = 0.0
        self.least_lph = float("nan")
        self.known = True
        self.seen = np.zeros(len(self._tallied), np.bool_)

    def saved(self) -> State:
        """The whole state."""
        return saved(self, SAVED) | under("totalisers", self.totalisers.saved())

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is another district's."""
        restore(self, SAVED, {"silent": np.zeros(1, np.int64), **state})  # an older one had none
        self.totalisers.restore(part_of("totalisers", state))


def values(
    day: Day, consumed_l: float | None, completeness_pct: float, pipes: Pipes | None
) -> Mapping[str, Value]:
    """The figures of a day; `consumed_l` of all meters, None where too few of them are known."""
    found: dict[str, Value] = {}
    if day.input_l is not None:
        found["input_l"] = round(day.input_l)
    if day.least_lph is not None:
        found["least_flow_lph"] = round(day.least_lph)
    found["completeness_pct"] = round(completeness_pct, 1)
    if consumed_l is None or completeness_pct < ENOUGH_PCT:
        return found
    found["consumed_l"] = round(consumed_l)
    if day.input_l is None:
        return found
    losses_l = day.input_l - consumed_l
    found["losses_l"] = round(losses_l)
    if day.input_l > 0:
        found["losses_pct"] = round(100 * losses_l / day.input_l, 1)
    if pipes is not None:
        found["leakage_index"] = round(losses_l / pipes.unavoidable_l, 2)
    return found
