"""The leak rule: water that has not rested once for hours is running away somewhere.

Judged on the totaliser alone, in street time, with a few integers a meter whatever the rate of
reads. Late, repeated and unordered reads change nothing; a stretch without reads proves nothing
and starts the rule anew. Only water seen at rest clears an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from kerbline.model import Finding, Reading, Severity

RULE = "continuous_flow"
VERSION = 1
MAX_VOLUME_L = 1 << 40
HOUR_MS = 3_600_000
REST_MS = HOUR_MS // 2  # no whole litre in half an hour is a rest; so 2 L/h is the least leak seen
BLOCK_MS = HOUR_MS  # the smallest flow is taken over hours: a litre's rounding is then 1 L/h
BLIND_MS = 2 * HOUR_MS  # reads further apart than this may hide a rest


@dataclass(frozen=True, slots=True)
class Rule:
    """Which meter, and for how many hours of street time its flow may go without a rest."""

    meter: str
    continuous_flow_h: float = 24.0


@dataclass(frozen=True, slots=True)
class Flow:
    """What is remembered of one meter: times in street ms, volumes in litres, -1 for none.

    All integers, so that it goes over a restart as a list (`saved`).
    """

    read_ms: int = -1
    volume_l: int = -1
    still_ms: int = -1  # since when the totaliser has not moved
    run_ms: int = -1  # since when it never rested
    run_l: int = 0  # what had flowed by then
    block_ms: int = -1  # the open block of the smallest flow
    block_l: int = 0
    half_ms: int = -1  # the open half of the sliding window of smallest flows
    least_lph: int = -1  # in the open half
    before_lph: int = -1  # in the half before
    alarmed_ms: int = -1  # the alarm is up since; -1 when it is not
    run_reads: int = 0


State = Mapping[str, Flow]  # by meter


def step(
    rules: Mapping[str, Rule], state: State, readings: Sequence[Reading]
) -> tuple[State, tuple[Finding, ...]]:
    """The state after `readings` (of any kind and order) and what they prove or clear."""
    flows: dict[str, Flow] | None = None
    findings: list[Finding] = []
    for reading in readings:
        rule = rules.get(reading.asset)
        volume = reading.values.get("volume_l")
        if rule is None or not isinstance(volume, int) or reading.uncertainty_ms > BLIND_MS:
            continue
        if not 0 <= volume < MAX_VOLUME_L:  # no meter counts so far: a faulty one
            continue
        flows = dict(state) if flows is None else flows
        flow = flows.get(reading.asset, Flow())
        flows[reading.asset], finding = advance(rule, flow, reading.observed_at_ms, volume)
        if finding is not None:
            findings.append(finding)
    return state if flows is None else flows, tuple(findings)


def saved(state: State) -> dict[str, list[int]]:
    """The state as JSON can carry it over a restart; `restored` is its inverse."""
    return {meter: list(astuple(flow)) for meter, flow in state.items()}


def restored(saved: Mapping[str, Sequence[int]]) -> State:
    """The state from what `saved` gave; TypeError when an item has too many numbers."""
    return {meter: Flow(*numbers) for meter, numbers in saved.items()}


def advance(rule: Rule, flow: Flow, at_ms: int, volume_l: int) -> tuple[Flow, Finding | None]:
    """One read of one meter: its state afterwards, and the alarm that begins or ends with it."""
    if at_ms <= flow.read_ms:
        return flow, None
    if flow.read_ms < 0 or volume_l < flow.volume_l or at_ms - flow.read_ms > BLIND_MS:
        return begin(at_ms, volume_l, still_ms=at_ms, alarmed_ms=flow.alarmed_ms), None
    if volume_l == flow.volume_l and at_ms - flow.still_ms >= REST_MS:
        rested = begin(at_ms, volume_l, still_ms=flow.still_ms, alarmed_ms=-1)
        return rested, finding(rule, flow, at_ms) if flow.alarmed_ms >= 0 else None
    still_ms = flow.still_ms if volume_l == flow.volume_l else at_ms
    flow = replace(
        flow, read_ms=at_ms, volume_l=volume_l, still_ms=still_ms, run_reads=flow.run_reads + 1
    )
    flow = measured(rule, flow)
    if flow.alarmed_ms >= 0 or at_ms - flow.run_ms < rule.continuous_flow_h * HOUR_MS:
        return flow, None
    flow = replace(flow, alarmed_ms=at_ms)
    return flow, finding(rule, flow, at_ms)


def begin(at_ms: int, volume_l: int, *, still_ms: int, alarmed_ms: int) -> Flow:
    """A meter from whose past nothing is known but an alarm that stands."""
    return Flow(
        read_ms=at_ms,
        volume_l=volume_l,
        still_ms=still_ms,
        run_ms=at_ms,
        run_l=volume_l,
        block_ms=at_ms,
        block_l=volume_l,
        half_ms=at_ms,
        alarmed_ms=alarmed_ms,
    )


def measured(rule: Rule, flow: Flow) -> Flow:
    """Closes the block of an hour and the half of the window when they are over.

    The window of smallest flows slides by halves: it looks back between one half of
    `continuous_flow_h` and the whole.
    """
    if flow.read_ms - flow.half_ms >= rule.continuous_flow_h * HOUR_MS // 2:
        flow = replace(flow, half_ms=flow.read_ms, before_lph=flow.least_lph, least_lph=-1)
    lasted_ms = flow.read_ms - flow.block_ms
    if lasted_ms < BLOCK_MS:
        return flow
    lph = (flow.volume_l - flow.block_l) * HOUR_MS // lasted_ms
    least = lph if flow.least_lph < 0 else min(lph, flow.least_lph)
    return replace(flow, least_lph=least, block_ms=flow.read_ms, block_l=flow.volume_l)


def finding(rule: Rule, flow: Flow, at_ms: int) -> Finding:
    """What the rule says at `at_ms`, with all that it looked at; active while `flow` flows."""
    flows = [lph for lph in (flow.least_lph, flow.before_lph) if lph >= 0]
    least_lph = min(flows, default=0)
    active = flow.alarmed_ms == at_ms
    ran_ms = (at_ms if active else flow.still_ms) - flow.run_ms
    return Finding(
        rule.meter,
        RULE,
        active,
        Severity.WARNING,
        at_ms,
        {
            "version": VERSION,
            "limit_h": rule.continuous_flow_h,
            "never_rested_h": round(ran_ms / HOUR_MS, 2),
            "since_ms": flow.run_ms,
            "smallest_flow_lph": least_lph,
            "lost_l": least_lph * ran_ms // HOUR_MS,
            "passed_l": flow.volume_l - flow.run_l,
            "reads": flow.run_reads,
        },
    )
