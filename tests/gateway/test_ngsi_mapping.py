"""What a city gets of an entry: entities of Smart Data Models, each value of its unit and worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kerbline.assets import Asset, Location, Registry
from kerbline.assets.metered import kinds
from kerbline.control.zone_water import Closed
from kerbline.model import (
    Alarm,
    Command,
    CommandResult,
    CommandState,
    Entry,
    Gap,
    Key,
    NodeState,
    Reading,
    Severity,
    Value,
)
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import changes, city_of, lacks, operation, standing
from kerbline.north.ngsi_ld.models.device import battery_level
from kerbline.north.ngsi_ld.models.doubts import doubts
from tests.gateway import city_day
from tests.gateway.city_day import ASSETS, CITY, config

AT_MS = 1_789_000_000_000
AT = "2026-09-10T00:26:40.000Z"
URN = f"urn:ngsi-ld:{{}}:{CITY}:{{}}"
UNDATED = {"quality": ("undated",), "uncertainty_ms": 43_200_000}
DOUBTS = ("undated", "uncertainty_ms:43200000")


AIR: dict[str, Value] = {
    "pm1_ugm3": 3.1,
    "pm2_5_ugm3": 7.3,
    "pm10_ugm3": 11.0,
    "co2_ppm": 420,
    "no2_ppb": 12.5,
    "temperature_c": -3.4,
    "humidity_pct": 45.3,
    "pressure_hpa": 1_013.2,
}


def read(asset: str, kind: str, values: dict[str, Value], city: City | None = None) -> list[Change]:
    entry = Reading(Key(f"n-{asset}", 1, 1), asset, kind, AT_MS, 500, values)
    return told(entry, city)


def told(entry: Entry | NodeState, city: City | None = None) -> list[Change]:
    return list(changes(entry, city or city_day.city()))


def lamp(**values: Value) -> dict[str, Attribute]:
    whole_report: dict[str, Value] = {"level_pct": 30, "power_w": 24.5, "energy_wh": 12_345}
    (change,) = read("sl-0001", "streetlight", {**whole_report, "status": 0, **values})
    assert change.id == URN.format("Streetlight", "sl-0001")
    return dict(change.attributes)


def said(attributes: dict[str, Attribute]) -> dict[str, object]:
    """Values alone, of what was measured."""
    return {n: each.value for n, each in attributes.items() if each.observed_at_ms is not None}


def test_a_lamp() -> None:
    found = lamp()
    assert said(found) == {
        "status": "ok",
        "powerState": "on",
        "illuminanceLevel": 0.3,
        "powerConsumption": 24.5,
        "lifetimePowerConsumption": 12.345,
    }
    assert {name: each.unit_code for name, each in found.items() if each.unit_code} == {
        "illuminanceLevel": "C62",
        "powerConsumption": "WTT",
        "lifetimePowerConsumption": "KWH",
    }
    assert found["location"].value == {"type": "Point", "coordinates": [18.07, 59.33]}
    assert {each.quality for each in found.values()} == {()}


@pytest.mark.parametrize(
    ("bits", "values", "status", "state"),
    [
        (1, {}, "ok", "on"),
        (0, {"level_pct": 0, "power_w": 0.3}, "ok", "off"),
        (16, {"power_w": 0.0}, "defectiveLamp", "off"),
        (64, {"level_pct": 0}, "brokenLantern", "on"),
        (128, {}, "defectiveLamp", "on"),
        (16 | 64, {"level_pct": 0}, "defectiveLamp", "on"),
        (2 | 4 | 8 | 32, {}, "ok", "on"),
    ],
)
def test_a_lamps_faults_are_its_status(
    bits: int, values: dict[str, Value], status: str, state: str
) -> None:
    found = lamp(status=bits, **values)
    assert (found["status"].value, found["powerState"].value) == (status, state)


def test_a_lamps_power_is_doubted_where_its_sensor_is() -> None:
    metered = ("powerConsumption", "lifetimePowerConsumption")
    for found, flag in ((lamp(status=32), "sensor_fault"), (lamp(power_w=0.0), "implausible")):
        assert {name for name, each in found.items() if each.quality} == set(metered)
        assert {found[name].quality for name in metered} == {(flag,)}
    assert lamp(power_w=0.0, level_pct=20)["powerConsumption"].quality == ("implausible",)
    assert lamp(power_w=0.0, level_pct=19)["powerConsumption"].quality == ()
    assert lamp(power_w=2.0, level_pct=20)["powerConsumption"].quality == ()


def test_a_record_of_an_older_firmware_is_no_less_true() -> None:
    (change,) = read("sl-0001", "streetlight", {"level_pct": 100})
    assert said(dict(change.attributes)) == {
        "status": "ok",
        "illuminanceLevel": 1.0,
        "powerState": "on",
    }


@pytest.mark.parametrize(
    ("asset", "kind", "values"),
    [
        ("wm-0001", "water_meter", {"volume_l": 5, "battery_mv": 3_600, "alarms": 31}),
        ("air-1", "air_quality", {**AIR, "status": 0}),
        ("cab-1", "modbus", {"power_w": 3}),
        ("pump-1", "modbus", {"flow_m3h": 3}),
        ("sl-0001", "event", {"event": "lamp_failure", "value": 3}),
        ("dma-4", "kpi", {"lit_lamps": 3}),
    ],
)
def test_each_model_tells_what_is_to_be_minded(
    asset: str, kind: str, values: dict[str, Value]
) -> None:
    reading = Reading(Key("n", 1, 1), asset, kind, AT_MS, values=values, **UNDATED)  # type: ignore[arg-type]
    found = told(reading)
    assert found
    for change in found:
        for name, each in change.attributes.items():
            if each.observed_at_ms is not None and each.kind == "Property":
                assert each.quality[:2] == DOUBTS, name


def test_what_is_to_be_minded_goes_with_each_value() -> None:
    values: dict[str, Value] = {"level_pct": 30, "power_w": 24.5, "status": 0}
    reading = Reading(Key("n", 1, 1), "sl-0001", "streetlight", AT_MS, 500, values)
    (change,) = told(replace(reading, **UNDATED))  # type: ignore[arg-type]
    flags = {n: each.quality for n, each in change.attributes.items() if each.observed_at_ms}
    assert set(flags.values()) == {DOUBTS}
    (sure,) = told(replace(reading, uncertainty_ms=1_000))
    assert {each.quality for each in sure.attributes.values()} == {()}


def test_a_meter_in_whole_cubic_metres_and_beside_them_in_litres() -> None:
    values: dict[str, Value] = {
        "volume_l": 12_999,
        "flow_lph": 40,
        "backflow_l": 2,
        "battery_mv": 3_600,
        "alarms": 0,
        "hourly_l": (1,) * 24,
    }
    observed, volume, flow, back, device = read("wm-0001", "water_meter", values)
    assert observed.id == URN.format("WaterConsumptionObserved", "wm-0001")
    assert said(dict(observed.attributes)) == {
        "waterConsumption": 12,
        "alarmFlowPersistence": "No persistence",
        "alarmStopsLeaks": 0,
        "alarmTamper": 0,
        "alarmWaterQuality": 0,
        "alarmInProgress": 0,
    }
    consumption = observed.attributes["waterConsumption"]
    assert (type(consumption.value), consumption.unit_code) == (int, "MTQ")
    for change, name, value, code in (
        (volume, "volume_l", 12_999, "LTR"),
        (flow, "flow_lph", 40, "E32"),
        (back, "backflow_l", 2, "LTR"),
    ):
        assert change.id == URN.format("DeviceMeasurement", f"wm-0001:{name}")
        assert change.attributes["numValue"] == Attribute(value, AT_MS, code)
        assert change.attributes["unit"].value == code
        assert change.attributes["refDevice"].value == URN.format("Device", "n-wm-0001")
    assert device.id == URN.format("Device", "n-wm-0001")
    assert device.attributes["batteryLevel"] == Attribute(1.0, AT_MS, "C62", ("estimated",))


@pytest.mark.parametrize(
    ("bits", "on"),
    [
        (1, {"alarmFlowPersistence": "In progress persistence"}),
        (2, {"alarmWaterQuality": 1}),
        (8, {"alarmTamper": 1}),
        (16, {"alarmStopsLeaks": 1}),
    ],
)
def test_a_meters_alarms(bits: int, on: dict[str, object]) -> None:
    quiet = said(dict(read("wm-0001", "water_meter", {"alarms": 4})[0].attributes))
    assert quiet["alarmInProgress"] == 0  # a cell is no water
    found = said(dict(read("wm-0001", "water_meter", {"alarms": bits})[0].attributes))
    assert found == {**quiet, **on, "alarmInProgress": 1}


@pytest.mark.parametrize(
    ("voltage", "is_low", "level"),
    [
        (3_700, False, 1.0),
        (3_600, False, 1.0),
        (3_350, False, 0.55),
        (3_100, False, 0.1),
        (2_550, False, 0.05),
        (1_900, False, 0.0),
        (3_600, True, 0.1),
        (2_550, True, 0.05),
    ],
)
def test_a_cells_voltage_as_a_share(voltage: int, is_low: bool, level: float) -> None:  # noqa: FBT001
    assert battery_level(voltage, is_low) == level


def test_a_cell_that_was_not_measured_is_not_empty() -> None:
    found = read("wm-0001", "water_meter", {"alarms": 0, "battery_mv": 0})
    assert [change.type for change in found] == ["WaterConsumptionObserved"]


def air(**values: Value) -> dict[str, Attribute]:
    (change,) = read("air-1", "air_quality", {**AIR, "status": 0, **values})
    return dict(change.attributes)


def test_an_air_station() -> None:
    found = air()
    assert said(found) == {
        "pm1": 3.1,
        "pm25": 7.3,
        "pm10": 11.0,
        "co2": 420,
        "no2": 12.5,
        "temperature": -3.4,
        "relativeHumidity": 0.453,
        "pressure": 1_013.2,
        "reliability": 1.0,
        "dateObserved": AT,
    }
    assert {name: each.unit_code for name, each in found.items() if each.unit_code} == {
        "pm1": "GQ",
        "pm25": "GQ",
        "pm10": "GQ",
        "co2": "59",
        "no2": "61",
        "temperature": "CEL",
        "relativeHumidity": "C62",
        "pressure": "A97",
        "reliability": "C62",
    }


def test_a_concentration_below_nothing_is_nothing_and_says_so() -> None:
    found = air(no2_ppb=-3.2, humidity_pct=100.4, o3_ppb=-0.1)
    assert found["no2"] == Attribute(0, AT_MS, "61", ("clipped",))
    assert found["o3"] == Attribute(0, AT_MS, "61", ("clipped",))
    assert found["relativeHumidity"] == Attribute(1, AT_MS, "C62", ("clipped",))
    assert found["reliability"].value == round(6 / 9, 3)


def test_a_field_without_a_sample_is_no_value() -> None:
    found = air(no2_ppb=0.0, status=1 << 4 | 1 << 14)
    assert "no2" not in found
    assert found["reliability"].value == 1.0


def test_too_few_samples_and_a_cell_that_warms_are_told() -> None:
    found = air(status=1 << 11 | 1 << 24 | 1 << 14)
    assert found["pm25"].quality == ("incomplete",)
    assert found["no2"].quality == ("incomplete", "unsettled")
    assert found["pm10"].quality == ()
    assert found["reliability"].value == 0.75


def test_a_station_without_any_sample_says_that() -> None:
    found = air(status=(1 << 9) - 1)
    assert said(found) == {"reliability": 0, "dateObserved": AT}


def test_a_cabinet_by_the_profile_of_its_meter() -> None:
    values: dict[str, Value] = {
        "voltage_l1_v": 231.4,
        "power_w": 1_234.5,
        "power_l2_w": 411,
        "energy_import_kwh": 1_203.4,
        "reactive_energy_import_kvarh": 12.2,
        "reactive_power_var": 30,
        "power_factor": 0.97,
        "voltage_thd_l1_pct": 2.7,
        "apparent_power_va": 9,
        "energy_export_kwh": 1,
    }
    (change,) = read("cab-1", "modbus", values)
    assert change.id == URN.format("StreetlightControlCabinet", "cab-1")
    assert said(dict(change.attributes)) == {
        "voltageR": 231.4,
        "totalActivePower": 1.2345,
        "activePowerS": 0.411,
        "energyConsumed": 1_203.4,
        "reactiveEnergyConsumed": 12.2,
        "totalReactivePower": 0.03,
        "cosPhi": 0.97,
        "thdrVoltageR": 0.027,
    }
    codes = {name: each.unit_code for name, each in change.attributes.items() if each.unit_code}
    assert codes["totalActivePower"] == "KWT"
    assert codes["reactiveEnergyConsumed"] == "K3"
    assert codes["thdrVoltageR"] == "C62"
    assert change.attributes["workingMode"].value == "semiautomatic"
    assert change.attributes["refStreetlightGroup"].value == [
        URN.format("StreetlightGroup", "quay")
    ]


def test_power_that_flows_back_is_clipped_and_flagged() -> None:
    (change,) = read("cab-1", "modbus", {"power_w": -30.0})
    assert change.attributes["totalActivePower"] == Attribute(0, AT_MS, "KWT", ("clipped",))


def test_a_cabinet_whose_groups_nobody_named_has_one_of_its_own() -> None:
    (change,) = read("cab-2", "modbus", {"power_kw": 1.2})
    group = URN.format("StreetlightGroup", "cab-2")
    assert change.attributes["refStreetlightGroup"].value == [group]
    stands = {each.id: each.attributes for each in standing(city_day.city())}
    assert stands[group]["location"].value == {"type": "Point", "coordinates": [18.1, 59.33]}


def test_a_lamp_without_a_group_gives_its_zones_cabinet_none() -> None:
    loose = replace(ASSETS[0], id="sl-0009", group="")
    city = city_day.city((loose, *ASSETS))
    (change,) = read("cab-1", "modbus", {"power_w": 1}, city)
    assert change.attributes["refStreetlightGroup"].value == [
        URN.format("StreetlightGroup", "quay")
    ]


@pytest.mark.parametrize("values", [{}, {"power_kw": float("inf")}, {"state": 3, "text": "x"}])
def test_a_poll_that_gave_nothing_of_a_cabinet_changes_nothing(values: dict[str, Value]) -> None:
    assert read("cab-2", "modbus", values) == []


def test_a_device_that_is_nothing_else_gives_measurements() -> None:
    values: dict[str, Value] = {"flow_m3h": 12.4, "state": 3, "no_signal": False, "meter": "S1"}
    (change,) = read("pump-1", "modbus", values)
    assert change.id == URN.format("DeviceMeasurement", "pump-1:flow_m3h")
    assert said(dict(change.attributes)) == {"numValue": 12.4}
    assert change.attributes["numValue"].unit_code == "MQH"
    assert change.attributes["controlledProperty"].value == "waterFlow"
    assert change.attributes["refDevice"].value == URN.format("Device", "b1:3")


def test_the_registrys_type_says_what_a_device_is() -> None:
    pump = replace(ASSETS[8], type="WaterConsumptionObserved")
    assert pump.id == "pump-1"
    city = city_day.city((pump,))
    values: dict[str, Value] = {"volume_m3": 12.9, "flow_m3h": 12.4, "status": 255, "alarms": 31}
    found = read("pump-1", "modbus", values, city)
    assert [change.type for change in found] == [
        "WaterConsumptionObserved",
        "DeviceMeasurement",
        "DeviceMeasurement",
    ]
    assert said(dict(found[0].attributes)) == {"waterConsumption": 12}


def test_a_lamp_that_no_node_looks_at_says_so() -> None:
    city = city_day.city((Asset("pump-1", "Streetlight"),))
    (change,) = read("pump-1", "modbus", {"level_pct": 40, "status": 16}, city)
    assert change.attributes["status"] == Attribute("ok", AT_MS, "", ("unmonitored",))
    assert change.attributes["illuminanceLevel"].value == 0.4
    assert read("pump-1", "modbus", {"state": 1}, city) == []


def test_an_alarm_and_its_end_are_one_alert() -> None:
    alarm = Alarm(
        Key("gw-1", 1, 1),
        "wm-0001",
        "continuous_flow",
        active=True,
        severity=Severity.CRITICAL,
        observed_at_ms=AT_MS,
        evidence={"least_lph": 3, "hours": 6.5},
    )
    (begun,) = told(alarm)
    assert begun.id == URN.format("Alert", "wm-0001:continuous_flow")
    assert said(dict(begun.attributes)) == {
        "alertSource": URN.format("WaterConsumptionObserved", "wm-0001"),
        "category": "environment",
        "dateIssued": AT,
        "validFrom": AT,
        "severity": "critical",
        "name": "continuous_flow",
        "description": "continuous_flow: least_lph 3, hours 6.5",
    }
    (ended,) = told(replace(alarm, active=False, observed_at_ms=AT_MS + 1_000, evidence={}))
    assert ended.id == begun.id
    attributes = said(dict(ended.attributes))
    assert attributes["severity"] == "informational"
    assert attributes["validTo"] == attributes["dateIssued"] == "2026-09-10T00:26:41.000Z"
    assert "validFrom" not in attributes


@pytest.mark.parametrize(
    ("asset", "source"),
    [
        ("cab-1", URN.format("StreetlightControlCabinet", "cab-1")),
        ("pump-1", URN.format("Device", "b1:3")),
        ("gw-1", URN.format("Device", "gw-1")),
        ("dma-4", URN.format("Device", "gw-1")),
    ],
)
def test_an_alert_comes_from_what_is_an_entity(asset: str, source: str) -> None:
    key = Key("gw-1", 1, 1)
    (change,) = told(Alarm(key, asset, "rule", True, Severity.WARNING, AT_MS))
    assert change.attributes["alertSource"].value == source


@pytest.mark.parametrize(
    ("event", "value", "rule", "over"),
    [
        ("lamp_failure", 3, "lamp_failure", False),
        ("lamp_restored", 240, "lamp_failure", True),
        ("sensor_fault", 2, "sensor_fault", False),
        ("sensor_fault", 0, "sensor_fault", True),
        ("brown_out", 0, "brown_out", False),
    ],
)
def test_what_a_node_tells_is_an_alert_of_its_device(
    event: str,
    value: int,
    rule: str,
    over: bool,  # noqa: FBT001
) -> None:
    (change,) = read("sl-0001", "event", {"event": event, "value": value})
    assert change.id == URN.format("Alert", f"sl-0001:n-sl-0001:{rule}")
    assert change.attributes["alertSource"].value == URN.format("Device", "n-sl-0001")
    assert change.attributes["category"].value == "security"
    assert (change.attributes["severity"].value == "informational") is over
    assert ("validTo" in change.attributes) is over


@pytest.mark.parametrize("event", ["boot", "motion", "motion_clear", "clock_jump", "code_250"])
def test_what_is_nobodys_alarm_is_no_alert(event: str) -> None:
    assert read("sl-0001", "event", {"event": event, "value": 1}) == []
    assert read("sl-0001", "event", {"value": 1}) == []


def test_a_gap_changes_nothing() -> None:
    assert told(Gap("n-sl-0001", 1, 1, 2, "power")) == []


def test_a_nodes_state_is_its_devices() -> None:
    state = NodeState("n-1", "sl-0001", "streetlight", True, AT_MS, "1.2.3", "c6", "00112233")
    (change,) = told(state)
    assert change.id == URN.format("Device", "n-1")
    assert said(dict(change.attributes)) == {
        "deviceState": "online",
        "firmwareVersion": "1.2.3",
        "softwareVersion": "00112233",
        "hardwareVersion": "c6",
    }
    assert "light" in change.attributes["controlledProperty"].value  # type: ignore[operator]
    (unheard,) = told(NodeState("n-1", "sl-0001", "streetlight", False, None))
    assert unheard.attributes["deviceState"] == Attribute("offline")


@pytest.mark.parametrize(
    ("state", "status", "result"),
    [
        (CommandState.PENDING, "scheduled", None),
        (CommandState.DELIVERED, "ongoing", None),
        (CommandState.OK, "finished", "ok"),
        (CommandState.ERROR, "finished", "failed"),
        (CommandState.EXPIRED, "cancelled", "aborted"),
        (CommandState.REJECTED, "cancelled", "failed"),
    ],
)
def test_a_commands_states_are_told_apart(
    state: CommandState, status: str, result: str | None
) -> None:
    command = Command("c 7", "sl-0001", "set_level", {"level_pct": 30}, AT_MS + 9_000, "mqtt")
    became = CommandResult("c 7", "sl-0001", state, "too late", AT_MS)
    change = operation.change(became, city_day.city(), command)
    found = said(dict(change.attributes))
    assert change.id == URN.format("DeviceOperation", "c%207")
    assert (found["status"], found.get("result")) == (status, result)
    assert found["description"] == f"{state} set_level level_pct 30 at sl-0001: too late"
    assert change.attributes["device"].value == URN.format("Device", "n-sl-0001")
    assert ("endedAt" in found) is (result is not None)


def test_figures_of_an_area() -> None:
    first, second = read("dma-4", "kpi", {"text": "x", "lit_lamps": 3, "night_flow_lph": 412.5})
    assert first.id == URN.format("KeyPerformanceIndicator", "dma-4:n-dma-4:lit_lamps")
    assert first.attributes["kpiValue"] == Attribute(3, AT_MS)
    assert second.attributes["kpiValue"] == Attribute(412.5, AT_MS, "E32")
    assert second.attributes["area"].value == "dma-4"


def test_a_zones_water_balance_is_a_daily_figure() -> None:
    found = {each.id: each for each in read("dma-4", "water_balance", {"losses_l": 900})}
    figure = found[URN.format("KeyPerformanceIndicator", "dma-4:n-dma-4:losses_l")].attributes
    assert figure["kpiValue"] == Attribute(900, AT_MS, "LTR")
    assert figure["calculationFrequency"].value == "daily"


def test_a_zones_water_is_an_hourly_figure_of_its_households() -> None:
    hour = Closed("dma-4", 1, 1_204, 7, 10, 11, 0)
    found = {each.id: each for each in read("dma-4", "zone_water", dict(hour.values()))}
    litres = found[URN.format("KeyPerformanceIndicator", "dma-4:n-dma-4:consumed_l")].attributes
    assert litres["kpiValue"] == Attribute(1_204, AT_MS, "LTR")
    assert {name: litres[name].value for name in ("area", "process", "calculationFrequency")} == {
        "area": "dma-4",
        "process": "water supply",
        "calculationFrequency": "hourly",
    }
    assert litres["aggregatedData"].value == [
        {"entityType": "WaterConsumptionObserved", "attrs": ["waterConsumption"]}
    ]
    withheld = replace(hour, litres=None)
    told_of = [each.id for each in read("dma-4", "zone_water", dict(withheld.values()))]
    assert told_of == [each for each in found if not each.endswith("consumed_l")]


def test_a_swap_of_a_node_changes_its_device_and_no_other_id() -> None:
    before = {each.id: each for each in standing(city_day.city())}
    old = config()
    swapped = replace(old, nodes=(replace(old.nodes[0], id="n-new"), *old.nodes[1:]))
    after = {each.id: each for each in standing(city_of(swapped, city_day.city().registry))}
    assert before.keys() - after.keys() == {URN.format("Device", "n-sl-0001")}
    assert after.keys() - before.keys() == {URN.format("Device", "n-new")}
    lamp = URN.format("Streetlight", "sl-0001")
    assert before[lamp].attributes["refDevice"].value == [URN.format("Device", "n-sl-0001")]
    assert after[lamp].attributes["refDevice"].value == [URN.format("Device", "n-new")]


def test_what_stands() -> None:
    stands = {each.id: each for each in standing(city_day.city())}
    lamp = stands[URN.format("Streetlight", "sl-0002")]
    assert lacks(lamp) == "status"  # which nobody has told yet
    assert {name: each.value for name, each in lamp.attributes.items()} == {
        "location": {"type": "Point", "coordinates": [18.071, 59.33]},
        "name": "Lamp 1",
        "areaServed": "harbour",
        "address": {"streetAddress": "Quay St"},
        "owner": ["City"],
        "refDevice": [URN.format("Device", "n-sl-0002")],
        "controllingMethod": "individual",
        "refStreetlightGroup": URN.format("StreetlightGroup", "quay"),
    }
    group = stands[URN.format("StreetlightGroup", "quay")]
    assert lacks(group) == ""
    lamps = [URN.format("Streetlight", f"sl-000{i}") for i in (1, 2, 3)]
    assert group.attributes["refStreetlight"].value == lamps
    cabinet = URN.format("StreetlightControlCabinet", "cab-1")
    assert group.attributes["refStreetlightControlCabinet"].value == cabinet
    where = group.attributes["location"].value
    assert where == {
        "type": "MultiPoint",
        "coordinates": [[18.07, 59.33], [18.071, 59.33], [18.072, 59.33]],
    }
    assert URN.format("Device", "b1:1") in stands


def test_households_do_not_stand_unless_asked_for() -> None:
    meter, node = (
        URN.format("WaterConsumptionObserved", "wm-0001"),
        URN.format("Device", "n-wm-0001"),
    )
    assert not {meter, node} & {each.id for each in standing(city_day.city())}
    everything = {each.id: each for each in standing(city_day.city(), personal=True)}
    assert everything[node].attributes["controlledAsset"].value == [meter]
    assert everything[meter].attributes["owner"].value == [URN.format("Organization", "H%204%20b")]


def test_another_list_of_assets_is_taken_up() -> None:
    city = city_day.city()
    (before,) = read("sl-0001", "streetlight", {"level_pct": 1}, city)
    moved = replace(ASSETS[0], location=Location("Point", ((1.0, 2.0),)))
    city.registry.take([moved])
    (after,) = read("sl-0001", "streetlight", {"level_pct": 1}, city)
    assert before.attributes["location"].value != after.attributes["location"].value
    assert after.attributes["location"].value == {"type": "Point", "coordinates": [1.0, 2.0]}


def test_an_asset_that_no_list_has_is_what_its_device_implies() -> None:
    city = city_of(config(), Registry(CITY))
    (change,) = read("sl-0001", "streetlight", {"level_pct": 1}, city)
    assert (change.type, "location" in change.attributes) == ("Streetlight", False)


def test_what_a_city_can_not_use_is_told_beforehand() -> None:
    nowhere = replace(ASSETS[0], location=None)
    pump = replace(ASSETS[8], type="StreetlightControlCabinet")
    city = city_day.city((nowhere, *ASSETS[1:8], pump))
    assert list(doubts(city)) == [
        "no place, which their entities have to have: sl-0001",
        "pump-1 is a StreetlightControlCabinet, and none of its values is one of a cabinet's:"
        " nothing of it leaves; give it another type in the list of assets",
    ]
    assert list(doubts(city_day.city())) == []
    assert len(list(doubts(city_of(config(), Registry(CITY, (), kinds(config())))))) == 2


def test_an_attribute_that_a_type_does_not_have_is_told() -> None:
    old = config()
    bus = old.buses[0]
    unit = bus.devices[0]
    named = replace(unit.registers[0], attribute="volts")
    unit = replace(unit, registers=(named, *unit.registers[1:]))
    whole = replace(old, buses=(replace(bus, devices=(unit, *bus.devices[1:])),))
    assert list(doubts(city_of(whole, city_day.city().registry))) == [
        "cab-1: no StreetlightControlCabinet has an attribute volts in VLT;"
        " voltage_l1_v is not sent"
    ]
