"""What the sections of light by the clock may say, and what their faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.config import Config, ConfigFault, load
from kerbline.config.light import members
from kerbline.config.light_checks import watts

NODE = """\
[[node]]
id = "sl-{n}"
asset = "lamp-{n}"
kind = "streetlight"
key_file = "node.key"
port = "/dev/ttyUSB{n}"
"""
HEAD = """\
[gateway]
id = "gw-1"
state_dir = "state"
""" + "".join(NODE.format(n=n) for n in (1, 2, 3))
LIGHT = """\
[light]
position = [52.37, 4.9]
time_zone = "Europe/Amsterdam"
"""
PROGRAM = """\
[[control_program]]
name = "evening"
fixed_time = [{start = "23:00", level_pct = 50}]
"""
GROUP = """\
[[lamp_group]]
name = "street"
lamps = ["lamp-1", "lamp-2"]
program = "evening"
"""
STREET = LIGHT + PROGRAM + GROUP


def read(folder: Path, text: str) -> Config:
    (folder / "node.key").write_text("00112233445566778899aabbccddeeff")
    (folder / "node.key").chmod(0o600)
    (folder / "gateway.toml").write_text(HEAD + text)
    return load(folder / "gateway.toml")


def test_groups_hold_groups_and_the_innermost_says_what_a_lamp_draws(tmp_path: Path) -> None:
    outer = '[[lamp_group]]\nname = "all"\nlamps = ["lamp-3"]\ngroups = ["street"]\n'
    config = read(tmp_path, STREET + "lamp_w = 60\n" + outer + "lamp_w = 100\n")
    groups = config.lamp_groups
    assert members(groups, "all") == ("lamp-3", "lamp-1", "lamp-2")
    assert watts(groups) == {"lamp-1": 60, "lamp-2": 60, "lamp-3": 100}


CLASS = '[[lighting_class]]\ngroup = "street"\nnormal = "M4"\n'
HOURS = 'hour = [{start = "23:00", floor_pct = 10}]\n'
CAP = '[[power_cap]]\nname = "feeder"\ngroups = ["street"]\ncap_w = 100\n'
PERIOD = "[[control_program.active_period]]\n"
CALENDAR = '[[calendar]]\nname = "c"\ndefault_program = "evening"\n'
RULE = CALENDAR + '[[calendar.rule]]\nprogram = "evening"\n'


def test_floors_by_the_hour_need_no_class(tmp_path: Path) -> None:
    text = STREET + CLASS.replace('normal = "M4"\n', "") + HOURS
    (road,) = read(tmp_path, text).lighting_classes
    assert (road.normal, road.floor_pct, road.hours[0].floor_pct) == (None, None, 10)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROGRAM, "nothing says where the lamps stand; add [light]"),
        (STREET.replace("[52.37, 4.9]", "[4.9]"), "this is no position"),
        (STREET.replace("[52.37, 4.9]", "[120.0, 4.9]"), "this is no position"),
        (
            STREET.replace('"lamp-2"', '"lamp-9"'),
            "is no node's asset; write a streetlight: lamp-1, lamp-2, lamp-3",
        ),
        (
            STREET.replace('program = "e', 'program = "n'),
            '"nvening" is no program\'s name; did you',
        ),
        (STREET.replace("23:00", "24:00"), 'write a local time: "22:30"'),
        (STREET + 'calendar = "c"\n' + RULE, "a group follows a calendar or one program"),
        (STREET + GROUP.replace("street", "road"), '"lamp-1" has its program by lamp_group[1].'),
        (STREET + GROUP, '"street" stands at lamp_group[1].name'),
        (STREET.replace('"street"', '"lamp-3"'), '"lamp-3" is an asset\'s name'),
        (STREET + '[[lamp_group]]\nname = "none"\n', "a group of nothing"),
        (STREET + 'groups = ["street"]\n', 'lamp_group[1].groups: "street" is a part of itself'),
        (
            STREET + 'groups = ["a"]\n[[lamp_group]]\nname = "a"\ngroups = ["street"]\n',
            'lamp_group[1].groups: "street" is a part of itself; take one of them out',
        ),
        (STREET + "clo = [[0, 20]]\n", "[0, 20] is out of range or order"),
        (STREET + RULE + 'dates = ["--02-30"]\n', '"--02-30" is no day of a year or a month'),
        (STREET + RULE + 'dates = ["---01/--01-05"]\n', "is no day of a year or a month"),
        (STREET + RULE + 'days = ["mon"]\n', '"mon" is not known; write one of "monday"'),
        (STREET + RULE + "occurrences = [2]\n", "there are no days to count"),
        (
            STREET + RULE + "start_date = 2027-01-02\nend_date = 2027-01-01\n",
            "is before start_date",
        ),
        (STREET + RULE + 'start_date = "---01"\n', "is no date"),
        (LIGHT + PROGRAM + PERIOD + 'type = "absolute"\nstart = "20:00"\n' + GROUP, "is missing"),
        (
            LIGHT + PROGRAM + PERIOD + 'type = "photocell"\nsunset_offset_min = 1\n' + GROUP,
            'is nothing for type "photocell"; remove it; astro_clock has it',
        ),
        (
            STREET + CLASS + 'hour = [{start = "23:00", class = "M3"}]\n',
            "of M4 do not give M3",
        ),
        (STREET + CLASS + 'hour = [{start = "23:00", class = "P4"}]\n', "are not of one kind"),
        (STREET + CLASS + 'hour = [{start = "23:00"}]\n', "an hour has a class or a floor"),
        (STREET + CLASS + "floor_pct = 20\n", "normal says it already; leave one of them out"),
        (
            STREET + CLASS.replace('normal = "M4"', "floor_pct = 20") + HOURS,
            "hour says it already; leave one of them out",
        ),
        (STREET + CLASS.replace('normal = "M4"\n', ""), "names neither a class nor a floor"),
        (STREET + CLASS + CLASS, '"lamp-1" has a class by lighting_class[1].group'),
        (STREET + CAP, 'nothing says what "lamp-1" draws; write lamp_w'),
        (
            STREET.replace('program = "evening"\n', "") + CLASS,
            '"lamp-1" has no program that could keep it; write program',
        ),
        (STREET + "lamp_w = 60\n" + CAP + 'start = "17:00"\n', "there is no end to it"),
        (
            STREET.replace("[light]", "profile = [[-720, 100]]\n[light]").replace("-1", "-3"),
            '"lamp-3" has its levels by lamp_group[1].program; leave the profile out',
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        read(tmp_path, text)
    (fault,) = [str(each) for each in caught.value.faults]
    assert told in fault
    assert fault.partition(".toml:")[2].partition(":")[0].isdigit()
