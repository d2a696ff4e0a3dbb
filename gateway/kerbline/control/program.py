"""All rules of a gateway as one step: readings in, commands and findings out.

The agent calls `step` with whatever arrived (and with nothing, on a tick), and `operate` before
it passes on a command from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kerbline.control import arbitration, leak
from kerbline.control.light.corridor import Corridor
from kerbline.control.light.on_demand import OnDemand
from kerbline.control.moment import Moment
from kerbline.model import Command, Finding, Reading


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules as configured."""

    corridors: tuple[Corridor, ...] = ()
    leaks: Mapping[str, leak.Rule] = field(default_factory=dict)  # by meter


@dataclass(frozen=True, slots=True)
class State:
    """What the rules remember; `lights`, one for each corridor from the first step on, changes."""

    lights: tuple[OnDemand, ...] = ()
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
    lights = state.lights or tuple(OnDemand(corridor) for corridor in plan.corridors)
    for light in lights:
        for reading in readings:
            light.take(reading, now)
    flows, findings = leak.step(plan.leaks, state.leaks, readings)
    claims = state.claims
    commands: list[Command] = []
    for light in lights:
        for command in light.commands(now):
            claims, refusal = arbitration.admit(claims, command, now)
            if refusal:
                light.refused(command, now)
            else:
                commands.append(command)
    return State(lights, flows, claims), Decided(tuple(commands), findings)


def replanned(state: State, plan: Plan) -> State:
    """The state for another plan: a corridor that has other lamps now knows who is about.

    Meters keep what is remembered of them, whether the plan has them or not.
    """
    by_lamp = {lamp: light for light in state.lights for lamp in light.corridor.lamps}
    return replace(state, lights=tuple(_light(each, by_lamp) for each in plan.corridors))


def _light(corridor: Corridor, by_lamp: Mapping[str, OnDemand]) -> OnDemand:
    before = next((by_lamp[lamp] for lamp in corridor.lamps if lamp in by_lamp), None)
    if before is None:
        return OnDemand(corridor)
    return before if before.corridor == corridor else before.with_lamps(corridor)


def next_ms(state: State) -> int | None:
    """Street time at which a step without readings may have commands; None: never."""
    times = [light.next_ms() for light in state.lights]
    return min((at_ms for at_ms in times if at_ms is not None), default=None)


def operate(state: State, command: Command, now: Moment) -> tuple[State, str]:
    """The state after a command from outside, and why it is refused (empty: it may go)."""
    claims, refusal = arbitration.admit(state.claims, command, now)
    return replace(state, claims=claims), refusal
