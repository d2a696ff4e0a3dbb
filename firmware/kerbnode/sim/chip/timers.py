"""machine.WDT and machine.Timer."""

import time

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Watchdog:
    """machine.WDT: whoever holds the board resets it when it is not fed."""

    control: "Any" = None

    def __init__(self, id: int = 0, timeout: int = 5000):  # noqa: A002 - the chip's name
        Watchdog.control.say("watchdog", timeout)

    def feed(self) -> None:
        Watchdog.control.say("feed")


class Timer:
    """machine.Timer: a periodic one calls; nothing here waits for the interrupt of another."""

    ONE_SHOT, PERIODIC = 0, 1

    def __init__(
        self,
        id: int,  # noqa: A002 - the chip's name
        mode: int = 1,
        period: int = -1,
        callback: "Any" = None,  # noqa: ANN401
        **what: object,
    ):
        if not 0 <= id < 4:
            raise ValueError("invalid Timer number")
        self._on = mode == Timer.PERIODIC
        if self._on:
            import _thread

            _thread.start_new_thread(self._tick, (period, callback))

    def _tick(self, period_ms: int, callback: "Any") -> None:  # noqa: ANN401
        while True:
            time.sleep(period_ms / 1000)
            if not self._on:
                return
            micropython.schedule(callback, self)

    def deinit(self) -> None:
        self._on = False
