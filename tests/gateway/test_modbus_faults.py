"""Seeded runs of a bus on which everything goes wrong, in virtual time.

Each register's content says whose it is and when it was made, so that no value can pass as
another's, or as a later one. A failing run is told by its seed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Iterable
from contextlib import suppress

import pytest

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.counters import Counters
from kerbline.ports import PortLost
from kerbline.sim import virtual_time
from kerbline.sim.modbus.adu import Framing
from kerbline.sim.modbus.devices import Server, device
from kerbline.sim.modbus.faults import Orders, Schedule
from kerbline.sim.modbus.line_time import Speed
from kerbline.sim.modbus.memory import MemoryPort
from kerbline.sim.modbus.wire import Trouble
from kerbline.south.measured import Measured
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.framing import BusFault, Request
from kerbline.south.modbus.schedule import TooLate
from kerbline.south.modbus.transaction import Priority

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
SHARDS = 10
RUNS = 1_000 if NIGHTLY else 6  # of each shard
RUN_S = 10.0
UNITS = 6
PERIOD_S = 0.25
CEILING_S = 0.2
BAUD = 115_200
LONGEST_FRAME_S = 256 * 11 / BAUD
START_MS = 1_800_000_000_000

# Words say unit and address; stamps the moment at which the unit was asked.
WORDS = [Register(f"word_{at}", at) for at in (0, 1, 2, 5, 40, 41, 44)]
REGISTERS = (
    *WORDS,
    *(Register(f"stamp_{at}", at, "uint64") for at in (10, 45)),
    *(Register(f"word_{at}", at, table="input") for at in (0, 1, 2)),
)
_NAMES = frozenset(register.name for register in REGISTERS)


class LoopClock(Clock):
    """Real time is the loop's."""

    __slots__ = ()

    def utc_ms(self) -> int:
        return START_MS + round(asyncio.get_running_loop().time() * 1_000)


def content(name: str, unit: int, now_ms: int) -> float:
    kind, _, address = name.partition("_")
    return now_ms * 256 + unit if kind == "stamp" else unit * 256 + int(address)


def check(found: Measured, now_ms: int) -> None:
    unit = int(found.asset.partition("-")[2])
    assert found.values.keys() <= _NAMES
    for name, value in found.values.items():
        assert isinstance(value, int)
        if name.startswith("stamp"):
            made_ms, whose = divmod(value, 256)
            assert whose == unit, f"{name} of unit {whose} as unit {unit}'s"
            assert found.read_at_ms - 1 <= made_ms <= now_ms, f"{name} is {made_ms - now_ms} ms old"
        else:
            assert value == content(name, unit, 0), f"{name} of unit {unit} is {value:#x}"


class Run:
    """One seeded run: what the bus is asked and what it gives are checked on the way."""

    def __init__(self, seed: int, framing: Framing) -> None:
        self.chance = random.Random(seed)
        self.framing = framing
        self.seed = seed
        self.schedule = Schedule(seed, share=0.3)  # goes on through new connections
        self.echo = framing == "rtu" and self.chance.random() < 0.2
        self.pulled = self.chance.random() < 0.2
        self.written: list[float] = []
        self.plugs: list[MemoryPort] = []
        self.away_until = 0.0
        self.found: list[Measured] = []

    async def open(self, _config: ModbusBus) -> MemoryPort:
        loop = asyncio.get_running_loop()
        if loop.time() < self.away_until:
            raise PortLost("memory: not there")
        clock = LoopClock()
        devices = [device(unit, self.registers(), clock, content) for unit in range(1, UNITS + 1)]
        trouble = Trouble(
            Orders(echo=self.echo),
            self.schedule,
            Speed(BAUD, 0.002) if self.framing == "rtu" else None,
            self.seed,
        )
        port = Recorded(Server(devices, self.framing), trouble, self.written)
        self.plugs.append(port)
        if self.pulled:
            loop.call_later(self.chance.uniform(1, 8), self.pull, port)
        return port

    def registers(self) -> tuple[Register, ...]:
        return REGISTERS

    def pull(self, port: MemoryPort) -> None:
        self.away_until = asyncio.get_running_loop().time() + self.chance.uniform(0, 2)
        port.close()

    def config(self) -> ModbusBus:
        devices = tuple(
            ModbusDevice(unit, f"unit-{unit}", REGISTERS, poll_s=PERIOD_S)
            for unit in range(1, UNITS + 1)
        )
        return ModbusBus(
            "bus",
            "socket://memory:1" if self.framing == "tcp" else "/dev/memory",
            devices,
            self.framing,
            BAUD,
            timeout_s=CEILING_S,
            echo=self.echo and self.chance.random() < 0.5,
            pipeline=self.chance.choice((1, 4)),
        )

    async def main(self) -> None:
        bus = Bus(self.config(), LoopClock(), Counters(), opening=self.open, sleep=sleep)
        tasks = [
            asyncio.create_task(each)
            for each in (bus.run(), self.take(bus), self.command(bus), self.command(bus))
        ]
        done, _ = await asyncio.wait(tasks, timeout=RUN_S, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert not done
        for port in self.plugs:
            with pytest.raises(PortLost):
                port.write(b"")
        self.judge()

    async def take(self, bus: Bus) -> None:
        while True:
            for found in await bus.next():
                check(found, LoopClock().utc_ms())
                self.found.append(found)

    async def command(self, bus: Bus) -> None:
        """Somebody else's reads, which meet the polls' own late answers."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.05, 0.6))
            unit, at = self.chance.randint(1, UNITS), self.chance.choice((0, 1))
            count = self.chance.choice((1, 2, 3))
            priority = self.chance.choice((Priority.COMMAND, Priority.FOREIGN))
            request = Request(unit, self.chance.choice((3, 4)), at, count)
            with suppress(BusFault, TooLate, PortLost):
                found = await bus.transact(request, priority=priority, within_s=0.5)
                told = [content(f"word_{at + n}", unit, 0) for n in range(count)]
                assert list(found.words)[: 3 - at] == told[: 3 - at]

    def judge(self) -> None:
        """Values came, and the line never stood still longer than one time-out allows."""
        values = sum(len(found.values) for found in self.found)
        assert values > 0
        if not self.pulled:
            assert values > RUN_S / PERIOD_S * UNITS * len(REGISTERS) / 10
            longest_s = max(then - now for now, then in itertools.pairwise(self.written))
            assert longest_s <= PERIOD_S + CEILING_S + 2 * LONGEST_FRAME_S + 0.12


class Recorded(MemoryPort):
    """Knows when it was written to."""

    def __init__(self, server: Server, trouble: Trouble, written: list[float]) -> None:
        super().__init__(server, trouble)
        self.written = written

    def write(self, data: bytes) -> None:
        if data:
            self.written.append(asyncio.get_running_loop().time())
        super().write(data)


def sleep(seconds: float) -> None:
    """Stand still, and the loop with us."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual_time.VirtualLoop)
    loop._jumping.now_s += seconds


def played(seeds: Iterable[int], framing: Framing) -> None:
    for seed in seeds:
        try:
            virtual_time.run(Run(seed, framing).main())
        except BaseException as error:
            error.add_note(f"seed {seed} over {framing}")
            raise


@pytest.mark.timeout(7_200 if NIGHTLY else 600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_fault_gives_a_value_to_another_or_stalls_the_bus(shard: int) -> None:
    framing: Framing = "rtu" if shard % 3 else "tcp"
    played(range(shard * RUNS, (shard + 1) * RUNS), framing)
