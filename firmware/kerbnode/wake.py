"""A flag that one task waits for, at most for a stated time."""

import asyncio
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Wake:
    """Set from anywhere in the event loop; a wait takes it back."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: "Any" = None  # the task, or the host's event

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

    async def wait(self, time_ms: int) -> None:
        """Return when it is set or the time is over, whichever comes first."""
        if time_ms > 0 and not self._set:
            try:
                if sys.implementation.name != "micropython":
                    self._waiting = asyncio.Event()
                    await asyncio.wait_for(self._waiting.wait(), time_ms / 1000)
                else:  # a sleeper that is called: no task and timer as wait_for makes
                    self._waiting = asyncio.current_task()
                    await asyncio.sleep_ms(time_ms)
            except asyncio.TimeoutError:
                pass
            finally:
                self._waiting = None
        self._set = False
