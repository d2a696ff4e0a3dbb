"""What an update left for the next boot: it is judged or applied before the node takes memory.

A chip's heap has no room for that beside a session. The mark goes first: whatever ends this, the
node runs, the gateway hears of it, and its next offer finds all blocks here.
"""

import os
import sys

import slots
from kerbnode import standing
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node
    from kerbnode.hal.board import Nvs

MARK = "u/next"
WATCHDOG_MS = 60_000  # for each of its steps


def leave(node: "Node", kind: int, path: str) -> None:
    """The node restarts, and goes on with that object then. OSError."""
    now = node.board.monotonic_ms()
    utc_ms = (node.clock.utc_ms(now) or 0) if node.clock.trusted else 0
    with open(slots.home + MARK, "w") as file:
        file.write("%d %d %s" % (kind, utc_ms, path))
    node.leaving = True
    node.link_wake.set()


class Clock:
    """The time that was known when the node restarted, some seconds ago."""

    def __init__(self, utc_ms: int):
        self.trusted = utc_ms > 0
        self._utc_ms = utc_ms

    def utc_ms(self, now: int) -> int:
        """As `clock.Clock` has it."""
        return self._utc_ms


class Board:
    """What a node has of its board before it is one."""

    def __init__(self, nvs: "Nvs"):
        self.nvs = nvs

    def monotonic_ms(self) -> int:
        """It has only begun."""
        return 0


class Before:
    """A node before it is one, for who judges."""

    def __init__(self, nvs: "Nvs", utc_ms: int):
        self.board = Board(nvs)
        self.clock = Clock(utc_ms)


def main() -> None:
    """At a boot, with the mark there: what it asks for, and its outcome kept to be told.

    Whatever it raises, the mark is gone if flash let it go, and the node starts.
    """
    from kerbnode import working
    from kerbnode.hal import esp32_cause
    from kerbnode.hal.esp32 import Nvs

    try:
        try:
            with open(slots.home + MARK) as file:
                mark = file.read().split()
        finally:
            os.remove(slots.home + MARK)
        nvs = Nvs()
        state = standing.State(nvs)
        if slots.trial or len(mark) != 3 or state.told != m.UPDATE_CUT:
            return  # another order came between, or the power: the gateway offers it again
        watchdog = esp32_cause.watchdog(WATCHDOG_MS)
        outcome = m.UPDATE_FLASH
        try:
            node = Before(nvs, int(mark[1]))
            for found in working.begun(node, int(mark[0]), mark[2]):  # type: ignore[arg-type]
                watchdog.feed()
                if found is not None:
                    outcome = found
        except Exception as fault:  # noqa: BLE001 - each is told
            sys.print_exception(fault)
            outcome = working.outcome_of(fault)
        standing.owe(nvs, outcome)
    finally:
        working.gone()
