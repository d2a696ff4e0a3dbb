"""What a household measures stays: no byte of it leaves by a sink that gets zones alone."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.agent.city import sinks
from kerbline.agent.figures import Figures
from kerbline.agent.records import Records
from kerbline.assets import Asset, Registry, registry
from kerbline.assets.asset import Location
from kerbline.clock import ManualClock
from kerbline.config import Config, ConfigFault, load
from kerbline.control import kpi
from kerbline.counters import Counters
from kerbline.demo.stage import free_port
from kerbline.model import Alarm, Entry, Gap, Key, NodeState, Reading, Severity, Value
from kerbline.north.ngsi_ld import models
from kerbline.north.privacy import Door, Privacy
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.ngsi_ld import Standin
from kerbline.store import Batch, Committed, GroupCommit, GroupPolicy, Store, replay
from tests import steady
from tests.gateway.test_zone_water import HOUR, House, daily

T0_MS = 1_790_000_000_000
HOUR_MS = 3_600_000

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "sjoestad"
[store]
commit_readings = 7
commit_interval_s = 0.05
[mqtt]
host = "127.0.0.1"
port = {mqtt}
backoff_max_s = 0.1
{personal}
[[file]]
name = "archive"
folder = "archive"
{personal}
[[ngsi_ld]]
name = "platform"
url = "{ngsi_ld}"
backoff_max_s = 0.1
{personal}
[[iota]]
name = "agent"
host = "127.0.0.1"
port = {iota}
api_key_file = "api.key"
backoff_max_s = 0.1
{personal}
"""
NODE = """
[[node]]
id = "{node}"
asset = "{asset}"
kind = "{kind}"
key_file = "node.key"
port = "udp"
"""
# A home's own meter on a line, which no list of assets names.
LINE = """
[[serial]]
name = "p1-flat"
port = "/dev/none"
profile = "dsmr5"
asset = "flat-7"
assets = {water = "flat-7-water"}
"""
HOMES = tuple(f"home-{n}" for n in range(1, 7))
METERS = {f"wm-{n:04}": home for n, home in enumerate(HOMES, 1)}

# What nobody may find: assets, nodes, volumes, flows, cells and evidence of households.
VOLUMES = {home: 7_340_000 + 111 * n for n, home in enumerate(HOMES, 1)}
FLOW_LPH, BATTERY_MV, LOST_L = 48_391, 3_597, 60_923
OF_A_LINE = {"flat-7": {"import_wh": 52_817_331}, "flat-7-water": {"volume_l": 91_773_004}}
SECRETS = (
    *(name.encode() for name in (*METERS, *HOMES, *OF_A_LINE)),
    *(b"%d" % value for values in OF_A_LINE.values() for value in values.values()),
    *(b"%d" % (volume + step) for volume in VOLUMES.values() for step in range(3)),
    *(b"%d" % number for number in (FLOW_LPH, LOST_L)),
)


HELD_BACK = 4 * len(HOMES) + len(OF_A_LINE) + 1  # of `everything`


class Tap:
    """A line to a server on which every byte is kept that goes there."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.sent = bytearray()

    async def start(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up."""
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        for way in (self._pass(reader, back, self.sent), self._pass(there, writer, bytearray())):
            task = asyncio.create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
    ) -> None:
        try:
            while data := await reader.read(65_536):
                kept += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


def meter(number: int, node: str, step: int = 0) -> Reading:
    """A household's report."""
    home = METERS[node]
    values: dict[str, Value] = {
        "volume_l": VOLUMES[home] + step,
        "flow_lph": FLOW_LPH,
        "backflow_l": 0,
        "battery_mv": BATTERY_MV,
        "alarms": 17,
        "hourly_l": (FLOW_LPH,) * 24,
    }
    at_ms = T0_MS + number * 60_000
    return Reading(Key(node, 3, number), home, "water_meter", at_ms, 500, values, (), T0_MS)


def everything(step: int = 0) -> list[Entry]:
    """All kinds of entries that tell of a household, and a lamp's, in one another's midst."""
    entries: list[Entry] = []
    for n, node in enumerate(METERS, 1 + 100 * step):
        at_ms = T0_MS + n * 60_000
        event: dict[str, Value] = {"event": "continuous_flow", "value": FLOW_LPH}
        alarm_key = Key("gw-1", 9, 1_000 * step + n)
        entries += [
            meter(n, node, step),
            Reading(Key(node, 3, n + 50), METERS[node], "event", at_ms, 500, event),
            Gap(node, 3, n + 60, n + 70, "power", T0_MS),
            Alarm(
                alarm_key,
                METERS[node],
                "continuous_flow",
                active=True,
                severity=Severity.WARNING,
                observed_at_ms=at_ms,
                evidence={"lost_l": LOST_L},
            ),
            Reading(
                Key("sl-0001", 3, n),
                "lamp-1",
                "streetlight",
                at_ms,
                500,
                {"level_pct": 30, "power_w": 24.5, "energy_wh": 8_765, "status": 0},
            ),
        ]
    for n, (asset, values) in enumerate(OF_A_LINE.items(), 2_001 + 10 * step):
        key = Key("gw-1", 9, n)
        entries.append(Reading(key, asset, "serial", T0_MS + n * 1_000, 0, dict(values)))
    gone = Gap("wm-0001-old", 3, 1 + step, 9, "power", T0_MS)  # a node that nobody names any more
    own = Gap("gw-1", 8 - step, 1, None, "restart", T0_MS)
    return [*entries, gone, own]


def made(folder: Path, *, mqtt: int, ngsi_ld: str, iota: int = 1, personal: str = "") -> Config:
    """A gateway of six households and a lamp, with every kind of sink."""
    line = f'personal = "{personal}"' if personal else ""
    text = (
        CONFIG.format(mqtt=mqtt, ngsi_ld=ngsi_ld, iota=iota, personal=line)
        + '[udp]\nlisten = "[::1]:0"\n'
    )
    text = text.replace("[::1]:0", "[::1]:5683")
    for node, home in METERS.items():
        text += NODE.format(node=node, asset=home, kind="water_meter")
    text += LINE + NODE.format(node="sl-0001", asset="lamp-1", kind="streetlight")
    for name, secret in (("node.key", "00112233445566778899aabbccddeeff"), ("api.key", "group1")):
        (folder / name).write_text(f"{secret}\n")
        (folder / name).chmod(0o600)
    (folder / "gw.toml").write_text(text)
    return load(folder / "gw.toml")


def listed() -> list[Asset]:
    """The list: six households of a zone, and a lamp."""
    homes = [
        Asset(home, "WaterConsumptionObserved", zone="dma-4", owner=f"{home} of wm")
        for home in HOMES
    ]
    return [*homes, Asset("lamp-1", "Streetlight", group="quay", zone="dma-4")]


class Nobody:
    """Nodes, where there are none to be told."""

    def keep(self, kept: object) -> None:
        """Nothing to delete."""

    def ask_again(self, sources: object) -> None:
        """Nobody to ask."""


class Life:
    """A gateway from its store to its sinks, and its figures, from a start to an orderly stop."""

    def __init__(self, config: Config, known: Registry, epoch: int) -> None:
        assert config.city is not None
        self.clock = clock = ManualClock(T0_MS)
        config.gateway.state_dir.mkdir(exist_ok=True)
        self.store = Store.open(config.gateway.state_dir / "kerbline.db")
        policy = GroupPolicy(config.store.commit_readings, config.store.commit_interval_s)
        self.group = GroupCommit(self.store, policy, clock.utc_ms, "gw-1")
        self.north = sinks.made(config, self.store, self.group, clock, Counters(), known)
        self.figures = Figures("gw-1", config.city, known, self.store, self.group)
        inlets = [*self.north.inlets, self.figures]
        self.records = Records("gw-1", epoch, self.group, inlets, Nobody(), clock)  # type: ignore[arg-type]
        self._tasks = [asyncio.create_task(sink.run()) for sink in self.north.sinks]
        self._tasks.append(asyncio.create_task(self.records.confirm()))
        self._tasks.append(asyncio.create_task(self.figures.run(self.records, look_s=0.01)))
        self._committing = asyncio.create_task(self.group.run())

    async def take(self, entries: Iterable[Entry]) -> None:
        """Entries come."""
        for entry in entries:
            await self.records.take(entry)

    def show(self, states: Iterable[NodeState]) -> None:
        """How nodes are."""
        for state in states:
            for display in self.north.displays:
                display.show(state)

    async def delivered(self) -> None:
        """Wait until each sink has all of the log."""
        while self._behind():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.02)

    def _behind(self) -> bool:
        cursors = [self.figures._cursor, *(sink.cursor for sink in self.north.sinks)]
        return bool(self.group.pending) or min(cursors) < self.store.head

    async def stop(self) -> None:
        """In order."""
        self.group.stop()
        await self._committing
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for sink in self.north.sinks:
            await sink.close()
        await self.group.close()


def states() -> list[NodeState]:
    """All nodes online."""
    told = ("1.2.3", "esp32", "00112233")
    homes = [
        NodeState(node, home, "water_meter", True, T0_MS, *told) for node, home in METERS.items()
    ]
    homes.append(NodeState("p1-flat", "flat-7", "serial", True, T0_MS))
    return [*homes, NodeState("sl-0001", "lamp-1", "streetlight", True, T0_MS, *told)]


Story = Callable[[Config, Registry], Awaitable[None]]


def left(folder: Path, personal: str, story: Story) -> dict[str, bytes]:
    """What left by each sink while a story ran, to the byte."""

    async def scene() -> dict[str, bytes]:
        async with AsyncExitStack() as stack:
            broker = Broker(BrokerKind.NATS, folder / "broker", free_port())
            await broker.start()
            stack.push_async_callback(broker.kill)
            platform = Standin()
            await platform.start()
            stack.push_async_callback(platform.stop)
            there = (broker.port, int(platform.url.rpartition(":")[2]), broker.port)
            taps = [Tap(port) for port in there]
            for tap in taps:
                await tap.start()
                stack.push_async_callback(tap.stop)
            config = made(
                folder,
                mqtt=taps[0].port,
                ngsi_ld=f"http://127.0.0.1:{taps[1].port}",
                iota=taps[2].port,
                personal=personal,
            )
            known = registry.empty(config)
            known.take(listed())
            async with asyncio.timeout(120):
                await story(config, known)
            files = b"".join(path.read_bytes() for path in (folder / "archive").glob("*"))
            sent = {"mqtt": taps[0].sent, "ngsi_ld": taps[1].sent, "iota": taps[2].sent}
            return {**{sink: bytes(data) for sink, data in sent.items()}, "file": files}

    return steady.run(scene())


def leaks(found: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """What of a household left, and by which sink."""
    return [
        (sink, each)
        for sink, sent in found.items()
        for each in (*SECRETS, b"p1-flat")
        if each in sent
    ]


needs_broker = pytest.mark.skipif(program(BrokerKind.NATS) is None, reason="no nats-server here")


async def lives(config: Config, known: Registry) -> None:
    """Live, from a backlog, again by order, and over a restart with another list."""
    life = Life(config, known, 1)
    await asyncio.sleep(0.5)  # the live lanes are open
    life.show(states())
    await life.take(everything())
    await life.delivered()
    held = {name: door.held_back for name, door in life.north.doors.items()}
    assert set(held.values()) <= {HELD_BACK}
    await life.stop()
    store = Store.open(config.gateway.state_dir / "kerbline.db")
    for step in (1, 2):
        store.append(everything(step), T0_MS)  # while no sink ran: a backlog
    store.close()
    for sink in ("mqtt", "file:archive", "ngsi_ld:platform", "iota:agent"):
        path = config.gateway.state_dir / "kerbline.db"
        assert replay.order(path, sink, 0, T0_MS + 1).entries == len(everything())
    known.take([*listed(), Asset("elsewhere", "Streetlight")])
    life = Life(config, known, 2)
    life.show(states())
    await life.delivered()
    await life.stop()


@needs_broker
def test_no_byte_of_a_household_leaves_by_any_sink(tmp_path: Path) -> None:
    found = left(tmp_path, "", lives)
    assert leaks(found) == []
    for sink, sent in found.items():  # what everybody may know is there
        assert b"lamp-1" in sent, sink
        assert b"8765" in sent or sink in ("ngsi_ld", "iota")  # kWh there


@needs_broker
def test_with_all_each_sink_gets_each_of_them(tmp_path: Path) -> None:
    found = left(tmp_path, "all", lives)
    for sink, sent in found.items():
        lacking = [each for each in SECRETS if each not in sent]
        assert lacking == [], sink


@needs_broker
def test_sums_of_zones_leave_in_their_place_right_to_the_litre(tmp_path: Path) -> None:
    """Against what each house drew by the minute, by every sink; of the houses nothing."""
    chance = random.Random(21)
    drawn = [House(home, chance, 24 * 4, 61_000_000 + 7_001 * n) for n, home in enumerate(HOMES)]
    stream = sorted(daily(drawn, 4, chance), key=lambda each: each[0])

    async def days(config: Config, known: Registry) -> None:
        for life_of in (stream[:9], stream[9:]):  # a restart in their midst
            life = Life(config, known, 1 + stream.index(life_of[0]))
            for came_ms, reading in life_of:
                life.clock.advance(max(0, came_ms - life.clock.utc_ms()))
                await life.take([reading])
                await life.delivered()
            if life_of[-1] == stream[-1]:
                life.clock.advance(36 * 3_600_000)
                await asyncio.sleep(0.2)
                await life.delivered()
            life.figures.note()
            await life.stop()

    found = left(tmp_path, "", days)
    told = [json.loads(line) for line in found["file"].splitlines()]
    sums = {
        each["observed_at_ms"] // 3_600_000 - 1 - HOUR: each["values"]
        for each in told
        if each.get("kind") == "zone_water" and each["values"]["households"] == len(HOMES)
    }
    assert len(sums) >= 48
    for hour, values in sums.items():
        litres = sum(house.used(hour) for house in drawn)
        assert values["consumed_l"] == litres
        assert b'"consumed_l":%d,' % litres in found["mqtt"]
        assert b'"value":%d,' % litres in found["ngsi_ld"]
        assert b'{"kpiValue":%d,' % litres in found["iota"]
    names = [name.encode() for name in (*HOMES, *(f"wm-{home}" for home in HOMES))]
    volumes = [str(reading.values["volume_l"]).encode() for _, reading in stream]
    for sink, sent in found.items():
        assert [each for each in (*names, *volumes) if each in sent] == [], sink


@pytest.fixture(name="known")
def _known(tmp_path: Path) -> Registry:
    config = made(tmp_path, mqtt=1, ngsi_ld="http://127.0.0.1:1")
    known = registry.empty(config)
    known.take(listed())
    return known


@pytest.fixture(name="privacy")
def _privacy(known: Registry) -> Privacy:
    return Privacy(known, "gw-1", {**METERS, "sl-0001": "lamp-1"})


def test_both_ways_to_look_at_an_entry_agree(privacy: Privacy) -> None:
    entries = everything()
    written = Batch.made(5, T0_MS, entries)
    public = privacy.public(written)
    assert (public.seq, public.at_ms) == (5, T0_MS)
    assert list(public.entries) == [each for each in entries if not privacy.holds(each)]
    assert len(public.entries) == len(HOMES) + 1
    assert privacy.public(public) is public
    nothing = privacy.public(Batch.made(6, T0_MS, [meter(1, "wm-0001")]))
    assert nothing.entries == ()
    assert list(nothing.pieces()) == []


@pytest.mark.parametrize(
    "asset", ['a"b', "a\\", "\u00e9t\u00e9", 'x,"kind":"streetlight"', "home-1"]
)
def test_a_name_hides_nothing_in_the_text(privacy: Privacy, asset: str) -> None:
    reading = replace(meter(1, "wm-0001"), asset=asset)
    assert privacy.holds(reading)
    assert privacy.public(Batch.made(1, T0_MS, [reading])).entries == ()


def test_what_else_is_personal_and_what_is_nobodys(known: Registry, privacy: Privacy) -> None:
    assert privacy.holds(replace(meter(1, "wm-0001"), asset="unknown"))
    assert privacy.holds(Reading(Key("x", 1, 1), "unknown", "event", T0_MS, 0, {}))
    alarm = Alarm(Key("gw-1", 1, 1), "gw-1", "store_lost", True, Severity.CRITICAL, T0_MS)
    assert not privacy.holds(alarm)
    assert not privacy.holds(Gap("store", 0, 4, 4, "garbled"))
    for kind in ("zone_water", "kpi"):
        assert not privacy.holds(Reading(Key("gw-1", 1, 1), "dma-4", kind, T0_MS, 0, {}))
        assert privacy.holds(Reading(Key("wm-0001", 1, 1), "home-1", kind, T0_MS, 0, {}))
    known.take([replace(each, privacy="public") for each in listed()])
    assert not privacy.holds(meter(1, "wm-0001"))
    known.take((), lost=True)
    assert privacy.holds(meter(1, "wm-0001"))
    lamp = everything()[4]
    assert isinstance(lamp, Reading)
    assert not privacy.holds(lamp)


def test_a_gap_of_a_node_that_went_is_its_assets(known: Registry, privacy: Privacy) -> None:
    went = {name: Gap(name, 3, 1, None, "removed", T0_MS) for name in ("sl-1", "sl-2", "wm-2", "x")}
    known.went = {"sl-1": ("lamp-1", "streetlight"), "sl-2": ("lamp-8", "streetlight")}
    assert [name for name, gap in went.items() if not privacy.holds(gap)] == ["sl-1", "sl-2"]
    known.went = {"wm-2": ("home-1", "water_meter"), "x": ("gone", "water_meter")}
    assert all(map(privacy.holds, went.values()))


def test_a_batch_that_cannot_be_read_is_lost_as_a_whole(privacy: Privacy) -> None:
    body = Batch.made(1, T0_MS, everything()).body
    for torn in (body[:-1], body[:-1] + b',{"type":"reading"}]', b"", os.urandom(300)):
        public = privacy.public(Batch(1, T0_MS, torn))
        assert [each.reason for each in public.entries if isinstance(each, Gap)] == ["garbled"]
        assert len(public.entries) == 1


def test_a_sink_without_a_city_may_not_promise_it(tmp_path: Path) -> None:
    made(tmp_path, mqtt=1, ngsi_ld="http://127.0.0.1:1")
    text = '[gateway]\nid = "gw-1"\nstate_dir = "state"\n[mqtt]\nhost = "h"\n'
    path = tmp_path / "gw.toml"
    path.write_text(text)
    assert load(path).mqtt is not None
    path.write_text(text + 'personal = "zones"\n')
    with pytest.raises(ConfigFault, match="there is no \\[city\\], so everything leaves"):
        load(path)


class Taken:
    """An inlet that tells what came."""

    def __init__(self) -> None:
        self.offered: list[Entry] = []
        self.committed: list[Committed | None] = []

    def offer(self, entry: Entry) -> None:
        """Keep it."""
        self.offered.append(entry)

    def log_grew(self, committed: Committed | None = None) -> None:
        """Keep it."""
        self.committed.append(committed)


def test_a_commit_comes_through_the_door_with_its_number(privacy: Privacy, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "kerbline.db")
    door = Door(GroupCommit(store, GroupPolicy(), lambda: T0_MS), privacy)
    taken = Taken()
    inlet = door.before(taken)
    for entry in everything():
        inlet.offer(entry)
    inlet.log_grew()
    inlet.log_grew(Committed(7, tuple(everything()), ()))
    assert door.held_back == HELD_BACK
    assert taken.committed == [None, Committed(7, tuple(taken.offered), ())]
    assert len(taken.offered) == len(HOMES) + 1
    store.close()


CABINET = """
[[modbus]]
name = "quay"
port = "socket://127.0.0.1:1"
[[modbus.device]]
unit = 1
asset = "cab-1"
profile = "lighting-cabinet"
"""


def test_a_group_tells_neither_of_homes_nor_of_somebodys_own_lamp(tmp_path: Path) -> None:
    """A cabinet may share its group's name with a flat, and a garden has a lamp, too."""
    made(tmp_path, mqtt=1, ngsi_ld="http://127.0.0.1:1")
    path = tmp_path / "gw.toml"
    path.write_text(path.read_text() + CABINET)
    config = load(path)
    here = [Location("Point", ((18.0 + n / 64, 59.0),)) for n in range(8)]
    homes = [
        Asset(home, "WaterConsumptionObserved", location=here[n], group="flat")
        for n, home in enumerate(HOMES)
    ]
    own = Asset("lamp-1", "Streetlight", location=here[6], group="garden", zone="z")
    own = replace(own, privacy="personal")
    cabinet = Asset("cab-1", "StreetlightControlCabinet", location=here[7], group="flat", zone="z")
    known = registry.empty(config)
    for assets in ([*homes, cabinet, own], [*homes, replace(cabinet, group=""), own]):
        known.take(assets)
        city = models.city_of(config, known)
        told = repr(models.standing(city))
        for secret in ("lamp-1", "garden", *HOMES, *(f"{18.0 + n / 64}" for n in range(1, 7))):
            assert secret not in told, secret
        assert not {"garden", "flat"} & kpi.areas(known, {}, 5).keys()
        everything = repr(models.standing(city, personal=True))
        assert "garden" in everything
        assert "Streetlight:sjoestad:lamp-1" in everything
