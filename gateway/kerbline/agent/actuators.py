"""Who carries out a command: the asset's node, or the Modbus device that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from kerbline.clock import Clock
from kerbline.model import Command
from kerbline.south.arrivals import Answered
from kerbline.south.nodes import Nodes

if TYPE_CHECKING:
    from kerbline.south.modbus.bus import Bus
    from kerbline.south.modbus.write import Writer

MAX_NOTES = 1_000  # of commands that nobody answered; the oldest is forgotten
WRITE = "write"  # the one operation of a device
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


class Guard(Protocol):
    """What no order breaks."""

    def keep(self, command: Command) -> tuple[Command, str]:
        """A command as it may go, and what was changed of it; empty where nothing was."""


class Actuators:
    """One street of assets: `reachable`, `refusal` and `send` go to whoever has the asset."""

    def __init__(
        self,
        nodes: Nodes,
        bridged: Mapping[str, Bridged],
        clock: Clock,
        guard: Guard | None = None,
    ) -> None:
        self._nodes = nodes
        self._guard = guard
        self._notes: dict[str, str] = {}  # of commands under way, by id
        self._bridged = bridged
        self._clock = clock
        self._writing: set[asyncio.Task[Answered]] = set()
        self._written: asyncio.Queue[asyncio.Task[Answered]] = asyncio.Queue()

    def reachable(self, asset: str) -> bool:
        """Would it take a command now?"""
        device = self._bridged.get(asset)
        return self._nodes.reachable(asset) if device is None else device.reachable

    def refusal(self, command: Command) -> str:
        """Why its asset will never do it, as its config says; empty if it may."""
        device = self._bridged.get(command.asset)
        if (device is None) == (command.operation == WRITE):  # the config was another once
            return f"unsupported: {command.operation}"
        if device is None:
            return ""
        return device.writer.refusal(command.arguments, asyncio.get_running_loop().time())

    def send(self, command: Command) -> bool:
        """Send it; False where it could not go."""
        device = self._bridged.get(command.asset)
        if device is None:
            return self._send_kept(command)
        if not device.reachable:
            return False
        device.under_way += 1
        task = asyncio.create_task(self._write(device, command))
        self._writing.add(task)
        task.add_done_callback(self._done)
        return True

    def noted(self, answer: Answered) -> Answered:
        """A node's answer, with what was changed of the command before it went."""
        return replace(answer, note=self._notes.pop(answer.command_id, ""))

    async def answered(self) -> Answered:
        """What the next command to a device came to; waits for it."""
        answer = (await self._written.get()).result()  # a bug in there ends the gateway, aloud
        self._bridged[answer.asset].under_way -= 1
        return answer

    def _send_kept(self, command: Command) -> bool:
        kept, note = (command, "") if self._guard is None else self._guard.keep(command)
        sent = self._nodes.send(kept)
        if sent and note:
            self._notes[command.id] = note
            if len(self._notes) > MAX_NOTES:
                del self._notes[next(iter(self._notes))]
        return sent

    def _done(self, task: asyncio.Task[Answered]) -> None:
        self._writing.discard(task)
        if not task.cancelled():  # else we stop: the book says that its outcome is not known
            self._written.put_nowait(task)

    async def _write(self, device: Bridged, command: Command) -> Answered:
        left_s = (command.expires_at_ms - self._clock.utc_ms()) / 1000
        until_s = asyncio.get_running_loop().time() + left_s
        reason = await device.writer.write(command.arguments, until_s)
        return Answered(command.id, command.asset, reason)
