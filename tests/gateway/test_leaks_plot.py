"""Drawings of what the detectors saw: whole SVGs, with the alarms where they were."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from kerbline.cli.leak_plot import spans
from kerbline.sim import district as sim

DAY = 24


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of 20 homes; a main leaks from the sixth on, a home from the second."""
    one = sim.District(
        homes=20,
        days=10,
        step_min=60,
        missing=0.02,
        leaks=(sim.Leak(6 * DAY, 10 * DAY, 200.0),),
        customer=(sim.MeterLeak(3, 2 * DAY, 20.0),),
    )
    found = sim.recorded(one, 4)
    path = tmp_path_factory.mktemp("plot") / "district.npz"
    inflow = np.diff(found.inflow_total_l, prepend=0.0)[None] / 1000
    np.savez(
        path,
        reads=found.reads,
        missing=np.packbits(found.missing, axis=1),
        inflow_total_l=found.inflow_total_l,
        inflow=inflow,
    )
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["leaks", "plot", *map(str, words)], standalone_mode=False)


@pytest.mark.parametrize(
    ("what", "more", "panels", "alarms"),
    [
        ("dma-balance", (), 3, 1),
        ("dma-inflow", ("--series", 0), 2, 0),  # it learns for longer
        ("meters", ("--meter", 3), 3, 1),
    ],
)
def test_a_drawing_shows_each_panel_and_alarm(
    recording: Path, tmp_path: Path, what: str, more: tuple[object, ...], panels: int, alarms: int
) -> None:
    out = tmp_path / "seen.svg"
    result = run(what, recording, "--step-min", 60, "--out", out, *more)
    assert result.return_value == 0, result.exception
    root = ET.fromstring(out.read_text())
    shapes = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    shown = [each for each in shapes if each.get("class") == "alarm"]
    assert len(shown) == panels * alarms
    for each in shown:
        assert float(each.get("x", 0)) + float(each.get("width", 0)) == pytest.approx(976, abs=1)
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) >= panels
    assert all(len(line.get("points", "").split()) > DAY for line in lines if what != "dma-inflow")


def test_a_number_that_is_not_there_is_told(recording: Path, tmp_path: Path) -> None:
    result = run("meters", recording, "--step-min", 60, "--out", tmp_path / "x", "--meter", 20)
    assert str(result.exception).endswith("reads has 20 rows: give 0 to 19")


def test_spans_of_what_is_up() -> None:
    up = np.array([True, False, True, True])
    assert spans(up) == [(0, 1), (2, 4)]
    assert spans(np.zeros(3, np.bool_)) == []
