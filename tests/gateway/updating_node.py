"""A node that takes updates, without firmware: the wire's own engine, release and parts.

What it keeps is what a node's flash keeps: objects, two builds, what is under way, its log.
"""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from kerbwire import manifest as manifests
from kerbwire import messages as m
from kerbwire import parts, release
from kerbwire.errors import RemoteError
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.schema import STREETLIGHT

AWAKE_MS = 120_000  # on trial without an ack
RESTART_S = 0.2


def real_ms() -> int:
    """What the engine takes as time."""
    return time.monotonic_ns() // 1_000_000


class _File(io.BytesIO):
    """An object that is read, or that is made."""


class Flash:
    """The objects of a node; what parts bring gets its name when it is whole."""

    def __init__(self, objects: dict[bytes, bytes]) -> None:
        self.objects = dict(objects)
        self._digest = b""
        self._content = bytearray()

    def opened(self, digest: bytes) -> _File | None:
        """The object with that digest, to be read."""
        return _File(self.objects[digest]) if digest in self.objects else None

    def begin(self, digest: bytes, size: int) -> None:
        """An object comes."""
        self._digest, self._content = digest, bytearray()

    def write(self, data: memoryview) -> None:
        """A piece of it."""
        self._content += data

    def end(self) -> None:
        """It is whole."""
        self.objects[self._digest] = bytes(self._content)


class UpdatingNode:
    """`write` takes its bytes; it begins with `root` and, where it has one, a build."""

    def __init__(
        self,
        node_id: str,
        key: bytes,
        root: bytes,
        *,
        framing: int = STREAM,
        manifest: bytes = b"",
        objects: dict[bytes, bytes] | None = None,
        now_ms: Callable[[], int] = real_ms,
        messages: int = m.MESSAGES_VERSION,
        board: str = "streetlight-esp32",
    ) -> None:
        self.name = node_id.encode()
        self.root = root
        self.board = board
        self.good = manifest
        self.flash = Flash(objects or {})
        self.confirmed = manifests.decode(manifest).sequence if manifest else 0
        self.trial = b""
        self.staged = b""
        self.taken = b""  # the manifest whose parts or image are wanted
        self.image = b""  # of MicroPython, the last that came
        self.deaf = False  # builds on trial never hear the gateway
        self.crashes = False  # they do not come up
        self.starts: list[bytes] = []
        self.events: dict[int, tuple[int, int]] = {}
        self.blocks = 0
        self.let_go = 0  # objects that were withdrawn
        self.frames_bytes = 0
        self.changed = asyncio.Event()
        self._held: dict[bytes, bytearray] = {}
        self._coming: tuple[int, bytes] = (0, b"")  # kind and digest
        self._framing = framing
        self._messages = messages
        self._now_ms = now_ms
        self._key = (0, key)
        self._boot_id = 10
        self._number = 1
        self._trial_ms: int | None = None
        self.asleep = False
        self.session = self._booted()

    @property
    def build(self) -> bytes:
        """What INFO names."""
        running = self.trial or self.good
        return manifests.build_id(running) if running else b""

    def _booted(self) -> NodeSession:
        self._boot_id += 1
        info = m.Info(STREETLIGHT.hash, self._boot_id, 7, 1)
        info.build = self.build
        info.messages_version = self._messages
        info.next_rseq = self._number
        generation, key = self._key
        session = NodeSession(self.name, generation, key, info, os.urandom, self._framing)
        session.start(self._now_ms())
        self.changed.set()
        return session

    def restart(self) -> None:
        """Power goes and comes: RAM is lost, flash is not."""
        self.session = self._booted()

    def receive(self, data: bytes) -> None:
        """Bytes or a datagram from the gateway."""
        if not self.asleep:
            self.session.receive(data, self._now_ms())
            self.changed.set()

    def tell(self, value: int) -> None:
        """An event of an update, for the log."""
        self.events[self._number] = (m.EV_UPDATE, value)
        self._number += 1
        self.session.info.next_rseq = self._number
        self.changed.set()

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

    def pump(self, write: Callable[[bytes], None]) -> float:
        """Events, records and bytes out; seconds until it has something to do by itself."""
        if self.asleep:
            return 3_600.0
        now = self._now_ms()
        while (event := self.session.next_event()) is not None:
            self._take(event)
        if self._trial_ms is not None and now >= self._trial_ms:
            self._back(m.UPDATE_NO_ACK)
        session = self.session
        self.events = {n: v for n, v in self.events.items() if n not in session.kept}
        for number, values in self.events.items():
            if session.window(now) and session.wants(number):
                session.send_event((number, self._boot_id, 100, values), now)
        while data := session.outgoing(now):
            self.frames_bytes += len(data)
            write(data)
        deadlines = [time for time in (session.deadline(), self._trial_ms) if time is not None]
        return max(0.0, (min(deadlines) - now) / 1000) if deadlines else 3_600.0

    def _take(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("KEY", generation, key):
                self._key = (generation, key)
                self.session.key_stored(self._now_ms())
            case ("UP",):
                self.session.send_diag({m.DIAG_BOARD: self.board.encode()})
                if self.trial and not self.deaf:
                    self.tell(m.UPDATE_CONFIRMED)  # here the session's own answer is the ack
                    self.good, self.trial, self._trial_ms = self.trial, b"", None
                    confirmed = manifests.decode(self.good)
                    self.confirmed = confirmed.sequence
                    self.root = confirmed.next_root or self.root
            case ("OFFER", handle, kind, digest, *_):
                self._offered(handle, kind, digest)
            case ("BLOCK", _, _, data):
                self.blocks += 1
                self._held[self._coming[1]] += data
            case ("OBJECT", _, True):
                kind, digest = self._coming
                self._arrived(kind, bytes(self._held.pop(digest)))
            case ("OBJECT", _, False):
                self.let_go += 1
            case ("COMMAND", number, _, m.OP_ACTIVATE, _):
                self.session.send_result(number, m.OK if self.staged else m.FAILED, 0)
                if self.staged:
                    asyncio.get_running_loop().call_later(RESTART_S, self._start)

    def _offered(self, handle: int, kind: int, digest: bytes) -> None:
        if kind not in (m.OBJECT_UPDATE, m.OBJECT_PARTS, m.OBJECT_IMAGE):
            self.session.objects.refuse(handle)
            return
        held = self._held.setdefault(digest, bytearray())
        self._coming = (kind, digest)
        blocks = len(held) // 224
        del held[224 * blocks :]
        self.session.objects.accept(handle, blocks, sha256(held))

    def _arrived(self, kind: int, data: bytes) -> None:
        try:
            if kind == m.OBJECT_UPDATE:
                self.tell(self._manifest(data))
            elif kind == m.OBJECT_IMAGE:
                self.image = data
                self.tell(self._complete(self.taken))
            elif self.taken:
                sink: Any = self.flash
                for _ in parts.steps(_File(data), self.taken, self.flash.opened, sink):
                    pass
                self.tell(self._complete(self.taken))
        except RemoteError as fault:
            self.tell(m.UPDATE_SIGNATURE if fault.code == "signature" else m.UPDATE_PARTS)

    def _manifest(self, signed: bytes) -> int:
        plain = release.verified(signed, self.root)
        told = manifests.decode(plain)
        if told.board != self.board:
            return m.UPDATE_BOARD
        if told.sequence <= self.confirmed:
            return m.UPDATE_SEQUENCE
        self.taken = plain
        if plain == self.staged or all(d in self.flash.objects for _, _, d in told.entries):
            return self._complete(plain)
        return m.UPDATE_TAKEN

    def _complete(self, plain: bytes) -> int:
        """All objects are here; the image too?"""
        wanted = manifests.image(plain)
        if wanted is not None and wanted != (len(self.image), manifests.digest(self.image)):
            return m.UPDATE_IMAGE
        self.staged, self.taken = plain, b""
        return m.UPDATE_STAGED

    def _start(self) -> None:
        if not self.staged:
            return
        self.trial, self.staged = self.staged, b""
        self.starts.append(self.build)
        if self.crashes:
            self._back(m.UPDATE_BOOTS_FAILED)
            return
        self._trial_ms = self._now_ms() + AWAKE_MS
        self.session = self._booted()
        if self.deaf:
            self.asleep = True  # for the gateway, until it goes back
            loop = asyncio.get_running_loop()
            loop.call_later(AWAKE_MS / 1000, self._back, m.UPDATE_NO_ACK)

    def _back(self, value: int) -> None:
        self.trial, self._trial_ms, self.asleep = b"", None, False
        self.session = self._booted()
        self.tell(value)


async def serve_tcp(node: UpdatingNode, port: int = 0) -> asyncio.Server:
    """The node behind `socket://127.0.0.1:port`, for whoever connects."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pumping = asyncio.create_task(node.run(writer.write))
        try:
            while data := await reader.read(256):
                node.receive(data)
        finally:
            pumping.cancel()
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)


class _UdpSide(asyncio.DatagramProtocol):
    """A node's socket."""

    def __init__(self, node: UpdatingNode) -> None:
        self._node = node

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the gateway."""
        self._node.receive(data)


async def connect_udp(node: UpdatingNode, port: int) -> asyncio.Task[None]:
    """The node on a socket of its own."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _UdpSide(node), remote_addr=("127.0.0.1", port)
    )
    return loop.create_task(node.run(transport.sendto))
