"""A street on paper: which assets stand where, who drives by, which meter leaks, how time runs.

It writes what the others read: the nodes' folders with their worlds, the gateway's config, keys
and clock table. It starts nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kerbline.clock import StreetTable
from kerbline.sim.nodes import write_private, write_settings

LATITUDE, LONGITUDE = 52.37, 4.9
SPACING_M = 20  # between lamps; a car comes from and leaves for a point as far away
SENSOR_RANGE_M = 10
REACH_M = 30  # lamps are full so far around a car: a short street has dark ones left, too
LEAK_LPH = 20
LEAKING_METER = 2
LAMP_W = 60
GATEWAY = "gw-demo"
CABINET = "cabinet-1"


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset and the node that serves it, `number` from 1 within its kind."""

    node: str
    asset: str
    kind: str
    number: int

    @property
    def position_m(self) -> int:
        """Where it stands along the street."""
        return self.number * SPACING_M


@dataclass(frozen=True, slots=True)
class Car:
    """Drives the whole street at one speed; street time, `direction` +1 up the street or -1."""

    enter_street_ms: int
    enter_m: int
    speed_mps: float
    direction: int


@dataclass(frozen=True, slots=True)
class Street:
    """The whole scenario; times are street ms unless a name says real."""

    clock: StreetTable
    lamps: int = 6
    meters: int = 4
    air: int = 1
    cars: tuple[Car, ...] = ()
    leak_from_ms: int = 0  # 0: nothing leaks
    stop_real_ms: int = 0  # from then on no new records; 0: never
    report_s: int = 900
    continuous_flow_h: int = 6

    def assets(self) -> Iterator[Asset]:
        """All assets that have a node."""
        kinds = (
            ("sl", "lamp", "streetlight", self.lamps),
            ("wm", "meter", "water_meter", self.meters),
            ("aq", "air", "air_quality", self.air),
        )
        for prefix, name, kind, count in kinds:
            for number in range(1, count + 1):
                yield Asset(f"{prefix}-{number:04}", f"{name}-{number}", kind, number)

    def clock_rows(self) -> list[list[float]]:
        """The table as nodes and gateway read it."""
        return [[row.real_ms, row.street_ms, row.rate] for row in self.clock.rows]


@dataclass(frozen=True, slots=True)
class Ways:
    """How the parts find each other: the broker's port, the cabinet, and both ends of each line.

    `lines` gives for each node id the path for the gateway and the path for the node; `cabinet`
    is "socket://host:port" of a Modbus TCP server, the path of an RTU line, or empty: none.
    """

    lines: Mapping[str, tuple[str, str]]
    mqtt_port: int
    cabinet: str = ""


def write(folder: Path, street: Street, ways: Ways) -> Path:
    """Writes everything below the new `folder`; the path of the gateway's config."""
    keys, nodes, made = folder / "keys", folder / "nodes", folder / "made"
    keys.mkdir(parents=True)
    made.mkdir()
    for asset in street.assets():
        key = secrets.token_bytes(16)
        write_private(keys / f"{asset.node}.key", f"{key.hex()}\n".encode())
        settings = {
            "node_id": asset.node,
            "asset": asset.kind,
            "link": "uart",
            "uart": ways.lines[asset.node][1],
            "report_s": street.report_s,
            "position": [LATITUDE, LONGITUDE],
        }
        write_settings(nodes / asset.node, settings, key)
        world = json.dumps(_world(street, asset, made / f"{asset.node}.jsonl"), indent=1)
        (nodes / asset.node / "world.json").write_text(world, encoding="utf-8")
    (folder / "clock.json").write_text(json.dumps(street.clock_rows()), encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text("\n".join(_config(street, ways)), encoding="utf-8")
    return config


def _world(street: Street, asset: Asset, witness: Path) -> dict[str, object]:
    """What the node's hardware would sense: read by its simulated hal and by the witness."""
    world: dict[str, object] = {
        "asset": asset.asset,
        "clock": street.clock_rows(),
        "latitude": LATITUDE,
        "longitude": LONGITUDE,
        "position_m": asset.position_m,
        "sensor_range_m": SENSOR_RANGE_M,
        "cars": [
            [car.enter_street_ms, car.enter_m, car.speed_mps, car.direction] for car in street.cars
        ],
        "stop_real_ms": street.stop_real_ms,
        "witness": str(witness.absolute()),
    }
    if asset.kind == "streetlight":
        world["lamp_w"] = LAMP_W
    elif asset.kind == "water_meter":
        leaks = asset.number == LEAKING_METER or street.meters < LEAKING_METER
        from_ms = street.leak_from_ms if leaks else 0
        world["water"] = {
            "seed": asset.number,
            "leak_from_street_ms": from_ms,
            "leak_lph": LEAK_LPH if from_ms else 0,
        }
    else:
        world["air"] = {"seed": asset.number}
    return world


def _config(street: Street, ways: Ways) -> Iterator[str]:
    """The gateway's config, line by line."""
    yield f'[gateway]\nid = "{GATEWAY}"\nstate_dir = "state"\n'
    yield '[simulation]\nclock_table = "clock.json"\n'
    yield "[store]\ncommit_interval_s = 1.0  # a demo has no hour to wait\n"
    yield f'[mqtt]\nhost = "127.0.0.1"\nport = {ways.mqtt_port}\nbackoff_max_s = 1.0\n'
    for asset in street.assets():
        yield f'[[node]]\nid = "{asset.node}"\nasset = "{asset.asset}"\nkind = "{asset.kind}"'
        yield f'key_file = "keys/{asset.node}.key"\nport = "{ways.lines[asset.node][0]}"\n'
    if ways.cabinet:
        framer = "tcp" if ways.cabinet.startswith("socket://") else "rtu"
        yield f'[[modbus]]\nname = "cabinet"\nport = "{ways.cabinet}"\nframer = "{framer}"\n'
        yield f'[[modbus.device]]\nunit = 1\nasset = "{CABINET}"\nprofile = "lighting-cabinet"'
        yield "poll_s = 1.0\n"
    lamps = [f'"{asset.asset}"' for asset in street.assets() if asset.kind == "streetlight"]
    if lamps:
        yield f"[[dimming]]\nlamps = [{', '.join(lamps)}]\nspacing_m = {SPACING_M}"
        yield f"sensor_range_m = {SENSOR_RANGE_M}\nreach_m = {REACH_M}"
        yield "sensor_misses = 0\nspeed_change_pct = 5\nfastest_mps = 25\n"
    for asset in street.assets():
        if asset.kind == "water_meter":
            hours = street.continuous_flow_h
            yield f'[[leak]]\nmeter = "{asset.asset}"\ncontinuous_flow_h = {hours}\n'
