"""An event loop whose time jumps to the next timer: hours of a simulation in a second of ours.

What waits for a file or a socket is served as ever, at no time at all; only when nothing else is
ready does time go on. A simulation that waits for another process belongs in real time.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import TypeVar

Result = TypeVar("Result")


class _Jumping(selectors.SelectSelector):
    """Waits never: the time that a loop would have waited is added to `now_s`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; else the next timer is due."""
        if timeout is None:
            return super().select(None)  # no timer: only another thread or a file ends this
        found = super().select(0)
        if not found:
            self.now_s += max(timeout, 0.0)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` begins at 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s

    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """From this thread, as most libraries call it, no system call is needed to wake up."""
        try:
            ours = asyncio.get_running_loop() is self
        except RuntimeError:
            ours = False
        call = self.call_soon if ours else super().call_soon_threadsafe
        return call(callback, *args, context=context)

    def sleep(self, seconds: float) -> None:
        """As `time.sleep`: time goes on, and nothing else happens meanwhile."""
        self._jumping.now_s += seconds


def run(main: Coroutine[object, object, Result]) -> Result:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
