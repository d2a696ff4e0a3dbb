"""What the config file asks of one node, and which CONFIG, if any, the node must get for it.

A node keeps its CONFIG and states its version; the store remembers what that version said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kerbline.config import Node
from kerbwire import messages as m

RULE = "config"  # under which the store remembers it, by node
FIRST_KEYS = frozenset([m.CONFIG_REPORT_S, m.CONFIG_PROFILE])  # what each firmware takes
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
        values[m.CONFIG_PROFILE] = packed(node.profile)
    return values


def packed(profile: Iterable[tuple[int, ...]]) -> bytes:
    """A profile's steps (minutes from the night's middle, percent), three bytes each."""
    return b"".join(
        (minute + PROFILE_ZERO).to_bytes(2, "big") + bytes((pct,)) for minute, pct in profile
    )


class NodeConfig:
    """Decides when a node gets its CONFIG, and what to remember of it."""

    __slots__ = ("_known", "_last", "_named", "_old", "_sent", "_wanted")

    def __init__(self, node: Node, remembered: str | None) -> None:
        self._named = self._wanted = wanted(node)
        self._known = Known(**json.loads(remembered)) if remembered else Known(0, {})
        self._sent: Known | None = None
        self._last = 0  # version that was sent
        self._old = False  # its firmware takes no other keys than FIRST_KEYS

    def ask(self, values: dict[int, int | bytes]) -> None:
        """More values than its [[node]] names, and over them, in place of those before."""
        self._wanted = {**self._named, **values}

    def due(self, version: int) -> tuple[int, dict[int, int | bytes]] | None:
        """The CONFIG to send to a node that states `version`, or None if it has what we want."""
        if self._sent is not None and self._sent.version == version:
            self._known = self._sent  # its answer was lost
        keys = self._wanted.keys() & FIRST_KEYS if self._old else self._wanted.keys()
        asked = {key: self._wanted[key] for key in sorted(keys)}
        values = _text(asked)
        sent, least = self._sent, max(version, self._known.version)
        settled = sent is None or sent is self._known
        if settled and self._known.values == values and self._known.version in (version, 0):
            return None  # it has them, or nobody ever asked anything of it
        if sent is None or sent.values != values or sent.version <= least:
            self._last = max(least, self._last) + 1
            sent = self._sent = Known(self._last, values)
        return sent.version, asked

    def refused(self, version: int) -> bool:
        """The node does not take that version; True where older firmware may take less of it."""
        if self._sent is None or self._sent.version != version:
            return False
        first = {str(key) for key in FIRST_KEYS}
        less = not self._old and not self._sent.values.keys() <= first
        self._sent = None
        self._old = self._old or less
        return less

    def reflashed(self) -> None:
        """It may have other firmware now, which takes more."""
        self._old = False

    def taken(self, version: int) -> str | None:
        """The node has that version: what to remember, None if nothing new."""
        if self._sent is None or self._sent.version != version:
            return None
        self._known = self._sent
        return json.dumps({"version": version, "values": self._known.values})


def _text(values: dict[int, int | bytes]) -> dict[str, int | str]:
    return {str(k): v if isinstance(v, int) else v.hex() for k, v in values.items()}
