"""How a bus is, for whoever asks; nothing here changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit of a bus; `health` is "unheard", "good", "failing" or "open" (probes alone)."""

    unit: int
    asset: str
    health: str
    timeout_ms: float
    answers: int
    faults: Mapping[str, int]  # by code


@dataclass(frozen=True, slots=True)
class BusState:
    """A bus: whether its line is open, and how much of the last minute it was in use, 0 to 1."""

    name: str
    port: str
    up: bool
    utilisation: float
    units: tuple[UnitState, ...]


class Usage:
    """How much of the time something was in use, over the last one to two windows; pure."""

    __slots__ = ("_before", "_busy_s", "_since_s", "_to_s", "_window_s")

    def __init__(self, window_s: float = 60.0) -> None:
        self._window_s = window_s
        self._busy_s = 0.0
        self._since_s = -1.0
        self._to_s = 0.0  # until then it is counted
        self._before = (0.0, 0.0)  # busy and whole seconds of the window before

    def add(self, begun_s: float, now_s: float) -> None:
        """It was in use from `begun_s` until now; what overlaps is counted once."""
        self._turn(now_s)
        self._busy_s += max(now_s - max(begun_s, self._to_s), 0.0)
        self._to_s = now_s

    def share(self, now_s: float) -> float:
        """0 to 1."""
        self._turn(now_s)
        whole_s = now_s - self._since_s + self._before[1]
        return min((self._busy_s + self._before[0]) / whole_s, 1.0) if whole_s > 0 else 0.0

    def _turn(self, now_s: float) -> None:
        if self._since_s < 0:
            self._since_s = now_s
        passed_s = now_s - self._since_s
        if passed_s >= self._window_s:
            self._before = (self._busy_s, passed_s)
            self._busy_s, self._since_s = 0.0, now_s
