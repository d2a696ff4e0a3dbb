"""When what a node told as an event is over, where it has no word for that itself.

Its own word comes first (a value of 0, `lamp_restored`). Else the end is in its reports: the bit of
the event is clear again. A fault of a boot is over with a report of a later boot that did not tell
it again, what happened in a moment a day later, and all of a node that has gone with it. A node
that is silent ends nothing: nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kerbline.model import Reading, Value

OVER = "over"  # the event of ours
DAY_MS = 86_400_000
BOOT = "boot"

# By the kind of a report: the value that holds the bits, and the event of each.
BITS: Mapping[str, tuple[str, Mapping[int, str]]] = {
    "streetlight": ("status", {16: "lamp_failure", 64: "day_burner", 128: "lamp_cycling"}),
    "water_meter": (
        "alarms",
        {1: "continuous_flow", 2: "backflow", 4: "battery_low", 8: "tamper", 16: "burst"},
    ),
}
MOMENTS = frozenset(["brown_out", "settings_restored"])
OF_A_BOOT = frozenset(["safe_mode"])
ENDED_BY_0 = frozenset(["fan_failure", "sensor_fault", "sensor_stuck", "service_access"])
ENDS: Mapping[str, str] = {"lamp_restored": "lamp_failure"}
OF_BITS = frozenset(event for _, bits in BITS.values() for event in bits.values())
KNOWN = OF_BITS | MOMENTS | OF_A_BOOT | ENDED_BY_0

# Why something is over.
CLEAR, LATER_BOOT, A_DAY, GONE = "clear", "later_boot", "a_day", "node_gone"


@dataclass(frozen=True, slots=True)
class Over:
    """The event `of` of a node has ended."""

    node: str
    asset: str
    of: str
    at_ms: int
    why: str

    def values(self) -> dict[str, Value]:
        """As an event of ours has it."""
        return {"event": OVER, "value": 0, "of": self.of, "node": self.node, "why": self.why}


@dataclass(slots=True)
class _Node:
    asset: str
    open: dict[str, int] = field(default_factory=dict)  # events, and when they began
    boot_ms: int = 0  # the newest boot that may end a fault of an earlier one
    report_ms: int = 0  # the newest report, and the events whose bits it has
    bits: frozenset[str] = frozenset()


class Endings:
    """What is open of each node; time is that of the readings."""

    def __init__(self, nodes: Mapping[str, str], saved: Mapping[str, Mapping[str, Any]]) -> None:
        """`nodes`: the asset of each; `saved` as `saved` gave it, by node."""
        self._nodes = {name: _Node(asset) for name, asset in nodes.items()}
        self._gone: dict[str, _Node] = {}
        self.changed: set[str] = set()  # nodes whose `saved` is another than before
        for name, body in saved.items():
            found = _Node(body["asset"], dict(body["open"]), body["boot_ms"])
            serves = self._nodes.get(name)
            if serves is not None and serves.asset == found.asset:
                self._nodes[name] = found
            elif found.open:
                self._gone[name] = found

    def gone(self, now_ms: int) -> Iterator[Over]:
        """What was open of nodes that the config does not name any more, or names elsewhere."""
        for name, node in self._gone.items():
            self.changed.add(name)
            for event in node.open:
                yield Over(name, node.asset, event, now_ms, GONE)
        self._gone.clear()

    def serve(self, nodes: Mapping[str, str]) -> None:
        """These are the nodes from now on, with their assets; `gone` tells of those that went."""
        for name, node in list(self._nodes.items()):
            if nodes.get(name) != node.asset:
                del self._nodes[name]
                if node.open:
                    self._gone[name] = node
        for name, asset in nodes.items():
            if name not in self._nodes:
                self._nodes[name] = _Node(asset)

    def saved(self, name: str) -> dict[str, Any]:
        """What has to outlive a restart."""
        node = self._nodes.get(name) or _Node("")
        return {"asset": node.asset, "open": node.open, "boot_ms": node.boot_ms}

    def take(self, reading: Reading) -> list[Over]:
        """What is over with a reading, of whatever source."""
        name = reading.key.source
        node = self._nodes.get(name)
        if node is None:
            return []
        if reading.kind == "event":
            ended = self._event(name, node, reading)
        elif reading.observed_at_ms > node.report_ms:
            ended = self._report(name, node, reading)
        else:
            return []
        found = [
            Over(name, node.asset, event, at_ms, why)
            for event, (at_ms, why) in ended.items()
            if node.open.pop(event, None) is not None
        ]
        if found:
            self.changed.add(name)
        return found

    def _event(self, name: str, node: _Node, reading: Reading) -> dict[str, tuple[int, str]]:
        event, at_ms = reading.values.get("event"), reading.observed_at_ms
        if event == BOOT:
            if OF_A_BOOT & node.open.keys():
                node.boot_ms = max(node.boot_ms, at_ms)
                self.changed.add(name)
            return {}
        if not isinstance(event, str):
            return {}
        begun = ENDS.get(event, event)
        if begun in KNOWN:
            by_itself = event in ENDS or (event in ENDED_BY_0 and reading.values.get("value") == 0)
            if by_itself:
                if node.open.get(begun, at_ms + 1) <= at_ms:
                    del node.open[begun]
                    self.changed.add(name)
            elif at_ms > node.open.get(begun, -1):
                node.open[begun] = at_ms
                self.changed.add(name)
                late = at_ms < node.report_ms and begun in OF_BITS and begun not in node.bits
                return {begun: (node.report_ms, CLEAR)} if late else {}
        return {}

    def _report(self, name: str, node: _Node, reading: Reading) -> dict[str, tuple[int, str]]:
        at_ms = node.report_ms = reading.observed_at_ms
        word, bits = BITS.get(reading.kind, ("", {}))
        value = reading.values.get(word)
        ended: dict[str, tuple[int, str]] = {}
        if isinstance(value, int):
            node.bits = frozenset(event for bit, event in bits.items() if value & bit)
            for event in node.bits - node.open.keys():  # its own word was lost
                node.open[event] = at_ms
                self.changed.add(name)
        for event, began_ms in node.open.items():
            if at_ms <= began_ms:
                continue
            if event in OF_BITS and isinstance(value, int) and event not in node.bits:
                ended[event] = at_ms, CLEAR
            elif event in OF_A_BOOT and began_ms < node.boot_ms < at_ms:
                ended[event] = at_ms, LATER_BOOT
            elif event in MOMENTS and at_ms - began_ms >= DAY_MS:
                ended[event] = at_ms, A_DAY
        return ended
