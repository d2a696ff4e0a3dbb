"""`kerbline light plot`: what is drawn is what stands in a trace."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from kerbline.cli.light_plot import PARTS, Window, binned
from kerbline.sim.lit_street_files import read_street
from tests import light_traffic
from tools.trees import ROOT

TRACE = "t_s,lamp,level_pct\n0.000,0,20\n0.000,1,20\n100.000,1,100\n150.000,1,20\n"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Two lamps in the depth of a night, one of which was full for 50 s."""
    path = tmp_path / "street.toml"
    path.write_text(light_traffic.street_toml(lamps=2, start="2025-12-21T21:00:00Z", days=0.1))
    (tmp_path / "trace.csv").write_text(TRACE)
    return path


def run(street: Path, *words: str) -> Result:
    given = ["light", "plot", street, street.with_name("trace.csv"), *words]
    out = ["--out", street.with_name("seen.svg")]
    return CliRunner().invoke(app, [*map(str, [*given, *out])], standalone_mode=False)


def test_each_part_of_the_time_is_a_mean_of_the_levels_in_it(street: Path) -> None:
    plan, _ = read_street(street)
    levels = binned(street.with_name("trace.csv"), plan, Window(50.0, 250.0))
    assert levels[0] == pytest.approx([20] * PARTS)
    quarter = PARTS // 4
    assert levels[1] == pytest.approx([20] * quarter + [100] * quarter + [20] * (PARTS // 2))
    (whole,) = {round(sum(each) / PARTS) for each in levels[1:]}
    assert whole == 40


def test_a_drawing_holds_every_lamp_and_who_was_there(street: Path) -> None:
    events = street.with_name("events.csv")
    events.write_text(
        "t_s,kind,speed_mps,enter_m,direction\n100,vehicle,14,0,1\n900,vehicle,14,30,-1\n"
    )
    words = ("--events", str(events), "--from", "50", "--to", "250")
    assert run(street, *words).return_value == 0
    drawn = ET.parse(street.with_name("seen.svg")).getroot()
    classes = [each.get("class") for each in drawn.iter()]
    assert classes.count("lamp") == 1 + 3
    assert classes.count("person") == 1
    texts = [each.text for each in drawn.iter(f"{SVG}text")]
    assert {"lamp 0", "lamp 1", "20 %", "100 %", "60 s"} <= set(texts)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "trace.csv:1: this is no trace; write a first line t_s,lamp,level_pct"),
        (f"{TRACE}9,1,20\n", 'trace.csv:6: "9,1,20" is no row of this street; write rising'),
        (f"{TRACE}200,2,20\n", 'trace.csv:6: "200,2,20" is no row'),
        (f"{TRACE}200,1\n", 'trace.csv:6: "200,1" is no row'),
        (f"{TRACE}nan,1,20\n", 'trace.csv:6: "nan,1,20" is no row'),
    ],
)
def test_what_is_no_trace_is_told_by_line(street: Path, text: str, complaint: str) -> None:
    street.with_name("trace.csv").write_text(text)
    assert complaint in str(run(street).exception)


def test_a_time_that_is_not_in_the_run_is_refused(street: Path) -> None:
    assert "is no time of it" in str(run(street, "--from", "9000").exception)
    assert "is no time of it" in str(run(street, "--from", "90", "--to", "90").exception)


def test_the_drawings_of_the_docs_are_of_their_street() -> None:
    folder = ROOT / "docs" / "understand" / "light"
    plan, passed_over = read_street(folder / "street.toml")
    assert not passed_over
    for name in ("night", "follow"):
        drawn = ET.parse(folder / f"{name}.svg").getroot()
        texts = [each.text for each in drawn.iter(f"{SVG}text")]
        assert f"lamp {plan.lamps - 1}" in texts
