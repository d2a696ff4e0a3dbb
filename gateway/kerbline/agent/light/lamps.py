"""The way of what control decides for lamps: who wants what, who may, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kerbline.agent.light.around import Issuer, Notebook
from kerbline.agent.light.loops import Loops
from kerbline.clock import Clock
from kerbline.control.light.decision import (
    BEGINS,
    GATEWAY,
    GOES_ON,
    KEPT_EVERY_MS,
    Decision,
)
from kerbline.control.light.wants import FOLLOWS, SET_LEVEL, Wants
from kerbline.control.moment import Moment
from kerbline.model import Command, Value

ANY = "any"  # an operation that claims nothing


@dataclass(slots=True)
class _Sign:
    """What was kept last of somebody's decisions."""

    what: tuple[object, ...]
    at_ms: int


class Lights:
    """Commands of control to lamps."""

    def __init__(self, loops: Loops, orders: Issuer, group: Notebook, clock: Clock) -> None:
        self._loops = loops
        self._orders = orders
        self._group = group
        self._clock = clock
        self._wants = Wants()
        self._signs: dict[tuple[str, int], _Sign] = {}  # by whose they are, and the level

    def now(self) -> Moment:
        """On both clocks."""
        real_ms = self._clock.utc_ms()
        return Moment(real_ms, self._clock.street_ms(real_ms))

    def issue(
        self,
        commands: Sequence[Command],
        by: str,
        version: str,
        what: str,
        inputs: Mapping[str, Value],
        priority: int,
    ) -> Mapping[str, str]:
        """One decision for some lamps, alike for each; those that do not carry it out, and why.

        A lamp that has more light for somebody else's sake carries it out when that is over.
        """
        refused: dict[str, str] = {}
        for command in commands:
            if refusal := self._held(command) or self._go(command, by, priority):
                refused[command.asset] = refusal
        self._keep(commands, by, version, what, inputs, refused)
        return refused

    def pass_on(self, command: Command) -> None:
        """One of those."""
        self.follow((command,))

    def follow(self, commands: Iterable[Command]) -> None:
        """What those who follow people decided; arbitration let it through."""
        alike: dict[tuple[object, ...], list[Command]] = {}
        refused: dict[str, str] = {}
        for command in commands:
            by = _parts(command.source)[0]
            if reason := self._go(command, by, FOLLOWS):
                refused[command.asset] = reason
            key = (command.source, command.operation, *command.arguments.items())
            alike.setdefault(key, []).append(command)
        for group in alike.values():
            by, version, why = _parts(group[0].source)
            self._keep(group, by, version, why, {}, refused)

    def look(self) -> None:
        """Lamps whose level is over while somebody else wants another get that."""
        for command in self._wants.due(self.now()):
            self._orders.issue(command)

    def next_ms(self) -> int | None:
        """The street time at which `look` may have something; None: never."""
        return self._wants.next_ms()

    def began(self) -> None:
        """The gateway runs: what control did before is over or is decided anew."""
        at_ms = self.now().street_ms
        self._group.note_decision(at_ms, Decision(at_ms, GATEWAY, "", BEGINS, "").body())

    def _held(self, command: Command) -> str:
        """Who of a higher rank has the lamp; among those who control it there are no claims."""
        return self._loops.refuses(replace(command, operation=ANY))

    def _go(self, command: Command, by: str, priority: int) -> str:
        goes = self._wants.ask(command, by, priority, self.now())
        return "" if goes is None else self._orders.issue(goes)

    def _keep(
        self,
        commands: Sequence[Command],
        by: str,
        version: str,
        what: str,
        inputs: Mapping[str, Value],
        refused: Mapping[str, str],
    ) -> None:
        """Keep a decision; of what only goes on, as often as shows that the gateway lives."""
        at_ms = self.now().street_ms
        lamps = tuple(each.asset for each in commands)
        not_these = {lamp: refused[lamp] for lamp in lamps if lamp in refused}
        sign = (what, lamps, tuple(not_these.items()))
        first = commands[0] if commands else None
        level = first.whole("level_pct") if first and first.operation == SET_LEVEL else -1
        last = self._signs.get((by, level))
        is_known = what == GOES_ON and last is not None and last.what == sign
        if is_known and last is not None and 0 <= at_ms - last.at_ms < KEPT_EVERY_MS:
            return
        self._signs[by, level] = _Sign(sign, at_ms)
        decision = Decision(
            at_ms,
            by,
            version,
            what,
            first.operation if first else "",
            level,
            first.whole("hold_s") if first else 0,
            tuple(lamp for lamp in lamps if lamp not in not_these),
            not_these,
            inputs,
        )
        self._group.note_decision(at_ms, decision.body())


def _parts(source: str) -> tuple[str, str, str]:
    """Who, its version and why, of "control/dimming v1: motion at lamp-3"."""
    head, _, why = source.partition(": ")
    by, _, version = head.removeprefix("control/").partition(" ")
    return by, version, why
