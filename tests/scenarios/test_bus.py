"""Four nodes with the real firmware on one RS-485 line: every record reaches the gateway, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from kerbline.clock import Clock
from kerbline.config import Config, Gateway
from kerbline.config import Node as NodeSection
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.model import Command, Reading
from kerbline.sim import lines
from kerbline.sim.nodes import Node, interpreter, write_settings
from kerbline.south.arrivals import Answered, Arrival
from kerbline.south.nodes import Nodes
from kerbline.store import Span, Store

KINDS = ("streetlight", "streetlight", "water_meter", "air_quality")
LONG_S = 240.0


def _made(folder: Path) -> Iterator[tuple[str, int]]:
    """(node, rseq) of each record that the nodes have made."""
    for file in folder.glob("made-*.jsonl"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if entry["t"] == "made":
                yield entry["node"], entry["rseq"]


def _config(folder: Path, ends: list[str]) -> Config:
    """The gateway on the first end, a node on each other."""
    sections = []
    for number, (kind, end) in enumerate(zip(KINDS, ends[1:], strict=True), 1):
        name, key = f"n-{number}", bytes([number] * 16)
        settings = {
            "node_id": name,
            "asset": kind,
            "link": "rs485",
            "uart": end,
            "report_s": 1,
            "position": [52.37, 4.9],
        }
        write_settings(folder / name, settings, key)
        world = {"witness": str(folder / f"made-{name}.jsonl"), "stop_real_ms": 0}
        (folder / name / "world.json").write_text(json.dumps(world))
        key_file = folder / f"{name}.key"
        key_file.write_text(key.hex())
        key_file.chmod(0o600)
        sections.append(NodeSection(name, f"asset-{number}", kind, key_file, ends[0], bus=True))
    return Config(Gateway("gw", folder / "state"), nodes=tuple(sections))


async def _street(folder: Path) -> None:
    line = lines.open_shared_line(len(KINDS) + 1)
    counters = Counters()
    nodes = Nodes(_config(folder, line.ends), KeyRing(folder / "ring"), Clock(), counters)
    store = Store.open(folder / "s.db")
    nodes.prepare(store)
    serving = asyncio.create_task(nodes.run())
    boards = [Node(folder / f"n-{number}", interpreter()) for number in range(1, len(KINDS) + 1)]
    for board in boards:
        board.power_on()
    came: list[tuple[str, int]] = []
    results: list[Answered] = []

    def take(arrival: Arrival) -> None:
        if isinstance(arrival, Reading):
            key = arrival.key
            came.append((key.source, key.number))
            nodes.keep([Span(key.source, key.epoch, key.number, key.number)])
        elif isinstance(arrival, Answered):
            results.append(arrival)

    try:
        async with asyncio.timeout(LONG_S):
            while len({name for name, _ in came}) < len(KINDS) or len(came) < 30:
                take(await nodes.next())
            expires_ms = Clock().utc_ms() + 60_000
            command = Command("c1", "asset-2", "set_level", {"level_pct": 80}, expires_ms, "mqtt")
            while not nodes.send(command):
                take(await nodes.next())
            while not results:
                take(await nodes.next())
            wanted = set(_made(folder))
            while not wanted <= set(came):
                take(await nodes.next())
        assert results == [Answered("c1", "asset-2", "")]
        assert len(came) == len(set(came))
        assert not {"nodes.tag", "nodes.mac", "nodes.replay"} & set(counters.totals())
        assert all(board.crashes == 0 for board in boards)
    finally:
        for board in boards:
            await board.cut_power()
        serving.cancel()
        await asyncio.wait([serving])
        store.close()
        line.close()


def test_four_nodes_on_one_line(tmp_path: Path) -> None:
    asyncio.run(_street(tmp_path))
