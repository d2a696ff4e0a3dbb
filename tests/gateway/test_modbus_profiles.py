"""Device profiles: found, read, judged with line and key, and what a config makes of them."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest

from kerbline.config import Config, ConfigFault, load
from kerbline.config.modbus import Register
from kerbline.config.profiles import SHIPPED, Profile, Profiles
from kerbline.config.profiles import load as load_profile
from kerbline.config.registers import value_names
from kerbline.config.unit_codes import UNIT_CODES
from kerbline.south.modbus.plan import Limits, plan
from tests.gateway.test_config import keys_in, keys_of

SHIPPED_NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))

HEAD = """\
[profile]
name = "meter"
title = "A meter"
maker = "Someone"
models = ["One"]
poll_s = 5
[profile.manual]
title = "Manual"
edition = "1"
table = "1"
[limits]
max_words = 40
[defaults]
type = "float32"
table = "input"
"""
POWER = """\
[[register]]
name = "power_w"
address = 12
"""
GATEWAY = """\
[gateway]
id = "gw"
state_dir = "state"
[[modbus]]
name = "bus"
port = "/dev/ttyUSB0"
[[modbus.device]]
unit = 1
asset = "a-1"
"""


def profile_faults(folder: Path, text: str) -> list[str]:
    path = folder / "meter.toml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as raised:
        load_profile(path)
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


def config(folder: Path, text: str) -> Config:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load(path)


def config_faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFault) as raised:
        config(folder, text)
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_a_shipped_profile_is_good_and_says_where_its_facts_are_from(name: str) -> None:
    profile, registers = Profiles().get(name)
    assert profile.about.manual.title
    assert profile.about.manual.table
    names = [each for register in registers for each in value_names(register)]
    assert len(names) == len(set(names))
    reads = plan(registers, Limits(profile.limits.max_words, max_gap=profile.limits.max_gap))
    assert all(read.count <= profile.limits.max_words for read in reads)
    assert any(register.retention != "telemetry" for register in registers)


def test_the_issues_families_are_shipped() -> None:
    assert {
        "abb-b23",
        "carlo-gavazzi-em24",
        "danfoss-vlt-fc202",
        "eastron-sdm630",
        "lighting-cabinet",
        "schneider-iem3000",
        "tuf-2000m",
    } <= set(SHIPPED_NAMES)


def test_defaults_hold_where_a_register_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "meter.toml"
    path.write_text(HEAD + POWER + '[[register]]\nname = "runs"\naddress = 9\ntype = "uint16"\n')
    power, runs = load_profile(path).registers
    assert (power.type, power.table) == ("float32", "input")
    assert (runs.type, runs.table) == ("uint16", "input")


def test_devices_that_write_out_the_same_registers_share_them(tmp_path: Path) -> None:
    written = POWER.replace("[[register]]", "[[modbus.device.register]]")
    second = '[[modbus.device]]\nunit = 2\nasset = "a-2"\n'
    one, two = config(tmp_path, GATEWAY + written + second + written).buses[0].devices
    assert one.registers[0] is two.registers[0]


@pytest.mark.parametrize(
    ("register", "says"),
    [
        ("", "meter.toml:1: register: is missing; write [[register]]"),
        (POWER.replace("12", "65535"), "18: register[1].address: 2 from 65535 on end past 65535;"),
        (POWER + "skale = 1", "19: register[1].skale: is not a key that belongs here; did you"),
        (POWER + 'type = "float"', '19: register[1].type: "float" is not known; write one of'),
        (POWER + "scale = 0", "19: register[1].scale: 0.0 is no scale; write what one step"),
        (POWER + "offset = 1e-320", "19: register[1].offset: 1e-320 is no offset; write what the"),
        (POWER + "offset = -1e19", "19: register[1].offset: -1e+19 is no offset; write what the"),
        (
            POWER + "writable = {min = 0, max = 1}",
            "19: register[1].writable: input registers can't",
        ),
        (POWER + 'table = "holding"\nwritable = {}', "20: register[1].writable: does not say what"),
        (
            POWER + 'table = "holding"\nwritable = {values = [1], min = 0}',
            "20: register[1].writable: has values and a range; write one of them",
        ),
        (
            POWER + 'type = "uint16"\ntable = "holding"\nwritable = {min = -1, max = 1}',
            "21: register[1].writable.min: -1.0 does not fit into a uint16; mend it, or the scale",
        ),
        (
            POWER + "count = 30",
            "19: register[1].count: a list of 60 does not fit into one read of 40",
        ),
        (
            POWER + 'type = "string"\nwords = 60',
            "20: register[1].words: a string of 60 words does not fit into one read of 40; "
            "write words = 40, or max_words = 60",
        ),
        (
            POWER + 'type = "bool"\ntable = "holding"\nwritable = {min = 0}',
            "21: register[1].writable: a bool has no range; leave out min, max, step and values",
        ),
        (POWER + "spread = true", "19: register[1].spread: there is no range to spread; write its"),
        (POWER + "bit = 1", "19: register[1].bit: picks a bool out of a word of input or holding"),
        (
            POWER + "bits = {a = 1}",
            "19: register[1].bits: names the flags of a register of type bits",
        ),
        (
            POWER + 'type = "bits"\nbits = {a = 16}',
            "20: register[1].bits.a: bit 16 is not among 16",
        ),
        (
            POWER + 'type = "bits"\nbits = {a = "x"}',
            '20: register[1].bits.a: "x" where a whole number belongs',
        ),
        (
            POWER + 'type = "bits"\nbits = {a = 64}',
            "20: register[1].bits.a: ",
        ),
        (
            POWER + 'type = "bits"\nbits = {A = 1}',
            '20: register[1].bits.A: "A" is no name of a flag',
        ),
        (POWER + "words = 2", "19: register[1].words: a float32 has its own width; leave it out"),
        (POWER + 'type = "bcd"\nwords = 5', "20: register[1].words: is too many for bcd; write up"),
        (POWER + 'type = "bool"\ncount = 2', "20: register[1].count: only numbers and bits have"),
        (POWER + 'type = "string"\nscale = 2.0', "20: register[1].scale: a string is no number"),
        (POWER + 'type = "string"\ndeadband = 2', "20: register[1].deadband: a string is the same"),
        (
            POWER + 'type = "int16"\ninvalid = [0x18000]',
            "20: register[1].invalid[1]: 98304 does not",
        ),
        (
            POWER + 'type = "bcd"\ninvalid = [1]',
            "20: register[1].invalid: a bcd of input has no such",
        ),
        (POWER + 'unit = "KWT"', '19: register[1].unit: "power_w" ends in the unit WTT; leave it'),
        (
            POWER + 'unit = "kW"',
            '19: register[1].unit: "kW" is not of the right form; write a code',
        ),
        (POWER + 'class = "gold"', '19: register[1].class: "gold" is not known; write one of'),
        (POWER + POWER, '20: register[2].name: "power_w" stands at register[1].name, line 17 alr'),
        (
            POWER.replace("power_w", "a_0")
            + '[[register]]\nname="a"\naddress=20\ncount=2\nspread=true',
            '20: register[2].name: "a_0" stands at register[1].name, line 17 already',
        ),
        (
            POWER + '[[register.alarm]]\nname = "hot"',
            "19: register[1].alarm[1]: nothing says when it begins; write one of above, bel",
        ),
        (
            POWER + '[[register.alarm]]\nname = "hot"\nabove = 1\nbelow = 2',
            "register[1].alarm[1]: above and below says when it begins",
        ),
        (
            POWER + '[[register.alarm]]\nname = "hot"\nwhen = true',
            "21: register[1].alarm[1].when: does not fit a float32; write above or below",
        ),
        (
            POWER
            + 'type = "bits"\nbits = {a = 1}\n[[register.alarm]]\nname="x"\nflag="b"\nwhen=true',
            'register[1].alarm[1].flag: "b" is no flag of it; write one of a',
        ),
        (
            POWER + 'type = "bool"\n[[register.alarm]]\nname = "x"\nwhen = true\nhysteresis = 1',
            "register[1].alarm[1].hysteresis: a bool has none; leave it out",
        ),
        (
            POWER + "count = 2\n[[register.alarm]]\nname = 'x'\nabove = 1",
            "register[1].alarm[1]: a list has no limit; write spread = true",
        ),
        (
            POWER + 2 * "[[register.alarm]]\nname = 'x'\nabove = 1\n",
            '"x" stands at register[1].alarm[1].name, line 20 already; write another one',
        ),
    ],
)
def test_a_bad_register_is_told(tmp_path: Path, register: str, says: str) -> None:
    found = profile_faults(tmp_path, HEAD + register)
    assert any(says in fault for fault in found), found


def test_a_bad_default_is_told_once(tmp_path: Path) -> None:
    text = HEAD.replace('"float32"', '"float"').replace("[defaults]", "[defaults]\nspread = true")
    found = profile_faults(tmp_path, text + POWER + POWER.replace("power_w", "a_w"))
    assert [fault.partition("; ")[0] for fault in found] == [
        "meter.toml:14: defaults.spread: is not a key that belongs here",
        'meter.toml:15: defaults.type: "float" is not known',
    ]


def test_a_coil_is_a_bool(tmp_path: Path) -> None:
    (found,) = profile_faults(tmp_path, HEAD + POWER + 'table = "coil"')
    assert found.startswith("meter.toml:16: register[1].type: coil registers are single bits, not")


def test_a_profile_is_called_as_its_file(tmp_path: Path) -> None:
    (found,) = profile_faults(tmp_path, HEAD.replace('"meter"', '"metre"') + POWER)
    assert found == "meter.toml:2: profile.name: the file is called meter.toml; rename one of them"


def test_a_config_gets_the_registers_of_its_profile(tmp_path: Path) -> None:
    device = config(tmp_path, GATEWAY + 'profile = "eastron-sdm630"').buses[0].devices[0]
    profile, registers = Profiles().get("eastron-sdm630")
    assert device.registers == registers
    assert (device.max_words, device.write) == (80, "multiple")
    assert device.poll_s == profile.about.poll_s
    two = config(tmp_path, GATEWAY + 'profile = "eastron-sdm630"\nonly = ["power_w"]\npoll_s = 9')
    assert [each.name for each in two.buses[0].devices[0].registers] == ["power_w"]
    assert two.buses[0].devices[0].poll_s == 9.0


def test_the_files_own_word_is_the_last(tmp_path: Path) -> None:
    (tmp_path / "meter.toml").write_text(HEAD + POWER)
    text = GATEWAY + 'profile = "meter.toml"\nmax_words = 7\n[[modbus.device.register]]\n'
    device = config(tmp_path, text + 'name = "b"\naddress = 9\ncount = 3\nspread = true').buses[0]
    assert device.devices[0].max_words == 7
    assert device.devices[0].poll_s == 5.0
    names = [(each.name, each.address, each.count) for each in device.devices[0].registers]
    assert names == [("power_w", 12, 1), ("b_0", 9, 1), ("b_1", 10, 1), ("b_2", 11, 1)]


def test_a_users_profile_hides_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    text = (SHIPPED / "tuf-2000m.toml").read_text().replace("low_first", "high_first")
    (mine / "tuf-2000m.toml").write_text(text)
    gateway = GATEWAY.replace('state_dir = "state"', 'state_dir = "state"\nprofiles = "mine"')
    device = config(tmp_path, gateway + 'profile = "tuf-2000m"').buses[0].devices[0]
    assert {each.word_order for each in device.registers} == {"high_first"}
    found = Profiles(mine)
    assert found.hidden("tuf-2000m")
    assert not found.hidden("abb-b23")
    assert set(found.names()) == set(SHIPPED_NAMES)


def test_devices_of_one_profile_share_its_registers(tmp_path: Path) -> None:
    more = '[[modbus.device]]\nunit = 2\nasset = "a-2"\nprofile = "abb-b23"\n'
    one, two = config(tmp_path, GATEWAY + 'profile = "abb-b23"\n' + more).buses[0].devices
    assert one.registers is two.registers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'profile = "nope"',
            "10: modbus[1].device[1].profile: nope: no profile is called so; write",
        ),
        ('profile = "no/such.toml"', "modbus[1].device[1].profile: "),
        ("", "7: modbus[1].device[1]: has neither a profile nor registers; write profile ="),
        (
            'profile = "meter.toml"\nonly = ["power"]',
            'only[1]: "power" is no register of meter.toml',
        ),
        (
            'profile = "meter.toml"\n[[modbus.device.register]]\nname = "power_w"\naddress = 1',
            '12: modbus[1].device[1].register[1].name: "power_w" stands at modbus[1].device[1].p',
        ),
        (
            'profile = "meter.toml"\nmax_words = 1',
            "11: modbus[1].device[1].max_words: power_w of meter.toml takes 2 at once; "
            "write 2 or more, or leave power_w out of `only`",
        ),
        (
            "max_words = 2\n[[modbus.device.register]]\nname='x'\naddress=1\ntype='float64'",
            "register[1].type: a float64 of 4 words does not fit into one read of 2; "
            "write max_words = 4",
        ),
        (
            "max_words = 4\n[[modbus.device.register]]\nname = 'x'\naddress = 1\ncount = 5",
            "modbus[1].device[1].register[1].count: a list of 5 does not fit into one read of 4",
        ),
        (
            'profile = "bad.toml"',
            "bad.toml:16: register[1].address: is missing; write address = ...",
        ),
    ],
)
def test_a_bad_device_is_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "meter.toml").write_text(HEAD + POWER)
    (tmp_path / "bad.toml").write_text(
        HEAD.replace('"meter"', '"bad"') + POWER.replace("address = 12\n", "")
    )
    found = config_faults(tmp_path, GATEWAY + text)
    assert any(says in fault for fault in found), found


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "pipeline = 2",
            "modbus[1].pipeline: answers in RTU frames have no number to know them by",
        ),
        (
            'port = "socket://h:1"\nrs485 = true',
            "modbus[1].rs485: a connection has no driver to swi",
        ),
        (
            'port = "socket://h:1"\nframer = "tcp"\necho = true',
            "modbus[1].echo: Modbus TCP has no echo; leave it out",
        ),
        ("stop_bits = 3", "modbus[1].stop_bits: 3 is not known; write one of 1, 2"),
    ],
)
def test_a_line_that_can_not_be_so_is_told(tmp_path: Path, line: str, says: str) -> None:
    text = GATEWAY.replace('port = "/dev/ttyUSB0"\n', "" if "port" in line else 'port = "/dev/x"\n')
    text = text.replace("[[modbus.device]]", f"{line}\n[[modbus.device]]")
    found = config_faults(tmp_path, text + 'profile = "abb-b23"')
    assert any(says in fault for fault in found), found


@pytest.mark.parametrize("unit", [0, 248, 255])
def test_units_beyond_247_are_of_modbus_tcp_alone(tmp_path: Path, unit: int) -> None:
    text = GATEWAY.replace("unit = 1", f"unit = {unit}") + 'profile = "abb-b23"'
    says = f"modbus[1].device[1].unit: {unit} is no unit of a serial line; write 1 to 247"
    assert any(says in fault for fault in config_faults(tmp_path, text))
    over_tcp = text.replace('port = "/dev/ttyUSB0"', 'port = "socket://h:502"\nframer = "tcp"')
    assert config(tmp_path, over_tcp).buses[0].devices[0].unit == unit


def test_a_fault_in_one_register_does_not_hide_the_others(tmp_path: Path) -> None:
    found = profile_faults(tmp_path, HEAD + POWER + "scale = 'x'\n" + POWER + "spread = true")
    assert [fault.partition(": ")[0] for fault in found] == ["meter.toml:19", "meter.toml:23"]


def test_flags_and_spread_ranges_name_their_values() -> None:
    flags = Register("state", 0, "bits", bits={"on": 0, "off": 1})
    assert list(value_names(flags)) == ["state_on", "state_off"]
    spread = Register("a", 0, count=2, spread=True)
    assert list(value_names(spread)) == ["a_0", "a_1"]
    assert list(value_names(dataclasses.replace(spread, spread=False))) == ["a"]


def test_a_spread_range_has_each_alarm_for_each_of_its_values(tmp_path: Path) -> None:
    alarm = "count = 2\nspread = true\n[[register.alarm]]\nname = 'hot'\nabove = 1\n"
    (tmp_path / "meter.toml").write_text(HEAD + POWER + alarm)
    device = config(tmp_path, GATEWAY + 'profile = "meter.toml"').buses[0].devices[0]
    assert [each.alarms[0].name for each in device.registers] == ["hot_0", "hot_1"]
    assert [each.address for each in device.registers] == [12, 14]
    clash = POWER.replace("power_w", "b_w") + "[[register.alarm]]\nname = 'hot_1'\nabove = 1\n"
    (found,) = profile_faults(tmp_path, HEAD + POWER + alarm + clash)
    assert '"hot_1" stands at register[1].alarm[1].name, line 22 already' in found


def test_the_codes_of_units_are_those_of_the_readings_schema() -> None:
    schema = Path(__file__).parents[2] / "docs" / "reference" / "mqtt" / "readings.schema.json"
    codes = re.search(r'"x-unitCodes": (\{[^}]*\})', schema.read_text())
    assert codes is not None
    assert json.loads(codes[1]) == {f"_{name}": code for name, code in UNIT_CODES.items()}


DOCS = Path(__file__).parents[2] / "docs"


def tomls(page: Path) -> list[str]:
    return [part.split("```")[0] for part in page.read_text().split("```toml\n")[1:]]


def test_the_reference_page_shows_a_good_profile_with_every_key(tmp_path: Path) -> None:
    (text,) = tomls(DOCS / "reference" / "profiles.md")
    path = tmp_path / "every-key.toml"
    path.write_text(text)
    load_profile(path)
    assert set(keys_of(Profile, "")) <= set(keys_in(tomllib.loads(text), ""))


def test_the_operators_page_has_a_good_config_and_a_good_profile(tmp_path: Path) -> None:
    device, profile, *_ = tomls(DOCS / "operate" / "modbus.md")
    (tmp_path / "acme-p7.toml").write_text(profile)
    gateway = GATEWAY.partition("[[modbus]]")[0]
    text = gateway + device.replace("eastron-sdm630", "acme-p7.toml")
    registers = config(tmp_path, text).buses[0].devices[0].registers
    reads = plan([each for each in registers if each.poll_s is None])
    assert [(read.address, read.count) for read in reads] == [(100, 10)]


def test_the_reference_page_names_every_shipped_profile() -> None:
    page = (DOCS / "reference" / "profiles.md").read_text()
    assert set(SHIPPED_NAMES) <= set(re.findall(r"`([a-z0-9-]+)`", page))
