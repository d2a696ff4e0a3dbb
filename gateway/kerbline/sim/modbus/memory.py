"""A master's end of a bad wire without a descriptor: for many short runs in virtual time."""

from __future__ import annotations

import asyncio

from kerbline.ports import PortLost
from kerbline.sim.modbus.devices import Server
from kerbline.sim.modbus.wire import BadWire, Tally, Trouble


class MemoryPort:
    """Read and written as a `kerbline.ports.Port` is."""

    def __init__(self, server: Server, trouble: Trouble, tally: Tally | None = None) -> None:
        self.address = "memory"
        self._heard = bytearray()
        self._came = asyncio.Event()
        self._wire: BadWire | None = BadWire(server, trouble, self._take, tally or Tally())

    @property
    def wire(self) -> BadWire:
        """The wire; raises PortLost when it was pulled."""
        if self._wire is None:
            raise PortLost(f"{self.address}: closed")
        return self._wire

    async def read(self) -> bytes:
        """What has arrived, at least one byte; waits for it."""
        while not self._heard:
            if self._wire is None:
                raise PortLost(f"{self.address}: closed")
            self._came.clear()
            await self._came.wait()
        data = bytes(self._heard)
        self._heard.clear()
        return data

    def discard(self) -> int:
        """Drop what has arrived; says how many bytes that was."""
        count = len(self._heard)
        self._heard.clear()
        return count

    def write(self, data: bytes) -> None:
        """Onto the wire."""
        self.wire.heard(data)

    def close(self) -> None:
        """Pull the plug, from either side."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self._came.set()

    def _take(self, data: bytes) -> None:
        self._heard += data
        self._came.set()
