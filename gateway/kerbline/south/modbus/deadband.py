"""Report by exception: a value is told when it moved, or when it has not been told for long.

Pure: time is an argument. Told at once, and with every value that the poll gave, is a change of
quality; so is the first poll after the line was lost. A value that begins or ends an alarm is told
with it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from kerbline.config import Register
from kerbline.config.registers import NUMBERS, value_names
from kerbline.model import Finding, Value
from kerbline.south.measured import Measured
from kerbline.south.modbus.alarms import Alarms

# The kind of the reading that carries a register's values, by the class of its retention.
KINDS = {"telemetry": "modbus", "meter": "modbus_meter", "alarm": "modbus_state"}


class Reports:
    """What is told of the registers that are polled together."""

    __slots__ = (
        "_alarms",
        "_asset",
        "_bands",
        "_beats_ms",
        "_kind",
        "_kinds",
        "_last",
        "_least_beat_ms",
        "_mixed",
        "_quality",
        "_silent_ms",
        "_told_ms",
        "_wake_ms",
        "_wide",
    )

    def __init__(self, asset: str, registers: Iterable[Register]) -> None:
        listed = tuple(registers)
        self._asset = asset
        self._alarms = Alarms(asset, listed)
        self._bands: dict[str, float] = {}  # of single numbers
        self._wide: dict[str, float] = {}  # of what is none
        self._beats_ms: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        for register in listed:
            single = register.type in NUMBERS | {"bcd"} and register.count == 1
            for name in value_names(register):
                self._kinds[name] = KINDS[register.retention]
                if register.deadband is not None:
                    (self._bands if single else self._wide)[name] = register.deadband
                    self._beats_ms[name] = round(register.heartbeat_s * 1_000)
        kinds = sorted(set(self._kinds.values()))
        self._kind = kinds[0] if kinds else KINDS["telemetry"]
        self._mixed = len(kinds) > 1
        self._least_beat_ms = min(self._beats_ms.values(), default=0)
        self._last: dict[str, Value] = {}  # as it was told,
        self._told_ms: dict[str, int] = {}  # and when
        self._silent_ms = 0  # since when nothing was told
        self._wake_ms = 0  # no heartbeat is due before
        self._quality: tuple[str, ...] | None = None

    def recall(self, active: Collection[str]) -> None:
        """The alarms of these names stood when the gateway stopped."""
        self._alarms.recall(active)

    def lost(self) -> None:
        """The line is gone: the next poll is told whole."""
        self._quality = None

    def told(
        self, values: Mapping[str, Value], read_at_ms: int, quality: tuple[str, ...]
    ) -> Sequence[Measured]:
        """What a poll gave that is to be told: a reading for each kind, or none."""
        findings = self._alarms.step(values, read_at_ms) if self._alarms else ()
        if not self._beats_ms:
            return self._parted(values, read_at_ms, quality, findings)
        whole = quality != self._quality or read_at_ms < self._silent_ms
        news = dict(values) if whole else self._news(values, read_at_ms)
        for finding in findings:
            name = str(finding.evidence["value"])
            news[name] = values[name]
        silent_ms = read_at_ms - self._silent_ms
        if not news and not whole and (values or silent_ms < self._least_beat_ms):
            return ()
        self._note(news, values, read_at_ms)
        self._quality = quality
        return self._parted(news, read_at_ms, quality, findings)

    def _news(self, values: Mapping[str, Value], at_ms: int) -> dict[str, Value]:
        """The values that moved by more than their dead-band, or that are due."""
        last, bands = self._last, self._bands
        beats = at_ms >= self._wake_ms
        if not beats and values == last:
            return {}
        due = self._due(at_ms) if beats else ()
        before = last.get
        news = {
            name: value
            for name, value in values.items()
            if name not in bands
            or abs(value - before(name, math.inf)) > bands[name]  # type: ignore[operator]
            or name in due
        }
        for name, band in self._wide.items():
            known = name in news and name in last and name not in due
            if known and not _apart(news[name], last[name], band):
                del news[name]
        return news

    def _due(self, at_ms: int) -> set[str]:
        """Whose heartbeat it is; the next one's time is found on the way."""
        due_ms = {name: at + self._beats_ms[name] for name, at in self._told_ms.items()}
        due = {name for name, when_ms in due_ms.items() if when_ms <= at_ms}
        later_ms = [when_ms for when_ms in due_ms.values() if when_ms > at_ms]
        self._wake_ms = min(later_ms, default=at_ms + self._least_beat_ms)
        return due

    def _note(self, news: Mapping[str, Value], values: Mapping[str, Value], at_ms: int) -> None:
        self._silent_ms = at_ms
        self._last.update(news)
        self._told_ms.update(dict.fromkeys(self._beats_ms.keys() & news.keys(), at_ms))
        self._wake_ms = min(self._wake_ms, at_ms + self._least_beat_ms)
        if len(values) < len(self._last):  # what is missing is told when it is back
            for name in self._last.keys() - values.keys():
                del self._last[name]
                self._told_ms.pop(name, None)

    def _parted(
        self,
        news: Mapping[str, Value],
        at_ms: int,
        quality: tuple[str, ...],
        findings: tuple[Finding, ...],
    ) -> Sequence[Measured]:
        """A reading for each kind, the findings with the first."""
        kinds = {self._kinds[name] for name in news} if self._mixed else {self._kind}
        if len(kinds) < 2:
            kind = next(iter(kinds), self._kind)
            return (Measured(self._asset, news, at_ms, quality, kind, findings=findings),)
        parts = {kind: {n: v for n, v in news.items() if self._kinds[n] == kind} for kind in kinds}
        told = [Measured(self._asset, parts[kind], at_ms, quality, kind) for kind in sorted(parts)]
        told[0] = replace(told[0], findings=findings)
        return told


def _apart(value: Value, before: Value, band: float) -> bool:
    """Are two lists further apart than `band` anywhere? Texts and bools are when they differ."""
    if isinstance(value, tuple) and isinstance(before, tuple):
        pairs = zip(value, before, strict=False)
        return len(value) != len(before) or any(abs(new - old) > band for new, old in pairs)
    return value != before
