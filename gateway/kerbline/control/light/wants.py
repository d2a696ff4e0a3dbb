"""What those who control a lamp want of it at the same time, and which of them it follows.

Among rules the highest priority counts, then the highest level; whoever lights a street for people
on it is added to that: no rule darkens a lamp that is full for somebody. Times are street time, ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kerbline.control.moment import Moment
from kerbline.model import Command

FOLLOWS = 0  # the priority of whoever follows people; rules have 1 and more
SET_LEVEL, RELEASE = "set_level", "release"
FALL_MS = 2_000  # the fade to what is left, where a higher level is over
EXPIRY_MS = 10_000
FOR_EVER_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class Want:
    """A level that somebody wants of a lamp until a time."""

    by: str
    level_pct: int
    priority: int
    until_ms: int
    source: str


class Wants:
    """The wants of all lamps."""

    def __init__(self) -> None:
        self._wants: dict[str, dict[str, Want]] = {}  # by lamp and who wants it
        self._follows: dict[str, Want] = {}  # what each lamp was told last

    def ask(self, command: Command, by: str, priority: int, now: Moment) -> Command | None:
        """What goes to the lamp when `by` asks this of it; None: it stays as it is.

        A rule's release ends what rules of its priority and below asked, too. Other operations
        than set_level and release go as they are.
        """
        if command.operation not in (SET_LEVEL, RELEASE):
            return command
        lamp = command.asset
        wants = self._wants.setdefault(lamp, {})
        if command.operation == SET_LEVEL:
            hold_s = command.whole("hold_s")
            until_ms = now.street_ms + 1000 * hold_s if hold_s else FOR_EVER_MS
            level = command.whole("level_pct")
            wants[by] = Want(by, level, priority, until_ms, command.source)
        else:
            over = [each for each in wants.values() if FOLLOWS < each.priority <= priority]
            for each in over:
                del wants[each.by]
            wants.pop(by, None)
        first = self._first(lamp, now)
        told = self._follows.get(lamp)
        if first is None:
            self._forget(lamp)
            return command
        self._follows[lamp] = first
        if first.by == by:
            return command
        return None if first == told else _told(first, lamp, now)

    def due(self, now: Moment) -> list[Command]:
        """What lamps are to be told whose level is over while somebody still wants another."""
        commands: list[Command] = []
        for lamp in [
            lamp for lamp, want in self._follows.items() if want.until_ms <= now.street_ms
        ]:
            first = self._first(lamp, now)
            if first is None:
                self._forget(lamp)
            else:
                self._follows[lamp] = first
                commands.append(_told(first, lamp, now))
        return commands

    def next_ms(self) -> int | None:
        """When `due` may have something; None: never. Only for who has more than one want."""
        times = [
            self._follows[lamp].until_ms for lamp, each in self._wants.items() if len(each) > 1
        ]
        return min(times, default=None)

    def wants(self, lamp: str, now: Moment) -> Iterator[Want]:
        """What is wanted of a lamp now."""
        for want in self._wants.get(lamp, {}).values():
            if want.until_ms > now.street_ms:
                yield want

    def _first(self, lamp: str, now: Moment) -> Want | None:
        wants = {want.by: want for want in self.wants(lamp, now)}
        self._wants[lamp] = wants
        return chosen(wants.values())

    def _forget(self, lamp: str) -> None:
        self._wants.pop(lamp, None)
        self._follows.pop(lamp, None)


def chosen(wants: Iterable[Want]) -> Want | None:
    """Which of them a lamp follows."""
    every = list(wants)
    highest = max((want.priority for want in every), default=FOLLOWS)
    count = [each for each in every if each.priority in (FOLLOWS, highest)]
    return max(count, key=lambda each: (each.level_pct, each.until_ms), default=None)


def _told(want: Want, lamp: str, now: Moment) -> Command:
    left_s = -(-(want.until_ms - now.street_ms) // 1000)
    arguments = {
        "level_pct": want.level_pct,
        "hold_s": min(left_s, 86_400) if want.until_ms != FOR_EVER_MS else 0,
        "fade_ms": FALL_MS,
    }
    expires_at_ms = now.real_ms + EXPIRY_MS
    name = f"again-{lamp}-{now.real_ms}"
    return Command(name, lamp, SET_LEVEL, arguments, expires_at_ms, want.source)
