"""`kerbline node install` against a stock image: the real mpremote, REPL, littlefs and node."""

import asyncio
import json
import os
import re
import shutil
import sys
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil_tests.rig import attached
from kerbline import boards, boardtools
from kerbline.boardtools import BoardFault, connected
from kerbline.config import load
from kerbline.field import install
from kerbline.field import settings as node_settings
from kerbline.firmware import build
from kerbline.sim.repl import StockBoard
from kerbwire import manifest
from kerbwire.messages import DIAG_BOARD, DIAG_BUILD, OP_SET_LEVEL
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.boards_at_hand import KEY, OTHER_KEY, PATIENT_S, installed, small_job

COMMAND = [sys.executable, "-m", "kerbline", "node", "install"]
CUTS = 14
NOWHERE = "socket://127.0.0.1:1"
GATEWAY = '[gateway]\nid = "gw"\nstate_dir = "state"\n\n'


async def kerbline(*words: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and error of an install as a user starts it."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert not any(secret in " ".join(map(str, words)) for secret in (KEY, at_hand.PASSWORD))
    out, error = await process.communicate()
    assert process.returncode is not None
    assert "Traceback" not in (out + error).decode()
    return process.returncode, out.decode(), error.decode()


def test_a_node_is_installed_and_talks_to_a_gateway(tmp_path: Path, micropython: Path) -> None:
    """From a fresh board to readings, dimming and a command, over the lines that a board has."""
    key_file = tmp_path / "sl-0001.key"
    job = install.prepare("streetlight-esp32", at_hand.settings_file(tmp_path), key_file)
    app = manifest.digest(job.firmware.files["kerbnode/app.mpy"]).hex()

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            said = await installed(job, board)
            assert f"writing /o/{app}" in " ".join(said)
            config = tmp_path / "gateway.toml"
            table = install.table(job).replace('port = ""', f'port = "{board.line_url}"')
            config.write_text(GATEWAY + table)
            (node,) = load(config).nodes
            assert (node.id, node.kind, node.baud) == ("sl-0001", "streetlight", 115_200)
            assert key_file.stat().st_mode & 0o777 == 0o600
            way = attached(node.port, node.baud, node.id, node.key_file, tmp_path / "keys")
            async with way as gateway:
                await gateway.connect(PATIENT_S)
                await gateway.hear("RECORD", PATIENT_S)
                told = dict((await gateway.hear("DIAG", PATIENT_S))[1])
                assert told[DIAG_BOARD] == b"streetlight-esp32"
                commit = str(job.firmware.about["commit"])
                assert told[DIAG_BUILD] == (
                    bytes(4) if commit == "unknown" else bytes.fromhex(commit[:8])
                )
                before = len(board.events)
                assert await gateway.command(OP_SET_LEVEL, 80, 60, 0) == 0
                await board.happens("pwm", after=before)
            # Again, while it runs: nothing to write, and the key that it has by now is kept.
            ratcheted = at_hand.blobs(board)["key"]
            said = await installed(job, board)
            assert "its code is this build already" in said
            assert at_hand.blobs(board)["key"] == ratcheted != bytes(4) + job.secret
            way = attached(node.port, node.baud, node.id, node.key_file, tmp_path / "keys")
            async with way as gateway:
                await gateway.connect(PATIENT_S)

    asyncio.run(scenario())


def test_the_command_prints_the_table_and_no_secret(tmp_path: Path, micropython: Path) -> None:
    wifi = f'wifi = {{ssid = "street", password = "{at_hand.PASSWORD}"}}\n'
    text = at_hand.SETTINGS.replace('"uart"', '"udp"') + 'gateway = "10.0.0.1:5683"\n' + wifi
    settings = at_hand.settings_file(tmp_path, text)
    key_file = tmp_path / "k"

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            words = ("--port", board.url, "--board", "streetlight-esp32", "--settings", settings)
            status, table, told = await kerbline(*words, "--key-file", key_file)
            assert status == 0, told
            (node,) = tomllib.loads(table)["node"]
            assert node["port"] == "udp" and node["key_file"] == str(key_file)
            for secret in (KEY, at_hand.PASSWORD):
                said = table + told + (tmp_path / "board.log").read_text()
                assert secret not in said
            assert at_hand.blobs(board)["wifi"] == b"street\0" + at_hand.PASSWORD.encode()
            assert key_file.read_text() == KEY + "\n"

    asyncio.run(scenario())


def test_whatever_cuts_the_link_leaves_a_whole_node(tmp_path: Path, micropython: Path) -> None:
    """Old code with old settings, or new with new; the next install completes."""
    old, new = small_job("old", "sl-0001"), small_job("new", "sl-0002", OTHER_KEY)
    nodes = {"sl-0001": at_hand.whole(old), "sl-0002": at_hand.whole(new)}

    async def scenario() -> None:
        first = tmp_path / "first"
        first.mkdir()
        async with StockBoard(first, micropython) as board:
            await installed(old, board)
            await settled(board)
            await board.cut_power()
            shutil.copytree(first, tmp_path / "old")
            board.events.clear()
            board.power_on()
            before = await settled(board)
            await installed(new, board)
            needed = await settled(board) - before
            assert running_node(board, nodes) == "sl-0002"
        ended = set()
        for cut in range(CUTS):
            folder = tmp_path / str(cut)
            shutil.copytree(tmp_path / "old", folder)
            async with StockBoard(folder, micropython) as board:
                board.faults.cut_after = await settled(board) + needed * (cut + 1) // (CUTS + 1)
                with pytest.raises(BoardFault, match=re.escape(board.url)):
                    await installed(new, board)
                await board.cut_power()
                ended.add(running_node(board, nodes))
                board.power_on()
                if cut % 6 == 0:
                    await installed(new, board)
                    await board.cut_power()
                    assert running_node(board, nodes) == "sl-0002"
                    left = at_hand.on_flash(board)
                    # and the image's boot.py, and the slot
                    assert len(left) == len(nodes["sl-0002"]) + 2, left.keys()
            shutil.rmtree(folder)
        assert "sl-0001" in ended

    asyncio.run(scenario())


def test_a_cable_that_is_back_is_enough(tmp_path: Path, micropython: Path) -> None:
    """Cut within a raw paste: Ctrl-C ends it, as the image does, and no watchdog is waited for."""
    old, new = small_job("old"), small_job("new")

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await installed(old, board)
            board.faults.cut_after = await settled(board) + 2500
            with pytest.raises(BoardFault, match="put the cable in again and repeat"):
                await installed(new, board)
            await installed(new, board)
            assert "bitten" not in board.events

    asyncio.run(scenario())


async def settled(board: StockBoard) -> int:
    """Bytes that the board has got when its node runs again."""
    if board.events[-1:] != ["watchdog 30000"]:
        await board.happens("watchdog 30000")
    return board.received


def running_node(board: StockBoard, nodes: dict[str, dict[str, bytes]]) -> str:
    """The node whose settings the board has; its code must be whole."""
    node_id: str = json.loads(at_hand.blobs(board)["settings"][:-4])["node_id"]
    there = at_hand.running(at_hand.on_flash(board), at_hand.slot(board))
    there.pop("boot.py", None)  # the image's own
    assert there == nodes[node_id]
    return node_id


FILL = """
with open('/junk', 'wb') as f:
    try:
        while 1:
            f.write(bytes(4096))
            f.flush()
            w()
    except OSError:
        pass
"""


def test_a_full_board_is_told_and_left_as_it_was(tmp_path: Path, micropython: Path) -> None:
    job = small_job("node")
    other = replace(job, kept={"node_id": "sl-0001", "report_s": 5})

    def fill(url: str) -> None:
        with connected(url, install.HELPERS) as repl:
            repl.run(FILL)
            repl.leave("machine.reset()")

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await installed(job, board)
            await settled(board)
            await asyncio.to_thread(fill, board.url)
            await settled(board)
            files, kept = at_hand.on_flash(board), at_hand.blobs(board)
            with pytest.raises(
                install.InstallFault, match=r"are free on the board, \d+ are needed"
            ):
                await installed(other, board)
            await board.cut_power()
            assert (at_hand.on_flash(board), at_hand.blobs(board)) == (files, kept)

    asyncio.run(scenario())


def test_a_board_whose_installer_went_away_starts_its_node(
    tmp_path: Path, micropython: Path
) -> None:
    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await installed(small_job("old"), board)
            board.faults.cut_after = await settled(board) + 3000
            with pytest.raises(BoardFault):
                await installed(small_job("new"), board)
            assert "watchdog 60000" in board.events  # ours, which nobody feeds now
            board.bite()
            await board.happens("watchdog 30000")  # the node's own

    asyncio.run(scenario())


def test_slow_and_noisy_lines_are_borne(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            board.faults.slow_s = 0.01
            board.faults.noise = os.urandom(2000).replace(b">", b"<")
            await installed(small_job("node"), board)
            await settled(board)
            assert running_node(board, {"sl-0001": at_hand.whole(small_job("node"))})

    asyncio.run(scenario())


def test_a_dry_run_changes_nothing(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await installed(small_job("old"), board)
            await settled(board)
            files, kept = at_hand.on_flash(board), at_hand.blobs(board)
            said = await installed(small_job("new", key=OTHER_KEY), board, dry_run=True)
            assert any("would write /o/" in line for line in said)
            await board.cut_power()
            assert (at_hand.on_flash(board), at_hand.blobs(board)) == (files, kept)

    asyncio.run(scenario())


def test_what_an_older_install_left_goes(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await asyncio.to_thread(litter, board.url)
            await installed(small_job("node"), board)
            await settled(board)
            left = at_hand.on_flash(board)
            assert not any("kerbnode" in path or "stale" in path for path in left)
            assert left["/journal/1.seg"] == b"kept"
            assert running_node(board, {"sl-0001": at_hand.whole(small_job("node"))})

    asyncio.run(scenario())


LITTER = """
import os
for folder in ('/kerbnode', '/kerbnode/hal', '/a', '/journal'):
    os.mkdir(folder)
for path in ('/kerbnode/app.mpy', '/kerbnode/hal/esp32.mpy', '/main.mpy', '/a/stale.mpy'):
    open(path, 'w').close()
with open('/journal/1.seg', 'w') as file:
    file.write('kept')
"""


def litter(url: str) -> None:
    """Runs LITTER as a person with mpremote does."""
    with connected(url) as repl:
        repl.run(LITTER)


def test_a_closed_console_is_told(tmp_path: Path, micropython: Path) -> None:
    """A release build answers no Ctrl-C: said within the patience, with what to do."""
    job = small_job("closed")
    shut = b"import micropython\nmicropython.kbd_intr(-1)\nmachine.WDT"
    closed = job.firmware.starts["main.py"].replace(b"machine.WDT", shut)
    parts = [*job.firmware.parts[:-1], build.Part("main.py", closed, False, 1)]
    job = replace(job, firmware=replace(job.firmware, parts=tuple(parts)))

    def knock(url: str) -> None:
        with connected(url, patience_s=3):
            pass

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await installed(job, board)
            await settled(board)
            with pytest.raises(BoardFault, match=r"no REPL answers.*service pin"):
                await asyncio.to_thread(knock, board.url)

    asyncio.run(scenario())


def test_a_flashed_image_is_known(tmp_path: Path, micropython: Path) -> None:
    """A board flashed with littlefs.bin gets settings and key, and no file a second time."""
    job = small_job("flashed")
    whole = job.firmware.image()
    assert whole is not None
    (tmp_path / "flash.bin").write_bytes(whole)

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            said = await installed(job, board)
            assert not any(line.startswith("writing") for line in said)
            await settled(board)
            assert running_node(board, {"sl-0001": at_hand.whole(job)}) == "sl-0001"

    asyncio.run(scenario())


def test_another_chip_is_refused(tmp_path: Path, micropython: Path) -> None:
    message = "the chip is esp32c3, the board's file says esp32"

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython, "esp32c3") as board:
            with pytest.raises(install.InstallFault, match=message):
                await installed(small_job("node"), board)

    asyncio.run(scenario())


def test_nobody_at_the_port_is_told_in_a_line(tmp_path: Path) -> None:
    settings = at_hand.settings_file(tmp_path)
    port = "socket://127.0.0.1:1"
    words = ("--port", port, "--board", "streetlight-esp32", "--settings", settings)
    status, out, error = asyncio.run(kerbline(*words))
    assert (status, out) == (1, "")
    assert error.splitlines()[-1].startswith(f"{port}: can't be opened: ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("sl-0001", "sl 0001"), ':2: node_id: "sl 0001"'),
        ((KEY, "00" * 16), ":3: key_hex: is a key that anybody may guess"),
        ((KEY, "000102030405060708090a0b0c0d0e0f"), ":3: key_hex: is a key that anybody"),
        ((KEY, KEY[:-1]), ":3: key_hex: is no key"),
        (('"streetlight"', '"lantern"'), ':4: asset: "lantern"'),
        (('"streetlight"', '"water_meter"'), ":4: asset: board streetlight-esp32 serves no"),
        (("report_s = 1", "report = 1"), ":6: report: is not a key that belongs here; did you"),
        (('"uart"', '"udp"'), ":1: gateway: is missing"),
        (('"uart"', '"uart"\ntx = 6'), ":6: tx: "),
        (('"debug"', '"fast"'), ':7: build: "fast"'),
    ],
    ids=lambda change: str(change)[:40],
)
def test_settings_are_judged_at_their_line(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    settings = at_hand.settings_file(tmp_path, at_hand.SETTINGS.replace(*change))
    words = ("--port", "socket://127.0.0.1:1", "--board", "streetlight-esp32")
    status, out, error = asyncio.run(kerbline(*words, "--settings", settings))
    assert (status, out) == (2, "")
    assert f"{settings}{told}" in error
    assert KEY not in error


def test_pins_of_the_settings_take_the_boards_place(tmp_path: Path) -> None:
    """In what is compiled in and in what the node keeps."""
    text = at_hand.SETTINGS.replace('"uart"', '"rs485"') + "de = 13\nuart = 2\n"
    board = boards.load(boards.find("streetlight-esp32"))
    settings, own = node_settings.load(at_hand.settings_file(tmp_path, text), board)
    wiring: dict[str, Any] = {}
    exec(boards.source(own), wiring)
    line = board.links.rs485
    assert line is not None and line.uart != 2 and line.de != 13
    assert wiring["LINKS"] == {"rs485": (2, line.tx, line.rx, 13)}
    kept = node_settings.for_node(settings, own)
    assert (kept["uart"], kept["de"], kept["build"]) == (2, 13, "debug")
    assert "tx" not in kept


def test_settings_that_others_may_read_are_refused(tmp_path: Path) -> None:
    settings = at_hand.settings_file(tmp_path)
    settings.chmod(0o644)
    words = ("--port", "socket://127.0.0.1:1", "--board", "streetlight-esp32")
    status, _, error = asyncio.run(kerbline(*words, "--settings", settings))
    assert status == 2
    assert f"chmod 600 {settings}" in error


def test_a_key_file_of_another_node_stays(tmp_path: Path) -> None:
    settings = at_hand.settings_file(tmp_path)
    key_file = tmp_path / "k"
    key_file.write_text(OTHER_KEY)
    words = ("--port", "socket://127.0.0.1:1", "--board", "streetlight-esp32")
    status, _, error = asyncio.run(kerbline(*words, "--settings", settings, "--key-file", key_file))
    assert (status, error) == (1, f"{key_file}: holds another key; name another --key-file\n")
    assert key_file.read_text() == OTHER_KEY


@pytest.mark.parametrize(
    ("link", "more", "lines"),
    [
        ("rs485", "", ['port = ""', "baud = 115200", "bus = true"]),
        (
            "udp",
            'gateway = "10.0.0.1:5683"\nwifi = {ssid = "w", password = "rain rain"}\n',
            ['port = "udp"'],
        ),
    ],
)
def test_the_table_is_of_the_link(tmp_path: Path, link: str, more: str, lines: list[str]) -> None:
    text = at_hand.SETTINGS.replace('"uart"', f'"{link}"') + more
    board = boards.load(boards.find("streetlight-esp32"))
    settings, own = node_settings.load(at_hand.settings_file(tmp_path, text), board)
    job = small_job("node")
    job = replace(job, settings=settings, kept=node_settings.for_node(settings, own))
    assert install.table(job).splitlines()[-len(lines) :] == lines
    assert "wifi" not in job.kept and "key_hex" not in job.kept
    assert job.wifi == (b"w\0rain rain" if link == "udp" else b"")


@pytest.mark.parametrize(
    ("port", "warned"),
    [
        ("/dev/ttyUSB0", False),
        ("socket://127.0.0.1:4000", False),
        ("socket://[::1]:4000", False),
        ("socket://localhost:4000", False),
        ("socket://10.0.0.7:4000", True),
        ("socket://poles.example:4000", True),
        ("rfc2217://10.0.0.7:4000", True),
    ],
)
def test_a_way_that_others_may_read_is_known(port: str, *, warned: bool) -> None:
    assert install.readable_between(port) == warned


def test_an_open_way_is_warned_of_before_anything_goes_out() -> None:
    said: list[str] = []
    port = "socket://192.0.2.1.invalid:1"
    with pytest.raises(BoardFault):
        install.install(small_job("node"), port, dry_run=False, say=said.append)
    (warning,) = said
    assert warning.startswith(f"warning: {port}: key and Wi-Fi password go there in clear")


def test_a_lamp_without_a_position_is_warned_of() -> None:
    job = small_job("node")
    for settings, warned in (
        (replace(job.settings, position=None), True),
        (replace(job.settings, position=None, asset="water_meter"), False),
        (job.settings, False),
    ):
        said: list[str] = []
        with pytest.raises(BoardFault):
            install.install(
                replace(job, settings=settings), NOWHERE, dry_run=False, say=said.append
            )
        told = [line for line in said if "position = [latitude, longitude]" in line]
        assert said == told and bool(told) == warned


def test_a_build_over_budget_is_not_installed() -> None:
    job = small_job("node")
    limit = build.Limit(1, "boards/b.toml", 63)
    target = replace(job.firmware.target, budget={"flash_bytes": limit})
    job = replace(job, firmware=replace(job.firmware, target=target))
    said: list[str] = []
    with pytest.raises(install.InstallFault, match=r"boards/b.toml:63: .*\n.*--over-budget"):
        install.install(job, NOWHERE, dry_run=False, say=said.append)
    assert said == []
    with pytest.raises(BoardFault):
        install.install(job, NOWHERE, dry_run=False, say=said.append, over_budget=True)
    assert said[0].startswith("warning: boards/b.toml:63")


def test_a_key_file_that_can_not_be_written_stops_the_install(tmp_path: Path) -> None:
    settings = at_hand.settings_file(tmp_path)
    (tmp_path / "k.new").mkdir()
    with pytest.raises(install.InstallFault, match=r"k: can't be written: .*--key-file"):
        install.prepare("streetlight-esp32", settings, tmp_path / "k")


def test_an_installed_node_has_its_table_whatever_becomes_of_its_key_file(
    tmp_path: Path, micropython: Path
) -> None:
    job = replace(small_job("node"), key_file=tmp_path / "gone" / "k")
    said: list[str] = []

    async def scenario() -> bool:
        async with StockBoard(tmp_path, micropython) as board:
            return await asyncio.to_thread(
                install.install, job, board.url, dry_run=False, say=said.append
            )

    assert not asyncio.run(scenario())
    assert "k: can't be written: No such file or directory" in said[-1]


@pytest.mark.parametrize(
    ("port", "told"),
    [
        ("/dev/ttyUSB99", r"can't be opened: there is no such port, there (is none|are) .*cable"),
        ("socket://127.0.0.1:1", "can't be opened: .*refused"),
    ],
)
def test_a_port_that_is_not_there_is_named_with_what_to_do(port: str, told: str) -> None:
    with pytest.raises(BoardFault, match=f"{re.escape(port)}: {told}"), connected(port):
        pass


def test_a_port_that_can_not_be_opened_says_why(tmp_path: Path) -> None:
    place = tmp_path / "ttyUSB0"
    place.write_text("")
    with (
        pytest.raises(BoardFault, match=r"ttyUSB0: can't be opened: .*nothing else use"),
        connected(str(place)),
    ):
        pass


@pytest.mark.parametrize(
    "patience_s", [1.0, pytest.param(boardtools.PATIENCE_S, marks=pytest.mark.nightly)]
)
def test_what_speaks_without_a_pause_is_no_board(patience_s: float) -> None:
    """A blank chip says the same line for ever; it is told, and no patience lost on it."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:  # so much that it never has to wait for us
                writer.write(b"invalid header: 0xffffffff\r\n")
                await writer.drain()

    def knock(port: str) -> None:
        with connected(port, patience_s=patience_s):
            pass

    async def scenario() -> None:
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(boardtools.PATIENCE_S), server:
            with pytest.raises(BoardFault, match=r"it is no REPL: '[a-z0-9: ]+'; is it .* flash"):
                await asyncio.to_thread(knock, port)

    asyncio.run(scenario())
