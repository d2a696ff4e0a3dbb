"""The way to the gateway: opened at a start and when it broke; loaded for that, and gone again."""

from kerbnode import board as wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node
    from kerbnode.hal.board import Line


async def line(node: "Node") -> "Line":
    """The way that the settings name, on the board's pins or their own."""
    wanted = node.settings
    given = (wanted.uart, wanted.tx, wanted.rx, wanted.de)
    pins = tuple(wiring.LINKS.get(wanted.link, ())) + (None,) * 4
    pins = tuple([pins[at] if own is None else own for at, own in enumerate(given)])
    return await node.board.open_line(wanted.gateway, wanted.baud, pins)
