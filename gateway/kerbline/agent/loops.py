"""The local loops at work: feeds the rules with what arrives and passes on what they decide."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.control import dimming, leak, program
from kerbline.control.moment import Moment
from kerbline.model import Command, Reading


def plan(config: Config) -> program.Plan:
    """The rules that a config names."""
    return program.Plan(
        tuple(
            dimming.Corridor(c.lamps, c.high_pct, c.ahead, c.hold_s, c.fade_ms)
            for c in config.corridors
        ),
        {rule.meter: leak.Rule(rule.meter, rule.continuous_flow_h) for rule in config.leaks},
    )


@dataclass(slots=True)
class Loops:
    """The rules and what they remember."""

    plan: program.Plan
    clock: Clock
    state: program.State

    def consider(self, reading: Reading) -> program.Decided:
        """What a reading calls for, at once."""
        self.state, decided = program.step(self.plan, self.state, (reading,), self._now())
        return decided

    def operate(self, command: Command) -> str:
        """Why a command from outside may not go now; empty if it may."""
        self.state, refusal = program.operate(self.state, command, self._now())
        return refusal

    def _now(self) -> Moment:
        real_ms = self.clock.utc_ms()
        return Moment(real_ms, self.clock.street_ms(real_ms))
