"""A serial bus on a pty whose simulated line takes a line's time: how much of it is used."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.counters import Counters
from kerbline.south.modbus.bus import Bus, Carrier, open_line
from kerbline.south.modbus.framing import Function, NoAnswer, Request
from kerbline.south.modbus.line import Pace
from kerbline.south.modbus.transaction import Priority
from tools.figures import Figure
from tools.trees import ROOT

T = TypeVar("T")

BAUDS = (9_600, 19_200, 38_400, 57_600, 115_200)
UNITS, REGISTERS = 10, 100
TURN_ROUND_MS = 5.0  # of the simulated units, from a request to its answer
ALWAYS_S = 0.05  # a period that nobody keeps: the bus is never idle
WARM_S, WINDOW_S = 2.0, 12.0  # a transaction at an end is counted whole: 2 % at 9,600 baud
DEAD = frozenset((9, 10))  # of UNITS: 20 %
DEAD_S = 30.0  # how they are found to be dead is in it
DEAD_ROUNDS = 2
COMMANDS, COMMAND_ROUNDS, COMMAND_BAUD = 30, 3, 19_200
PLUGS, PLUGGED_S = 5, 2.5
AWAY_S = 1.55  # back when the gateway, which waits 0.1 s and then twice as long, has just looked
_PATH = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
_PROFILE = """\
[profile]
name = "bench"
title = "A hundred words"
maker = "any"
models = ["a bench"]
[profile.manual]
title = "This benchmark"
edition = "1"
table = "all"
"""


def figures() -> list[Figure]:
    """Every target of the serial bus; each line is a process of its own."""
    found = [
        Figure(f"bus in use at {baud:,} baud", utilisation(baud, REGISTERS), "%", ">= 90")
        for baud in BAUDS
    ]
    short = utilisation(BAUDS[-1], 10)
    found.append(Figure(f"the same, 10 registers a read, {BAUDS[-1]:,}", short, "%"))
    shares = [dead_share() for _ in range(DEAD_ROUNDS)]
    found.append(
        Figure("polls of 8 units beside 2 dead ones", statistics.median(shares), "%", ">= 95")
    )
    times = [each for _ in range(COMMAND_ROUNDS) for each in command_ms()]
    whole, ours = [each.ms for each in times], [each.ours_ms for each in times]
    said = "a command after what is in flight"
    for name, at in (("median", 0.5), ("p95", 0.95), ("worst", 1.0)):
        found.append(Figure(f"{said}, {name}", _quantile(whole, at), "ms"))
    # What Linux made us wait for a core is its own, and of whoever else uses the machine.
    found.append(Figure(f"{said}, worst, of it ours", max(ours), "ms", "<= 5"))
    spans = replug_s()
    found.append(Figure("plugged in again to a good poll, median", statistics.median(spans), "s"))
    found.append(Figure(f"the same, worst of {PLUGS}", max(spans), "s", "<= 2"))
    return found


def utilisation(baud: int, registers: int) -> float:
    """Percent of the time in which the line carried something, or was silent as it must be."""
    with tempfile.TemporaryDirectory() as folder, _line(Path(folder), baud) as line:
        return _run(_master(line, registers), lambda _: _busy_pct(line.report))


async def _busy_pct(report: Path) -> float:
    await asyncio.sleep(WARM_S)
    first = await _reported(report)
    await asyncio.sleep(WINDOW_S)
    last = await _reported(report)
    return 100 * (last["busy_s"] - first["busy_s"]) / (last["elapsed_s"] - first["elapsed_s"])


async def _reported(report: Path) -> dict[str, float]:
    """What the simulator says of a moment that is not past yet."""

    def text() -> str:
        return report.read_text() if report.exists() else ""

    before = text()
    await _until(lambda: text() != before)
    told: dict[str, float] = json.loads(text())
    return told


def dead_share() -> float:
    """Polls of the healthy units beside dead ones, in percent of those when alone."""
    return 100 * _polls(UNITS) / _polls(UNITS - len(DEAD))


def _polls(units: int) -> int:
    with tempfile.TemporaryDirectory() as folder, _line(Path(folder), 19_200, dead=DEAD) as line:
        counts: dict[str, int] = {}

        async def count(bus: Bus) -> int:
            try:
                async with asyncio.timeout(DEAD_S):
                    while True:
                        for each in await bus.next():
                            counts[each.asset] = counts.get(each.asset, 0) + bool(each.values)
            except TimeoutError:
                return sum(counts.values())

        return _run(_master(line, 20, units), count, taking=False)


class Late(NamedTuple):
    """How late a command was, and without the time in which Linux gave us no core."""

    ms: float
    ours_ms: float


class _Moment(NamedTuple):
    at_s: float
    waited_s: float  # so far, runnable without a core

    @classmethod
    def now(cls) -> _Moment:
        waited_ns = int(Path("/proc/thread-self/schedstat").read_text().split()[1])
        return cls(time.monotonic(), waited_ns / 1e9)


class _Ears:
    """A carrier that notes when something went out or came in."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.watch, self.close = carrier.watch, carrier.close
        self.heard = _Moment(0.0, 0.0)
        self.sent: list[tuple[_Moment, _Moment, int]] = []  # when, the last byte before, function

    def take(self) -> bytes:
        """Note when the last byte came."""
        data = self._carrier.take()
        if data:
            self.heard = _Moment.now()
        return data

    def write(self, data: bytes) -> None:
        """Note a request."""
        self.sent.append((_Moment.now(), self.heard, data[1]))
        self._carrier.write(data)


def command_ms() -> Sequence[Late]:
    """From the end of what was in flight to a command on the bus.

    What is in flight ends as it is counted for the use of the bus: with the silence after it.
    """
    silence_s = Pace(COMMAND_BAUD).silence_s
    ears: list[_Ears] = []

    async def opening(config: ModbusBus) -> Carrier:
        ears.append(_Ears(await open_line(config)))
        return ears[-1]

    async def command(bus: Bus) -> Sequence[Late]:
        await _until(lambda: bool(ears and ears[0].heard.at_s))
        found = []
        for number in range(COMMANDS):
            await asyncio.sleep(0.05 + 0.013 * (number % 7))  # at any moment of a transaction
            before, ordered = len(ears[0].sent), _Moment.now()
            order = Request(1, Function.WRITE_SINGLE_REGISTER, number, words=(number,))
            with suppress(NoAnswer):  # its answer is another's matter
                await bus.transact(order, priority=Priority.COMMAND, within_s=5.0)
            later = ears[0].sent[before:]
            heard = later[0][1]  # the end of what was in flight; if a poll is first, it counts
            gone = next(when for when, _, function in later if function == order.function)
            late_s = gone.at_s - max(ordered.at_s, heard.at_s + silence_s)
            waited_s = gone.waited_s - max(ordered.waited_s, heard.waited_s)
            found.append(Late(1_000 * late_s, 1_000 * max(late_s - waited_s, 0.0)))
        return found

    with tempfile.TemporaryDirectory() as folder, _line(Path(folder), COMMAND_BAUD) as line:
        return _run(_master(line, REGISTERS), command, opening=opening)


def replug_s() -> Sequence[float]:
    """From an adapter's return to the first poll with values, each time in s."""
    orders = ("--fault", f"unplug={PLUGGED_S}:{AWAY_S}")

    async def wait(bus: Bus) -> Sequence[float]:
        spans = []
        there = Path(line.port).is_symlink
        for _ in range(PLUGS):
            await _until(lambda: not there())
            good = asyncio.create_task(_good(bus))
            await _until(there)
            there_s = time.monotonic()
            spans.append(await good - there_s)
        return spans

    with tempfile.TemporaryDirectory() as folder, _line(Path(folder), 19_200, *orders) as line:
        return _run(_master(line, 10, 1, poll_s=1.0), wait, taking=False)


async def _until(true: Callable[[], bool]) -> None:
    """Wait for what another process does, to a few ms."""
    while not true():  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(0.002)


async def _good(bus: Bus) -> float:
    """When the first poll with values comes, of those that were not found yet."""
    lost = False
    while True:
        for each in await bus.next():
            lost = lost or not each.values
            if lost and each.values:
                return time.monotonic()


class _Line(NamedTuple):
    port: str
    report: Path
    baud: int


@contextmanager
def _line(
    folder: Path, baud: int, *orders: str, dead: frozenset[int] = frozenset()
) -> Iterator[_Line]:
    """A simulated bus in a process of its own."""
    profile, report, link = folder / "bench.toml", folder / "report.json", folder / "bus"
    register = (
        '[[register]]\nname = "r_{0}"\naddress = {0}\nwritable = {{ min = 0, max = 65535 }}\n'
    )
    profile.write_text(_PROFILE + "".join(register.format(at) for at in range(REGISTERS)))
    words = [sys.executable, "-m", "kerbline.sim.modbus", str(profile), "--pty", str(link)]
    words += ["--units", str(UNITS), "--baud", str(baud), "--turn-round-ms", str(TURN_ROUND_MS)]
    words += ["--report", str(report), *orders]
    if dead:
        words += ["--fault", "dead=" + ",".join(map(str, sorted(dead)))]
    child = subprocess.Popen(
        words, env={**os.environ, "PYTHONPATH": _PATH}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        if not child.stdout.readline().startswith("ready"):
            raise RuntimeError("the simulated bus does not come up")
        yield _Line(str(link), report, baud)
    finally:
        child.kill()
        child.communicate()


def _master(
    line: _Line, registers: int, units: int = UNITS, *, poll_s: float = ALWAYS_S
) -> ModbusBus:
    listed = tuple(Register(f"r_{at}", at) for at in range(registers))
    devices = tuple(
        ModbusDevice(unit, f"unit-{unit}", listed, poll_s=poll_s) for unit in range(1, units + 1)
    )
    return ModbusBus("bench", line.port, devices, "rtu", line.baud)


def _run(
    config: ModbusBus,
    story: Callable[[Bus], Awaitable[T]],
    *,
    opening: Callable[[ModbusBus], Awaitable[Carrier]] = open_line,
    taking: bool = True,
) -> T:
    """Run a bus for as long as `story` does; where it is not `taking`, the story takes itself."""

    async def take(bus: Bus) -> None:
        while True:
            await bus.next()

    async def main() -> T:
        bus = Bus(config, Clock(), Counters(), opening=opening)
        tasks = [asyncio.create_task(bus.run())]
        if taking:
            tasks.append(asyncio.create_task(take(bus)))
        try:
            return await story(bus)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    return asyncio.run(main())


def _quantile(times: Sequence[float], at: float) -> float:
    return sorted(times)[min(int(at * len(times)), len(times) - 1)]
