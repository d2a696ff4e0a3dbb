"""`kerbline run` before a strict IoT Agent: real processes, a real mosquitto, outages and kills."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from kerbline.demo.stage import free_port
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.iota import IotAgent
from tests.gateway.test_cli import kerbline
from tests.scenarios.nursery import Doom
from tests.scenarios.outages import Nursery
from tests.scenarios.test_ngsi_ld_kills import NODE, Lamp

pytestmark = pytest.mark.skipif(
    program(BrokerKind.MOSQUITTO) is None, reason="there is no mosquitto here: apt-get install it"
)

KEY = "4jggokgpepnvsb2uv4s40d59ov"
NODES = 3
WITHIN_S = 300.0
QUIET_S = 1.5  # of a gateway that commits each 0.4 s and has nothing new
ENERGY = "lifetimePowerConsumption"  # in kWh: tells a record's number
CONFIG = """\
[gateway]
id = "gw-iota"
state_dir = "state"
[city]
id = "stad"
[store]
commit_readings = 12
commit_interval_s = 0.4
[[iota]]
name = "agent"
host = "127.0.0.1"
port = {port}
api_key_file = "iota.key"
command_ttl_s = 8.0
backoff_max_s = 0.3
"""


class There:
    """The agent with its client, whose session outlives the broker, and when which answer came."""

    def __init__(self, broker: Broker, provisioned: dict[str, Any]) -> None:
        self.agent = IotAgent()
        self.agent.post_services({"services": provisioned["services"]})
        self.agent.post_devices({"devices": provisioned["devices"]})
        self.answers: list[tuple[float, str, str]] = []
        self.subscribed = asyncio.Event()
        self._broker = broker
        self._client: aiomqtt.Client | None = None

    async def listen(self) -> None:
        """Take what comes, and again when the broker is back."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self._broker.port, identifier="iota", clean_session=False
                ) as client:
                    for topic in self.agent.subscriptions:
                        await client.subscribe(topic, qos=1)
                    self._client = client
                    self.subscribed.set()
                    async for message in client.messages:
                        self._take(message)
            await asyncio.sleep(0.1)

    async def ask(self, entity: str, name: str, value: object, *, retain: bool = False) -> float:
        """Write a command's attribute; when it was published."""
        topic, payload = self.agent.command(entity, name, value)
        assert self._client is not None
        at_s = time.monotonic()
        await self._client.publish(topic, payload, qos=1, retain=retain)
        return at_s

    def _take(self, message: aiomqtt.Message) -> None:
        assert isinstance(message.payload, bytes)
        topic = message.topic.value
        if topic.endswith("/cmdexe"):
            self.answers.append((time.monotonic(), topic.split("/")[3], message.payload.decode()))
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        arrived = now.replace("+00:00", "Z")
        self.agent.take(topic, message.payload, arrived, retained=message.retain)

    def numbers(self, lamp: Lamp) -> Counter[int]:
        """How often each record of a lamp came."""
        told = (each for each in self.agent.history if each.entity == urn(lamp))
        return Counter(round(1000 * each.value) for each in told if each.attribute == ENERGY)

    async def quiet(self) -> None:
        """Wait until nothing has come for a while."""
        seen = -1
        while seen != len(self.agent.history):
            seen = len(self.agent.history)
            await asyncio.sleep(QUIET_S)

    def newest(self, lamp: Lamp) -> int:
        """The record of which a lamp's state is."""
        energy: float = self.agent.entities[urn(lamp)].attributes[ENERGY]
        return round(1000 * energy)


def urn(lamp: Lamp) -> str:
    return f"urn:ngsi-ld:Streetlight:stad:of-{lamp.name.decode()}"


async def until(wanted: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not wanted():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.01)


class Scene:
    """A street of lamps, a gateway whose lives one begins and ends, and the agent."""

    def __init__(self, folder: Path) -> None:
        self.broker = Broker(BrokerKind.MOSQUITTO, folder / "broker", free_port())
        began_s = time.monotonic()
        self.lamps = [Lamp(n, began_s) for n in range(NODES)]
        self.nursery = Nursery(folder)
        self._folder = folder

    async def play(self, story: Callable[[Scene], Awaitable[None]]) -> None:
        await self.broker.start()
        self.servers = [await lamp.serve() for lamp in self.lamps]
        text = CONFIG.format(port=self.broker.port)
        secrets = {"iota.key": KEY}
        for lamp, server in zip(self.lamps, self.servers, strict=True):
            name = lamp.name.decode()
            secrets[f"{name}.key"] = lamp.key[1].hex()
            text += NODE.format(name=name, port=server.sockets[0].getsockname()[1])
        text += NODE.format(name="away", port=free_port())
        secrets["away.key"] = "77" * 16
        for name, secret in secrets.items():
            (self._folder / name).touch(mode=0o600)
            (self._folder / name).write_text(secret)
        config = self._folder / "gateway.toml"
        config.write_text(text)
        told = kerbline("city", "iota-provision", config, "--with-key")
        assert (told.returncode, told.stderr) == (0, "")
        self.there = There(self.broker, json.loads(told.stdout))
        tasks = [asyncio.create_task(self.there.listen())]
        await self.there.subscribed.wait()
        await self.nursery.open()
        tasks += [asyncio.create_task(lamp.report()) for lamp in self.lamps]
        self.reporting = tasks[1:]
        try:
            await story(self)
        finally:
            for task in tasks:
                task.cancel()
            await self.nursery.close()
            for server in self.servers:
                server.close()
            await self.broker.kill()

    async def online(self) -> None:
        """Each lamp has told something in this life."""
        before = len(self.there.agent.history)
        await until(lambda: len(self.there.agent.history) > before + 10 * NODES)


def test_outages_and_kills_lose_nothing_and_the_newest_stands(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        there = scene.there
        for _ in range(3):
            await scene.nursery.begin(Doom())
            await scene.online()
            await scene.broker.kill()
            await asyncio.sleep(3)
            await scene.broker.start()
            await scene.online()
            await scene.nursery.end(signal.SIGKILL, 0.3)
        for task in scene.reporting:
            task.cancel()
        await scene.nursery.begin(Doom())
        await until(
            lambda: all(set(lamp.made) <= there.numbers(lamp).keys() for lamp in scene.lamps)
        )
        # What a life was told and had not committed comes once more, from its node.
        await until(lambda: not any(lamp.records for lamp in scene.lamps))
        await there.quiet()
        assert await scene.nursery.end(signal.SIGTERM, 0.5) == 0
        device = there.agent.entities["urn:ngsi-ld:Device:stad:gw-iota"]
        await until(lambda: device.attributes["deviceState"] == "offline")

    asyncio.run(scene.play(story))
    there = scene.there
    assert there.agent.refused == []
    made = sum(len(lamp.made) for lamp in scene.lamps)
    came = sum(sum(there.numbers(lamp).values()) for lamp in scene.lamps)
    assert made >= 10 * NODES
    print(f"{made} made, {came} came")
    # A kill repeats what 8 commits of 12 hold, and what is late brings the newest along: each of
    # these is the same value under the same key.
    assert came <= made + 3 * (8 * 12 + 12)
    values: dict[tuple[str, str, str], Any] = {}
    for each in there.agent.history:
        if each.entity.startswith("urn:ngsi-ld:Streetlight:"):
            assert values.setdefault(each.key, each.value) == each.value
    assert all(there.newest(lamp) == max(lamp.made) for lamp in scene.lamps)


def test_a_command_reaches_its_lamp_and_is_confirmed_soon(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        there, lamp = scene.there, scene.lamps[0]
        await scene.nursery.begin(Doom())
        await scene.online()
        took_s = []
        for serial in range(1, 6):
            told = len(there.answers)
            at_s = await there.ask(urn(lamp), "set_level", {"level_pct": 40, "hold_s": serial})
            await until(lambda before=told: len(there.answers) > before)  # type: ignore[misc]
            took_s.append(there.answers[-1][0] - at_s)
            assert there.answers[-1][1:] == ("of-sl-0", '{"set_level":"OK"}')
            assert lamp.done[serial] == 1
        print(f"command to result: {statistics.median(took_s) * 1000:.0f} ms of {took_s}")

        told = len(there.answers)
        again = {"level_pct": 55, "hold_s": 77}
        for _ in range(2):
            await there.ask(urn(lamp), "set_level", again)
        await until(lambda: len(there.answers) > told)
        await asyncio.sleep(0.3)
        assert {answer for _, _, answer in there.answers[told:]} == {'{"set_level":"OK"}'}
        assert lamp.done[77] == 1

        refused = {"set_level": 140, "reboot": {"now": 1}}
        for name, value in refused.items():
            told = len(there.answers)
            await there.ask(urn(lamp), name, value)
            await until(lambda before=told: len(there.answers) > before)  # type: ignore[misc]
        attributes = there.agent.entities[urn(lamp)].attributes
        wanted = "ERROR: REJECTED: out_of_range: level_pct: 0 to 100"
        assert attributes["set_level_info"] == wanted
        assert attributes["reboot_info"] == "ERROR: REJECTED: unknown_argument: now"
        assert attributes["set_level_status"] == "OK"  # the agent's word for: there is an answer

        told = len(there.answers)
        await there.ask("urn:ngsi-ld:Streetlight:stad:of-away", "set_level", 10)
        await until(lambda: len(there.answers) > told)
        assert there.answers[-1][1:] == ("of-away", '{"set_level":"ERROR: EXPIRED"}')

    asyncio.run(scene.play(story))
    assert scene.there.agent.refused == []


def test_a_retained_command_never_runs_at_a_reconnection(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        there, lamp = scene.there, scene.lamps[0]
        order = {"level_pct": 40, "hold_s": 5}
        await there.ask(urn(lamp), "set_level", order, retain=True)
        await scene.nursery.begin(Doom())
        await scene.online()
        assert lamp.done[5] == 0
        assert there.answers == []
        await there.ask(urn(lamp), "set_level", {"level_pct": 41, "hold_s": 6}, retain=True)
        await until(lambda: len(there.answers) == 1)
        assert (lamp.done[5], lamp.done[6]) == (0, 1)

    asyncio.run(scene.play(story))


def test_an_agent_never_sees_the_key_in_what_a_gateway_says(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.nursery.begin(Doom())
        await scene.online()
        await scene.broker.kill()
        await asyncio.sleep(0.5)
        assert await scene.nursery.end(signal.SIGTERM, 0.1) == 0

    asyncio.run(scene.play(story))
    assert KEY not in (tmp_path / "gateway.log").read_text()
    told = kerbline("city", "iota-provision", tmp_path / "gateway.toml")
    assert KEY not in told.stdout + told.stderr
    assert "--with-key" in told.stderr
