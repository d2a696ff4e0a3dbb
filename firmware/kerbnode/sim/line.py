"""The lines of a simulated node: a pty as its UART, or a UDP socket; on both interpreters."""

import asyncio
import os
import socket
import sys
import termios

from kerbwire.limits import DATAGRAM, FRAME_BYTES, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MICROPYTHON = sys.implementation.name == "micropython"
READ_BYTES = 512
EIO = 5
ECONNREFUSED = 111
CC, VTIME, VMIN = 6, 5, 6  # the place of the control characters, and of two among them


class Descriptor:
    """Waits until a file or socket is readable; on CPython through the loop, else by poll."""

    def __init__(self, file: "int | socket.socket"):
        self._file = file
        if MICROPYTHON:
            self._stream = asyncio.StreamReader(file)  # type: ignore[arg-type]
        else:
            self._ready = asyncio.Event()
            asyncio.get_running_loop().add_reader(file, self._ready.set)

    async def read(self) -> bytes:
        """At least one byte, or one datagram; b"" where the other side is gone."""
        if MICROPYTHON:
            data: bytes = await self._stream.read(READ_BYTES)
            return data
        while True:
            self._ready.clear()
            await self._ready.wait()
            try:
                number = self._file if isinstance(self._file, int) else self._file.fileno()
                return os.read(number, READ_BYTES)
            except BlockingIOError:
                pass

    def forget(self) -> None:
        """Wait for it no more."""
        if not MICROPYTHON:
            asyncio.get_running_loop().remove_reader(self._file)


class PtyLine:
    """A pty's path as UART.

    MicroPython's files block, so that VMIN = VTIME = 0 must make a read return what is there.
    """

    framing = STREAM

    def __init__(self, path: str):
        self._file: Any
        if MICROPYTHON:
            self._file = open(path, "r+b", 0)
            number = self._file.fileno()
            termios.setraw(number)  # type: ignore[attr-defined]
            attributes = termios.tcgetattr(number)
            attributes[CC][VMIN] = attributes[CC][VTIME] = 0
            termios.tcsetattr(number, termios.TCSANOW, attributes)
        else:
            import tty

            self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._file)
        self._descriptor = Descriptor(self._file)

    async def read(self) -> bytes:
        """At least one byte."""
        data = await self._descriptor.read()
        if not data:
            raise OSError(EIO)
        return data

    def write(self, data: bytes) -> None:
        """All of it, as far as the pty takes it; what it does not is noise on the line."""
        if MICROPYTHON:
            self._file.write(data)
            return
        try:
            os.write(self._file, data)
        except BlockingIOError:
            pass  # the far side reads nothing: the session sends again

    def close(self) -> None:
        """Give the pty back."""
        self._descriptor.forget()
        if MICROPYTHON:
            self._file.close()
        else:
            os.close(self._file)


class UdpLine:
    """A socket connected to the gateway; a gateway that is not there yet is no broken line."""

    framing = DATAGRAM

    def __init__(self, host: str, port: int):
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(found[0][-1])
        self._socket.setblocking(False)
        self._descriptor = Descriptor(self._socket)

    async def read(self) -> bytes:
        """One datagram."""
        while True:
            try:
                data = await self._descriptor.read()
                if data:
                    return data
            except OSError as error:
                if error.errno != ECONNREFUSED:
                    raise

    def write(self, data: bytes) -> None:
        """One datagram, never more than a frame."""
        try:
            self._socket.send(data[: FRAME_BYTES + 1])
        except OSError as error:
            if error.errno != ECONNREFUSED:
                raise

    def close(self) -> None:
        """Give the socket back."""
        self._descriptor.forget()
        self._socket.close()
