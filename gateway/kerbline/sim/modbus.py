"""A simulated lighting cabinet: a Modbus meter whose registers follow the street's day.

A real pymodbus server, over TCP or RTU on a pty; runs as a process of its own:

    python -m kerbline.sim.modbus --tcp 127.0.0.1:1502
    python -m kerbline.sim.modbus --pty /tmp/cabinet --clock-table clock.json
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import struct
import tty
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from kerbline.clock import Clock, StreetTable

DAY_MS = 86_400_000
LAMPS = 40
LAMP_W = 60.0
STANDBY_W = 35.0
MAINS_V = 230.0
# Input registers of the common three-phase family (Eastron SDM630: float32, high word first)
VOLTAGE_V, CURRENT_A, POWER_W, FREQUENCY_HZ, ENERGY_KWH = 0, 6, 52, 70, 342
REGISTERS = 344
DOOR_OPEN = 500  # holding in the common space: uint16, 0 or 1


@dataclass(frozen=True, slots=True)
class Cabinet:
    """What a cabinet's meter shows at a street time; pure."""

    lamps: int = LAMPS

    def load_w(self, street_ms: int) -> float:
        """Lamps between 18:00 and 06:00 UTC, and a slow ripple of the mains."""
        hour = street_ms % DAY_MS / 3_600_000
        lit = hour >= 18 or hour < 6
        ripple = 1 + 0.01 * math.sin(street_ms / 7_000)
        return (STANDBY_W + self.lamps * LAMP_W * lit) * ripple

    def registers(self, street_ms: int) -> dict[int, float]:
        """Each measured value by its address."""
        volts = MAINS_V + 2 * math.sin(street_ms / 11_000)
        watts = self.load_w(street_ms)
        days, rest_ms = divmod(street_ms, DAY_MS)
        lit_h = min(rest_ms / 3_600_000, 6) + max(rest_ms / 3_600_000 - 18, 0)
        lamp_kwh = (days % 10_000 * 12 + lit_h) * self.lamps * LAMP_W / 1_000
        return {
            VOLTAGE_V: volts,
            CURRENT_A: watts / volts,
            POWER_W: watts,
            FREQUENCY_HZ: 50 + 0.02 * math.sin(street_ms / 13_000),
            ENERGY_KWH: lamp_kwh + street_ms % (10_000 * DAY_MS) / 3_600_000 * STANDBY_W / 1_000,
        }


def device(unit: int, clock: Clock, cabinet: Cabinet) -> SimDevice:
    """The cabinet as pymodbus serves it; each read sees the registers of its moment."""

    async def refresh(
        _function: int, start: int, _address: int, _count: int, words: list[int], _new: object
    ) -> None:
        street_ms = clock.street_ms(clock.utc_ms())
        for address, value in cabinet.registers(street_ms).items():
            words[address - start : address - start + 2] = struct.unpack(
                ">HH", struct.pack(">f", value)
            )

    return SimDevice(
        id=unit,
        simdata=[
            SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS),
            SimData(DOOR_OPEN, values=0, datatype=DataType.REGISTERS),
        ],
        action=refresh,
    )


def _others() -> SimDevice:
    """The units that are not there: pymodbus takes id 0 for them, and this keeps it silent."""

    async def absent(*_request: object) -> None:
        raise NoSuchIdException

    everything = SimData(0, count=0x10000, values=0, datatype=DataType.REGISTERS)
    return SimDevice(id=0, simdata=[everything], action=absent)


@asynccontextmanager
async def over_tcp(
    devices: Sequence[SimDevice], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve Modbus TCP, silent for units that are not there; gives the `port` for a config."""
    server = ModbusTcpServer(
        [*devices, _others()], address=(host, port), ignore_missing_devices=True
    )
    async with _running(server):
        listening = cast(asyncio.Server, server.transport)
        yield f"socket://{host}:{listening.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def over_rtu(
    devices: Sequence[SimDevice], link: Path, baud: int = 19_200
) -> AsyncIterator[str]:
    """Serve RTU on a pty of the name `link`, the same way."""
    with wire(link) as path:
        server = ModbusSerialServer(
            [*devices, _others()], port=path, baudrate=baud, ignore_missing_devices=True
        )
        async with _running(server):
            yield str(link)


@asynccontextmanager
async def _running(server: ModbusTcpServer | ModbusSerialServer) -> AsyncIterator[None]:
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def wire(link: Path) -> Iterator[str]:
    """A null-modem cable: a master opens `link`, the server opens the yielded path.

    Pulling the cable is removing `link`; needs a running loop, which carries the bytes.
    """
    loop = asyncio.get_running_loop()
    ends = [os.openpty(), os.openpty()]  # (ours, the device's) for either side
    for ours, devices in ends:
        tty.setraw(devices)
        os.set_blocking(ours, False)
    (near, near_device), (far, far_device) = ends
    loop.add_reader(near, _carry, near, far)
    loop.add_reader(far, _carry, far, near)
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(near_device))
        yield os.ttyname(far_device)
    finally:
        link.unlink(missing_ok=True)
        for end in (near, far):
            loop.remove_reader(end)
        for descriptor in (near, near_device, far, far_device):
            os.close(descriptor)


def _carry(source: int, sink: int) -> None:
    with suppress(BlockingIOError):  # a wire keeps nothing for whoever does not listen
        os.write(sink, os.read(source, 4_096))


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until cancelled; prints one line when it is ready."""
    table = StreetTable()
    if arguments.clock_table:
        table = StreetTable.parse(arguments.clock_table.read_text())
    devices = [device(unit, Clock(table), Cabinet()) for unit in arguments.unit or [1]]
    if arguments.tcp:
        host, _, port = arguments.tcp.rpartition(":")
        served = over_tcp(devices, host or "127.0.0.1", int(port))
    else:
        served = over_rtu(devices, arguments.pty)
    async with served as address:
        print(f"ready {address}", flush=True)
        await asyncio.get_running_loop().create_future()


async def _main(arguments: argparse.Namespace) -> None:
    task = asyncio.create_task(serve(arguments))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def main(words: Sequence[str] | None = None) -> None:
    """The command line of `python -m kerbline.sim.modbus`."""
    parser = argparse.ArgumentParser(prog="kerbline.sim.modbus", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="[HOST:]PORT", help="serve Modbus TCP")
    where.add_argument("--pty", metavar="LINK", type=Path, help="serve RTU on a pty of this name")
    parser.add_argument("--unit", type=int, action="append", help="a unit on the bus; repeatable")
    parser.add_argument("--clock-table", type=Path, help="street time (JSON rows)")
    try:
        asyncio.run(_main(parser.parse_args(words)))
    except (RuntimeError, OSError, ValueError) as error:  # an address in use, a bad table
        parser.error(str(error))


if __name__ == "__main__":
    main()
