"""A street of lamps on a modelled line, in virtual time: whole nodes, and the gateway's own code.

Each pole runs the node's firmware as a board does (its sense, its records, its link, its session);
the gateway runs its nodes' sessions, its line or its socket, and the loops that follow people. Only
the line, the chip's waiting and the disk are modelled, by what stands below.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, cast

from kerbline.agent.light import loops
from kerbline.agent.light.loops import Loops
from kerbline.clock import Clock
from kerbline.config import Dimming
from kerbline.config import Node as Section
from kerbline.control import program
from kerbline.counters import Counters
from kerbline.keys import NodeKeys
from kerbline.keys.way import Way
from kerbline.model import Command, Reading
from kerbline.ports import Port
from kerbline.south.arrivals import Arrival
from kerbline.south.node_link import NodeLink
from kerbline.south.past import Past
from kerbline.south.rs485 import SharedLine
from kerbline.south.udp import Address, UdpNodes, connection_id
from kerbline.store import GroupCommit, GroupPolicy, Store
from kerbnode import app, settings
from kerbnode import board as wiring
from kerbnode.drivers.motion import Motion
from kerbnode.instruments.lamp_head import LampHead
from kerbwire import cobs
from kerbwire.limits import BUS, BUS_ALL, DATAGRAM

EVENING_MS = 1_797_883_200_000  # 2026-12-21, 20:00 UTC: night in Amsterdam for ten hours
PLACE = (52.4, 4.9)
SPACING_M = 30.0
SENSOR_RANGE_M = 10.0
REACH_M = 60.0
FLOOR_PCT = 20
FULL = 1000
LOSS = 0.1  # of frames, each way
WAY_MS = 25.0  # that a datagram takes, one way
TURNAROUND_MS = 4.0  # from a frame's last byte until a node has taken it
GATEWAY_MS = 2.0  # the same of the gateway's loops
DISK_MS = 10.0  # until a record is durable at the gateway
BYTE_S = 10 / 115_200
LOOK_MS = 6.0  # between two looks of a chip that waits, at whether its motion sensor moved


class Pole:
    """One board: a lamp, a motion sensor and a line; what of them is awaited, in virtual time."""

    def __init__(self, street: Street, index: int, place: Path) -> None:
        self.street = street
        self.index = index
        self.level = FULL  # that the lamp shows
        self.lit_ms = 0.0  # when it came to full
        self.seen = False  # is somebody within the sensor's range ...
        self.latched = False  # ... or was, since the node looked last?
        self.nvs = _Nvs()
        self.flash_path = str(place)
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._since = street.loop.time()
        self._waiting: asyncio.Future[None] | None = None
        self._began = self._ends = 0.0

    def begin(self, link: str) -> Coroutine[Any, Any, None]:
        """Power on: the node's concerns."""
        wanted: dict[str, object] = {
            "node_id": _name(self.index),
            "asset": "streetlight",
            "link": link,
            "position": list(PLACE),
            "profile": [[-720, FLOOR_PCT]],
        }
        if link == "udp":
            wanted["gateway"] = "192.0.2.1:5683"
        node = app.Node(cast(Any, self), settings.Settings(wanted), (0, _key(self.index)))
        return node.assemble().run()

    # What follows is what a node asks of its board.

    def monotonic_ms(self) -> int:
        return int((self.street.loop.time() - self._since) * 1000 + 1e-6)

    uptime_ms = monotonic_ms

    def street_ms(self, utc_ms: int) -> int:
        return utc_ms

    def random(self, count: int) -> bytes:
        return self.street.chance.randbytes(count)

    def framing(self, link: str) -> int:
        return {"udp": DATAGRAM, "rs485": BUS}[link]

    def reset_cause(self) -> int:
        return 1

    def rest(self, _node: object, _pins: object) -> None:
        return None

    def feed(self) -> None:
        pass

    booted = made = console = leave = lambda *_, **__: None

    def quiet(self) -> bool:
        return False

    def input(self, _pin: object) -> Pole:
        return self

    def value(self) -> int:
        return 1

    def latch(self, _pin: object) -> Pole:
        return self

    def take(self) -> bool:
        seen, self.latched = self.latched or self.seen, False
        return seen

    def show(self, level: int) -> None:
        if level >= FULL > self.level:
            self.lit_ms = self.street.now_ms()
        self.level = level

    async def open_line(self, _gateway: object, _baud: int, _pins: object) -> Pole:
        return self

    async def read(self) -> bytes:
        return await self.inbox.get()

    def write(self, data: bytes) -> Coroutine[Any, Any, None] | None:
        spent_s = self.street.line.up(self.index, data)
        return asyncio.sleep(spent_s) if spent_s else None

    def close(self) -> None:
        pass

    async def tick_wait(self, ms: float) -> None:
        """As a chip does: it looks at what an edge has left each LOOK_MS."""
        loop = self.street.loop
        self._began, self._ends = loop.time(), loop.time() + ms / 1000
        self._waiting = loop.create_future()
        timer = loop.call_at(self._ends, self._tick)
        await self._waiting
        timer.cancel()

    def _tick(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def feel(self, *, is_there: bool) -> None:
        """Somebody comes or goes."""
        self.seen = is_there
        if is_there:
            self.latched = True
            self.wake()

    def wake(self) -> None:
        """An interrupt, or another task: the chip's next look ends its wait."""
        waited_ms = (self.street.loop.time() - self._began) * 1000
        look = self._began + (waited_ms // LOOK_MS + 1) * LOOK_MS / 1000
        self.street.loop.call_at(min(look, self._ends), self._tick)


class _Nvs:
    """Blobs in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self._blobs.get(name)

    def set(self, name: str, blob: bytes) -> None:
        self._blobs[name] = blob


class Air:
    """UDP: each datagram is late by WAY_MS, and lost by chance."""

    kind = "udp"

    def __init__(self, street: Street) -> None:
        self._street = street
        self.frames = self.bytes = 0
        self._nodes: UdpNodes | None = None

    def sections(self, count: int) -> list[tuple[str, bool, int]]:
        """Of each node: its port, is that a bus, and its address there."""
        return [("udp", False, connection_id(index)) for index in range(count)]

    async def serve(self, links: Sequence[NodeLink]) -> None:
        """The gateway's side."""
        self._nodes = UdpNodes(Counters())
        for link in links:
            self._nodes.add(link)
        self._nodes.connection_made(cast(asyncio.BaseTransport, self))
        async with asyncio.TaskGroup() as tasks:
            for peer in self._nodes._peers:
                tasks.create_task(self._nodes._pump(peer))

    def up(self, index: int, data: bytes) -> float:
        """A node's datagram; it takes no time to write."""
        assert self._nodes is not None
        self._fly(WAY_MS, self._nodes.datagram_received, data, ("192.0.2.2", 1000 + index))
        return 0.0

    def sendto(self, data: bytes, addr: Address) -> None:
        """The gateway's datagram."""
        pole = self._street.poles[addr[1] - 1000]
        self._fly(WAY_MS + TURNAROUND_MS, pole.inbox.put_nowait, data)

    def _fly(self, late_ms: float, land: Callable[..., None], data: bytes, *more: object) -> None:
        self.frames += 1
        self.bytes += len(data)
        if self._street.chance.random() >= self._street.loss:
            self._street.loop.call_later(late_ms / 1000, land, data, *more)


class _Talk:
    """What one station says, from one time to another."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.spoilt = False


class Bus:
    """RS-485: bytes take their time, who talks into another spoils both, frames are lost by chance.

    Of lost frames half never come, and of half a bit is wrong. A node is not given what is for
    another node alone: it would drop it by its first two bytes.
    """

    kind = "rs485"

    def __init__(self, street: Street) -> None:
        self._street = street
        self.frames = self.bytes = 0
        self._talks: list[_Talk] = []
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()

    def sections(self, count: int) -> list[tuple[str, bool, int]]:
        """Of each node: its port, is that a bus, and its address there."""
        return [("/dev/ttyRS485", True, 1 + index) for index in range(count)]

    async def serve(self, links: Sequence[NodeLink]) -> None:
        """The gateway's side."""
        node = links[0].node
        way = Way(node.port, node.baud, bus=True)
        line = SharedLine(way, self._street.clock, Counters())
        for link in links:
            line.add(link, calls=True)
        await line._pump(cast(Port, self))

    async def read(self) -> bytes:
        """What the gateway hears."""
        return await self._heard.get()

    def write(self, data: bytes) -> None:
        """What the gateway says."""
        self._say(data, self._to_nodes)

    def up(self, _index: int, data: bytes) -> float:
        """A node's bytes; seconds until they are out."""
        return self._say(data, self._heard.put_nowait)

    def _say(self, data: bytes, land: Callable[[bytes], None]) -> float:
        loop, chance = self._street.loop, self._street.chance
        talk = _Talk(loop.time() + len(data) * BYTE_S)
        self._talks = [other for other in self._talks if other.ends > loop.time() + 1e-9]
        for other in self._talks:
            other.spoilt = talk.spoilt = True
        self._talks.append(talk)
        at = 0
        for part in data.split(b"\0")[:-1]:
            piece = part + b"\0"
            at += len(piece)
            self.frames += len(piece) > 1
            self.bytes += len(piece)
            if chance.random() < self._street.loss and len(piece) > 1:
                if chance.random() < 0.5:
                    continue
                bit = chance.randrange(8 * len(piece))
                flipped = int.from_bytes(piece, "big") ^ 1 << bit
                piece = flipped.to_bytes(len(piece), "big")
            loop.call_at(loop.time() + at * BYTE_S, self._arrive, talk, piece, land)
        return len(data) * BYTE_S

    def _arrive(self, talk: _Talk, piece: bytes, land: Callable[[bytes], None]) -> None:
        land(self._street.chance.randbytes(len(piece)) if talk.spoilt else piece)

    def _to_nodes(self, piece: bytes) -> None:
        deframer = cobs.Deframer()
        deframer.take(piece, 0)
        if deframer.length < 2:
            return
        to = deframer.frame()[1]
        poles = self._street.poles
        for pole in poles if to in (0, BUS_ALL) else poles[to - 1 : to]:
            self._street.loop.call_later(TURNAROUND_MS / 1000, pole.inbox.put_nowait, piece)


class _VirtualClock(Clock):
    """The gateway's clocks, which follow the loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    __slots__ = ("_loop",)

    def utc_ms(self) -> int:
        return EVENING_MS + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        return self.monotonic_us() // 1000

    def monotonic_us(self) -> int:
        return int(self._loop.time() * 1e6 + 1e-3)


class Street:
    """So many poles on one line, whose lamps follow who comes."""

    def __init__(self, count: int, line: type[Air | Bus], folder: Path, seed: int, loss: float):
        self.loop = asyncio.get_running_loop()
        self.chance = Random(seed)
        self.loss = loss
        self.clock = _VirtualClock(self.loop)
        self.line = line(self)
        self.poles = [Pole(self, index, folder / f"flash{index}") for index in range(count)]
        self.faults: list[str] = []
        section = Dimming(
            lamps=tuple(f"lamp-{index}" for index in range(count)),
            sensor_range_m=SENSOR_RANGE_M,
            spacing_m=SPACING_M,
            reach_m=REACH_M,
            hold_s=10,
            sensor_misses=0,
            slowest_mps=5.0,
        )
        plan = program.Plan((loops._corridor(section),), {})
        group = GroupCommit(Store.open(folder / "store.db"), GroupPolicy(), self.clock.utc_ms)
        self._loops = Loops(plan, self.clock, program.State(), group)
        self._arrived: asyncio.Queue[Arrival] = asyncio.Queue()
        self._links = {
            f"lamp-{index}": self._link(index, *section)
            for index, section in enumerate(self.line.sections(count))
        }
        self._wiring = wiring.streetlight
        wiring.streetlight = _wired  # type: ignore[assignment]
        self._tasks = [
            self.loop.create_task(each)
            for each in (
                self.line.serve(list(self._links.values())),
                self._loops.run(self._follow),
                self._agent(),
                *(pole.begin(self.line.kind) for pole in self.poles),
            )
        ]

    def now_ms(self) -> float:
        """The virtual time."""
        return self.loop.time() * 1000

    async def ready(self) -> bool:
        """Wait until all nodes have a session, the time, and their lamps at the floor."""
        for _ in range(120):
            await asyncio.sleep(1)
            if self.is_dark and all(link.session.up for link in self._links.values()):
                return True
        return False

    @property
    def is_dark(self) -> bool:
        """Are all lamps at the floor?"""
        return all(pole.level == 10 * FLOOR_PCT for pole in self.poles)

    async def appear(self, index: int, stay_s: float) -> dict[int, float]:
        """Somebody appears at a pole; ms from then to full light, by pole within REACH_M.

        Infinity for one that is dark two seconds later.
        """
        began_ms = self.now_ms()
        self.poles[index].feel(is_there=True)
        await asyncio.sleep(stay_s)
        self.poles[index].feel(is_there=False)
        await asyncio.sleep(max(0.0, 2.0 - stay_s))
        reach = int(REACH_M // SPACING_M)
        near = self.poles[max(0, index - reach) : index + reach + 1]
        spent = {p.index: p.lit_ms - began_ms for p in near}
        for _ in range(60):
            if self.is_dark:
                break
            await asyncio.sleep(0.5)
        return {n: ms if ms > 0 else float("inf") for n, ms in spent.items()}

    async def close(self) -> None:
        """End all tasks."""
        wiring.streetlight = self._wiring
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in ended:
            if isinstance(each, Exception):
                raise each

    def _follow(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if not self._links[command.asset].commands.send(command):
                self.faults.append(f"{command.asset} took no command")

    async def _agent(self) -> None:
        while True:
            arrival = await self._arrived.get()
            if isinstance(arrival, Reading):
                await asyncio.sleep(GATEWAY_MS / 1000)
                self._follow(self._loops.consider(arrival).commands)
                key = arrival.key
                link = self._links[arrival.asset]
                self.loop.call_later(DISK_MS / 1000, link.keep, key.epoch, key.number, key.number)

    def _link(self, index: int, port: str, is_bus: bool, address: int) -> NodeLink:  # noqa: FBT001
        async def keep(keys: NodeKeys) -> None:
            assert keys.generation >= 0

        name = _name(index)
        node = Section(name, f"lamp-{index}", "streetlight", Path("/dev/null"), port, bus=is_bus)
        return NodeLink(
            node,
            NodeKeys(0, _key(index), None),
            Past(),
            self.clock,
            Counters(),
            keep_keys=keep,
            arrive=self._arrived.put,
            address=address,
        )


def _wired(pole: Pole) -> LampHead:
    return LampHead(pole, motion=Motion(cast(Any, pole), warm_s=0))


def _name(index: int) -> str:
    return f"sl-{index:02}"


def _key(index: int) -> bytes:
    return bytes([1 + index] * 16)


async def measured(
    line: type[Air | Bus], count: int, appearances: int, seed: int, loss: float = LOSS
) -> tuple[list[float], list[float]]:
    """ms from motion to full light: of the poles that saw it, and of their neighbours."""
    own: list[float] = []
    others: list[float] = []
    chance = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        street = Street(count, line, Path(folder), seed, loss)
        try:
            assert await street.ready()
            for _ in range(appearances):
                await asyncio.sleep(chance.uniform(0.5, 1.5))
                at = chance.randrange(count)
                spent = await street.appear(at, chance.uniform(0.8, 1.8))
                own.append(spent.pop(at))
                others += spent.values()
        finally:
            with suppress(asyncio.CancelledError):
                await street.close()
    return own, others


async def once(
    line: type[Air | Bus], count: int, index: int, *, loss_then: float
) -> dict[int, float]:
    """ms to full light by pole, of one who appears where from now on so many frames are lost."""
    with tempfile.TemporaryDirectory() as folder:
        street = Street(count, line, Path(folder), 1, 0.0)
        try:
            assert await street.ready()
            street.loss = loss_then
            return await street.appear(index, 1.0)
        finally:
            with suppress(asyncio.CancelledError):
                await street.close()
