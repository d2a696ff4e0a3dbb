"""The way of what our own control commands: to its lamp now or never.

The decision is kept elsewhere; the book gets a command only where it went wrong: it may not be, was
refused, or nobody answered. What is nothing for a node of its kind is told by `roll`, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kerbline.clock import Clock
from kerbline.model import Command, CommandResult, CommandState
from kerbline.operations import OPERATIONS
from kerbline.south.arrivals import Answered
from kerbline.store import GroupCommit

MAX_OWN = 1_000  # under way; the oldest is forgotten, its lamp fades by itself
UNREACHABLE = "unreachable"

_STATE_OF_REASON = {"": CommandState.OK, "expired": CommandState.EXPIRED}


class Street(Protocol):
    """What these need of nodes and devices."""

    def refusal(self, command: Command) -> str:
        """Why its asset will never do it; empty if it may."""

    def send(self, command: Command) -> bool:
        """Send it; False where it could not go."""


class OwnCommands:
    """Those of our loops and rules that are under way."""

    def __init__(
        self, kinds: Mapping[str, str], street: Street, group: GroupCommit, clock: Clock
    ) -> None:
        self._kinds = kinds  # of each asset
        self._street = street
        self._group = group
        self._clock = clock
        self._gone: dict[str, Command] = {}  # by id

    def issue(self, command: Command) -> str:
        """To its node or device now, or not at all; empty where it went, else why not."""
        if unfit := self._unfit(command):
            return unfit
        if refusal := self._street.refusal(command):
            self._enter(command, CommandState.REJECTED, refusal)
            return refusal
        if not self._street.send(command):
            return UNREACHABLE
        self._gone[command.id] = command
        if len(self._gone) > MAX_OWN:
            del self._gone[next(iter(self._gone))]
        return ""

    def answered(self, answer: Answered) -> bool:
        """A node has answered, or its time was over; False: to none of these."""
        command = self._gone.pop(answer.command_id, None)
        if command is None:
            return False
        state = state_of(answer.reason)
        if state is not CommandState.OK:
            self._enter(command, state, answer.reason)
        return True

    def _unfit(self, command: Command) -> str:
        """Is it nothing for what its asset is? A node of another kind may have joined for it."""
        kind = self._kinds.get(command.asset)
        if kind is None or kind in OPERATIONS[command.operation].kinds:
            return ""
        return f"unsupported: {command.operation} on a {kind}"

    def _enter(self, command: Command, state: CommandState, reason: str) -> None:
        at_ms = self._clock.utc_ms()
        result = CommandResult(command.id, command.asset, state, reason, at_ms)
        self._group.log_outcome(command, result)


def state_of(reason: str) -> CommandState:
    """What an answer with that reason ends a command as."""
    return _STATE_OF_REASON.get(reason, CommandState.ERROR)
