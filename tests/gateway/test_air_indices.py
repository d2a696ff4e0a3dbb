"""Air quality indices on every edge of their bands, NowCast by hand, and bad files refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline.cli import air
from kerbline.cli.csv_files import BadFile
from kerbline.control.air import aqi_eu, aqi_us

# By hand from ETC HE Report 2024/17: where good, fair, moderate, poor and very poor end.
EUROPEAN = [
    ("pm2_5", [5, 15, 50, 90, 140]),
    ("pm10", [15, 45, 120, 195, 270]),
    ("no2", [10, 25, 60, 100, 150]),
    ("o3", [60, 100, 120, 160, 180]),
    ("so2", [20, 40, 125, 190, 275]),
]
# By hand from 40 CFR 58 appendix G, table 2 (May 2024): concentration, index.
AMERICAN = [
    ("pm2_5", 0, 0),
    ("pm2_5", 9.0, 50),
    ("pm2_5", 9.1, 51),
    ("pm2_5", 9.19, 51),
    ("pm2_5", 35.4, 100),
    ("pm2_5", 35.5, 101),
    ("pm2_5", 55.4, 150),
    ("pm2_5", 55.5, 151),
    ("pm2_5", 125.4, 200),
    ("pm2_5", 125.5, 201),
    ("pm2_5", 225.4, 300),
    ("pm2_5", 225.5, 301),
    ("pm2_5", 325.4, 500),
    ("pm2_5", 325.5, 500),
    ("pm2_5", 326.4, 502),
    ("pm10", 54.9, 50),
    ("pm10", 55, 51),
    ("pm10", 154, 100),
    ("pm10", 424, 300),
    ("pm10", 425, 301),
    ("o3", 0.054, 50),
    ("o3", 0.0549, 50),
    ("o3", 0.055, 51),
    ("o3", 0.070, 100),
    ("o3", 0.200, 300),
    ("o3", 0.201, None),
    ("o3_1h", 0.124, None),
    ("o3_1h", 0.125, 101),
    ("o3_1h", 0.165, 151),
    ("o3_1h", 0.604, 500),
    ("co", 4.4, 50),
    ("co", 4.5, 51),
    ("co", 50.4, 500),
    ("so2", 35, 50),
    ("so2", 36, 51),
    ("so2", 304, 200),
    ("so2", 305, 201),
    ("no2", 53, 50),
    ("no2", 2049, 500),
    ("pm2_5", -0.1, None),
    ("pm2_5", float("nan"), None),
]


@pytest.mark.parametrize(("pollutant", "ends"), EUROPEAN)
def test_a_european_band_ends_with_its_upper_bound(pollutant: str, ends: list[float]) -> None:
    for number, end in enumerate(ends, 1):
        found = [aqi_eu.level(pollutant, end + beside) for beside in (-0.1, 0, 0.1)]
        assert [level and level.index for level in found] == [number, number, number + 1]


def test_the_worst_pollutant_tells_the_hour() -> None:
    assert aqi_eu.worst({"no2": 30, "pm10": 10, "co": 9}) == aqi_eu.Level(3, "no2")
    assert aqi_eu.worst({"co": 9}) is None
    assert aqi_eu.level("o3", -1) is None


@pytest.mark.parametrize(("pollutant", "value", "index"), AMERICAN)
def test_an_american_index(pollutant: str, value: float, index: int | None) -> None:
    found = aqi_us.level(pollutant, value)
    assert (found and found.index) == index


def test_american_categories_follow_the_index() -> None:
    names = [aqi_us.level("pm2_5", value) for value in (9, 35, 55, 125, 225, 300)]
    assert tuple(level.category for level in names if level) == aqi_us.CATEGORIES


@pytest.mark.parametrize(
    ("hours", "cast"),
    [
        ([10.0, 20.0], (10 + 0.5 * 20) / 1.5),  # the least weight
        ([18.0, 20.0, None, 20.0], (18 + 0.9 * 20 + 0.9**3 * 20) / (1 + 0.9 + 0.9**3)),
        ([None, 4.0, 8.0], (0.5 * 4 + 0.25 * 8) / 0.75),
        ([7.0] * 12, 7.0),
        ([0.0, 0.0], 0.0),
        ([10.0], None),
        ([None, None, 3.0, 3.0], None),
        ([None, 3.0, None, 3.0], None),
    ],
)
def test_nowcast(hours: list[float | None], cast: float | None) -> None:
    assert aqi_us.nowcast(hours) == (None if cast is None else pytest.approx(cast, abs=1e-12))


def test_the_thirteenth_hour_is_past() -> None:
    assert aqi_us.nowcast([1.0] * 12 + [1000.0]) == 1.0


def _told(tmp_path: Path, text: str, *arguments: str) -> tuple[int, str]:
    file = tmp_path / "in"
    file.write_text(text, newline="")
    done = CliRunner().invoke(air.group, [arguments[0], str(file), *arguments[1:]])
    if isinstance(done.exception, BadFile):
        return done.exception.exit_status, str(done.exception)
    return done.exit_code, done.stdout


def test_the_commands_give_rows_back(tmp_path: Path) -> None:
    _, lists = _told(tmp_path, "[[10, 20], [5], [null, 4, 8]]", "nowcast")
    assert json.loads(lists) == [pytest.approx(40 / 3), None, pytest.approx(16 / 3)]
    table = "pollutant,value,place\nPM2.5,5.1,a\nno2,,b\n"
    _, rows = _told(tmp_path, table, "aqi", "--index", "eu")
    assert rows.splitlines() == [
        "pollutant,value,place,index,category",
        "PM2.5,5.1,a,2,Fair",
        "no2,,b,,",
    ]
    windows = '\ufeffpollutant,value,note\r\npm10,55,"two\r\nlines"\r\npm10,3,\r\n'
    _, rows = _told(tmp_path, windows, "aqi", "--index", "us")
    assert [row[-2:] for row in csv.reader(io.StringIO(rows))][1:] == [
        ["51", "Moderate"],
        ["3", "Good"],
    ]
    _, rows = _told(tmp_path, "pollutant,value\npm2_5,9.1\n", "aqi", "--index", "us")
    assert rows.splitlines()[1] == "pm2_5,9.1,51,Moderate"
    _, rows = _told(tmp_path, "pollutant,value\npm2_5,NA\n", "aqi", "--index", "us")
    assert rows.splitlines()[1] == "pm2_5,NA,,"


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("[1, 2]", ["nowcast"], "list 0 (from 0): it must hold 1 to 12 hourly values"),
        ('[[1, "x"]]', ["nowcast"], "list 0, hour 1 (from 0): 'x' is no number"),
        ("[[1,", ["nowcast"], "this is no JSON"),
        ("a,value\n", ["aqi", "--index", "eu"], "line 1: there is no column 'pollutant'"),
        ("pollutant,value\nxy,3\n", ["aqi", "--index", "eu"], "line 2: pollutant: the eu index"),
        ("pollutant,value\no3,3x\n", ["aqi", "--index", "us"], "line 2: value: '3x' is no number"),
        ("[" * 50_000, ["nowcast"], "this is no JSON"),
        ("[[2, 1e308]]", ["nowcast"], "list 0, hour 1 (from 0): 1e+308 is more than there can be"),
        (f"[[1{'0' * 400}]]", ["nowcast"], "0... is more than there can be"),
        ("", ["aqi", "--index", "eu"], "found: none at all"),
        ("pollutant,value,value\no3,3,4\n", ["aqi", "--index", "eu"], "two columns 'value'"),
        ("pollutant,value\no3,1_0\n", ["aqi", "--index", "eu"], "'1_0' is no number"),
        ("pollutant,value\no3,-1e300\n", ["aqi", "--index", "us"], "more than there can be"),
        ('pollutant,value\no3,"3\n', ["aqi", "--index", "us"], "this is no CSV"),
        ("pollutant,value\no3\n", ["aqi", "--index", "us"], "line 2: it has not the 2 fields"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, arguments: list[str], said: str) -> None:
    status, message = _told(tmp_path, text, *arguments)
    assert status == 2
    assert said in message
