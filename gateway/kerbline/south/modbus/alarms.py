"""The alarms of a device's profile: a value beyond its limit for so long, and back for as long.

Pure: time is an argument. A poll without the value proves nothing: what was about to begin or end
begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from kerbline.config import Register
from kerbline.config.modbus import AlarmRule
from kerbline.model import Finding, Severity, Value

VERSION = 1


class Alarm:
    """One rule on one value, and where it stands."""

    __slots__ = ("_hold_ms", "_rule", "_since_ms", "active", "name", "value_name")

    def __init__(self, rule: AlarmRule, value_name: str) -> None:
        self._rule = rule
        self._hold_ms = round(rule.hold_s * 1_000)
        self._since_ms: int | None = None  # when the value went over to the other side
        self.value_name = value_name
        self.name = rule.name
        self.active = False

    def step(self, asset: str, value: Value | None, at_ms: int) -> Finding | None:
        """What a poll's value begins or ends; None for a value that is missing."""
        if value is None or not self._other_side(value):
            self._since_ms = None
            return None
        if self._since_ms is None or at_ms < self._since_ms:
            self._since_ms = at_ms
        if at_ms - self._since_ms < self._hold_ms:
            return None
        since_ms, self._since_ms = self._since_ms, None
        self.active = not self.active
        return Finding(
            asset,
            self.name,
            self.active,
            Severity(self._rule.severity),
            at_ms,
            {
                "version": VERSION,
                "value": self.value_name,
                "read": value,
                "limit": self._limit,
                "hysteresis": self._rule.hysteresis,
                "hold_s": self._rule.hold_s,
                "since_ms": since_ms,
            },
        )

    @property
    def _limit(self) -> float | bool:
        rule = self._rule
        limit = next(each for each in (rule.above, rule.below, rule.when) if each is not None)
        return limit

    def _other_side(self, value: Value) -> bool:
        """Is the value where it would begin the alarm, or end it when it stands?"""
        rule = self._rule
        if rule.when is not None:
            return (value == rule.when) != self.active
        if not isinstance(value, int | float):
            return False
        back = rule.hysteresis if self.active else 0.0
        if rule.above is not None:
            return (value > rule.above - back) != self.active
        return rule.below is not None and (value < rule.below + back) != self.active


class Alarms:
    """The alarms of the registers that are polled together."""

    __slots__ = ("_alarms", "_asset")

    def __init__(self, asset: str, registers: Iterable[Register]) -> None:
        self._asset = asset
        self._alarms = [alarm for register in registers for alarm in _alarms(register)]

    def __bool__(self) -> bool:
        return bool(self._alarms)

    def recall(self, active: Collection[str]) -> None:
        """The alarms of these names stood when the gateway stopped."""
        for alarm in self._alarms:
            alarm.active = alarm.name in active

    def step(self, values: Mapping[str, Value], at_ms: int) -> tuple[Finding, ...]:
        """What a poll's values begin and end, at real UTC `at_ms`."""
        found = [
            alarm.step(self._asset, values.get(alarm.value_name), at_ms) for alarm in self._alarms
        ]
        return tuple(finding for finding in found if finding is not None)


def _alarms(register: Register) -> Iterable[Alarm]:
    for rule in register.alarms:
        yield Alarm(rule, f"{register.name}_{rule.flag}" if rule.flag else register.name)
