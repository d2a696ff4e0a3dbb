"""A release into the real node: its firmware from its flash, under MicroPython, over its UART."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kerbline.bundle import load, loads, parts
from kerbline.field import install
from kerbline.firmware import cross
from kerbline.sim.repl import StockBoard
from tests.field import releases
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.test_update import LONG_S, Scene, gateway, run_is

BOARD = "streetlight-esp32"
HEALED_S = 180.0


def contents(job: install.Job, **changes: Any) -> bytes:
    """An unsigned release of what the job installs."""
    firmware = job.firmware
    files = {
        name: data for name, data in firmware.files.items() if name not in ("manifest", "sequence")
    }
    made: dict[str, Any] = {
        "board": BOARD,
        "files": files,
        "starts": dict(firmware.starts),
        "sequence": 1,
        **changes,
    }
    return releases.unsigned(**made)


# A start that feeds the watchdog, and says nothing.
MUTE = """
import machine, time
dog = machine.WDT(timeout=30000)
while True:
    dog.feed()
    time.sleep(1)
"""


async def brought(
    folder: Path, micropython: Path, link: str, *, start: bytes = b"", why: str = ""
) -> None:
    """`start`: the release's own, and `why` the node leaves it."""
    scene = Scene(folder)
    root = releases.key().root
    text = at_hand.SETTINGS.replace('link = "uart"', f'link = "{link}"')
    if link == "udp":
        text += f'gateway = "127.0.0.1:{scene.udp}"\n'
        text += f'[wifi]\nssid = "street"\npassword = "{at_hand.PASSWORD}"\n'
    settings = at_hand.settings_file(folder, text.replace("debug", "release"))
    job = replace(install.prepare(BOARD, settings, None), root=root.hss)
    (folder / "node.key").write_text(at_hand.KEY)
    (folder / "node.key").chmod(0o600)
    before = loads(contents(job), "before", None)
    changed = {**before.files, "kerbnode/added.mpy": b"M\x06\x00\x1f" + bytes(500)}
    if start:
        changed["kerbnode/start.mpy"] = start
        assert changed.keys() - before.files.keys() == {"kerbnode/added.mpy"}
    new = loads(contents(job, files=changed, sequence=2), "new", None)
    delta = parts.made(new.manifest_bytes, new.object, before.manifest_bytes, before.object)
    path = folder / "new.kerb"
    path.write_bytes(
        releases.key().signed(contents(job, files=changed, sequence=2, patches=((before, delta),)))
    )
    release = load(path, root)
    async with StockBoard(folder, micropython) as board:
        await at_hand.installed(job, board)
        await board.cut_power()
        board.power_on()
        scene.ports["sl-0001"] = "udp" if link == "udp" else board.line_url
        scene.key = at_hand.KEY
        scene.write('[firmware]\nroot = "release.pub"\nline_share_pct = 80\n')
        async with gateway(scene):
            await scene.until(lambda _: "says of itself" in scene.log())
            code, said = await scene.said("start", "new.kerb", "--soak", "0")
            assert code == 0, said
            began_s = time.monotonic()
            await scene.until(run_is("stopped" if start else "ended"), 4 * LONG_S)
            if start:
                assert f"rolled back: the new build {why}" in scene.log()
                assert time.monotonic() - began_s < HEALED_S
                return
        files_there = at_hand.on_flash(board)
    assert files_there["/slot_b"] == release.manifest_bytes
    assert at_hand.running(files_there, "slot_b") == {**release.files, **job.firmware.starts}


@pytest.mark.nightly  # every day: test_update_image
@pytest.mark.parametrize("link", ["uart", "udp"])
def test_a_node_takes_a_release(tmp_path: Path, micropython: Path, link: str) -> None:
    asyncio.run(brought(tmp_path, micropython, link))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("start", "why"),
    [
        (b"M\x06\x00\x1f", "did not come up in 3 starts"),
        (
            cross.compile_text(MUTE, "start", "xtensawin").content,
            "had no word of the gateway for 120 s",
        ),
    ],
    ids=["none", "mute"],
)
def test_a_release_that_is_not_heard_is_left_by_the_node_and_stops_the_campaign(
    tmp_path: Path, micropython: Path, start: bytes, why: str
) -> None:
    asyncio.run(brought(tmp_path, micropython, "uart", start=start, why=why))
