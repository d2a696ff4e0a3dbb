"""The bus against servers that others wrote: umodbus and modbus-tk, over TCP and RTU on a pty.

Each server runs in a process of its own, for these libraries keep their state in modules, and says
at its end what it holds: what we wrote must stand there, not only in what it reads back to us. The
simulator has to bear libmodbus, of Debian's mbpoll: else it would agree with us alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.counters import Counters
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.framing import NoAnswer, Refused, Request
from kerbline.south.modbus.transaction import Priority

PEERS = Path(__file__).parent / "modbus_peers.py"
UNIT = 7
LONG_S = 60.0
PATIENT_S = 60.0  # of the bus with a server that is a process of its own
WORDS = 100  # holding and input registers, coils and discrete inputs 0 to 99

HOLDING = Register("setpoint", 10)
WIDE = Register("energy_kwh", 20, "uint32", scale=0.1)
INPUT = Register("voltage_v", 0, "float32", "input")
COIL = Register("relay", 3, "bool", "coil")
DISCRETE = Register("door", 5, "bool", "discrete")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs: where a config finds it, and how it ends."""

    port: str
    framer: str
    held: Callable[[], dict[str, list[int]]]


@contextmanager
def wire(folder: Path) -> Iterator[tuple[Path, str]]:
    """Two ptys joined by threads of ours: the master opens the link, the server the path."""
    import tty

    (near, near_device), (far, far_device) = os.openpty(), os.openpty()
    for device in (near_device, far_device):
        tty.setraw(device)

    def carry(source: int, sink: int) -> None:
        with suppress(OSError):
            while data := os.read(source, 4_096):
                os.write(sink, data)

    link = folder / "bus"
    link.symlink_to(os.ttyname(near_device))
    for source, sink in ((near, far), (far, near)):
        threading.Thread(target=carry, args=(source, sink), daemon=True).start()
    try:
        yield link, os.ttyname(far_device)
    finally:
        for descriptor in (near_device, far_device, near, far):
            os.close(descriptor)


@contextmanager
def running(library: str, where: str) -> Iterator[tuple[str, Callable[[], dict[str, list[int]]]]]:
    """A server's process: what it says when it is ready, and a function that ends it."""
    command = [sys.executable, str(PEERS), library, where, str(UNIT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def held() -> dict[str, list[int]]:
            out, _ = process.communicate("\n", timeout=LONG_S)
            found = json.loads(out)
            assert isinstance(found, dict)
            return found

        try:
            assert process.stdout is not None
            ready, _, at = process.stdout.readline().strip().partition(" ")
            assert ready == "ready"
            yield at, held
        finally:
            process.kill()


@pytest.fixture(params=["umodbus-tcp", "umodbus-rtu", "modbus_tk-tcp", "modbus_tk-rtu"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    library, framer = request.param.split("-")
    pytest.importorskip(library)
    if framer == "tcp":
        with running(library, "tcp") as (at, held):
            yield Peer(f"socket://127.0.0.1:{at}", framer, held)
        return
    with wire(tmp_path) as (link, path), running(library, path) as (_, held):
        yield Peer(str(link), framer, held)


def config(peer: Peer, *registers: Register, timeout_s: float) -> ModbusBus:
    device = ModbusDevice(UNIT, "meter-1", registers, poll_s=0.1)
    return ModbusBus("peer", peer.port, (device,), peer.framer, baud=19_200, timeout_s=timeout_s)


class Rig:
    """Our bus, running."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def ask(self, function: int, address: int, count: int = 1, *words: int) -> list[int]:
        wanted = Request(UNIT, function, address, count, words)
        answer = await self.bus.transact(wanted, priority=Priority.COMMAND, within_s=LONG_S)
        return [int(word) for word in answer.words]

    async def found(self) -> dict[str, object]:
        """The first poll with values and without a fault."""
        while True:
            for each in await self.bus.next():
                if each.values and not each.quality:
                    return dict(each.values)


def ran(
    peer: Peer,
    scenario: Callable[[Rig], object],
    *registers: Register,
    timeout_s: float = PATIENT_S,
) -> None:
    async def main() -> None:
        bus = Bus(config(peer, *registers, timeout_s=timeout_s), Clock(), Counters())
        task = asyncio.create_task(bus.run())
        try:
            async with asyncio.timeout(2 * LONG_S):
                await scenario(Rig(bus))  # type: ignore[misc]
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_a_poll_reads_every_table(peer: Peer) -> None:
    async def scenario(rig: Rig) -> None:
        found = await rig.found()
        assert found == {
            "setpoint": 1_010,
            "energy_kwh": pytest.approx((1_020 * 65_536 + 1_021) / 10),
            "voltage_v": pytest.approx(230.5),
            "relay": True,
            "door": True,
        }

    ran(peer, scenario, HOLDING, WIDE, INPUT, COIL, DISCRETE)


def test_what_is_written_stands_there(peer: Peer) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.ask(6, 30, 1, 0xBEEF)
        await rig.ask(16, 40, 3, 1, 2, 0xFFFF)
        await rig.ask(5, 8, 1, 1)
        await rig.ask(15, 10, 4, 1, 0, 1, 1)
        assert await rig.ask(3, 30) == [0xBEEF]
        assert await rig.ask(3, 40, 3) == [1, 2, 0xFFFF]
        assert await rig.ask(1, 8) == [1]
        assert await rig.ask(1, 10, 4) == [1, 0, 1, 1]

    ran(peer, scenario, HOLDING)
    held = peer.held()
    assert held["holding"][30] == 0xBEEF
    assert held["holding"][40:43] == [1, 2, 0xFFFF]
    assert held["coil"][8] == 1
    assert held["coil"][10:14] == [1, 0, 1, 1]
    untouched = [n for n in range(WORDS) if n not in (30, 40, 41, 42)]
    assert [held["holding"][n] for n in untouched] == [1_000 + n for n in untouched]


def test_what_is_not_there_is_refused_and_the_bus_goes_on(peer: Peer) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(Refused) as raised:
            await rig.ask(3, 5_000)
        assert raised.value.code == "illegal_address"
        assert await rig.ask(3, 0, WORDS) == [1_000 + n for n in range(WORDS)]

    ran(peer, scenario, HOLDING)


def test_registers_to_the_protocols_limit_are_read_with_one_request(peer: Peer) -> None:
    spread = tuple(Register(f"value_{n}", n) for n in range(0, WORDS, 3))

    async def scenario(rig: Rig) -> None:
        found = await rig.found()
        assert found == {f"value_{n}": 1_000 + n for n in range(0, WORDS, 3)}
        (unit,) = rig.bus.state().units
        assert unit.answers <= 3  # polls so far, each one request

    ran(peer, scenario, *spread)


def test_a_unit_that_is_not_there_is_told(peer: Peer) -> None:
    async def scenario(rig: Rig) -> None:
        wanted = Request(UNIT + 1, 3, 0, 1)
        with pytest.raises((NoAnswer, Refused)):
            await rig.bus.transact(wanted, priority=Priority.COMMAND, within_s=LONG_S)
        assert await rig.ask(3, 1) == [1_001]

    ran(peer, scenario, HOLDING, timeout_s=4.0)


# ---------------------------------------------------------------- a master that we did not write

MBPOLL = shutil.which("mbpoll")
VALUE = re.compile(r"^\[\d+\]:\s+(\S+)$", re.MULTILINE)


@pytest.mark.skipif(MBPOLL is None, reason="needs Debian's mbpoll")
@pytest.mark.parametrize("way", ["tcp", "rtu"])
def test_mbpoll_reads_and_writes_the_simulated_devices(way: str, tmp_path: Path) -> None:
    link = tmp_path / "bus"
    where = ["--tcp", "127.0.0.1:0"] if way == "tcp" else ["--pty", str(link)]
    command = [sys.executable, "-m", "kerbline", "sim", "modbus", "lighting-cabinet", *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            at = simulator.stdout.readline().split()[1]
            if way == "tcp":
                host, _, port = at.removeprefix("socket://").rpartition(":")
                target = ["-m", "tcp", "-p", port, host]
            else:
                target = ["-m", "rtu", "-b", "19200", "-P", "none", str(link)]

            def mbpoll(*words: str, value: str = "") -> str:
                ask = [str(MBPOLL), "-a", "1", "-o", "10", "-1", "-q", *words, *target]
                return subprocess.run(
                    [*ask, *([value] if value else [])],
                    capture_output=True,
                    text=True,
                    timeout=LONG_S,
                    check=True,
                ).stdout

            (volts,) = VALUE.findall(mbpoll("-t", "3:float", "-B", "-r", "1", "-c", "1"))
            assert 225 < float(volts) < 235
            for wanted in ("0", "1"):
                assert "Written 1 references" in mbpoll("-t", "0", "-r", "2", value=wanted)
                assert VALUE.findall(mbpoll("-t", "0", "-r", "2", "-c", "1")) == [wanted]
        finally:
            simulator.terminate()
            assert simulator.wait(LONG_S) == 0
