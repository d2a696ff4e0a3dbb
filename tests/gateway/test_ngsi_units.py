"""Units right to the letter: what each attribute is in, and how our values get there."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.config.unit_codes import UNIT_CODES
from kerbline.config.units import ENDINGS
from kerbline.model import Value
from kerbline.north.ngsi_ld.models import CHOOSE
from kerbline.north.ngsi_ld.units import (
    _CONVERSIONS,
    EXACT,
    TARGETS,
    Rule,
    base,
    converted,
    rule,
)
from tests.gateway.smart_data_models import needs_models, schema

# The models' own words for a unit, where they have any, and its code of Recommendation 20.
WORDS = {
    "Kilowatts (kW)": "KWT",
    "KiloWatts (kW)": "KWT",
    "Kilowatts per hour (kWh)": "KWH",
    "KiloVolts-Ampere-Reactive per hour (kVArh)": "K3",
    "KiloVolts-Ampere-Reactive (kVArh)": "KVR",  # of power: the h is the model's slip
    "Hertz (Hz)": "HTZ",
    "Ampers (A)": "AMP",
    "Volts (V)": "VLT",
    "Cubic meters": "MTQ",
    "litres/hour": "E32",
}
ALL = [(type_name, name) for type_name, targets in TARGETS.items() for name in targets]


@needs_models
@pytest.mark.parametrize(("type_name", "attribute"), ALL)
def test_each_target_is_what_its_schema_says(type_name: str, attribute: str) -> None:
    target = TARGETS[type_name][attribute]
    (told,) = [
        part["properties"][attribute]
        for part in schema(type_name)["allOf"]
        if attribute in part.get("properties", {})
    ]
    told = told.get("oneOf", [told])[0]  # a battery level may be unknown, too: we send none then
    assert (told.get("minimum"), told.get("maximum")) == (target.low, target.high) or (
        attribute == "pm1" and target.low == 0  # the schema forgot what it says of all others
    )
    assert (told["type"] == "integer") == target.whole
    words = re.search(r"Units:'([^']*)'", told.get("description", ""))
    if words:
        assert WORDS[words[1]] == target.code


def test_every_unit_word_of_the_models_is_known_by_its_code() -> None:
    assert set(WORDS.values()) <= {each.code for some in TARGETS.values() for each in some.values()}


def test_every_code_is_one_that_our_names_have_or_a_share() -> None:
    codes = {each.code for some in TARGETS.values() for each in some.values()}
    assert codes - {"C62"} <= set(UNIT_CODES.values())


@pytest.mark.parametrize("pair", _CONVERSIONS)
def test_each_factor_is_the_one_of_the_config(pair: tuple[str, str]) -> None:
    """Where both units have a name, the exact factors of the devices' side say the same."""
    ours, theirs = pair
    names = {code: name for name, code in UNIT_CODES.items()}
    multiplier, divisor = _CONVERSIONS[pair]
    if theirs == "C62":
        assert (ours, multiplier, divisor) == ("P1", 1, 100)
        return
    spelled = {"wh": "Wh", "kwh": "kWh", "w": "W", "kw": "kW", "l": "l", "m3": "m3", "v": "V"}
    spelled |= {"mv": "mV", "a": "A", "ma": "mA", "hpa": "hPa", "pa": "Pa", "bar": "bar"}
    spelled |= {"var": "var", "kvar": "kvar", "lph": "l/h", "m3h": "m3/h", "j": "J"}
    for factors in ENDINGS.values():
        one, other = spelled.get(names[ours]), spelled.get(names[theirs])
        if one in factors and other in factors:
            assert math.isclose(factors[one] / factors[other], multiplier / divisor)
            return
    assert pair in {("KPA", "A97"), ("L2", "E32")}  # 1 kPa is 10 hPa; 1 l/min is 60 l/h
    assert (multiplier, divisor) in {(10, 1), (60, 1)}


@pytest.mark.parametrize(
    ("type_name", "name", "value", "expected", "code"),
    [
        ("Streetlight", "level_pct", 7, 0.07, "C62"),
        ("Streetlight", "energy_wh", 4_294_967_295, 4_294_967.295, "KWH"),
        ("StreetlightControlCabinet", "power_w", 1_234.5, 1.2345, "KWT"),
        ("StreetlightControlCabinet", "power_kw", 1.2345, 1.2345, "KWT"),
        ("StreetlightControlCabinet", "reactive_power_kvar", 0.5, 0.5, "KVR"),
        ("WaterConsumptionObserved", "volume_l", 999, 0, "MTQ"),
        ("WaterConsumptionObserved", "volume_l", 1_000, 1, "MTQ"),
        ("WaterConsumptionObserved", "volume_m3", 12.999, 12, "MTQ"),
        ("AirQualityObserved", "humidity_pct", 45.3, 0.453, "C62"),
        ("AirQualityObserved", "no2_ppb", 12.5, 12.5, "61"),
        ("AirQualityObserved", "no2_ugm3", 12.5, 12.5, "GQ"),
        ("AirQualityObserved", "pressure_kpa", 101.32, 1_013.2, "A97"),
        ("AirQualityObserved", "pressure_bar", 1.0132, 1_013.2, "A97"),
    ],
)
def test_a_value_in_the_unit_that_is_wanted(
    type_name: str, name: str, value: Value, expected: float, code: str
) -> None:
    chosen = CHOOSE[type_name](None, name)
    assert chosen is not None
    assert chosen.code == code
    assert converted(chosen, value) == (expected, False)


def test_a_unit_that_leads_nowhere_gives_nothing() -> None:
    assert rule("Streetlight", "powerConsumption", "MTR") is None
    assert CHOOSE["Streetlight"](None, "level_m") is None
    assert CHOOSE["AirQualityObserved"](None, "pm10_ppm") is None


@pytest.mark.parametrize(
    "value", ["1", True, (1, 2), None, math.nan, math.inf, 2 * EXACT, -2 * EXACT]
)
def test_what_is_no_sound_number_is_left_out(value: Value) -> None:
    assert converted(Rule("numValue", "LTR"), value) is None


@given(st.sampled_from(ALL), st.integers(-EXACT, EXACT) | st.floats(-1e15, 1e15))
def test_nothing_leaves_a_schemas_limits(at: tuple[str, str], value: float) -> None:
    target = TARGETS[at[0]][at[1]]
    for code in (target.code, *(ours for ours, theirs in _CONVERSIONS if theirs == target.code)):
        chosen = rule(*at, code)
        assert chosen is not None
        result = converted(chosen, value)
        assert result is not None
        number, clipped = result
        assert target.low is None or number >= target.low
        assert target.high is None or number <= target.high
        assert isinstance(number, int) or not target.whole
        if not clipped and code == target.code and not target.whole:
            assert number == value


def test_a_name_without_its_unit() -> None:
    assert [base(each) for each in ("pm2_5_ugm3", "power_factor", "frequency_hz", "state")] == [
        "pm2_5",
        "power_factor",
        "frequency",
        "state",
    ]
