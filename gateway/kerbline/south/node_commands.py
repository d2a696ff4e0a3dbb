"""Commands to one node: their numbers on the wire, which are under way, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable

from kerbline.model import Command
from kerbline.operations import OPERATIONS
from kerbwire import messages as m
from kerbwire.errors import LocalError
from kerbwire.gateway import GatewaySession
from kerbwire.limits import DEFERRED_COMMANDS

# A gateway that begins knows no more than which command the node carried out last. One above it
# may have been refused there, and is remembered, or be under way still, of the gateway before.
# So where nothing was carried out since, two that begin must not do so with the same number.
NUMBERS_APART = 1_000
APART_BYTES = 2  # of chance above that
AT_ONCE_MS = 1  # a fade as quick as no step shows, or none
_NUMBERS = {name: number for number, name in m.OP_NAMES.items()}


class NodeCommands:
    """What a session is told to send; `begin` says from where it may number."""

    __slots__ = (
        "_activation",
        "_carried_out",
        "_changed",
        "_last_number",
        "_session",
        "_under_way",
    )

    def __init__(self, session: GatewaySession, changed: Callable[[], None]) -> None:
        """`changed` is called when there is something to send."""
        self._session = session
        self._changed = changed
        self._carried_out: int | None = None  # the number that the node did last; None: not heard
        self._last_number = 0
        self._under_way: dict[int, Command] = {}  # by their number on the wire
        self._activation = 0  # the number of an order to start what is staged, 0 for none

    def begin(self, info: m.Info) -> None:
        """The node has a session, and says which command it carried out last."""
        self._carried_out = info.command_id

    @property
    def have_room(self) -> bool:
        """Is there a session, with room for one more under way?"""
        return self._is_up and len(self._under_way) < DEFERRED_COMMANDS

    def send(self, command: Command) -> bool:
        """Send one; False while there is no session or too many are under way."""
        names = OPERATIONS[command.operation].arguments
        number = self._sent(
            command.expires_at_ms,
            _NUMBERS[command.operation],
            tuple(command.whole(name) for name in names or ()),
            urgent=_is_urgent(command),
        )
        if number:
            self._under_way[number] = command
        return number > 0

    def activate(self, expires_at_ms: int) -> bool:
        """Order it to start what is staged; False while there is no session, or no room."""
        number = self._sent(expires_at_ms, m.OP_ACTIVATE, (), urgent=False)
        self._activation = number or self._activation
        return number > 0

    def answered(self, number: int) -> Command | bool:
        """Whose answer it is: a command's, that of the order to start (True), or nobody's."""
        if number == self._activation:
            self._activation = 0
            return True
        return self._under_way.pop(number, False)

    @property
    def _is_up(self) -> bool:
        return self._carried_out is not None and self._session.up

    def _sent(
        self, expires_at_ms: int, operation: int, arguments: tuple[int, ...], *, urgent: bool
    ) -> int:
        """The number of what went, 0 where nothing did."""
        if not self._is_up:
            return 0
        assert self._carried_out is not None
        if not self._last_number:
            chance = int.from_bytes(os.urandom(APART_BYTES), "big")
            self._last_number = self._carried_out + NUMBERS_APART + chance
        number = max(self._last_number, self._carried_out) + 1
        try:
            self._session.send_command(
                number, expires_at_ms // 1000, operation, arguments, urgent=urgent
            )
        except LocalError:
            return 0
        self._last_number = number
        self._changed()
        return number


def _is_urgent(command: Command) -> bool:
    """Is it light that somebody needs at once? Its fade says so."""
    return command.operation == "set_level" and command.whole("fade_ms") <= AT_ONCE_MS
