"""How the gateway is this moment, as plain data: nodes, buses, sinks, store, counts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.local_socket import Answer, Question
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, Store

if TYPE_CHECKING:
    from kerbline.agent.air import AirFigures
    from kerbline.agent.assets import Assets
    from kerbline.agent.city.sinks import North
    from kerbline.agent.figures import Figures
    from kerbline.agent.roll import Roll
    from kerbline.north.sink import Sink


class Line(Protocol):
    """A bus or a serial device that tells how it is."""

    def state(self) -> Any:  # noqa: ANN401 - a dataclass of its own room
        """Its line, and each device on it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Looks at the parts of a running agent; `tell` answers "status"."""

    gateway: str
    clock: Clock
    nodes: Nodes
    lines: Sequence[Line]
    north: North
    store: Store
    group: GroupCommit
    counters: Counters
    assets: Assets | None = None
    figures: Figures | None = None
    air: AirFigures | None = None
    roll: Roll | None = None
    began_s: float = field(default_factory=time.monotonic)

    async def tell(self, _question: Question) -> Answer:
        """Everything; times in ms since 1970, real UTC but for `street_ms` and those of zones."""
        from importlib.metadata import version  # 3 MB, for those who ask

        now_ms = self.clock.utc_ms()
        return {
            "gateway": self.gateway,
            "version": version("kerbline"),
            "pid": os.getpid(),
            "at_ms": now_ms,
            "street_ms": self.clock.street_ms(now_ms),
            "up_s": round(time.monotonic() - self.began_s, 1),
            "nodes": [
                asdict(state) | {"record_ms": self.nodes.recorded_ms(state.node)}
                for state in self.nodes.states()
            ],
            "lines": [asdict(line.state()) for line in self.lines],
            "sinks": [self._sink(sink) for sink in self.north.sinks],
            "store": {
                "used_bytes": await self.group.call(self.store.used_bytes),
                "pending": self.group.pending,
                "blocked": self.group.blocked,
                "given_up": self.store.thinned,
            },
            "assets": None if self.assets is None else self.assets.told(),
            "zones": {} if self.figures is None else self.figures.told(),
            "air": {} if self.air is None else self.air.told(),
            "control": {} if self.roll is None else self.roll.told(),
            "counters": dict(sorted(self.counters.totals().items())),
        }

    def _sink(self, sink: Sink) -> dict[str, Any]:
        behind = max(0, self.store.head - sink.cursor)
        told: dict[str, Any] = {
            "name": sink.name,
            "connected": sink.connected,
            "batches_behind": behind,
        }
        letters = getattr(sink, "letters", None)  # of sinks whose other side refuses for good
        if letters is not None:
            told["dead_letters"] = len(letters)
        door = self.north.doors.get(sink.name)
        if door is not None:
            told["personal_held_back"] = door.held_back
        return told
