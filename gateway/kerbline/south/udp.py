"""The nodes on UDP: one socket, told apart by node id in HELLO and by connection id afterwards.

A node's address follows its newest authentic frame only (a NAT may move it); what can't be
authenticated is answered by at most a HELLO?, which is shorter than any frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from kerbline.counters import Counters
from kerbline.errors import KerblineError
from kerbwire import frame, handshake
from kerbwire.errors import RemoteError
from kerbwire.limits import FRAME_BYTES
from kerbwire.messages import CLASS_PLAIN, WELCOME

TYPE_AT = 2  # of a plain frame: after its first byte and the connection id
CONNECTION_IDS = 254  # 1..254; more nodes than that share them, and the tag decides

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink

log = logging.getLogger("kerbline.south")

Address = tuple[str, int]


def connection_id(index: int) -> int:
    """The connection id of the node with that place in the config."""
    return 1 + index % CONNECTION_IDS


class CannotListen(KerblineError):
    """The address of the config's [udp] is not to be had."""

    code = "cannot_listen"


class _Peer:
    """A node and where it is.

    `address` is proven by a tag, `greeting` sent a valid HELLO, `asking` frames of no session.
    """

    def __init__(self, link: NodeLink, connection: int) -> None:
        self.link = link
        self.connection = connection
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

    def __init__(self, links: Sequence[NodeLink], counters: Counters) -> None:
        self._peers = [_Peer(link, connection_id(n)) for n, link in enumerate(links)]
        self._by_node = {peer.link.node.id.encode(): peer for peer in self._peers}
        self._counters = counters
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
                for peer in self._peers:
                    tasks.create_task(self._pump(peer))
        finally:
            transport.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Give a datagram to the node whose it is."""
        if len(data) > FRAME_BYTES:
            self._counters.count("nodes.long")
            return
        try:
            header = frame.Header(data)
            if header.class_ == CLASS_PLAIN:
                self._greeted(handshake.node_id_of(data, header), data, addr)
            else:
                self._sealed(header.address, data, addr)
        except RemoteError as fault:
            self._counters.count(f"nodes.{fault.code}")

    def _greeted(self, node_id: bytes, data: bytes, addr: Address) -> None:
        peer = self._by_node.get(node_id)
        if peer is None:
            raise RemoteError("unknown_node")
        if peer.link.receive(data):
            peer.greeting = addr
        peer.link.changed.set()

    def _sealed(self, connection: int, data: bytes, addr: Address) -> None:
        peers = [peer for peer in self._peers if peer.connection == connection]
        if not peers:
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
