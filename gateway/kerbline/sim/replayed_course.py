"""A lamp's recorded time: what its node told beside what the same node would have shown.

Both are counted over the same time: from report to report, where no record between them is missing
and they are not too far apart. Of the rest nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from kerbline.model import Key, Reading
from kerbline.sim.replayed_lamp import ReplayedLamp

EDGES = {"motion": True, "motion_clear": False}
REPORT = "streetlight"
LATE_MS = 5_000  # what comes that much after its time has missed it
MOST_PENDING = 4_000  # of a lamp: some hours of a busy street
ALIKE_PCT = 5  # levels that are no further apart agree
ROUNDED_PCT = 0.5
J_PER_KWH = 3.6e6
WH_PER_KWH = 1000
_CONFIG, _ORDER = Key("", -2, 0), Key("", -1, 0)  # before what a node tells at that time


@dataclass(slots=True)
class Line:
    """A straight line through (level in percent, watts) of lit lamps, from sums alone."""

    count: int = 0
    level: float = 0.0
    watts: float = 0.0
    level_2: float = 0.0
    both: float = 0.0

    def add(self, level_pct: float, power_w: float) -> None:
        """One more report."""
        self.count += 1
        self.level += level_pct
        self.watts += power_w
        self.level_2 += level_pct * level_pct
        self.both += level_pct * power_w

    def fit(self) -> tuple[float, float] | None:
        """(W of a lamp that is just lit, W a percent); through zero where one level was told."""
        if not self.count:
            return None
        spread = self.level_2 - self.level * self.level / self.count
        if spread < self.count:  # a standard deviation of one percent
            return 0.0, self.watts / self.level
        slope = (self.both - self.level * self.watts / self.count) / spread
        return (self.watts - slope * self.level) / self.count, slope


@dataclass(slots=True)
class Sums:
    """Of a lamp: percent, time with light and time below the floor, in ms."""

    pct_ms: float = 0.0
    lit_ms: float = 0.0
    low_ms: float = 0.0


@dataclass(slots=True)
class Figures:
    """What is known of a lamp; None where no watt is known."""

    known_ms: float = 0.0
    would: Sums = field(default_factory=Sums)
    did: Sums = field(default_factory=Sums)
    counted_wh: float = 0.0
    is_metered: bool = False
    reports: int = 0
    alike: int = 0
    power: Line = field(default_factory=Line)

    def kwh(self, lamp_w: float | None) -> tuple[float, float] | None:
        """(would have been, did), by its own meter, else by the watts of its group."""
        line = self.power.fit() if self.is_metered else None
        if line is not None:
            would_j = (line[0] * self.would.lit_ms + line[1] * self.would.pct_ms) / 1000
            return would_j / J_PER_KWH, self.counted_wh / WH_PER_KWH
        if lamp_w is None or self.is_metered:
            return None
        watt_s = lamp_w / 100 / 1000
        return watt_s * self.would.pct_ms / J_PER_KWH, watt_s * self.did.pct_ms / J_PER_KWH


@dataclass(frozen=True, slots=True)
class _Edge:
    seen_ms: int
    is_there: bool


@dataclass(frozen=True, slots=True)
class _Level:
    pct: float
    energy_wh: float
    power_w: float


@dataclass(frozen=True, slots=True)
class _Report:
    at_ms: int
    epoch: int
    number: int
    told: _Level
    floor_pct: int


class LampCourse:
    """What happens to one lamp, put into order for as long as the log may be behind."""

    def __init__(self, lamp: ReplayedLamp, from_ms: int, to_ms: int, most_silent_ms: int) -> None:
        self.figures = Figures()
        self._lamp = lamp
        self._from_ms, self._to_ms = from_ms, to_ms
        self._most_silent_ms = most_silent_ms
        self._pending: list[tuple[int, int, int, int, object]] = []
        self._given = 0
        self._now = lamp.begin_ms
        self._last: _Report | None = None
        self._seen = 0  # records since then
        self._mark = Sums()
        self._final: Sums | None = None
        self._begun = False

    def record(self, reading: Reading, arrived_ms: int) -> None:
        """Anything that its node told, and when that came."""
        if reading.observed_at_ms >= self._now - LATE_MS:
            self._put(reading.observed_at_ms, reading.key, _kept(reading, arrived_ms))

    def order(self, at_ms: int, op: int, args: tuple[int, ...]) -> None:
        """Something that its node is told to do."""
        self._put(at_ms, _ORDER, (op, args))

    def configure(self, at_ms: int, values: Mapping[int, int | bytes]) -> None:
        """What its node is told to keep."""
        self._put(at_ms, _CONFIG, values)

    def run(self, until_ms: int) -> None:
        """All that happened before a time."""
        pending = self._pending
        while pending and (pending[0][0] <= until_ms or len(pending) > MOST_PENDING):
            at_ms, epoch, number, _, what = heappop(pending)
            at_ms = max(at_ms, self._now)
            self._reach(max(at_ms, what.seen_ms) if isinstance(what, _Edge) else at_ms)
            if isinstance(what, tuple):
                self._lamp.command(self._now, *what)
                continue
            if isinstance(what, Mapping):
                self._lamp.configure(self._now, what)
                continue
            self._seen += 1
            if isinstance(what, _Edge):
                self._lamp.sense(self._now, is_there=what.is_there)
            elif isinstance(what, _Level):
                floor_pct = self._lamp.floor_pct(self._now)
                self._report(_Report(self._now, epoch, number, what, floor_pct))
        self._reach(max(until_ms, self._now))

    def _put(self, at_ms: int, key: Key, what: object) -> None:
        self._given += 1
        heappush(self._pending, (at_ms, key.epoch, key.number, self._given, what))

    def _reach(self, at_ms: int) -> None:
        """Let the lamp run until then; what counts begins and ends with the span."""
        if not self._begun and at_ms >= self._from_ms:
            self._begun = True
            self._lamp.count_from(self._from_ms)
        if self._final is None and at_ms >= self._to_ms:
            self._lamp.advance(self._to_ms)
            self._final = self._sums()
        if self._final is None:
            self._lamp.advance(at_ms)
        self._now = at_ms

    def _sums(self) -> Sums:
        if self._final is not None:
            return self._final
        if not self._begun:
            return Sums()
        lamp = self._lamp
        return Sums(lamp.pct_ms, lamp.lit_ms, lamp.low_ms)

    def _report(self, now: _Report) -> None:
        figures, told, before = self.figures, now.told, self._last
        if told.power_w > 0:
            figures.is_metered = True
            if told.pct > 0:
                figures.power.add(told.pct, told.power_w)
        if self._from_ms <= now.at_ms < self._to_ms:
            figures.reports += 1
            figures.alike += abs(self._lamp.level / 10 - told.pct) <= ALIKE_PCT + ROUNDED_PCT
        mark, self._mark = self._mark, self._sums()
        if before is not None and self._is_whole(before, now):
            self._count(before, now, mark)
        self._last, self._seen = now, 0

    def _is_whole(self, before: _Report, now: _Report) -> bool:
        return (
            now.epoch == before.epoch
            and self._seen >= now.number - before.number > 0
            and now.at_ms - before.at_ms <= self._most_silent_ms
            and now.told.energy_wh >= before.told.energy_wh
        )

    def _count(self, before: _Report, now: _Report, mark: Sums) -> None:
        """From one report to the next; at the span's ends the part that is in it."""
        known_ms = min(now.at_ms, self._to_ms) - max(before.at_ms, self._from_ms)
        if known_ms <= 0:
            return
        figures, would, did = self.figures, self.figures.would, self.figures.did
        figures.known_ms += known_ms
        wh = now.told.energy_wh - before.told.energy_wh
        figures.counted_wh += wh * known_ms / (now.at_ms - before.at_ms)
        figures.is_metered = figures.is_metered or wh > 0
        would.pct_ms += self._mark.pct_ms - mark.pct_ms
        would.lit_ms += self._mark.lit_ms - mark.lit_ms
        would.low_ms += self._mark.low_ms - mark.low_ms
        did.pct_ms += before.told.pct * known_ms
        if before.told.pct + ROUNDED_PCT < before.floor_pct:
            did.low_ms += known_ms


def _kept(reading: Reading, arrived_ms: int) -> _Edge | _Level | None:
    """What of a record is needed. A motion's likeliest instant is its arrival, within its interval.

    None: nothing but that it was there.
    """
    if reading.kind == REPORT:
        return _Level(*(_number(reading, name) for name in ("level_pct", "energy_wh", "power_w")))
    edge = EDGES.get(str(reading.values.get("event"))) if reading.kind == "event" else None
    if edge is None:
        return None
    observed_ms, half_ms = reading.observed_at_ms, reading.uncertainty_ms
    return _Edge(min(max(arrived_ms, observed_ms - half_ms), observed_ms + half_ms), edge)


def _number(reading: Reading, name: str) -> float:
    value = reading.values.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0
