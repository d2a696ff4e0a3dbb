"""A master's end of a bad wire without a descriptor: for many short runs in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kerbline.ports import PortLost
from kerbline.sim.modbus.devices import Server
from kerbline.sim.modbus.wire import BadWire, Tally, Trouble


class MemoryPort:
    """Read and written as a `kerbline.ports.Port` is."""

    def __init__(self, server: Server, trouble: Trouble, tally: Tally | None = None) -> None:
        self.address = "memory"
        self.tally = tally or Tally()
        self._heard = bytearray()
        self._arrived: Callable[[], None] | None = None
        self._wire: BadWire | None = BadWire(server, trouble, self._hear, self.tally)
        if self._wire.line is not None:
            self.tally.lines.append(self._wire.line)

    def watch(self, arrived: Callable[[], None]) -> None:
        """Call `arrived` whenever something is there, or the plug was pulled."""
        self._arrived = arrived

    def take(self) -> bytes:
        """What has arrived; raises PortLost."""
        self._check()
        data = bytes(self._heard)
        self._heard.clear()
        return data

    async def read(self) -> bytes:
        """What has arrived, at least one byte; waits for it."""
        came = asyncio.Event()
        self.watch(came.set)
        while not (data := self.take()):
            came.clear()
            await came.wait()
        return data

    def write(self, data: bytes) -> None:
        """Onto the wire."""
        self._check().heard(data)

    def close(self) -> None:
        """Pull the plug, from either side."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self._tell()

    def _check(self) -> BadWire:
        if self._wire is None:
            raise PortLost(f"{self.address}: closed")
        return self._wire

    def _hear(self, data: bytes) -> None:
        self._heard += data
        self._tell()

    def _tell(self) -> None:
        if self._arrived is not None:
            self._arrived()
