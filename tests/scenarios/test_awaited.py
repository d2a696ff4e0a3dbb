"""Control names assets that have no node yet: who joins takes part at once, until it goes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from kerbline.cli import claims
from kerbline.config import Config, load
from kerbline.keys import claim, gateway_key
from kerbline.keys.claim import Claim
from kerbwire import messages as m
from kerbwire.schema import WATER_METER
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


LIT = """\
[light]
position = [52.37, 4.9]
[[control_program]]
name = "evening"
[[lamp_group]]
name = "street"
lamps = ["lamp-1", "lamp-9"]
program = "evening"
[[rule]]
name = "warm"
[[rule.reading]]
asset = "lamp-1"
value = "temperature_c"
above = 1
[rule.set_level]
lamps = ["lamp-9", "lamp-1"]
level_pct = 80
hold_s = 900
"""


def config_in(folder: Path, more: str = "") -> tuple[Config, int]:
    port = free_udp_port()
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEYS["sl-1"].hex())
    (folder / "gateway.toml").write_text(TEXT.format(port=port) + more)
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


async def of_another_kind(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A meter that joins for a lamp is a meter: it is served, and told nothing of light."""
    config, port = config_in(folder, LIT)
    first = lamp("sl-1", folder)
    meter = lamp("sl-9", folder, schema=WATER_METER)
    told = Claim("sl-9", "lamp-9", "water_meter", KEYS["sl-9"], 0, "udp", 1_780_000_000)
    meter.sealed = claim.seal(told, gateway_key.load_or_make(folder / "state").public)
    async with running(config) as asked, talking(first, port), talking(meter, port):
        await online(asked, "sl-1")
        await asked("permit", seconds=60, by="x")
        found = await online(asked, "sl-1", "sl-9")
        (one,) = (await asked("permit-status"))["joined"]
        assert one["part_of"] == [] and len(one["left_out"]) == 1
        (wrong,) = found["control"]["misfits"]
        assert wrong["where"] == ["dimming[1]", "lamp_group[1]", "rule[1]"]
        assert [each["asset"] for each in found["control"]["awaited"]] == ["meter-1"]
        meter.tell(m.EV_MOTION)
        first.make(30, 245, 1000, 10, 12, 0)
        async with asyncio.timeout(LONG_S):
            while not (first.commands and first.configs):  # noqa: ASYNC110 - a node tells nobody
                await asyncio.sleep(0.02)
        assert [each[2] for each in first.commands] == [m.OP_SET_LEVEL], "by the rule alone"
    assert not meter.commands
    assert not any(m.CONFIG_PROFILE in values for _, values in meter.configs)
    assert "lamp-9 is of kind water_meter, not streetlight: left out of dimming[1]" in caplog.text
    doubts = list(claims.doubts(config))
    assert "awaited: meter-1, not joined yet (leak[1])" in doubts
    assert [each for each in doubts if each.startswith("lamp-9 is of kind water_meter")]


def test_a_node_of_another_kind_takes_no_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    play(of_another_kind, tmp_path, caplog)


async def by_rule(folder: Path) -> None:
    """What a rule holds already it holds of who joins, who gets this night's program as well."""
    config, port = config_in(folder, LIT)
    first, joins = lamp("sl-1", folder), lamp("sl-9", folder, "lamp-9")
    first.make(30, 245, 1000, 10, 12, 0)
    async with running(config) as asked, talking(first, port):
        async with asyncio.timeout(LONG_S):
            while not first.commands:  # noqa: ASYNC110 - a node tells nobody
                await asyncio.sleep(0.02)
        await asked("permit", seconds=60, by="x")
        async with talking(joins, port), asyncio.timeout(LONG_S):
            while not (joins.commands and joins.configs):  # noqa: ASYNC110 - a node tells nobody
                await asyncio.sleep(0.02)
    assert [each[2:] for each in joins.commands] == [each[2:] for each in first.commands]
    assert m.CONFIG_PROFILE in joins.configs[0][1]


def test_a_lamp_that_joins_is_held_by_the_rule_that_holds_the_others(tmp_path: Path) -> None:
    play(by_rule, tmp_path)
