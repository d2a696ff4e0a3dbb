"""Control names assets that have no node yet: who joins takes part at once, until it goes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from kerbline.config import Config, load
from kerbwire import messages as m
from tests.gateway.pocket_node import DATAGRAM, PocketNode
from tests.gateway.test_permit import LONG_S, Asker, play, running, sealed_for, talking
from tests.gateway.test_south_nodes import free_udp_port

KEYS = {name: bytes([number] * 16) for number, name in enumerate(("sl-1", "sl-9", "sl-10"), 1)}
TEXT = """\
[gateway]
id = "gw"
state_dir = "state"
[store]
commit_readings = 1
commit_interval_s = 0.05
[udp]
listen = "127.0.0.1:{port}"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "sl-1.key"
port = "udp"
[[dimming]]
lamps = ["lamp-1", "lamp-9"]
spacing_m = 30
sensor_range_m = 8
hold_s = 4
[[leak]]
meter = "meter-1"
continuous_flow_h = 6
"""


def config_in(folder: Path) -> tuple[Config, int]:
    port = free_udp_port()
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEYS["sl-1"].hex())
    (folder / "gateway.toml").write_text(TEXT.format(port=port))
    return load(folder / "gateway.toml"), port


def lamp(name: str, folder: Path, asset: str = "", **more: Any) -> PocketNode:
    node = PocketNode(name, KEYS[name], framing=DATAGRAM, epoch=8, **more)
    if asset:
        node.sealed = sealed_for(folder, name, asset, KEYS[name])
    return node


async def lit(sensor: PocketNode, node: PocketNode) -> None:
    """Somebody comes by one lamp, and another one is commanded."""
    before = len(node.commands)
    sensor.tell(m.EV_MOTION)
    async with asyncio.timeout(LONG_S):
        while m.OP_SET_LEVEL not in [each[2] for each in node.commands[before:]]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    sensor.tell(m.EV_MOTION_CLEAR)


async def online(asked: Asker, *names: str) -> dict[str, Any]:
    return await asked.until(
        lambda found: {each["node"] for each in found["nodes"] if each["online"]} == set(names),
        "status",
    )


async def one_street(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, port = config_in(folder)
    first, joins = lamp("sl-1", folder), lamp("sl-9", folder, "lamp-9")
    heir = lamp("sl-10", folder, "lamp-9")
    async with running(config) as asked, talking(first, port):
        found = await online(asked, "sl-1")
        assert [each["asset"] for each in found["control"]["awaited"]] == ["lamp-9", "meter-1"]
        await asked("permit", seconds=60, by="x")
        async with talking(joins, port):
            found = await online(asked, "sl-1", "sl-9")
            assert [each["asset"] for each in found["control"]["awaited"]] == ["meter-1"]
            (one,) = (await asked("permit-status"))["joined"]
            assert (one["part_of"], one["left_out"]) == (["dimming[1]"], [])
            await lit(first, joins)
            await lit(joins, first)
    async with running(config) as asked, talking(joins, port):
        await online(asked, "sl-9")
        await lit(joins, joins)
        await asked("permit", seconds=60, by="x")
        async with talking(heir, port):
            await asked.until(lambda found: bool(found["joined"]), "permit-status")
            await asked("replace", old="sl-9", new="sl-10")
            await online(asked, "sl-10")
            await lit(heir, heir)
        await asked("claims-remove", node="sl-10")
        found = await asked("status")
        assert [each["asset"] for each in found["control"]["awaited"]] == ["lamp-9", "meter-1"]
    assert "awaited: lamp-9, not joined yet (dimming[1])" in caplog.text
    assert "lamp-9 takes part: dimming[1]" in caplog.text
    assert "lamp-9 has no node any more: left out of dimming[1]" in caplog.text


def test_a_lamp_that_joins_follows_people_until_it_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    play(one_street, tmp_path, caplog)
