"""The nodes' side of the gateway over real sockets: what arrives, what never may."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.clock import Clock
from kerbline.config import Config, Gateway, Node, Udp
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.model import Command, Gap, NodeState, Reading
from kerbline.north.mapping import Mapper
from kerbline.north.topics import Topics
from kerbline.south import schemas
from kerbline.south.arrivals import Anchored, Answered, Arrival, Joined, Noted
from kerbline.south.nodes import Nodes
from kerbline.store import Notes, Span, Store
from kerbwire.limits import SCHEMAS, STREAM
from kerbwire.messages import DIAG_BOARD, DIAG_BUILD, DIAG_WIRE, OBJECT_LOG, OK, OUT_OF_RANGE
from kerbwire.polled import PolledNode
from kerbwire.schema import Field, Schema
from tests.gateway.pocket_node import DATAGRAM, PocketNode, connect_udp, now_ms, serve_tcp

KEY = bytes(range(16))
VALUES = (30, 245, 1000, 10, 12, 0)
LONG_S = 60.0


class ToldCounters(Counters):
    """Says when something was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = asyncio.Event()

    def count(self, kind: str, times: int = 1) -> None:
        super().count(kind, times)
        self.counted.set()


def free_udp_port() -> int:
    """Below those that the kernel gives to whoever asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def config_for(folder: Path, port: str, udp: int | None = None) -> Config:
    key_file = folder / "sl-1.key"
    key_file.write_text(KEY.hex())
    key_file.chmod(0o600)
    node = Node("sl-1", "lamp-1", "streetlight", key_file, port)
    listen = None if udp is None else Udp(f"127.0.0.1:{udp}")
    return Config(Gateway("gw", folder / "state"), udp=listen, nodes=(node,))


@asynccontextmanager
async def serving(folder: Path, config: Config) -> AsyncIterator[tuple[Nodes, ToldCounters]]:
    counters = ToldCounters()
    nodes = Nodes(config, KeyRing(folder / "ring"), Clock(), counters)
    store = Store.open(folder / "s.db")
    nodes.prepare(store)
    task = asyncio.create_task(nodes.run())
    try:
        yield nodes, counters
    finally:
        task.cancel()
        await asyncio.wait([task])
        store.close()


async def arrivals(nodes: Nodes, enough: Callable[[list[Arrival]], bool]) -> list[Arrival]:
    taken: list[Arrival] = []
    async with asyncio.timeout(LONG_S):
        while not enough(taken):
            taken.append(await nodes.next())
    return taken


def readings(taken: list[Arrival]) -> list[Reading]:
    return [one for one in taken if isinstance(one, Reading)]


def of_kind(kind: type) -> Callable[[list[Arrival]], bool]:
    return lambda taken: any(isinstance(one, kind) for one in taken)


async def over_tcp(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    for level in range(20):
        node.make(level, *VALUES[1:])
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        nodes, counters = made
        taken = readings(await arrivals(nodes, lambda t: len(readings(t)) == 20))
        assert sorted(r.key.number for r in taken) == list(range(1, 21))
        assert {r.values["level_pct"] for r in taken} == set(range(20))
        assert taken[0].values["power_w"] == 24.5
        assert taken[0].asset == "lamp-1"
        assert len(node.records) == 20  # seen, not kept: nothing may be deleted
        nodes.keep([Span("sl-1", 7, 1, 20), Span("gw", 1, 1, 5)])
        async with asyncio.timeout(LONG_S):
            await node.drained.wait()
        assert counters.totals() == {}


def test_records_arrive_once_and_go_when_they_are_kept(tmp_path: Path) -> None:
    asyncio.run(over_tcp(tmp_path))


async def state(nodes: Nodes, fits: Callable[[NodeState], bool]) -> NodeState:
    async with asyncio.timeout(LONG_S):
        while not fits(nodes.states()[0]):  # noqa: ASYNC110 - it is looked at, as the agent does
            await asyncio.sleep(0.01)
    return nodes.states()[0]


async def present(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        nodes, _ = made
        (before,) = nodes.states()
        assert (before.online, before.since_ms, before.board) == (False, None, "")
        began_ms = Clock().utc_ms()
        node.make(*VALUES)
        await arrivals(nodes, of_kind(Reading))  # so both ends have their session
        node.session.send_diag({DIAG_BOARD: b"esp32", DIAG_BUILD: b"\x00\xffab", DIAG_WIRE: 1})
        node.changed.set()
        there = await state(nodes, lambda state: bool(state.build))
        info = node.session.info.firmware
        assert there.online and there.since_ms is not None and there.since_ms >= began_ms
        assert there.firmware == f"{info >> 16}.{info >> 8 & 255}.{info & 255}"
        assert (there.node, there.asset, there.kind) == ("sl-1", "lamp-1", "streetlight")
        assert (there.board, there.build) == ("esp32", "00ff6162")
        server.close()
        assert node.line is not None
        node.line.close()
        gone = await state(nodes, lambda state: not state.online)
        assert (gone.board, gone.firmware) == (there.board, there.firmware)


def test_a_node_is_online_while_its_session_is_heard_and_its_line_is_open(tmp_path: Path) -> None:
    asyncio.run(present(tmp_path))


async def commanded(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        nodes, _ = made
        expires_ms = Clock().utc_ms() + 60_000
        command = Command("c1", "lamp-1", "set_level", {"level_pct": 80}, expires_ms, "mqtt")
        assert not nodes.send(command)  # no session yet
        await arrivals(nodes, of_kind(Joined))
        assert nodes.send(command)
        assert not nodes.send(Command("c2", "lamp-9", "release", {}, expires_ms, "mqtt"))
        taken = await arrivals(nodes, of_kind(Answered))
        assert taken[-1] == Answered("c1", "lamp-1", "")
        ((number, *order),) = node.commands
        assert isinstance(number, int)
        assert order == [expires_ms // 1000, 1, (80, 0, 0)]
        node.answer = OUT_OF_RANGE
        assert nodes.send(Command("c3", "lamp-1", "release", {}, expires_ms, "mqtt"))
        taken = await arrivals(nodes, of_kind(Answered))
        assert taken[-1] == Answered("c3", "lamp-1", "out_of_range")
        assert node.commands[-1][0] == number + 1


def test_a_command_reaches_its_node_and_is_answered(tmp_path: Path) -> None:
    asyncio.run(commanded(tmp_path))


class Recalling(PocketNode):
    """Refuses what it is told, and remembers it as a node does: a repeat gets the first answer."""

    def __init__(self) -> None:
        super().__init__("sl-1", KEY)
        self.executed: list[int] = []  # expiries, which tell the orders apart
        self.refuses = True

    def pump(self, write: Callable[[bytes], None]) -> float:
        known = {number for number, *_ in self.commands}
        before = len(self.commands)
        self.answer = OUT_OF_RANGE if self.refuses else OK
        wait_s = super().pump(write)
        for number, expires_s, *_ in self.commands[before:]:
            if not self.refuses and number not in known:
                self.executed.append(expires_s)
                self.session.info.command_id = max(self.session.info.command_id, number)
        return wait_s


async def renumbered(folder: Path) -> None:
    """A power cut takes all that a gateway knew of its numbers: it has a state folder no more."""
    node = Recalling()
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    expires_ms = Clock().utc_ms() + 60_000
    sent: list[int] = []
    async with server:
        for life in range(4):
            (folder / str(life)).mkdir()
            config = config_for(folder / str(life), f"socket://127.0.0.1:{port}")
            node.begin_again()
            async with serving(folder / str(life), config) as (nodes, _):
                await arrivals(nodes, of_kind(Joined))
                for number in range(3):
                    # The last are answered, and in no INFO; of one life all.
                    node.refuses = number > 0 or life == 1
                    expires_ms += 1_000
                    command = Command(f"{life}-{number}", "lamp-1", "release", {}, expires_ms, "")
                    sent += [] if node.refuses else [expires_ms // 1000]
                    assert nodes.send(command)
                    taken = await arrivals(nodes, of_kind(Answered))
                    said = "out_of_range" if node.refuses else ""
                    assert taken[-1] == Answered(command.id, "lamp-1", said)
    numbers = [number for number, *_ in node.commands]
    assert len(set(numbers)) == len(numbers) == 12, "none is given to two orders"
    assert node.executed == sent


def test_a_gateway_that_knows_nothing_gives_no_number_again(tmp_path: Path) -> None:
    asyncio.run(renumbered(tmp_path))


class DeafNode(PocketNode):
    """Hears nothing any more once it is `deaf`."""

    deaf = False

    def receive(self, data: bytes) -> None:
        if not self.deaf:
            super().receive(data)


async def expired(folder: Path) -> None:
    node = DeafNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        nodes, _ = made
        await arrivals(nodes, of_kind(Joined))
        soon_ms = Clock().utc_ms() + 60_000
        assert nodes.send(Command("c0", "lamp-1", "release", {}, soon_ms, "mqtt"))
        await arrivals(nodes, of_kind(Answered))
        node.deaf = True  # now that it has nothing more to say
        expires_ms = Clock().utc_ms() + 500
        assert nodes.send(Command("c1", "lamp-1", "release", {}, expires_ms, "mqtt"))
        taken = await arrivals(nodes, of_kind(Answered))  # though not a byte comes
        assert taken[-1] == Answered("c1", "lamp-1", "expired")


def test_a_command_that_nobody_answers_expires_in_time(tmp_path: Path) -> None:
    asyncio.run(expired(tmp_path))


async def line_lost(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as (nodes, _):
        node.make(*VALUES)
        await arrivals(nodes, of_kind(Reading))
        server.close()
        for sock in server.sockets:
            sock.close()
        node.session.failed(0)
        node.make(*VALUES)
        second = await serve_tcp(node, port)
        async with second:
            taken = readings(await arrivals(nodes, lambda t: len(readings(t)) > 0))
        assert taken[0].key.number == 2


def test_a_line_that_was_lost_is_found_again(tmp_path: Path) -> None:
    asyncio.run(line_lost(tmp_path))


async def over_udp(folder: Path) -> None:
    port = free_udp_port()
    node = PocketNode("sl-1", KEY, framing=DATAGRAM)
    async with serving(folder, config_for(folder, "udp", port)) as (nodes, counters):
        transport, pumping = await connect_udp(node, port)
        node.make(*VALUES)
        taken = await arrivals(nodes, of_kind(Reading))
        assert readings(taken)[0].values["level_pct"] == 30
        # The node's address changes (a NAT, a DHCP lease): its next frame moves the session.
        pumping.cancel()
        transport.close()
        transport, pumping = await connect_udp(node, port)
        node.make(*VALUES)
        taken = await arrivals(nodes, of_kind(Reading))
        assert readings(taken)[0].key.number == 2
        assert not any(isinstance(one, Joined) for one in taken)  # the same session
        nodes.keep([Span("sl-1", 7, 1, 2)])
        async with asyncio.timeout(LONG_S):
            await node.drained.wait()
        pumping.cancel()
        transport.close()
        assert counters.totals() == {}


def test_a_node_on_udp_may_move(tmp_path: Path) -> None:
    asyncio.run(over_udp(tmp_path))


async def strangers(folder: Path) -> None:
    port = free_udp_port()
    unknown = PocketNode("sl-9", KEY, framing=DATAGRAM)
    liar = PocketNode("sl-1", bytes(16), framing=DATAGRAM)
    async with serving(folder, config_for(folder, "udp", port)) as (nodes, counters):
        opened = [await connect_udp(node, port) for node in (unknown, liar)]
        raw = opened[0][0]
        for noise in (b"\x00", bytes(20), bytes(300), b"\x54\x01" + bytes(20), b"\x53\x00\x05abc"):
            raw.sendto(noise)
        kinds = {"nodes.unknown_node", "nodes.mac", "nodes.layout", "nodes.short", "nodes.long"}
        async with asyncio.timeout(LONG_S):
            while not kinds <= counters.totals().keys():
                await counters.counted.wait()
                counters.counted.clear()
        for transport, pumping in opened:
            pumping.cancel()
            transport.close()
        assert not unknown.session.up and not liar.session.up
        assert nodes._arrived.empty()  # nothing of it went any further


def test_strangers_and_noise_are_counted_and_go_nowhere(tmp_path: Path) -> None:
    asyncio.run(strangers(tmp_path))


async def lost_store(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    node.session.info.first_rseq = 5  # 1 to 4 were kept by a store that is gone
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    config = config_for(folder, f"socket://127.0.0.1:{port}")
    async with server, serving(folder, config) as (nodes, _):
        taken = await arrivals(nodes, of_kind(Gap))
    gap = next(one for one in taken if isinstance(one, Gap))
    assert (gap.epoch, gap.first, gap.last, gap.reason) == (7, 1, 4, "store_lost")


def test_what_went_with_a_store_is_declared(tmp_path: Path) -> None:
    asyncio.run(lost_store(tmp_path))


async def lost_log(folder: Path) -> None:
    config = config_for(folder, "socket://127.0.0.1:1")
    for epoch in (7, 8):
        node = PocketNode("sl-1", KEY, epoch=epoch)
        server = await serve_tcp(node)
        port = server.sockets[0].getsockname()[1]
        config = config_for(folder, f"socket://127.0.0.1:{port}")
        folder.joinpath("ring", "sl-1.json").unlink(missing_ok=True)
        node.make(*VALUES)
        async with server, serving(folder, config) as (nodes, _):
            taken = await arrivals(nodes, of_kind(Reading))
        store = Store.open(folder / "s.db")
        store.append(readings(taken), 0)
        store.close()
        gaps = [one for one in taken if isinstance(one, Gap)]
        if epoch == 7:
            assert gaps == []
        else:
            assert [(g.epoch, g.first, g.last, g.reason) for g in gaps] == [
                (7, 1, None, "log_lost")
            ]


def test_a_lost_log_is_declared_by_the_gateway(tmp_path: Path) -> None:
    asyncio.run(lost_log(tmp_path))


async def configured(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    node.session.info.config_version = 4
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    config = config_for(folder, f"socket://127.0.0.1:{port}")
    asked = replace(config.nodes[0], report_s=60, profile=((-720, 100), (0, 30)))
    values: dict[int, int | bytes] = {1: 60, 2: bytes((0, 0, 100, 2, 208, 30))}
    steps: tuple[tuple[Node, tuple[int, dict[int, int | bytes]] | None], ...]
    steps = ((asked, (5, values)), (asked, None), (config.nodes[0], (6, {})))
    async with server:
        for wish, due in steps:
            folder.joinpath("ring", "sl-1.json").unlink(missing_ok=True)
            node.configs.clear()
            node.begin_again()
            async with serving(folder, replace(config, nodes=(wish,))) as (nodes, _):
                taken = await arrivals(nodes, of_kind(Noted if due else Joined))
                noted = [one for one in taken if isinstance(one, Noted)]
            assert node.configs == ([due] if due else [])
            store = Store.open(folder / "s.db")
            notes = Notes(memories={(one.rule, one.name): one.body for one in noted})
            store.append([], 0, notes)
            store.close()


def test_a_node_gets_its_config_once(tmp_path: Path) -> None:
    asyncio.run(configured(tmp_path))


DEPTH = Schema(1, "streetlight", 99, (Field("depth_mm", 1, "MMT"), Field("status", 0, "E48")))


async def taught(folder: Path) -> None:
    node = PocketNode("sl-1", KEY, schema=DEPTH)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    config = config_for(folder, f"socket://127.0.0.1:{port}")
    async with server:
        for number in (1, 2):
            folder.joinpath("ring", "sl-1.json").unlink(missing_ok=True)
            node.begin_again()
            node.make(245, number)
            async with serving(folder, config) as (nodes, counters):
                taken = await arrivals(nodes, of_kind(Reading))
                assert number == 1 or not counters.totals()  # known for ever
            assert readings(taken)[-1].kind == "streetlight"
            assert readings(taken)[-1].values == {"depth_mm": 24.5, "status": number}
            noted = [one for one in taken if isinstance(one, Noted)]
            assert [(n.rule, n.body) for n in noted] == [("schema", DEPTH.encode().hex())][
                number - 1 :
            ]
            store = Store.open(folder / "s.db")
            notes = Notes(memories={(one.rule, one.name): one.body for one in noted})
            store.append(readings(taken), 0, notes)
            store.close()


def test_a_node_teaches_its_schema_once(tmp_path: Path) -> None:
    asyncio.run(taught(tmp_path))


async def taught_ever_more(folder: Path) -> None:
    """A firmware in each boot of which the reports are in another schema."""
    many = [Schema(1, "streetlight", 100 + n, DEPTH.fields) for n in range(SCHEMAS + 3)]
    node = PocketNode("sl-1", KEY, schema=many[0])
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    config = config_for(folder, f"socket://127.0.0.1:{port}")
    async with server, serving(folder, config) as (nodes, _):
        for number, schema in enumerate(many):
            if number:
                node.teach(schema)
            node.make(245, number)
            taken = await arrivals(nodes, of_kind(Reading))
            assert readings(taken)[-1].values == {"depth_mm": 24.5, "status": number}
            noted = [one for one in taken if isinstance(one, Noted)]
            assert [one.name for one in noted] == ["sl-1"]  # one row of the store
            versions = [s.version for s in schemas.known(noted[-1].body).values()]
            assert [v for v in versions if v > 99] == [*range(100, 101 + number)][-SCHEMAS:]
            nodes.keep([Span("sl-1", 7, 1, number + 1)])
            async with asyncio.timeout(LONG_S):
                await node.drained.wait()
    node.teach(Schema(2, "water_meter", 99, DEPTH.fields))
    async with await serve_tcp(node, port), serving(folder, config) as (nodes, counters):
        node.make(245, 1)
        await arrivals(nodes, of_kind(Joined))
        async with asyncio.timeout(LONG_S):
            while counters.totals().get("nodes.schema", 0) < 2:  # the report, then the schema
                counters.counted.clear()
                await counters.counted.wait()
        assert node.records


def test_a_node_teaches_a_few_schemas_of_its_class_and_no_more(tmp_path: Path) -> None:
    asyncio.run(taught_ever_more(tmp_path))


class Refusals(logging.Handler):
    """The errors that the nodes' side logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []
        self.both = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
        if len(self.told) == 2:
            self.both.set()


async def full_disk(folder: Path) -> list[str]:
    refusals = Refusals()
    logging.getLogger("kerbline.south").addHandler(refusals)
    ring = folder / "ring"
    node, other = PocketNode("sl-1", KEY), PocketNode("sl-2", KEY, framing=DATAGRAM)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    udp = free_udp_port()
    config = config_for(folder, f"socket://127.0.0.1:{port}", udp)
    second = replace(config.nodes[0], id="sl-2", asset="lamp-2", port="udp")
    config = replace(config, nodes=(*config.nodes, second))
    async with server, serving(folder, config) as (nodes, _):
        ring.write_text("in the way")
        transport, task = await connect_udp(other, udp)
        async with asyncio.timeout(LONG_S):
            await refusals.both.wait()
        assert not node.session.up and not other.session.up
        ring.unlink()  # room again
        taken = await arrivals(nodes, lambda t: len([a for a in t if isinstance(a, Joined)]) == 2)
        assert {a.node for a in taken if isinstance(a, Joined)} == {"sl-1", "sl-2"}
        task.cancel()
        transport.close()
    logging.getLogger("kerbline.south").removeHandler(refusals)
    return refusals.told


def test_a_disk_that_takes_no_key_costs_sessions_only(tmp_path: Path) -> None:
    told = sorted(asyncio.run(full_disk(tmp_path)))  # each once, by name
    for text, node_id in zip(told, ("sl-1", "sl-2"), strict=True):
        path = tmp_path / "ring" / f"{node_id}.json"
        refused = "no session until its key can be kept"
        assert text == f"node {node_id}: {refused}: {path}: can't be written: Not a directory"


async def anchored(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        nodes, _ = made
        await arrivals(nodes, of_kind(Joined))
        node.anchors.append((1, 11, 120, (250, 843_315_200, 7, 5)))
        node.changed.set()
        taken = await arrivals(nodes, of_kind(Reading))
    anchor = next(one for one in taken if isinstance(one, Anchored)).anchor
    at_ms = 1000 * (843_315_200 + 946_684_800) + 7
    assert (anchor.street_ms, anchor.uncertainty_ms) == (at_ms - 120_250 + 500, 505)
    reading = readings(taken)[0]
    assert (reading.kind, reading.key.number, reading.observed_at_ms) == ("anchor", 1, at_ms)
    assert reading.values == {"boot": 11, "uptime_ms": 120_250, "utc_ms": at_ms}
    assert Mapper(Topics("kerbline", "gw")).outgoing([reading]) == []  # nobody's but ours


def test_an_anchor_is_kept_and_dates_its_boot(tmp_path: Path) -> None:
    asyncio.run(anchored(tmp_path))


async def refused(folder: Path) -> None:
    node = PocketNode("sl-1", KEY)
    server = await serve_tcp(node)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(folder, config_for(folder, f"socket://127.0.0.1:{port}")) as made:
        await arrivals(made[0], of_kind(Joined))
        node.session.objects.offer(1, OBJECT_LOG, bytes(32), 100, 50)
        node.changed.set()
        async with asyncio.timeout(LONG_S):
            await node.ended.wait()
        assert node.session.objects.deadline() is None


def test_an_object_that_nobody_wants_is_refused(tmp_path: Path) -> None:
    asyncio.run(refused(tmp_path))


async def refused_on_a_bus(folder: Path) -> list[str]:
    nodes_here = [PocketNode("sl-1", KEY), PocketNode("sl-2", KEY)]
    for node in nodes_here:
        node.session = PolledNode(node.name, 0, KEY, node.session.info, os.urandom)
        node.session.start(now_ms())
        node.make(*VALUES)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(256):
            for node in nodes_here:
                node.receive(data)
                node.pump(writer.write)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = config_for(folder, f"socket://127.0.0.1:{port}")
    first = replace(config.nodes[0], bus=True)
    second = replace(first, id="sl-2", asset="lamp-2")
    (folder / "ring" / "sl-1.new").mkdir(parents=True)  # where its key would be drafted
    async with server, serving(folder, replace(config, nodes=(first, second))) as (nodes, _):
        taken = await arrivals(nodes, of_kind(Reading))
        assert not nodes_here[0].session.up
        (folder / "ring" / "sl-1.new").rmdir()
        taken += await arrivals(nodes, of_kind(Reading))
    return [reading.key.source for reading in readings(taken)]


def test_a_key_that_is_refused_holds_up_no_other_node_of_its_bus(tmp_path: Path) -> None:
    assert asyncio.run(refused_on_a_bus(tmp_path)) == ["sl-2", "sl-1"]


async def let_go(folder: Path, framing: int) -> tuple[list[int], list[int]]:
    node = PocketNode("sl-1", KEY, framing=framing)
    server = await serve_tcp(node)
    tcp, udp = server.sockets[0].getsockname()[1], free_udp_port()
    port = "udp" if framing == DATAGRAM else f"socket://127.0.0.1:{tcp}"
    async with server, serving(folder, config_for(folder, port, udp)) as (nodes, _):
        if framing == DATAGRAM:
            transport, task = await connect_udp(node, udp)
        for number in range(1, 8):
            node.make(30, 245, number, 10, 12, 0, number)
        first = await arrivals(nodes, lambda taken: len(readings(taken)) == 7)
        nodes.keep([Span("sl-1", 7, 1, 2)])
        nodes.ask_again(["sl-1", "gw-1"])  # the rest is gone here
        again = await arrivals(nodes, lambda taken: len(readings(taken)) == 5)
        nodes.keep([Span("sl-1", 7, 1, 7)])
        async with asyncio.timeout(LONG_S):
            await node.drained.wait()
        if framing == DATAGRAM:
            task.cancel()
            transport.close()
    return [each.key.number for each in readings(first)], [
        each.key.number for each in readings(again)
    ]


@pytest.mark.parametrize("framing", [STREAM, DATAGRAM])
def test_what_was_let_go_before_it_was_durable_is_asked_for_again(
    framing: int, tmp_path: Path
) -> None:
    first, again = asyncio.run(let_go(tmp_path, framing))
    assert (first, sorted(again)) == ([1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7])
