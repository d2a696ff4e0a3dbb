#!/usr/bin/env python3
"""Plays the nodes of a config until Ctrl-C: street.py gateway.toml.

Each is the real firmware in a process of its own, on UDP; their keys and flash go beside the
config. `street.py gateway.toml 60` lets a minute of the street last a second: for a config with
[simulation] and clock_table = "clock.json".
"""

import asyncio
import json
import secrets
import sys
import time
import tomllib
from pathlib import Path

from kerbline.sim.nodes import Node, interpreter, write_private, write_settings

POSITION = [59.3043, 18.1037]
REPORT_S = 10  # 900 on a street


def put(folder: Path, node: dict, seed: int, gateway: str, clock: list) -> Path:
    """Makes a node that is not there yet, with the key that the config names, and its world."""
    place, key = folder / "nodes" / node["id"], secrets.token_bytes(16)
    if not place.exists():
        path = folder / node["key_file"]
        path.parent.mkdir(exist_ok=True)
        write_private(path, key.hex().encode())
        settings = {"node_id": node["id"], "asset": node["kind"], "position": POSITION}
        settings |= {"link": "udp", "gateway": gateway, "report_s": 900 if clock else REPORT_S}
        write_settings(place, settings, key)
    world = {"asset": node["asset"], "latitude": POSITION[0], "longitude": POSITION[1]}
    senses = {"lamp_w": 60, "water": {"seed": seed}, "air": {"seed": seed}, "clock": clock}
    (place / "world.json").write_text(json.dumps(world | senses))
    return place


async def main(path: Path, rate: int = 1) -> None:
    config, clock = tomllib.loads(path.read_text()), []
    if rate > 1:
        now_ms = time.time_ns() // 1_000_000
        clock = [[now_ms, now_ms - 86_400_000, rate]]  # street time: from yesterday on
        (path.parent / "clock.json").write_text(json.dumps(clock))
    nodes = [
        Node(put(path.parent, node, seed, config["udp"]["listen"], clock), interpreter())
        for seed, node in enumerate(config["node"], 1)
    ]
    for node in nodes:
        node.power_on()
    print(f"{len(nodes)} nodes on {interpreter().name}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
    except KeyboardInterrupt:
        pass
