"""Light on demand: who rises, when, and how seldom a command is sent."""

from kerbline.control import dimming
from kerbline.control.moment import Moment
from kerbline.model import Command, Key, Reading, Value

STREET = dimming.Corridor(tuple(f"lamp-{n}" for n in range(1, 7)), hold_s=8)
MOTION: dict[str, Value] = {"event": "motion", "value": 1}


def motion(lamp: int, at_ms: int) -> Reading:
    return Reading(Key(f"sl-{lamp}", 1, at_ms), f"lamp-{lamp}", "event", at_ms, 10, MOTION)


def drive(*motions: tuple[int, int]) -> list[tuple[int, Command]]:
    """(ms, command) for (lamp, ms) in turn, one step each."""
    state, sent = dimming.State(), []
    for lamp, at_ms in motions:
        now = Moment(10**12 + at_ms, at_ms)
        state, commands = dimming.step([STREET], state, [motion(lamp, at_ms)], now)
        sent += [(at_ms, command) for command in commands]
    return sent


def test_a_motion_raises_the_lamp_first_then_its_neighbours() -> None:
    sent = drive((3, 1000))
    assert [command.asset for _, command in sent] == ["lamp-3", "lamp-2", "lamp-4"]
    assert {command.operation for _, command in sent} == {"set_level"}
    assert dict(sent[0][1].arguments) == {"level_pct": 100, "hold_s": 8, "fade_ms": 1500}


def test_the_ends_of_the_street_have_one_neighbour() -> None:
    assert [c.asset for _, c in drive((1, 0))] == ["lamp-1", "lamp-2"]
    assert [c.asset for _, c in drive((6, 0))] == ["lamp-6", "lamp-5"]


def test_every_lamp_rises_before_a_car_that_was_seen_twice() -> None:
    pace_ms = 1500  # 72 km/h at 30 m
    sent = drive(*((lamp, lamp * pace_ms) for lamp in range(1, 7)))
    first: dict[str, int] = {}
    for at_ms, command in sent:
        first.setdefault(command.asset, at_ms)
    assert all(first[f"lamp-{lamp}"] <= (lamp - 1) * pace_ms for lamp in range(2, 7))
    assert all(first[f"lamp-{lamp}"] <= (lamp - 2) * pace_ms for lamp in range(4, 7))


def test_a_pace_is_measured_finer_than_the_seconds_of_a_node() -> None:
    state = dimming.State()
    sent: tuple[Command, ...] = ()
    for lamp, at_ms, told_ms in ((1, 1990, 1000), (2, 4010, 4000)):
        coarse = Reading(Key("sl", 1, lamp), f"lamp-{lamp}", "event", told_ms, 1000, MOTION)
        state, sent = dimming.step([STREET], state, [coarse], Moment(at_ms, at_ms))
    assert sent[-1].source.endswith("at 2020 ms/lamp")


def test_a_car_the_other_way_raises_the_lamps_on_its_side() -> None:
    sent = drive((6, 0), (5, 1000))
    assert [c.asset for at, c in sent if at == 1000] == ["lamp-4", "lamp-3", "lamp-2"]


def test_two_cars_meet_and_keep_their_directions() -> None:
    cars: tuple[dimming.Car, ...] = ()
    for lamp, at_ms in ((0, 0), (5, 100), (1, 2000), (4, 2100), (2, 4000), (3, 4100)):
        cars, _ = dimming.follow(cars, lamp, at_ms)
    assert sorted((car.lamp, car.direction, car.lamp_ms) for car in cars) == [
        (2, 1, 2000),
        (3, -1, 2000),
    ]


def test_a_second_motion_within_half_the_hold_sends_nothing_then_one_renewal() -> None:
    sent = drive((3, 0), (3, 3900), (3, 4000), (3, 4100))
    assert [at for at, command in sent if command.asset == "lamp-3"] == [0, 4000]


def test_a_motion_from_a_backlog_lights_nobody() -> None:
    late = dimming.step([STREET], dimming.State(), [motion(3, 0)], Moment(0, 6000))
    assert late[1] == ()


def test_other_readings_and_strangers_light_nobody() -> None:
    report = Reading(Key("sl-3", 1, 1), "lamp-3", "streetlight", 0, 0, {"level_pct": 30})
    stranger = Reading(Key("x", 1, 1), "lamp-x", "event", 0, 0, MOTION)
    assert dimming.step([STREET], dimming.State(), [report, stranger], Moment(0, 0))[1] == ()


def test_a_command_says_why_and_expires_soon() -> None:
    _, command = drive((1, 0), (2, 2000))[-1]
    assert command.source == "control/dimming v1: motion at lamp-2 2000 +1 at 2000 ms/lamp"
    assert command.expires_at_ms == 10**12 + 2000 + dimming.EXPIRY_MS


def test_a_crowd_is_bounded() -> None:
    cars: tuple[dimming.Car, ...] = ()
    for n in range(100):
        cars, _ = dimming.follow(cars, 3 * n, n)
    assert len(cars) == dimming.CARS
