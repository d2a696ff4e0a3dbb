"""Where the sun is, and when it passes a height: within 6 s of NREL's SPA, with 24-bit floats.

J. Meeus, Astronomical Algorithms, chapter 25, with nutation and the largest pulls of the moon,
Jupiter and Venus, fitted to 2025..2049. Angles that grow with time are whole microdegrees,
since an ESP32's floats have 24 bits.
"""

from math import acos, asin, atan2, cos, degrees, radians, sin

J2000_S = 946_728_000  # 2000-01-01 12:00 UTC in seconds since 1970
TURN = 360_000_000  # microdegrees
TT_S = 72  # Terrestrial Time is ahead of UTC; 9 s more are 0.0001 degrees
TILT_S = 242_673  # the ecliptic's tilt falls by a microdegree in that time
ROUNDS = 4  # each leaves a hundredth of a time's error, at 65 degrees a tenth
HALF_S = 43_320  # no gap between the dark of a polar day and the next
LEAD_S = 60  # more than a lamp goes on ahead of others
NIGHT_ELEVATION = -2.5  # degrees, about 35 lx under a clear sky
SOUND = 9  # what a cell saw in a sun's day: bright by day (1), dark by night (8) ...
ODD = 6  # ... and the contrary
POLE = 89.9  # where every direction is one, and a cosine zero
# Amplitude in microdegrees, argument at J2000, and what 100 days add to it.
PULLS = (
    (1800, 297_831_586, 1_219_074_912),  # the moon's elongation
    (2100, 286_677_394, -90_251_792),  # Jupiter's
    (-800, 227_741_920, -180_503_585),  # twice Jupiter's
    (1530, 343_167_734, 123_304_273),  # twice Venus's
    (1340, 82_016_281, 61_652_136),  # Venus's
)


def place(utc_s: int) -> "tuple[float, float]":
    """(declination in radians, hour angle at Greenwich in degrees: 0 at noon, below 360)."""
    since = utc_s - J2000_S
    earth = since + TT_S
    anomaly = _angle(357_529_110, 98_560_028, earth)
    node = _angle(125_044_520, -5_295_376, earth)
    nutation = -0.00478 * sin(node)
    pull = 0.0
    for size, start, speed in PULLS:
        pull += size * sin(_angle(start, speed, earth))
    ecliptic = _angle(280_458_036, 98_564_736, earth) + radians(
        1.9128 * sin(anomaly) + 0.01996 * sin(2 * anomaly) + pull / 1_000_000 + nutation
    )
    tilt = radians((23_439_291 - earth // TILT_S) / 1_000_000 + 0.00256 * cos(node))
    ascension = degrees(atan2(cos(tilt) * sin(ecliptic), cos(ecliptic)))
    sidereal = (280_460_618 + 36_098_564_737 * since // 8_640_000) % TURN / 1_000_000
    return asin(sin(tilt) * sin(ecliptic)), (sidereal + 0.917 * nutation - ascension + 360) % 360


def _angle(start: int, per_100_days: int, since: int) -> float:
    return radians((start + per_100_days * since // 8_640_000) % TURN / 1_000_000)


def night(
    utc_s: int, position: "tuple[float, float]", wanted: "tuple[float, int, int]"
) -> "tuple[int, tuple[int, int, int]]":
    """The midnight nearest to a time, and what of the night is (before it, after it, dark).

    `wanted`: the height of dusk and dawn in degrees, and by how many minutes they are later; where
    there are none, later than nothing. Dark is the shorter half by NIGHT_ELEVATION. A night that is
    not there has less than LEAD_S before its middle.
    """
    latitude, longitude = position
    midnight_s = midnight(utc_s, longitude)
    before_s, after_s, dusk_s, dawn_s = [
        sense * (crossing(midnight_s, latitude, longitude, elevation, sense) - midnight_s)
        for elevation in (wanted[0], NIGHT_ELEVATION)
        for sense in (-1, 1)
    ]
    if before_s == after_s == 0:
        before_s = -LEAD_S
    elif before_s < HALF_S:
        before_s -= 60 * wanted[1]
        after_s += 60 * wanted[2]
        if max(before_s, after_s) > HALF_S:  # it begins before the noon at which it is looked up
            before_s = after_s = HALF_S
    return midnight_s, (before_s, after_s - 1, min(dusk_s, dawn_s))


def odd_days(days: int, seen: int) -> int:
    """For how many days in a row a cell was against the sun by day and by night."""
    if seen & ODD == ODD:
        return days + 1
    return 0 if seen == SOUND else days


def midnight(utc_s: int, longitude: float) -> int:
    """The solar midnight nearest to `utc_s`."""
    for _ in range(ROUNDS):
        utc_s -= round(((place(utc_s)[1] + longitude + 360) % 360 - 180) * 240)
    return utc_s


def crossing(
    midnight_s: int, latitude: float, longitude: float, elevation: float, sense: int
) -> int:
    """When the sun's centre passes `elevation` in degrees, before (-1) or after (1) a midnight.

    As in SPA neither refraction nor parallax is added: -0.8333 is its sunrise and sunset. A sun
    that stays above passes at midnight itself, one that stays below HALF_S from it.
    """
    north = radians(max(-POLE, min(POLE, latitude)))
    height = sin(radians(elevation))
    utc_s = midnight_s
    for _ in range(ROUNDS):
        declination, hour = place(utc_s)
        ratio = (height - sin(north) * sin(declination)) / (cos(north) * cos(declination))
        # Beyond its noon or midnight there: the next round has the sun of that time.
        angle = 0 if ratio >= 1 else 180 if ratio <= -1 else degrees(acos(ratio))
        ahead = (hour + longitude - (utc_s - midnight_s) / 240 + 360) % 360 - 180  # of 15 an hour
        utc_s = midnight_s + round((sense * (180 - angle) - ahead) * 240)
    if ratio < -1:
        return midnight_s
    return midnight_s + sense * HALF_S if ratio > 1 else utc_s
