"""`kerbline modbus profile`: list, check and show, as a person meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from kerbline.config.profiles import SHIPPED

NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, ["modbus", "profile", *words], standalone_mode=False)
    assert result.exception is None or result.exception.__class__.__name__ == "ConfigFault"
    return result


def test_list_tells_each_profile_and_which_is_yours(tmp_path: Path) -> None:
    assert [line.split()[0] for line in run("list").output.splitlines()] == NAMES
    (tmp_path / "abb-b23.toml").write_text((SHIPPED / "abb-b23.toml").read_text())
    (tmp_path / "mine.toml").write_text("")
    lines = run("list", "--profiles", str(tmp_path)).output.splitlines()
    assert "ABB B23 and B24, three-phase energy meters (hides the shipped one)" in lines[0]
    (mine,) = [line for line in lines if line.startswith("mine ")]
    assert "2 faults: run `kerbline modbus profile check" in mine


def test_check_says_what_is_good_and_each_fault(tmp_path: Path) -> None:
    assert run("check").return_value == 0
    assert "tuf-2000m: good; 14 registers, 28 values" in run("check", "tuf-2000m").output
    bad = tmp_path / "tuf-2000m.toml"
    text = (SHIPPED / "tuf-2000m.toml").read_text()
    bad.write_text(text.replace('name = "flow_m3h"', 'name = "Flow"'))
    result = run("check", "abb-b23", str(bad))
    assert result.return_value == 2
    assert "abb-b23: good" in result.output
    line = text[: text.index('name = "flow_m3h"')].count("\n") + 1
    assert f'{bad}:{line}: register[1].name: "Flow" is not of the right form;' in result.stderr


def test_show_tells_the_manual_and_the_requests_of_a_poll() -> None:
    lines = run("show", "eastron-sdm630").output.splitlines()
    assert "poll      every 1 s 1 request: input 0+72" in lines
    assert f"file      {SHIPPED / 'eastron-sdm630.toml'}" in lines
    assert "line      unit 1, 9600 baud, parity none, 1 stop bits" in lines
    assert any(line.startswith("manual    SDM630-Modbus, Smart Meter") for line in lines)
    (energy,) = [line for line in lines if line.startswith("energy_import_kwh ")]
    assert " ".join(energy.split()) == "energy_import_kwh input 72 float32 KWH, dead-band 0, meter"


@pytest.mark.parametrize("name", NAMES)
def test_show_tells_every_register(name: str) -> None:
    lines = run("show", name).output.splitlines()
    assert lines[0].startswith(f"{name}: ")
    text = (SHIPPED / f"{name}.toml").read_text()
    assert len([each for each in lines if " 0x" not in each]) - 6 >= text.count("[[register]]")


def test_a_name_that_is_no_profile_is_told() -> None:
    result = run("show", "nope")
    assert str(result.exception).startswith("nope: no profile is called so; write one of abb-b23, ")
