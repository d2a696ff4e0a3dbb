"""The water meter's energy: the page's table adds up, and is what the boards' files promise."""

import re
from pathlib import Path

import pytest

from kerbline import boards
from kerbnode import sleep
from tools.trees import ROOT

PAGE = (ROOT / "docs/understand/water-meter.md").read_text(encoding="utf-8")
CELL_MAH = 17_000
FILES = sorted((ROOT / "boards").glob("water-meter-*.toml"))


def rows() -> list[list[str]]:
    table = PAGE.partition("| what | mA |")[2].partition("\n\n")[0]
    return [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def number(text: str) -> float:
    return float(text.replace(",", "").strip(" *"))


def test_the_table_adds_up_to_the_years_that_the_page_says() -> None:
    *items, cell, total = rows()
    exact = CELL_MAH * 0.01 / 365.25
    assert number(cell[4]) == pytest.approx(exact, abs=0.006)
    for _, milliamperes, seconds, times, told in items:
        mah = number(milliamperes) * number(seconds) * number(times) / 3600
        assert number(told) == pytest.approx(mah, abs=0.006)
        exact += mah
    assert number(total[4]) == pytest.approx(exact, abs=0.011)
    years = re.search(r"That is \*\*([\d.]+) years", PAGE)
    assert years is not None
    assert float(years[1]) == pytest.approx(CELL_MAH / exact / 365.25, abs=0.05)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_boards_file_has_the_tables_figures(file: Path) -> None:
    energy = boards.load(file).energy
    assert energy is not None
    contact, report, asleep, *_ = rows()
    awake_s = sum(number(row[2]) * number(row[3]) for row in (contact, report))
    assert energy.awake_s_a_day == pytest.approx(awake_s)
    assert energy.awake_ma == number(contact[1]) == number(report[1])
    assert energy.sleep_ua <= 1000 * number(asleep[1])
    assert energy.cell_mah == CELL_MAH
    assert energy.life_years >= energy.years


def test_the_pages_rate_is_the_codes() -> None:
    assert f"**{sleep.ASLEEP_PULSES_PER_MINUTE} pulses a minute**" in PAGE
    assert number(rows()[0][2]) * 1000 == sleep.WAKE_MS
