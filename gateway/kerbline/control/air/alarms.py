"""What begins or ends at a station by the hours that were told: thresholds, and its sensor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kerbline.control.air import events, told, validity
from kerbline.control.air.averages import HOUR_MS
from kerbline.control.air.events import Threshold
from kerbline.model import Finding, Severity, Value

FAULT_RULE = "air_sensor_fault"
FAULT_H = 3  # hours in a row that begin or end it


@dataclass(frozen=True, slots=True)
class Known:
    """What the log says of a station."""

    told: told.Hours
    faults: Mapping[int, str]  # of the sensor, by hour; "" is none
    alarms: Collection[str]  # that stand, by their rules


def due(
    name: str, known: Known, thresholds: Sequence[Threshold] | None, now_ms: int
) -> Iterator[Finding]:
    """Each alarm that is not as it should be; no thresholds at all: it is no station any more."""
    wanted = {} if thresholds is None else {each.rule: each for each in thresholds}
    is_station = thresholds is not None
    for rule in sorted(set(known.alarms) - wanted.keys()):
        if rule != FAULT_RULE or not is_station:
            yield _gone(name, rule, now_ms)
    if not is_station or not known.told:
        return
    hour = max(known.told)
    by_pollutant = told.by_pollutant(known.told)
    for rule, threshold in wanted.items():
        hours = by_pollutant.get(threshold.pollutant, {})
        before = rule in known.alarms
        if events.stands(threshold, hours, hour, before) != before:
            yield _exceeded(name, threshold, hours, hour, active=not before)
    before = FAULT_RULE in known.alarms
    latest = [known.faults[each] for each in sorted(known.faults)[-FAULT_H:]]
    if len(latest) == FAULT_H and all(bool(flags) != before for flags in latest):
        yield _faulty(name, latest, hour, active=not before)


def _faulty(name: str, latest: Sequence[str], hour: int, *, active: bool) -> Finding:
    flags = " ".join(dict.fromkeys(" ".join(latest).split()))
    evidence: dict[str, Value] = {"version": validity.VERSION, "hours": len(latest), "flags": flags}
    at_ms = (hour + 1) * HOUR_MS
    return Finding(name, FAULT_RULE, active, Severity.WARNING, at_ms, evidence)


def _exceeded(
    name: str, threshold: Threshold, hours: Mapping[int, float], hour: int, *, active: bool
) -> Finding:
    mean = events.mean(hours, hour, threshold.mean_h)
    evidence: dict[str, Value] = {
        "version": events.VERSION,
        "pollutant": threshold.pollutant,
        "mean_h": threshold.mean_h,
        "above_ugm3": threshold.above_ugm3,
        "hold_h": threshold.hold_h,
    }
    if mean is not None:
        evidence["mean_ugm3"] = round(mean, 2)
    severity = Severity.CRITICAL if threshold.critical else Severity.WARNING
    return Finding(name, threshold.rule, active, severity, (hour + 1) * HOUR_MS, evidence)


def _gone(name: str, rule: str, now_ms: int) -> Finding:
    """Nobody looks for it any more."""
    return Finding(name, rule, False, Severity.WARNING, now_ms, {"why": "not in the config"})
