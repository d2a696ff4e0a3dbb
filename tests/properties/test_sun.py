"""The node's sun beside NREL's SPA (pvlib), with each intermediate rounded to 24-bit floats."""

import ast
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pvlib import spa

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "firmware" / "kerbnode" / "sun.py").read_text()
FIRST_S, LAST_S = 1_735_689_600, 2_524_608_000  # 2025 .. 2049
DAY_S = 86_400
DELTA_T_S = 72.0  # TT minus UTC, about, in those years
SUNRISE = -0.8333
PLACES = 4000 if os.getenv("KERBLINE_NIGHTLY") else 1000
EDGE_S = 600  # of a UTC day, where SPA can mean the event of a day before or after
LIMIT_S = 6.0

Floats = npt.NDArray[np.float64]


class Rounded(ast.NodeTransformer):
    """Puts `_r(...)` around each operation, call and literal."""

    def _wrap(self, node: ast.expr) -> ast.expr:
        call = ast.Call(ast.Name("_r", ast.Load()), [node], [])
        return ast.copy_location(call, node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return self._wrap(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self._wrap(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        return self._wrap(node)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._wrap(node) if isinstance(node.value, float) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self.generic_visit(node)
        assert isinstance(node.target, ast.Name)
        value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        return ast.copy_location(ast.Assign([node.target], self._wrap(value)), node)


class Float32:
    """An ESP32's arithmetic; `shaky`: and a libm that may be one unit in the last place off."""

    def __init__(self, *, shaky: bool) -> None:
        self._dice = random.Random(7) if shaky else None
        self.roundings = 0

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        self.roundings += 1
        near = struct.unpack("f", struct.pack("f", value))[0]
        if self._dice is not None and abs(near) > 1e-30:
            bits = struct.unpack("i", struct.pack("f", near))[0] + self._dice.choice(
                (-1, 0, 0, 0, 1)
            )
            near = struct.unpack("f", struct.pack("i", bits))[0]
        return near


def sun_in(arithmetic: Callable[[Any], Any]) -> dict[str, Any]:
    """The module's functions, computed so."""
    tree = ast.fix_missing_locations(Rounded().visit(ast.parse(SOURCE)))
    names: dict[str, Any] = {"_r": arithmetic}
    exec(compile(tree, "sun.py", "exec"), names)
    return names


def position(utc_s: Floats, latitude: Floats, longitude: Floats) -> tuple[Floats, Floats]:
    """SPA's geocentric elevation and hour angle in degrees (its steps 3.1 to 3.11)."""
    day = spa.julian_day(utc_s)
    century = spa.julian_century(day)
    ephemeris = spa.julian_ephemeris_century(spa.julian_ephemeris_day(day, DELTA_T_S))
    millennium = spa.julian_ephemeris_millennium(ephemeris)
    nutation = np.zeros((2, utc_s.size))
    spa.longitude_obliquity_nutation(
        ephemeris,
        spa.mean_elongation(ephemeris),
        spa.mean_anomaly_sun(ephemeris),
        spa.mean_anomaly_moon(ephemeris),
        spa.moon_argument_latitude(ephemeris),
        spa.moon_ascending_longitude(ephemeris),
        nutation,
    )
    tilt = spa.true_ecliptic_obliquity(spa.mean_ecliptic_obliquity(millennium), nutation[1])
    radius = spa.heliocentric_radius_vector(millennium)
    seen = spa.apparent_sun_longitude(
        spa.geocentric_longitude(spa.heliocentric_longitude(millennium)),
        nutation[0],
        spa.aberration_correction(radius),
    )
    beta = spa.geocentric_latitude(spa.heliocentric_latitude(millennium))
    sidereal = spa.apparent_sidereal_time(spa.mean_sidereal_time(day, century), nutation[0], tilt)
    ascension = spa.geocentric_sun_right_ascension(seen, tilt, beta)
    declination = np.radians(spa.geocentric_sun_declination(seen, tilt, beta))
    hour = (sidereal + longitude - ascension + 180) % 360 - 180
    north = np.radians(latitude)
    height = np.sin(north) * np.sin(declination)
    height += np.cos(north) * np.cos(declination) * np.cos(np.radians(hour))
    return np.degrees(np.arcsin(height)), hour


def crossings(near_s: Floats, latitude: Floats, longitude: Floats, elevation: float) -> Floats:
    """The exact times at which SPA's sun passes an elevation, within 5 minutes of a time."""
    low, high = near_s - 300, near_s + 300
    side = np.sign(position(low, latitude, longitude)[0] - elevation)
    assert (side != np.sign(position(high, latitude, longitude)[0] - elevation)).all()
    for _ in range(20):
        middle = (low + high) / 2
        same = np.sign(position(middle, latitude, longitude)[0] - elevation) == side
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low


def grid(count: int) -> tuple[Floats, Floats, Floats]:
    """Seeded days and places, a third of them at the edge, where an error counts most."""
    dice = random.Random(20_250_101)
    days = [FIRST_S + DAY_S * dice.randrange((LAST_S - FIRST_S) // DAY_S) for _ in range(count)]
    edge = (-65.0, 65.0)
    places = [
        dice.choice(edge) if dice.random() < 1 / 3 else dice.uniform(-65, 65) for _ in range(count)
    ]
    longitudes = [dice.uniform(-180, 180) for _ in range(count)]
    return np.array(days, float), np.array(places), np.array(longitudes)


@pytest.mark.parametrize("shaky", [False, True])
def test_times_are_within_6_s_of_spa(*, shaky: bool) -> None:
    arithmetic = Float32(shaky=shaky)
    sun = sun_in(arithmetic)
    days, latitudes, longitudes = grid(PLACES)
    places = list(zip(days, latitudes.tolist(), longitudes.tolist(), strict=True))
    midnights = np.array([sun["midnight"](int(day), east) for day, _, east in places], float)
    hours = position(midnights, latitudes, longitudes)[1]
    worst = {"midnight": float(np.abs((np.where(hours > 0, hours, hours + 360) - 180) * 240).max())}
    found = {}
    for name, sense in (("sunset", -1), ("sunrise", 1)):
        found[name] = np.array(
            [
                sun["crossing"](int(middle), north, east, SUNRISE, sense)
                for middle, (_, north, east) in zip(midnights, places, strict=True)
            ],
            float,
        )
        exact = crossings(found[name], latitudes, longitudes, SUNRISE)
        worst[name] = float(np.abs(found[name] - exact).max())
    print("24-bit floats, worst against SPA's position in s:", worst)
    assert arithmetic.roundings > 250 * PLACES
    assert max(worst.values()) <= (LIMIT_S if shaky else LIMIT_S / 2)
    if not shaky:
        steps = spa_steps(found, latitudes, longitudes)
        print("and against its interpolation within the UTC day:", steps)
        assert max(steps.values()) <= LIMIT_S


def spa_steps(found: dict[str, Floats], latitudes: Floats, longitudes: Floats) -> dict[str, float]:
    """The worst difference from SPA's own rise and set (A.2), which hold within a UTC day.

    Where its result falls out of that day it was made with another day's sun, minutes off.
    """
    worst = {}
    for name, column in (("sunset", 2), ("sunrise", 1)):
        days = np.floor(found[name] / DAY_S) * DAY_S
        theirs = spa.transit_sunrise_sunset(days, latitudes, longitudes, DELTA_T_S, 1)[column]
        inside = np.abs(found[name] - days - DAY_S / 2) < DAY_S / 2 - EDGE_S
        inside &= np.abs(theirs - days - DAY_S / 2) < DAY_S / 2
        assert inside.sum() > days.size // 2
        worst[name] = float(np.abs(found[name] - theirs)[inside].max())
    return worst


@pytest.mark.parametrize("elevation", [-2.5, -6.0, 3.0])
def test_other_elevations_hold_where_the_sun_does_not_graze(elevation: float) -> None:
    sun = sun_in(Float32(shaky=False))
    days, latitudes, longitudes = grid(PLACES * 3 // 8)
    latitudes = latitudes * 55 / 65
    middles = [sun["midnight"](int(d), e) for d, e in zip(days, longitudes.tolist(), strict=True)]
    for sense in (-1, 1):
        found = np.array(
            [
                sun["crossing"](middle, north, east, elevation, sense)
                for middle, north, east in zip(
                    middles, latitudes.tolist(), longitudes.tolist(), strict=True
                )
            ],
            float,
        )
        exact = crossings(found, latitudes, longitudes, elevation)
        assert np.abs(found - exact).max() <= LIMIT_S


def test_a_day_of_a_few_minutes_is_found_from_its_midnight() -> None:
    """Twelve hours later the sun is 0.2 degrees higher: that decides, not the midnight's sun."""
    sun = sun_in(lambda value: value)
    days = np.arange(FIRST_S, FIRST_S + 365 * DAY_S, DAY_S, dtype=float)
    middles = np.array([sun["midnight"](int(day), 20.0) for day in days], float)
    decided = 0
    for latitude in (66.6, 70.0, 75.0, -68.0):
        where = np.full(days.size, latitude), np.full(days.size, 20.0)
        low = position(middles, *where)[0]
        for sense in (-1, 1):
            high = position(middles + sense * DAY_S / 2, *where)[0]
            for middle, floor, top in zip(middles.tolist(), low, high, strict=True):
                found = sun["crossing"](int(middle), latitude, 20.0, SUNRISE, sense) - int(middle)
                if min(abs(floor - SUNRISE), abs(top - SUNRISE)) > 0.01:
                    is_there = floor < SUNRISE < top
                    assert is_there == (found not in (0, sense * 43_320))
                    decided += 1
    assert decided > 2500


def test_no_rise_and_no_set_are_a_day_or_a_night_and_never_a_traceback() -> None:
    sun = sun_in(Float32(shaky=True))
    for latitude in (-90.0, -89.95, -80.0, -67.0, 66.0, 70.0, 89.999, 90.0):
        for day in range(FIRST_S, FIRST_S + 366 * DAY_S, 5 * DAY_S):
            middle = sun["midnight"](day, 25.0)
            dusk = sun["crossing"](middle, latitude, 25.0, -2.5, -1)
            dawn = sun["crossing"](middle, latitude, 25.0, -2.5, 1)
            assert middle - 43_320 <= dusk <= middle + 60 and middle - 60 <= dawn <= middle + 43_320
            height, _ = position(np.array([middle], float), np.array([latitude]), np.array([25.0]))
            if height[0] > -2.0:
                assert dusk == dawn == middle
            noon = position(np.array([middle + 43_200.0]), np.array([latitude]), np.array([25.0]))
            if noon[0][0] < -3.0:
                assert dawn - dusk == 2 * 43_320
