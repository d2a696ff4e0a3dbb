"""Deep sleep on an ESP32: its memory, its clock, what ends it; loaded by a wake without the rest.

ESP32 and ESP32-S3 wait for the forward contact by ext0 and for the backward one by ext1, each at
its own level. The ESP32-C6 has ext1 alone, with one level for both: contacts that stand differently
leave the backward one to the next wake. So has the ESP32-C3 by wake_on_gpio, in later images.
Contacts need a resistor to 3.3 V of their own: the pin's is off in sleep. Not verified on hardware.
"""

import time

import esp32
import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXT0, EXT1, GPIO = 2, 3, 7  # machine.wake_reason()
TIMER = -1
NO_PIN = -1
BOUNCE_MS = 10

_watched = [0, 0]  # closings since `watch`; interrupts live as long as the chip


def able() -> bool:
    """Does a contact end this chip's sleep?"""
    return hasattr(esp32, "wake_on_ext1") or hasattr(esp32, "wake_on_gpio")


class Chip:
    """The chip that sleeps."""

    def memory(self, blob: "bytes | None" = None) -> bytes:
        """What outlives everything but a power cut; `blob` replaces it."""
        rtc = machine.RTC()
        if blob is not None:
            rtc.memory(blob)
        return bytes(rtc.memory())

    def rtc_s(self) -> int:
        """Seconds of a clock that runs on in sleep."""
        return int(time.time())

    def woke(self) -> "int | None":
        """The index of the contact that ended a sleep, TIMER, or None when nobody slept."""
        if machine.reset_cause() != machine.DEEPSLEEP_RESET:
            return None
        reason = machine.wake_reason()
        if reason == EXT1 and hasattr(esp32, "wake_on_ext0"):
            return 1
        return 0 if reason in (EXT0, EXT1, GPIO) else TIMER

    def level(self, pin: int) -> int:
        """A contact's level."""
        return machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP).value()

    def wait_ms(self, ms: int) -> None:
        """Wait."""
        time.sleep_ms(ms)

    def watch(self, pins: "Sequence[int]") -> None:
        """Count closings from here on, while the node is loaded."""
        for index, pin in enumerate(pins):
            if pin != NO_PIN:
                _watch(index, machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP))

    def watched(self) -> "tuple[int, int]":
        """Closings since then, once."""
        forward, backward = _watched
        _watched[0] -= forward
        _watched[1] -= backward
        return forward, backward

    def sleep(self, ms: int, pins: "Sequence[int]", levels: "Sequence[int]") -> None:
        """Until the time is over or a contact moves; ends in a reset."""
        wired = [machine.Pin(pin, machine.Pin.IN) for pin in pins if pin != NO_PIN]
        if hasattr(esp32, "wake_on_ext0"):
            esp32.wake_on_ext0(wired[0], not levels[0])
            if len(wired) > 1:
                esp32.wake_on_ext1((wired[1],), not levels[1])
        else:
            alike = wired if levels[-1] == levels[0] else wired[:1]
            wake = esp32.wake_on_ext1 if hasattr(esp32, "wake_on_ext1") else esp32.wake_on_gpio
            wake(tuple(alike), not levels[0])
        machine.deepsleep(max(1, ms))


def _watch(index: int, contact: machine.Pin) -> None:
    edge_ms = time.ticks_ms()
    closed = not contact.value()

    def edge(pin: machine.Pin) -> None:
        nonlocal edge_ms, closed
        now = time.ticks_ms()
        if not closed and time.ticks_diff(now, edge_ms) >= BOUNCE_MS:
            _watched[index] += 1
        edge_ms = now
        closed = not pin.value()

    contact.irq(edge)
