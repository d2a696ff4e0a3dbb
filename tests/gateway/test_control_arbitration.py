"""Who may command a lamp, and the program that asks."""

import pytest

from kerbline.control import arbitration, leak, program
from kerbline.control.arbitration import Claims
from kerbline.control.light.corridor import Corridor
from kerbline.control.moment import Moment
from kerbline.model import Command, Finding, Key, Reading

NOW = Moment(10**12, 0)
LATER = Moment(10**12 + 8000, 8000)


def set_level(source: str, hold_s: int = 8) -> Command:
    return Command("1", "lamp-1", "set_level", {"level_pct": 50, "hold_s": hold_s}, 0, source)


SOURCES = ("schedule", "control/dimming", "operator/anna", "safety/crossing")


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_safety_operator_control_schedule(first: int, second: int) -> None:
    claims, _ = arbitration.admit(Claims(), set_level(SOURCES[first]), NOW)
    _, refusal = arbitration.admit(claims, set_level(SOURCES[second]), NOW)
    assert refusal == (f"held by {SOURCES[first]}" if second < first else "")
    assert arbitration.admit(claims, set_level(SOURCES[second]), LATER)[1] == ""


def test_a_claim_without_end_lasts_until_its_rank_releases_it() -> None:
    held, _ = arbitration.admit(Claims(), set_level("mqtt", hold_s=0), NOW)
    release = Command("2", "lamp-1", "release", {}, 0, "control/dimming")
    assert arbitration.admit(held, release, LATER)[1] == "held by mqtt"
    free, refusal = arbitration.admit(held, Command("3", "lamp-1", "release", {}, 0, "mqtt"), LATER)
    assert (free, refusal) == (Claims(), "")


def test_the_program_keeps_its_hands_off_what_an_operator_holds() -> None:
    plan = program.Plan((Corridor(("lamp-1", "lamp-2"), (0.0, 30.0), 10.0),))
    state, refusal = program.operate(program.State(), set_level("mqtt", hold_s=0), NOW)
    assert refusal == ""
    motion = Reading(Key("a", 1, 1), "lamp-1", "event", 0, 0, {"event": "motion", "value": 1})
    state, decided = program.step(plan, state, [motion], NOW)
    assert [command.asset for command in decided.commands] == ["lamp-2"]


def test_the_program_finds_a_leak_and_numbers_nothing() -> None:
    plan = program.Plan(leaks={"meter-1": leak.Rule("meter-1", continuous_flow_h=1)})
    state = program.State()
    found: list[Finding] = []
    for n in range(10):
        values = {"volume_l": 5 * n}
        read = Reading(Key("w", 1, n), "meter-1", "water_meter", n * 900_000, 0, values)
        state, decided = program.step(plan, state, [read], NOW)
        found += decided.findings
    assert [finding.alarm(Key("gw", 1, 1)).asset for finding in found] == ["meter-1"]
