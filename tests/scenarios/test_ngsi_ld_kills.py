"""`kerbline run` before a strict NGSI-LD broker that fails now and then, killed again and again.

Real time, real processes, real sockets; the nodes are the wire's engine over TCP.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from kerbline.sim.ngsi_ld import Fault, Request, Standin
from tests.scenarios.nursery import Doom
from tests.scenarios.outages import LedgerNode, Nursery
from tests.scenarios.test_ngsi_ld_faults import again, regressions

NIGHTLY = bool(os.environ.get("KERBLINE_NIGHTLY"))
NODES = 6
UP_S = 100  # the nodes had run for so long when it began
SHARE = 0.15  # of requests that fail
DRAINED_S = 240.0
LIFETIME = "lifetimePowerConsumption"  # in kWh: tells a record's number
CONFIG = """\
[gateway]
id = "gw-kill"
state_dir = "state"
[city]
id = "stad"
[store]
commit_readings = 12
commit_interval_s = 0.4
[[ngsi_ld]]
name = "platform"
url = "{url}"
backoff_max_s = 0.5
"""
NODE = """
[[node]]
id = "{name}"
asset = "of-{name}"
kind = "streetlight"
key_file = "{name}.key"
port = "socket://127.0.0.1:{port}"
"""


class Lamp(LedgerNode):
    """Reports each second, with the second of its life and its number as energy."""

    def __init__(self, number: int, began_s: float) -> None:
        super().__init__(f"sl-{number}", bytes([number + 1] * 16))
        self._began_s = began_s

    def boot(self) -> None:
        """The line came back; the clock went on meanwhile."""
        self.session.info.uptime_s = UP_S + int(time.monotonic() - self._began_s)
        super().boot()

    async def report(self) -> None:
        """A record a second, for ever."""
        while True:
            number = self.session.info.next_rseq
            await asyncio.sleep(self._began_s + number - time.monotonic())
            self.made[number] = number
            self.make(30, 245, number, 10, 12, 0, 0)


def numbers_at(broker: Standin, lamp: Lamp) -> list[int]:
    """Which of a lamp's records the broker has, by whichever way they came."""
    name = f"urn:ngsi-ld:Streetlight:stad:of-{lamp.name.decode()}"
    found = broker.entities.history.get(name, {}).get(LIFETIME, [])
    return [round(1000 * each["value"]) for each in found]


async def play(folder: Path, seed: int, kills: int) -> None:
    """Lives that are killed, then one that delivers what is left and ends in order."""
    chance = Random(seed)

    def fault(_: Request) -> Fault | None:
        if chance.random() > SHARE:
            return None
        kinds = [Fault(status=503), Fault(lost="request"), Fault(lost="answer")]
        kinds += [Fault(delay_s=0.3), Fault(status=429, headers={"retry-after": "1"})]
        return chance.choice(kinds)

    broker = Standin(fault)
    await broker.start()
    began_s = time.monotonic()
    lamps = [Lamp(n, began_s) for n in range(NODES)]
    text = CONFIG.format(url=broker.url)
    servers = [await lamp.serve() for lamp in lamps]
    for lamp, server in zip(lamps, servers, strict=True):
        name = lamp.name.decode()
        path = folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_text(lamp.key[1].hex())
        text += NODE.format(name=name, port=server.sockets[0].getsockname()[1])
    (folder / "gateway.toml").write_text(text)
    nursery = Nursery(folder)
    await nursery.open()
    reporting = [asyncio.create_task(lamp.report()) for lamp in lamps]
    try:
        for _ in range(kills):
            came = len(broker.arrivals)
            await nursery.begin(Doom())
            async with asyncio.timeout(DRAINED_S):
                while len(broker.arrivals) < came + 3:  # noqa: ASYNC110 - it looks from outside
                    await asyncio.sleep(0.05)
            await nursery.end(signal.SIGKILL, chance.uniform(0.2, 2.5))
        for task in reporting:
            task.cancel()
        await nursery.begin(Doom())
        async with asyncio.timeout(DRAINED_S):
            while not all(  # noqa: ASYNC110 - it looks from outside
                set(lamp.made) <= set(numbers_at(broker, lamp)) for lamp in lamps
            ):
                await asyncio.sleep(0.05)
        assert await nursery.end(signal.SIGTERM, 0.5) == 0
        assert list(regressions(broker)) == []
        assert sum(len(lamp.made) for lamp in lamps) > NODES * kills
        repeated = [key for key in again(broker) if key[1] == LIFETIME]
        # 8 commits of 12, what was not durable, and what was acknowledged within the last minute.
        assert len(repeated) <= kills * (8 * 12 + 12)
    finally:
        await nursery.close()
        for server in servers:
            server.close()
        await broker.stop()


@pytest.mark.parametrize("seed", range(20 if NIGHTLY else 1))
def test_a_killed_gateway_loses_nothing_and_turns_nothing_back(tmp_path: Path, seed: int) -> None:
    asyncio.run(play(tmp_path, seed, kills=12 if NIGHTLY else 3))
