"""The physics of the simulated street: households rest, leaks do not, cars pass."""

from kerbnode.sim.world import DAY_MS, HOUR_MS, Water, air, car_is_near, lux

START_MS = 20_000 * DAY_MS


def hourly_litres(leak_lph: int, days: int) -> "list[int]":
    water = Water(3, START_MS, leak_lph, START_MS)
    litres = [water.millilitres(START_MS + hour * HOUR_MS) // 1000 for hour in range(24 * days + 1)]
    return [litres[hour + 1] - litres[hour] for hour in range(24 * days)]


def test_a_household_draws_by_day_and_rests_by_night() -> None:
    flows = hourly_litres(0, 5)
    for day in range(5):
        night = flows[24 * day : 24 * day + 6] + flows[24 * day + 23 : 24 * day + 24]
        assert night == [0] * 7
        assert 100 < sum(flows[24 * day : 24 * day + 24]) < 1500
    assert flows[:24] != flows[24:48]


def test_a_leak_never_rests() -> None:
    assert min(hourly_litres(20, 3)) >= 20


def test_the_counter_starts_at_power_up_whenever_that_is() -> None:
    noon_ms = START_MS + 12 * HOUR_MS
    late = Water(3, 0, 0, noon_ms)
    early = Water(3, 0, 0, START_MS)
    before_ml = early.millilitres(noon_ms)
    evening_ms = START_MS + 40 * HOUR_MS
    assert late.millilitres(noon_ms) == 0
    assert late.millilitres(evening_ms) == early.millilitres(evening_ms) - before_ml


def test_light_follows_the_sun() -> None:
    noon_ms = 1_750_507_200_000
    assert lux(noon_ms, 52.37, 4.9) > 50_000
    assert lux(noon_ms + 12 * HOUR_MS, 52.37, 4.9) < 35
    rising = [lux(noon_ms - 12 * HOUR_MS + minute * 60_000, 52.37, 4.9) for minute in range(700)]
    assert rising.index(max(rising)) > 600


def test_a_car_is_seen_while_it_is_in_range_however_rarely_one_looks() -> None:
    cars = [(1000, 0.0, 10.0, 1)]
    assert not car_is_near(cars, 30, 10, 1000, 2900)
    assert car_is_near(cars, 30, 10, 2900, 3100)
    assert car_is_near(cars, 30, 10, 4900, 5000)
    assert not car_is_near(cars, 30, 10, 5100, 9000)
    assert car_is_near(cars, 30, 10, 0, 9000)
    assert car_is_near([(1000, 60.0, 10.0, -1)], 30, 10, 3100, 3200)
    assert not car_is_near([(1000, 60.0, 10.0, 1)], 30, 10, 0, 9000)


def test_air_stays_in_its_bounds() -> None:
    for hour in range(240):
        values = air(START_MS + hour * HOUR_MS, 5)
        assert 0 < values[0] <= values[1] <= values[2] < 100
        assert 400 < values[3] < 600
        assert 300 <= values[6] <= 1000
