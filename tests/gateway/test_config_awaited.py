"""Sections of control may name an asset whose node has yet to join, where one may join."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.config import Config, ConfigFault, load
from kerbline.config.awaited import Awaited, Misfit, awaited, misfits, named

HEAD = """\
[gateway]
id = "gw-1"
state_dir = "state"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "/dev/ttyUSB0"
"""
BUS = "bus = true\n"
UDP = '[udp]\nlisten = "[::]:5683"\n'
LINE = '[[enrolment]]\nport = "/dev/ttyUSB1"\n'
METER = """\
[[node]]
id = "wm-1"
asset = "meter-1"
kind = "water_meter"
key_file = "node.key"
port = "udp"
"""
CABINET = """\
[[modbus]]
name = "cabinet"
port = "socket://127.0.0.1:1502"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "cabinet-1"
[[modbus.device.register]]
name = "power_w"
address = 52
table = "input"
type = "float32"
"""
LIGHT = """\
[light]
position = [52.37, 4.9]
[[control_program]]
name = "evening"
[[lamp_group]]
name = "street"
lamps = ["lamp-1", "lamp-3"]
program = "evening"
"""
SECTIONS = {
    "dimming[1].lamps[2]": """\
[[dimming]]
lamps = ["lamp-1", "lamp-9"]
sensor_range_m = 8
spacing_m = 30
""",
    "leak[1].meter": '[[leak]]\nmeter = "meter-9"\n',
    "lamp_group[1].lamps[2]": LIGHT,
    "district[1].inflow[1]": '[[district]]\nzone = "mill"\ninflow = ["main-9"]\n',
    "air.stations[1]": '[air]\nstations = ["air-9"]\n',
    "rule[1].reading[1].asset": """\
[[rule]]
name = "fog"
[[rule.reading]]
asset = "air-9"
value = "humidity_pct"
above = 95
[rule.set_level]
lamps = ["lamp-1"]
level_pct = 80
hold_s = 900
""",
    "rule[1].set_level.lamps[1]": """\
[[rule]]
name = "fog"
[[rule.silence]]
asset = "lamp-1"
silent_s = 900
[rule.set_level]
lamps = ["lamp-9"]
level_pct = 80
hold_s = 900
""",
}


def read(folder: Path, text: str) -> Config:
    (folder / "node.key").write_text("00112233445566778899aabbccddeeff")
    (folder / "node.key").chmod(0o600)
    (folder / "gateway.toml").write_text(text)
    return load(folder / "gateway.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFault) as raised:
        read(folder, text)
    return [each.key for each in raised.value.faults]


@pytest.mark.parametrize("key", SECTIONS)
def test_a_name_of_nobody_is_a_fault_where_nobody_joins(tmp_path: Path, key: str) -> None:
    assert faults(tmp_path, HEAD + SECTIONS[key]) == [key]


@pytest.mark.parametrize("line", [UDP, LINE, BUS])
@pytest.mark.parametrize("key", SECTIONS)
def test_it_is_awaited_where_nodes_join(tmp_path: Path, key: str, line: str) -> None:
    config = read(tmp_path, HEAD + line + SECTIONS[key])
    kinds = {node.asset: node.kind for node in config.nodes}
    one = awaited(named(config), kinds)[0]
    assert key.startswith(one.where[0]) and one.asset in SECTIONS[key]
    assert str(one).startswith(f"awaited: {one.asset}, not joined yet ({one.where[0]})")
    rest = awaited(named(config), kinds | {one.asset: "streetlight"})
    assert one.asset not in [each.asset for each in rest]


@pytest.mark.parametrize("asset", ["gw-1", "meter-1", "cabinet-1"])
def test_a_name_that_something_else_has_is_a_fault_all_the_same(tmp_path: Path, asset: str) -> None:
    text = HEAD + UDP + METER + CABINET + SECTIONS["dimming[1].lamps[2]"]
    assert faults(tmp_path, text.replace("lamp-9", asset)) == ["dimming[1].lamps[2]"]


def test_a_value_that_no_node_tells_is_a_fault_whoever_joins(tmp_path: Path) -> None:
    fog = SECTIONS["rule[1].reading[1].asset"].replace("humidity_pct", "humidty_pct")
    assert faults(tmp_path, HEAD + UDP + fog) == ["rule[1].reading[1].value"]


def test_the_nearest_name_is_one_that_fits_and_that_no_such_section_has(tmp_path: Path) -> None:
    config = read(tmp_path, HEAD + UDP + SECTIONS["dimming[1].lamps[2]"])
    lamps = {"lamp-1": "streetlight", "lamp-2": "streetlight", "lamp-90": "water_meter"}
    assert [each.near for each in awaited(named(config), lamps)] == ["lamp-2"]
    there = {"lamp-1": "streetlight", "lamp-90": "water_meter"}
    (one,) = awaited(named(config), there)
    assert one.near == "", "lamp-1 is in the corridor already, lamp-90 is no lamp"
    (one,) = awaited(named(config), {"lamp-1": "streetlight", "lmap-9": "streetlight"})
    assert str(one).endswith("; is lmap-9 meant, which is there?")


def test_who_is_of_another_kind_is_told_by_the_sections_that_need_it(tmp_path: Path) -> None:
    light = LIGHT.replace("lamp-3", "lamp-9")
    config = read(tmp_path, HEAD + UDP + light + SECTIONS["dimming[1].lamps[2]"])
    kinds = {"lamp-1": "streetlight", "lamp-9": "water_meter"}
    (wrong,) = misfits(named(config), kinds)
    assert wrong.where == ("dimming[1]", "lamp_group[1]")
    assert str(wrong).startswith(
        "lamp-9 is of kind water_meter, not streetlight: left out of dimming[1]"
    )
    assert not awaited(named(config), kinds)


def test_the_page_shows_what_is_said() -> None:
    page = (Path(__file__).parents[2] / "docs/operate/enrolment.md").read_text()
    told = [
        Awaited("lamp-18", ("dimming[1]", "lamp_group[1]")),
        Awaited("lamp-71", ("dimming[1]",), "lamp-17"),
        Misfit("meter-3", "streetlight", "water_meter", ("leak[1]",)),
    ]
    assert all(f"warning: gateway.toml: {each}\n" in page for each in told)
