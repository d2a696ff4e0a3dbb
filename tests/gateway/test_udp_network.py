"""Nodes on UDP in virtual time: shared connection ids, moving nodes, forged datagrams."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from kerbline.clock import ManualClock
from kerbline.config import Node
from kerbline.counters import Counters
from kerbline.keys import NodeKeys
from kerbline.model import Reading
from kerbline.south.arrivals import Arrival
from kerbline.south.node_link import NodeLink
from kerbline.south.past import Past
from kerbline.south.udp import CONNECTION_IDS, Address, UdpNodes, connection_id
from kerbwire import messages as m
from kerbwire.limits import DATAGRAM
from kerbwire.node import NodeSession
from kerbwire.schema import STREETLIGHT

UTC_MS = 1_790_000_000_000
VALUES = (30, 245, 1000, 10, 12, 0, 0)[: len(STREETLIGHT.fields)]
ATTACKER = ("198.51.100.66", 6)


class Station:
    """A node at an address, with the records that it has made."""

    def __init__(self, index: int, rng: random.Random, now: int) -> None:
        self.name = f"sl-{index}"
        self.key = bytes([index % 256] * 16)
        self.address: Address = (f"192.0.2.{1 + index % 250}", 1000 + index)
        info = m.Info(STREETLIGHT.hash, 11, 7, 1)
        self.session = NodeSession(self.name.encode(), 0, self.key, info, rng.randbytes, DATAGRAM)
        self.session.start(now)
        self.waiting: dict[int, tuple[int, ...]] = {}

    def step(self, now: int) -> list[bytes]:
        """Events, records, and the datagrams that are due."""
        while (event := self.session.next_event()) is not None:
            if event[0] == "KEY":
                self.session.key_stored(now)
        for rseq in [n for n in self.waiting if n in self.session.kept]:
            del self.waiting[rseq]
        for rseq in sorted(self.waiting):
            if self.session.window(now) and self.session.wants(rseq):
                self.session.send_backfill((rseq, 11, rseq, self.waiting[rseq]), now)
        sent = []
        while data := self.session.outgoing(now):
            sent.append(data)
        return sent


class Network:
    """A network that loses, repeats, delays and so reorders; it is the gateway's transport too."""

    def __init__(self, indexes: list[int], seed: int, *, loss: float = 0.0, jitter: int = 0):
        self.rng = random.Random(seed)
        self.clock = ManualClock(UTC_MS)
        self.loss, self.jitter = loss, jitter
        self.stations = [Station(n, self.rng, 0) for n in indexes]
        self.readings: list[Reading] = []
        self.to_gateway: list[tuple[Address, bytes]] = []  # all that ever went up
        self.to_nodes: list[tuple[Address, bytes]] = []
        self._flying: list[tuple[int, int, Callable[[], None]]] = []
        self.counters = Counters()
        self._links = [self._link(n) for n in range(max(indexes) + 1)]
        self._active = [self._links[n] for n in indexes]
        self.gateway = UdpNodes(self.counters)
        for link in self._links:
            self.gateway.add(link)
        self.gateway.connection_made(cast(asyncio.BaseTransport, self))

    def _link(self, index: int) -> NodeLink:
        async def keep(keys: NodeKeys) -> None:
            assert keys.generation >= 0

        async def arrive(arrival: Arrival) -> None:
            if isinstance(arrival, Reading):
                self.readings.append(arrival)
                self._links[index].keep(7, arrival.key.number, arrival.key.number)

        name = f"sl-{index}"
        node = Node(name, f"lamp-{index}", "streetlight", Path("/dev/null"), "udp")
        return NodeLink(
            node,
            NodeKeys(0, bytes([index % 256] * 16), None),
            Past(),
            self.clock,
            self.counters,
            keep_keys=keep,
            arrive=arrive,
            address=connection_id(index),
        )

    def sendto(self, data: bytes, addr: Address) -> None:
        """The gateway's datagram goes out."""
        self.to_nodes.append((addr, data))
        for station in self.stations:
            if station.address == addr:
                self._fly(partial(self._arrive_at, station, data))

    def _arrive_at(self, station: Station, data: bytes) -> None:
        station.session.receive(data, self.clock.monotonic_ms())

    def inject(self, data: bytes, addr: Address) -> None:
        """A datagram reaches the gateway at once."""
        self.to_gateway.append((addr, data))
        self.gateway.datagram_received(data, addr)

    def _fly(self, land: Callable[[], None]) -> None:
        for _ in range(2 if self.rng.random() < self.loss else 1):
            if self.rng.random() >= self.loss:
                due = self.clock.monotonic_ms() + 5 + self.rng.randrange(self.jitter + 1)
                self._flying.append((due, len(self._flying), land))

    async def run(self, ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Virtual time passes, 5 ms by 5 ms."""
        for _ in range(ms // 5):
            now = self.clock.monotonic_ms()
            for station in self.stations:
                for data in station.step(now):
                    self._fly(partial(self.inject, data, station.address))
            landing = sorted((i for i in self._flying if i[0] <= now), key=lambda i: i[:2])
            self._flying = [item for item in self._flying if item[0] > now]
            for _, _, land in landing:
                land()
            for link in self._active:
                await self.gateway.flush(link)
            if until():
                return True
            self.clock.advance(5)
        return False

    def up(self) -> bool:
        return all(station.session.up for station in self.stations)

    def drained(self) -> bool:
        return all(not station.waiting for station in self.stations)

    def sent_to(self, address: Address, since: int = 0) -> int:
        return sum(len(data) for to, data in self.to_nodes[since:] if to == address)


async def shared(seed: int) -> None:
    twins = [0, CONNECTION_IDS]
    assert connection_id(twins[0]) == connection_id(twins[1])
    net = Network(twins, seed, loss=0.2, jitter=30)
    assert await net.run(60_000, net.up)
    for rseq in range(1, 41):
        for place, station in enumerate(net.stations):
            station.waiting[rseq] = (place, *VALUES[1:])
    assert await net.run(600_000, net.drained)
    for place, station in enumerate(net.stations):
        mine = [r for r in net.readings if r.key.source == station.name]
        assert sorted(r.key.number for r in mine) == list(range(1, 41))
        assert {r.values["level_pct"] for r in mine} == {place}


def test_two_nodes_share_a_connection_id_and_the_tag_decides() -> None:
    for seed in range(3):
        asyncio.run(shared(seed))


async def moving() -> None:
    net = Network([0], 1)
    station = net.stations[0]
    assert await net.run(5000, net.up)
    old, new = station.address, ("203.0.113.9", 999)
    net.stations = []  # what it says now is held back on the way
    station.waiting[1] = VALUES
    early = station.step(net.clock.monotonic_ms())
    station.waiting[2] = VALUES
    late = station.step(net.clock.monotonic_ms())
    station.address = new
    net.inject(late[0], new)
    since = len(net.to_nodes)
    await net.run(50)
    assert net.sent_to(new, since) and not net.sent_to(old, since)
    net.inject(early[0], old)  # valid, but overtaken: nobody moves back
    net.inject(late[0], ATTACKER)  # a repeat
    forged = bytearray(late[0])
    forged[-1] ^= 1
    net.inject(bytes(forged), ATTACKER)
    since = len(net.to_nodes)
    await net.run(50)
    assert net.sent_to(new, since) and not net.sent_to(old, since)
    assert not net.sent_to(ATTACKER)
    assert sorted(r.key.number for r in net.readings) == [1, 2]


def test_a_peer_moves_only_by_its_newest_valid_frame() -> None:
    asyncio.run(moving())


def _forged(net: Network, seen: list[bytes]) -> bytes:
    """Noise, a turned bit, or a cut of what was seen."""
    rng = net.rng
    data = bytearray(rng.choice(seen))
    choice = rng.randrange(4)
    if choice == 0:
        return rng.randbytes(rng.randrange(1, 60))
    if choice == 1:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif choice == 2:
        del data[rng.randrange(1, len(data)) :]
    else:
        data[:2] = bytes((data[0] & 0xF7 | rng.randrange(2) << 3, connection_id(0)))
    return bytes(data)


async def amplified(seed: int) -> None:
    net = Network([0], seed)
    for _ in range(40):
        net.stations[0].waiting[len(net.stations[0].waiting) + 1] = VALUES
        await net.run(100)
        seen = [data for to, data in net.to_gateway if to != ATTACKER]
        for _ in range(20):
            received = sum(len(data) for to, data in net.to_gateway if to == ATTACKER)
            net.inject(_forged(net, seen), ATTACKER)
            await net.run(5)
            received += len(net.to_gateway[-1][1])
            assert net.sent_to(ATTACKER) <= received
    assert await net.run(60_000, net.drained)


def test_nobody_gets_more_bytes_than_they_sent_unproven() -> None:
    for seed in range(3):
        asyncio.run(amplified(seed))


async def diverted() -> None:
    """Between HELLO and WELCOME, a forged frame must not draw the longer WELCOME to it."""
    net = Network([0], 1)
    now = net.clock.monotonic_ms()
    hello = net.stations[0].step(now)[0]
    net.inject(hello, net.stations[0].address)
    net.inject(bytes((0x54, connection_id(0), 0, 0)) + bytes(9), ATTACKER)
    await net.run(5)
    assert net.sent_to(ATTACKER) <= 13
    assert net.to_nodes[0][0] == net.stations[0].address


def test_a_welcome_goes_to_who_greeted() -> None:
    asyncio.run(diverted())


def test_an_answer_is_never_longer_than_its_question() -> None:
    async def scenario() -> tuple[Any, Any]:
        net = Network([0], 1)
        assert await net.run(5000, net.up)
        return net.to_gateway[0], net.to_nodes[0]

    (_, hello), (_, welcome) = asyncio.run(scenario())
    assert len(welcome) <= len(hello)
