"""The life of a leak's alarm as it is told: raised, grown, critical, cleared.

What stands may change with a read that comes late; what was told is followed up: an alarm that
stands no more is cleared, one whose size is another now is told again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kerbline.control.leaks.watch import Standing
from kerbline.model import Finding, Severity, Value

VERSION = 1
HOUR_MS = 3_600_000
AGAIN_MS = 24 * HOUR_MS  # a leak that runs is told once a day,
SOON_MS = 3 * HOUR_MS  # and as soon as its size is another by so much
OTHER_SIZE = 1.3
UNSAID = frozenset(["use_lph"])  # what the households of a zone use is told by the hour alone


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a leak is critical."""

    lph: float
    litres: float


@dataclass(frozen=True, slots=True)
class Told:
    """The last that was told of an alarm."""

    severity: Severity
    at_ms: int
    evidence: Mapping[str, Value]

    @property
    def lph(self) -> float:
        """Its size then."""
        found = self.evidence.get("lph", 0)
        return float(found) if isinstance(found, int | float) else 0.0


Name = tuple[str, str]  # asset and rule


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one district: its zone, what is critical there, and the valve that somebody may close."""

    zone: str
    step_ms: int
    network: Limits
    meter: Limits
    valve: str = ""


def due(
    told: Mapping[Name, Told], standing: Sequence[tuple[str, Standing]], now_ms: int, terms: Terms
) -> Iterator[Finding]:
    """What is to be told of alarms by their asset; `now_ms` is how far was looked, and dates it.

    The step that raised an alarm may be older, where a late read did.
    """
    up: set[Name] = set()
    for asset, each in standing:
        name = asset, each.rule
        up.add(name)
        before = told.get(name)
        severity = _severity(each, terms, before)
        if before is None or _is_news(before, each, severity, now_ms):
            yield Finding(asset, each.rule, True, severity, now_ms, evidence(each, terms))
    for name, before in told.items():
        if name not in up:
            ended = {**before.evidence, "cleared_ms": now_ms}
            yield Finding(*name, False, before.severity, now_ms, ended)


def evidence(each: Standing, terms: Terms) -> dict[str, Value]:
    """What was seen, how sure that is, and what was lost so far."""
    found: dict[str, Value] = {
        "version": VERSION,
        "zone": terms.zone,
        "lph": _rounded(each.lph),
        "lost_l": round(each.litres),
        "sure_pct": math.floor(each.sure_pct * 10) / 10,  # 99.97 is not sure
        "since_ms": each.since * terms.step_ms,
        "raised_ms": (each.raised + 1) * terms.step_ms,
    }
    for name, value in each.seen.items():
        if name not in UNSAID and math.isfinite(value):
            found[name] = _rounded(value)
    if terms.valve:
        found["valve"] = terms.valve
    return found


def _severity(each: Standing, terms: Terms, before: Told | None) -> Severity:
    """An alarm grows more severe, and no less."""
    limits = terms.network if each.subject < 0 else terms.meter
    grave = each.lph >= limits.lph or each.litres >= limits.litres
    was = before is not None and before.severity is Severity.CRITICAL
    return Severity.CRITICAL if grave or was else Severity.WARNING


def _is_news(before: Told, each: Standing, severity: Severity, now_ms: int) -> bool:
    if severity is not before.severity:
        return True
    passed_ms = now_ms - before.at_ms
    low, high = sorted((max(before.lph, 0.01), max(each.lph, 0.01)))
    return passed_ms >= AGAIN_MS or (passed_ms >= SOON_MS and high >= OTHER_SIZE * low)


def _rounded(value: float) -> float:
    """Three digits are enough."""
    if value == 0:
        return 0.0
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return round(value, min(digits, 6))
