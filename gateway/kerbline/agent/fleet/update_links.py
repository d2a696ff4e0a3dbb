"""The nodes' links as a campaign needs them: who is there, whose line is away, what goes when."""

from __future__ import annotations

import asyncio
from collections import Counter

from kerbline.agent.fleet.updates import Updates
from kerbline.bundle import Bundle, parts
from kerbline.clock import Clock
from kerbline.config import Config, Node
from kerbline.config.firmware import Firmware
from kerbline.config.sections import UDP
from kerbline.south.cargo import Pace
from kerbline.south.nodes import Nodes
from kerbline.update.journal import Journal
from kerbline.update.roots import Roots

BITS_PER_BYTE = 10  # on a serial line
UDP_BYTES_PER_S = 125_000  # what all nodes on UDP are taken to share: a megabit a second


class Links:
    """A `Carrier` over the links of a running gateway."""

    def __init__(self, nodes: Nodes, firmware: Firmware) -> None:
        self._nodes = nodes
        self._firmware = firmware
        self._paces: dict[str, Pace] = {}  # by line
        self._losses: dict[str, int] = {}
        self._seen: set[str] = set()

    def knows(self, node: str) -> bool:
        """Is it a node of this gateway's still?"""
        return self._nodes.link(node) is not None

    def there(self) -> set[str]:
        """Whose sessions are heard now."""
        return {state.node for state in self._nodes.states() if state.online}

    def board(self, node: str) -> str:
        """The board of a node, "" until it told."""
        link = self._nodes.link(node)
        return "" if link is None else link.presence.state.board

    def away(self) -> list[str]:
        """Nodes whose line was lost, or on whose line nobody is heard any more.

        A node alone on its line is told from a line that is away only where the port says so.
        """
        there = self.there()
        self._seen |= there
        lines = {node.id: node.port for node in self._nodes.all()}
        heard = {lines.get(node) for node in there}
        known = Counter(lines[node] for node in self._seen if node in lines)
        gone: list[str] = []
        for node, line in lines.items():
            link = self._nodes.link(node)
            losses = 0 if link is None else link.losses
            lost = losses != self._losses.get(node, 0)
            self._losses[node] = losses
            if lost or (line not in heard and known[line] > 1):
                gone.append(node)
        return gone

    def heard_ms(self, node: str) -> int:
        """When a node was last heard at all, by a clock of its own; 0: never."""
        link = self._nodes.link(node)
        return 0 if link is None else link.session.heard_ms

    def offer(self, node: str, kind: int, data: bytes) -> None:
        """Offer an object, in the place of one before."""
        link = self._nodes.link(node)
        if link is not None:
            line = link.node.port
            if line not in self._paces:
                self._paces[line] = _pace(link.node, self._firmware)
            link.hold.load(kind, data, self._paces[line])

    def drop(self, node: str) -> None:
        """Offer no more what was offered."""
        link = self._nodes.link(node)
        if link is not None:
            link.hold.withdraw()

    def progress(self, node: str) -> tuple[int, int] | None:
        """The block that was wanted last and how many there are, where something is offered."""
        link = self._nodes.link(node)
        carrying = None if link is None else link.hold.carrying
        return None if carrying is None else (carrying.index, carrying.blocks)

    def activate(self, node: str, expires_at_ms: int) -> bool:
        """Order a node to start what it has staged; False where that can't be sent."""
        link = self._nodes.link(node)
        return link is not None and link.commands.activate(expires_at_ms)


def made(config: Config, nodes: Nodes, clock: Clock) -> Updates:
    """What brings releases to the nodes of a config that has a [firmware].

    Raises BundleFault where the root can't be used.
    """
    firmware = config.firmware
    assert firmware is not None
    links = Links(nodes, firmware)
    journal = Journal(config.gateway.state_dir)
    updates = Updates(journal, links, clock, whole_parts, asyncio.to_thread)
    updates.resume(Roots.of(firmware))
    return updates


def whole_parts(bundle: Bundle) -> bytes:
    """All objects of a bundle, for a node that has none of them."""
    return parts.made(bundle.manifest_bytes, bundle.object)


def _pace(node: Node, firmware: Firmware) -> Pace:
    rate = UDP_BYTES_PER_S if node.port == UDP else node.baud / BITS_PER_BYTE
    return Pace(rate, firmware.line_share_pct / 100)
