"""All rules of a gateway as one step: readings in, commands and findings out.

The agent calls `step` with whatever arrived (and with nothing, on a tick), and `operate` before
it passes on a command from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kerbline.control import arbitration, dimming, leak
from kerbline.control.moment import Moment
from kerbline.model import Command, Finding, Reading


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules as configured."""

    corridors: tuple[dimming.Corridor, ...] = ()
    leaks: Mapping[str, leak.Rule] = field(default_factory=dict)  # by meter


@dataclass(frozen=True, slots=True)
class State:
    """What the rules remember."""

    dimming: dimming.State = field(default_factory=dimming.State)
    leaks: leak.State = field(default_factory=dict)
    claims: arbitration.Claims = field(default_factory=arbitration.Claims)


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be done now."""

    commands: tuple[Command, ...] = ()
    findings: tuple[Finding, ...] = ()


def step(
    plan: Plan, state: State, readings: Sequence[Reading], now: Moment
) -> tuple[State, Decided]:
    """The state after `readings` and what they call for; a claimed asset gets no command."""
    lights, wanted = dimming.step(plan.corridors, state.dimming, readings, now)
    flows, findings = leak.step(plan.leaks, state.leaks, readings)
    claims = state.claims
    commands: list[Command] = []
    for command in wanted:
        claims, refusal = arbitration.admit(claims, command, now)
        if not refusal:
            commands.append(command)
    return State(lights, flows, claims), Decided(tuple(commands), findings)


def operate(state: State, command: Command, now: Moment) -> tuple[State, str]:
    """The state after a command from outside, and why it is refused (empty: it may go)."""
    claims, refusal = arbitration.admit(state.claims, command, now)
    return replace(state, claims=claims), refusal
