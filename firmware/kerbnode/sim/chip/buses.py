"""machine.I2C and machine.UART."""

import io
import select
import socket

from kerbnode.sim.chip.pins import Pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENODEV = 19
POLL = 3  # MP_STREAM_POLL


def i2c(number: int = 0, **_: object) -> "Any":  # noqa: ANN401 - a bus
    """machine.I2C: what is wired to that bus, else one with nobody on it."""
    bus = Pin.wired.bus(number) if Pin.wired else None
    return bus or I2c(number)


class I2c:
    """A bus with nobody on it: no acknowledge."""

    def __init__(self, number: int = 0, **more: object):
        self._number = number

    def scan(self) -> "list[int]":
        return []

    def _nobody(self, *given: object, **more: object) -> None:
        raise OSError(ENODEV)

    writeto = readfrom = readfrom_into = readfrom_mem = readfrom_mem_into = writeto_mem = _nobody
    writevto = _nobody


class Uart(io.IOBase):
    """machine.UART: a chip that is wired to it; else number 1 is a TCP connection."""

    INV_TX = INV_RX = 0
    port = 0

    def __init__(self, number: int, baudrate: int = 9600, **more: object):
        self._line: "Any" = None
        self._chip: "Any" = Pin.wired.serial(number) if Pin.wired else None
        if number == 1 and Uart.port and self._chip is None:
            self._line = socket.socket()
            self._line.connect(socket.getaddrinfo("127.0.0.1", Uart.port)[0][-1])
            self._line.setblocking(False)
            self._ready = select.poll()
            self._ready.register(self._line, select.POLLIN)

    def init(self, *given: object, **more: object) -> None:
        pass

    def any(self) -> int:
        return 1 if self._line and self._ready.poll(0) else 0

    def read(self, count: int = 256) -> "bytes | None":
        if self._chip:
            heard: "bytes | None" = self._chip.read()
            return heard
        if not self.any():
            return None
        data: bytes = self._line.recv(count)
        return data

    def readinto(self, buffer: bytearray, count: "int | None" = None) -> "int | None":
        data = self.read(count or len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        if self._chip:
            self._chip.write(bytes(data))
        elif self._line:
            self._line.setblocking(True)
            self._line.send(data)
            self._line.setblocking(False)
        return len(data)

    def flush(self) -> None:
        pass

    def txdone(self) -> bool:
        return True

    def deinit(self) -> None:
        if self._line:
            self._line.close()
        self._line = None

    def ioctl(self, request: int, argument: int) -> int:
        if request != POLL:
            return -1
        ready = argument & select.POLLOUT
        if argument & select.POLLIN and self.any():
            ready |= select.POLLIN
        return ready
