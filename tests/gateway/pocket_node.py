"""A node without firmware: the real engine over a socket, for tests of the gateway's side."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from kerbwire import claiming
from kerbwire import messages as m
from kerbwire.limits import DATAGRAM, STREAM
from kerbwire.node import NodeSession
from kerbwire.schema import STREETLIGHT, Schema

Values = tuple[int, ...]


def now_ms() -> int:
    """What the engine takes as time."""
    return time.monotonic_ns() // 1_000_000


class PocketNode:
    """Holds its records until they are kept; `drained` tells when."""

    def __init__(
        self,
        node_id: str,
        key: bytes,
        *,
        framing: int = STREAM,
        epoch: int = 7,
        schema: Schema = STREETLIGHT,
    ) -> None:
        self.schema = schema
        self._began_ms = now_ms()
        info = m.Info(schema.hash, boot_id=11, epoch=epoch, firmware=1)
        info.uptime_s = 100
        self._named = (node_id.encode(), 0, key, info, os.urandom, framing)
        self.name = node_id.encode()
        self.framing = framing
        self.key = (0, key)
        self.session = NodeSession(*self._named)
        self.ended = asyncio.Event()  # an object that was offered was taken or refused
        self.anchors: list[tuple[int, int, int, Values]] = []
        self.events: list[tuple[int, int, int, Values]] = []  # told once each
        self.configs: list[tuple[Any, ...]] = []
        self.records: dict[int, Values] = {}
        self.commands: list[tuple[Any, ...]] = []
        self.answer = m.OK
        self.changed = asyncio.Event()
        self.drained = asyncio.Event()  # all records are kept
        self.line: asyncio.StreamWriter | None = None  # where it is served over TCP
        self.sealed = b""  # its claim
        self.permits = 0  # questions for it
        self.session.start(now_ms())

    def begin_again(self) -> None:
        """A power cut, after which the key is the first one again."""
        self.session = NodeSession(*self._named)
        self.session.start(now_ms())

    def teach(self, schema: Schema) -> None:
        """Other firmware: from here on it reports in this schema; its key is where it was."""
        self.schema = schema
        self._named[3].schema_hash = schema.hash
        generation, key = self.key
        self.session = NodeSession(self._named[0], generation, key, *self._named[3:])
        self.session.start(now_ms())
        self.changed.set()

    def make(self, *values: int) -> None:
        """A record with the next number."""
        number = self.session.info.next_rseq
        self.session.info.next_rseq += 1
        self.records[number] = values
        self.drained.clear()
        self.changed.set()

    def tell(self, code: int, value: int = 0) -> None:
        """An event, now."""
        info = self.session.info
        number, uptime_s = info.next_rseq, 100 + (now_ms() - self._began_ms) // 1000
        info.next_rseq += 1
        self.events.append((number, 11, uptime_s, (code, value)))
        self.changed.set()

    def receive(self, data: bytes) -> None:
        """Bytes or a datagram from the gateway."""
        self.session.receive(data, now_ms())
        self.changed.set()

    def pump(self, write: Callable[[bytes], None]) -> float:
        """Events, records and bytes out; seconds until it has something to do by itself."""
        while (event := self.session.next_event()) is not None:
            if event[0] == "KEY":
                _, generation, key = event
                assert isinstance(generation, int) and isinstance(key, bytes)
                self.key = (generation, key)
                self.session.key_stored(now_ms())
            elif event[0] == "COMMAND":
                self.commands.append(event[1:])
                assert isinstance(event[1], int)
                self.session.send_result(event[1], self.answer, 0)
            elif event[0] == "CONFIG":
                self.configs.append(event[1:])
                assert isinstance(event[1], int)
                self.session.info.config_version = event[1]
                self.session.send_configured(event[1], self.answer)
            elif event[0] == "PERMIT":
                self._permitted()
            elif event[0] == "WANT" and event[1] == self.schema.hash:
                encoding = self.schema.encode()
                digest = sha256(encoding).digest()
                self.session.objects.offer(0, m.OBJECT_SCHEMA, digest, len(encoding), 10)
            elif event[0] == "SENT":
                self.ended.set()
            elif event[0] == "WANTED":
                _, handle, index = event
                assert isinstance(handle, int) and isinstance(index, int)
                block = self.schema.encode()[10 * index : 10 * index + 10]
                self.session.objects.give(handle, index, block)
        self.records = {n: v for n, v in self.records.items() if n not in self.session.kept}
        if not self.records:
            self.drained.set()
        self._say()
        while data := self.session.outgoing(now_ms()):
            write(data)
        deadline = self.session.deadline()
        return 1.0 if deadline is None else max(0.0, (deadline - now_ms()) / 1000)

    def _say(self) -> None:
        """What the window has room for, in the order in which it is in a hurry."""
        while self.anchors and self.session.window(now_ms()):
            self.session.send_anchor(self.anchors.pop(), now_ms())
        while self.events and self.session.window(now_ms()):
            self.session.send_event(self.events.pop(0), now_ms())
        while self.session.window(now_ms()):
            number = next((n for n in self.records if self.session.wants(n)), None)
            if number is None:
                break
            record = (number, 11, 100 + number, self.records[number])
            self.session.send_report(record, now_ms())

    def _permitted(self) -> None:
        """What a node does that was asked for its claim."""
        self.permits += 1
        if self.sealed:
            place = None if self.framing == STREAM else 0
            self.session.claim = claiming.encode(self.name, self.sealed, place)

    async def run(self, write: Callable[[bytes], None]) -> None:
        """Pump until cancelled."""
        while True:
            wait_s = self.pump(write)
            try:
                async with asyncio.timeout(wait_s):
                    await self.changed.wait()
            except TimeoutError:
                continue
            self.changed.clear()


async def serve_tcp(node: PocketNode, port: int = 0) -> asyncio.Server:
    """The node behind `socket://127.0.0.1:port`, for whoever connects."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node.line = writer
        pumping = asyncio.create_task(node.run(writer.write))
        try:
            while data := await reader.read(256):
                node.receive(data)
        finally:
            pumping.cancel()
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)


class UdpSide(asyncio.DatagramProtocol):
    """One socket of a node on UDP."""

    def __init__(self, node: PocketNode) -> None:
        self._node = node

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the gateway."""
        self._node.receive(data)


async def connect_udp(
    node: PocketNode, port: int
) -> tuple[asyncio.DatagramTransport, asyncio.Task[None]]:
    """The node on a socket of its own; close the transport to move it elsewhere."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: UdpSide(node), remote_addr=("127.0.0.1", port)
    )
    return transport, loop.create_task(node.run(transport.sendto))


__all__ = ["DATAGRAM", "STREAM", "PocketNode", "connect_udp", "now_ms", "serve_tcp"]
