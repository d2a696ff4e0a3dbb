"""A lamp as its node would have run it: the node's own step and schedule over a recorded time.

It is woken when something happens and while it fades; between, its level is a function of time
alone. Times are street time in ms since 1970, which its uptime follows.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Mapping
from math import log

from kerbline.sim import node_code
from kerbwire import messages as m

SPREAD_S = 16  # seconds within which a street's lamps go on
BOOT_MS = 120_000  # it is that old when it is first asked
FADE_MS = 100  # between two looks at a level that fades
MINUTE_S = 60
HALF_DAY_S = 43_200
ASTRIDE_S = 3  # before and after a turn of its night it is looked at each second
FAINT = 10  # 1 %: below it a fade is a switch
ROUNDED = 5  # a level in percent tells no more
WHOLE_NIGHT: node_code.Profile = ((-720, 100),)

FloorPct = Callable[[int], int]  # at a street time in seconds


class ReplayedLamp:
    """One node's light, and what of it counts.

    `pct_ms`, `lit_ms` and `low_ms` are sums since `count_from`: of level in percent by time, of
    time with light, of time below the floor. `floor_turns`: when a floor may begin, in seconds.
    """

    def __init__(
        self, node: str, position: tuple[float, float], begin_ms: int, floor_pct: FloorPct
    ) -> None:
        self._node = node_code.streetlight()
        self._inputs = node_code.inputs()
        self._inputs.utc_known = True
        self.begin_ms = begin_ms
        self._zero_ms = begin_ms - BOOT_MS
        self._position = position
        self._lead_s = crc32(node.encode()) % SPREAD_S
        self._profile, self._night = WHOLE_NIGHT, node_code.CIVIL
        self._schedule = node_code.schedule(self._profile, position, self._lead_s)
        self._sun = node_code.sun()
        self._turns: tuple[int, ...] = ()
        self._midnight_s = 0
        self._floor_pct = floor_pct
        self._floor = 0  # 1/1000
        self._look_ms = begin_ms
        self._since_ms = begin_ms
        self._hold_ms: list[int] = []  # when a hold of a command or a motion ends
        self._fading = False
        self.level = self._node.level
        self.pct_ms = self.lit_ms = self.low_ms = 0.0
        self.advance(begin_ms)

    def floor_pct(self, now: int) -> int:
        """The floor of a time."""
        return self._floor_pct(now // 1000)

    def configure(self, now: int, values: Mapping[int, int | bytes]) -> None:
        """What CONFIG carries; keys that are not there keep what the node has by itself."""
        self.advance(now)
        steps = values.get(m.CONFIG_PROFILE)
        self._profile = _steps(steps) if isinstance(steps, bytes) else WHOLE_NIGHT
        height, dusk_min, dawn_min = node_code.CIVIL
        self._night = (
            _whole(values, m.CONFIG_NIGHT_CDEG, round(100 * height)) / 100,
            _whole(values, m.CONFIG_DUSK_MIN, dusk_min),
            _whole(values, m.CONFIG_DAWN_MIN, dawn_min),
        )
        own = type(self._node).motion
        self._node.motion = (
            _whole(values, m.CONFIG_MOTION_PCT, own[0]),
            _whole(values, m.CONFIG_MOTION_S, own[1]),
        )
        self._schedule.configure(self._profile, self._night)
        self._midnight_s = 0
        self._look(now)
        self._step(now)

    def sense(self, now: int, *, is_there: bool) -> None:
        """An edge of its own sensor."""
        self.advance(now)
        self._inputs.motion = True
        if not is_there:
            self._step(now)  # it was there until now
            self._inputs.motion = False
            self._hold_ms.append(now + 1000 * self._node.motion[1])
        self._step(now)

    def command(self, now: int, op: int, args: tuple[int, ...]) -> None:
        """An operation of kerbwire.messages."""
        self.advance(now)
        self._node.command(op, args, self._uptime(now))
        if op == m.OP_SET_LEVEL and args[1]:
            self._hold_ms.append(now + 1000 * args[1])
        elif op == m.OP_IDENTIFY:
            self._hold_ms.append(now + 1000 * args[0])
        self._step(now)

    def count_from(self, now: int) -> None:
        """Sums begin here."""
        self.advance(now)
        self.pct_ms = self.lit_ms = self.low_ms = 0.0

    def advance(self, now: int) -> None:
        """Let it run until then; nothing is undone where that has been."""
        now = max(now, self._since_ms)
        while True:
            holds = self._hold_ms
            next_ms = min(self._look_ms, *holds) if holds else self._look_ms
            if self._fading:
                shown_ms = min(now, next_ms, self._since_ms + FADE_MS)
                self._node.show(self._uptime(shown_ms))
                self._count(shown_ms)
                if shown_ms < min(now, next_ms):
                    continue
            if next_ms > now:
                self._count(now)
                return
            if holds:
                self._hold_ms = [each for each in holds if each > next_ms]
            if next_ms == self._look_ms:
                self._look(next_ms)
            self._step(next_ms)

    def _look(self, now: int) -> None:
        at_s = now // 1000
        scheduled = self._schedule.step(self._uptime(now) // 1000, at_s, None)
        self._inputs.scheduled_pct = scheduled
        self._inputs.night = self._schedule.night
        self._floor = 10 * self._floor_pct(at_s)
        self._look_ms = 1000 * self._next_look_s(at_s)

    def _step(self, now: int) -> None:
        self._node.step(self._uptime(now), self._inputs)
        self._count(now)

    def _next_look_s(self, at_s: int) -> int:
        """Each minute, since a profile's steps are; each second where the night turns."""
        if abs(at_s - self._midnight_s) > HALF_DAY_S:
            self._midnight_s = self._sun.midnight(at_s, self._position[1])
            self._turns = tuple(self._found_turns(self._midnight_s))
        midnight_s = self._midnight_s
        minute_s = at_s - (at_s - midnight_s) % MINUTE_S + MINUTE_S
        for turn_s in self._turns:
            if turn_s - ASTRIDE_S <= at_s < turn_s + ASTRIDE_S:
                return at_s + 1
            if at_s < turn_s - ASTRIDE_S < minute_s:
                minute_s = turn_s - ASTRIDE_S
        return minute_s

    def _found_turns(self, midnight_s: int) -> list[int]:
        height, dusk_min, dawn_min = self._night
        latitude, longitude = self._position
        dusk_s = self._sun.crossing(midnight_s, latitude, longitude, height, -1)
        dawn_s = self._sun.crossing(midnight_s, latitude, longitude, height, 1)
        return [dusk_s + MINUTE_S * dusk_min - self._lead_s, dawn_s + MINUTE_S * dawn_min]

    def _count(self, now: int) -> None:
        """Up to now: the level that was shown, or the mean of a fade's equal ratios."""
        before, level, passed_ms = self.level, self._node.level, now - self._since_ms
        if passed_ms > 0:
            mean = float(before)
            if self._fading and level != before and level >= FAINT and before >= FAINT:
                mean = (level - before) / log(level / before)
            self.pct_ms += mean / 10 * passed_ms
            if before:
                self.lit_ms += passed_ms
            if before + ROUNDED < self._floor:
                self.low_ms += passed_ms
            self._since_ms = now
        self.level, self._fading = level, self._node.fading > 0

    def _uptime(self, now: int) -> int:
        return now - self._zero_ms


def _steps(packed: bytes) -> node_code.Profile:
    """A profile's steps of three bytes each."""
    each = [packed[at : at + 3] for at in range(0, len(packed), 3)]
    return tuple((int.from_bytes(step[:2], "big") - 720, step[2]) for step in each)


def _whole(values: Mapping[int, int | bytes], key: int, default: int) -> int:
    found = values.get(key, default)
    return found if isinstance(found, int) else default
