"""PM2.5 of an optical sensor: by hand, beside a reference, and never with what comes later."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline.cli import air
from kerbline.control.air import correct
from kerbline.control.air.correct import Corrected, Learned, Seen, State
from kerbline.control.air.sensor_types import PLANTOWER

DAYS = 120


def street(seed: int, days: int = DAYS) -> Sequence[tuple[Seen, float]]:
    """A sensor's days and their truth: the fitted form, a fault of its own, and chance."""
    chance = random.Random(seed)
    offset, slope = chance.choice((-2.5, 2.5)), chance.uniform(0.8, 1.25)
    weeks = correct.Weeks()
    made = []
    level = math.log(10)
    for day in range(days):
        level += 0.3 * (math.log(10) - level) + chance.gauss(0, 0.35)
        seen = Seen(
            19_000.0 + day,
            math.exp(level),
            min(max(chance.gauss(57, 10), 10), 99),
            chance.gauss(15, 8),
        )
        weeks = weeks.took(seen)
        terms = correct.terms(seen, weeks)
        pure = sum(a * b for a, b in zip(PLANTOWER.coefficients, terms, strict=True))
        made.append((seen, max(offset + slope * pure + chance.gauss(0, 0.8), 0.0)))
    return made


def told(days: Sequence[tuple[Seen, float]], *, taught: bool) -> list[Corrected]:
    state, found = State(), []
    for seen, truth in days:
        state, corrected = correct.correct(PLANTOWER, state, seen)
        found.append(corrected)
        if taught:
            state = correct.learn(state, truth)
    return found


def rmse(days: Sequence[tuple[Seen, float]], found: Sequence[Corrected]) -> float:
    squares = [(c.pm2_5 - truth) ** 2 for (_, truth), c in zip(days, found, strict=True)]
    return math.sqrt(sum(squares) / len(squares))


def test_the_first_day_by_hand() -> None:
    """Without weeks behind it a day is its own weeks, and there is no unrest."""
    seen = Seen(0.0, 16.0, 50.0, 20.0, 9.0)
    _, found = correct.correct(PLANTOWER, State(), seen)
    by_hand = 5.26134 + 0.491027 * 16 / 1.4  # at 50 % one part of water to 0.4
    by_hand += 0.0549365 * 16 - 0.0241003 * math.log(16) * 50 + 0.00532581 * 81
    assert found.pm2_5 == pytest.approx(by_hand)
    assert found.high95 - found.pm2_5 == pytest.approx(1.96 * (1.25 + 0.1 * by_hand))


def test_the_dew_point_of_a_table() -> None:
    """20 C at 50 % has its dew at 9.3 C (any psychrometric table)."""
    assert correct.dew_point_c(20.0, 50.0) == pytest.approx(9.26, abs=0.02)
    assert correct.dew_point_c(-5.0, 100.0) == pytest.approx(-5.0)


def test_droplets_grow_with_humidity_but_not_for_ever() -> None:
    """Kappa-Koehler by hand: 0.4 a / (1 - a) of water to each part of a particle."""
    assert correct.growth(0.0) == 1.0
    assert correct.growth(80.0) == pytest.approx(2.6)
    assert correct.growth(95.0) == correct.growth(100.0) == pytest.approx(8.6)


def test_frost_is_no_mugginess() -> None:
    cold, mild = (
        Seen(0.0, 16.0, 50.0, temperature, dew) for temperature, dew in ((-9, -20), (5, 0))
    )
    weeks = correct.Weeks().took(cold)
    assert correct.terms(cold, weeks)[-1] == correct.terms(mild, weeks)[-1] == 0.0


def test_seasons_turn_over_south_of_the_line() -> None:
    winter = Seen(0.0, 16.0, 50.0, 20.0)
    summer = replace(winter, day=182.625)
    weeks = correct.Weeks().took(winter)
    assert correct.terms(summer, weeks, southern=True) == pytest.approx(
        correct.terms(winter, weeks)
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_reference_teaches_what_the_sensor_does_wrong(seed: int) -> None:
    days = street(seed)
    alone, beside = told(days, taught=False), told(days, taught=True)
    assert rmse(days[30:], beside[30:]) < 0.75 * rmse(days[30:], alone[30:])
    within = sum(c.low95 <= t <= c.high95 for (_, t), c in zip(days, beside, strict=True))
    assert within >= 0.9 * DAYS


def test_a_reference_gone_wild_moves_little() -> None:
    days = street(1)
    state = State()
    for seen, truth in days[:-1]:
        state, _ = correct.correct(PLANTOWER, state, seen)
        state = correct.learn(state, truth)
    before, _ = correct.correct(PLANTOWER, state, days[-1][0])
    _, calm = correct.correct(PLANTOWER, correct.learn(before, days[-1][1]), days[-1][0])
    _, wild = correct.correct(PLANTOWER, correct.learn(before, 900.0), days[-1][0])
    assert abs(wild.pm2_5 - calm.pm2_5) < 8


def test_what_was_learned_fades_when_the_reference_goes() -> None:
    days = street(2, 60)
    state = State()
    for seen, truth in days:
        state, _ = correct.correct(PLANTOWER, state, seen)
        state = correct.learn(state, truth)
    last = days[-1][0]
    _, next_day = correct.correct(PLANTOWER, state, replace(last, day=last.day + 1))
    _, next_year = correct.correct(PLANTOWER, state, replace(last, day=last.day + 365))
    assert next_year.high95 - next_year.low95 > next_day.high95 - next_day.low95


def test_a_day_teaches_once_and_nothing_before_it_was_told() -> None:
    seen, truth = street(3, 1)[0]
    assert correct.learn(State(), truth) == State()
    state, _ = correct.correct(PLANTOWER, State(), seen)
    taught = correct.learn(state, truth)
    assert correct.learn(taught, truth + 5) == taught
    assert isinstance(taught.learned, Learned)


def _file(tmp_path: Path, sensors: int, days: int) -> Path:
    file = tmp_path / "days.csv"
    with file.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["sensor_index", "DAILY", "conc", "A_B_Avg", "humidity_a", "temp_Celsius"])
        for sensor in range(sensors):
            for number, (seen, truth) in enumerate(street(sensor, days)):
                date = f"2022-0{1 + number // 28}-{1 + number % 28:02}"
                fields = (seen.pm2_5_ug_m3, seen.humidity_pct, seen.temperature_c)
                out.writerow([sensor, date, truth, *fields])
    return file


def _run(file: Path, *options: str) -> list[dict[str, str]]:
    done = CliRunner().invoke(air.group, ["correct", str(file), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_no_row_knows_its_own_reference_or_a_later_one(tmp_path: Path) -> None:
    file = _file(tmp_path, 2, 40)
    whole = _run(file, "--with-reference")
    lines = file.read_text().splitlines()
    cut = 1 + 25  # of the first sensor
    changed = [line.split(",") for line in lines]
    for row in changed[cut : 1 + 40]:
        row[2] = "99"
    file.write_text("\n".join(",".join(row) for row in changed))
    again = _run(file, "--with-reference")
    told_whole = [row["pm2_5"] for row in whole]
    told_again = [row["pm2_5"] for row in again]
    assert told_again[:cut] == told_whole[:cut]  # the day of the change is told as before
    assert told_again[cut + 1 : 40] != told_whole[cut + 1 : 40]
    assert told_again[40:] == told_whole[40:]  # the other sensor's


def test_rows_come_back_in_their_order_and_empty_ones_with_nothing(tmp_path: Path) -> None:
    file = _file(tmp_path, 1, 10)
    ordered = _run(file)
    head, *lines = file.read_text().splitlines()
    hole = ",".join(f"{lines[4].rsplit(',', 2)[0]},,5".split(","))
    file.write_text("\n".join([head, *reversed(lines), hole]))
    shuffled = _run(file)
    assert [row["pm2_5"] for row in reversed(shuffled[:10])] == [row["pm2_5"] for row in ordered]
    assert [shuffled[10][name] for name in ("pm2_5", "low95", "high95")] == ["", "", ""]


def test_a_days_own_reference_teaches_no_other_row_of_the_day(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    head = "sensor_index,DAILY,conc,A_B_Avg,humidity_a,temp_Celsius\n"
    told = []
    for conc in (2, 90):
        file.write_text(
            f"{head}1,2022-01-01,{conc},20,50,10\n1,2022-01-01T12:00,{conc},20,50,10\n"
            f"1,2022-01-01,{conc},20,50,10\n1,2022-01-02,5,20,50,10\n"
        )
        told.append([row["pm2_5"] for row in _run(file, "--with-reference")])
    assert told[0][:3] == told[1][:3]
    assert float(told[0][3]) < float(told[1][3])


def test_what_no_weather_can_be_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = ["20,50,10", "20,500,10", "20,50,-300", "-1,50,10", "1e6,50,10"]
    head = "sensor_index,DAILY,A_B_Avg,humidity_a,temp_Celsius"
    file.write_text("\n".join([head, *(f"{n},2022-01-01,{row}" for n, row in enumerate(rows))]))
    assert [bool(row["pm2_5"]) for row in _run(file)] == [True, False, False, False, False]


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    file = _file(tmp_path, 1, 3)
    file.write_text(file.read_text().replace("2022-01-02", "2022-01-42"))
    done = CliRunner().invoke(air.group, ["correct", str(file)])
    assert "line 3: DAILY: '2022-01-42' is no date" in str(done.exception)
