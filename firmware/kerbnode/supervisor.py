"""Keeps the concerns alive, and the watchdog fed only while each of them shows life."""

import asyncio
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from kerbnode.hal.board import Board

    class Concern(Protocol):
        """What a supervisor keeps alive; `run` never returns, `beats` rises at each round."""

        beats: int

        async def run(self) -> None: ...


FIRST_WAIT_S = 1
LONGEST_WAIT_S = 60
LOOK_S = 2


class Supervisor:
    """Restarts a concern that failed, each time after a longer wait."""

    def __init__(self, board: "Board", look: "Callable[[], None] | None" = None):
        self._board = board
        self._look = look  # asked now and then while all live
        self._concerns: list[Concern] = []
        self._silence_ms: list[int] = []  # how long each may be without a sign of life
        self._beats: list[int] = []  # of each when it last showed one ...
        self._seen_ms: list[int] = []  # ... and when that was

    def add(self, concern: "Concern", silence_s: int) -> None:
        """Watch over a concern that shows life at least every `silence_s`."""
        self._concerns.append(concern)
        self._silence_ms.append(1000 * silence_s)
        self._beats.append(-1)
        self._seen_ms.append(0)

    async def run(self) -> None:
        """Start all, then watch for ever."""
        tasks = [asyncio.create_task(self._keep(concern)) for concern in self._concerns]
        try:
            while True:
                try:
                    if self.all_live(self._board.monotonic_ms()):
                        self._board.feed()
                        if self._look is not None:
                            self._look()
                except Exception as error:  # noqa: BLE001 - a look that failed is no end of the node
                    report(error)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in tasks:
                task.cancel()

    def all_live(self, now: int) -> bool:
        """Has each concern shown life within its time?"""
        live = True
        for index, concern in enumerate(self._concerns):
            if concern.beats != self._beats[index]:
                self._beats[index] = concern.beats
                self._seen_ms[index] = now
            elif now - self._seen_ms[index] > self._silence_ms[index]:
                live = False
        return live

    async def _keep(self, concern: "Concern") -> None:
        wait_s = FIRST_WAIT_S
        while True:
            began_ms = self._board.monotonic_ms()
            try:
                await concern.run()
            except Exception as error:  # noqa: BLE001 - the one place: a bug must not end the node
                report(error)
            if self._board.monotonic_ms() - began_ms > 1000 * LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def report(error: BaseException) -> None:
    """The trace of a failure on the console."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)
