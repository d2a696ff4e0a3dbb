"""The tables of docs/reference/ngsi-ld.md are the mapping's."""

import re

from kerbline.control import endings, zone_water
from kerbline.model import CommandState
from kerbline.north.ngsi_ld.contexts import SUBJECTS
from kerbline.north.ngsi_ld.models import (
    CHOOSE,
    air,
    alert,
    cabinet,
    device,
    kpi,
    measured,
    measurement,
    operation,
    streetlight,
    water,
)
from kerbline.north.ngsi_ld.units import CLIPPED, TARGETS, base
from kerbwire.schema import SCHEMAS
from tools.trees import ROOT

PAGE = (ROOT / "docs" / "reference" / "ngsi-ld.md").read_text(encoding="utf-8")
TYPES = {
    "streetlight": streetlight.TYPE,
    "water_meter": water.TYPE,
    "air_quality": air.TYPE,
}
NAMES = {
    streetlight.TYPE: streetlight.NAMES,
    cabinet.TYPE: cabinet.NAMES,
    water.TYPE: water.NAMES,
    air.TYPE: air.NAMES,
}
TAUGHT = ("o3_ppb",)  # of a schema that a node teaches
NOT_SENT = {"lamp_hours", "uptime_s", "hourly_l"}
SPOKEN_ELSEWHERE = {"status", "alarms"}  # bits, in a table of their own


def table(title: str) -> list[list[str]]:
    """The rows of the table whose first column has that title."""
    (found,) = re.findall(rf"^\| {re.escape(title)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in found.splitlines()]


def plain(cell: str) -> str:
    return cell.strip("`")


def test_each_value_of_a_node_is_in_the_table_or_said_to_be_left_out() -> None:
    rows = {tuple(map(plain, row)) for row in table_of_nodes()}
    expected = set()
    for known in SCHEMAS:
        type_name = TYPES[known.name]
        for name in [each.name for each in known.fields] + list(TAUGHT) * (type_name == air.TYPE):
            chosen = CHOOSE[type_name](None, name)
            if chosen is not None:
                expected.add((known.name, name, type_name, chosen.attribute, chosen.code))
            if type_name == water.TYPE and name in water.LITRES:
                litres = measurement.choose(None, name)
                assert litres is not None
                row = (known.name, name, measurement.TYPE, litres.attribute, litres.code)
                expected.add(row)
            told = {row[1] for row in expected} | SPOKEN_ELSEWHERE | NOT_SENT | {"battery_mv"}
            assert name in told or (known.name, name) == ("streetlight", "temperature_c")
    battery = TARGETS[device.TYPE]["batteryLevel"].code
    expected.add(("water_meter", "battery_mv", device.TYPE, "batteryLevel", battery))
    assert rows == expected
    assert all(f"`{name}`" in PAGE for name in NOT_SENT)


def table_of_nodes() -> list[list[str]]:
    """The table with five columns; the one of bits has four."""
    found = re.findall(r"^\| kind of node \| value \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[0].splitlines()]


def test_each_name_of_another_device_is_in_the_table() -> None:
    rows = {
        (type_name, plain(name)): (plain(attribute), code)
        for type_name, some, attribute, code in table("type")
        for name in some.split(", ")
    }
    for (type_name, name), row in list(rows.items()):
        if name.endswith("_l1"):
            for phase, letter in (("2", "S"), ("3", "T")):
                rows[type_name, name[:-1] + phase] = (row[0][:-1] + letter, row[1])
    assert rows == {
        (type_name, name): (attribute, TARGETS[type_name][attribute].code)
        for type_name, names in NAMES.items()
        for name, attribute in names.items()
    }
    assert {base(name) for _, name in rows} == {name for _, name in rows}


def test_every_entity_is_in_the_table() -> None:
    told = {name for row in table("entity") for name in row[0].split(", ")}
    assert told == set(SUBJECTS)


def test_every_kind_that_gives_figures_is_named() -> None:
    for kind, origin in kpi.ORIGINS.items():
        assert f"`{kind}`" in PAGE
        assert f"`{origin.frequency}`" in PAGE or not origin.frequency


def test_every_flag_is_explained() -> None:
    told = {plain(row[0]).split(":")[0] for row in table("flag")}
    ours = {
        CLIPPED,
        air.INCOMPLETE_FLAG,
        air.UNSETTLED_FLAG,
        device.ESTIMATED,
        streetlight.NO_METER,
        streetlight.SENSOR_FLAG,
        streetlight.UNMONITORED,
        zone_water.WITHHELD,
        "uncertainty_ms",
        "undated",
    }
    assert told == ours | {"any other"}
    assert f"told from {measured.SURE_MS + 1:,} on" in PAGE


def test_every_event_has_its_severity_and_its_end() -> None:
    ends = dict.fromkeys(endings.OF_BITS, "clear bit")
    ends |= {rule: f"`{end}`, clear bit" for end, rule in endings.ENDS.items()}
    ends |= dict.fromkeys(endings.ENDED_BY_0, "value 0")
    ends |= dict.fromkeys(endings.MOMENTS, "a day")
    ends |= dict.fromkeys(endings.OF_A_BOOT, "later boot")
    rows = {plain(event): (severity, over) for event, severity, over in table("event of a node")}
    assert rows == {name: (each, ends[name]) for name, each in alert.EVENTS.items()}


def test_every_state_of_a_command_is_there() -> None:
    rows = {state: (status, result) for state, status, result in table("state")}
    assert rows == {state.value: operation.STATES[state] for state in CommandState}


def test_the_bits_are_the_codes() -> None:
    told = re.findall(r"^\| `(\w+)` \| ([^|]*) \| `(\w+)` \|", PAGE, re.M)
    bits = {(kind, name, tuple(map(int, re.findall(r"\d+", said)))) for kind, said, name in told}
    failing = (streetlight.LAMP_FAILURE, streetlight.CYCLING)
    burner = (streetlight.DAY_BURNER,)
    all_water = (water.CONTINUOUS, water.BACKFLOW, water.TAMPER, water.BURST)
    assert {
        ("streetlight", "status", failing),
        ("streetlight", "status", burner),
        ("water_meter", "alarmFlowPersistence", all_water[:1]),
        ("water_meter", "alarmWaterQuality", all_water[1:2]),
        ("water_meter", "alarmTamper", all_water[2:3]),
        ("water_meter", "alarmStopsLeaks", all_water[3:]),
        ("water_meter", "alarmInProgress", all_water),
    } <= bits
    assert sum(all_water) == water.OF_WATER
