"""Light where people are: nobody who was seen is ever without it, and few others have it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kerbline.control import program
from kerbline.control.light.following import Follower
from kerbline.control.light.on_demand import OnDemand
from kerbline.control.moment import Moment
from kerbline.model import Command, Key, Reading
from tests.light_followed import Street, hurried, judged, real, traffic

STREETS = (
    Street(20, 30, 10),
    Street(12, 20, 5),
    Street(12, 20, 25),
    Street(10, 50, 5),
    Street(10, 50, 25, latency_ms=100),
    Street(14, 35, 20, latency_ms=20, loss=0.0),
    Street(14, 25, 12.5, loss=0.2),
    Street(2, 45, 9),
    Street(12, 30, 10, uneven=0.8),
    Street(12, 25, 15, uneven=0.6),
)


@pytest.mark.parametrize("each_s", [6, 60])
@pytest.mark.parametrize("street", STREETS, ids=str)
def test_whoever_was_seen_has_light_and_few_others(street: Street, each_s: float) -> None:
    chance = random.Random(f"{street} {each_s}")
    found = judged(street, traffic(chance, 60, each_s), chance.randrange(1_000_000))
    assert found.short_ms == 0
    assert found.full_ms < found.owed_ms * (1.25 if street.lamps > 2 else 1.6)


def test_a_missed_sighting_and_a_changed_speed_are_reckoned_with() -> None:
    street = Street(12, 30, 10)
    walks = traffic(random.Random(5), 60, 20)
    blind = judged(street, walks, 5, miss=0.05)
    assert blind.short_ms > 0.01 * blind.owed_ms
    found = judged(street, walks, 5, real(street), miss=0.05)
    assert found.short_ms < 0.001 * found.owed_ms


@pytest.mark.parametrize("misses", [0, 1])
def test_whoever_changes_his_speed_has_light(misses: int) -> None:
    street = Street(10, 30, 10)
    corridor = replace(real(street), sensor_misses=misses)
    for seed in range(3):
        chance = random.Random(seed)
        walks = [hurried(street, chance, walk, 0.23) for walk in traffic(chance, 40, 15)]
        assert judged(street, walks, seed, corridor).short_ms == 0
        steady = judged(street, walks, seed, replace(corridor, pace_change=0.0, sensor_misses=0))
        assert steady.short_ms > 0


def test_two_of_whom_one_leaves_a_zone_as_the_other_enters_it() -> None:
    """Both edges have the same millisecond, and the later one comes first."""
    street = Street(3, 50, 5)
    follower = Follower(replace(street.corridor(), v_max_mps=40.0))
    follower.saw(0, 0, True)
    follower.saw(0, 250, False)  # 20 m/s
    follower.saw(1, 2250, True)
    follower.saw(1, 2750, True)  # somebody the other way
    follower.saw(1, 2750, False)
    follower.due(2760)
    follower.due(3400)
    assert {change.lamp for change in follower.due(3400)} == set()
    follower.saw(1, 3250, False)
    assert [change for change in follower.due(3500) if not change.full] == []


def test_an_edge_that_comes_late_is_no_lost_one() -> None:
    street = Street(6, 30, 10)
    follower = Follower(street.corridor())
    for lamp, at_ms, is_there in ((0, 0, True), (0, 1000, False)):  # 10 m/s
        follower.saw(lamp, at_ms, is_there)
        follower.due(at_ms + 25)
    lost = [change for now in range(1100, 4000, 50) for change in follower.due(now)]
    assert {change.lamp for change in lost if not change.full} >= {0, 1, 2}  # nobody came
    follower.saw(1, 2000, True)
    assert {change.lamp for change in follower.due(4000) if change.full} >= {0, 1, 2, 3}


def test_somebody_from_a_door_or_who_turns_has_light() -> None:
    street = Street(12, 30, 10)
    follower = Follower(replace(street.corridor(), v_min_mps=0.7))
    follower.saw(6, 0, True)
    assert {change.lamp for change in follower.due(10)} >= {4, 5, 6, 7, 8}
    follower.saw(6, 30_000, False)  # and nobody could be so slow
    follower.saw(5, 33_000, True)
    follower.due(33_010)
    follower.saw(5, 36_000, False)
    follower.due(36_010)
    gone = [change for now in range(36_020, 200_000, 100) for change in follower.due(now)]
    assert {change.lamp for change in gone if not change.full} >= {3, 4, 5, 6, 7}


def test_a_sensor_that_never_rests_is_not_believed_for_ever() -> None:
    follower = Follower(replace(Street(4, 30, 10).corridor(), busy_s=60, v_min_mps=0.7))
    follower.saw(0, 0, True)
    changes = [change for now in range(0, 400_000, 100) for change in follower.due(now)]
    assert changes[-1].full is False
    assert follower.next_ms() is None
    follower.saw(0, 500_000, False)
    follower.saw(0, 600_000, True)
    assert {change.lamp for change in follower.due(600_010) if change.full} == {0, 1, 2}


def test_a_hold_is_renewed_while_somebody_may_be_there() -> None:
    corridor = replace(Street(3, 30, 10).corridor(), hold_s=10)
    follower = Follower(corridor)
    follower.saw(0, 0, True)
    told = [(now, c.full) for now in range(0, 21_000, 100) for c in follower.due(now) if not c.lamp]
    assert told == [(0, True), (5000, True), (10_000, True), (15_000, True), (20_000, True)]


def test_one_silent_sensor_may_have_missed_somebody() -> None:
    perfect = Street(12, 30, 10).corridor()
    for misses, lost in ((0, True), (1, False)):
        follower = Follower(replace(perfect, sensor_misses=misses))
        for lamp, at_ms, is_there in ((0, 0, True), (0, 1000, False), (1, 2000, True)):
            follower.saw(lamp, at_ms, is_there)
        follower.saw(
            1, 4000, False
        )  # the next would see him from 5 s to 7 s, the one after it from 8 s
        changes = [change for now in range(4000, 7950, 50) for change in follower.due(now)]
        assert any(not change.full and change.lamp == 3 for change in changes) is lost


def test_a_lamp_that_somebody_else_holds_is_asked_for_until_it_is_free() -> None:
    corridor = Street(2, 30, 10).corridor()
    plan, state = program.Plan((corridor,)), program.State()
    held = Command("1", "lamp-0", "set_level", {"level_pct": 5, "hold_s": 5}, 0, "operator/anna")
    state, _ = program.operate(state, held, Moment(10**12, 0))
    readings = [motion("lamp-0", 1000)]
    asked: list[tuple[int, str]] = []
    for now_ms in range(1000, 7000, 100):
        now = Moment(10**12 + now_ms, now_ms)
        state, decided = program.step(plan, state, readings, now)
        readings = []
        asked += [(now_ms, command.asset) for command in decided.commands]
    assert asked == [(1000, "lamp-1"), (5000, "lamp-0")]


def motion(lamp: str, at_ms: int, event: str = "motion") -> Reading:
    return Reading(Key("sl", 1, at_ms), lamp, "event", at_ms // 1000 * 1000, 1000, {"event": event})


def commands(light: OnDemand, until_ms: int) -> list[tuple[int, Command]]:
    found: list[tuple[int, Command]] = []
    while (next_ms := light.next_ms()) is not None and next_ms <= until_ms:
        found += [(next_ms, each) for each in light.commands(Moment(10**12 + next_ms, next_ms))]
    return found


def test_a_motion_becomes_commands_and_a_release() -> None:
    light = OnDemand(replace(Street(3, 30, 10).corridor(), full_pct=80))
    light.take(motion("lamp-0", 1200), Moment(10**12 + 1500, 1500))
    light.take(motion("elsewhere", 1200), Moment(10**12 + 1500, 1500))
    now = Moment(10**12 + 1500, 1500)
    raised = light.commands(now)
    assert [(each.asset, each.operation) for each in raised] == [
        (f"lamp-{lamp}", "set_level") for lamp in range(3)
    ]
    assert dict(raised[0].arguments) == {"level_pct": 80, "hold_s": 30, "fade_ms": 1}
    assert raised[0].source.startswith("control/dimming v")
    assert "up the street before or at lamp-0" in raised[0].source
    light.take(motion("lamp-0", 2500, "motion_clear"), Moment(10**12 + 2500, 2500))
    assert light.commands(Moment(10**12 + 2500, 2500)) == []
    released = commands(light, 20_000)
    assert sorted(each.asset for _, each in released) == ["lamp-0", "lamp-1", "lamp-2"]
    assert {each.operation for _, each in released} == {"release"}
    assert len({each.id for each in [*raised, *(each for _, each in released)]}) == 6


def test_a_clock_that_is_set_back_leaves_no_lamp_forgotten() -> None:
    light = OnDemand(Street(3, 30, 10).corridor())
    for at_ms in (7_200_000, 3_600_000):
        now = Moment(10**12 + at_ms, at_ms)
        light.take(motion("lamp-0", at_ms), now)
        assert [each.operation for each in light.commands(now)] == ["set_level"] * 3
    assert (light.next_ms() or 0) < 3_700_000


def test_a_motion_from_a_backlog_lights_nobody() -> None:
    light = OnDemand(Street(3, 30, 10).corridor())
    light.take(motion("lamp-0", 0), Moment(10**12 + 7000, 7000))
    assert light.commands(Moment(10**12 + 7000, 7000)) == []
