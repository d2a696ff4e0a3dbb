"""The modules `machine`, `esp32` and `network` of a stock image, as far as kerbnode.hal.esp32 asks.

Each refuses what the chip would: a pin that is none, NVS names of 16 characters, a UART that is not
there. What happens to pins, UART and watchdog is written down in order, in `told`. NVS is the model
of pages. No clock but the caller's.
"""

from node.nvs_pages import Nvs as Pages
from node.ram_flash import RamFlash

told: "list[tuple[object, ...]]" = []
levels: "dict[int, int]" = {}  # what is outside the pins; 0 where nothing is said
handlers: "dict[int, object]" = {}
deaf: "dict[str, int]" = {}  # blobs of NVS that give an error, and how often
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

state = {"cause": 1, "mem": 1, "associated": 0}
PINS = 40


class Pin:
    IN, OUT = 1, 3
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(
        self, number: int, mode: int = -1, pull: "int | None" = None, value: "int | None" = None
    ):
        if not isinstance(number, int) or not 0 <= number < PINS:
            raise ValueError("invalid pin")
        self.number = number
        self._mode = mode
        self._pulled = pull == Pin.PULL_UP
        if value is not None:
            self.value(value)

    def value(self, level: "int | None" = None) -> "int | None":
        if level is None:
            return levels.get(self.number, 1 if self._pulled else 0)
        if self.number >= 34:
            raise ValueError("pin can only be input")
        told.append(("pin", self.number, level))
        return None

    def irq(self, handler: object, trigger: int = 3) -> None:
        handlers[self.number] = (self, handler, trigger)


def edge(number: int, trigger: int) -> None:
    """An edge comes: the handler runs, if it waits for that one."""
    pin, handler, wanted = handlers[number]
    if trigger & wanted:
        handler(pin)


class PWM:
    def __init__(self, pin: Pin, freq: int = 5000, duty_u16: int = 32_768):
        self._pin = pin
        told.append(("pwm", pin.number, freq, duty_u16))

    def duty_u16(self, duty: int) -> None:
        if not 0 <= duty <= 65_535:
            raise ValueError("duty_u16 must be from 0 to 65535")
        told.append(("duty", self._pin.number, duty))


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin: Pin, atten: int = 0):
        self._pin = pin

    def read_uv(self) -> int:
        return 1000 * levels.get(self._pin.number, 0)


class I2C:
    def __init__(self, number: int, scl: Pin, sda: Pin, freq: int):
        self.pins = (scl.number, sda.number)


class UART:
    """Bytes leave one after the other: `txdone` takes 5 us a question until the last one is out."""

    QUESTION_US = 5

    def __init__(self, number: int, baudrate: int, **more: object):
        if number not in (1, 2):
            raise ValueError("UART does not exist")
        self.given = more
        self._baud = baudrate
        self._left_us = 0
        told.append(("uart", number, baudrate, more["tx"], more["rx"]))

    def write(self, data: bytes) -> int:
        told.append(("write", bytes(data)))
        self._left_us += len(data) * 10_000_000 // self._baud
        return len(data)

    def txdone(self) -> bool:
        self._left_us -= UART.QUESTION_US
        done = self._left_us <= 0
        if done:
            told.append(("txdone",))
        return done

    def deinit(self) -> None:
        told.append(("uart off",))


class WDT:
    def __init__(self, timeout: int):
        told.append(("watchdog", timeout))

    def feed(self) -> None:
        told.append(("feed",))


class Timer:
    def __init__(
        self, number: int, *, mode: int, period: int, callback: "Callable[[Timer], object]"
    ):
        told.append(("timer", number, mode, period))
        callback(self)


class Memory:
    def __getitem__(self, address: int) -> int:
        if address != 0x3FF48034:
            raise ValueError("a load from there is a panic")
        return state["mem"]


class Machine:
    Pin, PWM, ADC, I2C, UART, WDT = Pin, PWM, ADC, I2C, UART, WDT
    Timer = Timer

    def __init__(self) -> None:
        self.mem32 = Memory()

    def reset_cause(self) -> int:
        return state["cause"]

    def reset(self) -> None:
        told.append(("reset",))


class Esp32:
    flash = RamFlash()

    class NVS:
        def __init__(self, namespace: str):
            if len(namespace) > 15:
                raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
            self._pages = Pages(Esp32.flash)

        def get_blob(self, name: str, buffer: bytearray) -> int:
            if deaf.get(name):
                deaf[name] -= 1
                raise OSError(-0x110B, "ESP_ERR_NVS_INVALID_STATE")
            blob = self._pages.get(name)
            if blob is None:
                raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
            if len(blob) > len(buffer):
                raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
            buffer[: len(blob)] = blob
            return len(blob)

        def set_blob(self, name: str, blob: bytes) -> None:
            if not 0 < len(name) <= 15:
                raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
            self._pages.set(name, bytes(blob))

        def commit(self) -> None:
            """The pages are written by then."""


class WLAN:
    PM_NONE = 0

    def __init__(self, interface: int):
        self._on = False

    def active(self, on: object) -> None:
        self._on = bool(on)

    def config(self, **what: object) -> None:
        if not self._on:
            raise OSError("STA is not active")

    def connect(self, ssid: str, password: str) -> None:
        if not self._on:
            raise OSError("Wifi Not Started")
        told.append(("join", ssid, password))

    def isconnected(self) -> bool:
        return bool(state["associated"])


class Network:
    STA_IF = 0
    WLAN = WLAN


class Micropython:
    def kbd_intr(self, char: int) -> None:
        told.append(("kbd_intr", char))
