"""The lines of a gateway: which there are, and which node is served on which.

Each kind of line has a pump of its own (`serial_line`, `rs485`, `udp`), which is loaded where the
config has such a line; `enrolment_line` keeps one on which no node is yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from kerbline.clock import Clock
from kerbline.config import Config, Node
from kerbline.config.enrolment import EnrolmentLine
from kerbline.config.sections import UDP
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.keys.way import Way
from kerbline.south.door import Door
from kerbwire.limits import BUS_NODES

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink
    from kerbline.south.rs485 import SharedLine
    from kerbline.south.udp import UdpNodes


class NoRoom(KerblineError):
    """A line is not there, or has no place for one more node."""

    code = "no_room"


class Lines:
    """Runs the pumps; nodes come and go meanwhile. `door`: for nodes that are none of ours."""

    def __init__(self, config: Config, clock: Clock, counters: Counters, door: Door) -> None:
        self._config = config
        self._clock = clock
        self._counters = counters
        self._door = door
        self._followed = {lamp for each in config.corridors for lamp in each.lamps}
        self._vacant = {line.port: line.baud for line in config.enrolments if not line.bus}
        self._datagrams = count()  # connection ids given out
        self._tasks: asyncio.TaskGroup | None = None  # while they run
        self._alone: dict[str, asyncio.Task[None]] = {}  # by the port of a line of its own
        self._buses: dict[str, SharedLine] = {}  # by port
        self._udp: UdpNodes | None = None

    @property
    def running(self) -> bool:
        """Is a node that is added served at once?"""
        return self._tasks is not None

    async def run(self, links: Collection[NodeLink]) -> None:
        """Serve these nodes, and who is added, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._open(link.node for link in links)
                for link in links:
                    if link.node.port != UDP or self._udp is not None:
                        self.add(link)
                for port in self._vacant.keys() - self._alone.keys():
                    self._wait_for_one(port)
                await asyncio.get_running_loop().create_future()  # others may join
        finally:
            self._tasks = None

    def place(self, node: Node, links: Iterable[NodeLink]) -> int | None:
        """The connection id or the bus address of one more beside these. Raises NoRoom."""
        if self.running:
            self._need_line(node)
        if node.port == UDP:
            from kerbline.south.udp import connection_id

            return connection_id(next(self._datagrams))
        if not node.bus:
            return None
        given = {link.address for link in links if link.node.port == node.port}
        free = next((each for each in range(1, BUS_NODES + 1) if each not in given), None)
        if free is None:
            raise NoRoom(f"bus {node.port} has {BUS_NODES} nodes: hang {node.id} on another one")
        return free

    def add(self, link: NodeLink) -> None:
        """Serve one more node, which has its place."""
        node = link.node
        if node.port == UDP:
            assert self._udp is not None
            self._udp.add(link)
        elif node.bus:
            self._buses[node.port].add(link, calls=node.asset in self._followed)
        else:
            from kerbline.south import serial_line

            self._serve_alone(node.port, serial_line.serve(link))

    def remove(self, link: NodeLink) -> None:
        """Serve that node no more."""
        port = link.node.port
        if port == UDP:
            if self._udp is not None:
                self._udp.remove(link.node.id)
        elif link.node.bus:
            self._buses[port].remove(link)
        elif port in self._vacant:
            self._wait_for_one(port)
        elif port in self._alone:
            self._alone.pop(port).cancel()

    def permit(self, ms: int) -> None:
        """Nodes that are none of ours may say their claims for so long; 0 ends it."""
        for line in self._buses.values():
            line.permit(ms)
        if ms and self._udp is not None:
            self._udp.invite()

    def _need_line(self, node: Node) -> None:
        if node.port == UDP and self._udp is None:
            raise NoRoom("the config has no [udp] any more; add it, and restart the gateway")
        if node.bus and node.port not in self._buses:
            raise NoRoom(
                f"the config has no bus {node.port} any more; name it in an [[enrolment]] with "
                "bus = true, and restart the gateway"
            )

    def _open(self, nodes: Iterable[Node]) -> None:
        """The lines that nodes share."""
        assert self._tasks is not None
        shared: list[Node | EnrolmentLine] = [*nodes, *self._config.enrolments]
        for port, baud in {line.port: line.baud for line in shared if line.bus}.items():
            from kerbline.south.rs485 import SharedLine

            way = Way(port, baud, bus=True)
            bus = self._buses[port] = SharedLine(way, self._clock, self._counters, self._door)
            self._tasks.create_task(bus.serve())
        if self._config.udp is not None:
            from kerbline.south.udp import UdpNodes

            self._udp = UdpNodes(self._counters, self._door)
            self._tasks.create_task(self._udp.serve(self._config.udp.address))

    def _wait_for_one(self, port: str) -> None:
        """On a line of its own that has no node yet."""
        from kerbline.south import enrolment_line

        way = Way(port, self._vacant[port])
        self._serve_alone(port, enrolment_line.serve(way, self._door))

    def _serve_alone(self, port: str, serving: Coroutine[Any, Any, None]) -> None:
        if port in self._alone:
            self._alone.pop(port).cancel()
        assert self._tasks is not None
        self._alone[port] = self._tasks.create_task(serving)
