"""Runs the real firmware, one process a node, under MicroPython where there is one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerbline import carried
from kerbline.sim import children

HEAP = "heapsize=4M"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs the firmware: `name` for people, and how to start it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def interpreter() -> Interpreter:
    """MicroPython's Unix port, found beside our Python or on the path; else this CPython."""
    path = [os.fspath(carried.firmware()), os.fspath(carried.wire())]
    beside = sysconfig.get_path("scripts")
    binary = shutil.which("micropython", path=beside) or shutil.which("micropython")
    if binary is not None:
        asked = "import sys; print(*sys.implementation[1][:3], sep='.')"
        answer = subprocess.run([binary, "-c", asked], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            libraries = os.pathsep.join([".frozen", *path])
            name = f"MicroPython {answer.stdout.strip()}"
            return Interpreter(name, (binary, "-X", HEAP), {"MICROPYPATH": libraries})
    version = ".".join(map(str, sys.version_info[:3]))
    environment = {"PYTHONPATH": os.pathsep.join(path)}
    return Interpreter(f"CPython {version}", (sys.executable, "-s"), environment)


class Node:
    """One node: its folder is its flash; power goes on and off as often as one likes."""

    def __init__(self, folder: Path, runs_on: Interpreter) -> None:
        self.folder = folder
        self.crashes = 0  # ends that nobody asked for; each is followed by a new start
        self._runs_on = runs_on
        self._keeper: asyncio.Task[None] | None = None

    def power_on(self) -> None:
        """Boots it, and again when it ends by itself, as a watchdog would."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_running())

    async def cut_power(self) -> None:
        """SIGKILL, at once; returns when it is gone."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep_running(self) -> None:
        main = carried.firmware() / "main.py"
        environment = {**self._runs_on.environment, "KERBNODE_DIR": os.fspath(self.folder)}
        while True:
            child = await children.start(
                [*self._runs_on.command, main], self.folder / "log.txt", environment
            )
            try:
                await child.process.wait()
            finally:
                await child.kill()
            self.crashes += 1
            await asyncio.sleep(0.2)


def write_settings(folder: Path, settings: Mapping[str, object], key: bytes) -> None:
    """Makes the folder of a fresh node: settings with their CRC, and its first key."""
    nvs = folder / "nvs"
    nvs.mkdir(parents=True)
    (folder / "flash").mkdir()
    body = json.dumps(settings).encode()
    write_private(nvs / "settings", body + struct.pack("<I", zlib.crc32(body)))
    write_private(nvs / "key", struct.pack(">I", 0) + key)


def write_private(path: Path, content: bytes) -> None:
    """Writes a new file that only its owner reads; FileExistsError when it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def write_claim(folder: Path, sealed: bytes) -> None:
    """Gives a node the claim that a technician's laptop has sealed."""
    write_private(folder / "nvs" / "claim", sealed)
