"""Sun, profile and the night's middle against almanac values and by hand."""

from kerbnode.schedule import Schedule, VirtualMidnight, level, sun

AMSTERDAM = (52.37, 4.9)
SYDNEY = (-33.87, 151.21)
MIDSUMMER_S = 1_750_464_000  # 2025-06-21 00:00 UTC
MIDWINTER_S = 1_766_275_200  # 2025-12-21 00:00 UTC
HORIZON = -0.833  # the sun's upper edge, with refraction
PROFILE = ((-720, 100), (-120, 30), (300, 100))


def crossings(day_s: int, place: "tuple[float, float]") -> "tuple[int | None, int | None]":
    """Minutes of the UTC day at which the sun's edge passes the horizon, upward and downward."""
    rise = fall = None
    before = sun(day_s, place[0], place[1])[0]
    for minute in range(1, 1441):
        now = sun(day_s + 60 * minute, place[0], place[1])[0]
        if before < HORIZON <= now:
            rise = minute
        if now < HORIZON <= before:
            fall = minute
        before = now
    return rise, fall


def near(found: "int | None", hour: int, minute: int) -> bool:
    return abs(found - (60 * hour + minute)) <= 2


def test_amsterdam_has_its_almanac_times() -> None:
    rise, fall = crossings(MIDSUMMER_S, AMSTERDAM)
    assert near(rise, 3, 18) and near(fall, 20, 6)  # 05:18 and 22:06 CEST
    rise, fall = crossings(MIDWINTER_S, AMSTERDAM)
    assert near(rise, 7, 48) and near(fall, 15, 29)  # 08:48 and 16:29 CET


def test_sydney_has_its_almanac_times() -> None:
    rise, fall = crossings(MIDWINTER_S, SYDNEY)
    assert near(rise, 18, 41) and near(fall, 9, 5)  # 05:41 and 20:05 AEDT


def test_solar_midnight_is_where_longitude_puts_it() -> None:
    assert abs(sun(MIDSUMMER_S - 20 * 60, 52.37, 5.0)[1]) <= 3
    assert abs(abs(sun(MIDSUMMER_S + 43_200 - 20 * 60, 52.37, 5.0)[1]) - 720) <= 3


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


def test_light_decides_with_hysteresis_and_the_sun_dims() -> None:
    schedule = Schedule(PROFILE, AMSTERDAM)
    midnight_s = MIDWINTER_S - 20 * 60
    assert schedule.step(0, midnight_s, 0) == 30
    assert schedule.step(0, midnight_s, 60) == 30
    assert schedule.step(0, midnight_s, 70) == 0
    assert schedule.step(0, midnight_s, 36) == 0
    assert schedule.step(0, midnight_s, 34) == 30


def test_a_broken_sensor_leaves_it_to_the_sun() -> None:
    schedule = Schedule(PROFILE, AMSTERDAM)
    assert schedule.step(0, MIDWINTER_S + 12 * 3600, None) == 0
    assert schedule.step(0, MIDWINTER_S, None) == 30


def test_without_clock_and_sensor_the_street_is_never_dark() -> None:
    schedule = Schedule(((-720, 0),), None)
    for hour in range(48):
        assert schedule.step(hour * 3600, None, None) == 100


def test_without_a_clock_the_light_alone_teaches_the_dimming() -> None:
    schedule = Schedule(PROFILE, None)
    for hour in range(60):
        lux = 0 if hour % 24 >= 18 or hour % 24 < 6 else 5000
        pct = schedule.step(hour * 3600, None, lux)
        if hour in (20, 24):
            assert pct == 100
        if hour == 48:
            assert pct == 30
        if hour == 12:
            assert pct == 0
