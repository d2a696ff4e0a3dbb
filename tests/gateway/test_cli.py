"""The command as a user meets it: a process, its words, its exit status, and never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.local_socket import SOCKET_FILE
from tests.gateway.test_status import until_served

COMMAND = [sys.executable, "-m", "kerbline"]
LEAN = '[gateway]\nid = "gw"\nstate_dir = "state"\n'
LONG_S = 60.0
BARE = "import asyncio, sqlite3, ssl, tomllib"
START_TIMES = 8  # what these take: 1 s where they take 0.12 s; a Raspberry Pi 4 is to be up in 2 s
TRIES = 3  # the first compiles what nobody ran yet


def kerbline(*words: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=LONG_S
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A gateway that has told a systemd of ours that it is ready, and answers on its socket."""
    address = str(config.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(LONG_S)
        process = subprocess.Popen(
            [*COMMAND, "run", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": address},
        )
        try:
            assert systemd.recv(100) == b"READY=1"
            until_served(config.parent / "state" / SOCKET_FILE)
            yield process
        finally:
            process.kill()
            process.communicate()


def cpu_s(pid: int) -> float:
    """What a process has taken of a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def test_the_version_is_said() -> None:
    done = kerbline("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "kerbline")


def test_a_good_config_is_called_good(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN)
    done = kerbline("check", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: good; 0 nodes")


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_fault_is_said_on_a_line_of_its_own(tmp_path: Path, command: str) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN + '[mqqt]\n[store]\nmax_bytes = "2 GB"\n')
    done = kerbline(command, path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{path}:4: mqqt: is not a key that belongs here; did you mean mqtt?",
        f'{path}:6: store.max_bytes: "2 GB" where a whole number belongs; write a whole number',
    ]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["check", "/no/such.toml"], 2, '"/no/such.toml" does not exist'),
        (["check", "/"], 2, '"/" is not a file'),
        (["check"], 2, "Missing argument 'CONFIG'"),
        (["chek", "x"], 2, "No such command 'chek'"),
        (["demo", "--seconds", "1"], 2, "1.0 is not in the range"),
    ],
)
def test_a_wrong_call_is_answered_in_words(words: list[str], status: int, said: str) -> None:
    done = kerbline(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_a_state_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN)
    (tmp_path / "state").write_text("a file")
    done = kerbline("run", path)
    assert done.returncode == 2
    assert "gateway.state_dir" in done.stderr
    assert "is not a folder; write the path of a folder" in done.stderr


def bare_cpu_s() -> float:
    """What this machine, as busy as it is, takes for an interpreter with what it brings itself."""
    with subprocess.Popen([sys.executable, "-c", BARE]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def test_the_gateway_starts_fast(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN)

    def times() -> float:
        with running(path) as process:
            return cpu_s(process.pid) / bare_cpu_s()

    assert any(times() < START_TIMES for _ in range(TRIES))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_gateway_stops_in_order(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN)
    with running(path) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=LONG_S)
    assert "Traceback" not in said
    assert "a fault of ours" not in said
    assert process.returncode == status


def test_a_lean_config_imports_neither_modbus_nor_mqtt(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    path.write_text(LEAN)
    watch = (
        "import sys, asyncio, pathlib, kerbline.agent, kerbline.config\n"
        f"config = kerbline.config.load(pathlib.Path({str(path)!r}))\n"
        "async def main():\n"
        "    task = asyncio.create_task(kerbline.agent.run(config))\n"
        "    for _ in range(100):\n"
        "        await asyncio.sleep(0)\n"
        "    task.cancel()\n"
        "    await asyncio.wait([task])\n"
        "asyncio.run(main())\n"
        "print(*sorted({'pymodbus', 'serial', 'aiomqtt', 'click'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch], capture_output=True, text=True, timeout=LONG_S
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
