"""Boards and jobs for tests of building and installing."""

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import littlefs

from kerbline.field import install
from kerbline.field.settings import NodeSettings
from kerbline.firmware import build, collect, cross
from kerbline.sim.repl import StockBoard
from kerbwire import manifest

KEY = "8f3a5c0d1e9b47662a10c5d7e8f90b13"
OTHER_KEY = "01e2d3c4b5a69788706f5e4d3c2b1a9f"
PASSWORD = "rain on Weesperstraat"
SETTINGS = f"""
node_id = "sl-0001"
key_hex = "{KEY}"
asset = "streetlight"
link = "uart"
report_s = 1
build = "debug"
"""
PATIENT_S = 60.0


def settings_file(folder: Path, text: str = SETTINGS) -> Path:
    file = folder / "S.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def small_job(name: str, node_id: str = "sl-0001", key: str = KEY) -> install.Job:
    """A node of three short files that waits for ever; each is marked with the build's name."""
    parts = [
        build.Part(f"pkg/{part}.py", f"NAME = {name!r} * 9\n".encode() * size, True, 1)
        for part, size in (("one", 1), ("two", 60), ("three", 9))
    ]
    wait = b"import choice\nchoice.main()\n"
    wait += b"import pkg.one, machine, time\nmachine.WDT(timeout=30000)\n"
    wait += b"while True:\n    time.sleep_ms(10)\n"
    parts += [build.Part(f"{name}.mpy", fixed(name), True, 1) for name in ("choice", "slots")]
    parts.append(build.Part("main.py", wait, False, len(wait)))
    target = build.Target(name, "esp32", "")
    firmware = build.Firmware(target, tuple(parts), {"board": name})
    settings = NodeSettings(node_id, key, "streetlight", "uart", position=(52.37, 4.9))
    return install.Job(firmware, settings, {"node_id": node_id}, None, bytes.fromhex(key))


@cache
def fixed(name: str) -> bytes:
    """What chooses and mounts a slot, as a build has it."""
    tree = collect.tree()
    small = collect.together({fixed: tree[fixed].text for fixed in collect.FIXED})
    made = cross.compile_text(small[name], name, "xtensawin")
    assert not made.complaint
    return made.content


async def installed(job: install.Job, board: StockBoard, *, dry_run: bool = False) -> list[str]:
    """What the installer said."""
    said: list[str] = []
    await asyncio.to_thread(install.install, job, board.url, dry_run=dry_run, say=said.append)
    return said


def on_flash(board: StockBoard) -> dict[str, bytes]:
    """Every file on the board's flash, by path."""
    flash = board.flash.read_bytes()
    context = littlefs.UserContext(buffsize=len(flash))
    context.buffer = bytearray(flash)
    system = littlefs.LittleFS(
        context, block_size=4096, block_count=len(flash) // 4096, read_size=32, prog_size=32,
        lookahead_size=32, cache_size=128,
    )  # fmt: skip
    found = {}
    for folder, _, names in system.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with system.open(path, "rb") as file:
                found[path] = file.read()
    return found


def running(files: Mapping[str, bytes], slot: str) -> dict[str, bytes]:
    """The files that a slot names, by path in it, and the starts."""
    if f"/{slot}" not in files:
        return {}
    named = manifest.decode(files[f"/{slot}"]).entries
    there = {name: files[f"/o/{digest.hex()}"] for name, _, digest in named}
    assert all(len(there[name]) == size for name, size, _ in named)
    assert all(manifest.digest(there[name]) == digest for name, _, digest in named)
    starts = {path: files[f"/{path}"] for path in build.STARTS if f"/{path}" in files}
    return there | starts


def slot(board: StockBoard) -> str:
    """The good slot as NVS has it."""
    kept = blobs(board).get("slots")
    return build.SLOTS[kept[0]] if kept else build.SLOTS[0]


def whole(job: install.Job) -> dict[str, bytes]:
    """What a board runs that has all of the job."""
    return {**job.firmware.files, **job.firmware.starts}


def blobs(board: StockBoard) -> dict[str, bytes]:
    """The NVS of the node."""
    text = (board.flash.parent / "nvs.json").read_text()
    kept = json.JSONDecoder().raw_decode(text)[0] if text.strip() else {}
    return {name: bytes.fromhex(blob) for name, blob in kept.get("kerbnode", {}).items()}
