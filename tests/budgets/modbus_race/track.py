"""One run of one racer: who is on which core, and what it cost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerbline.sim.broker import Broker, BrokerKind
from tests.budgets.modbus_race.racers import REGISTERS, UNITS, Racer, Task
from tools.trees import ROOT

RACER_CORE, OTHERS_CORE = 0, 1
_PATH = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
_PROCESS_CPU = 2  # of clock_getcpuclockid(3), in the number that Linux makes of a process id
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """What the referee and the kernel say of a run."""

    values_per_s: float
    values_per_cpu_s: float
    rss_mb: float
    p50_ms: float
    p99_ms: float
    cpu_share: float


def race(
    racer: Racer,
    *,
    seconds: float,
    warm_s: float,
    period_s: float = 1.0,
    registers: int = REGISTERS,
    sources: int = 1,
) -> Run:
    """Let a racer run for so long; raises NotToBeHad where there is none."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source_ports = []
        for _ in range(sources):
            source = stack.enter_context(_on(OTHERS_CORE, _source(registers)))
            assert source.stdout is not None
            source_ports.append(int(source.stdout.readline().rpartition(":")[2]))
        broker_port = stack.enter_context(_broker(folder / "broker"))
        referee = stack.enter_context(_on(OTHERS_CORE, _referee(broker_port, racer)))
        assert referee.stdin is not None and referee.stdout is not None
        assert referee.stdout.readline() == "ready\n"
        own = folder / "racer"
        own.mkdir()
        start = racer.prepare(Task(own, tuple(source_ports), broker_port, period_s, registers))
        log = stack.enter_context((folder / "racer.log").open("w"))
        running = subprocess.Popen(
            start.words,
            cwd=own,
            env={**os.environ, **start.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.sched_setaffinity(running.pid, {RACER_CORE})
        stack.callback(_end, running)
        time.sleep(warm_s)
        if running.poll() is not None:
            raise RuntimeError(f"{racer.name} ended: {(folder / 'racer.log').read_text()[-500:]}")
        spent = _cpu_s(running.pid)
        _say(referee, "begin")
        time.sleep(seconds)
        _say(referee, "end")
        told = json.loads(referee.stdout.readline())
        spent = _cpu_s(running.pid) - spent
        rss = sum(_rss_mb(pid) for pid in _tree(running.pid))
    return Run(
        told["values"] / told["seconds"],
        told["values"] / max(spent, _TICK_S),
        rss,
        told["p50_ms"],
        told["p99_ms"],
        spent / told["seconds"],
    )


def _source(registers: int) -> list[str]:
    words = ["-m", "kerbline.sim.meter_source", "--tcp", "127.0.0.1:0"]
    return [sys.executable, *words, "--units", str(UNITS), "--registers", str(registers)]


def _referee(port: int, racer: Racer) -> list[str]:
    words = ["-m", "tests.budgets.modbus_race.referee", str(port), racer.dialect, *racer.topics]
    return [sys.executable, *words]


@contextmanager
def _on(core: int, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": _PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(child.pid, {core})
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    """A mosquitto as its makers ship it."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    loop = asyncio.new_event_loop()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {OTHERS_CORE})  # its child stays there
    broker = Broker(BrokerKind.MOSQUITTO, folder, port, synced=False)
    try:
        loop.run_until_complete(broker.start())
        yield port
    finally:
        loop.run_until_complete(broker.kill())
        loop.close()
        os.sched_setaffinity(0, before)


def _say(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdin is not None
    child.stdin.write(word + "\n")
    child.stdin.flush()


def _end(running: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if running.poll() is None:
            os.killpg(running.pid, number)
            try:
                running.wait(5)
            except subprocess.TimeoutExpired:
                continue


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _cpu_s(pid: int) -> float:
    """User and system time of a process tree, ended children included."""
    spent_s = 0.0
    for each in _tree(pid):
        ended = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[13:15]
        spent_s += sum(map(int, ended)) * _TICK_S
        spent_s += time.clock_gettime(~each << 3 | _PROCESS_CPU)  # stat's own has steps of 10 ms
    return spent_s


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
