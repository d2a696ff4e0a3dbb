"""A lamp with the real firmware gets its program, and lives by it when the gateway is dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from kerbline import agent
from kerbline.clock import Clock, StreetTable
from kerbline.config import load
from kerbline.sim import lines
from kerbline.sim.nodes import Node, interpreter, write_settings

LONG_S = 90.0
RATE = 2_400  # street time runs so fast: the night of ten hours takes 15 s
LATE_MIN = 50  # of the street: a machine that stops the node for a second moves it by 40
KEY = bytes(range(16))
ZONE = ZoneInfo("Europe/Amsterdam")
BEGIN = datetime(2026, 12, 17, 22, 50, tzinfo=ZONE)
PLACE = [52.37, 4.9]
CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[simulation]
clock_table = "clock.json"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "{port}"
[light]
position = [52.37, 4.9]
time_zone = "Europe/Amsterdam"
[[control_program]]
name = "evening"
active_period = [{{type = "astro_clock", sunrise_offset_min = -120}}]
fixed_time = [{{start = "22:30", level_pct = 40}}, {{start = "05:00", level_pct = 90}}]
[[lamp_group]]
name = "street"
lamps = ["lamp-1"]
program = "evening"
[[lighting_class]]
group = "street"
normal = "M4"
hour = [{{start = "23:00", class = "M5"}}, {{start = "05:00", floor_pct = 80}}]
"""


def shown(folder: Path) -> list[tuple[int, int]]:
    """(real_ms, percent) of each change that the lamp showed."""
    told = [json.loads(line) for line in (folder / "made.jsonl").read_text().splitlines()]
    return [(each["real_ms"], each["pct"]) for each in told if each["t"] == "level"]


async def until(there: Callable[[], bool]) -> None:
    """Look until it is so."""
    for _ in range(20 * int(LONG_S)):
        if there():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def night(folder: Path) -> None:
    real_ms = Clock().utc_ms()
    rows = [[real_ms, int(BEGIN.timestamp() * 1000), RATE]]
    (folder / "clock.json").write_text(json.dumps(rows))
    (folder / "node.key").write_text(KEY.hex())
    (folder / "node.key").chmod(0o600)
    line = lines.open_line()
    settings = {"node_id": "sl-1", "asset": "streetlight", "link": "uart", "position": PLACE}
    write_settings(folder / "sl-1", {**settings, "uart": line.node}, KEY)
    world = {"clock": rows, "lamp_w": 60, "witness": str(folder / "made.jsonl")}
    (folder / "sl-1" / "world.json").write_text(json.dumps(world))
    (folder / "gateway.toml").write_text(CONFIG.format(port=line.gateway))
    board = Node(folder / "sl-1", interpreter())
    serving = asyncio.create_task(agent.run(load(folder / "gateway.toml")))
    board.power_on()
    try:
        await until((folder / "made.jsonl").exists)
        await until(lambda: (shown(folder) or [(0, 0)])[-1][1] == 67)
        serving.cancel()
        await asyncio.wait([serving])
        dead_ms = Clock().utc_ms()
        await until(lambda: (shown(folder) or [(0, 1)])[-1][1] == 0)
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await board.cut_power()
        line.close()

    clock = StreetTable.parse(json.dumps(rows))
    rests = [  # levels that stood for minutes, and until when
        (pct, datetime.fromtimestamp(clock.street_ms(end) / 1000, ZONE), end)
        for (begin, pct), (end, _) in zip(shown(folder), shown(folder)[1:], strict=False)
        if (end - begin) * RATE > 30 * 60_000
    ]
    (low, five, five_ms), (high, before, _), (floor, dawn, _) = rests[-3:]
    assert (low, high, floor) == (67, 90, 80)  # the class, the program, and the class after it
    assert dead_ms < five_ms  # nobody was there to tell it
    for at, minute in ((five, 5 * 60), (before, 6 * 60 + 46), (dawn, 8 * 60 + 31)):
        assert -10 < 60 * at.hour + at.minute - minute < LATE_MIN
    assert board.crashes == 0


def test_a_lamp_goes_through_its_night_alone(tmp_path: Path) -> None:
    asyncio.run(night(tmp_path))
