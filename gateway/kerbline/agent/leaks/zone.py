"""One district of the agent's: its config, its meters, its detectors, and what was told of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from kerbline.agent.leaks.columns import Columns
from kerbline.agent.leaks.usual import Usual
from kerbline.assets import Registry
from kerbline.assets.asset import WATER
from kerbline.config import District as Config
from kerbline.control import leaks, zone_water
from kerbline.control.leaks import alarm, district, tally
from kerbline.control.leaks.alarm import Limits, Name, Terms, Told
from kerbline.control.leaks.around import Neighbour
from kerbline.control.leaks.balances import Balances
from kerbline.control.leaks.district import INFLOW, District, Members
from kerbline.control.leaks.leap import Leap
from kerbline.control.leaks.watch import ZONE, Setting, Standing
from kerbline.model import Alarm, Finding, Reading, Severity, Value

FORMAT = 1
AHEAD_MS = 600_000  # further in the future is a clock that is wrong

log = logging.getLogger("kerbline.agent")


class Zone:
    """A district at work. `taken` is how far of the log it has."""

    def __init__(
        self,
        config: Config,
        registry: Registry | None,
        noted: Mapping[str, Any],
        head: int,
        near: Sequence[Config] = (),
    ) -> None:
        """`near`: its neighbours."""
        self.config = config
        self._near = near
        self._columns = Columns(config, near)
        self.taken = 0  # a store that has forgotten its first batches begins with the next
        self._registry = registry
        self._step_ms = config.step_min * 60_000
        self._noted: Mapping[str, Any] = noted if noted.get("format") == FORMAT else {}
        self._told: dict[Name, Told] = {}
        self._issued: set[tuple[Name, bool, int]] = set()  # by us, and not in the log yet
        self._usual = Usual(config.zone, self._step_ms, self._noted.get("usual", {}))
        self._has_sum = True  # are its households those of the zone's sum?
        pipes = None if config.pipes is None else tally.Pipes(**asdict(config.pipes))
        self._balances = Balances(self._step_ms, pipes, self._noted.get("balances", {}))
        self._members = Members((), (), self._columns.names)
        self._district: District | None = None
        self._leap = Leap(self._step_ms)
        if self._noted:
            self.taken = min(self._noted["district"]["after"], head)
            self._told = {
                (asset, rule): Told(Severity(severity), at_ms, evidence)
                for asset, rule, severity, at_ms, evidence in self._noted["told"]
            }
        valve = "" if config.valve is None else config.valve.asset
        network = Limits(config.critical_lph, config.critical_l)
        meter = Limits(config.meter_critical_lph, config.meter_critical_l)
        self._terms = Terms(config.zone, self._step_ms, network, meter, valve)

    @property
    def first_ms(self) -> int:
        """What is older is in the detectors for good."""
        one = self._leap.aside or self._district
        return max(0, 0 if one is None else one.first) * self._step_ms

    def serve(self) -> None:
        """Take up the zone's meters as the list of assets has them now."""
        members, self._has_sum = self._listed()
        if self._district is not None and members == self._members:
            return
        saved = self._noted.get("district")
        self._district, self._leap.aside = self._leap.aside or self._district, None
        if self._district is not None:
            saved = self._district.saved(self.taken)
            self.taken = saved["after"]
        config = self.config
        self._members = members
        self._balances.serve(len(members.names), sum(members.tallied), has_sum=self._has_sum)
        setting = Setting(
            *(len(members.names), config.step_min, config.signs, config.inflow_alone),
            *(_slots(config), self._planned(config), self._usual.at),
            tuple(Neighbour(each.signs, self._planned(each)) for each in self._near),
            config.temperature is not None,
        )
        wait_steps = math.ceil(config.wait_min / config.step_min)
        self._fresh = lambda: District(setting, members, wait_steps)
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
            self._usual.forget()

    def routes(self) -> Iterator[tuple[str, int]]:
        """Whose readings count, and as which meter."""
        for number, name in enumerate(self._columns.names):
            yield name, INFLOW - number
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
        one = self._leap.of(self._district, at_ms, came_ms, self._fresh)
        if one is not self._district:
            self._leapt(one)
        yield from self._district.take(meter, at_ms, litres, seq)
        if meter > INFLOW:
            for end_ms, then_l in zone_water.hour_ends(reading, round(litres)):
                yield from self._district.take(meter, end_ms - 1, then_l, seq, at_most=True)
        if self._district.days and self._leap.aside is None:
            self._balances.add(self._district.days, self._district.newest * self._step_ms)
            self._district.days = []

    def judge(self) -> Iterator[None]:
        """Look at what is over, to be iterated to its end; late reads wait for the next step."""
        if self._district is not None and self._district.is_due:
            yield from self._district.judge()

    def findings(self) -> Iterator[Finding]:
        """What is to be told of leaks."""
        one = self._district
        if one is None or one.judged < 0 or self._leap.aside is not None:
            return
        standing = [
            (asset, each)
            for asset, each in self._standing()
            if each.subject != ZONE or not self._usual.is_asked(each.rule)
        ]
        yield from alarm.due(self._told, standing, one.judged * self._step_ms, self._terms)

    def issued(self, finding: Finding) -> None:
        """It was told; the log will have it."""
        name = finding.asset, finding.rule
        self._issued.add((name, finding.active, finding.observed_at_ms))
        self._tell(name, finding)

    def was_told(self, told: Alarm, seq: int) -> None:
        """The log has it."""
        one = self._district
        if told.asset == self.config.zone and one is not None:
            step = self._usual.take(told, seq, one.first)
            if step is not None:
                one.mind(step)
        name = told.asset, told.rule
        mark = name, told.active, told.observed_at_ms
        if mark in self._issued:  # we know of it since, and maybe of what came after
            self._issued.discard(mark)
        else:
            self._tell(name, told)

    @property
    def usual(self) -> Usual:
        """What operators said of its alarms."""
        return self._usual

    def may_accept(self) -> list[str]:
        """Rules of alarms that are up and may be no leaks."""
        one = self._district
        is_known = one is not None and one.over >= 0 and self._leap.aside is None
        rules = (leaks.BALANCE, leaks.INFLOW) if is_known else ()
        return [rule for rule in rules if (self.config.zone, rule) in self._told]

    def accept(self, rule: str) -> Finding:
        """What is up by a rule is no leak: what the log has to get."""
        one, told = self._district, self._told[self.config.zone, rule]
        assert one is not None
        finding = self._usual.ask(rule, told, one.over, max(one.judged, 0) * self._step_ms)
        self.issued(finding)
        return finding

    def figure(self, reading: Reading) -> None:
        """The log has an hour of the zone's households, or a balance of ours."""
        self._balances.figure(reading)

    def balances(self) -> Iterator[tuple[int, Mapping[str, Value]]]:
        """Days' figures that are due, by their ends, each once."""
        if self._district is not None and self._leap.aside is None:
            yield from self._balances.due(self._district.newest * self._step_ms)

    def told(self) -> Mapping[str, Any]:
        """For the status."""
        one = self._district
        flow = float("nan") if one is None else one.inflow_lph()
        mains, silent = self.config.mains, () if one is None else one.silent()
        now = {
            (asset, each.rule): alarm.evidence(each, self._terms)
            for asset, each in self._standing()
        }
        return {
            "zone": self.config.zone,
            "judged_ms": -1 if one is None or one.judged < 0 else one.judged * self._step_ms,
            "learning": one is None or one.learning,
            "inflow_lph": None if math.isnan(flow) else round(flow),
            "silent": [mains[column] for column in silent if column < len(mains)],
            "meters": len(self._members.names),
            "read_meters": 0 if one is None else one.read_meters(),
            "too_late": 0 if one is None else one.too_late,
            "alarms": [
                {"asset": name[0], "rule": name[1], "severity": each.severity}
                | dict(now.get(name, each.evidence))  # it was told up to a day ago
                for name, each in sorted(self._told.items())
            ],
            "balance": self._balances.told(),
        }

    def saved(self) -> Mapping[str, Any]:
        """All of it as JSON carries it over a restart."""
        empty = {"after": self.taken, "format": district.FORMAT, "step_min": self.config.step_min}
        one = self._leap.aside or self._district
        return {
            "format": FORMAT,
            "district": empty if one is None else one.saved(self.taken),
            "told": [
                [*name, each.severity, each.at_ms, dict(each.evidence)]
                for name, each in self._told.items()
            ],
            "balances": self._balances.saved(),
            "usual": self._usual.saved(-1 if one is None else one.first),
        }

    def _leapt(self, one: District) -> None:
        what = "the clock is back: it goes on from before"
        if one.first < 0:
            what = "reads a month off those before: it is as new, until the clock is back"
        log.warning("district %s: %s", self.config.zone, what)
        self._district = one

    def _standing(self) -> list[tuple[str, Standing]]:
        """What is up by the detectors, by assets."""
        names, one = self._members.names, self._district
        return [
            (self.config.zone if each.subject == ZONE else names[each.subject], each)
            for each in (() if one is None else one.standing())
        ]

    def _tell(self, name: Name, told: Alarm | Finding) -> None:
        if told.active:
            self._told[name] = Told(told.severity, told.observed_at_ms, told.evidence)
        else:
            self._told.pop(name, None)

    def _litres(self, meter: int, reading: Reading) -> float | None:
        if meter > INFLOW:
            return zone_water.totaliser_l(reading.values)
        return self._columns.value(INFLOW - meter, reading)

    def _listed(self) -> tuple[Members, bool]:
        """The meters; and are their households those whose water the zone's sums have?"""
        registry, config = self._registry, self.config
        if registry is None:
            names = config.meters
            return Members(names, (True,) * len(names), self._columns.names), True
        names, has_sum = config.meters, self._has_sum
        if not registry.lost:
            served = [each for each in registry.served() if each.zone == config.zone]
            names = config.counted(each.id for each in served if each.type == WATER)
            homes = zone_water.members(registry).items()
            here = {name for name, home in homes if home.zone == config.zone}
            has_sum = here == {name for name in names if registry.personal(name)}
        elif not names:  # it would be another district until it is found again
            known = self._noted.get("district", {}).get("meters", ())
            names = self._members.names or tuple(known)
        tallied = tuple(not registry.personal(name) for name in names)
        return Members(names, tallied, self._columns.names), has_sum

    def _planned(self, config: Config) -> Callable[[int], bool]:
        """Of a step of ours: is water let out there on purpose?"""
        step_ms = self._step_ms
        return lambda step: any(
            planned.spans(step * step_ms, (step + 1) * step_ms) for planned in config.planned
        )


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
