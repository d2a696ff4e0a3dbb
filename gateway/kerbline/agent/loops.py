"""The local loops at work: feeds the rules with what arrives and passes on what they decide."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.control import arbitration, dimming, leak, program
from kerbline.control.moment import Moment
from kerbline.model import Command, Reading
from kerbline.store import GroupCommit, Store

LEAK = "leak"  # the rule under which the store remembers meters


def plan(config: Config) -> program.Plan:
    """The rules that a config names."""
    return program.Plan(
        tuple(
            dimming.Corridor(c.lamps, c.high_pct, c.ahead, c.hold_s, c.fade_ms)
            for c in config.corridors
        ),
        {rule.meter: leak.Rule(rule.meter, rule.continuous_flow_h) for rule in config.leaks},
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
    group: GroupCommit

    def consider(self, reading: Reading) -> program.Decided:
        """What a reading calls for, at once."""
        before = self.state.leaks
        self.state, decided = program.step(self.plan, self.state, (reading,), self._now())
        if self.state.leaks is not before:
            flow = leak.saved({reading.asset: self.state.leaks[reading.asset]})
            self.group.save_memory(LEAK, reading.asset, json.dumps(flow[reading.asset]))
        return decided

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
