"""`kerbline sun`: rows of a file and when the sun passes a height, beside NREL's SPA."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pvlib import spa

LIMIT_S = 6.0
HEAD = "date,lat,lon,event,zenith"
DAY_S = 86_400
EDGE_S = 600


def told(folder: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    file = folder / "asked.csv"
    file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "kerbline", "sun", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rows(folder: Path, lines: list[str]) -> list[dict[str, str]]:
    done = told(folder, lines)
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(done.stdout.splitlines()))


def exact(near_s: float, north: float, east: float, event: str) -> float | None:
    """SPA's own sunrise or sunset (A.2) on the UTC day of a time, in seconds since 1970.

    None near that day's ends, where SPA takes another day's sun and is minutes off.
    """
    day = np.floor([near_s / DAY_S]) * DAY_S
    column = 2 if event == "set" else 1
    place = np.array([north]), np.array([east])
    found = float(spa.transit_sunrise_sunset(day, *place, 72.0, 1)[column][0])
    inside = EDGE_S < near_s % DAY_S < DAY_S - EDGE_S and EDGE_S < found - day[0] < DAY_S - EDGE_S
    return found if inside else None


def test_times_are_within_6_s_of_spa(tmp_path: Path) -> None:
    dice = random.Random(19)
    asked, lines = [], [HEAD]
    for _ in range(200):
        day = date(2025, 1, 1) + timedelta(days=dice.randrange(25 * 365))
        north, east = dice.uniform(-60, 60), dice.uniform(-180, 180)
        event = dice.choice(["rise", "set"])
        asked.append((day, north, east, event))
        lines.append(f"{day},{north},{east},{event},90.8333")
    worst, compared = 0.0, 0
    for (day, north, east, event), row in zip(asked, rows(tmp_path, lines), strict=True):
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        text = row["utc_seconds_of_day"]
        assert len(text.rpartition(".")[2]) == 2
        theirs = exact(begin + float(text), north, east, event)
        if theirs is not None:
            compared += 1
            worst = max(worst, abs(begin + float(text) - theirs))
        middle = begin + DAY_S / 2 - 240 * east
        assert abs(begin + float(text) - middle) < DAY_S / 2 + EDGE_S, "of that solar day"
    print("worst against SPA in s:", worst)
    assert worst <= LIMIT_S and compared > 100


def test_a_solar_day_may_begin_before_and_end_after_the_utc_day(tmp_path: Path) -> None:
    east, west = rows(
        tmp_path, [HEAD, "2026-03-20,0,170,rise,90.8333", "2026-03-20,0,-170,set,90.8333"]
    )
    assert -22_000 < float(east["utc_seconds_of_day"]) < -17_000
    assert 105_000 < float(west["utc_seconds_of_day"]) < 107_000


def test_a_sun_that_does_not_pass_leaves_the_field_empty(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        [
            HEAD,
            "2026-06-21,70,20,rise,90.8333",
            "2026-12-21,70,20,set,90.8333",
            "2026-06-21,60,20,set,108",
            "2026-06-21,90,0,set,90.8333",
        ],
    )
    assert [row["utc_seconds_of_day"] for row in found] == [""] * 4


def test_other_columns_go_with_their_rows(tmp_path: Path) -> None:
    done = told(tmp_path, ["note,zenith,event,lon,lat,date", '"a, b",96,SET,4.9,52.37,1955-10-01'])
    lines = done.stdout.splitlines()
    assert lines[0] == "note,zenith,event,lon,lat,date,utc_seconds_of_day"
    assert lines[1].startswith('"a, b",96,SET,4.9,52.37,1955-10-01,6')


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("29-03-2026,1,2,rise,90", "line 2: date:"),
        ("2026-03-29,91,2,rise,90", "line 2: lat:"),
        ("2026-03-29,1,,rise,90", "line 2: lon:"),
        ("2026-03-29,1,nan,rise,90", "line 2: lon:"),
        ("2026-03-29,1,2,noon,90", "line 2: event:"),
        ("2026-03-29,1,2,set,-1", "line 2: zenith:"),
        ("2026-03-29,1,2,set,high", "line 2: zenith:"),
        ("2026-03-29,1,2,set", "line 2:"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, says: str) -> None:
    done = told(tmp_path, [HEAD, line])
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    done = told(tmp_path, ["date,lat,lon,event", "2026-03-29,1,2,set"])
    assert done.returncode == 2 and "'zenith'" in done.stderr
