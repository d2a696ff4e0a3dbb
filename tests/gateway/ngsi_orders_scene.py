"""A broker of the city that orders, a gateway's way of a command, and a lamp that does as told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h11

from kerbline.agent.city import sinks
from kerbline.agent.city.orders import CityOrders, made
from kerbline.agent.light.loops import Loops
from kerbline.agent.orders import Orders
from kerbline.assets import Asset
from kerbline.assets import registry as assets
from kerbline.clock import Clock
from kerbline.config import Config, load
from kerbline.control import program
from kerbline.counters import Counters
from kerbline.demo.stage import free_port
from kerbline.model import Command, Key, Reading
from kerbline.north.sink import Sink
from kerbline.sim.ngsi_ld_forward import Forwarder
from kerbline.south.arrivals import Answered
from kerbline.store import GroupCommit, GroupPolicy, Store

LAMP = "urn:ngsi-ld:Streetlight:stad:lamp-1"
OTHER = "urn:ngsi-ld:Streetlight:stad:lamp-2"
LEVEL, POWER = "illuminanceLevel", "powerState"
LONG_S = 60.0
TOKEN = "a-token-of-ours"
CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "stad"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "socket://127.0.0.1:1"
[[node]]
id = "sl-2"
asset = "lamp-2"
kind = "streetlight"
key_file = "node.key"
port = "socket://127.0.0.1:2"
[[node]]
id = "wm-1"
asset = "meter-1"
kind = "water_meter"
key_file = "node.key"
port = "socket://127.0.0.1:3"
[[ngsi_ld]]
name = "platform"
url = "{url}"
backoff_max_s = 0.3
timeout_s = 5.0
[ngsi_ld.commands]
{commands}
"""
BY_HTTP = """\
listen = "127.0.0.1:{port}"
address = "http://127.0.0.1:{port}"
access_token_file = "city.token"
answer_s = 50.0
"""
HASTY = BY_HTTP.replace("50.0", "2.0")


class Street:
    """Lamps behind nodes; `deaf` ones are sent to and never answer."""

    def __init__(self) -> None:
        self.there = True
        self.deaf = False
        self.answer = ""  # why a lamp refuses, empty where it obeys
        self.answers_of: dict[str, str] = {}  # of single ones
        self.never = ""
        self.done: list[Command] = []
        self.answers: asyncio.Queue[Answered] = asyncio.Queue()

    def reachable(self, asset: str) -> bool:
        """Whether the node is there."""
        del asset
        return self.there

    def refusal(self, command: Command) -> str:
        """Why it never will."""
        del command
        return self.never

    def send(self, command: Command) -> bool:
        """Carry it out."""
        self.done.append(command)
        if not self.deaf:
            self.answer_to(command)
        return True

    def answer_to(self, command: Command) -> None:
        """What the lamp says to it."""
        answer = self.answers_of.get(command.asset, self.answer)
        self.answers.put_nowait(Answered(command.id, command.asset, answer))


@dataclass
class Life:
    """One life of the gateway, as far as an order has to do with it."""

    config: Config
    store: Store
    clock: Clock = field(default_factory=Clock)
    counters: Counters = field(default_factory=Counters)
    street: Street = field(default_factory=Street)
    number: int = 0
    listed: tuple[Asset, ...] = ()

    def __post_init__(self) -> None:
        self.group = GroupCommit(
            self.store, GroupPolicy(100, 0.2), self.clock.utc_ms, self.config.gateway.id
        )
        loops = Loops(program.Plan(), self.clock, program.State(), self.group)
        kinds = {node.asset: node.kind for node in self.config.nodes}
        self.orders = Orders(
            kinds, self.store, self.group, self.street, loops, self.clock, self.counters
        )
        self.registry = registry = assets.empty(self.config)
        registry.take(self.listed)
        north = sinks.made(self.config, self.store, self.group, self.clock, self.counters, registry)
        self.sinks: tuple[Sink, ...] = north.sinks
        self.city: list[CityOrders] = made(
            self.config,
            registry,
            north.sinks,
            self.orders,
            self.store,
            self.group,
            self.clock,
            self.counters,
        )
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Begin."""
        await self.orders.resume([], {each.source: each for each in self.city})
        running = [each for city in self.city for each in city.running()]
        running += [sink.run() for sink in self.sinks]
        running += [self.orders.retry(), self.orders.enter()]
        running += [self.group.run(), self._take(), self._confirm()]
        self._tasks = [asyncio.create_task(each) for each in running]

    async def _confirm(self) -> None:
        while True:
            committed = await self.group.committed()
            for sink in self.sinks:
                sink.log_grew(committed)

    async def _take(self) -> None:
        while True:
            await self.orders.answered(await self.street.answers.get())

    async def report(self, asset: str, level: int) -> Reading:
        """A lamp reports."""
        self.number += 1
        values = {"level_pct": level, "power_w": 20.5, "status": 0, "energy_wh": self.number}
        reading = Reading(
            Key(f"sl-{asset[-1]}", 1, self.number),
            asset,
            "streetlight",
            self.clock.utc_ms(),
            0,
            values,
        )
        for city in self.city:
            city.known.offer(reading)
        for sink in self.sinks:
            sink.offer(reading)
        await self.group.put(reading)
        return reading

    async def end(self) -> None:
        """End as a kill does: nothing is said."""
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for sink in self.sinks:
            await sink.close()
        await self.group.close()


@dataclass
class Scene:
    """A test's broker and the gateway's lives on one store."""

    folder: Path
    commands: str = BY_HTTP
    broker: Forwarder = field(default_factory=Forwarder)
    port: int = field(default_factory=free_port)
    ways: int = 2  # registrations that are to come
    listed: tuple[Asset, ...] = ()
    lives: list[Life] = field(default_factory=list)

    @property
    def life(self) -> Life:
        """The present one."""
        return self.lives[-1]

    async def start(self, change: Callable[[Config], Config] = lambda config: config) -> Life:
        """The gateway begins, and the broker knows of it."""
        for name in ("node.key", "city.token"):
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text("0" * 32 if name == "node.key" else TOKEN)
        commands = self.commands.format(port=self.port)
        path = self.folder / "gateway.toml"
        path.write_text(CONFIG.format(url=self.broker.url, commands=commands))
        config = change(load(path))
        config.gateway.state_dir.mkdir(exist_ok=True)
        self.lives.append(
            Life(config, Store.open(config.gateway.state_dir / "s.db"), listed=self.listed)
        )
        self.broker.wait_s = LONG_S
        await self.life.start()
        return self.life

    async def known(self) -> None:
        """The broker knows the way to both lamps, and who asks is heard."""
        kept = self.broker.registrations, self.broker.subscriptions
        await self.until(lambda: len(kept[0]) >= self.ways or bool(kept[1]))

    async def kill(self) -> None:
        """The present life ends."""
        await self.life.end()

    async def until(self, wanted: Callable[[], bool], within_s: float = LONG_S) -> None:
        """Wait for it."""
        async with asyncio.timeout(within_s):
            while not wanted():  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.01)

    async def city(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """What an application of the city does at the broker."""
        host, port = self.broker.url.removeprefix("http://").split(":")
        return await ask(host, int(port), method, path, body, **headers)

    async def here(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """What a broker asks of our endpoint, with its token."""
        given = {"authorization": f"Bearer {TOKEN}", **headers}
        return await ask("127.0.0.1", self.port, method, path, body, **given)

    def states(self, entity: str = "") -> list[str]:
        """Of all orders what the broker was told, in its order."""
        return [
            each["description"]["value"]
            for arrival in self.broker.arrivals
            if arrival.status in (201, 204) and isinstance(arrival.request.json, list)
            for each in arrival.request.json
            if each.get("type") == "DeviceOperation" and entity in each["id"]
        ]


async def ask(
    host: str, port: int, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    """One HTTP request; its status, and its body as JSON."""
    wire = h11.Connection(h11.CLIENT)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        text = b"" if body is None else text
        given = {"host": host, **{name.replace("_", "-"): each for name, each in headers.items()}}
        if body is not None:
            given = {"content-type": "application/json", **given, "content-length": str(len(text))}
        head = h11.Request(method=method, target=path, headers=[*given.items()])
        said = (wire.send(head) or b"") + ((wire.send(h11.Data(text)) or b"") if text else b"")
        writer.write(said + (wire.send(h11.EndOfMessage()) or b""))
        status, answer = 0, b""
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                wire.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
            else:
                return status, json.loads(answer) if answer else None
    finally:
        writer.close()


@asynccontextmanager
async def opened(scene: Scene) -> AsyncIterator[Scene]:
    """The scene's broker runs."""
    await scene.broker.start()
    try:
        yield scene
    finally:
        for life in scene.lives[-1:]:
            await life.end()
        await scene.broker.stop()


def play(scene: Scene, story: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Run a story, in real time."""

    async def whole() -> None:
        async with opened(scene):
            await story(scene)

    asyncio.run(whole())
    return scene


def moment(ahead_s: float) -> str:
    """So long from now, as a broker writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead_s))


def attribute(value: object, **beside: object) -> Mapping[str, object]:
    """A Property."""
    return {"type": "Property", "value": value, **beside}


__all__ = ["LAMP", "OTHER", "Scene", "ask", "attribute", "play", "replace", "time"]
