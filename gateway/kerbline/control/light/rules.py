"""An operator's rules at work: what readings and the passing of time call for. No clock, no I/O.

A rule begins when its conditions have held for `for_ms`, not sooner than `every_ms` after it began
last; while it holds its lamps' level is renewed before their hold is over, and when it ends that is
said once more, so that a level outlives the rule, or the gateway, by `hold_s`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kerbline.control.light.conditions import (
    NEVER_MS,
    Condition,
    Hours,
    Silent,
    Sun,
    Term,
    inputs,
)
from kerbline.control.light.decision import BEGINS, ENDS, GOES_ON
from kerbline.control.light.programs import OPERATIONS
from kerbline.model import Reading, Severity, Value

RENEW_MS = 300_000  # at the latest: somebody else may have had the lamp since
AGAIN_MS = 30_000  # a lamp that did not take its level is asked again
SPARE = 8  # times of a rule that are no more, kept before they are swept out


@dataclass(frozen=True, slots=True)
class SetLevel:
    """Lamps at a level, which they keep for `hold_s` when nothing more is heard."""

    lamps: tuple[str, ...]
    level_pct: int
    hold_s: int
    fade_ms: int
    operation: str = "set"  # or "max", "min": over what the lamp's program has

    def asked(self, scheduled_pct: int | None) -> int:
        """The level, of a lamp that has this one by its program; None: it has none."""
        if scheduled_pct is None:
            return self.level_pct
        return OPERATIONS[self.operation](scheduled_pct, self.level_pct)


@dataclass(frozen=True, slots=True)
class Release:
    """Lamps that are to follow their own program again."""

    lamps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notify:
    """An alarm of an asset while the rule holds."""

    asset: str
    severity: Severity
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions and what is to be done; `version` names its content."""

    name: str
    version: str
    conditions: tuple[Condition, ...]
    all_of_them: bool = True
    for_ms: int = 0
    every_ms: int = 0
    priority: int = 1
    light: SetLevel | Release | None = None
    notify: Notify | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What a rule has to be done now: `what` is why, `lamps` are whom it concerns this time."""

    rule: Rule
    what: str
    at_ms: int
    lamps: tuple[str, ...]
    inputs: Mapping[str, Value]

    @property
    def tells(self) -> bool:
        """Does its alarm begin or end?"""
        return self.rule.notify is not None and self.what != GOES_ON


@dataclass(slots=True)
class _Run:
    """A rule, and how it stands."""

    rule: Rule
    terms: list[Term]
    together_ms: int = NEVER_MS  # since when its conditions hold together
    is_on: bool = False
    begun_ms: int = -NEVER_MS  # when it began last
    renew_ms: int = NEVER_MS
    next_ms: int = NEVER_MS  # when time alone changes something
    again: dict[str, int] = field(default_factory=dict)  # lamps to be asked again, and when

    def look(self, now_ms: int) -> Iterator[Act]:
        """What it has to be done now."""
        rule = self.rule
        for term in self.terms:
            term.look(now_ms)
        self._together(now_ms)
        self.begun_ms = min(self.begun_ms, now_ms)  # or a clock that went back would stop it
        due_ms = max(self.together_ms + rule.for_ms, self.begun_ms + rule.every_ms)
        if self.together_ms == NEVER_MS:
            due_ms = NEVER_MS
        if self.is_on and self.together_ms == NEVER_MS:
            yield from self._end(now_ms)
        elif not self.is_on and due_ms <= now_ms:
            self.is_on, self.begun_ms = True, now_ms
            yield self._act(BEGINS, now_ms)
        elif self.is_on and self.renew_ms <= now_ms:
            yield self._act(GOES_ON, now_ms)
        if late := tuple(lamp for lamp, at_ms in self.again.items() if at_ms <= now_ms):
            for lamp in late:
                del self.again[lamp]
            yield Act(rule, GOES_ON, now_ms, late, inputs(self.terms))
        turns = [term.until_ms for term in self.terms]
        wait_ms = NEVER_MS if self.is_on else due_ms
        self.next_ms = min([*turns, wait_ms, self.renew_ms, *self.again.values()])

    def _together(self, now_ms: int) -> None:
        holding = [term for term in self.terms if term.holds]
        rule = self.rule
        if len(holding) < (len(self.terms) if rule.all_of_them else 1):
            self.together_ms = NEVER_MS
        elif self.together_ms == NEVER_MS:
            since = [term.since_ms for term in holding]
            self.together_ms = min(max(since) if rule.all_of_them else min(since), now_ms)

    def _end(self, now_ms: int) -> Iterator[Act]:
        self.is_on = False
        yield self._act(ENDS, now_ms)
        self.renew_ms = NEVER_MS

    def _act(self, what: str, now_ms: int) -> Act:
        light = self.rule.light
        lamps = light.lamps if light is not None else ()
        self.again.clear()
        if isinstance(light, SetLevel):
            self.renew_ms = now_ms + min(500 * light.hold_s, RENEW_MS)
        elif what == ENDS:
            lamps = ()
        return Act(self.rule, what, now_ms, lamps, inputs(self.terms))


class Rules:
    """All rules of a gateway; times are street time, ms since 1970."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._runs = [_Run(rule, [Term(each) for each in rule.conditions]) for rule in rules]
        self._by_asset: dict[str, list[tuple[int, Term]]] = {}
        for number, run in enumerate(self._runs):
            for term in run.terms:
                if not isinstance(term.condition, Hours | Sun):
                    self._by_asset.setdefault(term.condition.asset, []).append((number, term))
        self._touched: set[int] = set()
        self._times: list[tuple[int, int]] = []  # a heap; what a rule says no more is passed over
        self._now_ms = 0

    def begin(self, now_ms: int, saved: Mapping[str, tuple[str, bool, int]]) -> None:
        """The gateway runs; `saved` as `saved` gave it, of rules that may be others now."""
        self._now_ms = now_ms
        for number, run in enumerate(self._runs):
            version, is_on, begun_ms = saved.get(run.rule.name, ("", False, -NEVER_MS))
            if version == run.rule.version:
                run.begun_ms = min(begun_ms, now_ms)
                run.is_on = is_on
                run.renew_ms = (
                    now_ms if is_on and isinstance(run.rule.light, SetLevel) else NEVER_MS
                )
            for term in run.terms:
                term.begin(now_ms)
            self._touched.add(number)

    def take(self, reading: Reading, now_ms: int) -> None:
        """A reading of any asset; `due` says what follows from it."""
        for number, term in self._by_asset.get(reading.asset, ()):
            if term.hear(reading, now_ms):
                self._touched.add(number)

    def recall(self, reading: Reading, now_ms: int) -> None:
        """What was heard before the gateway began; while it was away nobody was silent for it."""
        for number, term in self._by_asset.get(reading.asset, ()):
            if self._runs[number].is_on or not isinstance(term.condition, Silent):
                term.hear(reading, now_ms)

    def hears(self, asset: str) -> bool:
        """Does any rule ask for an asset?"""
        return asset in self._by_asset

    def passed_over(self, pause_ms: int) -> None:
        """The clock was set forward: nobody was silent in the time that never was."""
        for run in self._runs:
            for term in run.terms:
                if isinstance(term.condition, Silent) and not term.holds:
                    term.until_ms += pause_ms

    def due(self, now_ms: int) -> list[Act]:
        """What is to be done now, in the order of the rules."""
        if now_ms < self._now_ms:  # the clock went back: all times are others
            self._touched.update(range(len(self._runs)))
            for run in self._runs:
                for term in run.terms:
                    term.set_back(now_ms)
        self._now_ms = now_ms
        while self._times and self._times[0][0] <= now_ms:
            self._touched.add(heapq.heappop(self._times)[1])
        if not self._touched:
            return []
        acts: list[Act] = []
        for number in sorted(self._touched):
            run = self._runs[number]
            before_ms = run.next_ms
            acts += run.look(now_ms)
            if run.next_ms != before_ms or before_ms <= now_ms:
                self._wake(number)
        self._touched.clear()
        if len(self._times) > SPARE * len(self._runs):
            times = [(run.next_ms, number) for number, run in enumerate(self._runs)]
            self._times = sorted(each for each in times if each[0] != NEVER_MS)
        return acts

    def is_due(self, now_ms: int) -> bool:
        """Has `due` anything to look at?"""
        return bool(self._touched) or bool(self._times and self._times[0][0] <= now_ms)

    def next_ms(self) -> int | None:
        """When `due` may have something without any reading before; None: never."""
        if self._touched:
            return self._now_ms
        return self._times[0][0] if self._times else None

    def refused(self, act: Act, lamp: str) -> None:
        """A lamp did not take its level: it is asked again while the rule holds."""
        for number, run in enumerate(self._runs):
            if run.rule is act.rule and run.is_on and isinstance(run.rule.light, SetLevel):
                self._again(number, lamp, act.at_ms + AGAIN_MS)

    def joined(self, lamp: str, now_ms: int) -> None:
        """A lamp's node is there again, perhaps with no memory of what it was told."""
        for number, run in enumerate(self._runs):
            light = run.rule.light
            if run.is_on and isinstance(light, SetLevel) and lamp in light.lamps:
                self._again(number, lamp, now_ms)

    def saved(self) -> dict[str, tuple[str, bool, int]]:
        """How each rule stands, by name: its version, whether it is on, when it began last."""
        return {
            run.rule.name: (run.rule.version, run.is_on, run.begun_ms)
            for run in self._runs
            if run.begun_ms > -NEVER_MS
        }

    def _again(self, number: int, lamp: str, at_ms: int) -> None:
        run = self._runs[number]
        run.again[lamp] = at_ms
        if at_ms < run.next_ms:
            run.next_ms = at_ms
            self._wake(number)

    def _wake(self, number: int) -> None:
        """Look at a rule when its time comes; each reading may have given it another one."""
        if self._runs[number].next_ms == NEVER_MS:
            return
        heapq.heappush(self._times, (self._runs[number].next_ms, number))
