"""Who carries out a command: the asset's node, or the Modbus device that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kerbline.clock import Clock
from kerbline.model import Command
from kerbline.south.arrivals import Answered
from kerbline.south.nodes import Nodes

if TYPE_CHECKING:
    from kerbline.south.modbus.bus import Bus
    from kerbline.south.modbus.write import Writer

MAX_UNDER_WAY = 8  # commands of one device; the next waits like one whose node is away


class Bridged:
    """A Modbus device that takes commands, on the bus that it hangs on."""

    def __init__(self, unit: int, bus: Bus, writer: Writer) -> None:
        self._unit = unit
        self._bus = bus
        self.writer = writer
        self.under_way = 0

    @property
    def reachable(self) -> bool:
        """Is its line open, does it answer, and has it room for one more?"""
        return self.under_way < MAX_UNDER_WAY and self._bus.answers(self._unit)


class Actuators:
    """One street of assets: `reachable`, `refusal` and `send` go to whoever has the asset."""

    def __init__(self, nodes: Nodes, bridged: Mapping[str, Bridged], clock: Clock) -> None:
        self._nodes = nodes
        self._bridged = bridged
        self._clock = clock
        self._answers: asyncio.Queue[Answered] = asyncio.Queue(MAX_UNDER_WAY * max(1, len(bridged)))
        self._writing: set[asyncio.Task[None]] = set()

    def reachable(self, asset: str) -> bool:
        """Would it take a command now?"""
        device = self._bridged.get(asset)
        return self._nodes.reachable(asset) if device is None else device.reachable

    def refusal(self, command: Command) -> str:
        """Why its asset will never do it, as its config says; empty if it may."""
        device = self._bridged.get(command.asset)
        if device is None:
            return ""
        return device.writer.refusal(command.arguments, asyncio.get_running_loop().time())

    def send(self, command: Command) -> bool:
        """Send it; False where it could not go."""
        device = self._bridged.get(command.asset)
        if device is None:
            return self._nodes.send(command)
        if not device.reachable:
            return False
        device.under_way += 1
        task = asyncio.create_task(self._write(device, command))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return True

    async def answered(self) -> Answered:
        """What the next command to a device came to; waits for it."""
        return await self._answers.get()

    async def _write(self, device: Bridged, command: Command) -> None:
        left_s = (command.expires_at_ms - self._clock.utc_ms()) / 1000
        until_s = asyncio.get_running_loop().time() + left_s
        try:
            reason = await device.writer.write(command.arguments, until_s)
        finally:
            device.under_way -= 1
        await self._answers.put(Answered(command.id, command.asset, reason))
