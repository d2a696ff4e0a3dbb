"""A campaign over the wire's own sessions in virtual time: real frames, real signatures, a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kerbline.agent.fleet.update_links import Links, whole_parts
from kerbline.agent.fleet.updates import Updates
from kerbline.bundle import Bundle, load, loads, parts
from kerbline.config import Config, Gateway, Node, Udp
from kerbline.config.firmware import Firmware
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.model import Reading
from kerbline.sim.virtual_time import VirtualLoop
from kerbline.south.arrivals import Carried, Obeyed, Runs
from kerbline.south.nodes import Nodes
from kerbline.store import Span, Store
from kerbline.update.campaign import Campaign, Course, Run
from kerbline.update.journal import Journal
from kerbline.update.plan import Member, Plan, in_order
from kerbline.update.roots import Roots
from kerbline.update.states import State
from kerbwire.limits import DATAGRAM
from tests.field import releases
from tests.gateway.test_update import NEW_FILES, OLD_FILES
from tests.gateway.updating_node import UpdatingNode
from tests.scenarios.update_fleet import LoopClock, inline, until

KEY = bytes(range(16))
GATEWAY = ("127.0.0.1", 5683)
DAY_S = 86_400.0


class Net(VirtualLoop):
    """A loop whose datagrams go through the air of this process: late, and now and then lost."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = Random(5)
        self.loss = 0.02
        self._sides: dict[tuple[str, int], Side] = {}

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """At once: in virtual time a thread would have for ever."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], local_addr: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        """A side of it, at an address of its own."""
        address = local_addr or ("10.0.0.1", len(self._sides))
        protocol = protocol_factory()
        side = Side(self, address, protocol)
        self._sides[address] = side
        protocol.connection_made(side)
        return side, protocol

    def carry(self, data: bytes, there: tuple[str, int], here: tuple[str, int]) -> None:
        """A datagram on its way."""
        if self.chance.random() >= self.loss:
            self.call_later(0.02, self._arrives, data, there, here)

    def _arrives(self, data: bytes, there: tuple[str, int], here: tuple[str, int]) -> None:
        side = self._sides.get(there)
        if side is not None:
            side.protocol.datagram_received(data, here)

    def gone(self, address: tuple[str, int]) -> None:
        """Nobody is there any more."""
        self._sides.pop(address, None)


class Side(asyncio.DatagramTransport):
    """One end."""

    def __init__(self, net: Net, address: tuple[str, int], protocol: Any) -> None:
        super().__init__({"sockname": address})
        self.protocol = protocol
        self._net = net
        self._address = address

    def sendto(self, data: Any, addr: Any = None) -> None:
        """To the gateway, where nobody is named."""
        self._net.carry(bytes(data), addr or GATEWAY, self._address)

    def close(self) -> None:
        """It is over."""
        self._net.gone(self._address)


class Air(asyncio.DatagramProtocol):
    """A node's end."""

    def __init__(self, node: UpdatingNode) -> None:
        self._node = node

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may send."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the gateway."""
        self._node.receive(data)


class Served:
    """One life of the gateway: its nodes' side and its campaign; what comes is kept at once."""

    def __init__(self, config: Config, number: int) -> None:
        self.clock = LoopClock()
        folder = config.gateway.state_dir
        self.store = Store.open(folder / f"store-{number}.db")
        self.nodes = Nodes(config, KeyRing(folder / "keys"), self.clock, Counters())
        self.nodes.prepare(self.store)
        assert config.firmware is not None
        links = Links(self.nodes, config.firmware)
        self.updates = Updates(Journal(folder), links, self.clock, whole_parts, inline)
        self.updates.resume(Roots(releases.key().root))
        serving = (self.nodes.run(), self.updates.run(), self._take())
        self.tasks = [asyncio.ensure_future(each) for each in serving]

    async def _take(self) -> None:
        while True:
            match await self.nodes.next():
                case Reading() as reading:
                    self.updates.consider(reading)
                    key = reading.key
                    self.nodes.keep([Span(key.source, key.epoch, key.number, key.number)])
                case Runs() | Carried() | Obeyed() as word:
                    self.updates.hear(word)

    async def kill(self) -> None:
        """As by SIGKILL."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        self.store.close()

    @property
    def over(self) -> bool:
        campaign = self.updates.campaign
        return campaign is not None and campaign.course.run is not Run.RUNNING


def made(folder: Path, count: int) -> tuple[Bundle, Bundle, Config]:
    """The releases and the config."""
    root = releases.key().root
    (folder / "old.kerb").write_bytes(releases.signed(sequence=7, files=OLD_FILES))
    old = load(folder / "old.kerb", root)
    bare = loads(releases.unsigned(sequence=8, files=NEW_FILES), "new", None)
    delta = parts.made(bare.manifest_bytes, bare.object, old.manifest_bytes, old.object)
    path = folder / "new.kerb"
    path.write_bytes(releases.signed(sequence=8, files=NEW_FILES, patches=((old, delta),)))
    (folder / "release.pub").write_text(root.text)
    key_file = folder / "node.key"
    key_file.write_text(KEY.hex())
    key_file.chmod(0o600)
    names = [f"sl-{number:04}" for number in range(count)]
    nodes = tuple(Node(name, f"lamp-{name}", "streetlight", key_file, "udp") for name in names)
    firmware = Firmware(folder / "release.pub")
    udp = Udp(f"{GATEWAY[0]}:{GATEWAY[1]}")
    config = Config(Gateway("gw", folder), firmware=firmware, udp=udp, nodes=nodes)
    return old, load(path, root), config


async def campaign(folder: Path, count: int) -> list[UpdatingNode]:
    old, new, config = made(folder, count)
    root, now_ms = releases.key().root, LoopClock().monotonic_ms
    loop = asyncio.get_running_loop()
    nodes = []
    pumps = []
    for node in config.nodes:
        one = UpdatingNode(
            node.id,
            KEY,
            root.hss,
            framing=DATAGRAM,
            manifest=old.manifest_bytes,
            objects=old.objects,
            now_ms=now_ms,
        )
        nodes.append(one)
        side, _ = await loop.create_datagram_endpoint(lambda one=one: Air(one))  # type: ignore[misc]
        pumps.append(asyncio.ensure_future(one.run(side.sendto)))
    gateway = Served(config, 0)
    await until(lambda: all(node.session.up for node in nodes), DAY_S, 1.0)
    members = [Member(node.id, "udp", f"street-{at % 50}") for at, node in enumerate(config.nodes)]
    plan = Plan(
        version="0.1.0",
        build=new.build,
        board=new.about.board,
        sequence=8,
        began_ms=gateway.clock.utc_ms(),
        members=tuple(in_order(members, new.build, lambda _: True)),
        soak_min=1,
    )
    gateway.updates.journal.take(folder / "new.kerb")
    gateway.updates.begin(gateway.updates.journal.begin(plan, Course()), new)
    await until(lambda: sum(bool(node.starts) for node in nodes) > count // 2, DAY_S, 0.5)
    await gateway.kill()
    await asyncio.sleep(5)
    gateway = Served(config, 1)
    await until(lambda: gateway.over, DAY_S, 1.0)
    assert gateway.updates.campaign is not None
    assert gateway.updates.campaign.fleet.count(State.DONE) == count
    assert all(node.good == new.manifest_bytes for node in nodes)
    await gateway.kill()
    for pump in pumps:
        pump.cancel()
    return nodes


class Cut(UpdatingNode):
    """A node whose line dies when it starts a release, the first `cuts` times."""

    net: Net
    cuts = 0

    def _start(self) -> None:
        if len(self.starts) < self.cuts:
            self.net.loss = 1.0
        super()._start()

    def _back(self, value: int) -> None:
        super()._back(value)
        asyncio.get_running_loop().call_later(30, self._mended)

    def _mended(self) -> None:
        self.net.loss = 0.0


async def alone(folder: Path, cuts: int) -> tuple[Cut, Campaign]:
    """One node on its line, which dies in so many of its trials; nothing but silence tells."""
    old, new, config = made(folder, 1)
    net = asyncio.get_running_loop()
    assert isinstance(net, Net)
    net.loss = 0.0
    node = Cut(
        config.nodes[0].id,
        KEY,
        releases.key().root.hss,
        framing=DATAGRAM,
        manifest=old.manifest_bytes,
        objects=old.objects,
        now_ms=LoopClock().monotonic_ms,
    )
    node.net, node.cuts = net, cuts
    side, _ = await net.create_datagram_endpoint(lambda: Air(node))
    pump = asyncio.ensure_future(node.run(side.sendto))
    gateway = Served(config, 0)
    await until(lambda: node.session.up, DAY_S, 1.0)
    gateway.updates.journal.take(folder / "new.kerb")
    about = new.about
    plan = Plan(about.version, new.build, about.board, 8, 0, (Member(config.nodes[0].id, "udp"),))
    await gateway.updates.start(plan, Course(), new)
    await until(lambda: gateway.over, DAY_S, 1.0)
    assert gateway.updates.campaign is not None
    await gateway.kill()
    pump.cancel()
    return node, gateway.updates.campaign


@pytest.mark.parametrize(("cuts", "starts", "run"), [(1, 2, Run.ENDED), (2, 2, Run.STOPPED)])
def test_a_lone_node_whose_line_dies_in_its_trial_has_one_more(
    tmp_path: Path, cuts: int, starts: int, run: Run
) -> None:
    with asyncio.Runner(loop_factory=Net) as runner:
        node, campaign = runner.run(alone(tmp_path, cuts))
    assert (len(node.starts), campaign.course.run) == (starts, run)


def went(folder: Path, count: int) -> list[UpdatingNode]:
    with asyncio.Runner(loop_factory=Net) as runner:
        return runner.run(campaign(folder, count))


def test_thirty_nodes_over_the_wire_and_a_kill(tmp_path: Path) -> None:
    nodes = went(tmp_path, 30)
    assert sorted({len(node.starts) for node in nodes}) in ([1], [1, 2])


@pytest.mark.nightly
def test_a_thousand_nodes_over_the_wire_and_a_kill(tmp_path: Path) -> None:
    nodes = went(tmp_path, 1_000)
    assert sum(len(node.starts) for node in nodes) <= 1_040
