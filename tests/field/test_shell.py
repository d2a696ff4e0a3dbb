"""`kerbline shell` as it is started: a node under MicroPython, its gateway, its console."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kerbline.field import install
from kerbline.local_socket import SOCKET_FILE, ask
from kerbline.sim.repl import StockBoard
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.boards_at_hand import PATIENT_S

KERBLINE = (sys.executable, "-m", "kerbline")
GATEWAY = '[gateway]\nid = "gw"\nstate_dir = "state"\n\n'
ASKED = "its console is asked for, for"


async def kerbline(*words: object) -> tuple[int, str, str]:
    """Status, standard output and error of a command."""
    process = await asyncio.create_subprocess_exec(
        *KERBLINE,
        *map(str, words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert "Traceback" not in (out + error).decode(), error.decode()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


@asynccontextmanager
async def node(folder: Path, micropython: Path, kind: str) -> AsyncIterator[StockBoard]:
    """A node of that build at work."""
    text = at_hand.SETTINGS.replace('"debug"', f'"{kind}"')
    key_file = folder / "sl-0001.key"
    job = install.prepare("streetlight-esp32", at_hand.settings_file(folder, text), key_file)
    image = job.firmware.image()
    assert image is not None
    (folder / "flash.bin").write_bytes(image)  # as flashing writes it, and then the settings
    blobs = {"settings": job.blob.hex(), "key": (bytes(4) + job.secret).hex()}
    (folder / "nvs.json").write_text(json.dumps({"kerbnode": blobs}))
    key_file.write_text(at_hand.KEY + "\n")
    key_file.chmod(0o600)
    async with StockBoard(folder, micropython) as board:
        config = folder / "gateway.toml"
        table = install.table(job).replace('port = ""', f'port = "{board.line_url}"')
        config.write_text(GATEWAY + table)
        await board.happens("watchdog 30000", after=0)
        yield board


@asynccontextmanager
async def gateway(config: Path) -> AsyncIterator[Path]:
    """One that runs, with the node's session up: the file of its log."""
    (config.parent / "state").mkdir(exist_ok=True)
    log = config.parent / "gateway.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*KERBLINE, "run", config, stderr=out)
    try:
        await told(log, "session up", 1)
        yield log
    finally:
        process.terminate()
        await process.wait()


async def told(log: Path, text: str, times: int) -> None:
    """Wait until the gateway has said it so often."""
    async with asyncio.timeout(PATIENT_S):
        while log.read_text().count(text) < times:  # noqa: ASYNC110, ASYNC240 - another process writes it
            await asyncio.sleep(0.05)


def test_a_release_opens_for_its_gateway_alone(tmp_path: Path, micropython: Path) -> None:
    config = tmp_path / "gateway.toml"

    async def scenario() -> None:
        async with node(tmp_path, micropython, "release") as board:
            status, _, error = await kerbline("shell", board.url, "--run", "print(6*7)")
            assert status == 1 and "release build keeps its console closed" in error
            words = ("sl-0001", "--config", config, "--port", board.url, "--run", "print(6*7)")
            status, _, error = await kerbline("shell", *words)
            assert status == 1 and "no gateway runs here" in error and "service pin" in error
            async with gateway(config) as log:
                before = len(board.events)
                status, out, error = await kerbline("shell", *words, "--seconds", 600)
                assert (status, out) == (0, "42\n"), error
                assert f"node sl-0001: {ASKED} 600 s, by " in log.read_text()
                assert "reset" in board.events[before:], "the node runs again"
                await told(log, "session up", 2)
                mine = {"ask": "service", "node": "sl-0001", "seconds": 0, "id": "cli-of-my-own"}
                mine["who"] = "ann\nINFO kerbline: all is well"
                answer = await asyncio.to_thread(ask, tmp_path / "state" / SOCKET_FILE, mine)
                assert answer["state"] == "OK"
                said = f"{ASKED} 0 s, by ann?INFO kerbline: all is well (uid {os.getuid()})"
                assert said in log.read_text(), "whoever brings an id of his own is logged, too"
                status, _, error = await kerbline("shell", "lamp-9", *words[1:])
                assert status == 1 and "no such node here" in error

    asyncio.run(scenario())


@pytest.mark.nightly
def test_a_window_ends_with_the_visit(tmp_path: Path, micropython: Path) -> None:
    config = tmp_path / "gateway.toml"

    async def scenario() -> None:
        async with node(tmp_path, micropython, "release") as board, gateway(config) as log:
            words = ("sl-0001", "--config", config, "--port", board.url, "--run", "print(6*7)")
            assert (await kerbline("shell", *words))[0] == 0
            await told(log, "session up", 2)
            status, _, error = await kerbline("shell", board.url, "--run", "print(6*7)")
            assert status == 1 and "keeps its console closed" in error
            late = (*words[:-1], "import time; time.sleep(60)", "--seconds", 10)
            status, _, error = await kerbline("shell", *late)
            assert status == 1 and "its 10 s were over before that was done" in error
            assert "has started again, and its console is closed" in error
            await told(log, "session up", 3)
            wrong = ("sl-0001", "--config", config, "--port", board.line_url, "--run", "1")
            status, _, error = await kerbline("shell", *wrong, "--seconds", 12)
            assert status == 1 and "its console is closed again" in error
            assert log.read_text().count(ASKED) == 4

    asyncio.run(scenario())


@pytest.mark.nightly
def test_a_debug_build_has_its_prompt(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with node(tmp_path, micropython, "debug") as board:
            status, _, error = await kerbline("shell", board.url)
            assert status == 2 and "wants a terminal" in error
            status, out, error = await kerbline("shell", board.url, "--run", "print(6*7)")
            assert (status, out) == (0, "42\n"), error
            status, _, error = await kerbline("shell", "sl-0001", "--port", board.url)
            assert status == 2 and "--config" in error

    asyncio.run(scenario())
