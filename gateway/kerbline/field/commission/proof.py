"""A session with the node on this laptop, over the node's own line, until its first telemetry.

The laptop is a gateway for that long: it greets with the job's key, keeps the ratchet durably
before WELCOME goes, and acknowledges nothing, so that the node keeps its records for its gateway.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from kerbline.errors import KerblineError
from kerbline.keys import NodeKeys
from kerbline.ports import Port, PortLost, open_port
from kerbwire import frame, handshake
from kerbwire import messages as m
from kerbwire.bus import Bus, Place
from kerbwire.errors import RemoteError
from kerbwire.gateway import GatewaySession
from kerbwire.limits import DATAGRAM, STREAM
from kerbwire.poller import PolledGateway
from kerbwire.ranges import RangeSet
from kerbwire.schema import by_name

UTC_UNCERTAINTY_MS = 2_000  # of a laptop
BITS_PER_BYTE = 10  # with start and stop
ADDRESS = 1  # on a bus, and the connection id of datagrams
LONGEST_WAIT_S = 1.0


class Silent(KerblineError):
    """No telemetry in time; the text tells what came instead."""

    code = "silent"


@dataclass(frozen=True, slots=True)
class Heard:
    """A record that the node measured in its present life."""

    epoch: int
    rseq: int
    boot_id: int
    uptime_s: int
    build: str


@dataclass(frozen=True, slots=True)
class Way:
    """How the node's line is reached: an address of `ports`, or `host:port` to listen on."""

    link: str
    line: str
    baud: int


def hear(
    way: Way,
    node_id: str,
    kind: str,
    keys: NodeKeys,
    keep: Callable[[NodeKeys], None],
    within_s: float,
    *,
    tells_time: bool,
) -> Heard:
    """Wait for telemetry; raises Silent, or PortLost. What `keep` took is durable on return.

    `tells_time`: the node may take this laptop's; one that has none waits for its gateway's.
    """
    ear_of = partial(_Ear, node_id.encode(), keep=keep, tells_time=tells_time)
    return asyncio.run(_hear(way, node_id, kind, keys, ear_of, within_s))


@contextmanager
def listening(way: Way | None) -> Iterator[None]:
    """Hold the port on which a node of datagrams will be heard: its gateway is to be found."""
    if way is None or way.link != "udp":
        yield
        return
    try:
        door = _bound(way.line)
    except (OSError, ValueError, OverflowError) as fault:
        raise PortLost(f"{way.line}: {_why(fault)}") from None
    with door:
        yield


def _bound(line: str) -> socket.socket:
    host, _, port = line.rpartition(":")
    family, kind, proto, _, address = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_DGRAM
    )[0]
    door = socket.socket(family, kind, proto)
    try:
        door.bind(address)
    except OSError:
        door.close()
        raise
    door.setblocking(False)
    return door


def _why(fault: Exception) -> str:
    strerror = getattr(fault, "strerror", None)
    return strerror or "write the address on which the node looks for its gateway, host:port"


async def _hear(
    way: Way,
    node_id: str,
    kind: str,
    keys: NodeKeys,
    ear_of: Callable[[GatewaySession], _Ear],
    within_s: float,
) -> Heard:
    name, ring = node_id.encode(), (keys.generation, keys.key, keys.next_key)
    schema = by_name(kind)
    session: GatewaySession
    if way.link == "rs485":
        session = PolledGateway(name, ring, None, RangeSet(), os.urandom, ADDRESS, None)
    else:
        framing, address = (DATAGRAM, ADDRESS) if way.link == "udp" else (STREAM, None)
        session = GatewaySession(name, ring, None, RangeSet(), os.urandom, framing, address, None)
    if schema is not None:
        session.set_class(schema.class_id)
    ear = ear_of(session)
    pump = {"uart": _line, "rs485": _bus, "udp": _datagrams}[way.link]
    try:
        async with asyncio.timeout(within_s):
            return await pump(way, ear)
    except TimeoutError:
        raise Silent(ear.told()) from None


class _Ear:
    """The session's events: keys are kept, telemetry is what is waited for."""

    def __init__(
        self,
        name: bytes,
        session: GatewaySession,
        keep: Callable[[NodeKeys], None],
        *,
        tells_time: bool,
    ) -> None:
        self.name = name
        self.session = session
        self._keep = keep
        self._tells_time = tells_time
        self._heard: Counter[str] = Counter()
        self._info: m.Info | None = None

    def tell_time(self) -> None:
        """The laptop's UTC, where nothing speaks against it."""
        if not self._tells_time:
            return
        utc_ms = time.time_ns() // 1_000_000
        self.session.set_utc(utc_ms - _now_ms(), UTC_UNCERTAINTY_MS)

    def collect(self) -> Heard | None:
        """Take the session's events; the telemetry where it was among them."""
        while (event := cast("tuple[Any, ...] | None", self.session.next_event())) is not None:
            self._heard[str(event[0])] += 1
            match event:
                case ("KEYS", generation, key, following):
                    self._keep(NodeKeys(generation, key, following))
                    self.session.key_stored(_now_ms())
                case ("UP", info):
                    self._info = info
                case ("RECORD", kind, epoch, rseq, boot_id, uptime_s, _):
                    if kind not in (m.EVENT, m.ANCHOR) and self._is_new(boot_id):
                        assert self._info is not None
                        build = self._info.build.hex()
                        return Heard(epoch, rseq, boot_id, uptime_s, build)
                case ("FAULT", code):
                    self._heard[f"fault {code}"] += 1
        return None

    def _is_new(self, boot_id: int) -> bool:
        return self._info is not None and self._info.boot_id == boot_id

    def told(self) -> str:
        """What came, in words."""
        if self._info is None:
            faults = [name for name in self._heard if name.startswith("fault ")]
            return f"not what it should say: {', '.join(faults)}" if faults else "not a word of it"
        return f"it greets, and sent {self._heard['RECORD']} records, none that it measured now"


async def _line(way: Way, ear: _Ear) -> Heard:
    port = await open_port(way.line, way.baud)
    try:
        ear.tell_time()
        ear.session.start(_now_ms())
        while True:
            ear.tell_time()
            heard = ear.collect()  # before what goes out: a key that is kept lets WELCOME go
            if heard is not None:
                return heard
            while data := ear.session.outgoing(_now_ms()):
                port.write(data)
            deadline = ear.session.deadline()
            received = await _read(port, LONGEST_WAIT_S if deadline is None else _until(deadline))
            ear.session.receive(received, _now_ms())
    finally:
        port.close()


async def _bus(way: Way, ear: _Ear) -> Heard:
    assert isinstance(ear.session, PolledGateway)
    bus = Bus([Place(ear.session, placed=True)], -(-BITS_PER_BYTE * 1_000_000 // way.baud))
    port = await open_port(way.line, way.baud, rs485="://" not in way.line)
    try:
        while True:
            ear.tell_time()
            heard = ear.collect()
            while bus.next_event() is not None:
                ear.session.deadline()
            if heard is not None:
                return heard
            if data := bus.outgoing(_now_us()):
                port.write(data)
            wait_s = max(0.0, (bus.deadline(_now_us()) - _now_us()) / 1e6)
            received = await _read(port, min(wait_s, LONGEST_WAIT_S))
            if received:
                bus.receive(received, _now_us())
    finally:
        port.close()


async def _datagrams(way: Way, ear: _Ear) -> Heard:
    door = _Door(ear.session, ear.name)
    try:
        bound = _bound(way.line)
    except (OSError, ValueError, OverflowError) as fault:
        raise PortLost(f"{way.line}: {_why(fault)}") from None
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: door, sock=bound)
    try:
        while True:
            ear.tell_time()
            heard = ear.collect()
            if heard is not None:
                return heard
            while datagram := ear.session.outgoing(_now_ms()):
                if door.peer is not None:
                    transport.sendto(datagram, door.peer)
            deadline = ear.session.deadline()
            wait_s = LONGEST_WAIT_S if deadline is None else _until(deadline)
            try:
                async with asyncio.timeout(wait_s):
                    await door.came.wait()
            except TimeoutError:
                continue
            door.came.clear()
    finally:
        transport.close()


class _Door(asyncio.DatagramProtocol):
    """Datagrams of the one node; it is where its newest frame that fits came from."""

    def __init__(self, session: GatewaySession, name: bytes) -> None:
        self.peer: tuple[str, int] | None = None
        self.came = asyncio.Event()
        self._session = session
        self._name = name

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram, from anybody."""
        try:
            header = frame.Header(data)
            if header.class_ == m.CLASS_PLAIN:
                if handshake.node_id_of(data, header) != self._name:
                    return
                self.peer = self.peer or addr
        except RemoteError:
            return
        if self._session.receive(data, _now_ms()):
            self.peer = addr
        self.came.set()


async def _read(port: Port, wait_s: float) -> bytes:
    try:
        async with asyncio.timeout(wait_s):
            return await port.read()
    except TimeoutError:
        return b""


def _until(deadline_ms: int) -> float:
    return min(LONGEST_WAIT_S, max(0.0, (deadline_ms - _now_ms()) / 1000))


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
