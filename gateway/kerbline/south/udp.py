"""The nodes on UDP: one socket, told apart by node id in HELLO and by connection id afterwards.

A node's address follows its newest authentic frame only (a NAT may move it); what can't be
authenticated is answered by at most a HELLO?, which is shorter than any frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from kerbline.config.sections import UDP
from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbline.keys.way import Way
from kerbwire import cbor, claiming, frame, handshake
from kerbwire.errors import RemoteError
from kerbwire.limits import FRAME_BYTES, HELLO_REQUEST_GAP_MS
from kerbwire.messages import CLASS_PLAIN, HELLO_REQUEST, WELCOME

TYPE_AT = 2  # of a plain frame: after its first byte and the connection id
CONNECTION_IDS = 254  # 1..254; more nodes than that share them, and the tag decides

RENEW_S = HELLO_REQUEST_GAP_MS / 1000
HELLO_REQUEST_FRAME = frame.plain_header(frame.DOWN, 0) + cbor.encode([HELLO_REQUEST])
STRANGERS = 64  # that greeted last, to be asked when a window opens

if TYPE_CHECKING:
    from kerbline.south.door import Door
    from kerbline.south.node_link import NodeLink

log = logging.getLogger("kerbline.south")

Address = tuple[str, int]


def connection_id(index: int) -> int:
    """The connection id of the node with that place among those on UDP."""
    return 1 + index % CONNECTION_IDS


class CannotListen(KerblineError):
    """The address of the config's [udp] is not to be had."""

    code = "cannot_listen"


class _Peer:
    """A node and where it is.

    `address` is proven by a tag, `greeting` sent a valid HELLO, `asking` frames of no session;
    `connection` is the id of its session.
    """

    def __init__(self, link: NodeLink) -> None:
        self.link = link
        self.connection = link.address
        self.address: Address | None = None
        self.greeting: Address | None = None
        self.asking: Address | None = None

    def destination(self, datagram: bytes) -> Address | None:
        """Where a datagram of ours goes; it is never longer than what came from there unproven."""
        if datagram[0] & 3 != CLASS_PLAIN:
            return self.address
        return self.greeting if datagram[TYPE_AT] == WELCOME else self.asking


class UdpNodes(asyncio.DatagramProtocol):
    """The socket's protocol; `serve` runs it."""

    def __init__(self, counters: Counters, door: Door | None = None) -> None:
        """`door`: for nodes that are none of ours."""
        self._peers: list[_Peer] = []
        self._by_node: dict[bytes, _Peer] = {}
        self._counters = counters
        self._door = door
        self._strangers: OrderedDict[bytes, Address] = OrderedDict()
        self._renewed: OrderedDict[Address, float] = OrderedDict()  # when they were asked
        self._tasks: asyncio.TaskGroup | None = None
        self._pumps: dict[bytes, asyncio.Task[None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    async def serve(self, listen: Address) -> None:
        """Listen for ever. CannotListen when the address is not to be had."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=listen)
        except (OSError, UnicodeError) as error:
            host, port = listen
            reason = error.strerror if isinstance(error, OSError) else "no host has such a name"
            raise CannotListen(f"udp.listen: {host}:{port}: {reason}") from None
        log.info("nodes on UDP at %s:%d", *transport.get_extra_info("sockname")[:2])
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for peer in self._peers:
                    self._start(peer)
                await loop.create_future()  # others may join
        finally:
            transport.close()

    def add(self, link: NodeLink) -> None:
        """One more node; asked to greet again, if it did while it was none of ours."""
        name = link.node.id.encode()
        peer = _Peer(link)
        self._peers.append(peer)
        self._by_node[name] = peer
        self._start(peer)
        peer.asking = self._strangers.pop(name, None)
        if peer.asking is not None:
            link.begin()

    def remove(self, node: str) -> None:
        """That node is none of ours any more."""
        peer = self._by_node.pop(node.encode(), None)
        if peer is not None:
            self._peers.remove(peer)
            if (pump := self._pumps.pop(node.encode(), None)) is not None:
                pump.cancel()

    def invite(self) -> None:
        """An enrolment window opened: who greeted lately is asked once, each for its greeting."""
        strangers, self._strangers = self._strangers, OrderedDict()
        for name, address in strangers.items():
            self._ask(name, address)

    def _start(self, peer: _Peer) -> None:
        if self._tasks is not None:
            pump = self._tasks.create_task(self._pump(peer))
            self._pumps[peer.link.node.id.encode()] = pump

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Give a datagram to the node whose it is."""
        if len(data) > FRAME_BYTES:
            self._counters.count("nodes.long")
            return
        try:
            header = frame.Header(data)
            if header.class_ == CLASS_PLAIN and claiming.is_claim(data, header):
                self._claimed(*claiming.claim_of(data, header), addr)
            elif header.class_ == CLASS_PLAIN:
                self._greeted(handshake.node_id_of(data, header), data, addr)
            else:
                self._sealed(header.address, data, addr)
        except RemoteError as fault:
            self._counters.count(f"nodes.{fault.code}")

    def _greeted(self, node_id: bytes, data: bytes, addr: Address) -> None:
        peer = self._by_node.get(node_id)
        if peer is None:
            self._ask(node_id, addr)
            raise RemoteError("unknown_node")
        if peer.link.receive(data):
            peer.greeting = addr
        peer.link.changed.set()

    def _ask(self, node_id: bytes, addr: Address) -> None:
        """A stranger greeted: 4 bytes ask for its claim; else it is remembered for a window."""
        if self._door is None or self._transport is None:
            return
        self._door.stranger(node_id)
        if self._door.asks(node_id):
            self._transport.sendto(claiming.ask(0), addr)
        else:
            self._remember(node_id, addr)

    def _remember(self, node_id: bytes, addr: Address) -> None:
        self._strangers[node_id] = addr
        self._strangers.move_to_end(node_id)
        if len(self._strangers) > STRANGERS:
            self._strangers.popitem(last=False)

    def _claimed(self, node_id: bytes, sealed: bytes, addr: Address) -> None:
        if self._door is not None:
            self._remember(node_id, addr)
            self._door.take(node_id, sealed, Way(UDP))

    def _sealed(self, connection: int, data: bytes, addr: Address) -> None:
        peers = [peer for peer in self._peers if peer.connection == connection]
        if not peers:
            self._renew(addr)
            raise RemoteError("unknown_session")
        peers.sort(key=lambda peer: peer.address != addr)  # whoever was there last, first
        for peer in peers:
            authentic = peer.link.receive(data)
            if authentic and peer.link.session.heard_newest:
                peer.address = addr
            if not authentic and (peer.address is None or not peer.link.session.up):
                peer.asking = addr
            peer.link.changed.set()
            if authentic:
                return
        if not any(peer.asking == addr for peer in peers):
            self._renew(addr)

    def _renew(self, addr: Address) -> None:
        """A session that nobody here has: since nodes joined or went, its id is another node's.

        HELLO?, 3 bytes, to one address once in a while, as long as a node of ours has no session.
        """
        now_s = asyncio.get_running_loop().time()
        lately = now_s - self._renewed.get(addr, -RENEW_S) < RENEW_S
        lacking = any(not peer.link.session.up for peer in self._peers)
        if lately or not lacking or self._transport is None:
            return
        self._renewed[addr] = now_s
        self._renewed.move_to_end(addr)
        if len(self._renewed) > STRANGERS:
            self._renewed.popitem(last=False)
        self._transport.sendto(HELLO_REQUEST_FRAME, addr)

    async def flush(self, link: NodeLink) -> None:
        """What is due now with a node: events up, datagrams out."""
        peer = self._by_node[link.node.id.encode()]
        await link.settle()
        while datagram := link.outgoing():
            address = peer.destination(datagram)
            if address is not None and self._transport is not None:
                self._transport.sendto(datagram, address)
            await link.settle()
        await link.settle()  # time alone brings events too

    async def _pump(self, peer: _Peer) -> None:
        link = peer.link
        while True:
            await self.flush(link)
            try:
                async with asyncio.timeout(link.wait_s()):
                    await link.changed.wait()
            except TimeoutError:
                continue
            link.changed.clear()
