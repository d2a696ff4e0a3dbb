"""All nodes of a gateway: makes their links, runs their lines, and is the one queue they fill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from kerbline.clock import Clock
from kerbline.config import Config, Node
from kerbline.config.sections import UDP
from kerbline.counters import Counters
from kerbline.keys import KeyRing, NodeKeys
from kerbline.model import Command, NodeState
from kerbline.south import node_config, schemas
from kerbline.south.arrivals import Arrival
from kerbline.south.dating import BootClock
from kerbline.south.node_config import NodeConfig
from kerbline.store import Anchor, Span, Store
from kerbwire.limits import BUS, DATAGRAM, STREAM
from kerbwire.ranges import RangeSet

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink

QUEUE_BOUND = 256  # then no line is read: the nodes keep their records and wait for `kept`


class Nodes:
    """The nodes' side of the gateway: `next` gives what arrived, `keep` and `send` go back."""

    def __init__(self, config: Config, ring: KeyRing, clock: Clock, counters: Counters) -> None:
        self._config = config
        self._ring = ring
        self._clock = clock
        self._counters = counters
        self._arrived: asyncio.Queue[Arrival] = asyncio.Queue(QUEUE_BOUND)
        self._links: dict[str, NodeLink] = {}  # by node id
        self._by_asset: dict[str, NodeLink] = {}
        self._earliest_ms = 0
        self._key_thread = ThreadPoolExecutor(1, thread_name_prefix="keys")

    def prepare(self, store: Store) -> None:
        """Load keys and what is held of each node; raises KeyFault."""
        anchors = store.anchors()
        self._earliest_ms = store.newest_at_ms
        configs = store.memories(node_config.RULE)
        taught = store.memories(schemas.RULE)
        datagram_nodes = 0
        on_bus: dict[str, int] = {}  # nodes by port
        for node in self._config.nodes:
            address = None
            if node.port == UDP:
                from kerbline.south.udp import connection_id

                address = connection_id(datagram_nodes)
                datagram_nodes += 1
            elif node.bus:
                address = on_bus[node.port] = on_bus.get(node.port, 0) + 1
            boots = {boot: anchor for (name, boot), anchor in anchors.items() if name == node.id}
            config = NodeConfig(node, configs.get(node.id))
            known = schemas.known(taught.get(node.id))
            link = self._link(node, store.held(node.id), boots, config, known, address)
            self._links[node.id] = link
            self._by_asset[node.asset] = link

    async def run(self) -> None:
        """Serve all lines until cancelled; a gateway without nodes loads nothing of theirs."""
        try:
            if not self._links and self._config.udp is None:
                return
            from kerbline.south import serial_line
            from kerbline.south.rs485 import SharedLine
            from kerbline.south.udp import UdpNodes

            async with asyncio.TaskGroup() as tasks:
                shared: dict[str, list[NodeLink]] = {}
                for link in self._links.values():
                    if link.node.bus:
                        shared.setdefault(link.node.port, []).append(link)
                    elif link.node.port != UDP:
                        tasks.create_task(serial_line.serve(link))
                followed = {lamp for each in self._config.corridors for lamp in each.lamps}
                for links in shared.values():
                    calls = any(link.node.asset in followed for link in links)
                    line = SharedLine(links, self._clock, self._counters, calls=calls)
                    tasks.create_task(line.serve())
                if self._config.udp is not None:
                    links = [link for link in self._links.values() if link.node.port == UDP]
                    served = UdpNodes(links, self._counters).serve(self._config.udp.address)
                    tasks.create_task(served)
        finally:
            self._key_thread.shutdown(wait=False)

    async def next(self) -> Arrival:
        """The oldest arrival that was not taken yet; waits for one."""
        return await self._arrived.get()

    def keep(self, spans: Iterable[Span]) -> None:
        """These records are durable: their nodes may delete them. Other sources are passed over."""
        for span in spans:
            link = self._links.get(span.source)
            if link is not None:
                link.keep(span.epoch, span.first, span.last)

    def ask_again(self, sources: Iterable[str]) -> None:
        """These nodes are to send again what is not durable. Other sources are passed over."""
        for source in sources:
            link = self._links.get(source)
            if link is not None:
                link.ask_again()

    def reachable(self, asset: str) -> bool:
        """Would the node of an asset take a command now?"""
        link = self._by_asset.get(asset)
        return link is not None and link.takes_commands

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """More of the CONFIG of an asset's node than its [[node]] names."""
        link = self._by_asset.get(asset)
        if link is not None:
            link.configure(values)

    def states(self) -> list[NodeState]:
        """How each node is now."""
        return [link.presence.state for link in self._links.values()]

    def send(self, command: Command) -> bool:
        """Send a command; False while its node can't be reached or has too many under way."""
        link = self._by_asset.get(command.asset)
        return link is not None and link.send(command)

    def _link(
        self,
        node: Node,
        held: tuple[int | None, RangeSet],
        boots: Mapping[int, Anchor],
        config: NodeConfig,
        known: schemas.Schemas,
        address: int | None,
    ) -> NodeLink:
        from kerbline.south.node_link import NodeLink  # with the cipher: only where a node is

        async def keep_keys(keys: NodeKeys) -> None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._key_thread, self._ring.store, node.id, keys)

        return NodeLink(
            node,
            self._ring.load(node.id, node.key_file),
            held,
            BootClock(self._clock, boots, self._earliest_ms),
            config,
            self._clock,
            self._counters,
            keep_keys=keep_keys,
            arrive=self._arrived.put,
            framing=BUS if node.bus else STREAM if address is None else DATAGRAM,
            address=address,
            known=known,
        )
