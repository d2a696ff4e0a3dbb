"""Everything that runs in a demo: started, broken and ended here, as processes of their own.

The lines alone run inside us, so that whatever is killed finds the same line again.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from kerbline.demo import witness
from kerbline.errors import KerblineError
from kerbline.sim import children, street
from kerbline.sim.broker import Broker, BrokerKind
from kerbline.sim.children import Child
from kerbline.sim.lines import Line, open_line
from kerbline.sim.nodes import Interpreter, Node
from kerbline.sim.street import Asset, Street, Ways

PREFIX = f"kerbline/{street.GATEWAY}"
READY_S = 60.0
POLL_S = 0.02


class StageFault(KerblineError):
    """A part of the demo did not start; the text says which, and where its log is."""

    code = "demo"


class Stage:
    """One street with all its processes. `prepare`, `begin`, then break what you like, `close`."""

    def __init__(self, folder: Path, kind: str, runs_on: Interpreter) -> None:
        self.folder = folder
        self.broker = Broker(BrokerKind(kind), folder / "broker", free_port())
        self.nodes: dict[str, Node] = {}
        self.gateway: Child | None = None
        self._runs_on = runs_on
        self._lines: dict[str, Line] = {}
        self._others: list[Child] = []
        self._config = folder / "gateway.toml"

    @property
    def published(self) -> Path:
        """The subscriber's log."""
        return self.folder / "published.jsonl"

    async def prepare(self) -> None:
        """Starts the broker and its subscriber, so that nothing published goes unseen."""
        await self.broker.start()
        log = self.folder / "witness.log"
        listen = _witness("listen", "--port", str(self.broker.port), "--out", self.published)
        self._others.append(await children.start(listen, log))
        await until(lambda: "listening" in text(log), f"the witness ({log})")

    async def begin(self, scene: Street, *, cabinet: bool = True, loss: float = 0.0) -> None:
        """Writes the street and starts nodes, cabinet and gateway.

        `loss` is the chance of a frame to lose a byte; a line's losses are the same in each run.
        """
        assets = list(scene.assets())
        for seed, asset in enumerate(assets):
            self._lines[asset.node] = open_line(seed, loss)
        ends = {node: (line.gateway, line.node) for node, line in self._lines.items()}
        modbus = self.folder / "cabinet"
        where = str(modbus) if cabinet else ""
        self._config = street.write(self.folder, scene, Ways(ends, self.broker.port, where))
        await self.start_gateway()
        for asset in assets:
            self.nodes[asset.node] = Node(self.folder / "nodes" / asset.node, self._runs_on)
            self.nodes[asset.node].power_on()
        if cabinet:
            clock = self.folder / "clock.json"
            serve = _python("-m", "kerbline.sim.modbus", "--pty", modbus, "--clock-table", clock)
            self._others.append(await children.start(serve, self.folder / "cabinet.log"))

    async def start_gateway(self) -> None:
        """Starts the gateway as an operator would."""
        run = _python("-m", "kerbline", "run", self._config)
        self.gateway = await children.start(run, self.folder / "gateway.log")

    @property
    def gateway_runs(self) -> bool:
        """Has the gateway not ended yet?"""
        return self.gateway is not None and self.gateway.running

    def gateway_said(self) -> str:
        """The last line of the gateway's log."""
        return text(self.folder / "gateway.log").strip().rpartition("\n")[2]

    def broker_answers(self) -> bool:
        """Does something listen where the broker should?"""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.broker.port)) == 0

    def plug(self, *nodes: str) -> None:
        """Joins these lines again and cuts all others."""
        for node, line in self._lines.items():
            if node in nodes:
                line.plug()
            else:
                line.unplug()

    async def cut_power(self, node: str) -> None:
        """The node is gone in the middle of whatever it did."""
        self._lines[node].unplug()
        await self.nodes[node].cut_power()

    def restore_power(self, node: str) -> None:
        """The node boots."""
        self._lines[node].plug()
        self.nodes[node].power_on()

    async def command(self, asset: str, command: dict[str, object]) -> None:
        """Publishes a command to an asset and waits for the broker's ack."""
        where = ("--port", str(self.broker.port), "--topic", f"{PREFIX}/{asset}/command")
        send = _witness("send", *where, "--payload", json.dumps(command))
        child = await children.start(send, self.folder / "sender.log")
        await child.process.wait()

    async def end_gateway(self) -> int:
        """Asks the gateway to end in order; its exit status, also when it had ended before."""
        return await self.gateway.end() if self.gateway else 0

    async def count(self) -> dict[str, object]:
        """The witness's figures; raises StageFault when it could not count."""
        worlds = sorted(self.folder.glob("nodes/*/world.json"))
        store = next(self.folder.glob("state/*.db"), self.folder / "state" / "missing.db")
        process = await asyncio.create_subprocess_exec(
            *_witness(
                "count", "--published", self.published, "--store", store, "--worlds", *worlds
            ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await process.communicate()
        if not output:
            raise StageFault(f"the witness can't count: {complaint.decode()[-500:]}")
        figures = json.loads(output)
        assert isinstance(figures, dict)
        return figures

    async def close(self) -> None:
        """Ends everything."""
        for node in self.nodes.values():
            await node.cut_power()
        await self.end_gateway()
        for child in self._others:
            await child.kill()
        await self.broker.kill()
        for line in self._lines.values():
            line.close()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at; below those that outgoing connections get."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _python(*words: str | Path) -> list[str | Path]:
    return [sys.executable, *words]


def _witness(*words: str | Path) -> list[str | Path]:
    return _python("-I", witness.__file__, *words)


async def until(true: Callable[[], bool], what: str, within_s: float = READY_S) -> None:
    """Waits until `true()`; raises StageFault after so long."""
    clock = asyncio.get_running_loop().time
    give_up = clock() + within_s
    while not true():
        if clock() > give_up:
            raise StageFault(f"{what} did not start within {within_s:.0f} s")
        await asyncio.sleep(POLL_S)


def text(path: Path) -> str:
    """What a log holds so far."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def names(scene: Street) -> dict[str, str]:
    """Node id: asset."""
    return {asset.node: asset.asset for asset in scene.assets()}


def last_lamp(scene: Street) -> Asset:
    """The lamp at the far end of the street."""
    return [asset for asset in scene.assets() if asset.kind == "streetlight"][-1]
