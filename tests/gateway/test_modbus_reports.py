"""What of a poll is told: dead-bands, heartbeats, quality, classes and the alarms of a profile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kerbline.config.modbus import AlarmRule, Register
from kerbline.model import Finding, Severity, Value
from kerbline.south.measured import Measured
from kerbline.south.modbus.deadband import Reports

SECOND = 1_000


def register(name: str = "x_w", *, deadband: float | None = 1.0, beat_s: float = 60.0) -> Register:
    return Register(name, 0, deadband=deadband, heartbeat_s=beat_s)


def told(reports: Reports, at_s: float, quality: tuple[str, ...] = (), **values: Value) -> object:
    """The values of the one reading that a poll makes; None when it makes none."""
    found = reports.told(values, round(at_s * SECOND), quality)
    assert len(found) < 2
    return dict(found[0].values) if found else None


def test_a_value_within_its_band_waits_for_its_heartbeat() -> None:
    reports = Reports("a", [register()])
    assert told(reports, 0, x_w=100.0) == {"x_w": 100.0}
    assert told(reports, 1, x_w=100.9) is None
    assert told(reports, 2, x_w=99.1) is None
    assert told(reports, 3, x_w=101.1) == {"x_w": 101.1}
    assert told(reports, 4, x_w=100.3) is None
    assert told(reports, 62.999, x_w=101.1) is None
    assert told(reports, 63, x_w=101.1) == {"x_w": 101.1}
    assert told(reports, 64, x_w=101.1) is None


def test_a_slow_drift_is_told_step_by_step() -> None:
    reports = Reports("a", [register()])
    seen = [told(reports, n, x_w=n * 0.4) for n in range(10)]
    assert [n for n, each in enumerate(seen) if each] == [0, 3, 6, 9]


def test_only_what_moved_is_told_and_what_has_no_band_always_is() -> None:
    reports = Reports("a", [register("x_w"), register("y_w", deadband=0.0), Register("z_w", 9)])
    assert told(reports, 0, x_w=1.0, y_w=2, z_w=3) == {"x_w": 1.0, "y_w": 2, "z_w": 3}
    assert told(reports, 1, x_w=1.5, y_w=2, z_w=3) == {"z_w": 3}
    assert told(reports, 2, x_w=1.5, y_w=3, z_w=3) == {"y_w": 3, "z_w": 3}


def test_a_change_of_quality_is_told_with_every_value() -> None:
    reports = Reports("a", [register("x_w"), register("y_w")])
    told(reports, 0, x_w=1.0, y_w=1.0)
    assert told(reports, 1, ("not_available",), x_w=1.0) == {"x_w": 1.0}
    assert told(reports, 2, ("not_available",), x_w=1.0) is None
    assert told(reports, 3, x_w=1.0, y_w=1.0) == {"x_w": 1.0, "y_w": 1.0}
    assert told(reports, 4, ("no_answer",)) == {}
    assert told(reports, 5, ("no_answer",)) is None
    assert told(reports, 64, ("no_answer",)) == {}
    assert told(reports, 65, x_w=1.0, y_w=1.0) == {"x_w": 1.0, "y_w": 1.0}


def test_what_was_missing_is_told_when_it_is_back() -> None:
    reports = Reports("a", [register("x_w"), register("y_w")])
    flags = ("not_available",)
    assert told(reports, 0, flags, x_w=1.0) == {"x_w": 1.0}
    assert told(reports, 1, flags, y_w=2.0) == {"y_w": 2.0}
    assert told(reports, 2, flags, x_w=1.0) == {"x_w": 1.0}


def test_after_a_lost_line_and_a_clock_set_back_all_is_told() -> None:
    reports = Reports("a", [register()])
    told(reports, 10, x_w=1.0)
    reports.lost()
    assert told(reports, 11, x_w=1.0) == {"x_w": 1.0}
    assert told(reports, 5, x_w=1.0) == {"x_w": 1.0}
    assert told(reports, 6, x_w=1.0) is None


def test_texts_flags_and_lists_have_bands_too() -> None:
    registers = [
        Register("name", 0, "string", deadband=0.0),
        Register("on", 1, "bool", deadband=0.0),
        Register("list", 2, count=2, deadband=0.5),
    ]
    reports = Reports("a", registers)
    told(reports, 0, name="a", on=True, list=(1, 2))
    assert told(reports, 1, name="a", on=True, list=(1, 2.4)) is None
    assert told(reports, 2, name="b", on=True, list=(1, 2)) == {"name": "b"}
    assert told(reports, 3, name="b", on=False, list=(1, 2)) == {"on": False}
    assert told(reports, 4, name="b", on=False, list=(1, 3)) == {"list": (1, 3)}


def test_registers_without_bands_are_passed_on_as_they_are() -> None:
    reports = Reports("a", [Register("x_w", 0)])
    values = {"x_w": 1}
    for at_ms in (0, 1):
        (found,) = reports.told(values, at_ms, ())
        assert found == Measured("a", values, at_ms)
        assert found.values is values


def test_each_class_is_a_reading_of_its_own_kind() -> None:
    reports = Reports(
        "a",
        [
            Register("power_w", 0),
            Register("energy_kwh", 1, retention="meter"),
            Register("state", 2, "bits", bits={"on": 0}, retention="alarm"),
        ],
    )
    found = reports.told({"power_w": 1, "energy_kwh": 2, "state_on": True}, 0, ("busy",))
    assert {each.kind: dict(each.values) for each in found} == {
        "modbus": {"power_w": 1},
        "modbus_meter": {"energy_kwh": 2},
        "modbus_state": {"state_on": True},
    }
    assert {each.quality for each in found} == {("busy",)}
    (only,) = Reports("a", [Register("e_kwh", 1, retention="meter")]).told({"e_kwh": 2}, 0, ())
    assert only.kind == "modbus_meter"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0, 100))
def test_what_is_known_is_never_further_off_than_the_band(values: list[float], band: float) -> None:
    reports = Reports("a", [register(deadband=band, beat_s=20.0)])
    known, known_s = 0.0, 0
    for at_s, value in enumerate(values):
        for each in reports.told({"x_w": value}, at_s * SECOND, ()):
            known, known_s = value, at_s
            assert each.values == {"x_w": value}
        assert abs(known - value) <= band
        assert at_s - known_s < 20


def alarms(rule: AlarmRule, *, deadband: float | None = None) -> Reports:
    return Reports("a", [Register("x_c", 0, deadband=deadband, alarms=(rule,))])


def findings(reports: Reports, *values: float | None, every_s: int = 1) -> list[tuple[int, bool]]:
    """When (s) an alarm began (True) or ended, for a value each second; None is a missing one."""
    found: list[tuple[int, bool]] = []
    for n, value in enumerate(values):
        polled = {} if value is None else {"x_c": value}
        for each in reports.told(polled, n * every_s * SECOND, ()):
            found += [(n * every_s, finding.active) for finding in each.findings]
    return found


def test_an_alarm_has_hysteresis_and_a_hold() -> None:
    rule = AlarmRule("hot", above=60.0, hysteresis=5.0, hold_s=2.0)
    assert findings(alarms(rule), 61, 61, 61, 61) == [(2, True)]
    assert findings(alarms(rule), 61, 61, 59, 61, 61) == []
    assert findings(alarms(rule), 61, 61, None, 61, 61, 61) == [(5, True)]
    on = [61, 61, 61]
    assert findings(alarms(rule), *on, 56, 56, 56, 56) == [(2, True)]
    assert findings(alarms(rule), *on, 55, 55, 55) == [(2, True), (5, False)]
    assert findings(alarms(rule), *on, 55, 56, 55, 55, 55) == [(2, True), (7, False)]
    assert findings(alarms(rule), *on, 55, 55, None, 55) == [(2, True)]


def test_below_and_at_once() -> None:
    assert findings(alarms(AlarmRule("low", below=5.0)), 5, 4.9, 5, 4) == [
        (1, True),
        (2, False),
        (3, True),
    ]


def test_an_alarm_says_what_it_saw_and_its_value_is_told() -> None:
    rule = AlarmRule("hot", above=60.0, severity="critical", hold_s=3.0)
    reports = alarms(rule, deadband=10.0)
    assert reports.told({"x_c": 58.0}, 0, ())
    assert reports.told({"x_c": 61.0}, 1_000, ()) == ()
    (measured,) = reports.told({"x_c": 62.0}, 4_000, ())
    assert measured.values == {"x_c": 62.0}
    (finding,) = measured.findings
    assert finding == Finding("a", "hot", True, Severity.CRITICAL, 4_000, finding.evidence)
    assert finding.evidence == {
        "version": 1,
        "value": "x_c",
        "read": 62.0,
        "limit": 60.0,
        "hysteresis": 0.0,
        "hold_s": 3.0,
        "since_ms": 1_000,
    }


def test_a_flag_and_a_bool_are_alarms() -> None:
    rule = AlarmRule("trip", when=True, flag="fault")
    reports = Reports("a", [Register("s", 0, "bits", bits={"fault": 3}, alarms=(rule,))])
    assert [each.findings for each in reports.told({"s_fault": False}, 0, ())] == [()]
    (measured,) = reports.told({"s_fault": True}, 1, ())
    assert [finding.rule for finding in measured.findings] == ["trip"]
    door = Reports("a", [Register("door", 0, "bool", alarms=(AlarmRule("open", when=False),))])
    (measured,) = door.told({"door": False}, 0, ())
    assert measured.findings[0].active


def test_an_alarm_that_stood_is_not_told_again_and_can_end() -> None:
    reports = alarms(AlarmRule("hot", above=60.0))
    reports.recall(["hot"])
    assert findings(reports, 61, 61, 60) == [(2, False)]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans()), max_size=60))
def test_no_value_is_silent_for_longer_than_its_heartbeat(
    polls: list[tuple[int, int, bool]],
) -> None:
    beats = {"a": 10, "b": 25}
    reports = Reports("x", [register(name, beat_s=beat) for name, beat in beats.items()])
    at_s, told_s = 0, dict.fromkeys(beats, -1_000)
    for after_s, value, both in polls:
        at_s += after_s
        values: dict[str, Value] = {"a": value, "b": 0} if both else {"a": value}
        news: dict[str, Value] = {}
        for each in reports.told(values, at_s * SECOND, ()):
            news.update(each.values)
        told_s.update(dict.fromkeys(news, at_s))
        assert all(at_s - told_s[name] < beats[name] for name in values)
