"""`kerbline commission` against a board on the bench: real esptool, MicroPython and session."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hil_tests.gateway_end import GatewayEnd
from kerbline.cli import app
from kerbline.config import ConfigFault
from kerbline.errors import KerblineError
from kerbline.field import install
from kerbline.field.commission import job, label, ledger, locks, run, site
from kerbline.field.commission.job import Job
from kerbline.field.commission.order import Wish
from kerbline.field.commission.steps import STEPS
from kerbline.field.commission.words import CommissionFault
from kerbline.field.signing import assembly
from kerbline.keys import NodeKeys, claim
from kerbline.local_socket import SOCKET_FILE, ask
from kerbline.ports import open_port
from kerbline.sim.bench_board import BenchBoard
from tests.field import releases
from tests.field.commission_scene import (
    ASSET,
    BOARD,
    MICROPYTHON,
    SITE,
    Scene,
    on_the_bench,
    wired,
)
from tests.gateway.boards_at_hand import PASSWORD
from tests.gateway.test_south_nodes import free_udp_port

NAMES = [step.name for step in STEPS]
NODE, MAC = "sl-000110", "24:0a:c4:00:01:10"
PATIENT_S = 60.0


def blobs(board: BenchBoard) -> dict[str, bytes]:
    """The node's NVS as it is this moment."""
    assert board.stock is not None
    text = (board.stock.flash.parent / "nvs.json").read_text()
    kept = json.JSONDecoder().raw_decode(text)[0]
    return {name: bytes.fromhex(blob) for name, blob in kept["kerbnode"].items()}


def keys_on_disk(scene: Scene, mac: str) -> set[bytes]:
    """Every key that the job of that board holds this moment."""
    folder = scene.places.job(mac)
    found = set()
    for path in [folder / "key", *(folder / "ring").glob("*.json")]:
        if path.exists():
            text = path.read_text("ascii", "replace")
            body = json.loads(text) if text.startswith("{") else {"key": text.strip("\0\n")}
            found |= {bytes.fromhex(body[name]) for name in ("key", "next_key") if body.get(name)}
    return found


def assert_nowhere(scene: Scene, keys: Iterable[bytes]) -> None:
    """No key in any form in any file of the laptop, nor in anything that was said."""
    kept = b"\n".join(scene.everything().values()) + "".join(scene.heard).encode()
    for key in keys:
        for form in (key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)):
            assert form.rstrip(b"=") not in kept


def assert_whole(scene: Scene, board: BenchBoard, *before: str) -> claim.Claim:
    """One node, one record of each kind, one claim: on disk, on the node, and none else."""
    chain = ledger.read(scene.places.records)
    assert [record["kind"] for record in chain.records] == [
        *before,
        "bound",
        "proved",
        "claimed",
    ]
    assert {record["node"] for record in chain.records} == {NODE}
    (file,) = scene.places.claims.iterdir()
    sealed = claim.from_text(file.read_bytes())
    assert blobs(board)["claim"] == sealed
    assert chain.records[-1]["claim_sha256"] == sha256(sealed).hexdigest()
    told = claim.open(sealed, scene.gateway.private)
    assert (told.node_id, told.asset, told.kind) == (NODE, ASSET, "streetlight")
    assert told.position == (52.3731, 4.8922)
    lives_by = json.loads(blobs(board)["settings"][:-4])
    assert not {"build", "report_s"} & set(lives_by)  # its console is closed, its hours its own
    assert not keys_on_disk(scene, chain.records[0]["mac"])
    return told


def heard_with(told: claim.Claim, board: BenchBoard) -> None:
    """The image that was flashed runs; a gateway with no more than the claim gets telemetry."""
    assert board.stock is not None
    images = [event for event in board.stock.events if event.startswith("image ")]
    assert images[-1] == f"image factory {MICROPYTHON}"

    async def scenario() -> None:
        port = await open_port(board.line_url)
        keys = NodeKeys(told.generation, told.key)
        gateway = GatewayEnd(port, told.node_id, keys, lambda _: None)
        try:
            await gateway.connect(PATIENT_S)
            await gateway.hear("RECORD", PATIENT_S)
        finally:
            port.close()

    asyncio.run(scenario())


def test_a_bare_board_becomes_a_claimed_node(tmp_path: Path, micropython: Path) -> None:
    scene = Scene(tmp_path)
    scene.write()
    with on_the_bench(tmp_path, micropython) as board:
        ran = scene.commission(board)
        assert ran.status == 0, ran.error
        assert ran.states("done") == ["detect", *NAMES]
        done = {line["step"]: line for line in ran.lines if line["state"] == "done"}
        told = assert_whole(scene, board)
        assert told.generation == done["claim"]["generation"] == 1  # a session was had here
        assert done["proof"]["where"] == "laptop"
        assert label.parse(done["label"]["payload"]) == label.Label(NODE, done["detect"]["mac"])
        assert_nowhere(scene, [told.key])
        took_s = {step: line["took_s"] for step, line in done.items()}
        assert sum(took_s.values()) <= ran.lines[-1]["took_s"]
        (claimed,) = ledger.read(scene.places.records).of("claimed")
        assert claimed["took_s"] == {name: took_s[name] for name in NAMES[:-1]}

        before = scene.everything()
        again = scene.commission(board, here=True)
        assert again.status == 0 and again.states("end") == ["detect"]
        assert "nothing was changed" in again.lines[-1]["text"]
        other = ("--asset", "lamp-8")
        for more in ((), ("--dry-run",)):
            ran = scene.commission(board, *other, *more, here=True)
            assert ran.status and ran.codes() == ["bound"], ran.lines
        assert scene.everything() == before
        with gateway_running(scene, board.line_url) as socket:
            ask(socket, {"ask": "permit", "seconds": 300})
            while not any(node["record_ms"] for node in ask(socket, {"ask": "status"})["nodes"]):
                time.sleep(0.2)  # it says its claim over the wire; pytest's own time-out ends this
            (joined,) = ask(socket, {"ask": "claims"})["joined"]
        assert (joined["node_id"], joined["asset"]) == (NODE, ASSET)


# Where each call is killed, one after the other: as it tells that, or before it changes that file.
BEFORE_THE_TEST: list[dict[str, Any]] = [
    {"kill_before": "os.rename:/job.json"},
    {"kill_at": ("flash", "begins")},
    {"kill_before": "os.rename:/key"},
    {"kill_at": ("settings", "begins")},
]
BEHIND_THE_TEST: list[dict[str, Any]] = [
    {"kill_at": ("selftest", "begins")},
    {"kill_before": f"os.rename:/{NODE}.svg"},
    {"kill_before": "open:/records.jsonl"},
    {"kill_before": "os.rename:/records.end"},
    {"kill_before": f"os.rename:/{NODE}.json"},  # the key that the node's greeting made
    {"kill_at": ("proof", "done")},
    {"kill_before": f"os.rename:/{NODE}.claim"},
    {"kill_before": "open:/records.jsonl"},
    {"kill_before": "os.remove:/key"},
]


@pytest.mark.parametrize("one_in", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_on_a_bad_day_it_goes_on_wherever_it_was_stopped(
    tmp_path: Path, micropython: Path, one_in: int
) -> None:
    """A full disk, a cable pulled at 17 %, a key that is gone, a relay that sticks, and kills."""
    scene = Scene(tmp_path, forks=True)
    scene.write()
    keys: set[bytes] = set()
    begun: list[str] = []

    def stopped(code: str, words: str, **how: Any) -> None:
        ran = scene.commission(board, **how)
        assert ran.status == 1 and ran.codes()[-1] == code and words in ran.error, ran.error

    def killed(kills: list[dict[str, Any]]) -> None:
        for kill in kills:
            ran = scene.commission(board, **kill)
            assert ran.status == -signal.SIGKILL, (kill, ran.error)
            begun.extend(ran.states("begins"))
            keys.update(keys_on_disk(scene, MAC))

    with on_the_bench(tmp_path, micropython) as board:
        stopped("disk", "File too large", limit_kib=0)  # before it is touched
        board.faults.cut_after = board.received + scene.image.stat().st_size * 17 // 100
        stopped("link_lost", "put the cable in again", here=True)
        killed(BEFORE_THE_TEST[::-one_in][::-1])  # the last of them made a key
        (lost,) = keys_on_disk(scene, MAC)
        (scene.places.job(MAC) / "key").unlink()
        wired(tmp_path, relay={"stuck": "closed"})
        ran = scene.commission(board, here=True)
        assert ran.status == 1 and ran.codes() == ["resumed", "key_lost", "selftest"], ran.error
        assert "settings" in ran.states("done") and "relay open" in ran.error
        (failed,) = ledger.read(scene.places.records).records
        assert [each["name"] for each in failed["tests"] if each["ok"] is False] == ["relay open"]
        assert not scene.places.claims.exists() and "claim" not in blobs(board)
        wired(tmp_path)
        stopped("disk", "File too large", limit_kib=1)  # the job that is larger by now
        killed(BEHIND_THE_TEST[::one_in])
        last = scene.commission(board, here=True)
        assert last.status == 0, last.error
        assert last.states("stands") == NAMES[:-1]
        told = assert_whole(scene, board, "failed")
        assert lost in keys and told.key != lost and told.generation == 1
        assert len(keys) >= 3  # the lost one, the next one, and what a session made of that
        assert_nowhere(scene, {*keys, told.key})
        heard_with(told, board)
    assert max(begun.count(name) for name in NAMES) <= 4  # what is done is not done again


@pytest.mark.nightly
@pytest.mark.parametrize("link", ["rs485", "udp"])
def test_each_link_is_proven_on_the_laptop(tmp_path: Path, micropython: Path, link: str) -> None:
    scene = Scene(tmp_path)
    words: tuple[str, ...] = ()
    text = SITE.replace('"uart"', f'"{link}"')
    if link == "udp":
        address = f"127.0.0.1:{free_udp_port()}"
        text += f'gateway = "{address}"\nwifi = {{ssid = "street", password = "{PASSWORD}"}}\n'
        words = ("--line", address)
    scene.write(text)
    with on_the_bench(tmp_path, micropython) as board:
        ran = scene.commission(board, *words)
        assert ran.status == 0, ran.error
        told = assert_whole(scene, board)
        assert (told.link, told.generation) == (link, 1)
    assert PASSWORD.encode() not in b"".join(scene.everything().values())
    assert PASSWORD not in "".join(scene.heard)


@pytest.mark.nightly
def test_killed_at_each_change_of_a_file(tmp_path: Path, micropython: Path) -> None:
    """One change further each time: whichever it was, the next call goes on."""
    scene = Scene(tmp_path, forks=True)
    scene.write()
    keys: set[bytes] = set()
    with on_the_bench(tmp_path, micropython) as board:
        for change in range(1, 200):
            ran = scene.commission(board, kill_before=str(change))
            keys |= keys_on_disk(scene, MAC)
            if not ran.status:
                break
            assert ran.status == -signal.SIGKILL, (change, ran.error)
        assert ran.status == 0 and change > 12
        told = assert_whole(scene, board)
        assert_nowhere(scene, {*keys, told.key})
        heard_with(told, board)


GATEWAY = """
[gateway]
id = "gw-1"
state_dir = "gateway"

[[enrolment]]
port = "{port}"
"""


@contextmanager
def gateway_running(scene: Scene, line: str) -> Iterator[Path]:
    """A gateway whose only line is that one; its socket."""
    config = scene.folder / "gateway.toml"
    config.write_text(GATEWAY.format(port=line))
    socket = scene.folder / "gateway" / SOCKET_FILE
    command = [sys.executable, "-m", "kerbline", "run", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            while not socket.exists():  # pytest's own time-out ends a gateway that does not start
                assert process.poll() is None
                time.sleep(0.05)
            yield socket
        finally:
            process.terminate()
            _, error = process.communicate()
            scene.heard.append(error.decode())


def released(folder: Path) -> tuple[list[str], bytes, bytes]:
    """The options for a release of this tree; its build id, and the root that a node keeps."""
    bundle, root = folder / "r.kerb", folder / "release.pub"
    _, made = assembly.assemble(BOARD, sequence=3, say=lambda _: None, over_budget=True)
    bundle.write_bytes(releases.key().signed(made))
    root.write_text(releases.key().root.text)
    words = ["--bundle", str(bundle), "--root", str(root)]
    return words, made.build, install.checked(releases.key().root.hss)


def test_a_release_is_laid_and_a_gateway_proves_it(tmp_path: Path, micropython: Path) -> None:
    scene = Scene(tmp_path)
    scene.write()
    release, build_id, root = released(tmp_path)
    with on_the_bench(tmp_path, micropython) as board:
        nowhere = str(tmp_path / "nowhere.sock")
        away = scene.commission(board, *release, "--gateway", nowhere, here=True)
        assert away.status == 1 and away.codes()[-1] == "gateway_away", away.error
        with gateway_running(scene, board.line_url) as socket:
            ran = scene.commission(board, *release, "--gateway", str(socket), here=True)
            assert ran.status == 0, ran.error
        assert blobs(board)["root"] == root
        told = assert_whole(scene, board)
        assert told.generation == 0  # the gateway is the first that the node talks to
        (bound,) = ledger.read(scene.places.records).of("bound")
        assert bound["firmware"]["commit"] == build_id.hex()
        proved = ledger.read(scene.places.records).of("proved")
        assert [(r["where"], r["gateway_id"]) for r in proved] == [("gateway", "gw-1")]
        assert_nowhere(scene, [told.key])


def test_another_board_is_named_and_not_mixed_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path, forks=True)
    scene.write()
    port = tmp_path / "ttyUSB0"
    macs = {}
    for name, tail in (("one", 0x10), ("two", 0x77)):
        mac = bytes.fromhex("240ac40001") + bytes([tail])
        with on_the_bench(tmp_path / name, None, serial=True, mac=mac) as board:
            port.unlink(missing_ok=True)
            port.symlink_to(board.url)
            words = ("--port", str(port))
            how: dict[str, Any] = {"one": {"kill_at": ("flash", "begins")}, "two": {"here": True}}
            ran = scene.commission(board, *words, **how[name])
            macs[name] = next(line["mac"] for line in ran.lines if "mac" in line)
            if name == "two":
                assert ran.status == 2 and ran.codes() == ["other_job", "asset_taken"], ran.error
                assert macs["one"] in ran.error and NODE in ran.error
                ran = scene.commission(
                    board, *words, "--asset", "lamp-8", kill_at=("flash", "begins")
                )
                assert ran.codes() == ["other_job"]
    assert macs["one"] != macs["two"]
    for mac in macs.values():
        facts, steps = job.standing(scene.places, mac)
        assert steps == () and facts["node"].startswith("sl-0001")


def test_a_job_of_two_at_once_is_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write()
    with on_the_bench(tmp_path, None) as board:
        mac = ":".join(f"{byte:02x}" for byte in board.mac)
        with job.opened(scene.places, mac) as held:
            assert isinstance(held, Job)
            ran = scene.commission(board, here=True)
            assert ran.status == 1 and ran.codes()[-1] == "board_busy"
        lock = scene.places.port(board.url)
        before = board.events.count("loader")  # who looks restarts the board of who works there
        with locks.held(lock, "port_taken", port=board.url):
            for words in ((), ("--dry-run",)):
                ran = scene.commission(board, *words, here=True)
                assert ran.status == 1 and ran.codes() == ["port_taken"]
        assert board.events.count("loader") == before


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"asset": None}, "missing", "--asset"),
    ({"asset": "lamp 7"}, "name", "letters, digits, - and _"),
    ({"asset": "x" * 33}, "name", "32"),
    ({"location": "x" * 121}, "text", "120"),
    ({"location": "  "}, "text", "one line"),
    ({"technician": "a\nb"}, "text", "one line"),
    ({"node": "a-node-id-that-is-too-long"}, "name", "16"),
    ({"gateway_key": Path("nowhere.pub")}, "gateway_key", "nowhere.pub"),
    ({"gateway_key": Path("micropython.bin")}, "gateway_key", "no text"),
    ({"gateway_key": Path("site.toml")}, "gateway_key", "kerbline gateway key"),
    ({"micropython": Path("nowhere.bin")}, "micropython", "--micropython"),
    ({"board": "no-such-board"}, "config", "no-such-board"),
    ({"board": "streetlight-esp32s3"}, "wrong_chip", "take another --board"),
]


def test_bad_input_is_told_before_the_board_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    scene.write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    profile = site.load(scene.site)
    good = Wish("", profile, asset=ASSET, location="here")
    with on_the_bench(tmp_path, None) as board:
        for change, code, words in BAD:
            wish = replace(good, port=board.url, **change)
            lines: list[run.Line] = []
            with pytest.raises(KerblineError) as fault:
                run.commission(wish, scene.places, run.Teller(lines.append), lambda: 0)
            assert words in str(fault.value), change
            assert (lines[-1].state, lines[-1].figures["code"]) == (run.FAILED, code), change
        assert "boot" not in board.events and not scene.places.records.exists()
        assert not any(steps for _, steps in standing(scene))


def standing(scene: Scene) -> list[tuple[object, tuple[str, ...]]]:
    """Of each job that was begun."""
    return [job.standing(scene.places, mac) for mac, _ in job.all_facts(scene.places)]


def test_another_board_file_is_laid_anew_until_it_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    scene.write()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with on_the_bench(tmp_path, None) as board:
        wish = Wish(board.url, site.load(scene.site), asset=ASSET, location="here", dry_run=False)
        with job.opened(scene.places, MAC) as begun:
            begun.learn(board="air-quality-esp32", node=NODE, asset=ASSET)
            for step in ("flash", "identity", "settings", "selftest"):
                begun.finish(step, {})
            begun.first_key()
        done = []

        def tell(line: run.Line) -> None:
            done.append((line.step, line.state))
            if done[-1] == ("settings", run.BEGINS):
                raise KerblineError("that is enough")  # nothing runs on this bench

        with pytest.raises(KerblineError, match="that is enough"):
            run.commission(wish, scene.places, run.Teller(tell), lambda: 0)
        assert ("flash", run.DONE) in done
        with job.opened(scene.places, MAC) as begun:
            begun.finish("record", {})
            begun.learn(board="air-quality-esp32")
        with pytest.raises(CommissionFault, match="--board streetlight-esp32 was asked for"):
            run.commission(wish, scene.places, run.Teller(tell), lambda: 0)


def test_people_read_a_line_a_step(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write()
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with on_the_bench(tmp_path, None) as board:
        words = ["--port", board.url, "--profile", str(scene.site), "--asset", ASSET]
        told = CliRunner().invoke(
            app, ["commission", *words, "--location", "the corner", "--dry-run"], env=env,
            standalone_mode=False,
        )  # fmt: skip
        assert told.exception is None and told.return_value == 0
        marks = [line[0] for line in told.output.splitlines()]
        assert marks == ["✓", "!", *"○" * len(NAMES), "■"]  # no place in degrees: a warning
        assert not scene.everything()
        lacking = CliRunner().invoke(app, ["commission", *words], env=env, standalone_mode=False)
        assert "--location" in str(lacking.exception)  # nobody is there to be asked


PROFILES = [
    ("technician = 7", "technician: 7 where a text belongs"),
    ("technicians = 'A'", "technicians"),
    ("prefix = 'a b'", "prefix"),
    ("[settings]\nkey_hex = '00'", "key_hex does not belong here"),
    ("settings = 1", "no table"),
    ("[settings]\nwifi = {ssid = 'a', password = 'long enough'}", "others may use it"),
    ("technician = 'A", "not TOML"),
]


@pytest.mark.parametrize(("text", "words"), PROFILES)
def test_a_profile_is_told_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigFault, match=re.escape(words)) as fault:
        site.load(path)
    assert str(path) + ":" in str(fault.value)
