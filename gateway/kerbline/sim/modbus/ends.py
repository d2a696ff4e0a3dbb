"""Where a master finds the simulated bus: a pty by a name of its own, or a TCP port."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from pymodbus.simulator import SimDevice

from kerbline.sim.modbus.adu import Framing
from kerbline.sim.modbus.devices import Send, Server
from kerbline.sim.modbus.faults import Unplug
from kerbline.sim.modbus.line_time import Speed
from kerbline.sim.modbus.wire import BadWire, Tally, Trouble

MAX_READ_BYTES = 4_096

HARMLESS = Trouble()

MakeWire = Callable[[Send], BadWire]


class End(Protocol):
    """What can be plugged in and out."""

    async def plug(self) -> None:
        """Be there; raises OSError."""

    def unplug(self) -> None:
        """Be gone: whoever has it open sees a hang-up."""

    def address(self) -> str:
        """The `port` of a gateway's config."""


class PtyEnd:
    """A pty under the name `link`; its wire outlives no unplugging."""

    __slots__ = ("_device", "_link", "_make", "_master", "wire")

    def __init__(self, link: Path, make: MakeWire) -> None:
        self._link = link
        self._make = make
        self._master = self._device = -1
        self.wire: BadWire | None = None

    async def plug(self) -> None:
        """Open a pty and name it; what stands there and is no link is left alone."""
        if self._link.exists() and not self._link.is_symlink():
            raise FileExistsError(f"{self._link} is there and no link; choose another name")
        self._master, self._device = os.openpty()
        tty.setraw(self._device)
        os.set_blocking(self._master, False)
        self.wire = self._make(self._write)
        asyncio.get_running_loop().add_reader(self._master, self._read, self.wire)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._device))

    def unplug(self) -> None:
        """Close both ends."""
        if self._master < 0:
            return
        self._link.unlink(missing_ok=True)
        asyncio.get_running_loop().remove_reader(self._master)
        for descriptor in (self._master, self._device):
            os.close(descriptor)
        self._master = self._device = -1
        if self.wire is not None:
            self.wire.close()

    def address(self) -> str:
        """The link's path."""
        return str(self._link)

    def _read(self, wire: BadWire) -> None:
        with suppress(BlockingIOError):
            wire.heard(os.read(self._master, MAX_READ_BYTES))

    def _write(self, data: bytes) -> None:
        with suppress(BlockingIOError):  # a wire keeps nothing for whoever does not listen
            os.write(self._master, data)


class TcpEnd:
    """A listening port; each connection is a wire of its own."""

    __slots__ = ("_connections", "_host", "_make", "_port", "_server")

    def __init__(self, host: str, port: int, make: MakeWire) -> None:
        self._host = host
        self._port = port
        self._make = make
        self._server: asyncio.Server | None = None
        self._connections: set[TcpConnection] = set()

    async def plug(self) -> None:
        """Listen; a port once found is kept."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: TcpConnection(self._make, self._connections), self._host, self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        """Listen no more, and hang up on whoever is connected."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.abort()

    def address(self) -> str:
        """`socket://host:port`."""
        return f"socket://{self._host}:{self._port}"


class TcpConnection(asyncio.Protocol):
    """One master's connection."""

    def __init__(self, make: MakeWire, among: set[TcpConnection]) -> None:
        self._make = make
        self._among = among
        self._transport: asyncio.Transport | None = None
        self._wire: BadWire | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wire = self._make(transport.write)
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        """It wrote."""
        assert self._wire is not None
        self._wire.heard(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """It went."""
        self._among.discard(self)
        if self._wire is not None:
            self._wire.close()

    def abort(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def over_tcp(
    devices: Sequence[SimDevice],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    framing: Framing = "tcp",
    trouble: Trouble = HARMLESS,
    tally: Tally | None = None,
) -> AsyncIterator[str]:
    """Serve Modbus TCP, or RTU over TCP; silent for units that are not there.

    Gives the `port` for a config; raises OSError when the address can't be had.
    """
    tally = tally or Tally()
    make = _wires(devices, framing, trouble, tally)
    async with _plugged(TcpEnd(host, port, make), trouble, tally) as address:
        yield address


@asynccontextmanager
async def over_rtu(
    devices: Sequence[SimDevice],
    link: Path,
    baud: int = 0,
    *,
    trouble: Trouble = HARMLESS,
    tally: Tally | None = None,
) -> AsyncIterator[str]:
    """Serve RTU on a pty of the name `link`, the same way; with a `baud` its bytes take time."""
    if baud and trouble.speed is None:
        trouble = Trouble(trouble.orders, trouble.schedule, Speed(baud), trouble.seed)
    tally = tally or Tally()
    make = _wires(devices, "rtu", trouble, tally)
    async with _plugged(PtyEnd(link, make), trouble, tally) as address:
        yield address


def _wires(
    devices: Sequence[SimDevice], framing: Framing, trouble: Trouble, tally: Tally
) -> MakeWire:
    server = Server(devices, framing)

    def make(send: Send) -> BadWire:
        wire = BadWire(server, trouble, send, tally)
        if wire.line is not None:
            tally.lines.append(wire.line)
        return wire

    return make


@asynccontextmanager
async def _plugged(end: End, trouble: Trouble, tally: Tally) -> AsyncIterator[str]:
    await end.plug()
    pulling: asyncio.Task[None] | None = None
    if trouble.orders.unplug is not None:
        pulling = asyncio.create_task(_pull(end, trouble.orders.unplug, tally))
    try:
        yield end.address()
    finally:
        if pulling is not None:
            pulling.cancel()
            with suppress(asyncio.CancelledError):
                await pulling
        end.unplug()


async def _pull(end: End, unplug: Unplug, tally: Tally) -> None:
    while True:
        await asyncio.sleep(unplug.after_s)
        end.unplug()
        tally.unplugged += 1
        await asyncio.sleep(unplug.for_s)
        await end.plug()
