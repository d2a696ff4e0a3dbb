"""A node's board on an ESP32 with the stock MicroPython image (1.24 or later).

Every pin comes from the board's file or the node's settings. Checked against the image's stubs,
under the Unix port with modules in the image's place, and below the pins on an emulated chip; no
board with lamps and sensors has been tried yet.
"""

import asyncio
import os
import time

import esp32
import machine
import micropython

from kerbnode import board as wiring
from kerbnode import loaded
from kerbnode.awaited import Awaited
from kerbnode.hal import Restart
from kerbwire.limits import BUS, DATAGRAM, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kerbnode.app import Node
    from kerbnode.blocks import Record
    from kerbnode.hal.board import Counter as AnyCounter
    from kerbnode.hal.board import Line
    from kerbnode.hal.esp32_wifi import Wifi
    from kerbnode.rest import Rest

WATCHDOG_MS = 30_000
UART_BYTES = 1024  # the default of 256 overflows while flash is written
READ_BYTES = 64  # taken at once, again and again into one place
FOLDER = "/journal"
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND
NVS_BLOB_BYTES = (128, 256, 512, 1024)  # most are small, and a worn heap has no long piece to spare
EDGE_LOOK_MS = 6  # with the rise of 142 ms below 150
# Who waits looks again at an interrupt, and that comes with FreeRTOS's tick (100 a second in the
# image): for less than one a timer of the chip's gives it, and has nothing else to do.
OS_TICK_MS = 10
ONE_SHOT = 0  # machine.Timer's
SPIN_MS = 10  # the end of a transmission on RS-485 is waited for without giving way

__all__ = ("Board", "Restart")


class Nvs:
    """Blobs in the chip's own NVS partition."""

    def __init__(self) -> None:
        self._nvs = esp32.NVS("kerbnode")

    def get(self, name: str) -> "bytes | None":
        """The blob, or None where there is none; OSError where it can't be read."""
        for room in NVS_BLOB_BYTES:
            buffer = bytearray(room)
            try:
                length = self._nvs.get_blob(name, buffer)
            except OSError as error:
                if error.errno == NOT_FOUND:
                    return None
                fault = error  # too long for this room, or unread: the next one asks again
                continue
            return bytes(memoryview(buffer)[:length])
        raise fault

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
        self._tick = Tick()
        self._counters = 0
        self._wifi: Wifi | None = None

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
        """Why the node started, as machine.reset_cause() has it; 6 is a supply that sagged."""
        from kerbnode.hal import esp32_cause

        cause = esp32_cause.reset_cause()
        loaded.forget("kerbnode.hal", ("esp32_cause",))
        return cause

    def feed(self) -> None:
        """Keep the watchdog quiet."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def reset(self) -> None:
        """Restart the node."""
        machine.reset()

    def console(self, *, is_open: bool) -> None:
        """May Ctrl-C on the console interrupt the node?"""
        micropython.kbd_intr(3 if is_open else -1)

    def leave(self, prompt_s: int) -> None:
        """The node goes to the prompt; the watchdog, which never stops, starts it again."""
        machine.WDT(timeout=1000 * prompt_s)

    def rest(self, node: "Node", pins: "tuple[int, ...]") -> "Rest | None":
        """The concern of a node that sleeps until one of these contacts moves; None if none can."""
        if hasattr(wiring, "SLEEP"):
            from kerbnode.hal import esp32_sleep

            if esp32_sleep.able():
                from kerbnode.rest import Rest

                return Rest(node, pins, esp32_sleep.Chip())
        return None

    def tick_wait(self, ms: int) -> "Awaitable[None]":
        """Return after so long, or soon after an edge at a latched input."""
        self._tick.begin(ms)
        return self._tick

    def quiet(self) -> bool:
        """A real street never stops."""
        return False

    def booted(self, boot_id: int, epoch: int) -> None:
        """Only a simulation has a witness."""

    def made(self, kind: str, record: "Record", epoch: int) -> None:
        """Only a simulation has a witness."""

    async def open_line(
        self, gateway: "tuple[str, int] | None", baud: int, pins: "tuple[int, ...]"
    ) -> "Line":
        """A UART on these pins (number, tx, rx, de), or Wi-Fi and a socket to that gateway."""
        if gateway is None:
            return UartLine(baud, pins)
        if self._wifi is None:
            from kerbnode.hal.esp32_wifi import Wifi

            self._wifi = Wifi(self.nvs.get("wifi") or b"")
        return self._wifi.open(gateway, self.monotonic_ms(), self.random(1)[0])

    def pwm(self, pin: int, hz: int) -> machine.PWM:
        """A dimming output; it goes on with the level that the pin has had since reset: light."""
        level = machine.Pin(pin, machine.Pin.IN).value()
        return machine.PWM(machine.Pin(pin), freq=hz, duty_u16=65_535 if level else 0)

    def adc(self, pin: int) -> machine.ADC:
        """An analogue input, calibrated, up to 3.1 V."""
        return machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB)

    def output(self, pin: int, level: int) -> machine.Pin:
        """A digital output, at that level at once."""
        return machine.Pin(pin, machine.Pin.OUT, value=level)

    def input(self, pin: int) -> machine.Pin:
        """A digital input, pulled up."""
        return machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)

    def latch(self, pin: int) -> "Latch":
        """A motion sensor."""
        return Latch(machine.Pin(pin, machine.Pin.IN), self.wake)

    def wake(self) -> None:
        """Something moved: the next tick comes at once."""
        self._tick.edge = True

    def counter(self, pin: int) -> "AnyCounter":
        """Falling edges at a pulse input, counted by the chip where the image offers that.

        Images from 1.27 on have machine.Counter on chips with a pulse counter (the C3 has none).
        """
        if hasattr(machine, "Counter"):
            self._counters += 1
            number = self._counters - 1
            made: AnyCounter = machine.Counter(number, self.input(pin), edge=2)  # FALLING
            return made
        return Counter(self.input(pin))

    def i2c(self, number: int, scl: int, sda: int, hz: int) -> machine.I2C:
        """A sensors' bus."""
        return machine.I2C(number, scl=machine.Pin(scl), sda=machine.Pin(sda), freq=hz)

    def serial(self, number: int, tx: int, rx: int, baud: int) -> machine.UART:
        """A sensor's line."""
        return machine.UART(number, baud, tx=tx, rx=rx, timeout=0)


class Tick(Awaited):
    """Time until the next tick; `edge` ends it, and an interrupt may set that."""

    def __init__(self) -> None:
        Awaited.__init__(self)
        self.edge = self._short = False
        self._until = time.ticks_ms()

    def begin(self, ms: int) -> None:
        """So long from now on."""
        self._until = time.ticks_add(time.ticks_ms(), ms)
        self._short = ms < OS_TICK_MS

    def sleeps(self) -> bool:
        """Until it is time to look for an edge again."""
        left_ms = time.ticks_diff(self._until, time.ticks_ms())
        if self.edge or left_ms <= 0:
            self.edge = False
            return False
        asyncio.sleep_ms(min(left_ms, EDGE_LOOK_MS)).__next__()  # type: ignore[attr-defined]
        if self._short:
            machine.Timer(0, mode=ONE_SHOT, period=left_ms, callback=id)  # type: ignore[arg-type]
        return True


class Latch:
    """Remembers a rising edge until it is read; a level that stays high counts as well."""

    def __init__(self, pin: machine.Pin, wake: "Callable[[], None]"):
        self._pin = pin
        self._seen = False
        self._wake = wake
        pin.irq(self._edge, machine.Pin.IRQ_RISING)

    def take(self) -> bool:
        """Was there a pulse since this was asked last?"""
        seen = self._seen or bool(self._pin.value())
        self._seen = False
        return seen

    def _edge(self, pin: machine.Pin) -> None:
        self._seen = True
        self._wake()


class Counter:
    """Falling edges since power-up, counted in software.

    The image runs such a handler between two bytecodes and remembers eight edges that wait: while
    flash is written (0.3 s) a ninth is lost, so no more than 25 pulses a second.
    """

    def __init__(self, pin: machine.Pin):
        self._count = 0
        pin.irq(self._edge, machine.Pin.IRQ_FALLING)

    def value(self) -> int:
        """Pulses so far."""
        return self._count

    def _edge(self, pin: machine.Pin) -> None:
        self._count += 1


_GIVE_WAY = (None,)  # a task that awaits it sleeps until a queue wakes it


class UartLine:
    """A UART as a stream; with a `de` pin an RS-485 transceiver on a line that others share.

    The gateway leaves such a line alone for 2 ms after an answer: by then the driver must be off.
    Other tasks run while a long frame leaves, but not during its last 10 ms. Not verified on
    hardware: a modelled UART and instruction counts say 0.03 ms.
    """

    framing = STREAM

    def __init__(self, baud: int, pins: "tuple[int | None, ...]"):
        number, tx, rx, de = pins
        self._uart = machine.UART(
            1 if number is None else number,
            baud,
            tx=tx,
            rx=rx,
            rxbuf=UART_BYTES,
            txbuf=UART_BYTES,
            timeout=0,
        )
        self._room = memoryview(bytearray(READ_BYTES))
        self._talking = None if de is None else machine.Pin(de, machine.Pin.OUT, value=0)
        self._baud = baud

    async def read(self) -> memoryview:
        """At least one byte; what was given before is gone."""
        while True:
            # What a StreamReader does, with less garbage.
            asyncio.core._io_queue.queue_read(self._uart)  # type: ignore[attr-defined]
            await _GIVE_WAY  # type: ignore[misc]
            count = self._uart.readinto(self._room)
            if count:
                return self._room[:count]

    def write(self, data: bytes) -> "Awaitable[None] | None":
        """All of it; on a shared line the wait ends when that is free for others."""
        if self._talking is not None:
            return self._talk(data, self._talking)
        self._uart.write(data)
        return None

    async def _talk(self, data: bytes, talking: machine.Pin) -> None:
        talking.value(1)
        try:
            self._uart.write(data)
            long_ms = len(data) * 10_000 // self._baud - SPIN_MS
            if long_ms > 0:
                await asyncio.sleep_ms(long_ms)
            while not self._uart.txdone():
                pass
        finally:
            talking.value(0)

    def close(self) -> None:
        """Give the UART back."""
        self._uart.deinit()
