"""What a broker is told beside the log: results of commands, and how each node is."""

from __future__ import annotations

import asyncio
from collections import deque

from kerbline.model import CommandResult, NodeState
from kerbline.north.dialect import Dialect
from kerbline.north.port import Message, Port

WAITING_AT_MOST = 256  # results, while a further command is taken


class Notices:
    """Results in their order, the oldest of too many gone; of each node the newest state only.

    Who takes a command only when there is `room` loses no result: those that are open fit as well.
    """

    def __init__(self, mapper: Dialect, results: int) -> None:
        self._mapper = mapper
        self._results: deque[Message] = deque(maxlen=results)
        self._states: dict[str, NodeState] = {}
        self._unsaid: dict[str, None] = {}  # nodes, in the order of their news
        self._came = asyncio.Event()
        self._went = asyncio.Event()

    async def room(self) -> None:
        """Wait until the results of further commands have room."""
        while len(self._results) >= WAITING_AT_MOST:
            self._went.clear()
            await self._went.wait()

    def tell(self, result: CommandResult) -> None:
        """What became of a command."""
        self._results += self._mapper.result(result).messages
        self._came.set()

    def show(self, state: NodeState) -> None:
        """How a node is; nothing when that is known."""
        if self._states.get(state.node) != state:
            self._states[state.node] = state
            self._unsaid[state.node] = None
            self._came.set()

    async def run(self, port: Port) -> None:
        """Publish over a new connection, all states anew; ends by its loss, NotConnected.

        What the broker retains is of any age: it may have forgotten, or missed, all we said.
        """
        self._unsaid = dict.fromkeys(self._states)
        while True:
            self._came.clear()
            while self._results or self._unsaid:
                await (self._result(port) if self._results else self._state(port))
            await self._came.wait()

    async def _result(self, port: Port) -> None:
        result = self._results[0]
        await port.publish(result)
        if self._results and self._results[0] is result:  # else it was pushed out meanwhile
            self._results.popleft()
            self._went.set()

    async def _state(self, port: Port) -> None:
        node = next(iter(self._unsaid))
        del self._unsaid[node]
        await port.publish(self._mapper.state(self._states[node]))
