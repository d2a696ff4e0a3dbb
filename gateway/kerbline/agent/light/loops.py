"""The local loops at work: feeds the rules with what arrives and passes on what they decide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from kerbline.agent.light.around import Notebook
from kerbline.clock import Clock
from kerbline.config import Config, Dimming
from kerbline.config.awaited import LAMP, METER
from kerbline.control import arbitration, leak, program
from kerbline.control.light.corridor import Corridor
from kerbline.control.moment import Moment
from kerbline.model import Command, Reading
from kerbline.store import Store

LEAK = "leak"  # the rule under which the store remembers meters
# Of a live link: it repeats what is urgent each 15 to 20 ms, and 300 ms are allowed from a motion
# to a neighbour's light. A motion's end is told up to 100 ms late; the light's own rise takes 145.
LATE_MS = 300
LEAD_MS = 400
LOOK_MS = 1_000  # at most until the clock is read again: it may be set
DATING_MS = 250  # a motion is dated by its arrival, so much after it or less


def plan(config: Config) -> program.Plan:
    """The rules that a config names, for those of their assets that have a node of the kind."""
    lamps = frozenset(node.asset for node in config.nodes if node.kind == LAMP)
    meters = frozenset(node.asset for node in config.nodes if node.kind == METER)
    leaks = [rule for rule in config.leaks if rule.meter in meters]
    return program.Plan(
        tuple(_corridor(each, lamps) for each in config.corridors if lamps & set(each.lamps)),
        {rule.meter: leak.Rule(rule.meter, rule.continuous_flow_h) for rule in leaks},
    )


def _corridor(section: Dimming, there: Collection[str] | None = None) -> Corridor:
    """Its lamps, or those that are there, where they stand: who has no sensor sees nobody."""
    placed = zip(section.lamps, section.places_m, strict=True)
    found = [each for each in placed if there is None or each[0] in there]
    lamps, places_m = zip(*found, strict=True)
    return Corridor(
        lamps=lamps,
        positions_m=places_m,
        sensor_range_m=section.sensor_range_m,
        reach_m=section.reach_m,
        full_pct=section.full_pct,
        lead_ms=LEAD_MS,
        late_ms=LATE_MS,
        dating_ms=DATING_MS,
        hold_s=section.hold_s,
        busy_s=section.busy_s,
        sensor_misses=section.sensor_misses,
        pace_change=section.speed_change_pct / 100,
        v_min_mps=section.slowest_mps,
        v_max_mps=section.fastest_mps,
    )


def remembered(store: Store) -> program.State:
    """What the rules knew when the gateway stopped: meters; lamps fade by themselves."""
    meters = {meter: json.loads(body) for meter, body in store.memories(LEAK).items()}
    return program.State(leaks=leak.restored(meters))


@dataclass(slots=True)
class Loops:
    """The rules and what they remember, of meters across a restart too."""

    plan: program.Plan
    clock: Clock
    state: program.State
    group: Notebook
    _moved: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def serve(self, plan: program.Plan) -> None:
        """Another plan from now on; what is known of people and meters stays."""
        if plan != self.plan:
            self.plan, self.state = plan, program.replanned(self.state, plan)
            self._moved.set()

    def consider(self, reading: Reading) -> program.Decided:
        """What a reading calls for, at once."""
        before = self.state.leaks
        self.state, decided = program.step(self.plan, self.state, (reading,), self._now())
        if reading.kind == "event":
            self._moved.set()
        if self.state.leaks is not before:
            flow = leak.saved({reading.asset: self.state.leaks[reading.asset]})
            self.group.save_memory(LEAK, reading.asset, json.dumps(flow[reading.asset]))
        return decided

    async def run(self, follow: Callable[[Sequence[Command]], None]) -> None:
        """Pass on what time alone calls for, lamps that are let go or raised ahead; for ever."""
        while True:
            self._moved.clear()
            next_ms = program.next_ms(self.state)
            if next_ms is None:
                await self._moved.wait()
                continue
            wait_ms = min(self.clock.street.real_ms(next_ms) - self.clock.utc_ms(), LOOK_MS)
            if wait_ms > 0:
                with suppress(TimeoutError):
                    # Not wait_for: of Python 3.11 it may swallow that we are to end.
                    async with asyncio.timeout(wait_ms / 1000):
                        await self._moved.wait()
                    continue
            self.state, decided = program.step(self.plan, self.state, (), self._now())
            follow(decided.commands)

    def refuses(self, command: Command) -> str:
        """Why a command from outside may not go now, before it is taken; empty if it may."""
        return program.operate(self.state, command, self._now())[1]

    def operate(self, command: Command) -> str:
        """Why a command from outside may not go now; empty if it may."""
        self.state, refusal = program.operate(self.state, command, self._now())
        return refusal

    def recall(self, orders: Iterable[tuple[Command, int]], asset: str = "") -> None:
        """Claim what `orders` hold, each accepted at a real UTC; of one asset, or of all."""
        claims = arbitration.Claims()
        for command, at_ms in orders:
            then = Moment(at_ms, self.clock.street_ms(at_ms))
            claims, _ = arbitration.admit(claims, command, then)
        others = {a: c for a, c in self.state.claims.by_asset.items() if asset and a != asset}
        held = arbitration.Claims({**others, **claims.by_asset})
        self.state = replace(self.state, claims=held)

    def _now(self) -> Moment:
        real_ms = self.clock.utc_ms()
        return Moment(real_ms, self.clock.street_ms(real_ms))
