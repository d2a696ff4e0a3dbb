"""What a host opens to reach a board on the bench: a TCP port, a pty, or RFC 2217 with its lines.

Bytes only, and DTR and RTS where there are such; what they mean is the board's business.
"""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

CHUNK_BYTES = 65_536
UNREAD_BYTES = 65_536  # a UART waits for nobody: what is older is lost
SLOW_S = 0.5  # EN's capacitor; a network is slower than a cable, so this one is large

Arrived = Callable[[bytes], None]
Reset = Callable[[bool], None]


class Port(Protocol):
    """One way to a board; `url` is known once it is open."""

    url: str

    async def open(self) -> None:
        """There it is."""

    def say(self, data: bytes) -> None:
        """From the board to whoever listens."""

    def hang_up(self) -> None:
        """The cable is pulled, and put in again at once."""

    def close(self) -> None:
        """Gone for good."""


class TcpPort:
    """`socket://`: bytes alone."""

    def __init__(self, arrived: Arrived) -> None:
        self.url = ""
        self._arrived = arrived
        self._links: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """There it is."""
        self._server = await asyncio.start_server(self._linked, "127.0.0.1", 0)
        self.url = f"socket://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def say(self, data: bytes) -> None:
        """From the board to whoever listens."""
        for writer in self._links:
            writer.write(data)

    def hang_up(self) -> None:
        """Every link is cut."""
        for writer in tuple(self._links):
            writer.transport.abort()
        self._links.clear()

    def close(self) -> None:
        """Gone for good."""
        self._server.close()
        self.hang_up()

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(CHUNK_BYTES):
                self._arrived(data)
        self._links.discard(writer)
        writer.close()


class PtyPort:
    """A serial device without DTR and RTS, under a name that stays when it is plugged in anew."""

    def __init__(self, arrived: Arrived, name: Path) -> None:
        self.url = str(name)
        self._arrived = arrived
        self._name = name
        self._master = self._slave = -1
        self._unread = bytearray()

    async def open(self) -> None:
        """There it is."""
        self._loop = asyncio.get_running_loop()
        self._plug()

    def say(self, data: bytes) -> None:
        """From the board to whoever listens, now or later."""
        self._unread += data
        del self._unread[:-UNREAD_BYTES]
        self._flush()

    def hang_up(self) -> None:
        """The new device is there before the old one breaks: nobody has to wait for it."""
        old = self._master, self._slave
        self._plug()
        self._unplug(*old)

    def close(self) -> None:
        """Gone for good."""
        self._unplug(self._master, self._slave)
        self._master = -1

    def _plug(self) -> None:
        self._master, self._slave = pty.openpty()  # held: one without a holder is at its end
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self._name.with_name(self._name.name + "~")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._name)
        self._unread.clear()
        self._loop.add_reader(self._master, self._read)

    def _unplug(self, master: int, slave: int) -> None:
        self._loop.remove_reader(master)
        self._loop.remove_writer(master)
        os.close(master)
        os.close(slave)

    def _read(self) -> None:
        with suppress(BlockingIOError, OSError):
            self._arrived(os.read(self._master, CHUNK_BYTES))

    def _flush(self) -> None:
        try:
            while self._unread and self._master >= 0:
                del self._unread[: os.write(self._master, self._unread)]
        except BlockingIOError:
            self._loop.add_writer(self._master, self._flush)
        except OSError:
            self._unread.clear()
        else:
            self._loop.remove_writer(self._master)


class LinedPort(TcpPort):
    """RFC 2217: a serial port over TCP with DTR and RTS, and the circuit that resets by them.

    RTS alone holds EN low, DTR alone holds the boot strap low, both together hold neither. When EN
    rises the strap is read: `reset` is told whether it is low. On its way over "both" EN rises
    slowly, so that a host gets past it.
    """

    def __init__(self, arrived: Arrived, reset: Reset) -> None:
        super().__init__(arrived)
        self._reset = reset
        self._manager: Any = None

    async def open(self) -> None:
        """There it is."""
        await super().open()
        self.url = self.url.replace("socket:", "rfc2217:")

    def say(self, data: bytes) -> None:
        """From the board to whoever listens."""
        if self._manager is not None:
            super().say(b"".join(self._manager.escape(data)))

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from serial import rfc2217

        self._links.add(writer)
        lines = _Lines(self._reset)
        manager = self._manager = rfc2217.PortManager(lines, writer)
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(CHUNK_BYTES):
                kept = b"".join(manager.filter(data))
                if kept:
                    self._arrived(kept)
        self._links.discard(writer)
        writer.close()


class _Lines:
    """The serial port behind the RFC 2217 server, as pyserial's PortManager wants it."""

    baudrate, bytesize, parity, stopbits = 115_200, 8, "N", 1
    xonxoff = rtscts = dsrdtr = cts = dsr = ri = cd = break_condition = False
    timeout: float | None = None

    def __init__(self, reset: Reset) -> None:
        self._reset = reset
        self._dtr = self._rts = self._held = False
        self._rises: asyncio.TimerHandle | None = None

    @property
    def dtr(self) -> bool:
        """Asserted?"""
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._dtr = on
        self._changed()

    @property
    def rts(self) -> bool:
        """Asserted?"""
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self._rts = on
        self._changed()

    def reset_input_buffer(self) -> None:
        """Nothing waits here."""

    reset_output_buffer = reset_input_buffer

    def _changed(self) -> None:
        if self._rises is not None:
            self._rises.cancel()
            self._rises = None
        if self._rts and not self._dtr:
            self._held = True
        elif self._held and self._rts:
            self._rises = asyncio.get_running_loop().call_later(SLOW_S, self._rise)
        elif self._held:
            self._rise()

    def _rise(self) -> None:
        self._held = False
        self._reset(self._dtr and not self._rts)
