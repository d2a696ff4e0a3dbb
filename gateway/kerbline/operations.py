"""What assets can be asked to do: each operation of the wire by name, for whom, and its ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Argument:
    """A whole number from `low` to `high`; needed when it has no `default`."""

    low: int
    high: int
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What may be asked of assets of `kinds`; `arguments` in the order of the wire.

    Without `arguments` they are values by name, and the device judges them. Whatever is
    `repeatable` leaves its asset as it is when it is done twice.
    """

    kinds: frozenset[str]
    arguments: Mapping[str, Argument] | None
    repeatable: bool = False


_LAMPS = frozenset(["streetlight"])
_NODES = frozenset(["streetlight", "water_meter", "air_quality"])

OPERATIONS: Mapping[str, Operation] = {
    "set_level": Operation(
        _LAMPS,
        {
            "level_pct": Argument(0, 100),
            "hold_s": Argument(0, 86_400, default=0),
            "fade_ms": Argument(0, 60_000, default=0),
        },
        repeatable=True,
    ),
    "release": Operation(_LAMPS, {}, repeatable=True),
    "identify": Operation(_LAMPS, {"seconds": Argument(1, 600, default=30)}, repeatable=True),
    "reboot": Operation(_NODES, {}),
    "write": Operation(frozenset(["modbus"]), None),
    "service": Operation(_NODES, {"seconds": Argument(0, 3_600)}),
}
