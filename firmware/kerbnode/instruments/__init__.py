"""Each kind of asset with its drivers: reads them, steps the asset, shows what it wants.

Which drivers those are and on which pins stands in kerbnode.board.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from kerbnode.settings import Settings
    from kerbwire.schema import Schema

    Events = Sequence[tuple[int, int]]  # (code, value)

    class Asset(Protocol):
        """What all assets offer to the rest of the node."""

        SCHEMA: Schema
        level: int
        fading: int  # ms between its ticks while it does

        def command(self, op: int, args: "tuple[int, ...]", now: int) -> int: ...
        def values(self) -> "tuple[int, ...]": ...
        def totals(self) -> "tuple[int, ...]": ...

    class Instruments(Protocol):
        """An asset with its drivers."""

        @property
        def asset(self) -> Asset: ...
        def begin(self, wanted: Settings, totals: "tuple[int, ...] | None") -> None: ...
        def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events": ...
        def configure(self, wanted: Settings) -> None: ...
