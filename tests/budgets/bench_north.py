"""A backlog to a broker, and what is live meanwhile: 1,000,000 readings of 200 nodes.

Gateway, broker and a city share this machine. It drains in ROUNDS parts, before each of which it
idles: so whatever else the machine does falls on both, and one disturbed round decides nothing. A
latency is the median of the rounds' 99th percentiles, their ratio that of the rounds' ratios, and a
rate is over all that drained. Where others work, `chrt -r 1 make bench-store` (as root) lets this
go first; the disk they share all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from kerbline.agent import SWITCH_S
from kerbline.model import Key, Reading
from kerbline.north.mapping import Mapper
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.outbox import Outbox
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.store import GroupCommit, GroupPolicy, Store
from tools.figures import Figure
from tools.trees import ROOT

BACKLOG = int(os.environ.get("KERBLINE_BACKLOG", "1_000_000"))
NODES = 200
COMMIT = 500
LIVE_PERIOD_S = 0.01
ROUNDS = 9
IDLE_S = 2.5  # a round
T0_MS = 1_790_000_000_000
TOPICS = Topics("kerbline", "gw-1")
_PATH = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))


def _reading(index: int) -> Reading:
    """One report of a night with 200 lamps, at 300 ms each."""
    node, number = index % NODES, index // NODES + 1
    at_ms = T0_MS + index * 300
    values = {
        "level_pct": index * 7 % 101,
        "power_w": index * 13 % 900 / 10,
        "energy_wh": number * 3,
        "lamp_hours": 12,
        "temperature_c": 14,
        "status": index % 3,
        "uptime_s": number * 60,
    }
    key = Key(f"sl-{node:04d}", 7, number)
    return Reading(key, f"lamp-{node}", "streetlight", at_ms, 550, values, (), at_ms)


def _filled(path: Path, readings: int) -> Store:
    store = Store.open(path)
    for start in range(0, readings, COMMIT):
        store.append([_reading(n) for n in range(start, start + COMMIT)], T0_MS)
    return store


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _p99_ms(spans_s: list[float]) -> float:
    return 1000 * sorted(spans_s)[math.ceil(len(spans_s) * 0.99) - 1]


class _Clocked:
    """The gateway's port, which notes how long each live reading took to its acknowledgement."""

    def __init__(self, port: MqttPort) -> None:
        self._port = port
        self.connect, self.receive, self.close = port.connect, port.receive, port.close
        self.offered: dict[str, float] = {}
        self.spans_s: list[float] = []

    async def publish(self, *messages: Message) -> None:
        """Pass them on."""
        await self._port.publish(*messages)
        for message in messages:
            begun = self.offered.pop(message.topic, None)
            if begun is not None:
                self.spans_s.append(time.perf_counter() - begun)


async def _live(outbox: Outbox, group: GroupCommit, port: _Clocked) -> None:
    """A report every so often, each of another node so that its topic tells it."""
    number = 0
    while True:
        await asyncio.sleep(LIVE_PERIOD_S)
        number += 1
        name = f"live-{number % 500}"
        key = Key(name, 7, number)
        values = {"level_pct": 30, "power_w": 18.4, "energy_wh": number}
        entry = Reading(key, name, "streetlight", T0_MS, 550, values, (), T0_MS)
        port.offered[TOPICS.readings(name)] = time.perf_counter()
        outbox.offer(entry)
        await group.put(entry)


async def _grow(outbox: Outbox, group: GroupCommit) -> None:
    while True:
        await group.committed()
        outbox.log_grew()


async def _reached(outbox: Outbox, seq: int) -> None:
    while outbox.cursor < seq:  # noqa: ASYNC110 - it looks from outside
        await asyncio.sleep(0.02)


async def _measure(port_number: int, folder: Path) -> dict[str, float]:
    sys.setswitchinterval(SWITCH_S)
    mapper = Mapper(TOPICS)
    found: dict[str, float] = {}
    store = Store.open(folder / "kerbline.db")
    head = store.head
    group = GroupCommit(store, GroupPolicy(100, 1.0), lambda: T0_MS)
    address = BrokerAddress("127.0.0.1", port_number, "gw-1")
    clocked = _Clocked(MqttPort(address, [TOPICS.commands], mapper.status("offline", None)))

    def made(name: str, cursor: int) -> Outbox:
        return Outbox(
            name,
            clocked,
            group,
            mapper,
            cursor=cursor,
            utc_ms=lambda: T0_MS,
            random=random.Random(1).random,
        )

    async def told(outbox: Outbox, until: Callable[[], Awaitable[None]]) -> float:
        tasks = [asyncio.create_task(each) for each in (outbox.run(), _grow(outbox, group))]
        while not outbox.connected:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.001)
        clocked.offered.clear()
        clocked.spans_s.clear()
        tasks.append(asyncio.create_task(_live(outbox, group, clocked)))
        await until()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await outbox.close()
        return _p99_ms(clocked.spans_s)

    committing = asyncio.create_task(group.run())
    cursor = store.open_cursor("mqtt")
    idle, draining, spent_s, cpu_s = [], [], 0.0, 0.0
    for number in range(1, ROUNDS + 1):
        idle.append(await told(made("idle", store.head), lambda: asyncio.sleep(IDLE_S)))
        found.setdefault("rss_before_mb", _rss_mb())
        began = time.perf_counter(), time.process_time()
        outbox = made("mqtt", cursor)
        draining.append(await told(outbox, partial(_reached, outbox, head * number // ROUNDS)))
        spent_s += time.perf_counter() - began[0]
        cpu_s += time.process_time() - began[1]
        cursor = outbox.cursor
    found["rss_after_mb"] = _rss_mb()
    found |= {"drain_s": spent_s, "cpu_s": cpu_s}
    found["idle_p99_ms"] = statistics.median(idle)
    found["drain_p99_ms"] = statistics.median(draining)
    found["ratio"] = statistics.median(b / a for a, b in zip(idle, draining, strict=True))
    group.stop()
    await committing
    await group.close()
    return found


def _listen(port_number: int) -> None:
    """A city of its own: count what arrives until told to stop; prints the count."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    counted = 0

    def take(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal counted
        counted += message.payload.count(b'"n":')

    client = paho.Client(CallbackAPIVersion.VERSION2, "city", protocol=paho.MQTTv311)
    client.on_message = take
    client.on_connect = lambda one, *_: one.subscribe("kerbline/gw-1/+/readings", qos=1)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port_number)
    client.loop_start()
    sys.stdin.readline()
    before = -1
    while before != counted:
        before = counted
        time.sleep(1.0)
    print(counted, flush=True)


def _child(role: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.budgets.bench_north", role, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": _PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def _with(kind: BrokerKind, folder: Path) -> tuple[dict[str, float], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port_number = probe.getsockname()[1]
    broker = Broker(kind, folder / "broker", port_number, synced=False)
    await broker.start()
    try:
        city = await asyncio.to_thread(_child, "city", str(port_number))
        assert city.stdout is not None
        assert await asyncio.to_thread(city.stdout.readline) == "ready\n"
        gateway = await asyncio.to_thread(_child, "gateway", str(port_number), str(folder))
        told, _ = await asyncio.to_thread(gateway.communicate)
        counted, _ = await asyncio.to_thread(city.communicate, "\n")
        return json.loads(told), int(counted)
    finally:
        await broker.kill()


def figures() -> list[Figure]:
    """For each broker that is here."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        filled = Path(name) / "filled"
        filled.mkdir()
        _filled(filled / "kerbline.db", BACKLOG).close()
        for kind in BrokerKind:
            if program(kind) is None:
                found.append(Figure(f"{kind}: drain", f"there is no {kind} here", ""))
                continue
            folder = Path(name) / kind
            shutil.copytree(filled, folder)
            told, counted = asyncio.run(_with(kind, folder))
            rate = BACKLOG / told["drain_s"]
            found += [
                Figure(f"{kind}: drain of {BACKLOG:,}", rate, "readings/s", ">= 50_000"),
                Figure(f"{kind}: the gateway's own CPU", told["cpu_s"] / BACKLOG * 1e6, "us each"),
                Figure(f"{kind}: readings that a city counted", counted, "", f">= {BACKLOG}"),
                Figure(
                    f"{kind}: live to acknowledged, idle, p99", told["idle_p99_ms"], "ms", "<= 25"
                ),
                Figure(f"{kind}: the same while it drains, p99", told["drain_p99_ms"], "ms"),
                Figure(
                    f"{kind}: p99 draining / idle",
                    told["ratio"],
                    "",
                    "<= 1.5",
                ),
                Figure(
                    f"{kind}: RSS after / before",
                    told["rss_after_mb"] / told["rss_before_mb"],
                    f"of {told['rss_before_mb']:.0f} MB",
                    "<= 1.2",
                ),
            ]
    return found


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1] == "city":
            _listen(int(sys.argv[2]))
        else:
            print(json.dumps(asyncio.run(_measure(int(sys.argv[2]), Path(sys.argv[3])))))
