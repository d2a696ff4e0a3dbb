"""One district of the agent's: its config, its meters, its detectors, and what was told of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from kerbline.assets import Registry
from kerbline.assets.asset import WATER
from kerbline.config import District as Config
from kerbline.control import leaks, zone_water
from kerbline.control.leaks import alarm, district, tally
from kerbline.control.leaks.alarm import Limits, Name, Terms, Told
from kerbline.control.leaks.balances import Balances
from kerbline.control.leaks.district import INFLOW, District, Members
from kerbline.control.leaks.watch import ZONE, Setting
from kerbline.model import Alarm, Finding, Reading, Severity, Value

FORMAT = 1
AHEAD_MS = 600_000  # further in the future is a clock that is wrong

log = logging.getLogger("kerbline.agent")


class Zone:
    """A district at work. `taken` is how far of the log it has."""

    def __init__(
        self, config: Config, registry: Registry | None, noted: Mapping[str, Any], head: int
    ) -> None:
        self.config = config
        self.taken = 0  # a store that has forgotten its first batches begins with the next
        self._registry = registry
        self._step_ms = config.step_min * 60_000
        self._noted: Mapping[str, Any] = noted if noted.get("format") == FORMAT else {}
        self._told: dict[Name, Told] = {}
        self._issued: set[tuple[Name, bool, int]] = set()  # by us, and not in the log yet
        self._accepted: set[int] = set()  # steps
        pipes = None if config.pipes is None else tally.Pipes(**asdict(config.pipes))
        self._balances = Balances(self._step_ms, pipes, self._noted.get("balances", {}))
        self._members = Members((), ())
        self._district: District | None = None
        if self._noted:
            self.taken = min(self._noted["district"]["after"], head)
            self._told = {
                (asset, rule): Told(Severity(severity), at_ms, evidence)
                for asset, rule, severity, at_ms, evidence in self._noted["told"]
            }
            self._accepted = set(self._noted.get("accepted", ()))
        valve = "" if config.valve is None else config.valve.asset
        network = Limits(config.critical_lph, config.critical_l)
        meter = Limits(config.meter_critical_lph, config.meter_critical_l)
        self._terms = Terms(config.zone, self._step_ms, network, meter, valve)

    @property
    def first_ms(self) -> int:
        """What is older is in the detectors for good."""
        return max(0, 0 if self._district is None else self._district.first) * self._step_ms

    def serve(self) -> None:
        """Take up the zone's meters as the list of assets has them now."""
        members = self._listed()
        if self._district is not None and members == self._members:
            return
        saved = self._noted.get("district")
        if self._district is not None:
            saved = self._district.saved(self.taken)
            self.taken = saved["after"]
        config = self.config
        self._members = members
        self._balances.serve(len(members.names), sum(members.tallied))
        has_inflow = config.inflow is not None
        setting = Setting(
            *(len(members.names), config.step_min, has_inflow, config.inflow_alone),
            *(_slots(config), self._is_planned, self._accepted.__contains__),
        )
        wait_steps = math.ceil(config.wait_min / config.step_min)
        self._district = District(setting, members, wait_steps, saved)
        self._noted = {}
        before = () if saved is None else saved.get("meters", ())
        others = sorted(set(members.names).symmetric_difference(before)) if before else []
        if others:
            log.warning(
                *("district %s: %d meters now, %d before; other: %s", config.zone),
                *(len(members.names), len(before), ", ".join(others[:8])),
            )
        if saved is not None and "state" in saved and self._district.first < 0:
            log.warning("district %s: it is learned anew, from all of the log", config.zone)
            self.taken = 0

    def routes(self) -> Iterator[tuple[str, int]]:
        """Whose readings count, and as which meter."""
        if self.config.inflow is not None:
            yield self.config.inflow, INFLOW
        for number, name in enumerate(self._members.names):
            yield name, number

    def take(self, meter: int, reading: Reading, came_ms: int, seq: int) -> Iterator[None]:
        """A reading of one of its meters, to be iterated to its end."""
        at_ms = reading.observed_at_ms
        litres = self._litres(meter, reading)
        if litres is None or self._district is None or reading.uncertainty_ms > self._step_ms // 2:
            return
        if at_ms < 0 or at_ms > came_ms + AHEAD_MS:
            return
        yield from self._district.take(meter, at_ms, litres, seq)
        if meter != INFLOW:
            for end_ms, then_l in zone_water.hour_ends(reading, round(litres)):
                yield from self._district.take(meter, end_ms - 1, then_l, seq, at_most=True)
        if self._district.days:
            self._balances.add(self._district.days, self._district.newest * self._step_ms)
            self._district.days = []

    def judge(self) -> Iterator[None]:
        """Look at what is over, to be iterated to its end; late reads wait for the next step."""
        if self._district is not None and self._district.is_due:
            yield from self._district.judge()

    def findings(self) -> Iterator[Finding]:
        """What is to be told of leaks."""
        one = self._district
        if one is None or one.judged < 0:
            return
        standing = [
            (self.config.zone if each.subject == ZONE else self._members.names[each.subject], each)
            for each in one.standing()
        ]
        yield from alarm.due(self._told, standing, one.judged * self._step_ms, self._terms)

    def issued(self, finding: Finding) -> None:
        """It was told; the log will have it."""
        name = finding.asset, finding.rule
        self._issued.add((name, finding.active, finding.observed_at_ms))
        self._tell(name, finding)

    def was_told(self, told: Alarm) -> None:
        """The log has it."""
        name = told.asset, told.rule
        mark = name, told.active, told.observed_at_ms
        if mark in self._issued:  # we know of it since, and maybe of what came after
            self._issued.discard(mark)
        else:
            self._tell(name, told)

    @property
    def has_balance_alarm(self) -> bool:
        """Is one of the network up?"""
        return (self.config.zone, leaks.BALANCE) in self._told

    def accept(self, alarm_name: str) -> int | None:
        """What `asset:rule` tells is no leak; when that holds from, None where it can't be so."""
        if alarm_name != f"{self.config.zone}:{leaks.BALANCE}" or not self.has_balance_alarm:
            return None
        if self._district is None or self._district.judged < 0:
            return None  # it has only just started
        self._accepted.add(self._district.judged)
        return (self._district.judged + 1) * self._step_ms

    def figure(self, reading: Reading) -> None:
        """The log has an hour of the zone's households, or a balance of ours."""
        self._balances.figure(reading)

    def balances(self) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """Days' figures that are due, by their ends, each once."""
        if self._district is not None:
            yield from self._balances.due(self._district.newest * self._step_ms)

    def told(self) -> Mapping[str, Any]:
        """For the status."""
        one = self._district
        flow = float("nan") if one is None else one.inflow_lph()
        return {
            "zone": self.config.zone,
            "judged_ms": -1 if one is None or one.judged < 0 else one.judged * self._step_ms,
            "learning": one is None or one.learning,
            "inflow_lph": None if math.isnan(flow) else round(flow),
            "meters": len(self._members.names),
            "read_meters": 0 if one is None else one.read_meters(),
            "too_late": 0 if one is None else one.too_late,
            "alarms": [
                {"asset": asset, "rule": rule, "severity": each.severity, **each.evidence}
                for (asset, rule), each in sorted(self._told.items())
            ],
            "balance": self._balances.told(),
        }

    def saved(self) -> Mapping[str, Any]:
        """All of it as JSON carries it over a restart."""
        empty = {"after": self.taken, "format": district.FORMAT, "step_min": self.config.step_min}
        one = self._district
        return {
            "format": FORMAT,
            "district": empty if one is None else one.saved(self.taken),
            "told": [
                [*name, each.severity, each.at_ms, dict(each.evidence)]
                for name, each in self._told.items()
            ],
            "balances": self._balances.saved(),
            "accepted": sorted(self._accepted),
        }

    def _tell(self, name: Name, told: Alarm | Finding) -> None:
        if told.active:
            self._told[name] = Told(told.severity, told.observed_at_ms, told.evidence)
        else:
            self._told.pop(name, None)

    def _litres(self, meter: int, reading: Reading) -> float | None:
        if meter != INFLOW:
            return zone_water.totaliser_l(reading.values)
        name = self.config.inflow_value
        value = reading.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        litres = value * 1000 if name.endswith("_m3") else value
        return float(litres) if math.isfinite(litres) and litres >= 0 else None

    def _listed(self) -> Members:
        registry, names = self._registry, self.config.meters
        if registry is None:
            return Members(names, (True,) * len(names))
        if not names and registry.lost:  # it would be another district until it is found again
            known = self._noted.get("district", {}).get("meters", ())
            names = self._members.names or tuple(known)
        elif not names:
            served = [each for each in registry.served() if each.zone == self.config.zone]
            water = sorted(each.id for each in served if each.type == WATER)
            names = tuple(name for name in water if name != self.config.inflow)
        return Members(names, tuple(not registry.personal(name) for name in names))

    def _is_planned(self, step: int) -> bool:
        from_ms, to_ms = step * self._step_ms, (step + 1) * self._step_ms
        return any(planned.spans(from_ms, to_ms) for planned in self.config.planned)


def _slots(config: Config) -> Callable[[int], int]:
    """A step's place in the local week; a holiday is a Sunday."""
    from zoneinfo import ZoneInfo

    zone = UTC if config.time_zone == "UTC" else ZoneInfo(config.time_zone)
    holidays = frozenset(day for day in config.holidays if isinstance(day, date))
    day_steps = 1440 // config.step_min

    def slot(step: int) -> int:
        at = datetime.fromtimestamp(step * config.step_min * 60, zone)
        day = 6 if at.date() in holidays else at.weekday()
        return day * day_steps + (at.hour * 60 + at.minute) // config.step_min

    return slot
