"""What a node does when it can't do its work: the street is lit, and where it can it says so.

A lamp's output is lit while the chip is in reset (the board's file is refused otherwise), so light
means here: touch no pin. Loaded only then.
"""

import time

from kerbwire import messages as m
from kerbwire.schema import by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.app import Node
    from kerbnode.hal.board import Board
    from kerbnode.instruments import Events, Instruments
    from kerbnode.settings import Settings
    from kerbwire.schema import Schema

AGAIN_MS = 3_600_000
FEED_S = 5
PROMPT_S = 120  # at the prompt, until the watchdog starts the node again


class Steady:
    """An asset with its instruments that does nothing, so that nothing of it can fail."""

    level = 1000
    fading = 0

    def __init__(self, schema: "Schema", unread: "Node | None" = None):
        self.SCHEMA = schema
        self.asset = self
        self._unread = unread  # the node, where NVS could not be read: that may pass

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """There is nothing to begin."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """No pin is touched."""
        if self._unread is not None and uptime_ms >= AGAIN_MS:
            self._unread.stop()
            self._unread.board.reset()
        return []

    def configure(self, wanted: "Settings") -> None:
        """A CONFIG is kept, and works from the next boot on."""

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """No order but those to the node itself."""
        return m.UNSUPPORTED

    def values(self) -> "tuple[int, ...]":
        """No report."""
        return ()

    def totals(self) -> "tuple[int, ...]":
        """Those in flash stay as they are."""
        return ()


def wired(
    node: "Node",
    asset: str,
    wire: "Callable[[Board], Instruments]",
    *,
    readable: bool = True,
    counted: bool = True,
) -> "Instruments":
    """In safe mode: a lamp is left lit; a meter counts on if its drivers let it, and NVS."""
    if readable and asset != "streetlight":
        try:
            return wire(node.board)
        except Exception as error:  # noqa: BLE001 - whatever it is, the link must come up
            print("kerbnode: safe mode without drivers:", repr(error))
    schema = by_name(asset)
    assert schema is not None  # the settings are checked
    return Steady(schema, None if readable and counted else node)


def leave(node: "Node") -> None:
    """Somebody wants the prompt: a lamp is lit, for nothing dims or lights it from here on."""
    lit = getattr(node.instruments, "lit", None)
    if lit is not None:
        lit()
    node.stop()
    from kerbnode import orders

    node.board.leave(orders.prompt_s(node))


def stay_lit(board: "Board", code: str, strapped: "Callable[[Board], bool]") -> None:
    """Settings or key can't be used: lit until somebody mends that, or the power goes.

    A release's console stays closed (main.py) unless the strap, tied and let go, asks for it.
    """
    print("kerbnode: no node without its settings:", code)
    tied = strapped(board)
    try:
        while True:
            board.feed()
            if tied and not strapped(board):
                tied = False
                board.console(is_open=True)
            time.sleep(FEED_S)
    except KeyboardInterrupt:
        board.leave(PROMPT_S)
