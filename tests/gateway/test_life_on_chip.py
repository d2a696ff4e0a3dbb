"""A node on a stock image from the outside: its console, its watchdog, its restarts."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from hil_tests.rig import attached
from kerbline.sim.repl import BOOT_NOISE, StockBoard
from kerbwire import messages as m
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.boards_at_hand import PATIENT_S

INSTALL = (sys.executable, "-m", "kerbline", "node", "install", "--board", "streetlight-esp32")
PROMPT = b">>> "
PRESSES = 40


class Console:
    """UART0 of the board, for somebody who types."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def interrupted(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Press Ctrl-C until a prompt comes, or `enough` is true and PRESSES more are unheard."""
        heard, left = b"", PRESSES
        async with asyncio.timeout(PATIENT_S):
            while left:
                done = enough()
                self._writer.write(b"\r\x03\x03")
                try:
                    async with asyncio.timeout(0.05):
                        heard += await self._reader.read(4096)
                except TimeoutError:
                    left -= done
                if PROMPT in heard:
                    return True
        return False

    async def starts(self) -> None:
        """Read up to the ROM's next words: prompts of the life before are behind."""
        async with asyncio.timeout(PATIENT_S):
            await self._reader.readuntil(BOOT_NOISE)


@asynccontextmanager
async def typing(board: StockBoard) -> AsyncIterator[Console]:
    reader, writer = await asyncio.open_connection("127.0.0.1", board.port)
    try:
        yield Console(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def in_service(folder: Path, micropython: Path, kind: str) -> AsyncIterator[StockBoard]:
    """A node of that build on its board, without power; its key is in sl-0001.key."""
    settings = at_hand.settings_file(folder, at_hand.SETTINGS.replace('"debug"', f'"{kind}"'))
    async with StockBoard(folder, micropython) as board:
        process = await asyncio.create_subprocess_exec(
            *INSTALL,
            *("--port", board.url, "--settings", settings),
            *("--key-file", folder / "sl-0001.key"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0
        await board.cut_power()
        board.events.clear()
        yield board


def events_hold(board: StockBoard, event: str) -> bool:
    return event in board.events


async def ordered(board: StockBoard, folder: Path, op: int, *args: int) -> int:
    """The gateway's order to the node: its result."""
    way = attached(board.line_url, 115_200, "sl-0001", folder / "sl-0001.key", folder / "keys")
    async with way as gateway:
        await gateway.connect(PATIENT_S)
        return await gateway.command(op, *args)


def test_a_release_has_no_prompt_but_for_service(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board, typing(board) as console:
            board.power_on()
            runs = partial(events_hold, board, "watchdog 30000")
            assert not await console.interrupted(runs), "a Ctrl-C came through, at its start?"
            assert await ordered(board, tmp_path, m.OP_SERVICE, 600) == m.OK
            assert await console.interrupted()
            left = int(board.events[-1].removeprefix("watchdog "))
            assert 500_000 < left <= 600_000, "the watchdog ends the service"
            board.events.clear()
            board.bite()
            await console.starts()
            assert not await console.interrupted(runs)

    asyncio.run(scenario())


@pytest.mark.nightly
def test_a_debug_build_keeps_its_prompt(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "debug") as board, typing(board) as console:
            board.power_on()
            await board.happens("watchdog 30000")
            await asyncio.sleep(0.5)
            assert await console.interrupted()

    asyncio.run(scenario())


@pytest.mark.nightly
def test_a_release_whose_code_is_broken_starts_again_and_again(
    tmp_path: Path, micropython: Path
) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board, typing(board) as console:
            flash = board.flash.read_bytes()
            broken = flash.replace(b"from kerbnode import app", b"from kerbnode import xyz")
            assert broken != flash
            quick = broken.replace(b".sleep(10)", b".sleep(1) ")
            assert quick != broken
            board.flash.write_bytes(quick)
            board.power_on()
            assert not await console.interrupted(lambda: board.events.count("reset") >= 2)
            assert not [event for event in board.events if event.startswith(("pin", "pwm"))]

    asyncio.run(scenario())


@pytest.mark.nightly
def test_the_watchdog_three_times_is_safe_mode_until_an_order(
    tmp_path: Path, micropython: Path
) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board:
            board.power_on()
            for _ in range(3):
                await board.happens("pwm")  # the lamp is driven
                board.events.clear()
                board.bite()
            await board.happens("watchdog 30000")
            assert await ordered(board, tmp_path, m.OP_SET_LEVEL, 40, 60, 0) == m.UNSUPPORTED
            touched = [event for event in board.events if event.startswith(("pin", "pwm"))]
            assert touched == [], "the lamp is as reset left it"
            assert await ordered(board, tmp_path, m.OP_REBOOT) == m.OK
            await board.happens("pwm")

    asyncio.run(scenario())


@pytest.mark.nightly
def test_damaged_settings_leave_the_lamp_lit_and_the_watchdog_fed(
    tmp_path: Path, micropython: Path
) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board:
            file = tmp_path / "nvs.json"
            blobs = json.loads(file.read_text())
            blobs["kerbnode"]["settings"] = blobs["kerbnode"]["settings"][:-2] + "00"
            file.write_text(json.dumps(blobs))
            board.power_on()
            await board.happens("watchdog 30000")
            await asyncio.sleep(3)
            assert board.events == ["watchdog 30000"]

    asyncio.run(scenario())
