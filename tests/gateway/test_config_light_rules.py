"""What an operator's rules may say, and what their faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.agent.light.rules import rules, version
from kerbline.config import Config, ConfigFault, load
from kerbline.config.light_rules import MAX_RULES
from kerbline.control.light.conditions import Equal, Hours, Silent, Threshold, Told
from kerbline.control.light.rules import Notify, SetLevel
from kerbline.model import Severity
from tests.gateway.test_config_light import GROUP, HEAD, LIGHT, PROGRAM, read

FOG = """\
[[rule]]
name = "fog"
for_s = 120
[[rule.reading]]
asset = "lamp-3"
value = "temperature_c"
above = 30
until = 28
[[rule.time]]
start = "20:00"
end = "06:00"
days = ["friday"]
[rule.set_level]
groups = ["street"]
lamps = ["lamp-3"]
level_pct = 80
hold_s = 900
[rule.notify]
severity = "critical"
"""
STREET = LIGHT + PROGRAM + GROUP
BESIDE = STREET + '[[rule]]\nname = "other"\n[[rule.event]]\nasset = "lamp-1"\nevent = "motion"\n'


def test_a_rule_is_what_the_file_says(tmp_path: Path) -> None:
    config = read(tmp_path, STREET + FOG)
    (fog,) = rules(config, None)
    threshold, hours = fog.conditions
    assert threshold == Threshold("lamp-3", "temperature_c", 30.0, 28.0, 1, 3_600_000)
    assert isinstance(hours, Hours)
    assert (hours.from_min, hours.to_min, hours.days) == (1_200, 360, frozenset([5]))
    assert fog.light == SetLevel(("lamp-3", "lamp-1", "lamp-2"), 80, 900, 2_000)
    assert fog.notify == Notify("lamp-3", Severity.CRITICAL)
    assert (fog.for_ms, fog.every_ms, fog.priority, fog.all_of_them) == (120_000, 0, 1, True)


def test_every_kind_of_condition(tmp_path: Path) -> None:
    text = """\
[[rule]]
name = "all"
match = "any"
reading = [{asset = "lamp-1", value = "power_w", below = 5}]
state = [{asset = "lamp-1", value = "status", equals = 16}]
event = [{asset = "lamp-1", event = "lamp_failure", within_s = 30}]
silence = [{asset = "lamp-1", silent_s = 7200}]
[rule.notify]
"""
    (every,) = rules(read(tmp_path, text), None)
    assert every.conditions == (
        Threshold("lamp-1", "power_w", 5.0, 5.0, -1, 3_600_000),
        Equal("lamp-1", "status", 16, 86_400_000),
        Told("lamp-1", "lamp_failure", 30_000),
        Silent("lamp-1", 7_200_000),
    )
    assert not every.all_of_them


def test_a_version_is_of_what_a_rule_says(tmp_path: Path) -> None:
    """Comments, order and what is said twice are not of its content; each number is."""

    def of(text: str) -> str:
        return version(read(tmp_path, STREET + text).rules[0])

    first = of(FOG)
    assert len(first) == 8
    assert of("# a comment\n" + FOG.replace("for_s = 120", "for_s = 120 # two minutes")) == first
    assert of(FOG.replace('name = "fog"\nfor_s = 120', 'for_s = 120\nname = "fog"')) == first
    assert of(FOG.replace("[rule.notify]", "[rule.notify] # loud")) == first
    assert of(FOG.replace("for_s = 120", 'for_s = 120\nmatch = "all"\npriority = 1')) == first
    assert first == "9f32ec2f"  # in any version of kerbline
    others = [
        of(FOG.replace(*change))
        for change in (("= 30", "= 31"), ("= 120", "= 121"), ("friday", "sunday"), ("80", "81"))
    ]
    assert len({first, *others}) == 5


FAULTS = [
    (FOG.replace("above", "abovx"), "rule[1].reading[1].abovx", "did you mean above?"),
    (FOG.replace("above = 30", ""), "rule[1].reading[1]", "write above = ... or below = ..."),
    (
        FOG.replace("above = 30", "above = 30\nbelow = 20"),
        "rule[1].reading[1]",
        "write above = ... or below = ...",
    ),
    (FOG.replace("= 28", "= 31"), "rule[1].reading[1].until", "write at most 30"),
    (
        FOG.replace("above = 30\nuntil = 28", "below = 30\nuntil = 28"),
        "rule[1].reading[1].until",
        "write at least 30",
    ),
    (
        FOG.replace('asset = "lamp-3"', 'asset = "lamp-33"'),
        "rule[1].reading[1].asset",
        "did you mean lamp-3?",
    ),
    (
        FOG.replace("temperature_c", "temperatur_c"),
        "rule[1].reading[1].value",
        "did you mean temperature_c?",
    ),
    (
        FOG.replace('["street"]', '["streat"]'),
        "rule[1].set_level.groups[1]",
        "did you mean street?",
    ),
    (FOG.replace('["lamp-3"]', '["lamp-4"]'), "rule[1].set_level.lamps[1]", "did you mean lamp-3?"),
    (FOG.replace("level_pct", "level"), "rule[1].set_level.level", "did you mean level_pct?"),
    (FOG.replace("= 80", "= 180"), "rule[1].set_level.level_pct", "write 0 to 100"),
    (FOG.replace("= 900", "= 5"), "rule[1].set_level.hold_s", "write 10 to 86_400"),
    (FOG.replace("20:00", "20h"), "rule[1].time[1].start", "write a local time"),
    (FOG.replace("friday", "fryday"), "rule[1].time[1].days[1]", '"friday"'),
    (FOG.replace("critical", "loud"), "rule[1].notify.severity", '"critical"'),
    (FOG.replace("[rule.notify]", "[rule.alarm]"), "rule[1].alarm", "known here: "),
    (
        FOG.replace("hold_s", 'operation = "max"\nhold_s'),
        "rule[1].set_level.operation",
        'write "set", or add it to a [[lamp_group]] with a program',
    ),
    (FOG + FOG, "rule[2].name", "write another one"),
    (BESIDE, "rule[1]", "add one of [rule.set_level], [rule.release], [rule.notify]"),
    (
        BESIDE.replace("motion", "motoin") + "[rule.notify]\n",
        "rule[1].event[1].event",
        "did you mean motion?",
    ),
    (
        '[[rule]]\nname = "never"\n[rule.notify]\n',
        "rule[1]",
        "add one of [[rule.reading]], [[rule.state]]",
    ),
    (BESIDE + "[rule.release]\n", "rule[1].release", "write lamps = [ ... ]"),
    (FOG + '[rule.release]\nlamps = ["lamp-1"]\n', "rule[1].release", "make a rule of its own"),
    (
        '[[rule]]\nname = "dark"\n[[rule.sun]]\nis = "down"\n[rule.notify]\n',
        "rule[1].notify.asset",
        'write asset = "..."',
    ),
    (
        '[[rule]]\nname = "dark"\n[[rule.sun]]\nis = "dwn"\n[rule.notify]\nasset = "lamp-1"\n',
        "rule[1].sun[1].is",
        'write one of "up", "down"',
    ),
    (
        BESIDE.replace('event = "motion"', "silent_s = 0").replace("event", "silence"),
        "rule[1].silence[1].silent_s",
        "write 1 to",
    ),
    (
        BESIDE.replace('event = "motion"', 'value = "status"\nequals = [1]').replace(
            "rule.event", "rule.state"
        ),
        "rule[1].state[1].equals",
        "write a text or a number",
    ),
]


@pytest.mark.parametrize(("text", "key", "remedy"), FAULTS)
def test_a_fault_names_line_key_and_remedy(
    tmp_path: Path, text: str, key: str, remedy: str
) -> None:
    whole = text if text.startswith(LIGHT) else STREET + text
    with pytest.raises(ConfigFault) as raised:
        read(tmp_path, whole)
    faults = [each for each in raised.value.faults if each.key == key]
    assert faults, [str(each) for each in raised.value.faults]
    assert remedy in str(faults[0])
    lines = (HEAD + whole).splitlines()
    line = lines[faults[0].line - 1]
    last = key.rpartition(".")[2].partition("[")[0]
    assert last in line or key.rpartition(".")[0].rpartition(".")[2].partition("[")[0] in line


def test_the_clock_is_that_of_light(tmp_path: Path) -> None:
    text = FOG.replace('groups = ["street"]\n', "")
    with pytest.raises(ConfigFault, match="add \\[light\\] with position"):
        read(tmp_path, text)
    inline = text.replace("[[rule.time]]\n", "").replace('start = "20:00"\nend = "06:00"\n', "")
    inline = inline.replace('days = ["friday"]\n', "")
    sun = inline.replace("for_s = 120", 'for_s = 120\nsun = [{is = "up"}]')
    with pytest.raises(ConfigFault, match=r"rule\[1\].sun: nothing says where the lamps stand"):
        read(tmp_path, sun)


def test_rules_are_bounded(tmp_path: Path) -> None:
    one = '[[rule]]\nname = "r{}"\nsilence = [{{asset = "lamp-1", silent_s = 60}}]\n[rule.notify]\n'
    with pytest.raises(ConfigFault, match=f"write {MAX_RULES} at most"):
        read(tmp_path, "".join(one.format(n) for n in range(MAX_RULES + 1)))
    assert len(read(tmp_path, "".join(one.format(n) for n in range(MAX_RULES))).rules) == MAX_RULES


def test_of_a_modbus_device_the_values_of_its_registers_are_known(tmp_path: Path) -> None:
    modbus = """\
[[modbus]]
name = "cabinet"
port = "socket://127.0.0.1:502"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "cabinet-1"
profile = "eastron-sdm630"
[[rule]]
name = "load"
reading = [{asset = "cabinet-1", value = "power_l1_w", above = 5000}]
[rule.notify]
"""
    config: Config = read(tmp_path, modbus)
    assert rules(config, None)[0].notify == Notify("cabinet-1", Severity.WARNING)
    with pytest.raises(ConfigFault, match='"powr_l1_w" is no value of cabinet-1; did you mean'):
        read(tmp_path, modbus.replace("power_l1_w", "powr_l1_w"))
    event = modbus.replace(
        'reading = [{asset = "cabinet-1", value = "power_l1_w", above = 5000}]',
        'event = [{asset = "cabinet-1", event = "motion"}]',
    )
    with pytest.raises(
        ConfigFault, match="only nodes tell of events; remove it; known here: lamp-1"
    ):
        read(tmp_path, event)


def test_a_config_without_rules_has_none(tmp_path: Path) -> None:
    assert rules(read(tmp_path, STREET), None) == []
    assert load(tmp_path / "gateway.toml").rules == ()
