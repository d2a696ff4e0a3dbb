"""A node on a stock image whose NVS can't be read: what it says, and what it spares."""

import asyncio
import json
from pathlib import Path

import pytest

from hil_tests.rig import attached
from kerbline.sim.repl import StockBoard
from kerbnode.identity import MARKS
from kerbwire import messages as m
from tests.gateway.boards_at_hand import PATIENT_S
from tests.gateway.test_life_on_chip import in_service

Diagnosis = dict[int, int | bytes]


async def greeted(folder: Path, board: StockBoard) -> tuple[m.Info, Diagnosis]:
    """What the node says of itself to a gateway that comes."""
    way = attached(board.line_url, 115_200, "sl-0001", folder / "sl-0001.key", folder / "keys")
    async with way as gateway:
        info = await gateway.connect(PATIENT_S)
        return info, (await gateway.hear("DIAG", PATIENT_S))[1]


class Blobs:
    """The NVS of a board without power."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "nvs.json"
        self._deaf: dict[str, str | None] = {}

    def deafen(self, *names: str) -> None:
        """From here on these can't be read."""
        blobs = self._read()
        self._deaf = {name: blobs[name] for name in names}
        self._write(blobs | dict.fromkeys(names))

    def mend(self) -> None:
        """They can."""
        self._write(self._read() | self._deaf)

    def _read(self) -> dict[str, str | None]:
        blobs: dict[str, str | None] = json.loads(self._file.read_text())["kerbnode"]
        return blobs

    def _write(self, blobs: dict[str, str | None]) -> None:
        self._file.write_text(json.dumps({"kerbnode": blobs}))


@pytest.mark.nightly
def test_nvs_that_can_not_be_read_is_safe_mode_and_costs_no_log(
    tmp_path: Path, micropython: Path
) -> None:
    """Three boots end at once, with 1 s instead of 10 before the next; the fourth has a link."""

    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board:
            flash = board.flash.read_bytes()
            quick = flash.replace(b".sleep(10)", b".sleep(1) ")
            assert quick != flash
            board.flash.write_bytes(quick)
            board.power_on()
            before, _ = await greeted(tmp_path, board)
            await board.cut_power()
            blobs = Blobs(tmp_path)
            blobs.deafen(*MARKS)
            board.events.clear()
            board.power_on()
            info, diagnosis = await greeted(tmp_path, board)
            assert info.epoch == 0
            assert diagnosis[m.DIAG_FAILED_BOOTS] == board.events.count("reset") == 3
            assert not [event for event in board.events if event.startswith(("pin", "pwm"))]
            await board.cut_power()
            blobs.mend()
            board.power_on()
            after, _ = await greeted(tmp_path, board)
            assert after.epoch == before.epoch and after.next_rseq >= before.next_rseq

    asyncio.run(scenario())


@pytest.mark.nightly
def test_a_key_that_can_not_be_read_leaves_the_lamp_lit_until_it_can(
    tmp_path: Path, micropython: Path
) -> None:
    async def scenario() -> None:
        async with in_service(tmp_path, micropython, "release") as board:
            flash = board.flash.read_bytes()
            board.flash.write_bytes(flash.replace(b".sleep(10)", b".sleep(1) "))
            blobs = Blobs(tmp_path)
            blobs.deafen("key")
            board.power_on()
            await board.happens("reset")
            await board.happens("reset")
            assert not [event for event in board.events if event.startswith(("pin", "pwm"))]
            await board.cut_power()
            blobs.mend()
            board.power_on()
            await board.happens("pwm")

    asyncio.run(scenario())
