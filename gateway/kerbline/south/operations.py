"""The operations of the wire by name: the number of each, and its arguments in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kerbwire import messages as m


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of CMD; an argument that a command leaves out is 0."""

    number: int
    arguments: tuple[str, ...] = ()

    def pack(self, arguments: Mapping[str, int]) -> tuple[int, ...]:
        """The arguments in wire order."""
        return tuple(arguments.get(name, 0) for name in self.arguments)


OPERATIONS: Mapping[str, Operation] = {
    "set_level": Operation(m.OP_SET_LEVEL, ("level_pct", "hold_s", "fade_ms")),
    "release": Operation(m.OP_RELEASE),
    "identify": Operation(m.OP_IDENTIFY, ("seconds",)),
    "reboot": Operation(m.OP_REBOOT),
}
