"""A release with a MicroPython image through a gateway into a whole board, bootloader and all.

The board has MicroPython's OTA partitions. Each release's start says on the console which it is,
and what it runs on: no boot may show a mix.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kerbline.bundle import Bundle, loads, parts
from kerbline.field import install
from kerbline.firmware import cross, image
from kerbline.local_socket import SOCKET_FILE, ask
from kerbline.sim import bench_chip
from kerbline.sim.repl import StockBoard
from kerbwire import manifest as manifests
from tests.field import releases
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.test_update import LONG_S, Scene, gateway, run_is

BOARD = "streetlight-esp32"
HEALED_S = 180.0
IMAGE_BYTES = 4_000
CUTS = 60
LOOK_S = 0.01
OTA = bench_chip.OTA_0, bench_chip.OTA_0 + 1
SAYS = """
import sys
print("RELEASE %d RUNS ON", *sys.implementation.version[:3])
from kerbnode.begun import main
"""
SAID = re.compile(rb"RELEASE (\d+) RUNS ON (\d+) (\d+) (\d+)\r")
# Feeds the watchdog, and says nothing to a gateway.
MUTE = """
import machine, sys, time
print("RELEASE %d RUNS ON", *sys.implementation.version[:3])
dog = machine.WDT(timeout=30000)
while True:
    dog.feed()
    time.sleep(1)
"""


def app(release: int, project: str = "micropython", size: int = IMAGE_BYTES) -> bytes:
    """A release's own image: 1.3N.0."""
    return bench_chip.app(f"1.3{release}.0", project, size=size)


@dataclass
class Life:
    """A board and its gateway; `boots`: the time, and which release on which image."""

    scene: Scene
    board: StockBoard
    job: install.Job
    held: Bundle  # the release that the node runs
    root: Any
    boots: list[tuple[float, tuple[int, str]]]

    def next(self, sequence: int, text: str = SAYS, **more: Any) -> str:
        """The file of a release that follows, with the parts from the one before."""
        new = loads(contents(self.job, sequence, text, **more), "new", None)
        made = parts.made(
            new.manifest_bytes, new.object, self.held.manifest_bytes, self.held.object
        )
        whole = contents(self.job, sequence, text, patches=((self.held, made),), **more)
        name = f"{sequence}.kerb"
        (self.scene.folder / name).write_bytes(releases.key().signed(whole))
        return name

    async def campaign(self, name: str, run: str) -> None:
        """Until it is so."""
        await self.start(name)
        await self.scene.until(run_is(run), 6 * LONG_S)

    async def start(self, name: str) -> None:
        await self.order("start", bundle=str(self.scene.folder / name), soak_min=0)

    async def order(self, verb: str, **more: Any) -> None:
        """What `kerbline update` asks for."""
        socket = self.scene.folder / "state" / SOCKET_FILE
        await asyncio.to_thread(ask, socket, {"ask": f"update-{verb}", **more}, LONG_S)

    async def until(self, fits: Callable[[], bool], within_s: float = LONG_S) -> None:
        """It is so; TimeoutError."""
        for _ in range(int(within_s / LOOK_S)):
            if fits():
                return
            await asyncio.sleep(LOOK_S)
        raise TimeoutError(self.scene.log())

    @property
    def seen(self) -> list[tuple[int, str]]:
        """Which release, on which image, at each boot."""
        return [told for _, told in self.boots]

    @property
    def images(self) -> list[str]:
        """What the bootloader started, in order."""
        return [event[6:] for event in self.board.events if event.startswith("image ")]

    @property
    def good(self) -> bytes:
        """The manifest of the good slot."""
        return at_hand.on_flash(self.board)[f"/{at_hand.slot(self.board)}"]


def contents(job: install.Job, sequence: int, text: str = SAYS, **changes: Any) -> bytes:
    """An unsigned release of the job's files, started by that text."""
    files = dict(job.firmware.files)
    files["kerbnode/begun.mpy"] = files["kerbnode/start.mpy"]
    files["kerbnode/start.mpy"] = cross.compile_text(text % sequence, "start.py", "").content
    made: dict[str, Any] = {
        "board": BOARD,
        "files": files,
        "starts": dict(job.firmware.starts),
        "sequence": sequence,
        **changes,
    }
    return releases.unsigned(**made)


def laid(folder: Path, job: install.Job, held: Bundle, apps: Mapping[int, bytes]) -> None:
    """A board's flash with that release on it, as a cable lays it."""
    (folder / "apps.bin").write_bytes(bench_chip.apps("esp32", apps))
    objects = {f"o/{manifests.digest(each).hex()}": each for each in held.files.values()}
    files = {"slot_a": held.manifest_bytes, **objects, **job.firmware.starts}
    size = bench_chip.partitions((folder / "apps.bin").read_bytes())["vfs"].size
    (folder / "flash.bin").write_bytes(image.made(files, size))
    blobs = {
        "settings": job.blob,
        "key": bytes(4) + job.secret,
        "origin": job.origin,
        "root": install.checked(job.root),
        "slots": install.slots_blob("slot_a", held.manifest_bytes),
    }
    kept = {"kerbnode": {name: blob.hex() for name, blob in blobs.items()}}
    (folder / "nvs.json").write_text(json.dumps(kept))


@asynccontextmanager
async def living(
    folder: Path, micropython: Path, apps: Mapping[int, bytes] | None = None
) -> AsyncIterator[Life]:
    """A board that runs release 1 on image 1, and its gateway; `apps`: what is in which."""
    scene = Scene(folder)
    settings = at_hand.settings_file(folder, at_hand.SETTINGS.replace("debug", "release"))
    job = replace(install.prepare(BOARD, settings, None), root=releases.key().root.hss)
    held = loads(contents(job, 1, image=app(1)), "held", None)
    laid(folder, job, held, apps or {OTA[0]: app(1), OTA[1]: b""})
    async with StockBoard(folder, micropython) as board:
        life = Life(scene, board, job, held, releases.key().root, [])
        listens = asyncio.create_task(listen(life))
        scene.ports["sl-0001"] = board.line_url
        scene.key = at_hand.KEY
        scene.write('[firmware]\nroot = "release.pub"\nline_share_pct = 80\n')
        async with gateway(scene):
            await scene.until(lambda _: "says of itself" in scene.log())
            yield life
        listens.cancel()
        with suppress(asyncio.CancelledError):
            await listens


async def listen(life: Life) -> None:
    """What the console tells of each boot."""
    reader, writer = await asyncio.open_connection("127.0.0.1", life.board.port)
    heard = b""
    try:
        while data := await reader.read(4096):
            heard += data
            for found in SAID.finditer(heard):
                told = int(found[1]), b".".join(found.groups()[1:]).decode()
                life.boots.append((time.time(), told))
                heard = heard[found.end() :]
    finally:
        writer.close()


def healed_s(life: Life) -> float:
    """From the first order to start until release 1 runs again."""
    orders = [line for line in life.scene.log().splitlines() if "is told to start" in line]
    began = time.mktime(time.strptime(orders[0][:19], "%Y-%m-%d %H:%M:%S"))
    back = next(at for at, (release, _) in life.boots if release == 1 and at > began + 1)
    print("healed in", back - began, "s;", life.images)
    return back - began


async def lived(folder: Path, micropython: Path) -> None:
    async with living(folder, micropython) as life:
        board, scene = life.board, life.scene
        bad = life.next(2, image=app(2, "panics"))
        await life.campaign(bad, "stopped")
        assert "rolled back: the new build did not come up in 3 starts" in scene.log()
        assert healed_s(life) < HEALED_S
        assert board.events.count("panic") == 3
        assert life.good == life.held.manifest_bytes and set(life.seen) == {(1, "1.31.0")}
        assert life.images[-1] == "ota_0 1.31.0"
        await life.order("turn", to="abort")

        good = life.next(3, image=app(3))
        board.faults.off_at = ["reset", "image ota_0", "reset"]
        await life.start(good)
        await life.until(lambda: not board.powered)
        before = len(life.images)
        board.power_on()
        await scene.until(run_is("ended"))
        assert life.images[before:] == ["ota_1 1.33.0"], "it was to be started, and is"
        release = loads(contents(life.job, 3, image=app(3)), "new", None)
        assert life.good == release.manifest_bytes
        assert set(life.seen) == {(1, "1.31.0"), (3, "1.33.0")}

        told = len(life.boots)
        await board.cut_power()
        flash = bytearray(board.apps.read_bytes())
        at = bench_chip.partitions(flash)["otadata"].offset
        flash[at : at + 0x2000] = Random(3).randbytes(0x2000)
        board.apps.write_bytes(flash)
        board.power_on()
        await life.until(lambda: len(life.boots) > told)
        assert life.images[before + 1 :] == ["ota_0 1.31.0", "ota_1 1.33.0"], "it knows its image"
        assert life.seen[-1] == (3, "1.33.0")


def test_a_board_takes_an_image_with_its_modules_or_keeps_both_of_before(
    tmp_path: Path, micropython: Path
) -> None:
    asyncio.run(lived(tmp_path, micropython))


async def unheard(folder: Path, micropython: Path) -> None:
    async with living(folder, micropython) as life:
        await life.campaign(life.next(2, MUTE, image=app(2)), "stopped")
        assert "rolled back: the new build had no word of the gateway for 120 s" in life.scene.log()
        assert healed_s(life) < HEALED_S
        assert life.images[-1] == "ota_0 1.31.0" and life.good == life.held.manifest_bytes
        assert set(life.seen) == {(1, "1.31.0"), (2, "1.32.0")}


@pytest.mark.nightly
def test_an_image_whose_modules_are_not_heard_leaves_with_them(
    tmp_path: Path, micropython: Path
) -> None:
    asyncio.run(unheard(tmp_path, micropython))


async def hung(folder: Path, micropython: Path) -> None:
    """Nothing of ours runs on such an image: power that goes is what ends it."""
    async with living(folder, micropython) as life:
        board = life.board
        await life.start(life.next(2, image=app(2, "hangs")))
        for _ in range(3):
            hangs = board.events.count("hangs")
            await life.until(lambda: board.events.count("hangs") > hangs)  # noqa: B023
            await board.cut_power()
            board.power_on()
        await life.scene.until(run_is("stopped"))
        assert life.images[-1] == "ota_0 1.31.0" and life.good == life.held.manifest_bytes
        assert set(life.seen) == {(1, "1.31.0")}


@pytest.mark.nightly
def test_an_image_that_hangs_before_anything_runs_is_left_as_the_power_goes(
    tmp_path: Path, micropython: Path
) -> None:
    asyncio.run(hung(tmp_path, micropython))


async def stormed(folder: Path, micropython: Path, seed: int) -> None:
    chance = Random(seed)
    async with living(folder, micropython) as life:
        board, scene = life.board, life.scene
        size = 20_000 + 40_000 * seed  # so much that the cuts end in it, or that they go on behind
        await life.start(life.next(2, image=app(2, size=size)))
        for _ in range(CUTS):
            await asyncio.sleep(chance.choice((0.3, 1.0, 3.0)) * chance.random())
            await board.cut_power()
            board.power_on()
            found = await scene.status()
            if found["campaign"]["run"] == "stopped":
                await life.order("turn", to="resume")
        stops = 0
        while (await scene.until(stands, 12 * LONG_S))["campaign"]["run"] == "stopped":
            stops += 1
            assert stops < 9, scene.log()
            await life.order("turn", to="resume")
        print("boots", len(life.images), "starts of image 2", life.images.count("ota_1 1.32.0"))
        assert life.images[-1] == "ota_1 1.32.0"
        assert set(life.seen) <= {(1, "1.31.0"), (2, "1.32.0")}, "a mix"
        assert life.seen[-1] == (2, "1.32.0")


def stands(found: dict[str, Any]) -> bool:
    """Does nothing go on?"""
    return run_is("ended")(found) or run_is("stopped")(found)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2))
def test_a_board_that_is_killed_all_the_time_runs_no_mix_and_ends_on_the_release(
    tmp_path: Path, micropython: Path, seed: int
) -> None:
    asyncio.run(stormed(tmp_path, micropython, seed))


async def of_real_size(folder: Path, micropython: Path) -> None:
    async with living(folder, micropython) as life:
        name = life.next(2, image=app(2, size=1_500_000))
        began = time.monotonic()
        await life.campaign(name, "ended")
        print("in all", time.monotonic() - began, "s")
        assert life.images[-1] == "ota_1 1.32.0"
        assert set(life.seen) == {(1, "1.31.0"), (2, "1.32.0")}


@pytest.mark.nightly
def test_an_image_of_real_size_comes_over_the_line(tmp_path: Path, micropython: Path) -> None:
    asyncio.run(of_real_size(tmp_path, micropython))


async def refused(folder: Path, micropython: Path, kind: int) -> None:
    async with living(folder, micropython, {kind: app(1)}) as life:
        before = life.board.apps.read_bytes()
        await life.campaign(life.next(2, image=app(2)), "stopped")
        assert "refused: it brings another MicroPython image" in life.scene.log()
        assert life.board.apps.read_bytes()[bench_chip.APP_AT :] == before[bench_chip.APP_AT :]
        await life.order("turn", to="abort")
        await life.campaign(life.next(3, image=app(1)), "ended")
        assert set(life.seen) == {(1, "1.31.0"), (3, "1.31.0")}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [bench_chip.FACTORY, OTA[0]], ids=["factory", "ota_0"])
def test_a_board_with_one_app_partition_keeps_its_image(
    tmp_path: Path, micropython: Path, kind: int
) -> None:
    asyncio.run(refused(tmp_path, micropython, kind))
