"""The checker of lit streets finds what is planted, and is exact where a street owes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests import light_checker, light_traffic

HEADER = "t_s,kind,speed_mps,enter_m,direction\n"
NIGHT_S = 6 * 3600


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Four lamps, 30 m apart, six hours in the depth of a night; nobody; always at the floor."""
    street = tmp_path / "street.toml"
    keys = {"lamps": 4, "start": "2025-12-21T21:00:00Z", "days": 0.25, "sensor_range_m": 10}
    street.write_text(light_traffic.street_toml(**keys))
    events = tmp_path / "events.csv"
    events.write_text(HEADER)
    return street, events, written(tmp_path, [(0, lamp, 20) for lamp in range(4)])


def written(folder: Path, rows: Sequence[tuple[float, int, float]]) -> Path:
    trace = folder / "trace.csv"
    lines = [f"{at},{lamp},{level}\n" for at, lamp, level in sorted(rows)]
    trace.write_text("t_s,lamp,level_pct\n" + "".join(lines))
    return trace


def test_the_floor_all_night_owes_nothing_to_nobody(files: tuple[Path, Path, Path]) -> None:
    found = light_checker.judged(*files)
    assert found.violation_s == 0
    assert found.night_s == NIGHT_S
    assert found.kwh == found.clairvoyant_kwh
    # 4 lamps of 60 W, 4 % standby: 2.4 + 57.6 * 0.2 W of 60 W each.
    assert found.kwh == pytest.approx(4 * 6 * 13.92 / 1000)
    assert found.saved() == pytest.approx((1 - 13.92 / 60,) * 2)


def test_a_lamp_below_the_floor_is_found_to_the_millisecond(
    files: tuple[Path, Path, Path],
) -> None:
    street, events, trace = files
    rows = [(0.0, lamp, 20.0) for lamp in range(4)]
    written(trace.parent, [*rows, (100.25, 2, 19.9), (100.251, 2, 20)])
    found = light_checker.judged(street, events, trace)
    assert found.floor_s == pytest.approx(0.001)
    assert found.full_s == 0
    assert "lamp 2 at 19.9 % instead of 20 %" in found.first[0]


def lit(first_s: float, last_s: float) -> list[tuple[float, int, float]]:
    """All four at full between two times."""
    return [
        (at, lamp, level)
        for lamp in range(4)
        for at, level in ((0.0, 20.0), (first_s, 100.0), (last_s, 20.0))
    ]


def test_full_is_owed_from_half_a_second_until_it_is_gone(files: tuple[Path, Path, Path]) -> None:
    street, events, trace = files
    events.write_text(f"{HEADER}1000,vehicle,10,0,1\n")  # gone at 1009 s
    written(trace.parent, lit(1000.5, 1009))
    assert light_checker.judged(street, events, trace).violation_s == 0
    written(trace.parent, lit(1000.6, 1009))
    # Lamps 0, 1 and 2 are within 60 m of it at 1000.5; lamp 3 is from 1003 on.
    assert light_checker.judged(street, events, trace).full_s == pytest.approx(0.3)
    written(trace.parent, lit(1000.5, 1008))
    # Lamp 0 is behind it by more than 60 m from 1006 on; the others are owed to its end.
    found = light_checker.judged(street, events, trace)
    assert found.full_s == pytest.approx(3.0)
    assert found.floor_s == 0
    demanded_s = 6 - 0.5 + 8.5 + 8.5 + 6
    assert found.demanded_s == pytest.approx(demanded_s)
    assert len(found.first) == 3


def test_who_comes_from_beyond_the_last_lamp_is_owed_light_when_it_is_seen(
    files: tuple[Path, Path, Path],
) -> None:
    street, events, trace = files
    events.write_text(f"{HEADER}1000,vehicle,10,120,-1\n")  # seen at 100 m, after 2 s
    written(trace.parent, lit(1002.5, 1012))
    assert light_checker.judged(street, events, trace).violation_s == 0
    written(trace.parent, lit(1002.6, 1012))
    # It is at 95 m then: lamps 2 and 3 are near.
    assert light_checker.judged(street, events, trace).full_s == pytest.approx(0.2)


def test_overlapping_users_are_counted_once(files: tuple[Path, Path, Path]) -> None:
    street, events, trace = files
    events.write_text(f"{HEADER}1000,vehicle,10,0,1\n1001,vehicle,10,0,1\n1000,vehicle,10,90,-1\n")
    found = light_checker.judged(street, events, trace)
    assert found.full_s == found.demanded_s == pytest.approx(8.5 + 9.5 + 9.5 + 9.5)
    assert found.dark_users == 3


def test_by_day_nothing_is_owed(files: tuple[Path, Path, Path]) -> None:
    street, events, trace = files
    street.write_text(street.read_text().replace("2025-12-21T21", "2025-06-21T09"))
    events.write_text(f"{HEADER}1000,vehicle,10,0,1\n")
    written(trace.parent, [])
    found = light_checker.judged(street, events, trace)
    assert found.violation_s == found.night_s == found.dark_users == 0


def test_a_trace_that_is_no_trace_is_refused(files: tuple[Path, Path, Path]) -> None:
    street, events, trace = files
    for rows in ([(5, 4, 20)], [(5, 1, 101)]):
        written(trace.parent, rows)
        with pytest.raises(ValueError, match="lamp"):
            light_checker.judged(street, events, trace)
    trace.write_text("t_s,lamp,level_pct\n9,1,20\n5,1,20\n")
    with pytest.raises(ValueError, match="order of time"):
        light_checker.judged(street, events, trace)


def test_its_sun_is_spas() -> None:
    from pvlib import spa

    utc_s = np.arange(1_735_689_600.0, 1_767_225_600.0, 7 * 3600)
    for latitude, longitude in ((52.0, 0.0), (-33.9, 151.2), (64.1, -21.9)):
        found = spa.solar_position(utc_s, latitude, longitude, 0, 1013, 12, 69, 0, numthreads=1)
        mine = light_checker.elevation_deg(utc_s, latitude, longitude)
        assert np.abs(mine - found[3]).max() < 0.02


def test_a_quarter_of_a_years_vehicles_is_in_the_dark(tmp_path: Path) -> None:
    events = light_traffic.drawn(light_traffic.vehicles(100), 365, 570, 0, 3)
    file = light_traffic.written(tmp_path / "events.csv", events)
    street = tmp_path / "street.toml"
    street.write_text(light_traffic.street_toml(days=365))
    users = light_checker.read_users(file)
    spans = np.array(light_checker.nights(light_checker.read_street(street)))
    at = np.searchsorted(spans[:, 0], users.t_s) - 1
    dark = (at >= 0) & (users.t_s < spans[np.maximum(at, 0), 1])
    assert len(users.t_s) == pytest.approx(100 * 365, abs=4 * math.sqrt(100 * 365))
    assert dark.mean() == pytest.approx(0.25, abs=0.01)
    assert datetime.fromtimestamp(light_checker.read_street(street).start_utc_s, UTC).year == 2025
