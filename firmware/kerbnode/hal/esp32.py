"""A node's board on an ESP32 with the stock MicroPython image (1.24 or later).

Checked against the image's stubs and, below the pins, on an emulated chip. No board with lamps
and sensors has been tried yet: the pins follow boards/*.toml once those are compiled.
"""

import asyncio
import os
import socket
import time

import esp32
import machine
import network

from kerbnode.hal import Restart
from kerbwire.limits import BUS, DATAGRAM, FRAME_BYTES, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.blocks import Record
    from kerbnode.hal.board import Line

WATCHDOG_MS = 30_000
UART_BYTES = 1024  # the default of 256 overflows while flash is written
FOLDER = "/journal"
NVS_BLOB_BYTES = 512
JOIN_TRIES = 40
JOIN_WAIT_S = 0.5
UARTS = {1: (17, 16), 2: (22, 23)}  # number: tx, rx
TALKING = 4  # high while we talk: DE and RE of an RS-485 transceiver; unused on other lines

__all__ = ("Board", "Restart")


class Nvs:
    """Blobs in the chip's own NVS partition."""

    def __init__(self) -> None:
        self._nvs = esp32.NVS("kerbnode")
        self._buffer = bytearray(NVS_BLOB_BYTES)

    def get(self, name: str) -> "bytes | None":
        """The blob, or None."""
        try:
            length = self._nvs.get_blob(name, self._buffer)
        except OSError:
            return None
        return bytes(memoryview(self._buffer)[:length])

    def set(self, name: str, blob: bytes) -> None:
        """Write it, durable on return."""
        self._nvs.set_blob(name, blob)
        self._nvs.commit()


class Board:
    """The chip and what is wired to it."""

    def __init__(self) -> None:
        self.nvs = Nvs()
        self.flash_path = FOLDER
        self._ticks = time.ticks_ms()
        self._ms = 0
        self._boot_ms = 0
        self._watchdog: machine.WDT | None = None

    def open(self) -> None:
        """Power on: from here on the watchdog must be fed."""
        self._boot_ms = self.monotonic_ms()
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def framing(self, link: str) -> int:
        """How frames travel on that link."""
        return {"udp": DATAGRAM, "rs485": BUS}.get(link, STREAM)

    def monotonic_ms(self) -> int:
        """Real time for timers; the chip's ticks wrap around after twelve days, this does not."""
        ticks = time.ticks_ms()
        self._ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._ms

    def uptime_ms(self) -> int:
        """Time since power-on."""
        return self.monotonic_ms() - self._boot_ms

    def street_ms(self, utc_ms: int) -> int:
        """A real street's time is UTC."""
        return utc_ms

    def random(self, count: int) -> bytes:
        """From the hardware's generator."""
        return os.urandom(count)

    def reset_cause(self) -> int:
        """Why the node started."""
        return machine.reset_cause()

    def feed(self) -> None:
        """Keep the watchdog quiet."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def reset(self) -> None:
        """Restart the node."""
        machine.reset()

    def quiet(self) -> bool:
        """A real street never stops."""
        return False

    def booted(self, boot_id: int, epoch: int) -> None:
        """Only a simulation has a witness."""

    def made(self, kind: str, record: "Record", epoch: int) -> None:
        """Only a simulation has a witness."""

    async def open_line(self, place: "str | int | tuple[str, int]", baud: int) -> "Line":
        """A UART by its number, or Wi-Fi and a socket to that gateway."""
        if not isinstance(place, tuple):
            return UartLine(int(place), baud)
        await join(self.nvs)
        return UdpLine(place[0], place[1])

    def pwm(self, pin: int, hz: int) -> machine.PWM:
        """A dimming output."""
        return machine.PWM(machine.Pin(pin), freq=hz, duty_u16=0)

    def adc(self, pin: int) -> machine.ADC:
        """An analogue input, calibrated, up to 3.1 V."""
        return machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB)

    def output(self, pin: int, level: int) -> machine.Pin:
        """A digital output, at that level at once."""
        return machine.Pin(pin, machine.Pin.OUT, value=level)

    def latch(self, pin: int) -> "Latch":
        """A motion sensor."""
        return Latch(machine.Pin(pin, machine.Pin.IN))

    def counter(self, pin: int) -> "Counter":
        """A pulse input."""
        return Counter(machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP))

    def i2c(self, number: int, scl: int, sda: int, hz: int) -> machine.I2C:
        """A sensors' bus."""
        return machine.I2C(number, scl=machine.Pin(scl), sda=machine.Pin(sda), freq=hz)

    def serial(self, number: int, tx: int, rx: int, baud: int) -> machine.UART:
        """A sensor's line."""
        return machine.UART(number, baud, tx=tx, rx=rx, timeout=0)


class Latch:
    """Remembers a rising edge until it is read; a level that stays high counts as well."""

    def __init__(self, pin: machine.Pin):
        self._pin = pin
        self._seen = False
        pin.irq(self._edge, machine.Pin.IRQ_RISING)

    def take(self) -> bool:
        """Was there a pulse since this was asked last?"""
        seen = self._seen or bool(self._pin.value())
        self._seen = False
        return seen

    def _edge(self, pin: machine.Pin) -> None:
        self._seen = True


class Counter:
    """Falling edges since power-up, counted in software: stock 1.24 has no pulse counter."""

    def __init__(self, pin: machine.Pin):
        self._count = 0
        pin.irq(self._edge, machine.Pin.IRQ_FALLING)

    def value(self) -> int:
        """Pulses so far."""
        return self._count

    def _edge(self, pin: machine.Pin) -> None:
        self._count += 1


class UartLine:
    """A UART as a stream."""

    framing = STREAM

    def __init__(self, number: int, baud: int):
        tx, rx = UARTS[number]
        self._uart = machine.UART(number, baud, tx=tx, rx=rx, rxbuf=UART_BYTES, timeout=0)
        self._stream = asyncio.StreamReader(self._uart)
        self._talking = machine.Pin(TALKING, machine.Pin.OUT, value=0)
        self._baud = baud

    async def read(self) -> bytes:
        """At least one byte."""
        while True:
            data = await self._stream.read(UART_BYTES)
            if data:
                return data

    async def write(self, data: bytes) -> None:
        """All of it; returns when the line is free for others."""
        self._talking.value(1)
        self._uart.write(data)
        await asyncio.sleep_ms(len(data) * 10_000 // self._baud)
        while not self._uart.txdone():
            pass  # a millisecond at most
        self._talking.value(0)

    def close(self) -> None:
        """Give the UART back."""
        self._uart.deinit()


class UdpLine:
    """A socket connected to the gateway."""

    framing = DATAGRAM

    def __init__(self, host: str, port: int):
        place = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0][-1]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(place)
        self._socket.setblocking(False)
        self._stream = asyncio.StreamReader(self._socket)

    async def read(self) -> bytes:
        """One datagram."""
        while True:
            data = await self._stream.read(FRAME_BYTES + 1)
            if data:
                return data

    async def write(self, data: bytes) -> None:
        """One datagram."""
        self._socket.send(data)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


async def join(nvs: Nvs) -> None:
    """Be in the Wi-Fi that the blob `wifi` names (ssid, a zero byte, password); OSError if not."""
    station = network.WLAN(network.STA_IF)
    if station.isconnected():
        return
    ssid, _, password = (nvs.get("wifi") or b"").partition(b"\x00")
    station.active(True)
    station.connect(ssid.decode(), password.decode())
    for _ in range(JOIN_TRIES):
        if station.isconnected():
            return
        await asyncio.sleep(JOIN_WAIT_S)
    raise OSError("no Wi-Fi")
