"""A flag that one task waits for, at most for a stated time."""

import asyncio


class Wake:
    """Set from anywhere in the event loop; a wait takes it back."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Let the waiting task go on."""
        self._event.set()

    async def wait(self, time_ms: int) -> None:
        """Return when it is set or the time is over, whichever comes first."""
        if time_ms > 0:
            try:
                await asyncio.wait_for(self._event.wait(), time_ms / 1000)
            except asyncio.TimeoutError:
                pass
        self._event.clear()
