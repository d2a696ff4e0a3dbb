"""The real firmware with nothing but a claim: on datagrams and on a shared line, it joins."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from kerbline.agent import STORE_FILE
from kerbline.config import Config, Gateway, Udp
from kerbline.config import Store as StoreSection
from kerbline.config.enrolment import EnrolmentLine
from kerbline.keys import claim, gateway_key
from kerbline.keys.claim import Claim
from kerbline.model import Reading
from kerbline.sim import lines
from kerbline.sim.nodes import Node, interpreter, write_claim, write_settings
from kerbline.store import Store
from kerbline.store.entries import decoded
from tests.gateway.test_permit import running
from tests.gateway.test_south_nodes import free_udp_port

KINDS = {"n-1": "streetlight", "n-2": "water_meter", "n-3": "streetlight"}
LONG_S = 120.0
MADE_S = 1_790_000_000


def _carrying(folder: Path, name: str, kind: str, link: str, public: bytes, **more: object) -> Node:
    """A commissioned node: its settings, its key, its claim, and no gateway that knows it."""
    key = os.urandom(16)
    settings = {"node_id": name, "asset": kind, "link": link, "report_s": 1} | more
    write_settings(folder / name, settings | {"position": [52.37, 4.9]}, key)
    world = {"witness": str(folder / f"made-{name}.jsonl"), "stop_real_ms": 0}
    (folder / name / "world.json").write_text(json.dumps(world))
    told = Claim(name, f"asset-{name}", kind, key, 0, link, MADE_S, (52.37, 4.9))
    write_claim(folder / name, claim.seal(told, public))
    return Node(folder / name, interpreter())


async def _street(folder: Path) -> None:
    port, line = free_udp_port(), lines.open_shared_line(3)
    bus = EnrolmentLine(line.ends[0], bus=True)
    config = Config(
        Gateway("gw", folder / "state"),
        store=StoreSection(commit_readings=1, commit_interval_s=0.1),
        udp=Udp(f"127.0.0.1:{port}"),
        enrolments=(bus,),
    )
    public = gateway_key.load_or_make(folder / "state").public
    boards = [
        _carrying(folder, "n-1", "streetlight", "rs485", public, uart=line.ends[1]),
        _carrying(folder, "n-2", "water_meter", "rs485", public, uart=line.ends[2]),
        _carrying(folder, "n-3", "streetlight", "udp", public, gateway=f"127.0.0.1:{port}"),
    ]
    try:
        async with running(config) as asked, asyncio.timeout(LONG_S):
            for board in boards:
                board.power_on()
            await asyncio.sleep(1.0)
            assert not (await asked("status"))["nodes"]
            await asked("permit", seconds=90, by="a test")
            found = await asked.until(
                lambda found: sum(each["online"] for each in found["joined"]) == 3,
                "permit-status",
            )
            assert {each["node_id"]: each["kind"] for each in found["joined"]} == KINDS
            ports = {each["node_id"]: each["port"] for each in found["joined"]}
            assert ports == {"n-1": line.ends[0], "n-2": line.ends[0], "n-3": "udp"}
            await asked("permit-close")
            await asked.until(all_report, "status")
        before = _readings(folder)
        assert set(before) == {f"asset-{name}" for name in KINDS}
        async with running(config) as asked, asyncio.timeout(LONG_S):  # no window any more
            await asked.until(
                lambda found: sum(each["online"] for each in found["nodes"]) == 3, "status"
            )
            await asked.until(all_report, "status")
        after = _readings(folder)
        assert all(after[asset] > count for asset, count in before.items()), (before, after)
        assert all(board.crashes == 0 for board in boards)
    finally:
        for board in boards:
            await board.cut_power()
        line.close()


def all_report(found: dict[str, Any]) -> bool:
    """Has each node told a reading in this life of the gateway?"""
    return len(found["nodes"]) == 3 and all(each["record_ms"] for each in found["nodes"])


def _readings(folder: Path) -> dict[str, int]:
    """How many are in the store, by asset."""
    store = Store.open(folder / "state" / STORE_FILE)
    counts: dict[str, int] = {}
    for batch in store.read(0, 10_000):
        for entry in decoded(batch.body):
            if isinstance(entry, Reading) and entry.kind in KINDS.values():
                counts[entry.asset] = counts.get(entry.asset, 0) + 1
    store.close()
    return counts


def test_three_nodes_with_claims_alone_join_and_stay(tmp_path: Path) -> None:
    asyncio.run(_street(tmp_path))
