"""Orders of the city: from its write at the broker to the lamp and back, a node's real firmware.

A strict broker that forwards or notifies, `kerbline run`, a serial line, the firmware in a process
of its own. By PATCH until its answer; by notification until the broker has the order's end; by an
IoT Agent from its command's publication to the result.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from kerbline.demo.stage import free_port
from kerbline.sim.ngsi_ld_forward import Forwarder
from tests.gateway import test_iota_agent as iota
from tests.scenarios.nursery import Doom
from tests.scenarios.test_city_orders import BY_HTTP, Rig, notified, rig, until
from tools.figures import Figure

ORDERS = 40
TARGET = "<= 2"


async def _patched(folder: Path) -> tuple[list[float], int, int]:
    """Seconds of each order, upserts that the broker refused, refusals told by name."""
    took_s = []
    async with rig(folder, BY_HTTP, free_port(), Forwarder()) as found:
        for number in range(ORDERS):
            began_s = time.monotonic()
            status, told = await found.write(_level(number))
            took_s.append(time.monotonic() - began_s)
            assert status == 204, told
        named = 0
        for wrong, word in ((1.5, "out_of_range"), ("dim", "wrong_type")):
            named += (await found.write(wrong))[1]["title"] == word
        await found.node.cut_power()
        named += (await found.write(0.5))[1]["title"] == "expired"
        return took_s, len(found.broker.conflicts), named


async def _notified(folder: Path) -> tuple[list[float], int]:
    """Seconds of each order, and how many came to something that was no order."""
    took_s = []
    async with notified(folder) as found:
        for number in range(ORDERS):
            began_s = time.monotonic()
            await found.write(_level(number))
            await until(lambda: _is_over(found, number + 1))  # noqa: B023 - waited for here
            took_s.append(time.monotonic() - began_s)
        await asyncio.sleep(6)  # the lamp reports each 5 s
        return took_s, len(found.ends()) - ORDERS


async def _commanded(folder: Path) -> list[float]:
    """Seconds of each command of an IoT Agent."""
    scene = iota.Scene(folder)
    took_s: list[float] = []

    async def story(scene: iota.Scene) -> None:
        there, lamp = scene.there, scene.lamps[0]
        await scene.nursery.begin(Doom())
        await scene.online()
        for number in range(1, ORDERS + 1):
            value = {"level_pct": 40, "hold_s": number}
            at_s = await there.ask(iota.urn(lamp), "set_level", value)
            await until(lambda: len(there.answers) >= number)  # noqa: B023 - waited for here
            took_s.append(there.answers[-1][0] - at_s)

    await scene.play(story)
    return took_s


def _level(number: int) -> float:
    """Ever lower, so that no report in the midst of a fade is the next order's very value."""
    return (90 - number) / 100


def _is_over(found: Rig, orders: int) -> bool:
    return len(found.ends()) >= orders


def figures() -> list[Figure]:
    """Targets of orders beside what they come to."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").mkdir()
        (Path(folder) / "b").mkdir()
        (Path(folder) / "c").mkdir()
        by_patch, conflicts, named = asyncio.run(_patched(Path(folder) / "a"))
        by_mqtt, echoes = asyncio.run(_notified(Path(folder) / "b"))
        by_agent = asyncio.run(_commanded(Path(folder) / "c"))
    return [
        Figure("order by PATCH, p50", statistics.median(by_patch), "s"),
        Figure("order by PATCH, longest", max(by_patch), "s", TARGET),
        Figure("order by notification, p50", statistics.median(by_mqtt), "s"),
        Figure("order by notification, longest", max(by_mqtt), "s", TARGET),
        Figure("order by an IoT Agent, p50", statistics.median(by_agent), "s"),
        Figure("order by an IoT Agent, longest", max(by_agent), "s", TARGET),
        Figure("refused and expired ones told by name, of 3", named, "", ">= 3"),
        Figure("our own values taken for orders", echoes, "", "<= 0"),
        Figure("upserts of what is registered exclusively", conflicts, "", "<= 0"),
    ]
