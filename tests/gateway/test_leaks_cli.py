"""`kerbline leaks status`, `close-valve` and `kerbline why`, as an operator meets them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from kerbline.cli.districts import NoSuchAlarm, told
from kerbline.cli.why import NoSuchAlarm as NoneInTheLog
from kerbline.local_socket import Answer, Declined, NotServing, Question, ask, serve
from kerbline.model import Alarm, Key, Severity, Value
from kerbline.store import Store

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[[modbus]]
name = "plant"
port = "socket://127.0.0.1:1"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "main-1"
[[modbus.device.register]]
name = "volume_m3"
address = 0
type = "float32"
[[modbus.device]]
unit = 2
asset = "valve-1"
[[modbus.device.register]]
name = "closed"
address = 3
writable = {values = [0, 1]}
[[district]]
zone = "dma-4"
inflow = "main-1"
inflow_value = "volume_m3"
[district.valve]
asset = "valve-1"
close = {closed = 1}
"""
T0_MS = 1_764_000_000_000
ALARM: dict[str, Value] = {
    "asset": "dma-4",
    "rule": "district_balance",
    "severity": "critical",
    "version": 1,
    "zone": "dma-4",
    "lph": 1234.5,
    "lost_l": 45_678,
    "sure_pct": 99.9,
    "since_ms": T0_MS,
}
LEAKS: dict[str, Any] = {
    "districts": [
        {
            "zone": "dma-4",
            "judged_ms": T0_MS,
            "learning": False,
            "inflow_lph": 18_234,
            "silent": ["main-2"],
            "meters": 980,
            "read_meters": 971,
            "too_late": 3,
            "alarms": [ALARM],
            "balance": {"end_ms": T0_MS, "input_l": 9_000, "losses_l": 900, "losses_pct": 10.0},
        }
    ]
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gw.toml"
    path.write_text(CONFIG)
    (tmp_path / "state").mkdir()
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, words)], standalone_mode=False)


@contextmanager
def gateway(folder: Path) -> Iterator[list[Question]]:
    """A gateway's socket, whose valve does what it is told."""
    asked: list[Question] = []
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def write(question: Question) -> Answer:
        asked.append(question)
        return {"id": "cli-1", "state": "OK", "reason": ""}

    async def leaks(_question: Question) -> Answer:
        return LEAKS

    async def usual(question: Question) -> Answer:
        asked.append(question)
        return {"from_ms": T0_MS}

    async def life() -> None:
        path = folder / "state" / "status.sock"
        task = asyncio.create_task(
            serve(path, {"leaks": leaks, "leaks-accept": usual, "modbus-write": write})
        )
        await stop.wait()
        task.cancel()
        await asyncio.wait([task])

    thread = threading.Thread(target=loop.run_until_complete, args=(life(),))
    thread.start()
    try:
        until_s = time.monotonic() + 30
        while not (folder / "state" / "status.sock").exists() and time.monotonic() < until_s:
            time.sleep(0.01)
        yield asked
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_status_is_a_table_of_districts_and_of_leaks() -> None:
    lines = [" ".join(line.split()) for line in told(LEAKS)]
    assert lines == [
        "district inflow meters looked at up to",
        "dma-4 18,234 L/h 971 of 980 read 2025-11-24 16:00 main-2 not read, 3 reads too late",
        "dma-4, 2025-11-23: 9,000 L in, 900 L lost (10.0 %)",
        "alarm severity size lost so far since sure",
        "dma-4:district_balance critical 1,234 L/h 45,678 L 2025-11-24 16:00 99.9 %",
    ]
    none = {"districts": [{**LEAKS["districts"][0], "alarms": [], "balance": None}]}
    assert list(told(none))[-1] == "no leak is known"


def test_a_valve_closes_for_an_alarm_that_is_up_and_confirmed_alone(config: Path) -> None:
    with gateway(config.parent) as asked:
        alarm = "dma-4:district_balance"
        unsure = run("leaks", "close-valve", config, alarm)
        assert unsure.return_value == 1
        assert unsure.stderr == "valve-1: closed = 1 would be written; add --confirm to do it\n"
        over = run("leaks", "close-valve", config, "dma-4:district_inflow", "--confirm")
        assert isinstance(over.exception, NoSuchAlarm)
        assert str(over.exception).endswith("up now: dma-4:district_balance")
        assert asked == []
        done = run("leaks", "close-valve", config, alarm, "--confirm")
        assert done.output == "valve-1: closed = 1: OK (order cli-1)\n"
        assert [(each["asset"], each["values"]) for each in asked] == [("valve-1", {"closed": 1})]


def test_what_is_no_leak_is_accepted_by_name(config: Path) -> None:
    with gateway(config.parent) as asked:
        said = run("leaks", "accept", config, "dma-4:district_balance").output
    assert said.startswith("dma-4:district_balance: usual from 2025-11-24 16:00 UTC on")
    told = {"ask": "leaks-accept", "alarm": "dma-4:district_balance", "uid": os.getuid()}
    assert asked == [told]


def test_why_tells_the_rule_and_what_was_seen_in_plain_words(config: Path) -> None:
    store = Store.open(config.parent / "state" / "kerbline.db")
    facts = {name: value for name, value in ALARM.items() if name not in ("asset", "rule")}
    evidence: dict[str, Value] = {
        "zone": "dma-4",
        "lph": 800.0,
        "lost_l": 900,
        "since_ms": T0_MS,
        "sigma": 6.1,
    }
    name = "dma-4", "district_balance"
    warning, critical = Severity.WARNING, Severity.CRITICAL
    entries = [
        Alarm(Key("gw-1", 1, 1), *name, True, warning, T0_MS + 3_600_000, evidence),
        Alarm(Key("gw-1", 1, 2), *name, True, critical, T0_MS + 7_200_000, facts),
        Alarm(Key("gw-1", 1, 3), "meter-9", "meter_stuck", True, warning, T0_MS, {"days": 46}),
    ]
    store.append(entries, T0_MS)
    store.close()
    lines = [" ".join(line.split()) for line in run("why", config, "dma-4").output.splitlines()]
    assert lines[0] == "dma-4:district_balance: up, critical"
    assert "more flows into the district" in lines[1]
    assert "size, L/h 1,234.5" in lines
    assert "began, as it looked 2025-11-24 16:00 UTC" in lines
    assert lines[-2:] == [
        "2025-11-24 17:00 UTC warning 800.0 900",
        "2025-11-24 18:00 UTC critical 1,234.5 45,678",
    ]
    said = run("why", config, "meter-9:meter_stuck", "--json").output
    assert json.loads(said)["evidence"] == {"days": 46}
    missing = run("why", config, "meter-8")
    assert isinstance(missing.exception, NoneInTheLog)
    assert "it has dma-4:district_balance, meter-9:meter_stuck" in str(missing.exception)


def test_a_running_gateway_with_a_district_tells_of_it(config: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kerbline", "run", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        until_s = time.monotonic() + 60
        while True:
            try:
                found = ask(config.parent / "state" / "status.sock", {"ask": "leaks"})
                question = {"ask": "leaks-accept", "alarm": "dma-4:district_balance"}
                with pytest.raises(Declined) as refused:
                    ask(config.parent / "state" / "status.sock", question)
                if "it still reads what it has in store" not in str(refused.value):
                    break
            except NotServing:
                pass
            assert time.monotonic() < until_s
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert "that is up can be usual; up now: none" in str(refused.value)
    (district,) = found["districts"]
    assert district["zone"] == "dma-4"
    assert district["judged_ms"] == -1
    assert "nothing yet" in "\n".join(told(found))
