"""What goes over the wire is read by FiLiP, FIWARE's own library for Python, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerbline.model import CommandResult, CommandState, NodeState
from kerbline.north.ngsi_ld.contexts import SUBJECTS
from kerbline.north.ngsi_ld.models import operation
from kerbline.sim.ngsi_ld import TEMPORAL, UPSERT, Standin
from tests.gateway.city_day import T0_MS, city, day
from tests.gateway.ngsi_ld_scene import QUICK, Scene, play
from tools.trees import ROOT

COMMIT = 500
DAY_S = 86_400


def a_day_at_a_broker(folder: Path) -> Standin:
    """A broker that was away all day: the newest is upserted, all else is history."""

    async def story(scene: Scene) -> None:
        assert scene.city is not None
        await asyncio.sleep(DAY_S + 60)
        told = list(day())
        entries = [each for each in told if not isinstance(each, NodeState)]
        for first in range(0, len(entries), COMMIT):
            scene.log.commit(entries[first : first + COMMIT])
        sink = scene.start()
        for state in told:
            if isinstance(state, NodeState):
                sink.show(state)
        result = CommandResult("order 7/é", "sl-0001", CommandState.OK, "", T0_MS)
        sink.report(operation.change(result, scene.city))
        await scene.until(lambda: scene.log.cursor == len(scene.log.batches))

    return play(Scene(folder, city=city(), terms=replace(QUICK, history="all")), story).broker


def single(body: Any, path: str) -> Iterator[dict[str, Any]]:
    """Entities of a body; of a history, one for each instance, since FiLiP knows no arrays."""
    if path == UPSERT:
        yield from body
        return
    core = {name: body[name] for name in ("id", "type", "@context")}
    arrays = {name: instances for name, instances in body.items() if name not in core}
    for place in range(max(map(len, arrays.values()))):
        yield core | {name: each[place] for name, each in arrays.items() if place < len(each)}


def shape(entity: dict[str, Any]) -> object:
    """What of an entity makes it another one to a parser."""
    told = {
        (name, json.dumps(value, sort_keys=True) if name in ("status", "location") else None)
        + (tuple(value) if isinstance(value, dict) else ())
        for name, value in entity.items()
    }
    return entity["type"], frozenset(told)


def test_filip_reads_each_shape_of_a_days_entities(filip: Path, tmp_path: Path) -> None:
    shapes: dict[object, dict[str, Any]] = {}
    ways = set()
    for arrival in a_day_at_a_broker(tmp_path).arrivals:
        assert arrival.status in (201, 204)
        ways.add(arrival.request.path)
        for entity in single(arrival.request.json, arrival.request.path):
            shapes[shape(entity)] = entity
    sent = list(shapes.values())
    done = subprocess.run(
        [str(filip), str(ROOT / "tests" / "properties" / "ngsi_parse.py")],
        input="\n".join(map(json.dumps, sent)),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == sent
    assert ways == {UPSERT, TEMPORAL}
    assert {entity["type"] for entity in sent} == set(SUBJECTS)
    assert len(sent) > 80
