"""An operator's rules at work: hears readings, keeps the time, commands lamps, tells alarms."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from kerbline.agent.light.around import Finder, Memory, Notebook
from kerbline.agent.light.lamps import Lights
from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.config import light_rules as sections
from kerbline.config.light import WEEK, minutes
from kerbline.control.light import conditions
from kerbline.control.light.decision import BEGINS, ENDS, MEMORY, RULE
from kerbline.control.light.programs import Sky
from kerbline.control.light.rules import Act, Notify, Release, Rule, Rules, SetLevel
from kerbline.control.light.wants import RELEASE, SET_LEVEL
from kerbline.model import Command, Finding, Reading, Severity, Value

if TYPE_CHECKING:
    from kerbline.agent.light.programs import LightPrograms

LOOK_S = 5.0  # between two looks at the clock, which may jump
EARLIEST_MS = 1_735_689_600_000  # 2025: a clock that says less was never set
SET_MS = 60_000  # a clock that is so far ahead at once was set
EXPIRY_MS = 10_000
MAX_TEXT = 200


def rules(config: Config, sky: Sky | None) -> list[Rule]:
    """The rules of a config; `sky` is there where it has `[light]`."""
    return [_rule(config, section, sky) for section in config.rules]


def version(section: sections.Rule) -> str:
    """A name of what a rule says: another text of the same content has the same one.

    What is as it is without being said is left out, so that a later kerbline with more keys gives
    the same.
    """
    content = json.dumps(_said(section), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _said(value: object) -> object:
    if is_dataclass(value):
        every = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: _said(each) for field, each in every if each != field.default}
    return [_said(each) for each in value] if isinstance(value, tuple) else value


def _rule(config: Config, section: sections.Rule, sky: Sky | None) -> Rule:
    found = tuple(_conditions(config, section, sky))
    light: SetLevel | Release | None = None
    if section.set_level is not None:
        to = section.set_level
        lamps = sections.lamps(config.lamp_groups, to)
        light = SetLevel(lamps, to.level_pct, to.hold_s, to.fade_ms, to.operation)
    elif section.release is not None:
        light = Release(sections.lamps(config.lamp_groups, section.release))
    notify = None
    if section.notify is not None:
        told = section.notify
        notify = Notify(sections.told_of(section, told), Severity(told.severity), told.text)
    return Rule(
        section.name,
        version(section),
        found,
        section.match == sections.ALL,
        1000 * section.for_s,
        1000 * section.every_s,
        section.priority,
        light,
        notify,
    )


def _conditions(
    config: Config, section: sections.Rule, sky: Sky | None
) -> Iterator[conditions.Condition]:
    for each in section.readings:
        rises = each.above is not None
        bound = each.above if each.above is not None else each.below
        assert bound is not None
        until = bound if each.until is None else each.until
        age_ms = 1000 * each.max_age_s
        sense = 1 if rises else -1
        yield conditions.Threshold(each.asset, each.value, bound, until, sense, age_ms)
    for state in section.states:
        wanted = state.equals
        assert isinstance(wanted, bool | int | float | str)
        yield conditions.Equal(state.asset, state.value, wanted, 1000 * state.max_age_s)
    for event in section.events:
        yield conditions.Told(event.asset, event.event, 1000 * event.within_s)
    for silence in section.silences:
        yield conditions.Silent(silence.asset, 1000 * silence.silent_s)
    light = config.light
    for time in section.times:
        assert light is not None
        days = frozenset(WEEK.index(day) + 1 for day in time.days)
        zone = ZoneInfo(light.time_zone)
        yield conditions.Hours(minutes(time.start), minutes(time.end), zone, days)
    for sun in section.suns:
        assert light is not None and sky is not None
        height = light.night_deg if sun.elevation_deg is None else sun.elevation_deg
        yield conditions.Sun(sun.sun == sections.DOWN, height, sky)


def _sky(config: Config) -> Sky | None:
    if config.light is None:
        return None
    from kerbline.agent.light import programs  # which brings the node's sun

    return programs.Sky(config.light.position)


class LightRules:
    """The rules of a config, across restarts."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Memory,
        group: Notebook,
        lights: Lights,
        programs: LightPrograms | None,
    ) -> None:
        self._rules = rules(config, _sky(config))
        self._programs = programs
        self._engine = Rules(self._rules)
        self._clock = clock
        self._group = group
        self._lights = lights
        self._changed = asyncio.Event()
        self._saved = {
            name: json.loads(body) for name, body in store.memories(MEMORY).items() if body
        }
        self._latest = store.latest()
        self._seen = clock.utc_ms(), clock.monotonic_ms()

    def consider(self, reading: Reading) -> None:
        """A reading of any asset; what follows from it follows at once."""
        if not self._engine.hears(reading.asset):
            return
        now_ms = self._lights.now().street_ms
        self._engine.take(reading, now_ms)
        if self._engine.is_due(now_ms):
            self._changed.set()

    def joined(self, asset: str) -> None:
        """A lamp's node is there again."""
        self._engine.joined(asset, self._lights.now().street_ms)
        self._changed.set()

    async def run(self, records: Finder) -> None:
        """Do what the rules ask for, when they do; for ever."""
        await self._begin(records)
        while True:
            self._changed.clear()
            await self._look(records)
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _begin(self, records: Finder) -> None:
        self._lights.began()
        now_ms = self._lights.now().street_ms
        known = {
            name: (each["version"], each["on"], each["begun_ms"])
            for name, each in self._saved.items()
        }
        self._engine.begin(now_ms, known)
        for reading in sorted(self._latest, key=lambda each: each.observed_at_ms):
            self._engine.recall(reading, now_ms)
        self._latest = ()
        versions = {rule.name: rule.version for rule in self._rules}
        for name, each in self._saved.items():  # of a rule that is another one now
            if each["on"] and each.get("asset") and versions.get(name) != each["version"]:
                await self._tell_over(name, each, records)

    async def _look(self, records: Finder) -> None:
        self._mind_the_clock()
        if not self._clock_is_set():
            return
        acts = self._engine.due(self._lights.now().street_ms)
        for act in acts:
            self._command(act)
        for act in acts:
            if act.tells:
                await records.found(finding(act))
        if any(act.what in (BEGINS, ENDS) for act in acts):
            self._save()
        self._lights.look()

    def _clock_is_set(self) -> bool:
        """Or nobody knows what time and sun say, and how old a reading is."""
        return self._lights.now().street_ms >= EARLIEST_MS

    def _mind_the_clock(self) -> None:
        """It may be set, from 1970 at the latest: no time passed."""
        real_ms, steady_ms = self._clock.utc_ms(), self._clock.monotonic_ms()
        expected_ms = self._seen[0] + steady_ms - self._seen[1]
        if real_ms - expected_ms > SET_MS:
            street_ms = self._clock.street_ms
            self._engine.passed_over(street_ms(real_ms) - street_ms(expected_ms))
        self._seen = real_ms, steady_ms

    def _command(self, act: Act) -> None:
        """One decision for all lamps that get the same level."""
        by_level: dict[int, list[str]] = {}
        for lamp in act.lamps:
            by_level.setdefault(self._level_pct(act.rule, lamp), []).append(lamp)
        by, version = f"{RULE} {act.rule.name}", act.rule.version
        for level_pct, lamps in sorted(by_level.items()) or [(-1, [])]:
            commands = [self._to(lamp, act, level_pct) for lamp in lamps]
            priority = act.rule.priority
            refused = self._lights.issue(commands, by, version, act.what, act.inputs, priority)
            for lamp in refused:
                self._engine.refused(act, lamp)

    def _level_pct(self, rule: Rule, lamp: str) -> int:
        light = rule.light
        if not isinstance(light, SetLevel):
            return -1
        scheduled: int | None = None
        if self._programs is not None and light.operation != sections.SET:
            scheduled = self._programs.level_pct(lamp, self._lights.now().street_ms // 1000)
        return light.asked(scheduled)

    def _to(self, lamp: str, act: Act, level_pct: int) -> Command:
        rule, light, real_ms = act.rule, act.rule.light, self._lights.now().real_ms
        name = f"{RULE}-{rule.name}-{lamp}-{real_ms}"
        source = f"control/{RULE} {rule.name} {rule.version}: {_words(act)}"
        expires_at_ms = real_ms + EXPIRY_MS
        if not isinstance(light, SetLevel):
            return Command(name, lamp, RELEASE, {}, expires_at_ms, source)
        arguments = {"level_pct": level_pct, "hold_s": light.hold_s, "fade_ms": light.fade_ms}
        return Command(name, lamp, SET_LEVEL, arguments, expires_at_ms, source)

    def _save(self) -> None:
        standing = self._engine.saved()
        for rule in self._rules:
            if rule.name not in standing:
                continue
            of_version, is_on, begun_ms = standing[rule.name]
            body = {"version": of_version, "on": is_on, "begun_ms": begun_ms}
            if rule.notify is not None:
                body["asset"] = rule.notify.asset
            if self._saved.get(rule.name) != body:
                self._saved[rule.name] = body
                self._group.save_memory(MEMORY, rule.name, json.dumps(body))

    async def _tell_over(self, name: str, saved: Mapping[str, object], records: Finder) -> None:
        """The alarm of a rule that nobody has any more."""
        at_ms = self._lights.now().street_ms
        evidence: dict[str, Value] = {"version": str(saved["version"]), "why": "the rule changed"}
        asset = str(saved["asset"])
        await records.found(
            Finding(
                asset,
                sections.alarm(name),
                active=False,
                severity=Severity.WARNING,
                observed_at_ms=at_ms,
                evidence=evidence,
            )
        )
        self._group.save_memory(MEMORY, name, "")

    def _wait_s(self) -> float:
        times = [
            each for each in (self._engine.next_ms(), self._lights.next_ms()) if each is not None
        ]
        if not times or not self._clock_is_set():
            return LOOK_S
        now_ms = self._clock.utc_ms()
        wait_s = (self._clock.street.real_ms(min(times)) - now_ms) / 1000
        return max(0.0, min(wait_s, LOOK_S))


def finding(act: Act) -> Finding:
    """The alarm of a rule that begins or ends."""
    notify = act.rule.notify
    assert notify is not None
    # What is known of other assets may be a household's: it stays here, in the decision.
    evidence: dict[str, Value] = {"version": act.rule.version}
    for name, value in act.inputs.items():
        asset, _, what = name.partition(" ")
        if asset == notify.asset:
            evidence[what] = value
    if notify.text:
        evidence["text"] = notify.text
    return Finding(
        notify.asset,
        sections.alarm(act.rule.name),
        active=act.what == BEGINS,
        severity=notify.severity,
        observed_at_ms=act.at_ms,
        evidence=evidence,
    )


def _words(act: Act) -> str:
    found = ", ".join(f"{name} {value}" for name, value in act.inputs.items())
    return f"{act.what} {found}".strip()[:MAX_TEXT]
