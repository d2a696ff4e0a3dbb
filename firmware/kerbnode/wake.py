"""A flag that one task waits for, at most for a stated time."""

import asyncio
import sys

from kerbnode.awaited import Awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any


class Wake(Awaited):
    """Set from anywhere in the event loop; a wait takes it back."""

    def __init__(self) -> None:
        Awaited.__init__(self)
        self._set = False
        self._waiting: "Any" = None  # the task, or the host's event
        self._time_ms = 0

    def set(self) -> None:
        """Let the waiting task go on."""
        self._set = True
        if self._waiting is None:
            return
        if sys.implementation.name != "micropython":
            self._waiting.set()
            return
        asyncio.core._task_queue.remove(self._waiting)  # type: ignore[attr-defined]
        asyncio.core._task_queue.push(self._waiting)  # type: ignore[attr-defined]
        self._waiting = None

    def wait(self, time_ms: int) -> "Awaitable[None]":
        """Return when it is set or the time is over, whichever comes first."""
        if sys.implementation.name != "micropython":
            return self._wait(time_ms)
        self._time_ms = time_ms
        return self

    def sleeps(self) -> bool:
        """The one sleep of a wait."""
        if self._set or self._waiting is not None or self._time_ms <= 0:
            self._waiting = None
            self._set = False
            return False
        self._waiting = asyncio.current_task()
        asyncio.sleep_ms(self._time_ms).__next__()  # type: ignore[attr-defined]
        return True

    async def _wait(self, time_ms: int) -> None:
        """On a host."""
        if time_ms > 0 and not self._set:
            self._waiting = asyncio.Event()
            try:
                await asyncio.wait_for(self._waiting.wait(), time_ms / 1000)
            except asyncio.TimeoutError:
                pass
            finally:
                self._waiting = None
        self._set = False
