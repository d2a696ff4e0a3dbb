"""What a replay found, beside what was: switchings, and the figures of all lamps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kerbline.control.light.decision import ENDS, GATEWAY, Decision
from kerbline.control.light.wants import RELEASE, SET_LEVEL
from kerbline.sim.replayed_course import Figures


@dataclass(slots=True)
class Switchings:
    """How often control took lamps in hand, and let them go: counted from its decisions.

    A decision that goes on, or is said again, is none. Times are street time, ms.
    """

    from_ms: int
    to_ms: int
    taken: int = 0
    left: int = 0
    decisions: int = 0
    _held: set[tuple[str, str]] = field(default_factory=set)  # by whom, and the lamp

    def take(self, decision: Decision) -> None:
        """The next decision."""
        if decision.by == GATEWAY:
            self._held.clear()  # it began anew, and whatever it does it decides again
            return
        counts = self.from_ms <= decision.at_ms < self.to_ms
        self.decisions += counts
        ends = decision.what == ENDS or decision.operation == RELEASE
        for lamp in decision.lamps:
            mine = decision.by, lamp
            if ends and mine in self._held:
                self._held.remove(mine)
                self.left += counts
            elif not ends and decision.operation == SET_LEVEL and mine not in self._held:
                self._held.add(mine)
                self.taken += counts


@dataclass(frozen=True, slots=True)
class Replayed:
    """A span of street time (ms since 1970) twice: as it would have been, and as it was.

    `log_from_ms` and `log_to_ms`: of what the log holds. `decided_from_ms`: since when decisions
    are kept, where that is later than the span begins. Alarms by rule are those that were raised.
    """

    from_ms: int
    to_ms: int
    log_from_ms: int
    log_to_ms: int
    lamps: Mapping[str, Figures]
    watts: Mapping[str, float]
    would_switch: Switchings
    did_switch: Switchings
    decided_from_ms: int
    would_alarm: Mapping[str, int]
    did_alarm: Mapping[str, int]
    gaps: Mapping[str, int]

    @property
    def lamp_hours(self) -> float:
        """Of all lamps of the config."""
        return len(self.lamps) * (self.to_ms - self.from_ms) / 3.6e6

    @property
    def known_hours(self) -> float:
        """Lamp hours of which the log tells, and over which all is counted."""
        return sum(each.known_ms for each in self.lamps.values()) / 3.6e6

    @property
    def without_watts(self) -> list[str]:
        """Lamps that neither told power nor have `lamp_w`: their energy is not counted."""
        return [lamp for lamp, each in self.lamps.items() if self._kwh(lamp, each) is None]

    def kwh(self) -> tuple[float, float]:
        """(would have been, did) of all lamps of which it is known."""
        known = [self._kwh(lamp, each) for lamp, each in self.lamps.items()]
        return _sum(each for each in known if each is not None)

    def low_lamp_s(self) -> tuple[float, float]:
        """Lamp seconds below the floors of the config."""
        each = self.lamps.values()
        return _sum((one.would.low_ms / 1000, one.did.low_ms / 1000) for one in each)

    def alike(self) -> tuple[int, int]:
        """Reports whose level the replayed lamp had too, of how many."""
        each = self.lamps.values()
        return sum(one.alike for one in each), sum(one.reports for one in each)

    def _kwh(self, lamp: str, figures: Figures) -> tuple[float, float] | None:
        return figures.kwh(self.watts.get(lamp))


def _sum(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    would = did = 0.0
    for one, other in pairs:
        would += one
        did += other
    return would, did
