"""Byte lines: a serial device, a pty or `socket://host:port`, read and written without threads.

It knows how to open, lose and find a line again; what the bytes mean is the business of others.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import termios
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Literal

from kerbline.errors import KerblineError

if TYPE_CHECKING:
    import serial

SOCKET = "socket://"
CONNECT_TIMEOUT_S = 5.0
MAX_READ_BYTES = 4_096
MAX_UNSENT_BYTES = 65_536  # a peer that takes nothing for so long is not there
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 1.0

Parity = Literal["none", "even", "odd"]

log = logging.getLogger("kerbline.ports")


class PortLost(KerblineError):
    """The line can't be opened, was unplugged or closed; the text says which and where."""

    code = "port_lost"


class Port:
    """An open line. One reader at a time; every method raises PortLost once the line is gone."""

    __slots__ = ("_close_fd", "_fd", "_loop", "_unsent", "_waiter", "address")

    def __init__(self, address: str, fd: int, close_fd: Callable[[], None]) -> None:
        """Take over a non-blocking descriptor, which `close_fd` closes."""
        self.address = address
        self._fd = fd
        self._close_fd = close_fd
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """What has arrived, at least one byte; waits for it."""
        while True:
            data = self.take()
            if data:
                return data
            self._waiter = self._loop.create_future()
            self._loop.add_reader(self._fd, _wake, self._waiter)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if self._fd >= 0:
                    self._loop.remove_reader(self._fd)

    def watch(self, arrived: Callable[[], None]) -> None:
        """Call `arrived` whenever there is something to `take`, until closed; excludes `read`."""
        self._check()
        self._loop.add_reader(self._fd, arrived)

    def discard(self) -> int:
        """Drop what has arrived and was not read; says how many bytes that was."""
        dropped = 0
        while data := self.take():
            dropped += len(data)
        return dropped

    def write(self, data: bytes) -> None:
        """Send, or keep up to 64 KiB for when the line takes it; a fuller line counts as lost."""
        self._check()
        if len(self._unsent) + len(data) > MAX_UNSENT_BYTES:
            raise self._lost("the other side takes nothing")
        waits = bool(self._unsent)
        self._unsent += data
        if not waits:
            self._send()
            if self._unsent:
                self._loop.add_writer(self._fd, self._send_later)

    def set_baud(self, baud: int) -> bool:
        """Change the speed; what is still being sent is spoilt. False where we can't: a socket."""
        self._check()
        try:
            attributes = termios.tcgetattr(self._fd)
            attributes[4] = attributes[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
        except (termios.error, AttributeError):
            return False
        return True

    def close(self) -> None:
        """Give the descriptor back; harmless when the line is closed already."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._unsent.clear()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        with suppress(termios.error):  # not a terminal, or one that was unplugged
            termios.tcflush(fd, termios.TCOFLUSH)  # else close waits for bytes nobody takes
        with suppress(OSError):
            self._close_fd()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self) -> bytes:
        """What has arrived, up to 4 KiB of it; b"" when nothing is there."""
        self._check()
        try:
            data = os.read(self._fd, MAX_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error.strerror) from None
        if not data:
            raise self._lost("the other side hung up")
        return data

    def _send(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error.strerror) from None
        del self._unsent[:sent]

    def _send_later(self) -> None:
        with suppress(PortLost):  # whoever reads or writes next is told
            self._send()
            if not self._unsent:
                self._loop.remove_writer(self._fd)

    def _check(self) -> None:
        if self._fd < 0:
            raise PortLost(f"{self.address}: closed")

    def _lost(self, reason: str | None) -> PortLost:
        self.close()
        return PortLost(f"{self.address}: {reason}")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def open_port(
    address: str,
    baud: int = 115_200,
    parity: Parity = "none",
    stop_bits: int = 1,
    *,
    rs485: bool = False,
    deliver_s: float = 0.0,
) -> Port:
    """Open a device path, which nobody else may have open, or connect; raises PortLost.

    With `rs485` the kernel's driver switches the transceiver; where it can't, that is logged. A
    connection is lost when what was sent is not delivered in `deliver_s` (0: in minutes, as the
    kernel has it): nothing arrives later.
    """
    if address.startswith(SOCKET):
        return await _connect(address, deliver_s)
    return _open_serial(address, baud, parity, stop_bits, rs485=rs485)


async def open_when_there(
    address: str, baud: int = 115_200, parity: Parity = "none", first_retry_s: float = FIRST_RETRY_S
) -> Port:
    """Open, trying again (after 0.1 s, doubling to 1 s) until the line is there."""
    pause_s = first_retry_s
    while True:
        try:
            return await open_port(address, baud, parity)
        except PortLost as error:
            level = logging.WARNING if pause_s == first_retry_s else logging.DEBUG
            log.log(level, "%s; waiting for it", error)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_RETRY_S)


def _open_serial(path: str, baud: int, parity: Parity, stop_bits: int, *, rs485: bool) -> Port:
    import serial  # only a config with a serial line needs it

    letters = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
    try:
        line = serial.Serial(
            path,
            baud,
            parity=letters[parity],
            stopbits=stop_bits,
            timeout=0,
            inter_byte_timeout=0,  # VMIN 1: no bytes is EAGAIN, and b"" means unplugged
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as error:
        raise PortLost(f"{path}: {_reason(error)}") from None
    if rs485:
        _switch_rs485(line)
    return Port(path, line.fileno(), line.close)


def _switch_rs485(line: serial.Serial) -> None:
    """Let the driver raise RTS while it sends (TIOCSRS485), if it can."""
    from serial.rs485 import RS485Settings

    try:
        line.rs485_mode = RS485Settings()
    except (OSError, ValueError, termios.error):  # which of them is the driver's choice
        log.warning(
            "%s: its driver can't switch RS-485; the adapter or the wiring must, so set"
            " rs485 = false",
            line.name,
        )


def _reason(error: Exception) -> str:
    cause = error.__context__.args if error.__context__ else ()  # pyserial's own text quotes it
    number = next((part for part in (*error.args, *cause) if isinstance(part, int)), None)
    if isinstance(error, BlockingIOError) or "exclusively lock" in str(error):
        return "in use by another program"
    if number == errno.ENOTTY:
        return "that is no serial line; mend its path"
    return os.strerror(number) if number else str(error)


async def _connect(address: str, deliver_s: float) -> Port:
    loop = asyncio.get_running_loop()
    host, _, port = address.removeprefix(SOCKET).rpartition(":")
    with ExitStack() as undo:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
                family, kind, proto, _, target = found[0]
                sock = undo.enter_context(socket.socket(family, kind, proto))
                sock.settimeout(0)
                await loop.sock_connect(sock, target)
        except UnicodeError:
            raise PortLost(f"{address}: no host has such a name") from None
        except OSError as error:
            raise PortLost(f"{address}: {error.strerror or 'no answer'}") from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if deliver_s:  # RFC 5482
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1_000 * deliver_s))
        undo.pop_all()
    return Port(address, sock.fileno(), sock.close)
