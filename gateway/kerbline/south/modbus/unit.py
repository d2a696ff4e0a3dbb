"""What is known of a unit: how soon it answers, whether it does, and what may still come; pure.

Times are seconds of one monotonic clock, given by whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum

from kerbline.south.modbus.framing import Wanted

FLOOR_S = 0.1  # what a device needs when it is busy for once; USB adapters alone are 16 ms late
# RFC 6298, 2: how much an answer moves the mean and the variation, and how much of that is waited
MEAN_GAIN = 1 / 8
VARIATION_GAIN = 1 / 4
VARIATIONS = 4
QUIET_TIMEOUTS = 3  # an answer later than so many time-outs is not expected any more
SHORTEST_QUIET_S = 0.5  # and sooner it is, whatever was learnt: a device may be busy for once
SILENT_REQUESTS = 3  # in a row: then a unit that has answered is taken for dead
FIRST_PROBE_S = 1.0
LAST_PROBE_S = 60.0


class Patience:
    """How long to wait for a unit: learnt from its answers, as RFC 6298 does for TCP.

    What is learnt is the pause before an answer, without the bytes' own time on the line. Before
    the first answer, and at most, it is `ceiling_s`.
    """

    __slots__ = ("_ceiling_s", "_mean_s", "_variation_s", "timeout_s")

    def __init__(self, ceiling_s: float) -> None:
        self._ceiling_s = ceiling_s
        self._mean_s = -1.0
        self._variation_s = 0.0
        self.timeout_s = ceiling_s

    @property
    def learnt(self) -> bool:
        """The unit has answered."""
        return self._mean_s >= 0

    def learn(self, pause_s: float) -> None:
        """The unit answered after so long."""
        if self._mean_s < 0:
            self._mean_s, self._variation_s = pause_s, pause_s / 2
        else:
            apart_s = abs(self._mean_s - pause_s)
            self._variation_s += VARIATION_GAIN * (apart_s - self._variation_s)
            self._mean_s += MEAN_GAIN * (pause_s - self._mean_s)
        wanted_s = self._mean_s + VARIATIONS * self._variation_s
        self.timeout_s = min(max(wanted_s, FLOOR_S), self._ceiling_s)

    def back_off(self) -> None:
        """The unit did not answer: it may have become slower."""
        self.timeout_s = min(2 * self.timeout_s, self._ceiling_s)


class Health(Enum):
    """What a unit's last requests came to."""

    UNHEARD = "unheard"  # it has not been asked yet
    GOOD = "good"
    FAILING = "failing"
    OPEN = "open"  # the breaker is: only probes are sent


class _Heard(Enum):
    ANSWER = 1
    SILENCE = 2
    LAST_SILENCE = 3  # the one that opens the breaker


_NEXT: Mapping[tuple[Health, _Heard], Health] = {
    (Health.UNHEARD, _Heard.ANSWER): Health.GOOD,
    (Health.UNHEARD, _Heard.SILENCE): Health.OPEN,  # nobody knows that there is such a unit
    (Health.GOOD, _Heard.ANSWER): Health.GOOD,
    (Health.GOOD, _Heard.SILENCE): Health.FAILING,
    (Health.FAILING, _Heard.ANSWER): Health.GOOD,
    (Health.FAILING, _Heard.SILENCE): Health.FAILING,
    (Health.FAILING, _Heard.LAST_SILENCE): Health.OPEN,
    (Health.OPEN, _Heard.ANSWER): Health.GOOD,
    (Health.OPEN, _Heard.SILENCE): Health.OPEN,
    (Health.OPEN, _Heard.LAST_SILENCE): Health.OPEN,
}


class Breaker:
    """Whether a unit answers, and while it does not: when to try it again."""

    __slots__ = ("health", "probe_s", "silences", "spacing_s")

    def __init__(self) -> None:
        self.health = Health.UNHEARD
        self.silences = 0  # in a row
        self.spacing_s = 0.0  # of probes
        self.probe_s = math.inf  # when the next may be

    @property
    def unheard(self) -> bool:
        """The unit was never asked."""
        return self.health is Health.UNHEARD

    @property
    def open(self) -> bool:
        """Nothing but probes goes to the unit."""
        return self.health is Health.OPEN

    def answered(self) -> bool:
        """The unit lives; True when that closes the breaker."""
        if self.health is Health.GOOD:  # of most answers there is no more to say
            return False
        was_open = self.open
        self.silences = 0
        self.spacing_s, self.probe_s = 0.0, math.inf
        self.health = _NEXT[self.health, _Heard.ANSWER]
        return was_open

    def silent(self, now_s: float) -> bool:
        """A request came to nothing; True when that opens the breaker."""
        was_open = self.open
        self.silences += 1
        last = self.silences >= SILENT_REQUESTS
        self.health = _NEXT[self.health, _Heard.LAST_SILENCE if last else _Heard.SILENCE]
        if self.open:
            self.spacing_s = min(2 * self.spacing_s or FIRST_PROBE_S, LAST_PROBE_S)
            self.probe_s = now_s + self.spacing_s
        return self.open and not was_open


class Doubts:
    """Which answers may still come late, on a line where an answer says not what it answers."""

    __slots__ = ("_until_s",)

    def __init__(self) -> None:
        self._until_s: dict[bytes, float] = {}

    def add(self, asked: Wanted, timeout_s: float, now_s: float) -> None:
        """A request was given up: for a while its answer, or its refusal, may come late."""
        self._until_s = {head: until for head, until in self._until_s.items() if until > now_s}
        quiet_s = max(QUIET_TIMEOUTS * timeout_s, SHORTEST_QUIET_S)
        self._until_s[asked.head] = now_s + quiet_s

    def clear_s(self, asked: Wanted, now_s: float) -> float:
        """When an answer to this can only be its own; 0.0 if that is so now."""
        if not self._until_s:
            return 0.0
        until_s = self._until_s.get(asked.head, 0.0)
        return until_s if until_s > now_s else 0.0

    def refusals(self, asked: Wanted, now_s: float) -> bool:
        """A refusal of this might be that of an earlier request with the same function."""
        function = asked.request.function
        return any(head[0] == function and until > now_s for head, until in self._until_s.items())


class Unit:
    """A unit of a bus, by its address there."""

    __slots__ = ("address", "answers", "breaker", "doubts", "faults", "patience")

    def __init__(self, address: int, ceiling_s: float) -> None:
        self.address = address
        self.patience = Patience(ceiling_s)
        self.breaker = Breaker()
        self.doubts = Doubts()
        self.answers = 0
        self.faults: dict[str, int] = {}  # by code

    def failed(self, code: str) -> None:
        """Count a fault."""
        self.faults[code] = self.faults.get(code, 0) + 1
