"""Delivery to an NGSI-LD broker: what a day's backlog beside live reports comes to, and its CPU.

How long what is live takes is asked of what came while the backlog drained, and of nothing else.
The faults are played in virtual time over real sockets; the CPU is that of this process alone, the
broker is `kerbline sim ngsi-ld` in one of its own. The whole agent's: bench_city_agent.py.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from kerbline.north.ngsi_ld.sink import Terms
from kerbline.sim.ngsi_ld import Standin
from tests.gateway.ngsi_ld_scene import Scene, early, lamp
from tests.scenarios.test_ngsi_ld_faults import (
    Street,
    again,
    drained_s,
    lost,
    meanwhile,
    p95,
    regressions,
    run,
)
from tools.figures import Figure
from tools.trees import ROOT

SHARES = 0.05, 0.15, 0.3  # of requests that fail
ASSETS, BACKLOG = 100, 96  # a day, a report each quarter of an hour
LIVE_S, PERIOD_S = 300, 10
HISTORY_PER_S = (
    2.0  # a tenth of what a config has: so the backlog lasts, with what is live beside it
)
ROUNDS = 5
BATCH, BATCHES = 500, 8


async def _updates_a_second(url: str, folder: Path) -> float:
    """Entity updates a CPU-second of this process, a batch at a time, mapping and all."""
    elsewhere = Standin()
    elsewhere.url = url
    scene = Scene(folder, broker=elsewhere, terms=Terms(window_s=0.0, start_s=0.0))
    sink = scene.start()
    begun_s = asyncio.get_running_loop().time()
    batches = [
        [lamp(turn + 1, f"lamp-{n}", begun_s + turn / 1000) for n in range(BATCH)]
        for turn in range(BATCHES)
    ]
    cpu_s = time.process_time()
    for seq, batch in enumerate(batches, 1):
        for entry in batch:
            sink.offer(entry)
        sink.log_grew(scene.log.commit(batch))
        await scene.until(lambda: scene.log.cursor == seq)  # noqa: B023 - waited for here
    cpu_s = time.process_time() - cpu_s
    await scene.stop()
    return BATCH * BATCHES / cpu_s


async def _rounds(folder: Path) -> list[float]:
    """Several of these against one broker."""
    search = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kerbline", "sim", "ngsi-ld", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
        limit=1 << 20,
    )
    try:
        assert child.stdout is not None
        url = (await child.stdout.readline()).decode().split()[1]
        draining = asyncio.create_task(child.stdout.read())
        found = []
        for turn in range(ROUNDS):
            (folder / str(turn)).mkdir()
            found.append(await _updates_a_second(url, folder / str(turn)))
    finally:
        child.kill()
        await child.wait()
    await draining
    return found


def _played(share: float) -> tuple[Scene, Street]:
    """A day's backlog beside live reports, where that share of the requests fails."""
    with tempfile.TemporaryDirectory() as folder:
        street = Street(7, ASSETS, BACKLOG, live_s=LIVE_S, period_s=PERIOD_S, share=share)
        return run(Path(folder), street, a_second=HISTORY_PER_S), street


def figures() -> list[Figure]:
    """Targets of delivery beside what it comes to."""
    played = {share: _played(share) for share in SHARES}
    with tempfile.TemporaryDirectory() as folder:
        rounds = asyncio.run(_rounds(Path(folder)))
    scenes = [scene for scene, _ in played.values()]
    arrivals = [arrival for scene in scenes for arrival in scene.broker.arrivals]
    failed = sum(each.status not in (201, 204) for each in arrivals)
    gone = sum(len(lost(scene, street)) for scene, street in played.values())
    older = sum(len(list(regressions(scene.broker))) for scene in scenes)
    twice = sum(len(again(scene.broker)) for scene in scenes)
    soon = sum(len(early(scene.broker.arrivals)) for scene in scenes)
    found = {share: meanwhile(scene, street) for share, (scene, street) in played.items()}
    quick = [
        figure
        for share in SHARES
        for figure in (
            Figure(f"{share:.0%} failing: the day drains for", drained_s(played[share][0]), "s"),
            Figure(
                f"{share:.0%} failing: live meanwhile, p50", statistics.median(found[share]), "s"
            ),
            Figure(f"{share:.0%} failing: live meanwhile, p95", p95(found[share]), "s", "<= 2"),
        )
    ]
    return [
        Figure("requests, backlog and live", len(arrivals), ""),
        Figure("of these not taken, or not told so", failed, ""),
        Figure("values lost", gone, "", "<= 0"),
        Figure("older values put over newer ones", older, "", "<= 0"),
        Figure("values sent after their acknowledgement", twice, "", "<= 0"),
        Figure("requests before Retry-After", soon, "", "<= 0"),
        Figure("live values meanwhile, the fewest", min(map(len, found.values())), "", ">= 1000"),
        *quick,
        Figure("entity updates a CPU-second", statistics.median(rounds), "", ">= 2000"),
    ]
