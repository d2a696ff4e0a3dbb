"""All nodes of a gateway: makes their links, runs their lines, and is the one queue they fill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kerbline.clock import Clock
from kerbline.config import Config, Node
from kerbline.config.sections import UDP
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.keys import KeyFault, KeyRing, NodeKeys
from kerbline.keys.way import Way
from kerbline.model import Command, NodeState
from kerbline.south import node_config, schemas
from kerbline.south.arrivals import Arrival, Claimed
from kerbline.south.dating import BootClock
from kerbline.south.door import Door, Window
from kerbline.south.node_config import NodeConfig
from kerbline.store import Anchor, Span, Store
from kerbwire.limits import BUS, BUS_NODES, DATAGRAM, STREAM
from kerbwire.ranges import RangeSet

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink
    from kerbline.south.rs485 import SharedLine
    from kerbline.south.udp import UdpNodes

T = TypeVar("T")

QUEUE_BOUND = 256  # then no line is read: the nodes keep their records and wait for `kept`


log = logging.getLogger("kerbline.south")


class NoRoom(KerblineError):
    """A line is not there, or has no place for one more node."""

    code = "no_room"


@dataclass(frozen=True, slots=True)
class Past:
    """What the store holds of a node: its log, its boots, its CONFIG, its schemas."""

    held: tuple[int | None, RangeSet]
    boots: Mapping[int, Anchor]
    config: str | None
    taught: str | None


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
        self._tasks: asyncio.TaskGroup | None = None  # while they run
        self._pumps: dict[str, asyncio.Task[None]] = {}  # by the port of a line of its own
        self._buses: dict[str, SharedLine] = {}  # by port
        self._udp: UdpNodes | None = None
        self._datagrams = 0  # connection ids given out
        self.door = Door(clock, counters, self._claimed)
        self._key_thread = ThreadPoolExecutor(1, thread_name_prefix="keys")

    def prepare(self, store: Store) -> None:
        """Load keys and what is held of each node; raises KeyFault.

        One that joined by a claim and can't be served keeps no other node in the dark.
        """
        self._earliest_ms = store.newest_at_ms
        known = pasts(store, [node.id for node in self._config.nodes])
        for node in self._config.nodes:
            try:
                self._add(node, known[node.id])
            except (KeyFault, NoRoom) as fault:
                if not self._ring.has_claim(node.id):
                    raise
                log.error("node %s joined, but is not served: %s", node.id, fault)

    async def run(self) -> None:
        """Serve all lines until cancelled; a gateway without nodes loads nothing of theirs."""
        config = self._config
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for link in tuple(self._links.values()):
                    if link.node.port != UDP and not link.node.bus:
                        self._serve_alone(link)
                self._serve_buses()
                for line in config.enrolments:
                    if not line.bus:
                        self._serve_enrolment(line.port)
                if config.udp is not None:
                    from kerbline.south.udp import UdpNodes

                    self._udp = UdpNodes(self._counters, self.door)
                    for link in self._links.values():
                        if link.node.port == UDP:
                            self._udp.add(link)
                    tasks.create_task(self._udp.serve(config.udp.address))
                await asyncio.get_running_loop().create_future()  # others may join
        finally:
            self._tasks = None
            self._key_thread.shutdown(wait=False)

    # ------------------------------------------------------------------ who joins, who goes

    def permit(self, window: Window) -> None:
        """Nodes that are none of ours may say their claims, on every line."""
        self.door.open(window)
        for line in self._buses.values():
            line.permit(window.ms)
        if self._udp is not None:
            self._udp.invite()

    def close_door(self) -> None:
        """No more claims."""
        self.door.close()
        for line in self._buses.values():
            line.permit(0)

    def join(self, node: Node, known: Past) -> None:
        """One more node, served at once. Raises KeyFault, or NoRoom."""
        if self._tasks is None:
            return  # it is served from the start
        if node.port == UDP and self._udp is None:
            raise NoRoom("the config has no [udp] any more; add it, and restart the gateway")
        if node.bus and node.port not in self._buses:
            raise NoRoom(
                f"the config has no bus {node.port} any more; name it in an [[enrolment]] with "
                "bus = true, and restart the gateway"
            )
        link = self._add(node, known)
        if node.port == UDP:
            assert self._udp is not None
            self._udp.add(link)
        elif node.bus:
            self._buses[node.port].add(link)
        else:
            self._stop(node.port)
            self._serve_alone(link)

    def leave(self, node_id: str) -> int | None:
        """A node is none of ours any more; the epoch of its log, None if it was never heard."""
        link = self._links.pop(node_id, None)
        if link is None:
            return None
        if self._by_asset.get(link.node.asset) is link:
            del self._by_asset[link.node.asset]
        if link.node.port == UDP:
            if self._udp is not None:
                self._udp.remove(node_id)
        elif link.node.bus:
            self._buses[link.node.port].remove(link)
        else:
            self._stop(link.node.port)
            if any(line.port == link.node.port for line in self._config.enrolments):
                self._serve_enrolment(link.node.port)
        return link.epoch

    async def in_key_thread(self, work: Callable[[], T]) -> T:
        """Do what waits for the disk where keys are kept, one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._key_thread, work)

    def _claimed(self, claimed: Claimed) -> bool:
        try:
            self._arrived.put_nowait(claimed)
        except asyncio.QueueFull:
            return False
        return True

    def _add(self, node: Node, known: Past) -> NodeLink:
        config = NodeConfig(node, known.config)
        taught = schemas.known(known.taught)
        link = self._link(node, known.held, known.boots, config, taught, self._place(node))
        self._links[node.id] = link
        self._by_asset[node.asset] = link
        return link

    def _place(self, node: Node) -> int | None:
        """The connection id or the bus address that a node gets."""
        if node.port == UDP:
            from kerbline.south.udp import connection_id

            self._datagrams += 1
            return connection_id(self._datagrams - 1)
        if not node.bus:
            return None
        links = [link for link in self._links.values() if link.node.port == node.port]
        given = {link.address for link in links}
        free = next((each for each in range(1, BUS_NODES + 1) if each not in given), None)
        if free is None:
            raise NoRoom(f"bus {node.port} has {BUS_NODES} nodes: hang {node.id} on another one")
        return free

    def _serve_alone(self, link: NodeLink) -> None:
        from kerbline.south import serial_line

        assert self._tasks is not None
        self._pumps[link.node.port] = self._tasks.create_task(serial_line.serve(link))

    def _serve_enrolment(self, port: str) -> None:
        """A line of its own that has no node yet."""
        if port in self._pumps:
            return
        from kerbline.south import enrolment_line

        assert self._tasks is not None
        line = next(each for each in self._config.enrolments if each.port == port)
        serving = enrolment_line.serve(Way(port, line.baud), self.door)
        self._pumps[port] = self._tasks.create_task(serving)

    def _serve_buses(self) -> None:
        shared: dict[Way, list[NodeLink]] = {}
        for link in self._links.values():
            if link.node.bus:
                way = Way(link.node.port, link.node.baud, bus=True)
                shared.setdefault(way, []).append(link)
        for line in self._config.enrolments:
            if line.bus:
                shared.setdefault(Way(line.port, line.baud, bus=True), [])
        if not shared:
            return
        from kerbline.south.rs485 import SharedLine

        assert self._tasks is not None
        followed = {lamp for each in self._config.corridors for lamp in each.lamps}
        for way, links in shared.items():
            calls = any(link.node.asset in followed for link in links)
            clock, counters = self._clock, self._counters
            bus = SharedLine(links, clock, counters, calls=calls, way=way, door=self.door)
            self._buses[way.port] = bus
            self._tasks.create_task(bus.serve())

    def _stop(self, port: str) -> None:
        pump = self._pumps.pop(port, None)
        if pump is not None:
            pump.cancel()

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

    def link(self, node: str) -> NodeLink | None:
        """The link of a node of ours."""
        return self._links.get(node)

    def all(self) -> list[Node]:
        """The nodes of the config, and those that joined since."""
        return [link.node for link in self._links.values()]

    def states(self) -> list[NodeState]:
        """How each node is now."""
        return [link.presence.state for link in self._links.values()]

    def recorded_ms(self, node_id: str) -> int | None:
        """When a record that the node measured last came, real UTC; None: not since we began."""
        return self._links[node_id].presence.record_ms

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


def pasts(store: Store, node_ids: Iterable[str]) -> dict[str, Past]:
    """What the store holds of these nodes."""
    boots: dict[str, dict[int, Anchor]] = {}
    for (name, boot), anchor in store.anchors().items():
        boots.setdefault(name, {})[boot] = anchor
    configs, taught = store.memories(node_config.RULE), store.memories(schemas.RULE)
    return {
        name: Past(store.held(name), boots.get(name, {}), configs.get(name), taught.get(name))
        for name in node_ids
    }
