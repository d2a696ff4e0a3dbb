"""What operators took for usual in a district: its alarms that are no leaks, since which step.

An operator's word is an alarm's end in the log, with `accepted_ms` in its evidence. It counts from
there on, so that a kill forgets none that was answered, and what is read again counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kerbline.control.leaks.alarm import Told
from kerbline.model import Alarm, Finding

ACCEPTED = "accepted_ms"  # the end of the step after which it is usual


class Usual:
    """Those of one district, by their rules."""

    def __init__(self, zone: str, step_ms: int, saved: Mapping[str, Any]) -> None:
        """`saved` as it was given, or nothing."""
        self._zone = zone
        self._step_ms = step_ms
        self._taken = int(saved.get("taken", 0))  # of the log
        self._rules: dict[int, set[str]] = {
            int(step): set(rules) for step, rules in saved.get("steps", {}).items()
        }
        self._from_ms: dict[str, int] = dict(saved.get("from_ms", {}))
        self._asked: set[str] = set()

    def at(self, step: int) -> Collection[str]:
        """Rules of which nothing is a leak that they saw up to this step."""
        return self._rules.get(step, ())

    def from_ms(self, rule: str) -> int | None:
        """Since when an alarm that is over is usual, by the log."""
        return None if rule in self._asked else self._from_ms.get(rule)

    def is_asked(self, rule: str) -> bool:
        """Has an operator said so, and the log not got it yet?"""
        return rule in self._asked

    def ask(self, rule: str, told: Told, step: int, now_ms: int) -> Finding:
        """An operator says so after `step`: what the log has to get."""
        self._asked.add(rule)
        from_ms = (step + 1) * self._step_ms
        evidence = {**told.evidence, "cleared_ms": now_ms, ACCEPTED: from_ms}
        return Finding(self._zone, rule, False, told.severity, now_ms, evidence)

    def take(self, alarm: Alarm, seq: int, first: int) -> int | None:
        """An alarm of the district's in the log; the step of which it says something new, if any.

        That is none before `first`, which the detectors can't look at again.
        """
        from_ms = alarm.evidence.get(ACCEPTED)
        if alarm.active:
            self._from_ms.pop(alarm.rule, None)
        if alarm.active or not isinstance(from_ms, int):
            return None
        self._asked.discard(alarm.rule)
        self._from_ms[alarm.rule] = from_ms
        if seq <= self._taken:
            return None
        self._taken = seq
        step = max(from_ms // self._step_ms - 1, first)
        self._rules.setdefault(step, set()).add(alarm.rule)
        return step

    def forget(self) -> None:
        """All of the log is read again."""
        self._taken = 0
        self._rules.clear()

    def saved(self, first: int) -> Mapping[str, Any]:
        """All of it as JSON carries it over a restart; what is before `first` has been said."""
        rules = {str(step): sorted(each) for step, each in self._rules.items() if step >= first}
        return {"taken": self._taken, "steps": rules, "from_ms": dict(self._from_ms)}
