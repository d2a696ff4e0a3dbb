"""Stations of air: each hour and day told once, and the alarms that follow from what was told.

What a station's state is follows from the log alone: samples wait in their hours, and an hour is
closed by its own figure in the log. At most one thing of a station is on its way into the log, so
whatever is worked out next stands on what is durable. Time is an argument: street time, ms since
1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerbline.control.air import alarms, correct, events, ozone, told, validity
from kerbline.control.air.averages import HOUR_MS, HOURS_A_DAY
from kerbline.control.air.events import Threshold
from kerbline.control.air.hour import Samples, Seen, place, restored, seen
from kerbline.control.air.report import (
    DAY_KIND,
    HOUR_KIND,
    HUMIDITY,
    NAMES,
    PM2_5,
    SURE_MS,
    TEMPERATURE,
    sound,
)
from kerbline.control.air.sensor_types import SENSOR_TYPES
from kerbline.control.latest import Latest
from kerbline.model import Alarm, Finding, Reading, Value

FORMAT = 1  # of what `saved` gives
FAULTY_PCT = 50  # of an hour's samples
KEPT_H = 72  # of told hours: three days are the longest that a threshold looks back
SILENT_H = 48  # so long an hour waits for what a silent station kept
BESIDE_H = 2  # whose mean is older is no neighbour
AHEAD_MS = 600_000  # further in the future is a clock that is wrong


@dataclass(frozen=True, slots=True)
class Setting:
    """What config and assets say of a station."""

    period_min: int = 15  # a sample stands for no longer
    southern: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all stations. `sensor_type`: of SENSOR_TYPES, or of none."""

    sensor_type: str = "none"
    reference: str = ""
    together: frozenset[str] = frozenset()  # stations in the same air
    wait_ms: int = 900_000
    thresholds: tuple[Threshold, ...] = events.EU_2024


@dataclass(frozen=True, slots=True)
class Figure:
    """A reading of ours that is due: of an hour or a day that ended at `end_ms`."""

    asset: str
    kind: str
    end_ms: int
    values: Mapping[str, Value]


@dataclass(slots=True)
class Station:
    """What is remembered of one."""

    next: int = -1  # the first hour that is not closed; -1: nothing came yet
    day: int = -1  # the first day that is not
    newest_ms: int = -1
    back_ms: int = -1  # when it was heard after a silence
    late: int = 0
    hours: dict[int, Samples] = field(default_factory=dict)
    told: dict[int, dict[str, float]] = field(default_factory=dict)  # means, by hour
    faults: dict[int, str] = field(default_factory=dict)  # of the sensor, by hour; "" is none
    o3: ozone.Past = field(default_factory=ozone.Past)
    sensor: validity.State = field(default_factory=validity.State)
    taught: correct.State = field(default_factory=correct.State)
    taught_day: int = -1
    reference: tuple[int, float] | None = None  # a day and its mean, of the reference alone
    alarms: set[str] = field(default_factory=set)  # that stand, by the log
    on_its_way: bool = False  # something that is not in the log yet
    is_judged: bool = False  # all alarms are as what was told wants them

    def saved(self) -> dict[str, Any]:
        """As JSON carries it over a restart."""
        return {
            "next": self.next,
            "day": self.day,
            "newest_ms": self.newest_ms,
            "back_ms": self.back_ms,
            "late": self.late,
            "hours": {str(hour): samples.saved() for hour, samples in self.hours.items()},
            "told": {str(hour): means for hour, means in self.told.items()},
            "faults": {str(hour): flags for hour, flags in self.faults.items()},
            "o3": [self.o3.last, self.o3.ppb],
            "sensor": validity.saved(self.sensor),
            "taught": correct.saved(self.taught),
            "taught_day": self.taught_day,
            "reference": self.reference,
            "alarms": sorted(self.alarms),
        }


def station_of(saved: Mapping[str, Any]) -> Station:
    """A station from what `saved` gave."""
    reference = saved["reference"]
    past = saved.get("o3", [-1, []])  # older notes have none
    return Station(
        saved["next"],
        saved["day"],
        saved["newest_ms"],
        saved["back_ms"],
        saved["late"],
        {int(hour): restored(samples) for hour, samples in saved["hours"].items()},
        {int(hour): dict(means) for hour, means in saved["told"].items()},
        {int(hour): flags for hour, flags in saved["faults"].items()},
        ozone.Past(past[0], tuple(past[1])),
        validity.restored(saved["sensor"]),
        correct.restored(saved["taught"]),
        saved["taught_day"],
        (reference[0], reference[1]) if reference else None,
        set(saved["alarms"]),
    )


class Stations:
    """All stations of a gateway."""

    def __init__(self, terms: Terms, saved: Mapping[str, Any] | None = None) -> None:
        """`saved` as it was given; what is of another format is as good as nothing."""
        self._terms = terms
        self._settings: Mapping[str, Setting] = {}
        self._stations: dict[str, Station] = {}
        self._latest = Latest()
        self._resumed_ms = -1
        if saved is not None and saved.get("format") == FORMAT:
            self._latest.seen_ms = saved["seen_ms"]
            self._stations = {name: station_of(each) for name, each in saved["stations"].items()}

    def serve(self, settings: Mapping[str, Setting]) -> None:
        """These are the stations from now on."""
        self._settings = settings
        for station in self._stations.values():
            station.is_judged = False

    def resume(self, now_ms: int) -> None:
        """The gateway runs again: after an outage hours wait anew, for what its nodes kept."""
        if now_ms - self._latest.seen_ms > HOUR_MS:
            self._resumed_ms = now_ms

    def take(self, reading: Reading, now_ms: int) -> None:
        """A reading of any asset; repeated, late and unordered ones do no harm."""
        setting = self._settings.get(reading.asset)
        at_ms = reading.observed_at_ms
        if setting is None or not 0 < at_ms <= now_ms + AHEAD_MS:
            return
        values = sound(reading)
        if not values or reading.uncertainty_ms > SURE_MS:
            return
        station = self._stations.setdefault(reading.asset, Station())
        hour, minute = place(at_ms)
        if station.next < 0:
            station.next = max(hour, place(now_ms)[0] - SILENT_H)
            station.day = station.next // HOURS_A_DAY
        if hour < station.next:
            station.late += 1
            return
        if at_ms - station.newest_ms > HOUR_MS:
            station.back_ms = now_ms
        station.newest_ms = max(station.newest_ms, at_ms)
        station.hours.setdefault(hour, Samples()).took(minute, at_ms, values)

    def due(self, now_ms: int) -> Sequence[Figure | Finding]:
        """What is to be put into the log, one thing of a station at a time."""
        if self._latest.is_behind(now_ms):
            if self._latest.was_wrong(now_ms):
                self._begin_anew(now_ms)
            return []
        found: list[Figure | Finding] = []
        for name, station in list(self._stations.items()):
            if station.on_its_way:
                continue
            item = next(self._next_of(name, station, now_ms), None)
            if item is not None:
                station.on_its_way = True
                found.append(item)
            elif name not in self._settings and not station.alarms:
                del self._stations[name]
        return found

    def closed(self, reading: Reading) -> None:
        """The log has a figure of ours: its hour or day is closed, whoever worked it out."""
        station = self._stations.get(reading.asset)
        if station is None:
            return
        station.on_its_way = station.is_judged = False
        last_hour = reading.observed_at_ms // HOUR_MS - 1
        if reading.kind == HOUR_KIND:
            self._close_hour(reading.asset, station, last_hour, reading.values)
        else:
            self._close_day(reading.asset, station, last_hour // HOURS_A_DAY, reading.values)

    def alarmed(self, alarm: Alarm) -> bool:
        """The log has an alarm of the gateway's own; is it one of air?"""
        station = self._stations.get(alarm.asset)
        if station is None or not alarm.rule.startswith("air_"):
            return False
        station.on_its_way = station.is_judged = False
        (station.alarms.add if alarm.active else station.alarms.discard)(alarm.rule)
        return True

    def told(self) -> dict[str, dict[str, int]]:
        """For the status: of each station the first hour that is open, and what came too late."""
        return {
            name: {"open_from_ms": station.next * HOUR_MS, "late_samples": station.late}
            for name, station in self._stations.items()
        }

    def saved(self) -> dict[str, Any]:
        """All of it as JSON carries it over a restart."""
        stations = {name: each.saved() for name, each in self._stations.items()}
        return {"format": FORMAT, "seen_ms": self._latest.seen_ms, "stations": stations}

    def _begin_anew(self, now_ms: int) -> None:
        """A clock was wrong: what it dated is forgotten, alarms stay to be cleared."""
        for name, station in list(self._stations.items()):
            self._stations[name] = Station(alarms=station.alarms)
        self._resumed_ms = now_ms

    # -------------------------------------------------------------- what is due

    def _next_of(self, name: str, station: Station, now_ms: int) -> Iterator[Figure | Finding]:
        """In the order in which one follows from the other: alarms, the day, the hour."""
        if not station.is_judged:
            thresholds = self._terms.thresholds if name in self._settings else None
            known = alarms.Known(station.told, station.faults, station.alarms)
            yield from alarms.due(name, known, thresholds, now_ms)
            station.is_judged = True
        setting = self._settings.get(name)
        if setting is None or station.next < 0:
            return
        if station.next // HOURS_A_DAY > station.day:
            yield from self._day(name, station, setting)
        hour = self._over(station, now_ms)
        if hour is not None:
            yield self._hour(name, station, setting, hour)

    def _over(self, station: Station, now_ms: int) -> int | None:
        """The hour that is to be told next, when it has waited for long enough."""
        hour = min(station.hours, default=None)
        if hour is None:
            return None
        end_ms, wait_ms = (hour + 1) * HOUR_MS, self._terms.wait_ms
        settled_ms = max(end_ms, station.back_ms, self._resumed_ms) + wait_ms
        is_over = station.newest_ms > end_ms and now_ms >= settled_ms
        return hour if is_over or now_ms >= end_ms + SILENT_H * HOUR_MS else None

    def _hour(self, name: str, station: Station, setting: Setting, hour: int) -> Figure:
        _, found = self._seen(name, station, setting, hour)
        corrected = None
        kind = SENSOR_TYPES.get(self._terms.sensor_type)
        day = _day_of(hour / HOURS_A_DAY, found.means)
        if kind is not None and name != self._terms.reference and day is not None:
            corrected = correct.hour(kind, station.taught, day, southern=setting.southern)
        values = told.hour_values(station.told, hour, found, corrected, station.late, station.o3)
        return Figure(name, HOUR_KIND, (hour + 1) * HOUR_MS, values)

    def _seen(
        self, name: str, station: Station, setting: Setting, hour: int
    ) -> tuple[validity.State, Seen]:
        beside = self._beside(name, hour) if name in self._terms.together else ()
        samples = station.hours.get(hour, Samples())
        return seen(samples, setting.period_min, station.sensor, beside)

    def _beside(self, name: str, hour: int) -> list[float]:
        """The latest told means of what stands in the same air."""
        found = []
        for other in sorted(self._terms.together - {name}):
            hours = self._stations[other].told if other in self._stations else {}
            latest = [each for each in hours if hour - BESIDE_H < each <= hour]
            if latest and PM2_5 in hours[max(latest)]:
                found.append(hours[max(latest)][PM2_5])
        return found

    def _day(self, name: str, station: Station, setting: Setting) -> Iterator[Figure]:
        values = told.day_values(station.told, station.day)
        if not values:
            station.day = station.next // HOURS_A_DAY  # it was silent for days
            return
        corrected = self._corrected(name, station, setting, station.day, values)
        told_values = told.with_interval(values, corrected[1] if corrected else None)
        yield Figure(name, DAY_KIND, (station.day + 1) * HOURS_A_DAY * HOUR_MS, told_values)

    def _corrected(
        self, name: str, station: Station, setting: Setting, day: int, values: Mapping[str, Value]
    ) -> tuple[correct.State, correct.Corrected] | None:
        kind = SENSOR_TYPES.get(self._terms.sensor_type)
        means = _numbers(values)
        found = _day_of(float(day), means)
        if kind is None or name == self._terms.reference or found is None:
            return None
        return correct.correct(kind, station.taught, found, southern=setting.southern)

    # -------------------------------------------------------------- what is closed

    def _close_hour(
        self, name: str, station: Station, hour: int, values: Mapping[str, Value]
    ) -> None:
        if hour < station.next:
            return
        setting = self._settings.get(name, Setting())
        station.sensor = self._seen(name, station, setting, hour)[0]
        station.next = hour + 1
        if station.day < 0:
            station.day = hour // HOURS_A_DAY
        late = values.get("late_samples", 0)
        station.late = max(0, station.late - late) if isinstance(late, int) else 0
        station.told[hour] = _means(values)
        station.o3 = station.o3.took(hour, told.ozone_ppb(station.told[hour]))
        if "pm2_5_believed_pct" in values:
            share = _numbers(values).get("faulty_pct", 0)
            station.faults[hour] = str(values["flags"]) if share >= FAULTY_PCT else ""
        for kept in (station.told, station.faults):
            for old in [each for each in kept if each <= hour - KEPT_H]:
                del kept[old]
        for old in [each for each in station.hours if each <= hour]:
            del station.hours[old]

    def _close_day(
        self, name: str, station: Station, day: int, values: Mapping[str, Value]
    ) -> None:
        if day < station.day:
            return
        setting = self._settings.get(name, Setting())
        corrected = self._corrected(name, station, setting, day, values)
        if corrected is not None:
            station.taught, station.taught_day = corrected[0], day
        station.day = day + 1
        reference = self._stations.get(self._terms.reference)
        mean = values.get(PM2_5)
        if station is reference and isinstance(mean, int | float):
            station.reference = day, float(mean)
            for each in self._stations.values():
                self._learn(each, reference)
        elif reference is not None:
            self._learn(station, reference)

    def _learn(self, station: Station, reference: Station) -> None:
        """What was told of a day is learned from when the reference's own day is in the log."""
        if reference.reference is not None and station.taught_day == reference.reference[0]:
            station.taught = correct.learn(station.taught, reference.reference[1])


def _numbers(values: Mapping[str, Value]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _means(values: Mapping[str, Value]) -> dict[str, float]:
    """The means of an hour's figure."""
    return {
        name: value
        for name, value in _numbers(values).items()
        if name == told.CORRECTED or name in NAMES
    }


def _day_of(day: float, means: Mapping[str, float]) -> correct.Seen | None:
    """What the correction takes; None where one of the three is missing or can't be."""
    if PM2_5 not in means or HUMIDITY not in means or TEMPERATURE not in means:
        return None
    return correct.plausible(correct.Seen(day, means[PM2_5], means[HUMIDITY], means[TEMPERATURE]))
