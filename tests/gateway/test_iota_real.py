"""`kerbline run` before FIWARE's own library for IoT Agents, which tells a broker in NGSI-LD.

Only where that library is: it is Node.js, and nothing of ours needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from kerbline.demo.stage import free_port
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.ngsi_ld import UPSERT, Answer, Fault, Request, Standin
from kerbline.sim.ngsi_ld_forward import REGISTRATIONS
from kerbline.sim.ngsi_ld_state import check_entity
from tests.gateway.test_cli import kerbline
from tests.gateway.test_iota_agent import CONFIG, ENERGY, KEY, until, urn
from tests.scenarios.nursery import Doom
from tests.scenarios.outages import Nursery
from tests.scenarios.test_ngsi_ld_kills import NODE, Lamp
from tools.trees import ROOT

PACKAGES = "iotagent-node-lib@4.14.0 mqtt@5.16.0"
FOLDER = ROOT / "build" / "iotagent"
INSTALL = f"npm install --ignore-scripts --prefix {FOLDER.relative_to(ROOT)} {PACKAGES}"
NODE_JS = shutil.which("node")
SERVICE = {"fiware-service": "stad", "fiware-servicepath": "/"}
WAITED = 5  # records of each lamp that come as arrays


def absent() -> str:
    """What is missing here, for these tests."""
    if NODE_JS is None:
        return "there is no node here: apt-get install nodejs npm"
    for package in PACKAGES.split():
        name, _, version = package.partition("@")
        made = FOLDER / "node_modules" / name / "package.json"
        if not made.exists() or json.loads(made.read_text())["version"] != version:
            return f"no FIWARE library for agents here: {INSTALL}"
    if program(BrokerKind.MOSQUITTO) is None:
        return "there is no mosquitto here: apt-get install it"
    return ""


pytestmark = pytest.mark.skipif(bool(absent()), reason=absent() or "-")


class City(Standin):
    """The agent's context broker: strict in what an entity is; an array may have one repeatedly."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[dict[str, Any]] = []

    async def judge(self, request: Request, fault: Fault) -> Answer:
        path = request.path.rstrip("/")
        if path == REGISTRATIONS:
            self.registered.append(request.json)
            return Answer(201, headers={"location": f"{path}/{len(self.registered)}"})
        assert (path, request.query) == (UPSERT, {"options": ["update"]})
        for entity in request.json:
            check_entity(entity)
            self.entities.upsert(entity, update=True)
        return Answer(204)

    def numbers(self, lamp: Lamp) -> Counter[int]:
        """How often each record of a lamp came."""
        told = self.entities.history.get(urn(lamp), {}).get(ENERGY, ())
        return Counter(round(1000 * each["value"]) for each in told)

    def is_newest(self, lamp: Lamp) -> bool:
        """Does the newest record of a lamp stand, whatever came last?"""
        stands = self.entities.now[urn(lamp)][ENERGY]
        history = self.entities.history[urn(lamp)][ENERGY]
        return bool(stands["observedAt"] == max(each["observedAt"] for each in history))


class Agent:
    """A process of the library's, nothing provisioned."""

    def __init__(self, mqtt: int, city: City) -> None:
        self.said: list[dict[str, Any]] = []
        self._port = free_port()
        port = int(city.url.rpartition(":")[2])
        told = {"mqtt": mqtt, "city": port, "port": self._port, "service": "stad"}
        self._given = json.dumps(told)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it is subscribed."""
        script = FOLDER / "agent.js"  # beside its packages, where Node.js looks for them
        script.write_text(Path(__file__).with_name("iota_agent.js").read_text())
        assert NODE_JS is not None
        self._process = await asyncio.create_subprocess_exec(
            NODE_JS, script, self._given, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read())
        await until(lambda: {"subscribed": True} in self.said)

    async def stop(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def ask(self, method: str, path: str, body: object) -> int:
        """Its HTTP's status; to `/ngsi-ld/` as a broker forwards what somebody writes there."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as http:
            headers = SERVICE | {"content-type": "application/json"}
            answer = await http.request(
                method, path, content=json.dumps(body), headers=headers, timeout=60
            )
        return answer.status_code

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What it could not do with a message."""
        return [each for each in self.said if each.get("error")]

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"{"):
                self.said.append(json.loads(line))


class Line:
    """The gateway's way to the broker, which the agent does not need; closed at first."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:  # the broker is away
            writer.close()
            return
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_pass_on(reader, there[1]))
            ways.create_task(_pass_on(there[0], writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while told := await reader.read(65_536):
            writer.write(told)
    writer.close()


class Scene:
    """A street, a gateway, the agent and the city's broker."""

    def __init__(self, folder: Path) -> None:
        self.mqtt = Broker(BrokerKind.MOSQUITTO, folder / "broker", free_port())
        self.city = City()
        self.nursery = Nursery(folder)
        self._config = folder / "gateway.toml"

    async def play(self, story: Callable[[Scene], Awaitable[None]]) -> None:
        await self.mqtt.start()
        await self.city.start()
        self.line = Line(self.mqtt.port)
        began_s = asyncio.get_running_loop().time()
        self.lamps = [Lamp(number, began_s) for number in range(2)]
        servers = [await lamp.serve() for lamp in self.lamps]
        text = CONFIG.format(port=self.line.port)
        for lamp, server in zip(self.lamps, servers, strict=True):
            port = server.sockets[0].getsockname()[1]
            text += NODE.format(name=lamp.name.decode(), port=port)
            self._hide(f"{lamp.name.decode()}.key", lamp.key[1].hex())
        text += NODE.format(name="away", port=free_port())
        self._hide("away.key", "77" * 16)
        self._hide("iota.key", KEY)
        self._config.write_text(text)
        self.agent = Agent(self.mqtt.port, self.city)
        await self.agent.start()
        await self.nursery.open()
        reporting = [asyncio.create_task(lamp.report()) for lamp in self.lamps]
        try:
            await story(self)
        finally:
            for task in reporting:
                task.cancel()
            await self.nursery.close()
            await self.line.close()
            await self.agent.stop()
            for server in servers:
                server.close()
            await self.city.stop()
            await self.mqtt.kill()

    async def provision(self) -> None:
        """Tell the agent what the command prints."""
        told = kerbline("city", "iota-provision", self._config, "--with-key")
        body = json.loads(told.stdout)
        for what in ("services", "devices"):
            assert await self.agent.ask("POST", f"/iot/{what}", {what: body[what]}) == 201

    async def result(self, entity: str, word: str, value: object) -> object:
        """What stands at the broker after somebody wrote this there."""
        before = len(self.city.entities.history.get(entity, {}).get(f"{word}_info", ()))
        body = {"type": "Property", "value": value}
        path = f"/ngsi-ld/v1/entities/{entity}/attrs/{word}"
        assert await self.agent.ask("PATCH", path, body) == 204
        history = self.city.entities.history
        await until(lambda: len(history.get(entity, {}).get(f"{word}_info", ())) > before)
        assert history[entity][f"{word}_status"][-1]["value"] == "OK"
        return history[entity][f"{word}_info"][-1]["value"]

    def _hide(self, name: str, secret: str) -> None:
        path = self._config.parent / name
        path.touch(mode=0o600)
        path.write_text(secret)


def test_the_library_makes_of_a_street_what_the_models_say(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.provision()
        await scene.nursery.begin(Doom())
        lamp = scene.lamps[0]
        await until(lambda: all(len(each.acked) >= WAITED for each in scene.lamps))
        await scene.line.open()
        wanted = set(range(1, 2 * WAITED))
        await until(lambda: all(wanted <= set(scene.city.numbers(each)) for each in scene.lamps))
        assert max(each.get("measures", 0) for each in scene.agent.said) > 1
        await until(lambda: all(scene.city.is_newest(each) for each in scene.lamps))
        registered = [each["information"][0]["entities"] for each in scene.city.registered]
        assert [{"type": "Streetlight", "id": urn(lamp)}] in registered

        assert await scene.result(urn(lamp), "set_level", {"level_pct": 40, "hold_s": 9}) == "OK"
        assert lamp.done[9] == 1
        refused = await scene.result(urn(lamp), "set_level", 140)
        assert refused == "ERROR: REJECTED: out_of_range: level_pct: 0 to 100"
        away = "urn:ngsi-ld:Streetlight:stad:of-away"
        assert await scene.result(away, "set_level", 10) == "ERROR: EXPIRED"

    asyncio.run(scene.play(story))
    assert scene.agent.errors == []
    told = scene.city.entities.now[urn(scene.lamps[0])]
    assert told["type"] == "Streetlight"
    assert told["powerConsumption"] == {
        "type": "Property",
        "value": 24.5,
        "unitCode": "WTT",
        "observedAt": told[ENERGY]["observedAt"],
    }
    assert told["illuminanceLevel"]["value"] == 0.3
    assert told["refDevice"]["object"] == ["urn:ngsi-ld:Device:stad:sl-0"]
    gateway = scene.city.entities.now["urn:ngsi-ld:Device:stad:gw-iota"]
    assert gateway["deviceState"]["value"] == "online"


def test_nothing_is_lost_to_an_agent_that_comes_back_after_the_gateway(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.provision()
        await scene.line.open()
        await scene.nursery.begin(Doom())
        await until(lambda: all(scene.city.numbers(each) for each in scene.lamps))
        await scene.mqtt.kill()
        await asyncio.sleep(2)
        await scene.mqtt.start()  # the gateway is back in a second, the agent in five
        last = max(max(lamp.made) for lamp in scene.lamps)
        wanted = set(range(1, last + 8))
        await until(lambda: all(wanted <= set(scene.city.numbers(each)) for each in scene.lamps))

    asyncio.run(scene.play(story))
    assert scene.agent.errors == []


def test_the_library_takes_nothing_that_was_not_provisioned(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.line.open()
        await scene.nursery.begin(Doom())
        await until(lambda: len(scene.agent.errors) > 3)

    asyncio.run(scene.play(story))
    assert scene.city.entities.now == {}
    assert all("GROUP_NOT_FOUND" in each["error"] for each in scene.agent.errors)
