"""The doctor on real parts: brokers, clocks, a simulated bench and a node under MicroPython."""

import asyncio
import dataclasses
import datetime as dt
import http.server
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.demo.stage import free_port
from kerbline.field.doctor import broker, clock
from kerbline.field.doctor.finding import Level
from kerbline.north.tls import TlsFiles
from kerbline.sim.bench_board import BenchBoard, on_bench
from kerbline.sim.broker import BrokerKind, program
from kerbline.sim.repl import StockBoard
from tests import in_process
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.test_north_tls import Office

MOSQUITTO = program(BrokerKind.MOSQUITTO)
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here")
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/users
user root
listener {tls} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
"""


@contextmanager
def mosquitto(folder: Path, ends: dt.timedelta) -> Iterator[tuple[int, int]]:
    """A broker that knows one user, plain and with TLS: its two ports."""
    office = Office(folder, "ca")
    Office(folder, "other")
    office.issue("broker", ends=ends)
    users = folder / "users"
    users.touch(mode=0o600)
    tool = shutil.which("mosquitto_passwd")
    assert tool is not None and MOSQUITTO is not None
    subprocess.run([tool, "-b", str(users), "gw-1", "rain"], check=True)
    plain, secured = free_port(), free_port()
    config = folder / "mosquitto.conf"
    config.write_text(CONFIG.format(port=plain, tls=secured, folder=folder))
    with subprocess.Popen([str(MOSQUITTO), "-c", str(config)], stderr=subprocess.DEVNULL) as run:
        try:
            for number in (plain, secured):
                await_port(number)
            yield plain, secured
        finally:
            run.kill()


def await_port(number: int) -> None:
    for _ in range(6000):
        with socket.socket() as line:
            if line.connect_ex(("127.0.0.1", number)) == 0:
                return
        threading.Event().wait(0.01)
    raise AssertionError("no broker came up")


@needs_mosquitto
def test_each_fault_of_a_real_broker_is_told(tmp_path: Path) -> None:
    day = dt.timedelta(days=1)
    with mosquitto(tmp_path, day) as (plain, secured):
        ours = TlsFiles(tmp_path / "ca.pem")
        strange = TlsFiles(tmp_path / "other.pem")
        found = {
            name: broker.judge(target, broker.look(target, 2.0 if name == "no TLS" else 60.0))
            for name, target in {
                "good": broker.Target("127.0.0.1", plain, "gw-1", "rain"),
                "good with TLS": broker.Target("127.0.0.1", secured, "gw-1", "rain", ours),
                "password": broker.Target("127.0.0.1", plain, "gw-1", "sun"),
                "nobody": broker.Target("127.0.0.1", plain),
                "plain on TLS": broker.Target("127.0.0.1", plain, "gw-1", "rain", ours),
                "unsigned": broker.Target("127.0.0.1", secured, "gw-1", "rain", strange),
                "no TLS": broker.Target("127.0.0.1", secured, "gw-1", "rain"),
                "closed": broker.Target("127.0.0.1", free_port()),
                "name": broker.Target("nowhere.invalid", plain),
            }.items()
        }
    assert {name: each.code for name, each in found.items()} == {
        "good": "broker",
        "good with TLS": "broker",
        "password": "broker_user",
        "nobody": "broker_user",
        "plain on TLS": "broker_tls",
        "unsigned": "broker_tls",
        "no TLS": "broker_silent",
        "closed": "broker_refused",
        "name": "broker_name",
    }
    assert "signed by nobody" in found["unsigned"].what
    assert "rain" not in "".join(each.line for each in found.values())


@needs_mosquitto
def test_an_expired_certificate_is_called_so(tmp_path: Path) -> None:
    with mosquitto(tmp_path, -dt.timedelta(days=1)) as (_, secured):
        target = broker.Target("127.0.0.1", secured, tls=TlsFiles(tmp_path / "ca.pem"))
        finding = broker.judge(target, broker.look(target, 60.0))
    assert "has expired" in finding.what


def test_a_port_that_says_nothing_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = broker.Target("127.0.0.1", server.getsockname()[1])
        assert broker.judge(target, broker.look(target, 0.3)).code == "broker_silent"


@contextmanager
def served(behind_s: float) -> Iterator[str]:
    """A web server whose clock is so far behind ours: its address."""

    class Late(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or dt.datetime.now().timestamp()) - behind_s)  # noqa: DTZ005 - a timestamp

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_clock_is_compared_with_a_web_server() -> None:
    with served(0) as url:
        assert clock.judge(clock.look(url)).level is Level.GOOD
    with served(7_500) as url:
        finding = clock.judge(clock.look(url))
        assert finding.code == "clock_wrong" and "2 hours ahead of http" in finding.what


def test_the_clock_is_compared_with_a_time_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            _, who = server.recvfrom(64)
            ours_s = dt.datetime.now(dt.UTC).timestamp() + clock.NTP_EPOCH_S + 600
            said = struct.pack(">BBBb11I", 0x24, 2, 6, -20, *(0,) * 9, int(ours_s), 0)
            server.sendto(said, who)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        finding = clock.judge(clock.look(f"ntp://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()
    assert finding.code == "clock_wrong" and "10 minutes behind ntp" in finding.what


def test_a_time_server_that_is_not_there_is_told_and_not_held_against_the_clock() -> None:
    finding = clock.judge(clock.look(f"http://127.0.0.1:{free_port()}"))
    assert finding.level is not Level.FAULT and "tells no time" in finding.what


def doctor(*words: str, itself: bool = False) -> tuple[int, dict[str, dict[str, str]]]:
    """What `kerbline doctor` says: status, and its findings by code; `itself`: as it is started."""
    if itself:
        command = [sys.executable, "-m", "kerbline", "doctor", *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        status, out, error = done.returncode, done.stdout, done.stderr
    else:
        status, out, error = in_process.kerbline("doctor", *words, "--json", environment={})
    assert "Traceback" not in error
    return status, {each["code"]: each for each in json.loads(out)["findings"]}


def test_a_bench_of_broken_boards(tmp_path: Path) -> None:
    """No image, a locked chip, a weak supply, another chip: each by its own cause."""
    empty = BenchBoard(tmp_path / "empty")
    locked = BenchBoard(tmp_path / "locked", secure_boot=True)
    weak = BenchBoard(tmp_path / "weak")
    weak.faults.brown_out = True
    other = BenchBoard(tmp_path / "other", chip="esp32c3", encrypted=True)
    boards = (empty, locked, weak, other)
    with on_bench(*boards):
        first, second, third, fourth = (
            doctor(board.url, "--board", "streetlight-esp32") for board in boards
        )
    assert first[0] == 1 and first[1]["chip"]["level"] == "good"
    assert "kerbline flash" in first[1]["no_image"]["remedy"]
    assert {"secure_boot", "no_image"} <= second[1].keys()
    assert next(iter(third[1])) == "brown_out"
    assert "has an esp32" in fourth[1]["wrong_chip"]["what"] and "flash_encryption" in fourth[1]


def test_a_node_at_work_is_asked_and_runs_again(tmp_path: Path, micropython: Path) -> None:
    kept = {"node_id": "sl-0001", "asset": "streetlight", "link": "uart"}
    job = dataclasses.replace(at_hand.small_job("doctor"), kept=kept)

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await at_hand.installed(job, board)
            before = len(board.events)
            status, found = await asyncio.to_thread(doctor, board.url, itself=True)
            assert status == 0, [each["code"] + each["what"] for each in found.values()]
            assert "sl-0001, a streetlight on uart" in found["settings"]["what"]
            assert found["no_root"]["level"] == "note", "small_job has no release key"
            await board.happens("reset", after=before)

    asyncio.run(scenario())


def test_a_real_gateway_is_asked(tmp_path: Path) -> None:
    """One that runs without its broker and without a node's line; then none."""
    (tmp_path / "state").mkdir()
    key = tmp_path / "sl-0001.key"
    key.write_text(at_hand.KEY + "\n")
    key.chmod(0o600)
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[gateway]\nid = "gw"\nstate_dir = "state"\n\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n\n'
        '[[node]]\nid = "sl-0001"\nasset = "lamp-1"\nkind = "streetlight"\n'
        f'key_file = "sl-0001.key"\nport = "{tmp_path}/ttyUSB9"\n'
    )
    command = [sys.executable, "-m", "kerbline", "run", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            said = iter(process.stderr)  # its line is not there: it serves by then
            assert any(b"waiting for it" in line for line in said), "it ended before"
            socket_file = tmp_path / "state" / "status.sock"
            for _ in range(6000):
                if socket_file.exists():
                    break
                threading.Event().wait(0.01)
            words = ("--config", str(config), "--clock-from", str(socket_file))
            status, found = doctor(*words)
        finally:
            process.kill()
    assert status == 1
    assert {code for code, each in found.items() if each["level"] == "fault"} == {
        "line_missing",
        "broker_refused",
    }
    assert "status.sock" in found["clock"]["what"]
    assert found["gateway"]["subject"] == "gateway gw" and "sink_waits" in found
    assert "gateway_down" in doctor("--config", str(config))[1]
    key.chmod(0o644)
    _, found = doctor("--config", str(config))
    assert "chmod 600" in found["config"]["remedy"]
