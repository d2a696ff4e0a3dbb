"""A sink into an NGSI-LD broker: each value once and one way, whatever the broker answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.gateway.ngsi_ld_scene import Scene, lamp, play

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
