"""One lamp of a simulated street: the node's own step and schedule, woken when something happens.

Between two steps a node's level is a function of time alone, so that it need not tick when nobody
looks: woken at an instant it shows the very level that it would. Times are ms of its uptime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, log

from kerbline.sim import node_code
from kerbwire import messages as m

TICK_MS = 100  # of a node that does not fade
SLOW_MS = 500  # between rows of a fade at dusk or dawn
NEVER_MS = 1 << 62
QUICK_MS = 1  # fade_ms of a command: as quick as no step shows
FAINT = 10  # 1 %: below it a fade is a switch
SPREAD = 16  # seconds within which a street's lamps go on

Row = Callable[[int, int, int], None]  # (uptime, lamp, level in 1/1000) from then on


@dataclass(frozen=True, slots=True)
class Kind:
    """What the lamps of a street have in common; percents are whole."""

    position: tuple[float, float]
    floor_pct: int
    full_pct: int
    night_deg: float  # they are lit while the sun is below
    utc_s: int  # at uptime 0
    every_pct: float = 0.0  # of a fall between two rows; 0: each tick of any fade is one


@dataclass(frozen=True, slots=True)
class Pace:
    """How a node fades, measured on one of them."""

    quick_ms: int  # between its ticks when it rises
    rise_ms: float  # to e times the light
    fall_ms: float  # from there


def pace(kind: Kind) -> Pace:
    """Lets one rise from the floor to full, and fall again."""
    node, inputs = node_code.streetlight(), node_code.inputs()
    inputs.utc_known, inputs.scheduled_pct = True, kind.floor_pct
    node.motion = kind.full_pct, 1
    for now in (0, 60_000):
        node.step(now, inputs)
    ratio = log(10 * kind.full_pct / max(FAINT, node.level))
    node.command(m.OP_SET_LEVEL, (kind.full_pct, 0, QUICK_MS), now)
    node.step(now, inputs)
    quick_ms, high_ms = node.fading, _faded(node, now)
    node.command(m.OP_RELEASE, (), high_ms)
    node.step(high_ms, inputs)
    low_ms = _faded(node, high_ms)
    if ratio <= 0:
        return Pace(quick_ms, 0.0, 0.0)
    return Pace(quick_ms, (high_ms - now + quick_ms) / ratio, (low_ms - high_ms) / ratio)


def _faded(node: node_code.Streetlight, now: int) -> int:
    """Lets a fade end; when that was."""
    while node.fading:
        now += node.fading
        node.show(now)
    return now


class Lamp:
    """A node and its light; every call tells what of it goes to the gateway: is somebody there?"""

    __slots__ = (
        "_clear_ms",
        "_command_ms",
        "_every",
        "_fade_ms",
        "_fading",
        "_full",
        "_inputs",
        "_kind",
        "_last_id",
        "_look_ms",
        "_looks",
        "_low",
        "_node",
        "_number",
        "_own_ms",
        "_pace",
        "_row",
        "_said",
        "_schedule",
        "_since_ms",
        "_step_ms",
        "_told",
        "due_ms",
        "level",
        "pct_ms",
    )

    def __init__(self, number: int, kind: Kind, pace: Pace, looks: Iterator[int], row: Row):
        self._number = number
        self._kind = kind
        self._pace = pace
        self._full = 10 * kind.full_pct
        self._low = max(FAINT, 10 * kind.floor_pct)
        self._every = round(10 * kind.every_pct)
        self._looks = looks  # when the schedule may say something new, rising
        self._row = row
        self._node = node_code.streetlight()
        self._node.motion = kind.full_pct, self._node.motion[1]
        self._schedule = node_code.schedule(
            ((-720, kind.floor_pct),), kind.position, number % SPREAD, (kind.night_deg, 0, 0)
        )
        self._inputs = node_code.inputs()
        self._inputs.utc_known = True
        self._last_id = 0  # of the commands: an older one that comes later is refused
        self._said = False  # to the gateway: somebody is there
        self._told = 0  # the level of the last row
        self._fading = False
        self._since_ms = 0
        self.level = 0  # 1/1000 of full light, since then
        self._fade_ms = self._own_ms = self._command_ms = self._clear_ms = NEVER_MS
        self._step_ms = NEVER_MS  # the first of them but of the fade
        self._look_ms = next(looks, NEVER_MS)
        self.due_ms = self._look_ms  # when the lamp is to be woken
        self.pct_ms = 0.0  # of level x time, in percent and ms

    def begin(self, now: int) -> None:
        """Long after its start: its level is the schedule's."""
        for at in (now - 60_000, now):
            self._look(at)
            self._node.step(at, self._inputs)
        self.level, self._since_ms = self._node.level, now
        self.due_ms = self._step_ms = self._look_ms

    def open(self, now: int, *, tell_all: bool) -> None:
        """From here on the level counts, and is told; `tell_all`: the one of now, too."""
        if self._fading:
            self._node.show(now)
        self._count(now, self._node.level)
        self.pct_ms = 0.0
        self._told = self.level
        if tell_all:
            self._row(now, self._number, self.level)

    def rest(self, now: int) -> None:
        """Until here the level counts."""
        if self._fading:
            self._node.show(now)
        self._count(now, self._node.level)

    def sense(self, now: int, is_there: bool) -> bool | None:  # noqa: FBT001 - called very often
        """An edge of its own sensor."""
        told = None
        self._inputs.motion = True
        if not is_there:
            told = self._step(now)  # it was there until now
            self._inputs.motion = False
            self._own_ms = now + 1000 * self._node.motion[1]
        after = self._step(now)
        return told if after is None else after

    def command(self, now: int, number: int, op: int, args: tuple[int, ...]) -> bool | None:
        """A command of the gateway, which wakes the node; refused if a later one was before it."""
        if number <= self._last_id:
            return None
        self._last_id = number
        self._node.command(op, args, now)
        self._command_ms = now + 1000 * args[1] if op == m.OP_SET_LEVEL else NEVER_MS
        if op == m.OP_RELEASE and not self._inputs.motion:
            self._own_ms = NEVER_MS  # it ends the node's own hold, too
        return self._step(now)

    def wake(self, now: int) -> bool | None:
        """At `due_ms`."""
        if now < self._step_ms:
            self._node.show(now)  # as the node does while it rises
            self._shown(now)
            return None
        if now >= self._look_ms:
            self._look(now)
        if now >= self._own_ms:
            self._own_ms = NEVER_MS
        if now >= self._command_ms:
            self._command_ms = NEVER_MS
        return self._step(now)

    def _look(self, now: int) -> None:
        while self._look_ms <= now:
            self._look_ms = next(self._looks, NEVER_MS)
        uptime_s = now // 1000
        pct = self._schedule.step(uptime_s, self._kind.utc_s + uptime_s, None)
        self._inputs.scheduled_pct = pct
        self._inputs.night = self._schedule.night

    def _step(self, now: int) -> bool | None:
        if self._fading and self._every:
            self._node.show(now)  # where its ticks had brought it
            self._count(now, self._node.level)
        told = None
        for code, _ in self._node.step(now, self._inputs):
            if code == m.EV_MOTION:
                told = self._said = True
            elif code == m.EV_MOTION_CLEAR:
                told = self._said = False
        # A sensor that chatters is told of more slowly: asked again at the node's next tick.
        late = self._said and not self._inputs.motion
        self._clear_ms = now + TICK_MS if late else NEVER_MS
        self._step_ms = min(self._look_ms, self._own_ms, self._command_ms, self._clear_ms)
        self._shown(now)
        return told

    def _shown(self, now: int) -> None:
        """Count and tell the level that the node shows now, and say when to look again."""
        node = self._node
        level, tick_ms = node.level, node.fading
        self._count(now, level)
        self._fading = tick_ms > 0
        rises = tick_ms == self._pace.quick_ms and level < self._full
        self._fade_ms = now + self._wait_ms(level, tick_ms, rises=rises) if tick_ms else NEVER_MS
        # On its way up a lamp is told of too late, never too early.
        if level != self._told and not (rises and self._every):
            self._told = level
            self._row(now, self._number, level)
        self.due_ms = min(self._fade_ms, self._step_ms)

    def _wait_ms(self, level: int, tick_ms: int, *, rises: bool) -> int:
        """How long a fade goes on unseen: a tick, or until a row is due."""
        if not self._every:
            return tick_ms
        if rises:
            left_ms = self._pace.rise_ms * log(self._full / max(level, FAINT))
        else:
            until = max(self._low, level - self._every)
            left_ms = self._pace.fall_ms * log(level / until) if level > until else SLOW_MS
        return max(1, ceil(left_ms / tick_ms)) * tick_ms

    def _count(self, now: int, level: int) -> None:
        """Up to now: what was shown, or the mean of a fade's equal ratios in equal times."""
        before, passed_ms = self.level, now - self._since_ms
        if self._fading and level != before and level >= FAINT and before >= FAINT:
            self.pct_ms += (level - before) / log(level / before) / 10 * passed_ms
        else:
            self.pct_ms += before / 10 * passed_ms
        self.level, self._since_ms = level, now
