"""A gateway loads what its config names: a Modbus bridge has no part of the nodes' in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BRIDGE = """\
[gateway]
id = "gw-1"
state_dir = "{folder}/state"
[mqtt]
host = "127.0.0.1"
port = 1
[[modbus]]
name = "cabinet"
port = "socket://127.0.0.1:1"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "meter-1"
[[modbus.device.register]]
name = "power_w"
address = 0
"""
# Runs the agent until everything was begun, and tells what it has loaded by then.
RUN = """\
import asyncio, json, sys
from pathlib import Path
from kerbline.agent import run
from kerbline.config import load
async def main():
    running = asyncio.create_task(run(load(Path(sys.argv[1]))))
    for _ in range(100):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    print(json.dumps(sorted(sys.modules)))
asyncio.run(main())
"""
FOREIGN = (
    "cryptography",
    "httpx",
    "importlib.metadata",
    "kerbline.assets.kept",
    "kerbline.demo",
    "kerbline.south.node_link",
    "kerbline.south.rs485",
    "kerbline.south.serial",
    "kerbline.south.udp",
    "kerbline.sim",
    "kerbwire.seal",
    "serial",
)


def loaded_by(folder: Path, text: str) -> set[str]:
    """The modules of a gateway that has begun with such a config."""
    config = folder / "gateway.toml"
    config.write_text(text.format(folder=folder))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(config)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_modbus_bridge_loads_nothing_of_nodes_and_ciphers(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path, BRIDGE)
    assert {"aiomqtt", "kerbline.south.modbus.bus", "kerbline.north.mqtt"} <= loaded
    assert loaded.isdisjoint(FOREIGN), sorted(loaded.intersection(FOREIGN))


def test_a_citys_broker_needs_http_and_no_mqtt(tmp_path: Path) -> None:
    before, _, rest = BRIDGE.partition("[mqtt]")
    city = '[city]\nid = "stad"\n[[ngsi_ld]]\nname = "p"\nurl = "http://127.0.0.1:1"\n'
    loaded = loaded_by(tmp_path, before + city + rest[rest.index("[[modbus]]") :])
    assert {"httpx", "kerbline.north.ngsi_ld.sink"} <= loaded
    foreign = (*FOREIGN, "aiomqtt", "paho")
    wanted = {"httpx", "kerbline.assets", "kerbline.assets.kept"}
    assert loaded.intersection(foreign) <= wanted, sorted(loaded.intersection(foreign))
