"""A day of a small city as its gateway's log has it: all kinds, all flags, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kerbline.assets import Asset, Location, Registry
from kerbline.assets.metered import kinds
from kerbline.config import Air, Config, Gateway, ModbusDevice, Node, SerialDevice
from kerbline.config.modbus import ModbusBus
from kerbline.config.profiles import Profiles
from kerbline.model import Alarm, Entry, Key, NodeState, Reading, Severity, Value
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import city_of
from kerbwire.messages import EVENT_NAMES

CITY = "sjoestad"
T0_MS = 1_790_000_000_000
QUARTER_MS = 900_000
LAMPS = ("sl-0001", "sl-0002", "sl-0003")
METERS = ("wm-0001", "wm-0002")


def _at(x: float) -> Location:
    return Location("Point", ((round(18.07 + x, 5), 59.33),))


ASSETS = (
    *(
        Asset(name, "Streetlight", f"Lamp {i}", _at(i / 1000), "quay", "harbour", "Quay St", "City")
        for i, name in enumerate(LAMPS)
    ),
    *(
        Asset(name, "WaterConsumptionObserved", location=_at(i / 900), zone="dma-4", owner="H 4 b")
        for i, name in enumerate(METERS)
    ),
    Asset("air-1", "AirQualityObserved", "Quay", _at(0.01), zone="harbour", privacy="public"),
    Asset("cab-1", "StreetlightControlCabinet", location=_at(0.02), zone="harbour"),
    Asset("cab-2", "StreetlightControlCabinet", location=_at(0.03)),
    Asset("pump-1", "DeviceMeasurement", location=_at(0.04), privacy="public"),
    Asset("dust-1", "AirQualityObserved", location=_at(0.05), privacy="public"),
)


def config() -> Config:
    """Three lamps, two meters, a station, two cabinets' meters, a pump and a dust sensor."""
    no_file = Path("none")
    nodes = [
        *(Node(f"n-{name}", name, "streetlight", no_file, "udp") for name in LAMPS),
        *(Node(f"n-{name}", name, "water_meter", no_file, "udp") for name in METERS),
        Node("n-air", "air-1", "air_quality", no_file, "udp"),
    ]
    units = [
        ModbusDevice(unit, asset, Profiles().get(profile)[1])
        for unit, (asset, profile) in enumerate(UNITS.items(), 1)
    ]
    bus = ModbusBus("b1", "/dev/ttyUSB0", tuple(units))
    dust = SerialDevice("dust", "/dev/ttyUSB1", "pms5003", "dust-1")
    air, gateway = Air(stations=("air-1", "dust-1")), Gateway("gw-1", no_file)
    return Config(gateway, nodes=tuple(nodes), buses=(bus,), serials=(dust,), air=air)


UNITS = {"cab-1": "eastron-sdm630", "cab-2": "schneider-iem3000", "pump-1": "tuf-2000m"}


def city(assets: tuple[Asset, ...] = ASSETS) -> City:
    """What the mapping has to know of it."""
    whole = config()
    return city_of(whole, Registry(CITY, assets, kinds(whole), "City of Sjoestad"))


def day(seed: int = 1) -> Iterator[Entry | NodeState]:
    """Every quarter of an hour each device's report, and what happens between them."""
    chance = random.Random(seed)
    number = 0
    for at_ms in range(T0_MS, T0_MS + 86_400_000, QUARTER_MS):
        for asset, kind, values in _reports(chance, (at_ms - T0_MS) // QUARTER_MS):
            number += 1
            key = Key(f"n-{asset}", 1, number)
            made = Reading(key, asset, kind, at_ms + chance.randrange(999), 500, values)
            yield _doubted(chance, made)
    yield from _events(chance)
    for active in (True, False):
        for asset, rule in (("wm-0001", "continuous_flow"), ("cab-1", "overvoltage_l1")):
            severity = chance.choice(list(Severity))
            key = Key("gw-1", 1, number)
            yield Alarm(key, asset, rule, active, severity, T0_MS, {"least_lph": 3, "hours": 6.5})
    yield NodeState("n-sl-0001", "sl-0001", "streetlight", False, None)
    yield NodeState("n-sl-0001", "sl-0001", "streetlight", True, T0_MS, "1.2.3", "c6", "00112233")


def _doubted(chance: random.Random, reading: Reading) -> Reading:
    if chance.random() < 0.1:
        doubt_ms = chance.choice([1_001, 60_000, 43_200_000])
        return replace(reading, quality=("undated",), uncertainty_ms=doubt_ms)
    return reading


def _events(chance: random.Random) -> Iterator[Reading]:
    assets = [*LAMPS, *METERS, "air-1"]
    for number, name in enumerate([*EVENT_NAMES.values(), "code_250"]):
        for value in (0, 3):
            asset = chance.choice(assets)
            values: Mapping[str, Value] = {"event": name, "value": value}
            yield Reading(Key(f"n-{asset}", 1, number), asset, "event", T0_MS, 500, values)


def _reports(chance: random.Random, quarter: int) -> Iterator[tuple[str, str, Mapping[str, Value]]]:
    is_night = not 24 < quarter < 80
    for asset in LAMPS:
        level = chance.choice([1, 20, 30, 100]) if is_night else 0
        yield (
            asset,
            "streetlight",
            {
                "level_pct": level,
                "power_w": chance.choice([0.0, round(level * 0.82, 1), 0.3]),
                "energy_wh": (4_294_967_290 + 30 * quarter) % (1 << 32),
                "lamp_hours": quarter // 4,
                "temperature_c": chance.randrange(-20, 60),
                "status": chance.choice([0, is_night + 0, 16, 32, 64, 128, 255]),
                "uptime_s": 900 * quarter,
            },
        )
    for asset in METERS:
        yield (
            asset,
            "water_meter",
            {
                "volume_l": (999_999_500 + 37 * quarter) % 1_000_000_000,
                "flow_lph": chance.randrange(2_000),
                "backflow_l": quarter // 8,
                "battery_mv": chance.choice([0, 1_900, 3_000, 3_350, 3_612]),
                "alarms": chance.randrange(32),
                "hourly_l": tuple(chance.randrange(90) for _ in range(24)),
            },
        )
    yield "air-1", "air_quality", _air(chance)
    yield (
        "cab-1",
        "modbus",
        {
            "voltage_l1_v": 231.4,
            "current_l1_a": 0.52,
            "power_w": chance.choice([-30.0, 0, 1_234.5]),
            "power_l2_w": 411.0,
            "power_factor": chance.choice([-0.4, 1.2, 0.97]),
            "frequency_hz": 49.98,
            "energy_import_kwh": 1_203.4 + quarter,
            "energy_export_kwh": 0.2,
            "reactive_power_var": -3.0,
            "reactive_energy_import_kvarh": 12.2,
            "voltage_thd_l1_pct": 2.7,
        },
    )
    yield "cab-2", "modbus", chance.choice([{}, {"power_kw": 1.2, "power_l1_kw": float("inf")}])
    yield "pump-1", "modbus", {"flow_m3h": 12.4, "state": 3, "no_signal": False}
    yield "dust-1", "serial", {"pm2_5_ugm3": 7, "pm10_ugm3": 11, "meter": "S1"}
    yield "dma-4", "kpi", {"name": "text", "lit_lamps": 3, "night_flow_lph": 412.0}
    households = {"households": 7, "completeness_pct": 91, "late_hours": 0}
    yield "dma-4", "zone_water", {"consumed_l": 1_204, **households}
    indices: dict[str, Value] = {"eu_index": 2, "eu_category": "Fair", "us_index": 31}
    yield "dust-1", "air_hour", {"pm2_5_ugm3": 7.3, "heard_pct": 100, **indices}
    yield "dust-1", "air_day", {"pm2_5_ugm3": 7.1, "hours": 24, **indices}
    yield "nobody", "serial", {"volume_l": 4, "flow": 2}


def _air(chance: random.Random) -> Mapping[str, Value]:
    status = sum(1 << bit for bit in range(29) if chance.random() < 0.1)
    return {
        "pm1_ugm3": round(chance.uniform(-0.2, 30), 1),
        "pm2_5_ugm3": round(chance.uniform(0, 60), 1),
        "pm10_ugm3": round(chance.uniform(0, 90), 1),
        "co2_ppm": chance.randrange(380, 2_000),
        "no2_ppb": round(chance.uniform(-20, 90), 1),
        "temperature_c": round(chance.uniform(-30, 40), 1),
        "humidity_pct": round(chance.uniform(0, 100.4), 1),
        "pressure_hpa": round(chance.uniform(930, 1_060), 1),
        "status": chance.choice([0, status, (1 << 9) - 1]),
    }
