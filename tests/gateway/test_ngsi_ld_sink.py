"""A sink into an NGSI-LD broker: each value once and one way, whatever the broker answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from kerbline.sim.ngsi_ld import Fault, Request
from tests.gateway.ngsi_ld_scene import QUICK, Scene, lamp, play

LEVEL = "illuminanceLevel"


def test_a_reading_of_the_log_arrives_as_an_upsert(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(1)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert scene.levels()[LEVEL] == {
        "type": "Property",
        "value": 0.3,
        "observedAt": "2026-09-21T14:13:21.000Z",
        "unitCode": "C62",
    }
    assert scene.came("temporal") == []


def test_what_is_live_does_not_wait_for_the_disk_and_goes_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        for number in range(1, 6):
            sink.offer(lamp(number))
            await asyncio.sleep(1)
            assert scene.levels()["lifetimePowerConsumption"]["value"] == number / 1000
        committed = scene.log.commit([lamp(number) for number in range(1, 6)])
        sink.log_grew(committed)
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert scene.came("temporal") == []


def test_a_backlog_is_history_but_for_what_is_newest(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for number in range(1, 21):
            at_s = number - 30
            scene.log.commit([lamp(number, "lamp-1", at_s), lamp(number, "lamp-2", at_s)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 20)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    newest = {key for key in scene.came("upsert") if key[1] == LEVEL}
    assert {key[2] for key in newest} == {"2026-09-21T14:13:10.000Z"}
    assert len([key for key in scene.came("temporal") if key[1] == LEVEL]) == 38
    assert scene.levels()["lifetimePowerConsumption"]["value"] == 0.02


def test_a_backlog_slows_down_for_a_broker_that_counts_and_what_is_live_stays_quick(
    tmp_path: Path,
) -> None:
    """A broker that takes five requests a second, and puts off by a second what is above."""
    came: list[float] = []
    waited: list[float] = []

    def counting(request: Request) -> Fault | None:
        recent = [at_s for at_s in came if at_s > request.at_s - 1]
        came[:] = [*recent, request.at_s]
        return Fault(status=429, headers={"retry-after": "1"}) if len(recent) >= 5 else None

    async def story(scene: Scene) -> None:
        scene.broker.fault = counting
        for n in range(2, 400):
            scene.log.commit([lamp(1, f"lamp-{n}", -20), lamp(2, f"lamp-{n}", -10)])
        sink = scene.start()
        await asyncio.sleep(20)
        for n in range(1, 60):
            begun_s = asyncio.get_running_loop().time()
            sink.offer(lamp(n, at_s=begun_s))
            wanted = n / 1000
            await scene.until(lambda: value(scene) == wanted)  # noqa: B023 - waited for here
            waited.append(asyncio.get_running_loop().time() - begun_s)
            await asyncio.sleep(1)
        await scene.until(lambda: scene.log.cursor == 398)

    scene = play(Scene(tmp_path, terms=replace(QUICK, a_second=20.0)), story)
    refused = [each for each in scene.broker.arrivals if each.status == 429]
    assert sorted(waited)[56] < 2
    assert len(refused) < len(scene.broker.arrivals) / 10
    assert set(scene.broker.acknowledged().values()) == {1}


def value(scene: Scene) -> float:
    """The energy of the first lamp, as the broker has it."""
    return float(scene.levels().get("lifetimePowerConsumption", {}).get("value", 0))
