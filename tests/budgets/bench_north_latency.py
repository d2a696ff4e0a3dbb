"""Through the whole gateway: a record of a node to its message, and a command to its node.

The clocks start and stop in this process, which plays node and city: so the figures are above
what the gateway alone takes. A command leaves before the disk has it, its result waits for that:
beside both stands what bare writes to the same disk take. A 99th percentile is the median of those
of ROUNDS, in which readings, commands and bare writes take turns, so that one stall of the machine
decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from kerbline.sim import children
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbwire.limits import STREAM
from tests.gateway.pocket_node import PocketNode, serve_tcp
from tools.figures import Figure
from tools.trees import ROOT

ROUNDS = 5
READINGS, COMMANDS, WRITES = 120, 100, 100  # a round
PERIOD_S = 0.03
READY_S = 20.0
KEY = bytes(range(16))
CONFIG = """\
[gateway]
id = "gw-bench"
state_dir = "state"

[mqtt]
host = "127.0.0.1"
port = {broker}

[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "sl-1.key"
port = "socket://127.0.0.1:{node}"
"""


class TimedNode(PocketNode):
    """Notes when a command comes."""

    def __init__(self) -> None:
        super().__init__("sl-1", KEY, framing=STREAM)
        self.came_s: dict[int, float] = {}  # by serial

    def pump(self, write: Callable[[bytes], None]) -> float:
        """As ever."""
        before = len(self.commands)
        wait_s = super().pump(write)
        for *_, arguments in self.commands[before:]:
            self.came_s[arguments[1]] = time.perf_counter()
        return wait_s


def _no_nagle(_client: Client, _user: object, sock: Any) -> None:
    """An order does not wait for TCP's ack of what the city said before: 40 ms."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _quick_ack(client: Client, *_: object) -> None:
    """Nor does what the broker says after it took an order."""
    sock = client.socket()
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class City:
    """A subscriber that notes when each reading and result comes, and the sender of commands."""

    def __init__(self, port: int) -> None:
        self.came_s: dict[int, float] = {}  # by number
        self.told_s: dict[int, float] = {}  # by serial
        self.ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "city")
        self._client.on_message = self._arrived
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_socket_open = _no_nagle
        self._client.on_publish = _quick_ack
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([("kerbline/+/+/readings", 1), ("kerbline/+/+/result", 1)])

    def _arrived(self, _client: object, _user: object, message: MQTTMessage) -> None:
        now_s = time.perf_counter()
        told = json.loads(message.payload)
        if message.topic.endswith("/result"):
            self.told_s.setdefault(int(told["id"][1:]), now_s)
            return
        for reading in told["readings"]:
            self.came_s.setdefault(reading["n"], now_s)

    def order(self, serial: int) -> None:
        """A command whose `hold_s` is its serial."""
        order = {
            "id": f"c{serial}",
            "operation": "set_level",
            "arguments": {"level_pct": 50, "hold_s": serial},
            "expires_at": time.time_ns() // 1_000_000 + 10_000,
        }
        self._client.publish("kerbline/gw-bench/lamp-1/command", json.dumps(order), qos=1)

    def close(self) -> None:
        """No more."""
        self._client.disconnect()
        self._client.loop_stop()


async def _measured(kind: BrokerKind, folder: Path) -> list[list[float]]:
    """Seconds of each reading, command, result and bare write, in their order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        broker = Broker(kind, folder / "broker", probe.getsockname()[1], synced=False)
    node = TimedNode()
    line = await serve_tcp(node)
    (folder / "sl-1.key").write_text(KEY.hex())
    (folder / "sl-1.key").chmod(0o600)
    config = folder / "gateway.toml"
    config.write_text(CONFIG.format(broker=broker.port, node=line.sockets[0].getsockname()[1]))
    await broker.start()
    city = City(broker.port)
    search = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
    run: list[str | Path] = [sys.executable, "-m", "kerbline", "run", config]
    gateway = await children.start(run, folder / "gateway.log", {"PYTHONPATH": search})
    made_s: dict[int, float] = {}
    sent_s: dict[int, float] = {}
    writes: list[float] = []
    try:
        async with asyncio.timeout(READY_S):
            while not (city.came_s and city.ready.is_set()):
                node.make(30, 245, 0, 0, 0, 0, 0)
                await asyncio.sleep(0.1)
        for turn in range(ROUNDS):
            writes += await asyncio.to_thread(_writes, folder)
            for _ in range(READINGS):
                made_s[node.session.info.next_rseq] = time.perf_counter()
                node.make(30, 245, 0, 0, 0, 0, 0)
                await asyncio.sleep(PERIOD_S)
            for serial in range(turn * COMMANDS + 1, (turn + 1) * COMMANDS + 1):
                sent_s[serial] = time.perf_counter()
                city.order(serial)
                await asyncio.sleep(PERIOD_S)
        for _ in range(round(READY_S / 0.1)):
            if not (made_s.keys() - city.came_s.keys() or sent_s.keys() - city.told_s.keys()):
                break
            await asyncio.sleep(0.1)
    finally:
        city.close()
        await gateway.end()
        await broker.kill()
        line.close()
    spans = [(made_s, city.came_s), (sent_s, node.came_s), (sent_s, city.told_s)]
    return [[came_s[name] - at_s for name, at_s in began.items()] for began, came_s in spans] + [
        writes
    ]


def _writes(folder: Path) -> list[float]:
    """Seconds that this disk takes to make 4 KiB durable: a result waits for two such."""
    spans = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(WRITES):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            spans.append(time.perf_counter() - began_s)
            time.sleep(PERIOD_S / 3)
    return spans


def _p99_ms(spans_s: list[float]) -> float:
    """The median of the rounds' own."""
    size = len(spans_s) // ROUNDS
    place = math.ceil(0.99 * size) - 1
    rounds = [sorted(spans_s[turn * size : (turn + 1) * size]) for turn in range(ROUNDS)]
    return 1000 * statistics.median(each[place] for each in rounds)


def figures() -> list[Figure]:
    """For each broker that is here."""
    found = []
    for kind in BrokerKind:
        if program(kind) is None:
            found.append(Figure(f"{kind}: record to message", f"there is no {kind} here", ""))
            continue
        with tempfile.TemporaryDirectory() as folder:
            readings, commands, results, writes = asyncio.run(_measured(kind, Path(folder)))
        found.append(Figure(f"{kind}: 4 KiB made durable meanwhile, p99", _p99_ms(writes), "ms"))
        for name, spans, most in (
            ("record made to message at the city", readings, 25),
            ("command sent to command at the node", commands, 15),
        ):
            found += [
                Figure(f"{kind}: {name}, p50", 1000 * statistics.median(spans), "ms"),
                Figure(f"{kind}: {name}, p99", _p99_ms(spans), "ms", f"<= {most}"),
                Figure(f"{kind}: the longest of all rounds", 1000 * max(spans), "ms"),
            ]
        found += [
            Figure(
                f"{kind}: command sent to its result, p50", 1000 * statistics.median(results), "ms"
            ),
            Figure(f"{kind}: command sent to its result, p99", _p99_ms(results), "ms"),
        ]
    return found
