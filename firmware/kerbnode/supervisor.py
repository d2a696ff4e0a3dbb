"""Keeps the concerns alive, and the watchdog fed only while each of them shows life."""

import asyncio
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
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

    def __init__(self, board: "Board"):
        self._board = board
        self._concerns: list[tuple[Concern, int]] = []

    def add(self, concern: "Concern", silence_s: int) -> None:
        """Watch over a concern that shows life at least every `silence_s`."""
        self._concerns.append((concern, silence_s))

    async def run(self) -> None:
        """Start all, then watch for ever."""
        tasks = [asyncio.create_task(self._keep(concern)) for concern, _ in self._concerns]
        try:
            await self._watch()
        finally:
            for task in tasks:
                task.cancel()

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

    async def _watch(self) -> None:
        beats = [-1] * len(self._concerns)
        silent_s = [0] * len(self._concerns)
        while True:
            for index, (concern, _) in enumerate(self._concerns):
                silent_s[index] = 0 if concern.beats != beats[index] else silent_s[index] + LOOK_S
                beats[index] = concern.beats
            if all([silent_s[i] <= self._concerns[i][1] for i in range(len(beats))]):
                self._board.feed()
            await asyncio.sleep(LOOK_S)


def report(error: BaseException) -> None:
    """The trace of a failure on the console."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)
