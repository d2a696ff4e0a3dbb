"""The whole agent before an NGSI-LD broker: entity updates a CPU-second, from the line to the wire.

`kerbline run` in a process of its own polls Modbus meters (each an asset of a city), stores what
they say and upserts it; the CPU is that process's, all of it. The broker tells what it took.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.budgets.modbus_race.track import _cpu_s
from tools.figures import Figure
from tools.trees import ROOT

BUSES, UNITS = 2, 200
POLL_S = 0.5
WARM_S, WINDOW_S, ROUNDS = 10.0, 6.0, 3
NAMES = ("power_w", "energy_import_kwh", "voltage_l1_v", "current_l1_a", "frequency_hz")
_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol")),
}
_TOLD = re.compile(r"^([\d.]+) POST \S+/upsert: 20[14], (\d+) entities, (\d+) values$", re.M)


def _config(url: str, ports: list[int]) -> Iterator[str]:
    yield '[gateway]\nid = "gw-city"\nstate_dir = "state"\n\n[city]\nid = "stad"\n'
    yield f'[[ngsi_ld]]\nname = "platform"\nurl = "{url}"\n'
    for bus, port in enumerate(ports):
        yield f'[[modbus]]\nname = "bus-{bus}"\nport = "socket://127.0.0.1:{port}"'
        yield 'framer = "tcp"\npipeline = 16\n'
        for unit in range(1, UNITS + 1):
            yield f'[[modbus.device]]\nunit = {unit}\nasset = "cabinet-{bus}-{unit}"'
            yield f"poll_s = {POLL_S}"
            for address, name in enumerate(NAMES):
                yield f'[[modbus.device.register]]\nname = "{name}"\naddress = {address}'


@contextmanager
def _running(words: list[str], output: Path, core: int) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=output.parent,
            env=_ENVIRONMENT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    os.sched_setaffinity(child.pid, {core})
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _said(output: Path, pattern: str) -> str:
    """What a process says of itself when it is there."""
    give_up_s = time.monotonic() + 30
    while time.monotonic() < give_up_s:
        if found := re.search(pattern, output.read_text()):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"{output}: {output.read_text()[-500:]}")


def _rounds(folder: Path) -> Iterator[tuple[float, float, float]]:
    """Of each window: entities upserted, and values, a CPU-second; the share of the core."""
    cores = sorted(os.sched_getaffinity(0))
    mine, others = cores[0], cores[-1]
    with ExitStack() as stack:
        told = folder / "broker.txt"
        stack.enter_context(_running(["kerbline", "sim", "ngsi-ld", "--port", "0"], told, others))
        url = _said(told, r"^ready (\S+)")
        ports = []
        for bus in range(BUSES):
            output = folder / f"bus-{bus}.txt"
            words = ["kerbline.sim.meter_source", "--tcp", "127.0.0.1:0", "--units", str(UNITS)]
            stack.enter_context(_running([*words, "--registers", "10"], output, others))
            ports.append(int(_said(output, r":(\d+)\s*$")))
        config = folder / "gateway.toml"
        config.write_text("\n".join(_config(url, ports)))
        log = folder / "gateway.txt"
        agent = stack.enter_context(_running(["kerbline", "run", str(config)], log, mine))
        time.sleep(WARM_S)
        for _ in range(ROUNDS):
            if agent.poll() is not None:
                raise RuntimeError(log.read_text()[-500:])
            spent_s, began_s = _cpu_s(agent.pid), time.monotonic()
            time.sleep(WINDOW_S)
            spent_s, ended_s = _cpu_s(agent.pid) - spent_s, time.monotonic()
            time.sleep(0.5)  # the broker's last line
            lines = _TOLD.findall(told.read_text())
            taken = [(int(n), int(v)) for at_s, n, v in lines if began_s <= float(at_s) < ended_s]
            entities, values = map(sum, zip(*taken, strict=True))
            yield entities / spent_s, values / spent_s, spent_s / (ended_s - began_s)


def figures() -> list[Figure]:
    """Medians of a few windows of one run."""
    with tempfile.TemporaryDirectory() as folder:
        entities, values, shares = zip(*_rounds(Path(folder)), strict=True)
    return [
        Figure(
            "entity updates a CPU-second, whole agent", statistics.median(entities), "", ">= 2000"
        ),
        Figure("their values", statistics.median(values), "a CPU-second"),
        Figure("its share of a core", 100 * statistics.median(shares), "%"),
    ]
