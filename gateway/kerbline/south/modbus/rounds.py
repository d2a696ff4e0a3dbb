"""Which poll is next: groups on common ticks, and probes of units that do not answer; pure."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable

from kerbline.config import ModbusBus, Register
from kerbline.south.modbus.survey import Ask, Survey
from kerbline.south.modbus.transaction import Group, Polled
from kerbline.south.modbus.unit import Unit

PROBE_SHARE = 0.02  # of the bus's time, when it has none to spare
SEARCH_SHARE = 0.25  # the same of first requests, while units that were never heard stay silent
SPARE_WAIT_S = 2.0  # so long a probe waits for spare time before it takes its share
_Turn = tuple[float, int, float, int]


def groups(config: ModbusBus, unit: Callable[[int], Unit]) -> tuple[Group, ...]:
    """One for each unit and period."""
    made: list[Group] = []
    for device in config.devices:
        by_period: dict[float, list[Register]] = {}
        for register in device.registers:
            by_period.setdefault(register.poll_s or device.poll_s, []).append(register)
        for period_s, registers in by_period.items():
            survey = Survey(device, registers)
            made.append(Group(len(made), unit(device.unit), period_s, survey))
    return tuple(made)


class Rounds:
    """The polls that are due, and those that have begun."""

    __slots__ = ("_begun", "_queue", "_search_s", "_unheard", "groups", "late")

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(groups)
        self._queue: list[tuple[_Turn, Group]] = []
        self._unheard: deque[Group] = deque()  # of units that were never asked
        self._search_s = -math.inf  # until then the others go before those
        self._begun: list[Group] = []
        self.late = 0  # polls that came a whole period late
        for group in self.groups:
            self._enqueue(group)

    def next(self, now_s: float, clear_s: Callable[[Unit, Ask], float]) -> tuple[Group, Ask] | None:
        """The next read of a poll that has begun, or the first of one that is due.

        `clear_s` says until when a read has to wait, 0.0 if it has not.
        """
        for group in self._begun:
            ask = group.survey.next()
            if ask is not None and not clear_s(group.unit, ask):
                return group, ask
        while (due := self._due(now_s)) is not None and due.due_s <= now_s:
            ask = due.survey.next()
            if ask is not None and not clear_s(due.unit, ask):
                return due, ask
            self._start(due, now_s)  # its answer may still come late: it goes on with those begun
        return None

    def due_s(self) -> float:
        """The next tick; infinite when there is none."""
        return min((group.due_s for group in self._heads()), default=math.inf)

    def _due(self, now_s: float) -> Group | None:
        """Whose turn it is, or will be first.

        Units that were never heard have their share, or what time the others leave: a bus that
        begins with many dead ones would else not poll the others before it asked all of them.
        """
        heads = self._heads()
        if len(heads) > 1 and heads[0].due_s <= now_s and now_s < self._search_s:
            return heads[0]
        return min(heads, key=_due_s, default=None)

    def _heads(self) -> list[Group]:
        """The first of those that were heard, and of the others; who is silent has probes."""
        while self._queue and self._queue[0][1].unit.breaker.open:
            self._dequeue(self._queue[0][1])
        while self._unheard and self._unheard[0].unit.breaker.open:
            self._dequeue(self._unheard[0])
        heads = [self._queue[0][1]] if self._queue else []
        return [*heads, self._unheard[0]] if self._unheard else heads

    def searched(self, seconds: float, now_s: float) -> None:
        """A unit's first request came to nothing and took so long."""
        self._search_s = now_s + seconds * (1 / SEARCH_SHARE - 1)

    def heard(self, unit: Unit) -> None:
        """The unit's first answer: all of it is polled in its turn."""
        for group in [group for group in self._unheard if group.unit is unit]:
            self._dequeue(group)
            self._enqueue(group)

    def wake_s(self, clear_s: Callable[[Unit, Ask], float]) -> float:
        """When `next` may have something again."""
        wake_s = self.due_s()
        for group in self._begun:
            ask = group.survey.next()
            if ask is not None and (at_s := clear_s(group.unit, ask)):
                wake_s = min(wake_s, at_s)
        return wake_s

    def begin(self, group: Group, now_s: float) -> None:
        """A read of a group goes out."""
        if group not in self._begun:
            self._start(group, now_s)
        if group.survey.untouched:
            group.begun_s = now_s
        group.survey.sent()

    def stop(self, unit: Unit, code: str, now_s: float) -> list[Polled]:
        """A unit is taken for dead: its polls that had begun and wait for nothing are over."""
        mine = [group for group in self._begun if group.unit is unit]
        for group in mine:
            group.survey.stop(code)
        return [self.end(group, now_s) for group in mine if group.survey.over]

    def end(self, group: Group, now_s: float) -> Polled:
        """A poll is over: the next is at the next whole multiple of its period.

        So units of one period share a tick.
        """
        self._begun.remove(group)
        polled = Polled(group, group.begun_s, *group.survey.end())
        group.polled_s = now_s
        period_s = group.period_s
        group.due_s = (math.floor(now_s / period_s) + 1) * period_s
        self._enqueue(group)
        return polled

    def revive(self, unit: Unit, now_s: float) -> None:
        """A unit answers again: all of it is polled now."""
        for group in self.groups:
            if group.unit is not unit:
                continue
            group.survey.forget()
            if not group.queued and group not in self._begun:
                group.due_s = now_s
                self._enqueue(group)

    def reset(self, now_s: float) -> None:
        """The line is a new one: what was under way is not, and every unit is due."""
        self._begun.clear()
        self._queue.clear()
        self._unheard.clear()
        for group in self.groups:
            group.survey.begin()
            group.due_s = now_s
            self._enqueue(group)

    def _start(self, group: Group, now_s: float) -> None:
        """A poll begins; a probe, for which no tick was due, is never late."""
        if group.queued:
            self._dequeue(group)
            self.late += bool(group.due_s) and now_s - group.due_s > group.period_s
        self._begun.append(group)

    def _enqueue(self, group: Group) -> None:
        """The earlier tick first, then who answers, then whoever waited longest."""
        group.queued = True
        if group.unit.breaker.unheard:
            self._unheard.append(group)
            return
        turn = (group.due_s, group.unit.breaker.silences, group.polled_s, group.index)
        heapq.heappush(self._queue, (turn, group))

    def _dequeue(self, group: Group) -> None:
        group.queued = False
        if self._queue and self._queue[0][1] is group:
            heapq.heappop(self._queue)
        elif group in self._unheard:
            self._unheard.remove(group)
        else:
            self._queue = [each for each in self._queue if each[1] is not group]
            heapq.heapify(self._queue)


def _due_s(group: Group) -> float:
    return group.due_s


class Probes:
    """When a unit that does not answer is tried: in spare time, or for a small share of all."""

    __slots__ = ("_free_s", "_units")

    def __init__(self) -> None:
        self._units: set[Unit] = set()
        self._free_s = 0.0

    def add(self, unit: Unit) -> None:
        """Its breaker has opened."""
        self._units.add(unit)

    def remove(self, unit: Unit) -> None:
        """It answers."""
        self._units.discard(unit)

    def all_now(self, now_s: float) -> None:
        """Each may have come back: whatever it was that kept them silent is over."""
        self._free_s = 0.0
        for unit in self._units:
            unit.breaker.probe_s = now_s

    def spent(self, seconds: float, now_s: float) -> None:
        """A probe came to nothing and took so long."""
        self._free_s = now_s + seconds * (1 / PROBE_SHARE - 1)

    def next(self, now_s: float, due_s: float) -> Unit | None:
        """Whose time it is, if the bus has it: `due_s` is when a poll is due."""
        if not self._units:
            return None
        unit = min(self._units, key=_probe_s)
        probe_s = unit.breaker.probe_s
        if now_s < probe_s:
            return None
        if due_s - now_s > unit.patience.timeout_s:
            return unit
        # As `wake_s` reckons it: a difference is rounded otherwise, and we would be called again
        # and again.
        return unit if now_s >= max(self._free_s, probe_s + SPARE_WAIT_S) else None

    def wake_s(self, now_s: float) -> float:
        """When `next` may have one."""
        if not self._units:
            return math.inf
        probe_s = min(unit.breaker.probe_s for unit in self._units)
        if probe_s > now_s:
            return probe_s
        return max(self._free_s, probe_s + SPARE_WAIT_S, now_s)


def _probe_s(unit: Unit) -> float:
    return unit.breaker.probe_s
