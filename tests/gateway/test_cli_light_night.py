"""`kerbline light night`: a night's levels before it comes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline.agent.light.programs import Sky
from kerbline.cli import app
from tests.gateway.test_agent_light import CAP, CLASS, HEAD, at_s, config
from tools.trees import ROOT


def run(folder: Path, *arguments: str, text: str = HEAD + CLASS) -> str:
    """What it prints."""
    config(folder, text)
    found = CliRunner().invoke(app, ["light", "night", str(folder / "gateway.toml"), *arguments])
    return found.output


def test_a_night_is_told_by_local_time_with_its_program_and_floors(tmp_path: Path) -> None:
    told = run(tmp_path, "--on", "2026-12-17")
    assert told.splitlines() == [
        "lamp-1: program evening by calendar homes",
        "  16:27  100 %",
        "  23:00   67 %  M5 wants 67 %",
        "  04:59  100 %  M4 wants 100 %",
        "  08:46    0 %",
    ]
    friday = json.loads(run(tmp_path, "--on", "2026-12-18", "--json"))
    assert (friday["night"], friday["lamps"]) == ("2026-12-18", ["lamp-1"])
    assert friday["why"] == "program late by rule 1 of calendar homes"
    rows = {row["at"]: row for row in friday["levels"]}
    assert rows["02:00"] == {"at": "02:00", "level_pct": 67, "floor_pct": 67, "class": "M5"}
    assert friday["levels"][-1]["level_pct"] == 0


def test_the_page_shows_a_street_and_its_night(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operate" / "light.md").read_text(encoding="utf-8")
    street = braced(page.split("```toml\n")[1].split("```")[0])
    told = page.split("```text\n")[1].split("```")[0]
    on = page.split("gateway.toml --on ")[1][:10]
    (folder := tmp_path / "page").mkdir()
    assert run(folder, "--on", on, text=two_lamps() + street) == told


def two_lamps() -> str:
    """The head of a config, for what pages show."""
    head = HEAD.split("[light]")[0]
    return head + "[[node]]" + head.split("[[node]]")[1].replace("-1", "-2").replace("{port}", "2")


def test_a_year_is_drawn_as_the_page_has_it(tmp_path: Path) -> None:
    docs = ROOT / "docs"
    page = (docs / "operate" / "light.md").read_text(encoding="utf-8")
    config(tmp_path, two_lamps() + braced(page.split("```toml\n")[1].split("```")[0]))
    file, out = str(tmp_path / "gateway.toml"), tmp_path / "year.svg"
    asked = ["light", "year", file, "--lamp", "lamp-1", "--year", "2027", "--out", str(out)]
    found = CliRunner().invoke(app, asked)
    assert found.output.startswith("lamp-1, 2027: burns 4,277 h, as much light as 3,552 h at full")
    assert "213 kWh, 17 % less" in found.output
    understand = (docs / "understand" / "light.md").read_text(encoding="utf-8")
    assert "4,277 hours and gives the light of 3,552" in understand
    drawn = (docs / "understand" / "light" / "year.svg").read_text(encoding="utf-8")
    assert out.read_text(encoding="utf-8") == drawn


def braced(text: str) -> str:
    """For str.format."""
    return text.replace("{", "{{").replace("}", "}}")


def test_how_far_a_dead_gateways_hours_move_is_as_the_page_says() -> None:
    """A node's levels stay where they were by the sun's midnight."""
    page = (ROOT / "docs" / "operate" / "light.md").read_text(encoding="utf-8")
    sky = Sky((52.37, 4.9))
    first_s = at_s("2026-01-01T00:00")
    off = [sky.midnight(first_s + 86_400 * day) - first_s - 86_400 * day for day in range(731)]
    worst = [
        math.ceil(max(abs(off[day + days] - off[day]) for day in range(365)) / 60)
        for days in (7, 30)
    ]
    year = math.ceil((max(off) - min(off)) / 60)
    said = f"up to {worst[0]} minutes off after a week, {worst[1]} after a month, {year} at the"
    assert said in page


def test_a_cap_is_named_where_it_bounds(tmp_path: Path) -> None:
    told = run(tmp_path, "--on", "2026-12-18", "--lamp", "lamp-1", text=HEAD + CAP)
    assert "75 %  feeder allows 75 %" in told
    assert "on motion 75 %, for 20 s after the last" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "tomorrow"], "no date; write it as 2026-12-24"),
        (["--on", "9999-12-31"], "no year of the node's sun; write one of 2025 to 2049"),
        (["--lamp", "lamp-9"], "has the lamp 'lamp-9'"),
    ],
)
def test_what_can_not_be_told(tmp_path: Path, arguments: list[str], said: str) -> None:
    config(tmp_path, HEAD)
    file = str(tmp_path / "gateway.toml")
    found = CliRunner().invoke(app, ["light", "night", file, *arguments])
    assert found.exit_code != 0
    assert said in str(found.exception) + found.output


@pytest.mark.parametrize(
    ("text", "lamp", "said"),
    [
        (HEAD, "lamp-9", "no [[lamp_group]] of"),
        (HEAD.split("[light]")[0], "lamp-1", "has no [light]"),
        (HEAD.replace('calendar = "homes"\n', ""), "lamp-1", "no program has the lamp"),
    ],
)
def test_a_year_of_what_has_no_program(tmp_path: Path, text: str, lamp: str, said: str) -> None:
    config(tmp_path, text)
    file = str(tmp_path / "gateway.toml")
    found = CliRunner().invoke(app, ["light", "year", file, "--lamp", lamp, "--year", "2027"])
    assert said in str(found.exception)
