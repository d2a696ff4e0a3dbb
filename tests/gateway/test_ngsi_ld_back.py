"""A broker that is back has the newest values at once, whichever lane finds out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.sim.ngsi_ld import TEMPORAL, UPSERT, Fault, Request
from tests.gateway.ngsi_ld_scene import QUICK, Scene, early, lamp, play

PATIENT = replace(QUICK, a_second=20.0, backoff_s=(0.5, 60.0))  # as a config has it by default
AWAY_S = 400
PERIOD_S = 5


async def lamps(scene: Scene, until_s: int, begin: int = 1) -> int:
    """Two lamps report and are committed, until then; the next number."""
    clock = asyncio.get_running_loop().time
    sink = scene._sinks[0][0]
    number = begin
    while clock() < until_s:
        found = [lamp(number, name, clock()) for name in ("lamp-1", "lamp-2")]
        for each in found:
            sink.offer(each)
        sink.log_grew(scene.log.commit(found))
        number += 1
        await asyncio.sleep(PERIOD_S)
    return number


def first_s(scene: Scene, path: str, since_s: float) -> float:
    """When such a request was taken."""
    return min(
        each.taken_s
        for each in scene.broker.arrivals
        if each.request.path == path and each.taken and each.taken_s >= since_s
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "a proxy alone answers"])
def test_what_is_newest_goes_as_soon_as_the_broker_is_back(
    tmp_path: Path, seed: int, *, gone: bool
) -> None:
    async def story(scene: Scene) -> None:
        scene.start()
        number = await lamps(scene, 20)
        port = int(scene.broker.url.rpartition(":")[2])
        if gone:
            await scene.broker.stop()
        else:
            scene.broker.fault = lambda _: Fault(status=502)
        number = await lamps(scene, AWAY_S, number)
        scene.broker.fault = lambda _: None
        if gone:
            await scene.broker.start(port=port)
        await lamps(scene, AWAY_S + 200, number)

    scene = play(Scene(tmp_path, terms=PATIENT, seed=seed), story)
    newest_s = first_s(scene, UPSERT, AWAY_S)
    assert newest_s <= first_s(scene, TEMPORAL, AWAY_S) + 2
    assert newest_s <= AWAY_S + 70


def test_what_is_refused_for_now_is_not_asked_for_all_the_time_beside_a_history_that_goes(
    tmp_path: Path,
) -> None:
    def upserts_fail(request: Request) -> Fault | None:
        return Fault(status=503) if request.path == UPSERT else None

    async def story(scene: Scene) -> None:
        for number in range(1, 200):
            scene.log.commit([lamp(number, "lamp-1", number - 300.0)])
        scene.broker.fault = upserts_fail
        scene.start()
        await lamps(scene, 300, 200)

    scene = play(Scene(tmp_path, terms=PATIENT), story)
    assert len([each for each in scene.broker.arrivals if each.request.path == UPSERT]) < 40
    assert early(scene.broker.arrivals) == []
