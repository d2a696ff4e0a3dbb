"""When a streetlight burns and how bright: the sun, the night's middle, and a dimming profile.

What is known decides: UTC and a position give both from the sun; a light sensor gives night, and
its dusk and dawn the middle of the next night. With nothing at all the lamp is fully lit: a
street is never dark because a clock is lost.
"""

from math import asin, atan2, cos, degrees, radians, sin

DAY_S = 86_400
J2000_S = 946_728_000  # 2000-01-01 12:00 UTC in seconds since 1970
TURN = 360_000_000  # a full turn in microdegrees: whole numbers, since an ESP32 has 24-bit floats
NIGHT_LUX = 35  # EN 13201 practice: on at 35 lx ...
DAY_LUX = 70  # ... and off at twice that, so that the lamp's own light never toggles it
NIGHT_ELEVATION = -2.5  # degrees, about 35 lx under a clear sky
FULL_PCT = 100
SHORT_NIGHT_S = 3 * 3600  # a shorter darkness was a storm or a covered sensor
FRESH_NIGHTS_S = 3 * DAY_S  # dusk and dawn learnt before that say nothing any more


def sun(utc_s: int, latitude: float, longitude: float) -> "tuple[float, int]":
    """(elevation in degrees without refraction, minutes from solar midnight -720..719).

    The Astronomical Almanac's low-precision formula: 0.01 degrees between 1950 and 2050.
    """
    since = utc_s - J2000_S
    anomaly = _angle(357_528_000, 9_856_003, since)
    mean = (280_460_000 + 9_856_474 * since // 864_000) % TURN / 1_000_000
    ecliptic = radians(mean + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    tilt = radians(23.439)
    declination = asin(sin(tilt) * sin(ecliptic))
    ascension = degrees(atan2(cos(tilt) * sin(ecliptic), cos(ecliptic)))
    sidereal = (280_460_620 + 3_609_856_474 * since // 864_000) % TURN / 1_000_000
    hour = (sidereal + longitude - ascension + 180) % 360  # 0 at solar midnight
    place = radians(latitude)
    height = sin(place) * sin(declination) - cos(place) * cos(declination) * cos(radians(hour))
    minutes = int(hour * 4)
    return degrees(asin(max(-1.0, min(1.0, height)))), minutes if minutes < 720 else minutes - 1440


def _angle(start: int, per_day_x10: int, since: int) -> float:
    return radians((start + per_day_x10 * since // 864_000) % TURN / 1_000_000)


def level(profile: "tuple[tuple[int, int], ...]", minutes: "int | None") -> int:
    """The profile's level in percent at `minutes` from the night's middle; full when unknown."""
    if minutes is None:
        return FULL_PCT
    current = profile[-1][1]  # before the first step the last one of the day before holds
    for start, pct in profile:
        if minutes < start:
            break
        current = pct
    return current


class VirtualMidnight:
    """The middle of the night, learnt from dusk and dawn on the clock since boot."""

    __slots__ = ("_dusk_s", "_middle_s", "_night")

    def __init__(self) -> None:
        self._night: bool | None = None
        self._dusk_s: int | None = None
        self._middle_s: int | None = None

    def see(self, uptime_s: int, *, night: bool) -> None:
        """What the light sensor says now."""
        if self._night is False and night:
            self._dusk_s = uptime_s
        if self._night and not night and self._dusk_s is not None:
            if uptime_s - self._dusk_s >= SHORT_NIGHT_S:
                self._middle_s = (self._dusk_s + uptime_s) // 2
            self._dusk_s = None
        self._night = night

    def minutes(self, uptime_s: int) -> "int | None":
        """Minutes from the nearest night's middle, or None when no recent night was seen whole."""
        if self._middle_s is None or uptime_s - self._middle_s > FRESH_NIGHTS_S:
            return None
        return (uptime_s - self._middle_s + DAY_S // 2) % DAY_S // 60 - 720


class Schedule:
    """The level that the time of night asks for."""

    __slots__ = ("_learnt", "_position", "_profile", "night")

    def __init__(
        self, profile: "tuple[tuple[int, int], ...]", position: "tuple[float, float] | None"
    ):
        self._profile = profile
        self._position = position
        self._learnt = VirtualMidnight()
        self.night = True

    def dim(self, profile: "tuple[tuple[int, int], ...]") -> None:
        """Another profile from now on."""
        self._profile = profile

    def step(self, uptime_s: int, utc_s: "int | None", lux: "int | None") -> int:
        """The level in percent now; None for what is not known (UTC) or broken (lux)."""
        elevation = minutes = None
        if utc_s is not None and self._position is not None:
            elevation, minutes = sun(utc_s, self._position[0], self._position[1])
        if lux is not None:
            self.night = lux < (DAY_LUX if self.night else NIGHT_LUX)
            self._learnt.see(uptime_s, night=self.night)
        else:
            self.night = elevation is None or elevation < NIGHT_ELEVATION
        if not self.night:
            return 0
        if minutes is None:
            minutes = self._learnt.minutes(uptime_s)
        return level(self._profile, minutes)
