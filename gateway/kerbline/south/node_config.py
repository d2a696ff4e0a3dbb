"""What the config file asks of one node, and which CONFIG, if any, the node must get for it.

A node keeps its CONFIG and states its version; the store remembers what that version said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from kerbline.config import Node
from kerbwire import messages as m

RULE = "config"  # under which the store remembers it, by node
PROFILE_ZERO = 720  # minutes from the night's middle are counted from here on the wire


@dataclass(frozen=True, slots=True)
class Known:
    """A CONFIG: its version and its values by key, bytes as hexadecimal text."""

    version: int
    values: dict[str, int | str]


def wanted(node: Node) -> dict[int, int | bytes]:
    """The values that a [[node]] names, as CONFIG carries them."""
    values: dict[int, int | bytes] = {}
    if node.report_s is not None:
        values[m.CONFIG_REPORT_S] = node.report_s
    if node.profile:
        steps = [
            (minute + PROFILE_ZERO).to_bytes(2, "big") + bytes((p,)) for minute, p in node.profile
        ]
        values[m.CONFIG_PROFILE] = b"".join(steps)
    return values


class NodeConfig:
    """Decides when a node gets its CONFIG, and what to remember of it."""

    __slots__ = ("_known", "_sent", "_wanted")

    def __init__(self, node: Node, remembered: str | None) -> None:
        self._wanted = wanted(node)
        self._known = Known(**json.loads(remembered)) if remembered else Known(0, {})
        self._sent: Known | None = None

    def due(self, version: int) -> tuple[int, dict[int, int | bytes]] | None:
        """The CONFIG to send to a node that states `version`, or None if it has what we want."""
        if self._sent is not None and self._sent.version == version:
            self._known = self._sent  # its answer was lost
        values = _text(self._wanted)
        if self._known.values == values and self._known.version in (version, 0):
            return None  # it has them, or nobody ever asked anything of it
        self._sent = Known(max(version, self._known.version) + 1, values)
        return self._sent.version, self._wanted

    def taken(self, version: int) -> str | None:
        """The node has that version: what to remember, None if nothing new."""
        if self._sent is None or self._sent.version != version:
            return None
        self._known = self._sent
        return json.dumps({"version": version, "values": self._known.values})


def _text(values: dict[int, int | bytes]) -> dict[str, int | str]:
    return {str(k): v if isinstance(v, int) else v.hex() for k, v in values.items()}
