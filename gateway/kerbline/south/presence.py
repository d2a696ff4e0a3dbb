"""Is a node there, and what runs on it, as far as it told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from kerbline.config import Node
from kerbline.model import NodeState
from kerbwire import messages as m

log = logging.getLogger("kerbline.south")


class Presence:
    """The state of one node: online while its session is heard and its line is open."""

    __slots__ = ("_joined", "_utc_ms", "record_ms", "state")

    def __init__(self, node: Node, utc_ms: Callable[[], int]) -> None:
        self.state = NodeState(node.id, node.asset, node.kind, online=False, since_ms=None)
        self.record_ms: int | None = None  # when a record that it measured last came, real UTC
        self._utc_ms = utc_ms
        self._joined = False

    def joined(self, firmware: int) -> None:
        """A session began or is heard again; `firmware` is major << 16 | minor << 8 | patch."""
        self._joined = True
        version = f"{firmware >> 16}.{firmware >> 8 & 255}.{firmware & 255}"
        self.state = replace(self.state, firmware=version)
        self.line(there=True)

    def silent(self) -> None:
        """Nothing was heard for SILENCE_MS, or the session is worn."""
        self._joined = False
        self.line(there=True)

    def line(self, *, there: bool) -> None:
        """Is its line open?"""
        online = there and self._joined
        if online != self.state.online:
            self.state = replace(self.state, online=online, since_ms=self._utc_ms())

    def recorded(self) -> None:
        """A record came that the node measured."""
        self.record_ms = self._utc_ms()

    def told(self, values: Mapping[int, int | bytes]) -> None:
        """What a DIAG says; bytes are the board's name and the build's commit."""
        told = {key: diag_text(key, value) for key, value in values.items()}
        words = ", ".join(f"{m.DIAG_NAMES.get(key, key)} {text}" for key, text in told.items())
        log.info("node %s: says of itself: %s", self.state.node, words)
        self.state = replace(
            self.state,
            board=told.get(m.DIAG_BOARD, self.state.board),
            build=told.get(m.DIAG_BUILD, self.state.build),
        )


def diag_text(key: int, value: int | bytes) -> str:
    """A value of DIAG for people: names as text, other bytes as hex."""
    if isinstance(value, int):
        return str(value)
    named = key == m.DIAG_BOARD and value.isascii() and value.decode("ascii").isprintable()
    return value.decode("ascii") if named else value.hex()
