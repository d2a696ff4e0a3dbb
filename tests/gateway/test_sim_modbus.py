"""The simulated cabinet: its meter's day, and the process that serves it."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.config import Register
from kerbline.ports import open_port
from kerbline.sim.modbus import DAY_MS, ENERGY_KWH, LAMP_W, LAMPS, POWER_W, Cabinet
from kerbline.south.modbus.bus import Bus, Framing, NoAnswer
from kerbline.south.modbus.decode import decode

NIGHT_MS = 20_000 * DAY_MS + 22 * 3_600_000


def test_the_lamps_burn_at_night_only() -> None:
    cabinet = Cabinet()
    assert cabinet.load_w(NIGHT_MS) > LAMPS * LAMP_W
    assert cabinet.load_w(NIGHT_MS + DAY_MS // 2) < 100


def test_the_counter_never_runs_back_and_grows_by_the_load() -> None:
    cabinet = Cabinet()
    quarter_ms = 900_000
    counts = [cabinet.registers(NIGHT_MS + n * quarter_ms)[ENERGY_KWH] for n in range(200)]
    for number, (before, after) in enumerate(itertools.pairwise(counts)):
        load_kw = cabinet.load_w(NIGHT_MS + number * quarter_ms + quarter_ms // 2) / 1000
        assert after - before == pytest.approx(load_kw / 4, rel=0.02)


@contextmanager
def served(*words: str) -> Iterator[str]:
    """A simulator in a process of its own; gives its address."""
    command = [sys.executable, "-m", "kerbline.sim.modbus", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, address = process.stdout.readline().split()
            assert ready == "ready"
            yield address
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()


async def power_w(address: str, framing: Framing, unit: int) -> float:
    port = await open_port(address, 19_200)
    try:
        words = await Bus(port, framing, 19_200).read(unit, "input", POWER_W, 2, 0.5)
    finally:
        port.close()
    value = decode(Register("power_w", POWER_W, "float32", "input"), words)
    assert value is not None
    return value


def test_it_serves_tcp_and_knows_its_units() -> None:
    with served("--tcp", "0", "--unit", "3", "--unit", "4") as address:
        for unit in (3, 4):
            assert asyncio.run(power_w(address, "tcp", unit)) > 0
        with pytest.raises(NoAnswer):
            asyncio.run(power_w(address, "tcp", 5))


def test_it_serves_rtu_on_a_pty_in_street_time(tmp_path: Path) -> None:
    link, table = tmp_path / "cabinet", tmp_path / "clock.json"
    table.write_text(json.dumps([[0, 0, 1], [1, NIGHT_MS, 1e-6]]))  # it stays night
    with served("--pty", str(link), "--clock-table", str(table)) as address:
        assert address == str(link)
        assert asyncio.run(power_w(address, "rtu", 1)) > LAMPS * LAMP_W
    assert not link.is_symlink()
