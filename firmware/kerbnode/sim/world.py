"""The physics of a simulated street, as functions of street time in ms since 1970 (UTC)."""

from math import asin, cos, degrees, pi, radians, sin

from kerbnode import sun

TYPE_CHECKING = False
if TYPE_CHECKING:
    Car = tuple[int, float, float, int]  # enter_street_ms, enter_m, speed_mps, direction

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
# Lux under a clear sky at sun elevations in degrees, joined by straight lines.
SKY = ((-12, 0), (-6, 4), (-3, 25), (0, 400), (5, 6000), (20, 35_000), (90, 110_000))
DRAWS = (14, 8)  # a household opens a tap so often a day at least, and so many times more
AWAKE_MS = (23_400_000, 81_000_000)  # 06:30 to 22:30
LONGEST_DRAW_MS = 360_000


class StreetTime:
    """Street time of real UTC: rows (real_ms, street_ms, rate), joined by straight lines."""

    def __init__(self, rows: "list[list[int]]"):
        self._rows = rows

    def street_ms(self, real_ms: int) -> int:
        """The street's time; before the first row it runs at rate 1, without rows it is real."""
        if not self._rows or real_ms < self._rows[0][0]:
            return real_ms + (self._rows[0][1] - self._rows[0][0] if self._rows else 0)
        row = self._rows[0]
        for later in self._rows:
            if later[0] > real_ms:
                break
            row = later
        return int(row[1] + (real_ms - row[0]) * row[2])


def lux(street_ms: int, latitude: float, longitude: float) -> int:
    """Light on the ground."""
    declination, hour = sun.place(street_ms // 1000)
    north = radians(latitude)
    height = sin(north) * sin(declination)
    height += cos(north) * cos(declination) * cos(radians(hour + longitude))
    elevation = degrees(asin(max(-1.0, min(1.0, height))))
    if elevation <= SKY[0][0]:
        return 0
    low = SKY[0]
    for high in SKY[1:]:
        if elevation < high[0]:
            part = (elevation - low[0]) / (high[0] - low[0])
            return int(low[1] + part * (high[1] - low[1]))
        low = high
    return SKY[-1][1]


def car_is_near(
    cars: "list[Car]", place_m: float, range_m: float, since_ms: int, until_ms: int
) -> bool:
    """Was a car within range of a place at any time of since_ms..until_ms?"""
    for car in cars:
        first_ms, last_ms = _near(car, place_m, range_m)
        if first_ms <= until_ms and last_ms >= since_ms:
            return True
    return False


def next_car_ms(cars: "list[Car]", place_m: float, range_m: float, after_ms: int) -> "int | None":
    """When the next car comes within range, or None."""
    found = None
    for car in cars:
        first_ms, last_ms = _near(car, place_m, range_m)
        if after_ms < first_ms <= last_ms and (found is None or first_ms < found):
            found = first_ms
    return found


def _near(car: "Car", place_m: float, range_m: float) -> "tuple[int, int]":
    enter_ms, enter_m, speed_mps, direction = car
    to_place_m = (place_m - enter_m) * direction
    first_ms = enter_ms + int((to_place_m - range_m) * 1000 / speed_mps)
    return max(first_ms, enter_ms), enter_ms + int((to_place_m + range_m) * 1000 / speed_mps)


class Water:
    """What flows through a household's meter: taps by day, rest by night, a leak for ever."""

    def __init__(self, seed: int, leak_from_ms: int, leak_lph: int, start_ms: int):
        self._seed = seed
        self._leak_from_ms = leak_from_ms
        self._leak_lph = leak_lph
        self._start_ms = start_ms
        self._day = start_ms // DAY_MS
        self._draws = self._day_draws()
        self._whole_days_ml = 0
        self._before_ml = self._drawn_ml(start_ms)

    def millilitres(self, street_ms: int) -> int:
        """Since the start; street time never goes back."""
        while street_ms >= (self._day + 1) * DAY_MS:
            self._whole_days_ml += self._drawn_ml((self._day + 1) * DAY_MS)
            self._day += 1
            self._draws = self._day_draws()
        return (
            self._whole_days_ml
            + self._drawn_ml(street_ms)
            - self._before_ml
            + self._leaked_ml(street_ms)
        )

    def _leaked_ml(self, street_ms: int) -> int:
        if not self._leak_from_ms:
            return 0
        leaking_ms = max(0, street_ms - max(self._leak_from_ms, self._start_ms))
        return leaking_ms * self._leak_lph * 1000 // HOUR_MS

    def _drawn_ml(self, street_ms: int) -> int:
        """Since the day began."""
        sum_ml = 0
        for start_ms, length_ms, lph in self._draws:
            open_ms = min(max(0, street_ms - start_ms), length_ms)
            sum_ml += open_ms * lph * 1000 // HOUR_MS
        return sum_ml

    def _day_draws(self) -> "list[tuple[int, int, int]]":
        """(start, length in ms, litres an hour) of each time that a tap is open."""
        state = (self._seed * 2_654_435_761 + self._day * 40_503) & 0x7FFF_FFFF | 1
        dice = []
        for _ in range(3 * sum(DRAWS) + 1):
            state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
            dice.append(state >> 8)
        span = AWAKE_MS[1] - AWAKE_MS[0] - LONGEST_DRAW_MS
        morning = self._day * DAY_MS + AWAKE_MS[0]
        return [
            (
                morning + dice[3 * i + 1] * 16 % span,
                20_000 + dice[3 * i + 2] % (LONGEST_DRAW_MS - 20_000),
                240 + dice[3 * i + 3] % 660,
            )
            for i in range(DRAWS[0] + dice[0] % DRAWS[1])
        ]


def air(street_ms: int, seed: int) -> "tuple[int, ...]":
    """(PM1, PM2.5, PM10 ug/m3, CO2 ppm, NO2 0.1 ppb, 0.1 Celsius, 0.1 % humidity, 0.1 hPa).

    Traffic peaks at 8 and 18 h, warmth at 15 h, and weather goes by in five days.
    """
    hour = street_ms % DAY_MS / HOUR_MS
    traffic = max(0.0, sin((hour - 5) * pi / 6)) if 5 <= hour <= 23 else 0.0
    warmth = sin((hour - 9) * pi / 12)
    weather = sin((street_ms / DAY_MS + seed) * 2 * pi / 5)
    gust = ((street_ms // 60_000 * 7919 + seed * 104_729) % 1000) / 1000
    fine = 6 + 5 * traffic + 3 * weather + 2 * gust
    return (
        int(fine * 0.6),
        int(fine),
        int(fine * 1.7),
        int(425 + 60 * traffic + 15 * gust),
        int(10 * (8 + 22 * traffic + 4 * gust)),
        int(10 * (12 + 6 * warmth + 4 * weather)),
        int(10 * (65 - 18 * warmth - 8 * weather)),
        int(10 * (1013 + 9 * weather + gust)),
    )
