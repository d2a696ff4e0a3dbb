"""Who takes part: how each is told its task, and what of its messages is a value."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.budgets.modbus_race.environments import environment
from tools.trees import ROOT

UNITS = 50
REGISTERS = 100
PERIOD_S = 1.0
_OURS = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))


@dataclass(frozen=True, slots=True)
class Task:
    """What a racer is to do, and where: `folder` is its own."""

    folder: Path
    source_ports: tuple[int, ...]  # of equal sources; ours parts the units among all of them
    broker_port: int
    period_s: float = PERIOD_S
    registers: int = REGISTERS  # of each unit

    @property
    def source_port(self) -> int:
        """The first."""
        return self.source_ports[0]


@dataclass(frozen=True, slots=True)
class Start:
    """A command line, to be run in the task's folder."""

    words: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Racer:
    """`prepare` writes its config (it may raise NotToBeHad); the referee reads `topics`."""

    name: str
    prepare: Callable[[Task], Start]
    dialect: str  # a key of DIALECTS
    topics: tuple[str, ...]


def _ours(task: Task, registers: str) -> Start:
    lines = [
        f'[gateway]\nid = "gw-race"\nstate_dir = "{task.folder}/state"\n',
        f'[mqtt]\nhost = "127.0.0.1"\nport = {task.broker_port}\nprefix = "race"\n',
    ]
    for bus, port in enumerate(task.source_ports):
        lines.append(
            f'[[modbus]]\nname = "bus-{bus}"\nport = "socket://127.0.0.1:{port}"\n'
            'framer = "tcp"\npipeline = 16\n'
        )
        for unit in range(1 + bus, UNITS + 1, len(task.source_ports)):
            lines.append(
                f'[[modbus.device]]\nunit = {unit}\nasset = "meter-{unit}"\n'
                f"poll_s = {task.period_s}\n{registers}"
            )
    config = task.folder / "gateway.toml"
    config.write_text("\n".join(lines))
    return Start([sys.executable, "-m", "kerbline", "run", str(config)], {"PYTHONPATH": _OURS})


def ours_each(task: Task) -> Start:
    """Kerbline, its durable store on, with one entry for every register."""
    one = '[[modbus.device.register]]\nname = "r_{0}"\naddress = {0}\n'
    return _ours(task, "".join(one.format(number) for number in range(task.registers)))


def ours_range(task: Task) -> Start:
    """The same with one entry for every hundred."""
    one = '[[modbus.device.register]]\nname = "{0}"\naddress = {1}\ncount = {2}\n'
    entries = [
        one.format(f"r_{first}" if first else "r", first, min(REGISTERS, task.registers - first))
        for first in range(0, task.registers, REGISTERS)
    ]
    return _ours(task, "".join(entries))


def thingsboard(task: Task) -> Start:
    """Its SQLite storage, wide ranges, and no pause between packs (50 ms is its default)."""
    programs = environment("thingsboard")
    config = task.folder / "config"
    for folder in (config, task.folder / "logs", task.folder / "data"):
        folder.mkdir()
    entry = {
        "tag": "r_${address}",
        "type": "16uint",
        "functionCode": 3,
        "objectsCount": 1,
        "address": f"0-{REGISTERS - 1}",
    }
    slaves = [
        {
            "host": "127.0.0.1",
            "port": task.source_port,
            "type": "tcp",
            "method": "socket",
            "timeout": 3,
            "byteOrder": "BIG",
            "wordOrder": "BIG",
            "pollPeriod": int(task.period_s * 1000),
            "unitId": unit,
            "deviceName": f"meter-{unit}",
            "deviceType": "meter",
            "attributes": [],
            "timeseries": [entry],
            "attributeUpdates": [],
            "rpc": [],
        }
        for unit in range(1, UNITS + 1)
    ]
    (config / "modbus.json").write_text(json.dumps({"master": {"slaves": slaves}}))
    gateway = {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": task.broker_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "maxPayloadSizeBytes": 65_536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "security": {"type": "accessToken", "accessToken": "race"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": str(task.folder / "data" / "data.db"),
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
            "max_read_records_count": 1000,
        },
        "grpc": {"enabled": False},
        "connectors": [{"name": "bus", "type": "modbus", "configuration": "modbus.json"}],
    }
    (config / "tb_gateway.json").write_text(json.dumps(gateway))
    logs = {
        "version": 1,
        "disable_existing_loggers": True,
        "handlers": {"console": {"class": "logging.StreamHandler", "level": "ERROR"}},
        "root": {"level": "ERROR", "handlers": ["console"]},
    }
    (config / "logs.json").write_text(json.dumps(logs))
    words = [str(programs / "python"), "-m", "thingsboard_gateway.tb_gateway"]
    return Start(words, {"TB_GW_CONFIG_DIR": str(config)})


def modpoll(task: Task) -> Start:
    """No store: it has none."""
    programs = environment("modpoll")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for unit in range(1, UNITS + 1):
        rows.writerow(["device", f"meter-{unit}", unit])
        rows.writerow(["poll", "holding_register", 0, REGISTERS, "BE_BE"])
        rows.writerows(["ref", f"r_{n}", n, "uint16", "r"] for n in range(REGISTERS))
    config = task.folder / "meters.csv"
    config.write_text(text.getvalue())
    words = [str(programs / "modpoll"), "-d", "-f", str(config), "--rate", str(task.period_s)]
    words += ["--interval", "0", "--tcp", "127.0.0.1", "--tcp-port", str(task.source_port)]
    words += ["--mqtt-host", "127.0.0.1", "--mqtt-port", str(task.broker_port)]
    return Start([*words, "--mqtt-version", "5.0", "--mqtt-qos", "1", "--loglevel", "ERROR"])


OURS_EACH = Racer("kerbline, an entry a register", ours_each, "kerbline", ("race/#",))
OURS_RANGE = Racer("kerbline, ranges", ours_range, "kerbline", ("race/#",))
THINGSBOARD = Racer(
    "ThingsBoard gateway 3.8.5, SQLite", thingsboard, "thingsboard", ("v1/gateway/telemetry",)
)
MODPOLL = Racer("modpoll 1.6", modpoll, "modpoll", ("modpoll/+/data",))
