"""The nights of a simulated street: each of a year, wherever it is and whenever it begins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from kerbline.sim.lit_street_files import Street, read_street
from kerbline.sim.lit_street_nights import nights, turns
from tests import light_checker, light_traffic


def street(tmp_path: Path, **keys: object) -> tuple[Street, light_checker.Street]:
    path = tmp_path / "street.toml"
    path.write_text(light_traffic.street_toml(**keys))
    return read_street(path)[0], light_checker.read_street(path)


@pytest.mark.parametrize(
    ("latitude", "longitude", "start_h"), [(52.0, 0.0, 12), (-36.8, 174.8, 7), (1.3, -90.0, 0)]
)
def test_every_dusk_and_dawn_of_a_year_is_found(
    tmp_path: Path, latitude: float, longitude: float, start_h: int
) -> None:
    start = f"2025-01-01T{start_h:02}:00:00Z"
    keys = {"latitude": latitude, "longitude": longitude, "days": 366, "start": start}
    mine, checked = street(tmp_path, **keys)
    found = [edge for night in nights(mine) for span in night.dark for edge in span]
    spans = light_checker.nights(checked)
    assert found == pytest.approx([edge for span in spans for edge in span], abs=12)
    parts = nights(mine)
    assert all(a.end_s <= b.begin_s for a, b in pairwise(parts))
    for night in parts:
        inner = [edge for span in night.dark for edge in span]
        lit = turns(mine, night, 0.3)
        assert [later - earlier for later, earlier in zip(inner, lit, strict=True)] == (
            pytest.approx([0] * len(lit), abs=240)
        )
        for edge in inner:
            assert night.begin_s <= night.lit_from_s <= edge <= night.lit_to_s


def test_a_polar_night_is_one_and_a_polar_day_none(tmp_path: Path) -> None:
    place = {"latitude": 78.0, "longitude": 15.0, "days": 365}
    mine, checked = street(tmp_path, **place, start="2025-01-01T00:00:00Z")
    found = nights(mine)
    longest = max(night.end_s - night.begin_s for night in found)
    assert longest > 60 * 86_400
    dark_s = sum(b - a for night in found for a, b in night.dark)
    assert dark_s == pytest.approx(sum(b - a for a, b in light_checker.nights(checked)), abs=3600)
