"""One district over its log: reads in any order, alarms as if they had come in theirs.

A window of the last days is kept as it is, and the detectors' state before it. A step is looked at
some time after its end; a read that comes later changes the window, and the window is gone over
again. So what stands is a function of the reads' set, as long as none is later than the window.
Time is that of the reads: the newest one says which steps are over.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerbline.control.leaks.grid import Grid
from kerbline.control.leaks.kept import State, part_of, under
from kerbline.control.leaks.regroup import regrouped
from kerbline.control.leaks.tally import Day, Tally
from kerbline.control.leaks.watch import Setting, Standing, Watch

FORMAT = 2
WINDOW_H = 48
OTHERS = 0.02  # so many other meters, and the balance of before says nothing of this one
INFLOW = -1  # the first main among the consumers' numbers, the next one is -2


@dataclass(frozen=True, slots=True)
class Members:
    """Meters by their assets' names, of which the volumes are added up here, and a Row's mains."""

    names: tuple[str, ...]
    tallied: tuple[bool, ...]
    mains: tuple[str, ...]


class District:
    """A district's window and detectors; `take` reads, then `judge`, then see `standing`."""

    def __init__(
        self,
        setting: Setting,
        members: Members,
        wait_steps: int,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        """`saved` as it was given; what is of another format or step is as good as nothing."""
        self._setting = setting
        self._members = members
        self._wait = wait_steps
        self._steps = WINDOW_H * 60 // setting.step_min + wait_steps + 1
        self.newest = -1  # step
        self.too_late = 0
        self.days: list[Day] = []  # that are over; whoever takes them empties it
        self._first_seq: dict[int, int] = {}  # of a step: where in the log its reads begin
        self._dirty = True
        self._base: Watch | None = None  # before the window
        self._live: Watch | None = None  # after the last step that was looked at
        self._grid: Grid | None = None
        self._tally: Tally | None = None
        if saved is not None and saved.get("format") == FORMAT:
            try:
                self._restore(saved)
            except (ValueError, KeyError, TypeError):  # of another version's detectors
                self._base = self._grid = self._tally = None

    @property
    def judged(self) -> int:
        """The step up to which all was looked at; -1 before the first read."""
        return -1 if self._live is None else self._live.next

    @property
    def over(self) -> int:
        """The last step that is over, of the window at least; -1 before the first read."""
        return max(self.first, self.newest - self._wait - 1)

    def mind(self, step: int) -> None:
        """The setting says something else of a step: it is due again if it was looked at."""
        if step < self.judged:
            self._live = None

    @property
    def is_due(self) -> bool:
        """Is a step over that was not looked at yet?"""
        return self._grid is not None and self.newest - self._wait > self.judged

    @property
    def learning(self) -> bool:
        """Has less than its first days been seen?"""
        return self._live is None or self._live.learning

    @property
    def lasted(self) -> int:
        """How many steps lie between its first read and its newest."""
        return 0 if self._base is None else max(self.first, self.newest) - self._base.begin

    @property
    def first(self) -> int:
        """The first step of the window."""
        return -1 if self._grid is None else self._grid.first

    def take(
        self, meter: int, at_ms: int, litres: float, seq: int, *, at_most: bool = False
    ) -> Iterator[None]:
        """A read of a meter, or of INFLOW and below, that is in the log at `seq`.

        `at_most`: as a Grid has it. To be iterated to its end: where the window moves on, it
        yields after each step.
        """
        step = at_ms // self._setting.step_ms
        if self._grid is None:
            self._start(step)
        grid = self._grid
        assert grid is not None
        if step >= grid.end:
            yield from self._advance(step - self._steps + 1)
        self.newest = max(self.newest, step)
        if meter <= INFLOW:
            changed = grid.take_main(INFLOW - meter, at_ms, litres)
        else:
            changed = grid.take(meter, at_ms, round(litres), at_most=at_most)
        self.too_late = grid.too_late
        if changed is None:
            return
        self._first_seq.setdefault(changed, seq)
        if changed < self.judged:
            self._dirty = True

    def judge(self) -> Iterator[None]:
        """Look at what is over, from the window's begin where a read there is new; as `take`."""
        grid, base = self._grid, self._base
        if grid is None or base is None:
            return
        due = self.newest - self._wait
        if self._live is None or self._dirty or self._live.next < grid.first:
            if due <= grid.first and self._live is None:
                return
            self._live = base.copy()
            self._dirty = False
        while self._live.next < due:
            self._live.step(grid.row(self._live.next))
            yield

    def standing(self) -> Sequence[Standing]:
        """What is up after the last step that was looked at."""
        return [] if self._live is None else self._live.standing()

    def inflow_lph(self) -> float:
        """The last flow that was looked at; NaN where it is not known."""
        return float("nan") if self._live is None else self._live.inflow_lph

    def silent(self) -> Sequence[int]:
        """Columns of the mains that the last step that was looked at has no read of."""
        if self._grid is None or self.judged <= self._grid.first:
            return ()
        found: list[int] = np.flatnonzero(
            np.isnan(self._grid.row(self.judged - 1).mains_l)
        ).tolist()
        return found

    def read_meters(self) -> int:
        """How many meters were read in the day up to the newest read."""
        if self._grid is None:
            return 0
        day = range(max(self._grid.first, self.newest - self._setting.day_steps), self.newest + 1)
        seen = np.zeros(len(self._members.names), np.bool_)
        for step in day:
            seen |= self._grid.row(step).present
        return int(seen.sum())

    def saved(self, seq: int) -> dict[str, Any]:
        """All of it as JSON carries it over a restart; the log after "after" goes with it.

        `seq` is how far of the log was taken.
        """
        if self._base is None or self._grid is None or self._tally is None:
            return {"format": FORMAT, "after": seq, "step_min": self._setting.step_min}
        after = min((first - 1 for first in self._first_seq.values()), default=seq)
        state = under("base", self._base.saved()) | under("tally", self._tally.saved())
        return {
            "format": FORMAT,
            "after": min(after, seq),
            "step_min": self._setting.step_min,
            "meters": list(self._members.names),
            "mains": self._mains,
            "first": self._grid.first,
            "state": _packed(state),
        }

    @property
    def _mains(self) -> list[list[str | int]]:
        signs = [sign for each in self._setting.neighbours for sign in each.signs]
        signs = [*self._setting.mains, *signs, *[0] * self._setting.warmth]
        pairs = zip(self._members.mains, signs, strict=True)
        return [[name, sign] for name, sign in pairs]

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if saved["step_min"] != self._setting.step_min or "state" not in saved:
            return
        if saved["mains"] != self._mains:  # another district's water
            return
        before, after = tuple(saved["meters"]), self._members.names
        stay = set(before) & set(after)
        if not stay and before + after:
            return
        first = saved["first"]
        self._start(first)
        assert self._base is not None and self._tally is not None and self._grid is not None
        state = _unpacked(saved["state"])
        if before != after:
            state = regrouped(state, self._fresh, before, after)
        self._base.restore(part_of("base", state))
        self._tally.restore(part_of("tally", state))
        self._grid.advance(first)
        if before != after:
            place = {name: number for number, name in enumerate(after)}
            numbers = {old: place[name] for old, name in enumerate(before) if name in place}
            others = max(len(before), len(after)) - len(stay)
            self._base.renumber(numbers, anew=others > OTHERS * len(after))

    def _fresh(self, meters: int) -> State:
        base = Watch(replace(self._setting, meters=meters), 0).saved()
        tally = Tally(self._setting.day_steps, 0, (True,) * meters).saved()
        return under("base", base) | under("tally", tally)

    def _start(self, step: int) -> None:
        first = step - step % self._setting.day_steps
        self._base = Watch(self._setting, first)
        self._tally = Tally(self._setting.day_steps, first, self._members.tallied)
        sizes = len(self._members.names), self._setting.columns, self._steps
        self._grid = Grid(*sizes, self._setting.step_ms, first)

    def _advance(self, first: int) -> Iterator[None]:
        """Move the window on; what falls out of it goes into the state before it for good."""
        grid, base, tally = self._grid, self._base, self._tally
        assert grid is not None and base is not None and tally is not None
        while grid.first < first:
            row = grid.row(grid.first)
            day = tally.step(row, base.step(row))
            if day is not None:
                self.days.append(day)
            self._first_seq.pop(grid.first, None)
            grid.advance(grid.first + 1)
            yield


def _packed(state: State) -> str:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    return base64.b64encode(zlib.compress(file.getvalue(), 1)).decode()


def _unpacked(text: str) -> State:
    try:
        body = io.BytesIO(zlib.decompress(base64.b64decode(text)))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    with np.load(body, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
