"""The module machine."""

from kerbnode.sim.chip.buses import Uart, i2c
from kerbnode.sim.chip.pins import Adc, Counter, Pin, Pwm
from kerbnode.sim.chip.timers import Timer, Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.sim.chip.control import Control


class Memory:
    """machine.mem32 as far as a chip tells why it was reset: power-on, software, watchdog."""

    CAUSES = {1: 1, 2: 3, 3: 7, 4: 5, 5: 1}

    def __init__(self, cause: int):
        self._cause = cause

    def __getitem__(self, address: int) -> int:
        return self.CAUSES[self._cause]


class Rtc:
    """Memory that no power cut outlives; a process is one power-up."""

    _kept = b""

    def memory(self, blob: "bytes | None" = None) -> "bytes | None":
        if blob is None:
            return Rtc._kept
        if len(blob) > 2048:
            raise ValueError("buffer too long")
        Rtc._kept = bytes(blob)
        return None


class Machine:
    """The module machine; one of an image with a counter where pulses are wired."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    Pin, PWM, ADC, UART, WDT = Pin, Pwm, Adc, Uart, Watchdog
    I2C = SoftI2C = staticmethod(i2c)
    RTC = Rtc
    Timer = Timer

    def __init__(self, control: Control, cause: int, mac: bytes):
        self._control = control
        self._cause = cause
        self._mac = mac
        self.mem32 = Memory(cause)
        if Pin.wired and Pin.wired.counts:
            self.Counter = Counter

    def reset_cause(self) -> int:
        return self._cause

    def reset(self) -> None:
        self._control.end("reset")

    def soft_reset(self) -> None:
        raise SystemExit

    def wake_reason(self) -> int:
        return 0

    def deepsleep(self, ms: int = 0) -> None:
        self._control.end("sleep", ms)

    def unique_id(self) -> bytes:
        return self._mac

    def freq(self, hz: int = 0) -> int:
        return 160_000_000

    def disable_irq(self) -> int:
        return 0

    def enable_irq(self, state: int) -> None:
        pass
