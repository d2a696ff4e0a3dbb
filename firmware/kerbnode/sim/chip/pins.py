"""machine.Pin, and what works at a pin: PWM, ADC, Counter."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Pin:
    """machine.Pin: an input that nothing drives reads high where it is pulled up, else low."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    WAKE_LOW, WAKE_HIGH = 4, 5
    control: "Any" = None
    wired: "Any" = None

    def __init__(
        self,
        number: int,
        mode: int = -1,
        pull: "int | None" = None,
        value: "int | None" = None,
        **more: object,
    ):
        self.number = number
        self._pull = pull
        self._value = 1 if pull == Pin.PULL_UP else 0
        if value is not None:
            self.value(value)

    def init(self, mode: int = -1, pull: "int | None" = None, value: "int | None" = None) -> None:
        if value is not None:
            self.value(value)

    def value(self, value: "int | None" = None) -> "int | None":
        if value is None:
            driven: "int | None" = Pin.wired.level(self.number) if Pin.wired else None
            return self._value if driven is None else driven
        if self._value != int(value):
            Pin.control.say("pin", self.number, int(value))
        self._value = int(value)
        if Pin.wired:
            Pin.wired.drive(self.number, self._value)
        return None

    __call__ = value

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)

    def irq(self, handler: object = None, trigger: int = 3, **more: object) -> None:
        pass


class Pwm:
    """machine.PWM."""

    def __init__(self, pin: Pin, freq: int = 5000, duty_u16: int = 0, **more: object):
        self._pin = pin
        self._duty = -1
        self.duty_u16(duty_u16)

    def duty_u16(self, duty: "int | None" = None) -> "int | None":
        if duty is None:
            return self._duty
        if duty != self._duty:
            Pin.control.say("pwm", self._pin.number, duty)
        self._duty = duty
        if Pin.wired:
            Pin.wired.dim(self._pin.number, duty)
        return None

    def freq(self, hz: "int | None" = None) -> int:
        return hz or 5000

    def deinit(self) -> None:
        self._duty = -1


class Adc:
    """machine.ADC."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3

    def __init__(self, pin: "Any", atten: int = 0, **more: object):  # noqa: ANN401 - or a number
        self._pin = pin

    def read_uv(self) -> int:
        return int(Pin.wired.microvolts(self._pin.number)) if Pin.wired else 0

    def read_u16(self) -> int:
        return 0


class Counter:
    """machine.Counter of images from 1.27 on: falling edges at a pin."""

    def __init__(self, id: int, src: Pin, **more: object):  # noqa: A002 - the chip's name
        self._number = src.number

    def value(self) -> int:
        return int(Pin.wired.count(self._number))
