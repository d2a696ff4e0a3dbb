"""`kerbline status` against a running gateway, and the socket that it asks."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.cli.status import told
from kerbline.local_socket import Answer, Declined, NotServing, Question, ask, serve

LONG_S = 60.0
CONFIG = """
[gateway]
id = "gw-1"
state_dir = "state"
"""


def _kerbline(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kerbline", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def _running(config: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kerbline", "run", str(config)], stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_served(path: Path) -> Answer:
    """The first answer; the gateway is starting."""
    until_s = time.monotonic() + LONG_S
    while time.monotonic() < until_s:
        try:
            return ask(path, {"ask": "status"})
        except NotServing:
            time.sleep(0.05)
    raise AssertionError(f"no answer in {LONG_S} s")


def test_a_gateway_that_ends_before_it_answers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def end() -> None:
            with listening.accept()[0] as caller:
                caller.recv(4_096)

        killed = threading.Thread(target=end)
        killed.start()
        with pytest.raises(NotServing, match="ended before it answered"):
            ask(path, {"ask": "status"})
        killed.join()


def test_a_running_gateway_tells_how_it_is(tmp_path: Path) -> None:
    """Over a socket that is its owner's alone; as text and as JSON."""
    config = tmp_path / "gw.toml"
    config.write_text(CONFIG)
    path = tmp_path / "state" / "status.sock"
    with _running(config):
        first = until_served(path)
        assert first["gateway"] == "gw-1"
        assert first["store"]["blocked"] == ""
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = _kerbline("status", config)
        assert text.returncode == 0, text.stderr
        assert text.stdout.startswith("gateway gw-1, kerbline ")
        assert "store: " in text.stdout
        assert json.loads(_kerbline("status", config, "--json").stdout)["nodes"] == []


def test_after_a_kill_the_next_gateway_takes_the_socket_over(tmp_path: Path) -> None:
    """What a killed one left there is said as what it is, and does not stop the next."""
    config = tmp_path / "gw.toml"
    config.write_text(CONFIG)
    path = tmp_path / "state" / "status.sock"
    with _running(config):
        until_served(path)
    gone = _kerbline("status", config)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "is gone; `kerbline run`" in gone.stderr
    with _running(config):
        assert until_served(path)["gateway"] == "gw-1"


def test_without_a_gateway(tmp_path: Path) -> None:
    """One line and what to do."""
    config = tmp_path / "gw.toml"
    config.write_text(CONFIG)
    gone = _kerbline("status", config)
    assert gone.returncode == 1
    assert gone.stderr.startswith("no gateway runs here: ")
    assert gone.stderr.count("\n") == 1


async def _echo(question: Question) -> Answer:
    if question.get("fail"):
        raise Declined("not today")
    return {"heard": question["word"], "by": question["uid"]}


async def _raw(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    answer = await reader.readline()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not json\n", "one line of JSON"),
        (b"[1]\n", '\\"ask\\" is one of echo'),
        (b'{"ask": "keys"}\n', '\\"ask\\" is one of echo'),
        (b'{"ask": "echo", "fail": 1}\n', "not today"),
        (b'{"ask": "echo", "word": 3}\n', '"heard": 3'),
        (b'{"ask": "echo", "word": 3, "uid": 1234}\n', f'"by": {os.getuid()}'),
        (b"", ""),
    ],
)
def test_any_question_gets_an_answer(tmp_path: Path, data: bytes, said: str) -> None:
    """Bad ones a reason; one who says nothing and goes holds nobody up."""

    async def scenario() -> bytes:
        path = tmp_path / "s.sock"
        serving = asyncio.create_task(serve(path, {"echo": _echo}))
        while not path.exists():  # noqa: ASYNC110
            await asyncio.sleep(0)
        if data:
            answer = await _raw(path, data)
        else:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
            answer = b""
            assert await _raw(path, b'{"ask": "echo", "word": 1}\n')
        serving.cancel()
        await asyncio.wait([serving])
        assert not path.exists()
        return answer

    assert said in asyncio.run(scenario()).decode()


def test_a_path_too_long_for_a_socket_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway goes on without it."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    asyncio.run(serve(folder / "status.sock", {}))
    assert "no status of this gateway" in caplog.text


def unit(number: int, asset: str, health: str, answers: int, **faults: int) -> dict[str, object]:
    return {
        "unit": number,
        "asset": asset,
        "health": health,
        "timeout_ms": 500.0 if health == "open" else 100.0,
        "answers": answers,
        "faults": faults,
    }


BUS = {
    "name": "pumps",
    "port": "/dev/ttyS1",
    "up": True,
    "utilisation": 0.218,
    "units": [
        unit(12, "pump-12", "open", 0, no_answer=7, garbled=1),
        unit(3, "pump-3", "good", 622),
        unit(7, "", "good", 4),
        unit(8, "", "open", 0, no_answer=1),
    ],
}
METER = {
    "name": "p1",
    "port": "/dev/ttyS2",
    "up": True,
    "trouble": "silent",
    "received_bytes": 9_000,
    "telegrams": 12,
    "broken_telegrams": 1,
    "readings": 11,
}


def test_tables_are_aligned() -> None:
    """Nodes, units, serial devices and sinks in columns, a blocked store in capitals."""
    node = {
        "kind": "streetlight",
        "firmware": "1.2.3",
        "board": "b",
        "build": "00ff",
        "since_ms": 0,
    }
    lines = list(
        told(
            {
                "gateway": "gw-1",
                "version": "0.1",
                "at_ms": 90_000,
                "up_s": 4_000.0,
                "nodes": [
                    {**node, "node": "sl-1", "asset": "lamp-1", "online": True},
                    {
                        **node,
                        "node": "sl-02",
                        "asset": "lamp-02",
                        "online": False,
                        "since_ms": None,
                    },
                ],
                "lines": [BUS, {**BUS, "name": "far", "up": False, "units": []}, METER],
                "sinks": [{"name": "mqtt", "connected": False, "batches_behind": 3}],
                "store": {"used_bytes": 1_500_000, "pending": 2, "blocked": "full", "given_up": 0},
                "counters": {"modbus.no_answer": 4},
            }
        )
    )
    assert lines == [
        "gateway gw-1, kerbline 0.1, up 1 h 6 min, 1970-01-01 00:01:30 UTC",
        "nodes:",
        "  sl-1   lamp-1   streetlight  online for 1 min 30 s  1.2.3 b 00ff",
        "  sl-02  lamp-02  streetlight  not heard yet          1.2.3 b 00ff",
        "bus pumps at /dev/ttyS1: open, 22% in use",
        "  unit  asset       health          time-out  answers  faults",
        "  3     pump-3      good            100 ms    622",
        "  7     (not ours)  good            100 ms    4",
        "  12    pump-12     silent, probed  500 ms    0        garbled 1, no_answer 7",
        "bus far at /dev/ttyS1: NOT THERE",
        "  unit  asset  health  time-out  answers  faults",
        "serial devices:",
        "  device  port        line    telegrams  broken  readings",
        "  p1      /dev/ttyS2  silent  12         1       11",
        "sinks:",
        "  mqtt  not connected  3 batches behind",
        "store: 1.5 MB, 2 readings not stored yet, REFUSED by the disk: full",
        "counted since the start: modbus.no_answer 4",
    ]


def test_a_zone_is_counted_in_the_time_of_its_street() -> None:
    """Beside nodes, whose states are of our own clock."""
    hour_ms = 3_600_000
    found = {
        "gateway": "gw-1",
        "version": "0.1",
        "at_ms": 90_000,
        "street_ms": 9 * hour_ms,
        "up_s": 60.0,
        "nodes": [],
        "lines": [],
        "sinks": [],
        "store": {"used_bytes": 0, "pending": 0, "blocked": "", "given_up": 0},
        "zones": {"dma-4": {"open_from_ms": 7 * hour_ms, "late_hours": 0, "unsure": 0}},
        "counters": {},
    }
    lines = list(told(found))
    assert lines[0].endswith("1970-01-01 00:01:30 UTC, 1970-01-01 09:00:00 in its street")
    assert " ".join(lines[3].split()) == "dma-4 water told but for the last 2 h 0 min"


def test_whom_control_can_not_have_is_told() -> None:
    """By whose sections, and who may be meant; a gateway without such a word is an older one."""
    found = {
        "gateway": "gw-1",
        "version": "0.1",
        "at_ms": 90_000,
        "up_s": 60.0,
        "nodes": [],
        "lines": [],
        "sinks": [],
        "store": {"used_bytes": 0, "pending": 0, "blocked": "", "given_up": 0},
        "control": {
            "awaited": [
                {"asset": "sl-0042", "where": ["dimming[1]", "rule[2]"], "near": ""},
                {"asset": "lamp-14", "where": ["dimming[1]"], "near": "lamp-41"},
            ],
            "misfits": [
                {
                    "asset": "m-1",
                    "kind": "air_quality",
                    "wanted": "water_meter",
                    "where": ["leak[1]"],
                }
            ],
        },
        "counters": {},
    }
    assert list(told(found))[2:] == [
        "awaited: sl-0042, not joined yet (dimming[1], rule[2])",
        "awaited: lamp-14, not joined yet (dimming[1]); is lamp-41 meant, which is there?",
        "CAN'T TAKE PART: m-1 is of kind air_quality, not water_meter: left out of leak[1]",
    ]
