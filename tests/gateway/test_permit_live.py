"""What joins or replaces is there at once: for the platform, the console, the night's light."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from kerbline.config import City, Commands, Config, NgsiLd, Node, Udp, load
from kerbline.control.endings import GONE, Endings
from kerbline.demo.stage import free_port
from kerbline.keys import KeyRing
from kerbline.keys.admission import Admission
from kerbline.keys.claim import Claim
from kerbline.local_socket import Declined
from kerbline.model import Key, Reading, Value
from kerbline.sim.ngsi_ld import Standin
from kerbwire import messages as m
from tests.gateway.ngsi_orders_scene import POWER, attribute
from tests.gateway.ngsi_orders_scene import ask as ask_http
from tests.gateway.pocket_node import DATAGRAM, PocketNode
from tests.gateway.test_permit import (
    KEY,
    LONG_S,
    VALUES,
    Asker,
    config_of,
    drained,
    joined_online,
    play,
    running,
    sealed_for,
    talking,
)
from tests.gateway.test_south_nodes import free_udp_port

FRESH = bytes(range(60, 76))


async def until_entity(platform: Standin, name: str, relationship: str, other: str) -> None:
    """An entity is there, related to another."""

    def there() -> bool:
        attribute = platform.entities.now.get(name, {}).get(relationship, {})
        return other in attribute.get("object", ())

    async with asyncio.timeout(LONG_S):
        while not there():  # noqa: ASYNC110 - the platform tells nobody
            await asyncio.sleep(0.02)


async def until_offline(platform: Standin, name: str) -> None:
    """A device is told to be away."""

    def away() -> bool:
        state = platform.entities.now.get(name, {}).get("deviceState", {})
        return bool(state.get("value") == "offline")

    async with asyncio.timeout(LONG_S):
        while not away():  # noqa: ASYNC110 - the platform tells nobody
            await asyncio.sleep(0.02)


async def seen_by_all(folder: Path) -> None:
    port = free_udp_port()
    platform = Standin()
    await platform.start()
    orders_at = free_port()
    orders = Commands(listen=f"127.0.0.1:{orders_at}", address=f"http://127.0.0.1:{orders_at}")
    config = config_of(
        folder,
        udp=Udp(f"127.0.0.1:{port}"),
        city=City("town"),
        brokers=(NgsiLd("city", platform.url, commands=orders),),
    )
    node = PocketNode("sl-9", KEY, framing=DATAGRAM)
    node.sealed = sealed_for(folder, "sl-9", "lamp-9")
    heir = PocketNode("sl-10", FRESH, framing=DATAGRAM, epoch=8)
    heir.sealed = sealed_for(folder, "sl-10", "lamp-9", FRESH)
    lamp, device = "urn:ngsi-ld:Streetlight:town:lamp-9", "urn:ngsi-ld:Device:town:sl-"
    async with running(config) as asked, talking(node, port):
        with pytest.raises(Declined, match="no such node here: sl-9; known: none"):
            await asked("service", node="sl-9", seconds=10)
        await asked("permit", seconds=60, by="x")
        await asked.until(joined_online, "permit-status")
        await until_entity(platform, f"{device}9", "controlledAsset", lamp)
        node.make(*VALUES)
        await drained(node)
        await until_entity(platform, lamp, "refDevice", f"{device}9")
        await opened(asked, node, "sl-9")
        before = len(node.commands)
        path = f"/ngsi-ld/v1/entities/{lamp}/attrs"
        given = {POWER: attribute("on")}
        status, _ = await ask_http("127.0.0.1", orders_at, "PATCH", path, given)
        assert status == 204, "what the platform orders comes there without a restart"
        assert [each[2] for each in node.commands[before:]] == [m.OP_SET_LEVEL]
        async with talking(heir, port):
            await asked.until(lambda found: len(found["joined"]) == 2, "permit-status")
            await asked("replace", old="sl-9", new="sl-10")
            await until_entity(platform, lamp, "refDevice", f"{device}10")
            await asked.until(
                lambda found: [e["node"] for e in found["nodes"] if e["online"]] == ["sl-10"],
                "status",
            )
            await opened(asked, heir, "lamp-9")
            await until_offline(platform, f"{device}9")
        with pytest.raises(Declined, match="known: sl-10"):
            await asked("service", node="sl-9", seconds=10)
        await asked("claims-remove", node="sl-10")
        platform.entities.now.pop(f"{device}9")
        await until_offline(platform, f"{device}10")
    async with running(config):  # who had been told before the end, or had not, is told anew
        await until_offline(platform, f"{device}9")
    await platform.stop()


async def opened(asked: Asker, node: PocketNode, name: str) -> None:
    """Its console may be had."""
    before = len(node.commands)
    told = await asked("service", node=name, seconds=10, who="x")
    assert (told["node"], told["state"]) == (node.name.decode(), "OK"), told
    assert len(node.commands) == before + 1


def test_who_joins_or_replaces_is_seen_by_platform_and_console_at_once(tmp_path: Path) -> None:
    play(seen_by_all, tmp_path)


LIT = """[gateway]
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
[light]
position = [52.4, 4.9]
time_zone = "Europe/Amsterdam"
[[lamp_group]]
name = "street"
lamps = ["lamp-1"]
program = "evening"
[[control_program]]
name = "evening"
fixed_time = [{{start = "23:00", level_pct = 50}}]
"""


async def lit(folder: Path, config: Config, port: int) -> None:
    """A lamp's new node gets what its old one kept of the night, before the night is over."""
    new = PocketNode("sl-9", FRESH, framing=DATAGRAM, epoch=8)
    async with running(config) as asked, talking(new, port):
        await asked("claims-add", sealed=sealed_for(folder, "sl-9", "lamp-1", FRESH).hex())
        await asyncio.sleep(0.2)  # the night is compiled at the start
        told = await asked("replace", old="sl-1", new="sl-9")
        assert told["serves"] and not told["unserved"]
        async with asyncio.timeout(LONG_S):
            while not new.configs:  # noqa: ASYNC110 - a node tells nobody
                await asyncio.sleep(0.02)
    (_, values), *_ = new.configs
    assert m.CONFIG_PROFILE in values


def test_a_lamps_new_node_gets_its_program_at_once(tmp_path: Path) -> None:
    port = free_udp_port()
    (tmp_path / "sl-1.key").write_text(KEY.hex())
    (tmp_path / "sl-1.key").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(LIT.format(port=port))
    play(lit, tmp_path, load(tmp_path / "gateway.toml"), port)


def claim(node: str, asset: str, key: bytes, link: str = "udp") -> Claim:
    return Claim(node, asset, "streetlight", key, 0, link, 1_780_000_000)


def test_a_node_whose_key_is_lost_here_keeps_no_other_in_the_dark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_udp_port()
    config = config_of(tmp_path, udp=Udp(f"127.0.0.1:{port}"))
    admission = Admission(config, KeyRing(tmp_path / "state" / "keys"))
    admission.admit(claim("sl-1", "lamp-1", KEY), None, 1)
    admission.admit(claim("sl-2", "lamp-2", FRESH), None, 1)
    (tmp_path / "state" / "keys" / "sl-1.json").write_bytes(b"\0" * 100)

    async def story() -> None:
        node = PocketNode("sl-1", KEY, framing=DATAGRAM)
        other = PocketNode("sl-2", FRESH, framing=DATAGRAM)
        async with running(config) as asked, talking(node, port), talking(other, port):
            assert [each["node"] for each in (await asked("status"))["nodes"]] == ["sl-2"]
            other.make(*VALUES)
            await drained(other)
            added = await asked("claims-add", sealed=sealed_for(tmp_path, "sl-1", "lamp-1").hex())
            assert not added["unserved"]
            node.make(*VALUES)
            await drained(node)

    play(story)
    assert "node sl-1 joined, but is not served: node sl-1: its key is lost here" in caplog.text


async def no_line(folder: Path) -> None:
    """A node that waited for its line, which the config has no more: told, not a crash."""
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY.hex())
    own = Node("sl-1", "lamp-1", "streetlight", key_file, "socket://127.0.0.1:9")
    with_udp = config_of(folder, own, udp=Udp("127.0.0.1:1"))
    admission = Admission(with_udp, KeyRing(folder / "state" / "keys"))
    assert admission.admit(claim("sl-9", "lamp-1", FRESH), None, 1).waits
    config = config_of(folder, own)
    async with running(config) as asked:
        told = await asked("replace", old="sl-1", new="sl-9")
        assert told["serves"] and "no [udp] any more" in told["unserved"]
    (trouble,) = [
        each
        for each in Admission(config, KeyRing(folder / "state" / "keys")).troubles()
        if "sl-9" in each and "[udp]" in each
    ]
    assert "claims remove CONFIG sl-9" in trouble


def test_a_node_whose_line_is_gone_is_told_of(tmp_path: Path) -> None:
    play(no_line, tmp_path)


async def two_at_once(folder: Path) -> None:
    config = config_of(folder, udp=Udp(f"127.0.0.1:{free_udp_port()}"))
    async with running(config) as asked:
        answers: list[Any] = await asyncio.gather(
            *(asked("permit", seconds=60, by=f"p{n}") for n in range(4)), return_exceptions=True
        )
        (got,) = [each for each in answers if isinstance(each, dict)]
        declined = [str(each) for each in answers if isinstance(each, Declined)]
        assert len(declined) == 3
        assert all(f"a window of {got['by']} is open" in each for each in declined)
        await asked("permit-close", window=got["window"] - 1)
        assert (await asked("permit-status"))["left_ms"], "another's window is not closed with ours"
        await asked("permit-close", window=got["window"])
        other = await asked("permit", seconds=60, by="other")
        assert other["window"] != got["window"] and other["left_ms"]


def test_of_two_windows_at_once_one_is_opened(tmp_path: Path) -> None:
    play(two_at_once, tmp_path)


def test_what_was_open_of_a_node_that_went_is_over() -> None:
    endings = Endings({"sl-1": "lamp-1", "sl-2": "lamp-2"}, {})
    for name, asset in (("sl-1", "lamp-1"), ("sl-9", "lamp-1")):
        endings.take(event(name, asset, 1_000))
    endings.serve({"sl-9": "lamp-1", "sl-2": "lamp-2"})
    assert [(each.node, each.of, each.why) for each in endings.gone(2_000)] == [
        ("sl-1", "brown_out", GONE)
    ]
    assert not list(endings.gone(2_000))
    endings.take(event("sl-9", "lamp-1", 3_000))
    assert endings.saved("sl-9")["open"] == {"brown_out": 3_000}


def event(node: str, asset: str, at_ms: int) -> Reading:
    values: dict[str, Value] = {"event": "brown_out", "value": 1}
    return Reading(Key(node, 7, 1), asset, "event", at_ms, 50, values)


async def renumbered(folder: Path) -> None:
    """Nodes went while the gateway was down, so that others have their sessions' ids now."""
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    keys = [bytes([n] * 16) for n in range(1, 4)]
    nodes = [PocketNode(f"sl-{n}", key, framing=DATAGRAM) for n, key in enumerate(keys)]
    admission = Admission(config, KeyRing(folder / "state" / "keys"))
    for n, key in enumerate(keys):
        admission.admit(claim(f"sl-{n}", f"lamp-{n}", key), None, n)
    async with AsyncExitStack() as there:
        for node in nodes:
            node.make(*VALUES)
            await there.enter_async_context(talking(node, port))
        async with running(config):
            for node in nodes:
                await drained(node)
        Admission(config, KeyRing(folder / "state" / "keys")).remove("sl-0", 1_790_000_000)
        async with running(config), asyncio.timeout(LONG_S):
            for node in nodes[:0:-1]:
                node.make(*VALUES)
                await node.drained.wait()


def test_a_session_whose_number_is_another_nodes_is_renewed_soon(tmp_path: Path) -> None:
    play(renumbered, tmp_path)


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
