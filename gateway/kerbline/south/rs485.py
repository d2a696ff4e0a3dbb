"""Many nodes on one RS-485 line: the pump of the bus that gives them their turns."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.keys.way import Way
from kerbline.ports import Port, PortLost, open_when_there
from kerbline.south.serial_line import Pauses

if TYPE_CHECKING:
    from kerbline.south.door import Door
    from kerbline.south.node_link import NodeLink
    from kerbwire.bus import Bus

log = logging.getLogger("kerbline.south")

CLAIMS_EACH = 3  # of a stranger in a window: noise may have spoilt one
BITS_PER_BYTE = 10  # with start and stop


class SharedLine:
    """The nodes of one port, which come and go."""

    def __init__(
        self, way: Way, clock: Clock, counters: Counters, door: Door | None = None
    ) -> None:
        """`door`: for nodes that are none of ours."""
        from kerbwire.bus import Bus

        self.way = way
        self._links: list[NodeLink] = []
        self._door = door
        self._claims: Counter[bytes] = Counter()  # of strangers, in this window
        self._port, self._baud = way.port, way.baud
        self._clock = clock
        self._counters = counters
        self._changed = asyncio.Event()
        self._bus: Bus = Bus([], -(-BITS_PER_BYTE * 1_000_000 // way.baud))

    def permit(self, ms: int) -> None:
        """Nodes that are none of ours may say their claims for so long; 0 ends it."""
        self._claims.clear()
        self._bus.enrol(self._now_us(), ms)
        self._changed.set()

    def add(self, link: NodeLink, *, calls: bool) -> None:
        """One more node, which is asked for by name: that finds all that a search in slots would.

        `calls`: its events are waited for, as those of a lamp are that follows people.
        """
        from kerbwire.bus import Place
        from kerbwire.poller import PolledGateway

        assert isinstance(link.session, PolledGateway)
        self._links.append(link)
        self._bus.add(Place(link.session, placed=True), calls=calls)
        link.changed = self._changed
        self._changed.set()

    def remove(self, link: NodeLink) -> None:
        """That node has no turn any more."""
        self._links.remove(link)
        self._bus.remove(link.node.id.encode())
        self._changed.set()

    async def serve(self) -> None:
        """Serve the nodes for ever, whatever the line does."""
        pauses = Pauses()
        loop = asyncio.get_running_loop()
        while True:
            port = await open_when_there(self._port, self._baud)
            opened_s = loop.time()
            try:
                await self._pump(port)
            except PortLost as error:
                log.warning("bus %s: line lost: %s", self._port, error)
                for link in self._links:
                    link.lost()
            finally:
                port.close()
            self._bus.failed()
            await asyncio.sleep(pauses.after(loop.time() - opened_s))

    async def _pump(self, port: Port) -> None:
        """Turns out, answers in, events up; ends with PortLost."""
        reading = asyncio.ensure_future(port.read())
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            while True:
                if changing.done():
                    self._changed.clear()
                    changing = asyncio.ensure_future(self._changed.wait())
                # A line that has something to read is read before a window is held for missed.
                wait_s = max(0.0, (self._bus.deadline(self._now_us()) - self._now_us()) / 1e6)
                waiting = {reading, changing}
                await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    self._bus.receive(reading.result(), self._now_us())
                    reading = asyncio.ensure_future(port.read())
                    await self._settle()
                elif data := self._bus.outgoing(self._now_us()):
                    port.write(data)
                else:
                    await self._settle()  # time alone brings events too
        finally:
            reading.cancel()
            changing.cancel()
            await asyncio.gather(reading, changing, return_exceptions=True)

    async def _settle(self) -> None:
        for link in tuple(self._links):
            link.tell_time()
            await link.settle()
        while (event := self._bus.next_event()) is not None:
            self._told(event)

    def _told(self, event: tuple[object, ...]) -> None:
        match event:
            case ("SILENT", bytes(node_id)):
                log.warning("bus %s: node %s does not answer", self._port, node_id.decode())
            case ("BACK", bytes(node_id)):
                log.info("bus %s: node %s answers again", self._port, node_id.decode())
            case ("BABBLE", bytes(node_id), count):
                name = node_id.decode() or "somebody"
                log.warning("bus %s: %s talks out of turn: %s bytes", self._port, name, count)
                self._counters.count("nodes.babble")
            case ("CLAIM", bytes(node_id), bytes(sealed)) if self._door is not None:
                self._claims[node_id] += self._door.take(node_id, sealed, self.way)
            case ("UNKNOWN", bytes(node_id)):
                if self._door is not None:
                    self._door.stranger(node_id)
                    enough = self._claims[node_id] >= CLAIMS_EACH
                    if enough or not self._door.asks(node_id):
                        self._bus.judged(node_id)
                self._counters.count("nodes.unknown_node")
            case ("FAULT", code):
                self._counters.count(f"nodes.{code}")

    def _now_us(self) -> int:
        return self._clock.monotonic_us()
