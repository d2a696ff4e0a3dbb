"""Light by the clock through the agent: to a node, past an order, over a restart."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kerbline import agent
from kerbline.agent.actuators import Actuators
from kerbline.agent.light.programs import LightPrograms
from kerbline.clock import ManualClock
from kerbline.config import Config, load
from kerbline.model import Command
from kerbline.south.arrivals import Answered
from kerbline.south.nodes import Nodes
from kerbnode import checking, settings
from kerbnode.schedule import Schedule
from kerbwire import messages as m
from tests.gateway.pocket_node import PocketNode, serve_tcp
from tests.light_checker import elevation_deg
from tests.node.test_settings import changed, stored

KEY = bytes(range(16))
ZONE = ZoneInfo("Europe/Amsterdam")
PLACE = (52.37, 4.9)
HEAD = """\
[gateway]
id = "gw-1"
state_dir = "state"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "socket://127.0.0.1:{port}"
[light]
position = [52.37, 4.9]
time_zone = "Europe/Amsterdam"
[[lamp_group]]
name = "street"
lamps = ["lamp-1"]
calendar = "homes"
lamp_w = 60
[[calendar]]
name = "homes"
default_program = "evening"
[[calendar.rule]]
program = "late"
days = ["friday", "saturday"]
[[control_program]]
name = "evening"
active_period = [{{type = "astro_clock"}}]
fixed_time = [{{start = "22:30", level_pct = 40}}, {{start = "05:00", level_pct = 100}}]
[[control_program]]
name = "late"
fixed_time = [{{start = "02:00", level_pct = 40}}, {{start = "05:00", level_pct = 100}}]
"""
CLASS = """\
[[lighting_class]]
group = "street"
normal = "M4"
hour = [{{start = "23:00", class = "M5"}}, {{start = "05:00", class = "M4"}}]
"""
CAP = """\
[[power_cap]]
name = "feeder"
groups = ["street"]
cap_w = 45
"""


def at_s(text: str) -> int:
    """UTC of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def config(folder: Path, text: str = HEAD, port: int = 1) -> Config:
    """A config in a file of its own."""
    (folder / "node.key").write_text(KEY.hex())
    (folder / "node.key").chmod(0o600)
    (folder / "gateway.toml").write_text(text.format(port=port))
    return load(folder / "gateway.toml")


Configs = list[tuple[int, dict[int, int | bytes]]]


async def told(folder: Path, node: PocketNode, table: str, count: int = 1) -> Configs:
    """What CONFIGs a node gets from a gateway that begins at a street time: so many."""
    server = await serve_tcp(node)
    (folder / "clock.json").write_text(table)
    simulated = HEAD + '[simulation]\nclock_table = "clock.json"\n'
    made = config(folder, simulated, server.sockets[0].getsockname()[1])
    node.configs.clear()
    node.begin_again()
    for file in (folder / "state" / "keys").glob("sl-1.*"):
        file.unlink()
    async with server:
        running = asyncio.create_task(agent.run(made))
        async with asyncio.timeout(60):
            while len(node.configs) < count or not node.session.up:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2 if count else 2.0)
        running.cancel()
        await asyncio.wait([running])
        if node.line is not None:
            node.line.close()
    assert node.session.up
    return [(version, values) for version, values in node.configs]


async def three_lives(folder: Path) -> list[Configs]:
    """On a Friday, the same day again, and two days later."""
    node = PocketNode("sl-1", KEY)
    lives = {"2026-12-18T20:00": 1, "2026-12-18T21:00": 0, "2026-12-20T20:00": 1}
    return [
        await told(folder, node, f"[[0, {at_s(begin) * 1000}, 1e-9]]", count)
        for begin, count in lives.items()
    ]


def test_a_program_reaches_its_node_and_the_node_lives_by_it(tmp_path: Path) -> None:
    first, again, later = asyncio.run(three_lives(tmp_path))
    ((version, values),), ((next_version, others),) = first, later
    assert (version, again, next_version) == (1, [], 2)
    for begin, levels, found in (
        ("2026-12-18T", {"23:00": 100, "25:30": 100, "26:30": 40, "29:30": 100}, values),
        ("2026-12-20T", {"22:00": 100, "23:00": 40, "26:30": 40, "29:30": 100}, others),
    ):
        store = stored(changed(position=list(PLACE)))
        kept = settings.load(store)
        assert checking.configure(store, kept, 1, found) == m.OK
        schedule = Schedule(PLACE, 0)
        schedule.configure(kept.profile, kept.night)
        midnight_s = at_s(begin + "00:00")
        for local, level in levels.items():
            hour, minute = map(int, local.split(":"))
            now_s = midnight_s + 3600 * hour + 60 * minute
            assert schedule.step(now_s - midnight_s, now_s, None) == level, (begin, local)


class OldNode(PocketNode):
    """Firmware that knows no more of a CONFIG than the first two keys."""

    @property
    def answer(self) -> int:
        """To what came last."""
        newest = self.configs[-1][1] if self.configs else {}
        return m.UNSUPPORTED if newest.keys() - {1, 2} else m.OK

    @answer.setter
    def answer(self, _: int) -> None:
        """It has no other."""


def test_older_firmware_gets_its_profile_all_the_same(tmp_path: Path) -> None:
    async def life() -> Configs:
        begin = at_s("2026-12-18T20:00")
        return await told(tmp_path, OldNode("sl-1", KEY), f"[[0, {begin * 1000}, 1e-9]]", 2)

    (_, refused), (_, taken) = asyncio.run(life())
    assert refused.keys() == {2, 3, 4, 5}
    assert taken == {2: refused[2]}


class MemoryNodes(Nodes):
    """Notes what would be sent."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.configured: dict[str, dict[int, int | bytes]] = {}

    def send(self, command: Command) -> bool:
        """Take it."""
        self.sent.append(command)
        return True

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """Take it."""
        self.configured[asset] = values


def set_level(level_pct: int, hold_s: int = 0, source: str = "operator/anna") -> Command:
    arguments = {"level_pct": level_pct, "hold_s": hold_s, "fade_ms": 0}
    return Command("c1", "lamp-1", "set_level", arguments, 2**60, source)


@pytest.mark.parametrize(
    ("local", "hold_s", "asked", "sent", "note"),
    [
        ("2026-12-18T23:30", 600, 10, 67, "raised: 67 % (class M5)"),
        ("2026-12-18T23:30", 600, 67, 67, ""),
        ("2026-12-18T23:30", 600, 90, 90, ""),
        ("2026-12-18T22:30", 600, 10, 100, "raised: 100 % (class M4)"),
        ("2026-12-18T22:30", 3600, 70, 100, "raised: 100 % (class M4)"),  # it begins before 23:00
        ("2026-12-19T04:30", 3600, 70, 100, "raised: 100 % (class M4)"),  # it ends after 05:00
        ("2026-12-18T12:30", 3600, 0, 0, ""),  # by day nothing is asked
        ("2026-12-19T02:30", 0, 0, 100, "raised: 100 % (class M4)"),  # until dawn
        ("2026-12-18T15:30", 7200, 0, 100, "raised: 100 % (class M4)"),  # over dusk
        ("2026-12-18T12:30", 86400, 80, 100, "raised: 100 % (class M4)"),
    ],
)
def test_an_order_below_the_class_is_raised_and_says_so(
    tmp_path: Path, local: str, hold_s: int, asked: int, sent: int, note: str
) -> None:
    clock = ManualClock(at_s(local) * 1000)
    programs = LightPrograms(config(tmp_path, HEAD + CLASS), clock)
    nodes = MemoryNodes()
    actuators = Actuators(nodes, {}, clock, programs)
    for source in ("operator/anna", "control/dimming", "mqtt"):
        assert actuators.send(set_level(asked, hold_s, source))
        assert nodes.sent[-1].whole("level_pct") == sent
        assert nodes.sent[-1].whole("hold_s") == hold_s
        assert actuators.noted(Answered("c1", "lamp-1", "")).note == note
    assert actuators.send(set_level(asked, hold_s, "safety/fire"))
    assert nodes.sent[-1].whole("level_pct") == asked
    assert actuators.noted(Answered("c1", "lamp-1", "")).note == ""


def test_an_order_by_day_without_end_is_over_at_dusk(tmp_path: Path) -> None:
    """A cell that has lit the lamp by then hides the change that would end it."""
    noon, dusk = at_s("2026-12-17T12:30"), at_s("2026-12-17T16:28")
    programs = LightPrograms(config(tmp_path, HEAD + CLASS), ManualClock(noon * 1000))
    command, note = programs.keep(set_level(0))
    assert (command.whole("level_pct"), note) == (0, "")
    assert dusk - 180 < noon + command.whole("hold_s") < dusk
    assert programs.keep(set_level(100)) == (set_level(100), "")  # it may go on
    at_dusk = LightPrograms(config(tmp_path, HEAD + CLASS), ManualClock((dusk - 30) * 1000))
    command, note = at_dusk.keep(set_level(0))
    assert (command.whole("level_pct"), command.whole("hold_s")) == (100, 0)
    assert note == "raised: 100 % (class M4)"


def test_an_order_above_the_cap_is_bounded_and_the_floor_goes_before_it(tmp_path: Path) -> None:
    clock = ManualClock(at_s("2026-12-18T20:00") * 1000)
    capped = LightPrograms(config(tmp_path, HEAD + CAP), clock)
    command, note = capped.keep(set_level(100, 60))
    assert (command.whole("level_pct"), note) == (75, "capped: 75 % (feeder)")
    floored = LightPrograms(config(tmp_path, HEAD + CLASS + CAP), clock)
    assert floored.keep(set_level(100, 60)) == (set_level(100, 60), "")
    for other in ("release", "identify"):
        order = Command("c2", "lamp-1", other, {}, 2**60, "mqtt")
        assert floored.keep(order) == (order, "")


def test_a_cap_below_the_floors_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tight = CAP.replace("45", "30")
    programs = LightPrograms(config(tmp_path, HEAD + CLASS + tight), ManualClock(0))
    for local in ("2026-12-17T23:00", "2026-12-18T23:00"):
        programs.compile(MemoryNodes(), programs.night(at_s(local)))
    assert [each.getMessage() for each in caplog.records] == [
        "power cap feeder: leaves no more than its lamps' floors"
    ]


def test_each_noon_brings_the_next_night(tmp_path: Path) -> None:
    clock = ManualClock(0)
    programs = LightPrograms(config(tmp_path, HEAD + CLASS), clock)
    nodes = MemoryNodes()
    profiles = []
    for local in ("2026-12-17T13:00", "2026-12-18T12:00", "2026-12-18T13:00", "2026-12-19T12:00"):
        programs.compile(nodes, programs.night(at_s(local)))
        profiles.append(nodes.configured["lamp-1"][m.CONFIG_PROFILE])
    thursday, still, friday, until = profiles
    assert thursday == still  # the sun's noon is at 12:37
    assert friday == until != thursday


def test_a_look_tells_each_night_once_and_none_by_a_clock_that_was_never_set(
    tmp_path: Path,
) -> None:
    clock = ManualClock(0)
    programs, nodes = LightPrograms(config(tmp_path), clock), MemoryNodes()
    programs.look(nodes)
    assert nodes.configured == {}
    told = []
    for local in (
        "2026-12-17T13:00",
        "2026-12-17T23:00",
        "2026-12-18T12:37",  # the sun's noon, and the minute in which two nights may overlap
        "2026-12-18T13:00",
        "2026-12-17T13:00",  # somebody set it
    ):
        clock.set_utc(at_s(local) * 1000)
        nodes.configured.clear()
        programs.look(nodes)
        told.append(nodes.configured.get("lamp-1", {}).get(m.CONFIG_PROFILE))
    thursday, again, noon, friday, back = told
    assert thursday == back != friday
    assert again is noon is None
    clock.set_utc(0)
    nodes.configured.clear()
    programs.look(nodes)
    assert nodes.configured == {}


def test_a_bound_is_told_of_any_time(tmp_path: Path) -> None:
    programs = LightPrograms(config(tmp_path, HEAD + CLASS + CAP), ManualClock(0))
    for local, floor in (("2026-12-18T12:00", 0), ("2026-12-18T23:30", 67)):
        bound = programs.bounds("lamp-1", at_s(local))
        assert bound is not None
        assert (bound.floor.level_pct, bound.ceiling_pct) == (floor, 75)
    assert programs.bounds("lamp-2", 0) is None


def test_no_order_is_below_the_floor_at_any_time_that_it_holds(tmp_path: Path) -> None:
    """By the checker's sun; a lamp without motion keeps an order until its time is over."""
    chance = Random(9)
    clock = ManualClock(0)
    programs = LightPrograms(config(tmp_path, HEAD + CLASS), clock)
    looked = raised = 0
    for _ in range(300):
        now_s = at_s("2026-01-01T00:00") + chance.randrange(365 * 86_400)
        clock.set_utc(now_s * 1000)
        asked = set_level(chance.randrange(101), chance.choice((8, 600, 7200, 40_000, 86_400)))
        sent, note = programs.keep(asked)
        level = sent.whole("level_pct")
        assert bool(note) == (level != asked.whole("level_pct"))
        assert level >= asked.whole("level_pct")
        raised += bool(note)
        times = np.arange(now_s, now_s + sent.whole("hold_s") + 30, 20)
        heights = elevation_deg(times.astype(float), *PLACE)
        for at in times[heights < -2.6].tolist():
            local = datetime.fromtimestamp(at, ZONE)
            looked += 1
            assert level >= (67 if local.hour == 23 or local.hour < 5 else 100), (local, sent)
    assert looked > 10_000
    assert 50 < raised < 250
