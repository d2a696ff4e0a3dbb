"""An operator's rules through the agent: from a reading to a lamp; and why, from the store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline import agent
from kerbline.agent.intake import Hears
from kerbline.agent.light.lamps import Lights
from kerbline.agent.light.loops import Loops
from kerbline.agent.light.programs import LightPrograms
from kerbline.agent.light.rules import LightRules, finding
from kerbline.agent.orders import Orders
from kerbline.agent.own_commands import OwnCommands
from kerbline.agent.records import Records
from kerbline.cli import app
from kerbline.clock import ManualClock
from kerbline.control import program
from kerbline.control.light.decision import BEGINS, GOES_ON, Decision
from kerbline.control.light.rules import Act, Notify, Rule, SetLevel
from kerbline.counters import Counters
from kerbline.model import Command, Key, Reading, Severity, Value
from kerbline.south.arrivals import Answered
from kerbline.store import FILE_NAME, GroupCommit, GroupPolicy, Store, decisions
from kerbline.store.reader import Reader
from kerbwire import messages as m
from tests.gateway.pocket_node import PocketNode, serve_tcp
from tests.gateway.test_agent_light import CLASS, HEAD, KEY, MemoryNodes, at_s, config
from tests.gateway.test_orders import MemoryStreet

WARM = """\
[[rule]]
name = "warm"
[[rule.reading]]
asset = "lamp-1"
value = "temperature_c"
above = 40
until = 35
[[rule.sun]]
is = "down"
[rule.set_level]
groups = ["street"]
level_pct = {level}
hold_s = 600
[rule.notify]
severity = "critical"
text = "the lamp's head is warm"
"""
BEGIN = "2026-12-18T20:00"
WAIT_S = 60.0
T0_MS = 1_790_000_000_000


async def until(holds: Callable[[], object]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def evening(folder: Path, text: str, *temperatures: int) -> PocketNode:
    """A gateway's life, in which a lamp reports some temperatures."""
    node = PocketNode("sl-1", KEY)
    for file in (folder / "state" / "keys").glob("sl-1.*"):
        file.unlink()
    server = await serve_tcp(node)
    (folder / "clock.json").write_text(f"[[0, {at_s(BEGIN) * 1000}, 1e-9]]")
    simulated = text + '[simulation]\nclock_table = "clock.json"\n'
    made = config(folder, simulated, server.sockets[0].getsockname()[1])
    async with server:
        running = asyncio.create_task(agent.run(made))
        await until(lambda: node.configs)
        for sent, celsius in enumerate(temperatures):
            node.make(30, 245, 100 + sent, 12, celsius, 0, 100)
            await until(lambda sent=sent: len(node.commands) > sent)  # type: ignore[misc]
        running.cancel()
        await asyncio.wait([running])
        if node.line is not None:
            node.line.close()
    return node


def test_a_reading_raises_lamps_and_an_alarm_until_it_is_back(tmp_path: Path) -> None:
    node = asyncio.run(evening(tmp_path, HEAD + WARM.format(level=80), 41, 34))
    assert [(op, arguments) for _, _, op, arguments in node.commands] == [
        (m.OP_SET_LEVEL, (80, 600, 2000)),
        (m.OP_SET_LEVEL, (80, 600, 2000)),  # it ends, and stays for its hold
    ]
    told = CliRunner().invoke(app, ["why", str(tmp_path / "gateway.toml"), "lamp-1:rule-warm"])
    assert told.exit_code == 0
    assert "lamp-1:rule-warm: over" in told.output
    assert "the lamp's head is warm" in told.output
    assert "the [[rule]] of that name" in told.output
    did = CliRunner().invoke(app, ["why", str(tmp_path / "gateway.toml"), "warm"])
    lines = [line.strip() for line in did.output.splitlines()]
    assert "over; it began last at 2026-12-18 19:00:0" in lines[0]
    assert lines[1].endswith("ends: 80 % for 600 s, one lamp")
    assert lines[2] == "lamp-1 temperature_c  34"
    assert lines[3].endswith("begins: 80 % for 600 s, one lamp")


def test_a_rule_may_only_add_to_the_program_or_take_from_it(tmp_path: Path) -> None:
    """Until 02:00 it is full light, then 40 %."""
    programs = LightPrograms(config(tmp_path, HEAD), ManualClock(0))
    for local, operation, level in (
        ("2026-12-18T20:00", "set", 80),
        ("2026-12-18T20:00", "max", 100),
        ("2026-12-18T20:00", "min", 80),
        ("2026-12-19T03:00", "set", 80),
        ("2026-12-19T03:00", "max", 80),
        ("2026-12-19T03:00", "min", 40),
        ("2026-12-19T12:00", "max", 80),
        ("2026-12-19T12:00", "min", 0),
    ):
        light = SetLevel(("lamp-1",), 80, 600, 0, operation)
        assert light.asked(programs.level_pct("lamp-1", at_s(local))) == level
    assert programs.level_pct("lamp-2", at_s(BEGIN)) is None
    assert SetLevel(("lamp-2",), 80, 600, 0, "max").asked(None) == 80
    fog = WARM.format(level=80).replace("hold_s", 'operation = "max"\nhold_s')
    node = asyncio.run(evening(tmp_path, HEAD + fog, 41))
    assert [arguments for *_, arguments in node.commands] == [(100, 600, 2000)]


@pytest.mark.parametrize(
    ("then", "ends"),
    [
        ("", [True, False]),
        (WARM.format(level=81), [True, False, True]),
        (WARM.format(level=80), [True]),
    ],
)
def test_the_alarm_of_a_rule_that_is_gone_or_another_ends(
    tmp_path: Path, then: str, ends: list[bool]
) -> None:
    """Of one that is the same it stands: the lamp is as warm as before."""
    asyncio.run(evening(tmp_path, HEAD + WARM.format(level=80), 41))
    asyncio.run(evening(tmp_path, HEAD + then))
    file = str(tmp_path / "gateway.toml")
    told = CliRunner().invoke(app, ["why", file, "lamp-1:rule-warm", "--json"])
    alarms = [json.loads(line)["active"] for line in told.output.splitlines()]
    assert alarms == ends


def why(folder: Path, at: str) -> str:
    """What the command says, as a person reads it."""
    file = str(folder / "gateway.toml")
    told = CliRunner().invoke(app, ["why", file, "lamp-1", "--at", at])
    assert told.exit_code == 0, told.output
    return told.output


def test_why_a_lamp_is_as_bright_as_it_is(tmp_path: Path) -> None:
    asyncio.run(evening(tmp_path, HEAD + CLASS + WARM.format(level=50), 41))
    told = why(tmp_path, "2026-12-18T19:05:00Z")
    assert told.splitlines()[0] == (
        "lamp-1 at 2026-12-18 19:05:00 UTC: 100 %, by rule warm, which asks for 50 %, and class M4"
    )
    for words in ("temperature_c 41", "program late by rule 1 of calendar homes", "nobody"):
        assert words in told
    before = why(tmp_path, "2026-12-18T18:30:00Z")
    assert "100 %, by program late by rule 1" in before.splitlines()[0]
    day = why(tmp_path, "2026-12-18T12:00:00Z")
    assert " 0 %, by program late by rule 1" in day.splitlines()[0]


def test_why_goes_by_the_program_that_the_lamp_was_given(tmp_path: Path) -> None:
    """Whatever the config says by now; before anything was kept there is only that."""
    asyncio.run(evening(tmp_path, HEAD + WARM.format(level=50)))
    config(tmp_path, HEAD.replace('start = "02:00"', 'start = "17:00"'))
    told = why(tmp_path, "2026-12-18T19:05:00Z")
    assert told.splitlines()[0].endswith("100 %, by program late by rule 1 of calendar homes")
    assert "(version " in told
    before = why(tmp_path, "2026-12-18T18:30:00Z")
    assert before.splitlines()[0].endswith(" 40 %, by program late by rule 1 of calendar homes")
    assert "(as the config is now)" in before


def test_decisions_are_in_the_store(tmp_path: Path) -> None:
    asyncio.run(evening(tmp_path, HEAD + WARM.format(level=80), 41))
    sql = sqlite3.connect(tmp_path / "state" / FILE_NAME)
    (entries,) = sql.execute("SELECT sum(entries) FROM decision").fetchone()
    sql.close()
    assert entries == 3  # the night's program, the gateway began, the rule began


def test_an_alarm_tells_of_its_own_asset_alone() -> None:
    """What was measured at somebody's home does not leave with an alarm of a lamp."""
    notify = Notify("lamp-1", Severity.WARNING, "look")
    rule = Rule("wet", "v1", (), notify=notify)
    inputs: dict[str, Value] = {"meter-1 flow_lph": 300, "lamp-1 power_w": 2, "lamp-10 power_w": 3}
    found = finding(Act(rule, BEGINS, T0_MS, (), inputs))
    assert found.evidence == {"version": "v1", "power_w": 2, "text": "look"}


class Line:
    """A gateway's lamp commands, without a gateway: what would be sent, and who holds a lamp."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(T0_MS)
        self.store = Store.open(folder / FILE_NAME)
        self.group = GroupCommit(self.store, GroupPolicy(), self.clock.utc_ms)
        self.loops = Loops(program.Plan(), self.clock, program.State(), self.group)
        self.street = MemoryStreet()
        kinds = {"lamp-1": "streetlight", "lamp-2": "streetlight"}
        self.orders = Orders(
            kinds, self.store, self.group, self.street, self.loops, self.clock, Counters()
        )
        self.own = OwnCommands(kinds, self.street, self.group, self.clock)
        self.lights = Lights(self.loops, self.own, self.group, self.clock)

    def ask(self, level_pct: int, *lamps: str, what: str = BEGINS) -> dict[str, str]:
        """A rule sets a level."""
        arguments = {"level_pct": level_pct, "hold_s": 600, "fade_ms": 0}
        commands = [
            Command(
                f"{lamp}-{self.clock.utc_ms()}", lamp, "set_level", arguments, 2**60, "control/x"
            )
            for lamp in lamps
        ]
        return dict(self.lights.issue(commands, "rule fog", "v", what, {"air-1 h": 96}, 1))

    def follow(self, operation: str, why: str = "somebody may be near") -> None:
        """Light on demand."""
        arguments = (
            {"level_pct": 100, "hold_s": 30, "fade_ms": 1} if operation == "set_level" else {}
        )
        name = f"d-{self.clock.utc_ms()}"
        source = f"control/dimming v1: {why}"
        self.lights.follow([Command(name, "lamp-1", operation, arguments, 2**60, source)])

    async def end(self) -> None:
        """Commit what waits."""
        self.group.stop()
        await self.group.run()
        await self.group.close()

    @property
    def sent(self) -> list[tuple[object, ...]]:
        """What went, in order."""
        return [(each.asset, each.operation, *each.arguments.values()) for each in self.street.done]


def kept(folder: Path) -> list[Decision]:
    """What the store has, oldest first."""
    reader = Reader.open(folder / FILE_NAME)
    found = [Decision.parsed(each.body) for each in decisions.newest_first(reader, 1 << 60)]
    reader.close()
    return found[::-1]


def test_an_operators_order_goes_before_a_rule_and_that_is_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        line = Line(tmp_path)
        arguments = {"level_pct": 20, "hold_s": 600, "fade_ms": 0}
        line.loops.operate(Command("o", "lamp-1", "set_level", arguments, 2**60, "operator/anna"))
        assert line.ask(80, "lamp-1", "lamp-2") == {"lamp-1": "held by operator/anna"}
        line.street.room = False
        line.clock.advance(1_000)
        assert line.ask(80, "lamp-2", what=GOES_ON) == {"lamp-2": "unreachable"}
        assert line.sent == [("lamp-2", "set_level", 80, 600, 0)]
        await line.end()

    asyncio.run(scene())
    first, then = kept(tmp_path)
    assert (first.lamps, first.refused) == (("lamp-2",), {"lamp-1": "held by operator/anna"})
    assert (first.by, first.version, first.inputs) == ("rule fog", "v", {"air-1 h": 96})
    assert then.refused == {"lamp-2": "unreachable"}


def test_a_rule_and_people_on_the_street_share_a_lamp(tmp_path: Path) -> None:
    async def scene() -> None:
        line = Line(tmp_path)
        line.ask(60, "lamp-1")
        line.clock.advance(5_000)
        line.follow("set_level")
        line.clock.advance(5_000)
        line.ask(60, "lamp-1", what=GOES_ON)
        assert [each[2] for each in line.sent] == [60, 100]
        line.clock.advance(5_000)
        line.follow("release", "nobody can be near")
        assert line.sent[2:] == [("lamp-1", "set_level", 60, 595, 2_000)]
        line.follow("set_level")
        line.clock.advance(30_000)
        line.lights.look()  # the gateway of another street's people has gone: its hold is over
        assert line.sent[4:] == [("lamp-1", "set_level", 60, 565, 2_000)]
        await line.end()

    asyncio.run(scene())
    whose = [each.by.partition(" ")[0] for each in kept(tmp_path)]
    assert whose == ["rule", "dimming", "rule", "dimming", "dimming"]


def test_what_an_operator_gives_back_is_the_rules_again_at_once(tmp_path: Path) -> None:
    dark = WARM.format(level=80).replace('[rule.notify]\nseverity = "critical"', "")
    made = config(tmp_path, HEAD + dark.replace('text = "the lamp\'s head is warm"\n', ""))

    async def scene() -> None:
        line = Line(tmp_path)
        line.clock.advance(at_s(BEGIN) * 1000 - T0_MS)
        rules = LightRules(made, line.clock, line.store, line.group, line.lights, None)
        records = Records("gw-1", 1, line.group, [], MemoryNodes(), line.clock)
        hears = Hears(line.orders, line.own, line.loops, line.lights, rules)
        running = asyncio.create_task(rules.run(records))
        await asyncio.sleep(0)
        warm: dict[str, Value] = {"temperature_c": 41}
        now_ms = line.clock.utc_ms()
        key = Key("sl-1", 1, 1)
        await hears.consider(Reading(key, "lamp-1", "streetlight", now_ms, 0, warm), records)
        await until(lambda: line.sent)
        first = line.street.done[0]
        await hears.answered(Answered(first.id, "lamp-1", ""))
        arguments = {"level_pct": 20, "hold_s": 0, "fade_ms": 0}
        for name, operation in (("o", "set_level"), ("p", "release")):
            given = arguments if operation == "set_level" else {}
            order = Command(name, "lamp-1", operation, given, 2**60, "operator/anna")
            line.loops.operate(order)
            await hears.answered(Answered(name, "lamp-1", ""))
            await asyncio.sleep(0.05)
        assert line.sent == [("lamp-1", "set_level", 80, 600, 2_000)] * 2
        running.cancel()
        await asyncio.wait([running])
        await line.end()

    asyncio.run(scene())
    assert [list(each.refused.values()) for each in kept(tmp_path) if each.by != "gateway"] == [
        [],
        ["held by operator/anna"],
        [],
    ]


def test_a_clock_that_was_never_set_makes_no_rule_act(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        HEAD
        + WARM.format(level=80)
        .replace("[rule.notify]", "# [rule.notify]")
        .replace("severity", "# severity")
        .replace("text", "# text"),
    )

    async def scene() -> None:
        line = Line(tmp_path)
        line.clock.advance(90_000_000 - T0_MS)  # the second night of 1970
        rules = LightRules(made, line.clock, line.store, line.group, line.lights, None)
        records = Records("gw-1", 1, line.group, [], MemoryNodes(), line.clock)
        running = asyncio.create_task(rules.run(records))
        await asyncio.sleep(0)
        warm: dict[str, Value] = {"temperature_c": 41}
        now_ms = line.clock.utc_ms()
        rules.consider(Reading(Key("sl-1", 1, 1), "lamp-1", "streetlight", now_ms, 0, warm))
        await asyncio.sleep(0.05)
        assert line.sent == []
        line.clock.set_utc(at_s(BEGIN) * 1000)
        now_ms = line.clock.utc_ms()
        rules.consider(Reading(Key("sl-1", 1, 2), "lamp-1", "streetlight", now_ms, 0, warm))
        await until(lambda: line.sent)
        running.cancel()
        await asyncio.wait([running])
        await line.end()

    asyncio.run(scene())


def test_what_only_goes_on_is_kept_now_and_then(tmp_path: Path) -> None:
    async def scene() -> None:
        line = Line(tmp_path)
        line.ask(60, "lamp-1")
        for _ in range(20):
            line.clock.advance(100_000)
            line.ask(60, "lamp-1", what=GOES_ON)
        await line.end()

    asyncio.run(scene())
    assert [each.what for each in kept(tmp_path)] == [BEGINS, *[GOES_ON] * 7]
