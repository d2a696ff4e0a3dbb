"""All nodes of a gateway: who they are, and the one queue that they fill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kerbline.clock import Clock
from kerbline.config import Config, Node
from kerbline.counters import Counters
from kerbline.keys import KeyFault, KeyRing, NodeKeys
from kerbline.model import Command, NodeState
from kerbline.south.arrivals import Arrival, Claimed
from kerbline.south.door import Door, Window
from kerbline.south.lines import Lines, NoRoom
from kerbline.south.past import Past, pasts
from kerbline.store import Span, Store

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink

T = TypeVar("T")

QUEUE_BOUND = 256  # then no line is read: the nodes keep their records and wait for `kept`


log = logging.getLogger("kerbline.south")


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
        self.door = Door(clock, counters, self._claimed)
        self._lines = Lines(config, clock, counters, self.door)
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
        try:
            await self._lines.run(tuple(self._links.values()))
        finally:
            self._key_thread.shutdown(wait=False)

    # ------------------------------------------------------------------ who joins, who goes

    def permit(self, window: Window) -> None:
        """Nodes that are none of ours may say their claims, on every line."""
        self.door.open(window)
        self._lines.permit(window.ms)

    def close_door(self) -> None:
        """No more claims."""
        self.door.close()
        self._lines.permit(0)

    def join(self, node: Node, known: Past) -> None:
        """One more node, served at once. Raises KeyFault, or NoRoom."""
        link = self._add(node, known)
        if self._lines.running:
            self._lines.add(link)

    def leave(self, node_id: str) -> int | None:
        """A node is none of ours any more; the epoch of its log, None if it was never heard."""
        link = self._links.pop(node_id, None)
        if link is None:
            return None
        if self._by_asset.get(link.node.asset) is link:
            del self._by_asset[link.node.asset]
        self._lines.remove(link)
        return link.log.epoch

    async def in_key_thread(self, work: Callable[[], T]) -> T:
        """Do what waits for the disk where keys are kept, one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._key_thread, work)

    def _claimed(self, claimed: Claimed) -> bool:
        try:
            self._arrived.put_nowait(claimed)
        except asyncio.QueueFull:
            return False
        return True

    def _add(self, node: Node, past: Past) -> NodeLink:
        from kerbline.south.node_link import NodeLink  # with the cipher: only where a node is

        async def keep_keys(keys: NodeKeys) -> None:
            await self.in_key_thread(partial(self._ring.store, node.id, keys))

        link = NodeLink(
            node,
            self._ring.load(node.id, node.key_file),
            past,
            self._clock,
            self._counters,
            keep_keys=keep_keys,
            arrive=self._arrived.put,
            address=self._lines.place(node, self._links.values()),
            earliest_ms=self._earliest_ms,
        )
        self._links[node.id] = link
        self._by_asset[node.asset] = link
        return link

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
        return link is not None and link.commands.have_room

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """More of the CONFIG of an asset's node than its [[node]] names."""
        link = self._by_asset.get(asset)
        if link is not None:
            link.config.ask(values)

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
        return link is not None and link.commands.send(command)
