"""A gateway that starts on a disk which another program has filled; prints what happened.

Usage: full_disk_start.py FOLDER BROKER-FOLDER; the first is a file system of a few megabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from kerbline import agent
from kerbline.config import Config, Gateway, Mqtt, Node, Store
from kerbline.demo.stage import free_port
from kerbline.model import Gap
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.store import Store as Log
from tests.gateway.full_disk import fill
from tests.gateway.pocket_node import PocketNode, serve_tcp
from tests.gateway.samples import numbers, stored

KEY = bytes(range(16))
GATEWAY = "gw-1"


class City:
    """What a subscriber hears; it can order."""

    def __init__(self, port: int) -> None:
        self.readings: set[int] = set()
        self.results: list[dict[str, Any]] = []
        self.lives = 0  # of the gateway
        self.subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2, "city")
        self._client.on_connect = lambda client, *_: client.subscribe("kerbline/#", 1)
        self._client.on_subscribe = self._is_there
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def order(self, name: str) -> None:
        """Raise the lamp."""
        body = {
            "id": name,
            "operation": "set_level",
            "arguments": {"level_pct": 80, "hold_s": 60},
            "expires_at": time.time_ns() // 1_000_000 + 3_600_000,
        }
        self._client.publish(f"kerbline/{GATEWAY}/lamp-1/command", json.dumps(body), 1)

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _is_there(self, *_: object) -> None:
        self.subscribed = True

    def _take(self, _: Client, __: object, message: MQTTMessage) -> None:
        told = json.loads(message.payload)
        self.lives += told.get("state") == "online" and message.topic.endswith(f"{GATEWAY}/status")
        if message.topic.endswith("sl-1/readings"):
            self.readings |= {item["n"] for item in told["readings"]}
        elif message.topic.endswith("result"):
            self.results.append(told)


async def until(ready: Callable[[], object]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(60):
        while not ready():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def living(config: Config) -> AsyncIterator[None]:
    """A life of the gateway, ended in order."""
    life = asyncio.create_task(agent.run(config))
    try:
        yield
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def story(folder: Path, aside: Path) -> dict[str, object]:
    """A life with room; one that begins without, and gets it back."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("kerbline").addHandler(handler)
    kind = BrokerKind.MOSQUITTO if program(BrokerKind.MOSQUITTO) else BrokerKind.NATS
    broker = Broker(kind, aside, free_port())
    await broker.start()
    city = City(broker.port)
    node = PocketNode("sl-1", KEY)
    line = await serve_tcp(node)
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY.hex())
    port = f"socket://127.0.0.1:{line.sockets[0].getsockname()[1]}"
    config = Config(
        Gateway(GATEWAY, folder / "state"),
        store=Store(commit_interval_s=0.05),
        mqtt=Mqtt("127.0.0.1", broker.port, backoff_max_s=0.1),
        nodes=(Node("sl-1", "lamp-1", "streetlight", key_file, port),),
    )
    told: dict[str, object] = {}
    try:
        await until(lambda: city.subscribed)
        async with living(config):
            for energy in range(5):
                node.make(30, 245, energy, 10, 12, 0, energy)
            await asyncio.wait_for(node.drained.wait(), 60)
        fill(folder / "ballast")
        node._named = (node._named[0], *node.key, *node._named[3:])  # its flash has the newest key
        node.begin_again()
        async with living(config):
            await until(lambda: city.lives == 2 and node.session.up)
            for energy in range(5, 10):
                node.make(30, 245, energy, 10, 12, 0, energy)
            await until(lambda: city.readings >= set(range(1, 11)))
            city.order("a1")
            await until(lambda: city.results)
            city.order("a1")
            await until(lambda: len(city.results) == 2)
            told["results"] = [(each["id"], each["state"]) for each in city.results]
            told["done"] = len(node.commands)
            told["kept_while_full"] = node.drained.is_set()
            (folder / "ballast").unlink()
            await asyncio.wait_for(node.drained.wait(), 60)
            await until(lambda: any("takes readings again" in text for text in said))
    finally:
        city.close()
        line.close()
        await broker.kill()
    log = Log.open(folder / "state" / "kerbline.db")
    entries = stored(log)
    told["numbers"] = numbers(entries)
    told["restarts"] = [e.epoch for e in entries if isinstance(e, Gap) and e.reason == "restart"]
    told["audit"] = [each.state for each in log.commands.audit("a1")]
    log.close()
    told["said"] = said
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(story(Path(sys.argv[1]), Path(sys.argv[2])))))
