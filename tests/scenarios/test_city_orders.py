"""The city's order, all the way: a broker, the gateway as a process, a node's real firmware.

By PATCH through the broker to our endpoint, and by a notification over MQTT; each to its lamp and
back; how soon is a benchmark's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kerbline.clock import StreetRow, StreetTable
from kerbline.demo.stage import free_port
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.port import Message
from kerbline.sim import children
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.lines import open_line
from kerbline.sim.ngsi_ld_forward import Forwarder
from kerbline.sim.nodes import Node, interpreter, write_private
from kerbline.sim.street import Street, Ways, write
from tests.gateway.ngsi_orders_scene import ask, moment
from tests.scenarios.outages import environment

TRIES = 5
REPORT_S = 1
LONG_S = 60.0
LAMP = "urn:ngsi-ld:Streetlight:stad:lamp-1"
AT = f"/ngsi-ld/v1/entities/{LAMP}"
LEVEL = "illuminanceLevel"
MORE = """
[city]
id = "stad"
[[ngsi_ld]]
name = "platform"
url = "{url}"
[ngsi_ld.commands]
"""
BY_HTTP = """\
listen = "127.0.0.1:{port}"
address = "http://127.0.0.1:{port}"
access_token_file = "city.token"
"""
BY_MQTT = """\
[ngsi_ld.commands.mqtt]
host = "127.0.0.1"
port = {port}
topic = "city/orders"
"""


@dataclass
class Rig:
    """What runs."""

    broker: Forwarder
    node: Node
    gateway: children.Child
    folder: Path

    async def write(self, value: object, **beside: object) -> tuple[int, Any]:
        """An application of the city writes a lamp's level at the broker."""
        host, port = self.broker.url.removeprefix("http://").split(":")
        body = {"type": "Property", "value": value, **beside}
        return await ask(host, int(port), "PATCH", f"{AT}/attrs/{LEVEL}", body)

    def ends(self) -> list[str]:
        """How orders ended, as the broker was told."""
        operations = [
            each
            for arrival in self.broker.arrivals
            if arrival.status in (201, 204) and isinstance(arrival.request.json, list)
            for each in arrival.request.json
            if each.get("type") == "DeviceOperation"
        ]
        return [each["description"]["value"] for each in operations if "result" in each]

    def reports(self) -> int:
        """How often the broker was told of the lamp's level."""
        return sum(
            arrival.status in (201, 204)
            and isinstance(arrival.request.json, list)
            and any(each["id"] == LAMP and LEVEL in each for each in arrival.request.json)
            for arrival in self.broker.arrivals
        )

    def lamp(self) -> float | None:
        """What the lamp's own reports say of its level."""
        history = self.broker.entities.history.get(LAMP, {}).get(LEVEL, [])
        return history[-1]["value"] if history else None


async def until(wanted: Callable[[], bool], within_s: float = LONG_S) -> None:
    async with asyncio.timeout(within_s):
        while not wanted():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.01)


@asynccontextmanager
async def rig(folder: Path, way: str, port: int, broker: Forwarder) -> AsyncIterator[Rig]:
    await broker.start()
    line = open_line(1, 0.0)
    street = Street(
        StreetTable((StreetRow(0, 0, 1.0),)), lamps=1, meters=0, air=0, report_s=REPORT_S
    )
    ways = Ways({"sl-0001": (line.gateway, line.node)}, free_port())
    config = write(folder / "street", street, ways)
    more = MORE.format(url=broker.url) + way.format(port=port)
    kept = [part for part in config.read_text().split("\n\n") if part]
    config.write_text("\n\n".join(kept) + more)
    write_private(config.with_name("city.token"), b"of-the-city")
    node = Node(folder / "street" / "nodes" / "sl-0001", interpreter())
    node.power_on()
    gateway = await children.start(
        [sys.executable, "-m", "kerbline", "run", config], folder / "gateway.log", environment()
    )
    found = Rig(broker, node, gateway, folder)
    try:
        await until(lambda: bool(broker.registrations or broker.subscriptions))
        await until(lambda: found.lamp() is not None or LEVEL in broker.entities.now.get(LAMP, {}))
        yield found
    finally:
        await found.gateway.kill()
        await node.cut_power()
        line.close()
        await broker.stop()


def patient() -> Forwarder:
    """A broker that waits for as long as an answer may take."""
    broker = Forwarder()
    broker.wait_s = LONG_S
    return broker


def test_a_patch_reaches_the_lamp_and_is_confirmed(tmp_path: Path) -> None:
    async def story() -> None:
        async with rig(tmp_path, BY_HTTP + "answer_s = 50.0\n", free_port(), patient()) as found:
            for number in range(TRIES):
                level = (11 + 7 * number) / 100
                status, told = await found.write(level)
                assert status == 204, told
                await until(lambda: found.lamp() == level)  # noqa: B023
            assert (await found.write(2))[1]["title"] == "out_of_range"
            await found.node.cut_power()
            status, told = await found.write(0.9, expiresAt=moment(2))
            assert (status, told["title"]) in [(504, "expired"), (502, "expired")], told
            await until(lambda: len(found.ends()) == TRIES + 1)
            assert sum(each.startswith("OK") for each in found.ends()) == TRIES
            await _without_commands(found)
            assert found.broker.conflicts == []

    asyncio.run(story())


async def _without_commands(found: Rig) -> None:
    """A config that lets the city order nothing any more takes our registrations away."""
    await found.gateway.kill()
    config = found.folder / "street" / "gateway.toml"
    config.write_text(config.read_text().partition("[ngsi_ld.commands]")[0])
    found.gateway = await children.start(
        [sys.executable, "-m", "kerbline", "run", config], found.folder / "late.log", environment()
    )
    await until(lambda: not found.broker.registrations)
    asked = len(found.broker.forwarded)
    await found.write(0.5)
    assert len(found.broker.forwarded) == asked  # of nobody


@asynccontextmanager
async def notified(folder: Path) -> AsyncIterator[Rig]:
    """The same with a broker that notifies over a mosquitto."""
    async with AsyncExitStack() as stack:
        (folder / "mqtt").mkdir()
        mqtt = Broker(BrokerKind.MOSQUITTO, folder / "mqtt", free_port())
        await mqtt.start()
        stack.push_async_callback(mqtt.stop)
        post = MqttPort(BrokerAddress("127.0.0.1", mqtt.port, client_id="city"), [])
        await post.connect()
        stack.push_async_callback(post.close)

        async def publish(uri: str, message: bytes) -> None:
            assert uri == f"mqtt://127.0.0.1:{mqtt.port}/city/orders"
            await post.publish(Message("city/orders", message))

        yield await stack.enter_async_context(rig(folder, BY_MQTT, mqtt.port, Forwarder(publish)))


@pytest.mark.skipif(program(BrokerKind.MOSQUITTO) is None, reason="there is no mosquitto here")
def test_a_notification_reaches_the_lamp_and_is_confirmed(tmp_path: Path) -> None:
    async def story() -> None:
        async with notified(tmp_path) as found:
            for number in range(TRIES):
                level = (80 - 7 * number) / 100
                assert (await found.write(level))[0] == 204
                await until(lambda: len(found.ends()) == number + 1)  # noqa: B023
                assert found.ends()[-1].startswith("OK"), found.ends()
            await found.write("dim")
            await until(lambda: len(found.ends()) == TRIES + 1)
            assert found.ends()[-1].startswith("REJECTED")
            before = found.reports()
            await until(lambda: found.reports() > before + 3)  # they come back, and are no orders
            assert len(found.ends()) == TRIES + 1

    asyncio.run(story())
