"""Sun, profile and the night's middle against almanac values and by hand."""

from kerbnode import sun
from kerbnode.schedule import (
    ASTRAY,
    BLINDED,
    COVERED,
    DEEP_S,
    FROZEN_S,
    LONG_DAY_S,
    SILENT,
    Schedule,
    VirtualMidnight,
    level,
)

AMSTERDAM = (52.37, 4.9)
SYDNEY = (-33.87, 151.21)
MIDSUMMER_S = 1_750_464_000  # 2025-06-21 00:00 UTC
MIDWINTER_S = 1_766_275_200  # 2025-12-21 00:00 UTC
HORIZON = -0.8333  # the sun's upper edge, with refraction
PROFILE = ((-720, 100), (-120, 30), (300, 100))


CIVIL = (-2.5, 0, 0)  # what a node has by itself: the sun's height, later by so many minutes


def planned(
    profile: "tuple[tuple[int, int], ...]",
    position: "tuple[float, float] | None",
    lead_s: int = 0,
    night: "tuple[float, int, int]" = CIVIL,
) -> Schedule:
    """A schedule that is configured."""
    schedule = Schedule(position, lead_s)
    schedule.configure(profile, night)
    return schedule


def edges(midnight_s: int, place: "tuple[float, float]") -> "tuple[int, int]":
    """Sunset before and sunrise after the solar midnight nearest to a time."""
    middle_s = sun.midnight(midnight_s, place[1])
    return (
        sun.crossing(middle_s, place[0], place[1], HORIZON, -1),
        sun.crossing(middle_s, place[0], place[1], HORIZON, 1),
    )


def near(found_s: int, day_s: int, hour: int, minute: int) -> bool:
    return abs(found_s - day_s - 3600 * hour - 60 * minute) <= 60


def test_amsterdam_has_its_almanac_times() -> None:
    fall_s, rise_s = edges(MIDSUMMER_S, AMSTERDAM)
    assert near(rise_s, MIDSUMMER_S, 3, 18) and near(fall_s, MIDSUMMER_S - 86_400, 20, 6)
    fall_s, rise_s = edges(MIDWINTER_S, AMSTERDAM)
    assert near(rise_s, MIDWINTER_S, 7, 48) and near(fall_s, MIDWINTER_S - 86_400, 15, 29)


def test_sydney_has_its_almanac_times() -> None:
    fall_s, rise_s = edges(MIDWINTER_S + 14 * 3600, SYDNEY)
    assert near(rise_s, MIDWINTER_S, 18, 41) and near(fall_s, MIDWINTER_S, 9, 5)


def test_solar_midnight_is_where_longitude_puts_it() -> None:
    assert abs(sun.midnight(MIDSUMMER_S, 5.0) - (MIDSUMMER_S - 18 * 60)) <= 60
    assert abs(sun.midnight(MIDSUMMER_S, 180.0) - (MIDSUMMER_S - 43_200 + 2 * 60)) <= 60


def test_a_polar_day_has_no_night_and_a_polar_night_no_day() -> None:
    for latitude in (67.0, 70.0, 85.0, 89.999, 90.0):
        summer, winter = planned(PROFILE, (latitude, 20.0)), planned(PROFILE, (latitude, 20.0))
        south = planned(PROFILE, (-latitude, 20.0))
        dark = 0
        for minute in range(0, 3 * 1440, 7):
            assert summer.step(60 * minute, MIDSUMMER_S + 60 * minute, None) == 0
            dark += winter.step(60 * minute, MIDWINTER_S + 60 * minute, None) == 0
            assert south.step(60 * minute, MIDWINTER_S + 60 * minute, None) == 0
        # At 67 degrees the sun comes up to -0.4 at noon: no night there, by the switching height.
        assert dark == 0 if latitude > 69.1 else dark > 0


def test_no_second_of_a_polar_day_is_night_and_none_of_a_polar_night_day() -> None:
    """A lamp goes on ahead of others: where there is no dusk, ahead of nothing."""
    for start_s, level_pct in ((MIDSUMMER_S - 20 * 60, 0), (MIDWINTER_S + 43_200 - 20 * 60, 100)):
        schedule = planned(PROFILE, (75.0, 0.0), 15)
        schedule.step(0, start_s - 11 * 3600, None)
        for second in range(45 * 60):
            assert schedule.step(second, start_s + second, None) == level_pct


def test_lamps_of_a_street_go_on_one_after_the_other() -> None:
    first, second = planned(PROFILE, AMSTERDAM, 0), planned(PROFILE, AMSTERDAM, 9)
    noon_s = MIDWINTER_S + 43_200
    on = []
    for schedule in (first, second):
        second_s = noon_s
        while not schedule.step(second_s, second_s, None):
            second_s += 1
        on.append(second_s)
    assert on[0] - on[1] == 9


def switched(schedule: Schedule, noon_s: int) -> "tuple[int, int]":
    """The seconds at which it goes on and off between a noon and the next, without a cell."""
    found = []
    lit = False
    at_s = noon_s
    while at_s < noon_s + 86_400:
        step_s = 60
        if (schedule.step(at_s, at_s, None) > 0) != lit:
            at_s -= step_s
            while (schedule.step(at_s, at_s, None) > 0) == lit:
                at_s += 1
            lit = not lit
            found.append(at_s)
        at_s += step_s
    assert len(found) == 2, found
    return found[0], found[1]


def test_a_night_begins_and_ends_at_the_height_and_the_minutes_that_are_set() -> None:
    noon_s = MIDWINTER_S - 43_200
    middle_s = sun.midnight(MIDWINTER_S, AMSTERDAM[1])
    for height, dusk_min, dawn_min in ((-2.5, 0, 0), (0.3, 0, 0), (-6, 0, 0), (-0.83, -30, 45)):
        schedule = planned(PROFILE, AMSTERDAM, 0, (height, dusk_min, dawn_min))
        on_s, off_s = switched(schedule, noon_s)
        assert on_s == 60 * dusk_min + sun.crossing(middle_s, *AMSTERDAM, height, -1)
        assert off_s == 60 * dawn_min + sun.crossing(middle_s, *AMSTERDAM, height, 1)


def test_another_night_holds_at_once_and_the_cell_is_judged_as_before() -> None:
    schedule = planned(((-720, 100),), AMSTERDAM)
    dusk_s = sun.crossing(sun.midnight(MIDWINTER_S, AMSTERDAM[1]), *AMSTERDAM, -2.5, -1)
    assert schedule.step(0, dusk_s - 600, 900) == 0
    schedule.configure(((-720, 70),), (-2.5, -180, 0))
    for second in range(200):
        assert schedule.step(second, dusk_s - 600 + second, 900) == 70
    assert schedule.step(200, dusk_s - 3 * 3600 + 5, 900) == 70
    assert schedule.cell_fault == 0, "two hours into that night it is day, and the cell may say so"
    schedule.configure(((-720, 70),), (-2.5, 60, 0))
    for second in range(201, 3600, 10):
        assert schedule.step(second, dusk_s + second, 900) == 0
    assert schedule.step(3600, dusk_s + 3600, 900) == 70


def test_a_sun_that_does_not_set_or_rise_leaves_nothing_to_be_late() -> None:
    for night in ((-2.5, -300, 300), (0.3, 300, -300)):
        summer, winter = (planned(PROFILE, (75.0, 20.0), 15, night) for _ in range(2))
        for minute in range(0, 3 * 1440, 7):
            assert summer.step(60 * minute, MIDSUMMER_S + 60 * minute, None) == 0
            assert winter.step(60 * minute, MIDWINTER_S + 60 * minute, None) > 0


def test_no_minute_is_dark_between_two_nights_that_meet_at_noon() -> None:
    """At 66 degrees the shortest day is 4 h above -2.5 degrees; two hours more at each end meet."""
    for dusk_min, dawn_min in ((-150, 150), (-300, 0), (0, 300)):
        schedule = planned(PROFILE, (66.0, 20.0), 0, (-2.5, dusk_min, dawn_min))
        for minute in range(2 * 1440):
            assert schedule.step(60 * minute, MIDWINTER_S + 60 * minute, None) > 0


def test_a_night_whose_dusk_comes_after_its_dawn_is_none() -> None:
    schedule = planned(PROFILE, AMSTERDAM, 15, (-2.5, 600, -600))
    for minute in range(2 * 1440):
        assert schedule.step(60 * minute, MIDWINTER_S + 60 * minute, None) == 0


def test_the_profile_steps_around_the_middle_of_the_night() -> None:
    assert level(PROFILE, -121) == 100
    assert level(PROFILE, -120) == 30
    assert level(PROFILE, 299) == 30
    assert level(PROFILE, 300) == 100
    assert level(((-100, 50), (100, 80)), -700) == 80
    assert level(PROFILE, None) == 100


def test_virtual_midnight_is_between_dusk_and_dawn() -> None:
    learnt = VirtualMidnight()
    learnt.see(0, night=False)
    learnt.see(6 * 3600, night=True)
    assert learnt.minutes(7 * 3600) is None
    learnt.see(16 * 3600, night=False)
    assert learnt.minutes(35 * 3600) == 0
    assert learnt.minutes(33 * 3600) == -120
    assert learnt.minutes(11 * 3600 + 4 * 86_400) is None


def test_a_dark_hour_by_day_teaches_nothing() -> None:
    learnt = VirtualMidnight()
    learnt.see(0, night=False)
    learnt.see(3600, night=True)
    learnt.see(7200, night=False)
    assert learnt.minutes(7200) is None


def run(schedule: Schedule, lux: int, since_s: int, span_s: int) -> int:
    """Readings each second, around `lux`, without a clock; the level at the end."""
    pct = -1
    for second in range(since_s, since_s + span_s):
        pct = schedule.step(second, None, lux + second % 2)
    return pct


def test_light_decides_with_hysteresis() -> None:
    schedule = planned(((-720, 100),), None)
    assert run(schedule, 0, 0, 10) == 100
    assert run(schedule, 60, 10, 600) == 100
    assert run(schedule, 70, 610, 119) == 100  # no headlight stays for two minutes
    assert run(schedule, 60, 729, 1) == 100
    assert run(schedule, 70, 730, 130) == 0
    assert run(schedule, 36, 860, 600) == 0
    assert run(schedule, 33, 1460, 1) == 100


def test_sun_and_cell_agree_on_day_or_the_lamp_is_lit() -> None:
    schedule = planned(((-720, 100),), AMSTERDAM)
    noon_s = MIDWINTER_S + 12 * 3600
    assert schedule.step(0, noon_s, 5000) == 0
    assert schedule.step(1, noon_s + 1, 20) == 100  # a storm
    assert schedule.step(2, MIDWINTER_S, 5000) == 100  # light on the cell is no day
    for second in range(3, 200):
        assert schedule.step(second, MIDWINTER_S + second, 5000) == 100


def test_a_covered_cell_is_not_believed_for_longer_than_a_day() -> None:
    schedule = planned(((-720, 100),), AMSTERDAM)
    lit_by_day = 0
    for minute in range(3 * 1440):
        utc_s = MIDWINTER_S + 60 * minute
        pct = schedule.step(60 * minute, utc_s, 3)
        by_sun = planned(((-720, 100),), AMSTERDAM).step(0, utc_s, None)
        assert pct >= by_sun
        if minute > 2 * 1440:
            assert pct == by_sun
        lit_by_day += pct > by_sun
    assert 0 < lit_by_day < 700
    assert schedule.cell_fault == COVERED
    assert schedule.step(0, MIDWINTER_S + 12 * 3600, 900) == 0
    assert schedule.cell_fault == 0


def test_a_blinded_or_silent_cell_is_told() -> None:
    schedule = planned(((-720, 100),), AMSTERDAM)
    assert schedule.step(0, MIDWINTER_S, 900) == 100 and schedule.cell_fault == BLINDED
    assert schedule.step(1, MIDWINTER_S + 43_200, 900) == 0 and schedule.cell_fault == BLINDED
    assert schedule.step(2, MIDWINTER_S + 86_400, 2) == 100 and schedule.cell_fault == 0
    assert schedule.step(3, MIDWINTER_S, None) == 100 and schedule.cell_fault == SILENT


def test_a_frozen_cell_without_a_clock_lights_the_street() -> None:
    schedule = planned(((-720, 100),), None)
    for second in range(3600):
        assert schedule.step(second, None, 800) == 100  # has never changed: nothing is proven
    assert run(schedule, 800, 3600, 130) == 100  # nor is it by noise
    assert run(schedule, 1800, 3730, 10) == 0
    for second in range(4000, 5000):
        pct = schedule.step(second, None, 1800)
    assert pct == 100


def test_what_moved_before_a_cell_froze_proves_nothing_of_the_night_after() -> None:
    """9 of 5000 lx are no movement, 10 are: the tenth is noise that comes hours later."""
    schedule = planned(((-720, 100),), None)
    for second in range(1260):
        schedule.step(second, None, 0 if second < 60 else 3000 + second)
    schedule.step(1260, None, 5000)
    for second in range(1261, 5000):
        pct = schedule.step(second, None, 5009)
    assert pct == 100
    for second in range(5000, 9000):
        assert schedule.step(second, None, 5009 + (second == 5000)) == 100


def test_a_broken_sensor_leaves_it_to_the_sun() -> None:
    schedule = planned(PROFILE, AMSTERDAM)
    assert schedule.step(0, MIDWINTER_S + 12 * 3600, None) == 0
    assert schedule.step(0, MIDWINTER_S, None) == 30


def test_without_clock_and_sensor_the_street_is_never_dark() -> None:
    schedule = planned(((-720, 0),), None)
    for hour in range(48):
        assert schedule.step(hour * 3600, None, None) == 100


def test_without_a_clock_the_light_alone_teaches_the_dimming() -> None:
    schedule = planned(PROFILE, None)
    for hour in range(60):
        lux = 0 if hour % 24 >= 18 or hour % 24 < 6 else 5000
        for second in range(0, 3600, 60):
            pct = schedule.step(hour * 3600 + second, None, lux + (second if lux else 0))
        if hour in (20, 24):
            assert pct == 100
        if hour == 48:
            assert pct == 30
        if hour == 12:
            assert pct == 0


STEP_S = 10


def evening(
    position: "tuple[float, float] | None", lux: "list[int | None]", *, utc: bool, learnt: bool
) -> int:
    """Seconds of darkness in 10 h of night in which the cell says `lux` over and over.

    Before it come days of 5000 lx and more from 7 to 21 h: one and a half, or one afternoon.
    """
    schedule = planned(((-720, 100),), position)
    begin_s = 0 if learnt else 42 * 3600
    dark = 0
    for second in range(begin_s, 55 * 3600, STEP_S):
        utc_s = MIDWINTER_S + 3 * 3600 + second - 21 * 3600 if utc else None  # night at 18 h UTC
        told: int | None = 0
        if second >= 45 * 3600:
            told = lux[second // STEP_S % len(lux)]
        elif 7 * 3600 <= second % 86_400 < 21 * 3600:
            told = 5000 + second % 3600 * 2
        pct = schedule.step(second - begin_s, utc_s, told)
        dark += second >= 45 * 3600 and not pct
    return dark * STEP_S


def test_a_blinded_cell_that_no_sun_contradicts_keeps_the_street_dark_ten_minutes() -> None:
    for readings in ([150], [150, 151], [150] * 54 + [151] * 54, [400, 406, 403], [5000, 5003]):
        for position, utc in ((None, True), (None, False), (AMSTERDAM, False)):
            for learnt in (False, True):
                assert evening(position, readings, utc=utc, learnt=learnt) <= FROZEN_S


def test_a_night_that_was_seen_contradicts_even_a_lively_cell() -> None:
    lively = [150] * 30 + [900] * 30
    assert evening(None, lively, utc=True, learnt=True) <= DEEP_S + 60
    assert evening(None, lively, utc=False, learnt=True) <= DEEP_S + 60
    assert evening(None, lively, utc=False, learnt=False) == 36_000  # the documented worst case


def test_no_day_without_a_sun_is_longer_than_twenty_hours() -> None:
    schedule = planned(((-720, 100),), None)
    run(schedule, 0, 0, 60)
    for second in range(60, 30 * 3600, STEP_S):
        pct = schedule.step(second, None, 1500 + second % 1000)
        assert pct or 180 <= second <= LONG_DAY_S + 60
    assert schedule.cell_fault == BLINDED
    schedule.step(30 * 3600, None, 0)
    assert schedule.cell_fault == 0


def test_a_real_day_is_believed_again_after_a_gloomy_one() -> None:
    schedule = planned(((-720, 100),), None)
    assert run(schedule, 0, 0, 60) == 100
    for second in range(60, 36_000):
        pct = schedule.step(second, None, min(second, 300) + 2000 * (second >= 18_000) + second % 4)
        if second in (170, 17_000):
            assert pct == 100  # flat and dim: it may be somebody's light
        if second == 18_060:
            assert pct == 0
        if second > 18_060 + FROZEN_S:
            assert pct == 100


def test_a_position_or_a_time_that_is_wrong_is_told_and_not_relied_on() -> None:
    for shift_s in (-10 * 3600, -3 * 3600, 4 * 3600, 12 * 3600):
        schedule = planned(((-720, 100),), AMSTERDAM)
        told = dark = 0
        for minute in range(6 * 1440):
            second = 60 * minute
            noon = abs((minute + 20) % 1440 - 720)  # minutes from it
            lux: int | None = 3 if noon > 270 else 9000 - 30 * noon + second % 50
            if minute > 4 * 1440:
                lux = None
            pct = schedule.step(second, MIDWINTER_S + second + shift_s, lux)
            dark += pct == 0 and noon > 270
            if minute == 4 * 1440:
                told = schedule.cell_fault & ASTRAY
        assert told == ASTRAY
        assert not dark


def test_a_position_that_is_right_stays_so_with_storms_and_lights() -> None:
    schedule = planned(((-720, 100),), AMSTERDAM)
    for minute in range(6 * 1440):
        noon = abs((minute + 20) % 1440 - 720)
        lux = 3 if noon > 270 else 9000 - 30 * noon + minute % 50
        if minute // 1440 == 1 and noon < 100:
            lux = 3  # a storm at noon, and the night after it a floodlight
        if minute // 1440 == 2 and noon > 500:
            lux = 300
        schedule.step(60 * minute, MIDWINTER_S + 60 * minute, lux)
        assert not schedule.cell_fault & ASTRAY
