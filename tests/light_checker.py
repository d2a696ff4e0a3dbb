"""What a lit street owes to those in it, recomputed from three files alone.

Nothing of kerbline is imported; the sun is the Astronomical Almanac's low-precision formula (0.01
degrees, some seconds of time). Demanded is, while the sun is below the horizon, every lamp at the
floor or above, and from 0.5 s after a user was first within `sensor_range_m` of any lamp, every
lamp within 60 m of it at full, until it leaves the street. The horizon is the sun's centre at
elevation 0: night for longer than with refraction (-0.833), so whoever passes here passes there.

.venv/bin/python -m tests.light_checker STREET.toml EVENTS.csv TRACE.csv
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
arrow_csv: Any = import_module("pyarrow.csv")  # its stubs do not know it

REACH_M = 60.0
GRACE_S = 0.5
DAY_S = 86_400


@dataclass(frozen=True)
class Street:
    """STREET.toml, as it stands there."""

    latitude: float
    longitude: float
    start_utc_s: float
    days: float
    lamps: int
    spacing_m: float
    lamp_w: float
    standby_fraction: float
    full_pct: float
    floor_pct: float
    sensor_range_m: float

    @property
    def end_s(self) -> float:
        """Seconds from the start to the end."""
        return self.days * DAY_S


@dataclass
class Verdict:
    """Seconds of violation, summed over the lamps, and energies in kWh."""

    floor_s: float = 0.0
    full_s: float = 0.0
    first: list[str] = field(default_factory=list)  # where the first violations were
    rows: int = 0
    dark_users: int = 0
    night_s: float = 0.0
    demanded_s: float = 0.0  # lamp seconds at full
    kwh: float = 0.0
    always_kwh: float = 0.0  # dusk-to-dawn at full
    clairvoyant_kwh: float = 0.0  # at full exactly while it is demanded, else at the floor
    standby_kwh: float = 0.0  # what of each of them is standby by day
    largest_step: float = 1.0  # the largest ratio between two levels of one fade, upwards or down

    @property
    def violation_s(self) -> float:
        """Of both kinds."""
        return self.floor_s + self.full_s

    def saved(self, *, standby_by_day: bool = True) -> tuple[float, float]:
        """Shares of dusk-to-dawn's energy that were saved, and that a clairvoyant saves."""
        off = 0.0 if standby_by_day else self.standby_kwh
        always = self.always_kwh - self.standby_kwh  # a lamp that is switched by its cabinet
        return 1 - (self.kwh - off) / always, 1 - (self.clairvoyant_kwh - off) / always


def read_street(path: Path) -> Street:
    """The keys that matter here."""
    keys: dict[str, Any] = tomllib.loads(path.read_text())["street"]
    start = keys["start"]
    if isinstance(start, str):
        start = datetime.fromisoformat(start)
    if not isinstance(start, datetime):
        start = datetime.combine(start, datetime.min.time())
    text = start.isoformat() if start.tzinfo else f"{start.isoformat()}+00:00"
    names = [name for name in Street.__dataclass_fields__ if name != "start_utc_s"]
    return Street(
        start_utc_s=datetime.fromisoformat(text).timestamp(), **{each: keys[each] for each in names}
    )


def elevation_deg(utc_s: Floats, latitude: float, longitude: float) -> Floats:
    """The height of the sun's centre, no refraction (Astronomical Almanac, page C5, to 0.01)."""
    n = utc_s / DAY_S - 10_957.5  # days since J2000
    mean = np.radians((280.460 + 0.9856474 * n) % 360)
    anomaly = np.radians((357.528 + 0.9856003 * n) % 360)
    ecliptic = mean + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 0.0000004 * n)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = np.radians((280.46062 + 360.98564737 * n + longitude) % 360)
    hour = sidereal - ascension
    north = np.radians(latitude)
    height = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(
        hour
    )
    return np.asarray(np.degrees(np.arcsin(height)), dtype=np.float64)


def nights(street: Street, horizon_deg: float = 0.0) -> list[tuple[float, float]]:
    """From sunset to sunrise in seconds from the start, cut at both ends of the run."""

    def height(at_s: Floats) -> Floats:
        utc_s = at_s + street.start_utc_s
        return elevation_deg(utc_s, street.latitude, street.longitude) - horizon_deg

    at_s = np.append(np.arange(0.0, street.end_s, 60.0), street.end_s)
    dark = height(at_s) < 0
    edges = []
    for index in np.flatnonzero(dark[1:] != dark[:-1]):
        low, high = at_s[index], at_s[index + 1]
        while high - low > 0.0005:
            middle = (low + high) / 2
            if (height(np.array([middle]))[0] < 0) == dark[index]:
                low = middle
            else:
                high = middle
        edges.append(float(high))
    if dark[0]:
        edges.insert(0, 0.0)
    if len(edges) % 2:
        edges.append(street.end_s)
    return list(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True)
class Users:
    """EVENTS.csv as columns."""

    t_s: Floats
    speed_mps: Floats
    enter_m: Floats
    direction: Floats


def read_users(path: Path) -> Users:
    """All of them."""
    table = arrow_csv.read_csv(path)
    names = ("t_s", "speed_mps", "enter_m", "direction")
    return Users(*(np.asarray(table[name], dtype=np.float64) for name in names))


def length_m(street: Street, users: Users) -> float:
    """Where the street ends: at its last lamp, or beyond it where users come from there."""
    longest = float(users.enter_m.max()) if len(users.enter_m) else 0.0
    return max((street.lamps - 1) * street.spacing_m, longest)


def seen_from_s(street: Street, users: Users, length: float) -> Floats:
    """When each was first within a sensor's range, infinite for one that never is."""
    stands = np.arange(street.lamps) * street.spacing_m
    first = np.full(len(users.t_s), np.inf)
    for at_m in stands:
        along = (at_m - users.enter_m) * users.direction  # ahead of where it came in
        leaves = np.where(users.direction > 0, length - users.enter_m, users.enter_m)
        begins = np.maximum(along - street.sensor_range_m, 0.0)
        sees = (begins <= np.minimum(along + street.sensor_range_m, leaves)) & (begins <= leaves)
        first = np.where(sees, np.minimum(first, users.t_s + begins / users.speed_mps), first)
    return first


def demanded(
    street: Street, users: Users, lamp: int, length: float, seen_s: Floats
) -> tuple[Floats, Floats]:
    """When one lamp must be at full: starts and ends, sorted and joined where they overlap."""
    along = (lamp * street.spacing_m - users.enter_m) * users.direction
    leaves = np.where(users.direction > 0, length - users.enter_m, users.enter_m)
    begin = users.t_s + np.maximum(along - REACH_M, 0.0) / users.speed_mps
    begin = np.maximum(begin, seen_s + GRACE_S)
    end = users.t_s + np.minimum(along + REACH_M, leaves) / users.speed_mps
    is_one = end > begin
    begin, end = begin[is_one], end[is_one]
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order]) if len(order) else end
    if not len(begin):
        return begin, end
    opens = np.append(True, begin[1:] > end[:-1])
    closes = np.append(opens[1:], True)
    return begin[opens], end[closes]


def cut(starts: Floats, ends: Floats, night: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """The parts of sorted, disjoint spans that are by night."""
    begins, stops = [], []
    for dusk, dawn in night:
        first = int(np.searchsorted(ends, dusk, side="right"))
        last = int(np.searchsorted(starts, dawn, side="left"))
        begins.append(np.maximum(starts[first:last], dusk))
        stops.append(np.minimum(ends[first:last], dawn))
    empty = np.zeros(0)
    return np.concatenate([empty, *begins]), np.concatenate([empty, *stops])


class Measure:
    """How much of a set of spans lies before a time: exact zero differences where none does."""

    def __init__(self, starts: Floats, ends: Floats):
        self._times = np.stack([starts, ends], axis=1).reshape(-1)
        before = np.concatenate([[0.0], np.cumsum(ends - starts)])
        self._sums = np.repeat(before, 2)[1:-1] if len(starts) else before
        self.total = float(before[-1])

    def until(self, at_s: Floats) -> Floats:
        """Seconds of the spans before each time."""
        if not len(self._times):
            return np.zeros(len(at_s))
        return np.asarray(np.interp(at_s, self._times, self._sums), dtype=np.float64)


def rows(path: Path) -> Iterator[tuple[Floats, NDArray[np.int64], Floats]]:
    """The trace in blocks of columns; it may be larger than memory."""
    options = arrow_csv.ReadOptions(block_size=1 << 24)
    for batch in arrow_csv.open_csv(path, read_options=options):
        yield (
            np.asarray(batch["t_s"], dtype=np.float64),
            np.asarray(batch["lamp"], dtype=np.int64),
            np.asarray(batch["level_pct"], dtype=np.float64),
        )


class Judge:
    """One lamp's levels against what is demanded of it, block by block."""

    def __init__(self, street: Street, lamp: int, night: Measure, demand: Measure):
        self._street, self._lamp = street, lamp
        self._night, self._demand = night, demand
        self._t_s, self._level = 0.0, 0.0  # dark until the trace says otherwise
        self.lit_s = self.pct_s = 0.0

    def take(self, at_s: Floats, level: Floats, verdict: Verdict) -> None:
        """Levels from times on; the last holds until the next block."""
        if not len(at_s):
            return
        if (np.diff(at_s) < 0).any() or at_s[0] < self._t_s:
            raise ValueError(f"lamp {self._lamp}: the trace is not in order of time")
        if not ((level >= 0) & (level <= 100)).all():
            raise ValueError(f"lamp {self._lamp}: a level is not within 0 .. 100")
        times = np.concatenate([[self._t_s], at_s])
        held = np.concatenate([[self._level], level[:-1]])
        spans = np.diff(times)
        self.pct_s += float(np.dot(held, spans))
        self.lit_s += float(spans[held > 0].sum())
        self._judge(times, held, verdict)
        pair = np.concatenate([[self._level], level])
        both = np.minimum(pair[1:], pair[:-1]) >= 1
        if both.any():
            ratio = np.maximum(pair[1:], pair[:-1])[both] / np.minimum(pair[1:], pair[:-1])[both]
            verdict.largest_step = max(verdict.largest_step, float(ratio.max()))
        self._t_s, self._level = float(at_s[-1]), float(level[-1])

    def end(self, verdict: Verdict) -> None:
        """The last level holds until the end."""
        self.take(np.array([self._street.end_s]), np.array([self._level]), verdict)

    def _judge(self, times: Floats, held: Floats, verdict: Verdict) -> None:
        for measure, least, is_floor in (
            (self._night, self._street.floor_pct, True),
            (self._demand, self._street.full_pct, False),
        ):
            low = held < least - 1e-9
            if not low.any():
                continue
            short = (measure.until(times[1:]) - measure.until(times[:-1]))[low]
            total = float(short.sum())
            if is_floor:
                verdict.floor_s += total
            else:
                verdict.full_s += total
            for index in np.flatnonzero(short > 0)[: max(0, 20 - len(verdict.first))]:
                at = np.flatnonzero(low)[index]
                verdict.first.append(
                    f"lamp {self._lamp} at {held[at]:g} % instead of {least:g} % for "
                    f"{short[index]:.3f} s between {times[at]:.3f} s and {times[at + 1]:.3f} s"
                )


def judged(street_path: Path, events_path: Path, trace_path: Path) -> Verdict:
    """Everything that three files tell."""
    street, users = read_street(street_path), read_users(events_path)
    verdict = Verdict()
    spans = nights(street)
    dusks, dawns = np.array([each[0] for each in spans]), np.array([each[1] for each in spans])
    night = Measure(dusks, dawns)
    verdict.night_s = night.total
    far = length_m(street, users)
    seen_s = seen_from_s(street, users, far)
    gone_s = users.t_s + np.where(users.direction > 0, far - users.enter_m, users.enter_m) / (
        users.speed_mps
    )
    dark = night.until(gone_s) > night.until(users.t_s)
    verdict.dark_users = int(dark.sum())
    users = Users(*(getattr(users, name)[dark] for name in Users.__dataclass_fields__))
    seen_s = seen_s[dark]
    demands = [
        Measure(*cut(*demanded(street, users, lamp, far, seen_s), spans))
        for lamp in range(street.lamps)
    ]
    judges = [Judge(street, lamp, night, demands[lamp]) for lamp in range(street.lamps)]
    for at_s, lamp, level in rows(trace_path):
        verdict.rows += len(at_s)
        if len(lamp) and not (lamp.min() >= 0 and lamp.max() < street.lamps):
            raise ValueError("the trace names a lamp that is not in the street")
        for judge in judges:
            mine = lamp == judge._lamp
            judge.take(at_s[mine], level[mine], verdict)
    for judge in judges:
        judge.end(verdict)
    _weigh(street, verdict, judges, sum(each.total for each in demands))
    return verdict


def _weigh(street: Street, verdict: Verdict, judges: list[Judge], demanded_s: float) -> None:
    """Energies: power is linear in the level, from standby to `lamp_w` at 100 %."""
    kws = street.lamp_w / 3.6e6
    standby, slope = street.standby_fraction, (1 - street.standby_fraction) / 100
    on_s = street.lamps * verdict.night_s
    total_s = street.lamps * street.end_s
    verdict.demanded_s = demanded_s
    verdict.standby_kwh = kws * standby * (total_s - on_s)
    verdict.always_kwh = kws * (standby * total_s + slope * street.full_pct * on_s)
    verdict.kwh = kws * (standby * total_s + slope * sum(each.pct_s for each in judges))
    pct_s = street.full_pct * demanded_s + street.floor_pct * (on_s - demanded_s)
    verdict.clairvoyant_kwh = kws * (standby * total_s + slope * pct_s)


def told(verdict: Verdict) -> str:
    """A verdict for a person."""
    saved, best = verdict.saved()
    bare, bare_best = verdict.saved(standby_by_day=False)
    return "\n".join(
        [
            f"{verdict.rows} rows, {verdict.dark_users} users in the dark",
            f"violation: floor {verdict.floor_s:.3f} s, full {verdict.full_s:.3f} s",
            f"saved {100 * saved:.2f} %, a clairvoyant {100 * best:.2f} %: "
            f"{100 * saved / best:.2f} % of it",
            f"without standby by day {100 * bare:.2f} %, {100 * bare_best:.2f} %: "
            f"{100 * bare / bare_best:.2f} % of it",
            f"largest step of a level: x {verdict.largest_step:.4f}",
            *verdict.first,
        ]
    )


def main() -> int:
    verdict = judged(*map(Path, sys.argv[1:4]))
    print(told(verdict))
    return 1 if verdict.violation_s else 0


if __name__ == "__main__":
    sys.exit(main())
