"""The gateway's end of one node's line: pumps a session and gives what the node says.

It acknowledges nothing durably: a node that was tested still holds its records for its gateway.
"""

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from kerbline.keys import NodeKeys
from kerbline.ports import Port
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.messages import Info
from kerbwire.ranges import RangeSet

UTC_UNCERTAINTY_MS = 50
COMMAND_LIFE_S = 30
HEARD_MAX = 1_000

Event = tuple[Any, ...]


class NodeSilent(AssertionError):
    """The node did not say what it should have; the text tells what it said instead."""


class GatewayEnd:
    """Drives one node over an open port. `keep_keys` makes a key durable before it returns."""

    def __init__(
        self, port: Port, node_id: str, keys: NodeKeys, keep_keys: Callable[[NodeKeys], None]
    ) -> None:
        self.node_id = node_id
        self._port = port
        self._keep_keys = keep_keys
        self._heard: deque[Event] = deque(maxlen=HEARD_MAX)
        self._last_command = 0
        self._session = GatewaySession(
            node_id.encode(),
            (keys.generation, keys.key, keys.next_key),
            None,
            RangeSet(),
            os.urandom,
            STREAM,
            None,
        )

    async def connect(self, within_s: float) -> Info:
        """What the node says of itself, in the present session or in a new one."""
        if self._session.up and self._session.info:
            return self._session.info
        self._session.start(_now_ms())
        info: Info = (await self.hear("UP", within_s))[1]
        return info

    async def command(
        self, operation: int, *arguments: int, within_s: float = COMMAND_LIFE_S
    ) -> int:
        """The node's result code for a new command, which expires in `within_s`."""
        info = self._session.info
        assert info is not None, "connect first"
        self._last_command = number = max(self._last_command, info.command_id) + 1
        expires_s = int(time.time() + within_s)
        self._session.send_command(number, expires_s, operation, arguments)
        while True:
            _, answered, code, _ = await self.hear("RESULT", within_s)
            if answered == number:
                return int(code)

    async def hear(self, kind: str, within_s: float) -> Event:
        """The oldest event of that kind that nobody took; pumps the line until it comes."""
        try:
            async with asyncio.timeout(within_s):
                while (event := self._taken(kind)) is None:
                    await self._pump_once()
                return event
        except TimeoutError:
            heard = dict(Counter(event[0] for event in self._heard)) or "nothing"
            raise NodeSilent(f"{self.node_id}: no {kind} in {within_s} s, but {heard}") from None

    def forget(self) -> None:
        """Drop what was heard and not taken."""
        self._heard.clear()

    def _taken(self, kind: str) -> Event | None:
        for event in self._heard:
            if event[0] == kind:
                self._heard.remove(event)
                return event
        return None

    async def _pump_once(self) -> None:
        """Writes what is due, waits for bytes or the session's deadline, collects events."""
        session = self._session
        session.set_utc(time.time_ns() // 1_000_000 - _now_ms(), UTC_UNCERTAINTY_MS)
        data = session.outgoing(_now_ms())
        if data:
            self._port.write(data)
        self._collect()
        deadline = session.deadline()
        wait_s = 1.0 if deadline is None else min(1.0, max(0.0, (deadline - _now_ms()) / 1000))
        try:
            async with asyncio.timeout(wait_s):
                received = await self._port.read()
        except TimeoutError:
            return
        session.receive(received, _now_ms())
        self._collect()

    def _collect(self) -> None:
        while (event := cast("Event | None", self._session.next_event())) is not None:
            if event[0] == "KEYS":
                _, generation, key, following = event
                self._keep_keys(NodeKeys(generation, key, following))
                self._session.key_stored(_now_ms())
            else:
                self._heard.append(event)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
