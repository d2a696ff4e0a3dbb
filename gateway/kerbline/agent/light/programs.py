"""Light by the clock at work: what each lamp's node keeps of this night, and what no order breaks.

Each night, noon to noon, every lamp's program is compiled and its node told by CONFIG; the link
sends it when it is another than the node has. All of it follows from the config and the clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from kerbline.agent.light.config import Lamp, lamps, program
from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.config.light import KIND
from kerbline.control.arbitration import Rank, rank
from kerbline.control.light.decision import Decision
from kerbline.control.light.nightly import given
from kerbline.control.light.profile import Bound, Limits, Stored, compiled
from kerbline.control.light.programs import DUSK, HALF_DAY_S, MINUTE_S, Interval, Night
from kerbline.model import Command
from kerbline.sim import node_code
from kerbline.south.node_config import packed
from kerbwire import messages as m

LOOK_S = 5.0  # between two looks at the clock, which may jump
EARLIEST_S = 1_735_689_600  # 2025: a clock before it was never set, and nodes keep what they have
OVERLAP_S = 60  # two solar midnights are at most so much less than a day apart
LATE_S = 60  # an order is tried again for some time, and a lamp fades when it is over
MOST_HOLD_S = 86_400
MOST_MIN = 720  # that a node shifts its dusk or dawn
SET_LEVEL = "set_level"
MAX_STORED = 64  # nights of programs that are remembered

log = logging.getLogger("kerbline.light")


class Sky:
    """The node's own sun above the lamps: `kerbline.control.light.programs.Sky`."""

    def __init__(self, position: tuple[float, ...]) -> None:
        self._latitude, self._longitude = position
        self._sun = node_code.sun()
        self.crossing: Callable[[int, float, int], int] = lru_cache(256)(self._crossing)

    def midnight(self, utc_s: int) -> int:
        """The solar midnight nearest to a time."""
        return self._sun.midnight(utc_s, self._longitude)

    def _crossing(self, midnight_s: int, elevation_deg: float, sense: int) -> int:
        return self._sun.crossing(midnight_s, self._latitude, self._longitude, elevation_deg, sense)


@dataclass(frozen=True, slots=True)
class Told:
    """What a lamp's node is to keep, and why: by which program of which rule."""

    stored: Stored
    why: str


class Fleet(Protocol):
    """Whoever tells the nodes."""

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """More of the CONFIG of an asset's node than the file's [[node]] names."""


class Keep(Protocol):
    """Whoever keeps what was decided."""

    def note_decision(self, at_ms: int, body: str) -> None:
        """A decision at a street time, as text."""


class LightPrograms:
    """The lamps of a config, night by night."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        keep: Keep | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        """`kinds`: what each asset is that is there; what is no lamp is told nothing."""
        assert config.light is not None
        self._kinds = {} if kinds is None else kinds
        self._keep = keep
        self._clock = clock
        self._zone = ZoneInfo(config.light.time_zone)
        self._night_deg = config.light.night_deg
        self._sky = Sky(config.light.position)
        self._programs = {each.name: program(each) for each in config.programs}
        self._lamps = lamps(config)
        self._bounds: dict[tuple[int, int], tuple[Bound, ...]] = {}  # by midnight and limits
        self._night: Night | None = None  # which the nodes were told
        self._stored: dict[tuple[int, int, str], Stored] = {}  # by midnight, limits and program
        self._tight: set[str] = set()  # caps of which that was said
        self._coarse: set[str] = set()  # programs of which that was said

    def night(self, street_s: int) -> Night:
        """The night that a time belongs to: from solar noon to solar noon."""
        midnight_s = self._sky.midnight(street_s)
        return Night(midnight_s, self._sky, self._zone, self._night_deg)

    def night_of(self, begins: date) -> Night:
        """The night that begins on a local date."""
        late = datetime(begins.year, begins.month, begins.day, 23, 59, tzinfo=self._zone)
        return self.night(int(late.timestamp()))

    def lamps(self) -> tuple[str, ...]:
        """Every lamp of a group."""
        return tuple(self._lamps)

    def told(self, asset: str, night: Night) -> Told | None:
        """What a lamp's node is to keep of a night; None where no program has it."""
        lamp = self._lamps.get(asset)
        if lamp is None or lamp.calendar is None:
            return None
        name, rule = lamp.calendar.program(night.date)
        return Told(compiled(self._programs[name], lamp.limits, night), f"program {name} by {rule}")

    def level_pct(self, asset: str, street_s: int) -> int | None:
        """What a lamp's node does by itself at a time; None where no program has it."""
        lamp = self._lamps.get(asset)
        if lamp is None or lamp.calendar is None:
            return None
        night = self.night(street_s)
        name = lamp.calendar.program(night.date)[0]
        return self._kept(lamp, name, night).level_pct(night, street_s)

    def _kept(self, lamp: Lamp, name: str, night: Night) -> Stored:
        """What the node of a lamp with that program keeps of a night."""
        key = (night.midnight_s, id(lamp.limits), name)
        if key not in self._stored:
            if len(self._stored) >= MAX_STORED:
                self._stored.clear()
            self._stored[key] = compiled(self._programs[name], lamp.limits, night)
        return self._stored[key]

    def compile(self, fleet: Fleet, night: Night) -> None:
        """Have every lamp's node told what it is to keep of a night."""
        same: dict[tuple[int, str], Told | None] = {}
        for asset, lamp in self._fitting():
            name = lamp.calendar.program(night.date)[0] if lamp.calendar else ""
            key = (id(lamp.limits), name)
            if key not in same:
                same[key] = self.told(asset, night)
            told = same[key]
            if told is not None and told.stored.coarse and name not in self._coarse:
                self._coarse.add(name)
                log.warning("program %s: more levels than a node keeps: some are brighter", name)
            for bound in self._line(lamp.limits, night):
                if bound.cap and not bound.ceiling_pct and bound.cap not in self._tight:
                    self._tight.add(bound.cap)
                    log.warning("power cap %s: leaves no more than its lamps' floors", bound.cap)
            fleet.configure(asset, values(told.stored if told else None, lamp.clo))
        self._note(night)

    def joined(self, fleet: Fleet, asset: str) -> None:
        """Another node serves a lamp: it is told what that one is to keep of this night."""
        lamp = dict(self._fitting()).get(asset)
        if lamp is not None and self._night is not None:
            told = self.told(asset, self._night)
            fleet.configure(asset, values(told.stored if told else None, lamp.clo))

    def _fitting(self) -> Iterator[tuple[str, Lamp]]:
        """Those of the lamps that are no node of another kind."""
        for asset, lamp in self._lamps.items():
            if self._kinds.get(asset, KIND) == KIND:
                yield asset, lamp

    def _note(self, night: Night) -> None:
        """Keep what lamps are given for a night, each plan with all that have it."""
        if self._keep is None:
            return
        at_ms = self._street_s() * 1000
        plans: dict[tuple[int, str], Decision] = {}
        alike: dict[tuple[int, str], list[str]] = {}
        for asset, lamp in self._fitting():
            if lamp.calendar is None:
                continue
            key = (id(lamp.limits), lamp.calendar.name)
            alike.setdefault(key, []).append(asset)
            if key not in plans:
                name, why = lamp.calendar.program(night.date)
                kept = self._kept(lamp, name, night)
                program = self._programs[name]
                plans[key] = given(at_ms, program, lamp.calendar, lamp.limits, why, kept)
        for key, plan in plans.items():
            self._keep.note_decision(at_ms, replace(plan, lamps=tuple(alike[key])).body())

    async def run(self, fleet: Fleet) -> None:
        """Look at the clock, for ever."""
        while True:
            self.look(fleet)
            await asyncio.sleep(LOOK_S)

    def look(self, fleet: Fleet) -> None:
        """Compile each night as its noon comes, and at once where the clock jumps."""
        street_s, night = self._street_s(), self._night
        is_over = night is None or abs(street_s - night.midnight_s) > HALF_DAY_S + OVERLAP_S
        if is_over and street_s > EARLIEST_S:
            self._night = self.night(street_s)
            self._bounds.clear()
            self.compile(fleet, self._night)

    def keep(self, command: Command) -> tuple[Command, str]:
        """A command as it may go, and what was changed of its level; empty where nothing was.

        For as long as it holds, no floor is undercut and no cap exceeded; safety may do both. One
        by day that holds until the schedule changes ends at dusk where the night wants more: a
        lamp that its cell has lit before would not see a change there.
        """
        lamp = self._lamps.get(command.asset)
        if lamp is None or not (lamp.limits.segment or lamp.limits.caps):
            return command, ""
        if command.operation != SET_LEVEL or rank(command.source) is Rank.SAFETY:
            return command, ""
        now_s = self._street_s()
        level, hold_s = command.whole("level_pct"), command.whole("hold_s")
        until_s = now_s + hold_s + LATE_S
        if not hold_s and (dark := self._next_dark(command.asset, now_s)):
            dusk, until_s = dark
            if now_s < dusk - LATE_S:
                by_night = self._narrowest(lamp.limits, dusk, until_s)
                if by_night.keep(level) != level:
                    hold_s = min(MOST_HOLD_S, dusk - LATE_S - now_s)
                until_s = now_s + 1
        bound = self._narrowest(lamp.limits, now_s, until_s)
        kept = bound.keep(level)
        said = ""
        if kept != level:
            why = f"class {bound.floor.class_name}" if bound.floor.class_name else "floor"
            is_raised = kept == bound.floor.level_pct
            said = f"raised: {kept} % ({why})" if is_raised else f"capped: {kept} % ({bound.cap})"
        arguments = {**command.arguments, "level_pct": kept, "hold_s": hold_s}
        return replace(command, arguments=arguments), said

    def bounds(self, asset: str, street_s: int) -> Bound | None:
        """Between which levels a lamp is kept at a time; None where nothing is said of it."""
        lamp = self._lamps.get(asset)
        if lamp is None:
            return None
        line = self._line(lamp.limits, self.night(street_s))
        begun = [each for each in line if each.since_s <= street_s]
        return begun[-1] if begun else line[0]

    def _next_dark(self, asset: str, now_s: int) -> Interval | None:
        """From when to when it is dark in this night or the next; a lamp's own dusk may be earlier.

        None where the sun does not set.
        """
        night = self.night(now_s)
        for each in (night, self.night(night.midnight_s + 2 * HALF_DAY_S)):
            dusk, dawn = each.dark(self._night_deg)
            if dusk < dawn and now_s < dawn:
                told = self.told(asset, each)
                if told is not None:
                    own = each.sky.crossing(each.midnight_s, told.stored.night_deg, DUSK)
                    dusk = min(dusk, own + MINUTE_S * told.stored.dusk_min)
                return dusk, dawn
        return None

    def _narrowest(self, limits: Limits, from_s: int, until_s: int) -> Bound:
        """The highest floor and the lowest ceiling of a time."""
        night = self.night(from_s)
        found: list[Bound] = []
        while night.begin_s - OVERLAP_S < until_s:
            line = self._line(limits, night)
            times = [each.since_s for each in line[1:]]
            begins = [night.begin_s - OVERLAP_S, *times]
            ends = [*times, night.end_s + OVERLAP_S]
            spans = zip(begins, ends, line, strict=True)
            found += [each for begin, end, each in spans if begin < until_s and from_s < end]
            night = self.night(night.midnight_s + 2 * HALF_DAY_S)
        floor = max(found, key=lambda each: each.floor.level_pct).floor
        lowest = min(found, key=lambda each: each.ceiling_pct)
        return replace(lowest, floor=floor)

    def _line(self, limits: Limits, night: Night) -> tuple[Bound, ...]:
        key = (night.midnight_s, id(limits))
        if key not in self._bounds:
            self._bounds[key] = limits.bounds(night)
        return self._bounds[key]

    def _street_s(self) -> int:
        return self._clock.street_ms(self._clock.utc_ms()) // 1000


def values(stored: Stored | None, clo: tuple[tuple[int, ...], ...]) -> dict[int, int | bytes]:
    """What CONFIG carries of it; a sun's height is rounded to the longer night."""
    found: dict[int, int | bytes] = {}
    if stored is not None:
        found[m.CONFIG_PROFILE] = packed(stored.profile)
        found[m.CONFIG_NIGHT_CDEG] = math.ceil(100 * stored.night_deg)
        found[m.CONFIG_DUSK_MIN] = max(-MOST_MIN, min(MOST_MIN, stored.dusk_min))
        found[m.CONFIG_DAWN_MIN] = max(-MOST_MIN, min(MOST_MIN, stored.dawn_min))
        if stored.motion is not None:
            found[m.CONFIG_MOTION_PCT] = max(1, stored.motion.level_pct)
            found[m.CONFIG_MOTION_S] = stored.motion.hold_s
    if clo:
        found[m.CONFIG_CLO] = b"".join(h.to_bytes(3, "big") + bytes((p,)) for h, p in clo)
    return found
