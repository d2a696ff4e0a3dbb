"""Flashing on the bench: 20 boards at once, a small change, and esptool by itself beside it.

The boards are esp32-mock-bootloader in another process; a real chip's time is that of its line
(1.1 MB at 460,800 baud: 24 s), which all boards of a batch take side by side.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from kerbline.boardtools import loader
from kerbline.field import flash, flash_images
from kerbline.field.flash import Job, Step
from kerbline.field.flash_images import Cache, Memory
from kerbline.sim import bench_chip
from tools.figures import Figure

BOARDS = 20
APP_BYTES = 1_600_000  # as MicroPython 1.24's for ESP32_GENERIC
BOARD = "streetlight-esp32"
CHANGED = 0x10_0000
RUNS = 5


@contextmanager
def bench(folder: Path, count: int) -> Iterator[list[str]]:
    """The URLs of so many bare boards, in a process of their own."""
    command = [sys.executable, "-m", "kerbline.sim.bench_board", str(folder), str(count), "esp32"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as far:
        assert far.stdout is not None
        yield [far.stdout.readline().strip() for _ in range(count)]


def quiet(step: Step) -> None:
    """Nobody watches."""


def changed(job: Job, seed: int) -> Job:
    """2 kB of the file system are others."""
    system = bytearray(job.system)
    system[CHANGED : CHANGED + 2048] = Random(seed).randbytes(2048)
    return replace(job, system=bytes(system))


def figures() -> list[Figure]:
    """Every target beside its figure."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        cache = Cache(folder / "cache")
        memory = Memory(folder / "flashed", cache)
        flash_images.replaced(folder / "mp.bin", bench_chip.stock_image("esp32", APP_BYTES))
        job = flash.prepare(BOARD, folder / "mp.bin", "", cache)
        with bench(folder / "boards", BOARDS + 1) as ports:
            return [*_alone(job, ports[-1], folder), *_batch(job, ports[:-1], memory)]


def _alone(job: Job, port: str, folder: Path) -> list[Figure]:
    """esptool's own command, with the same bytes."""
    words = [sys.executable, "-m", "esptool", "--chip", "esp32", "--port", port, "write-flash"]
    for each in job.regions():
        file = folder / f"{each.offset:x}.bin"
        file.write_bytes(each.data)
        words += [hex(each.offset), str(file)]
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return [Figure("esptool's own command, one board", time.monotonic() - began, "s")]


def _batch(job: Job, ports: list[str], memory: Memory) -> list[Figure]:
    began, cpu = time.monotonic(), time.process_time()
    outcomes = flash.many(job, ports, memory, quiet)
    taken, cpu = time.monotonic() - began, time.process_time() - cpu
    sent = [each.written.sent_bytes for each in outcomes if each.written]
    again = time.monotonic()
    same = flash.many(job, ports, memory, quiet)
    again = time.monotonic() - again
    small = []
    for seed in range(RUNS):
        began = time.monotonic()
        (done,) = flash.many(changed(job, seed), ports[:1], memory, quiet)
        small.append(time.monotonic() - began)
    assert done.written is not None
    began = time.monotonic()
    everywhere = flash.many(changed(job, RUNS), ports, memory, quiet)
    all_small = time.monotonic() - began
    failed = sum(each.fault is not None for each in (*outcomes, *same, *everywhere, done))
    return [
        Figure(f"{BOARDS} boards, bare, in one process", taken, "s", "<= 25"),
        Figure("the same: our CPU a board", cpu / BOARDS, "s"),
        Figure("the same: sent to a board", median(sent) / 1024, "KiB"),
        Figure("boards that failed", failed, "", "<= 0"),
        Figure(f"{BOARDS} boards that have all of it", again, "s"),
        Figure("one board, 2 kB changed", median(small), "s", "<= 1"),
        Figure("the same: sent", done.written.sent_bytes, "bytes"),
        Figure("the same: written", done.written.written_bytes, "bytes"),
        Figure(f"{BOARDS} boards, 2 kB changed", all_small, "s"),
        Figure("a line at 460,800 baud: the batch's bytes", max(sent) * 10 / loader.BAUD, "s"),
    ]
