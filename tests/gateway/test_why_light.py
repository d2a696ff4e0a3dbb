"""Why a lamp has its level: each that may say it, and the order in which they do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline.cli import app
from kerbline.control.light.decision import BEGINS, ENDS, GATEWAY, GOES_ON, Decision, standing
from kerbline.model import Command, CommandResult, CommandState, Key, Reading, Value
from kerbline.store import FILE_NAME, Notes, Store
from tests.gateway.test_agent_light import CAP, CLASS, HEAD, at_s, config

T0_MS = at_s("2026-12-18T20:00") * 1000  # a Friday: program late, full until 02:00
RULE = """\
[[rule]]
name = "fog"
priority = 3
event = [{{asset = "lamp-1", event = "motion"}}]
[rule.set_level]
lamps = ["lamp-1"]
level_pct = 70
hold_s = 600
"""


def decided(
    at_s: float, by: str, what: str, level_pct: int, hold_s: int, *refused: str
) -> Decision:
    """Of lamp-1."""
    at_ms = T0_MS + round(1000 * at_s)
    operation = "set_level" if level_pct >= 0 else "release"
    lamps = () if refused else ("lamp-1",)
    no = dict.fromkeys(("lamp-1",), refused[0]) if refused else {}
    inputs = {"lamp-1 motion_ms": at_ms}
    return Decision(at_ms, by, "v7", what, operation, level_pct, hold_s, lamps, no, inputs)


def story(
    folder: Path,
    *told: Decision,
    orders: tuple[tuple[float, Command], ...] = (),
    state: CommandState = CommandState.OK,
    text: str = HEAD + RULE,
) -> str:
    """A store with that in it; the config's path."""
    config(folder, text)
    (folder / "state").mkdir(exist_ok=True)
    store = Store.open(folder / "state" / FILE_NAME)
    notes = [(n + 1, each.at_ms, each.body()) for n, each in enumerate(told)]
    values: dict[str, Value] = {"level_pct": 33, "power_w": 20.5}
    report = Reading(Key("sl-1", 1, 1), "lamp-1", "streetlight", T0_MS + 1_000, 0, values)
    seen: dict[str, Value] = {"event": "motion", "value": 1}
    motion = Reading(Key("sl-1", 1, 2), "lamp-1", "event", T0_MS + 2_000, 0, seen)
    store.append([report, motion], T0_MS + 3_000, Notes(decisions=notes))
    for at, command in orders:
        at_ms = T0_MS + round(1000 * at)
        store.commands.submit(command, at_ms, goes=True)
        store.commands.settle(CommandResult(command.id, "lamp-1", state, "", at_ms + 50))
    store.close()
    return str(folder / "gateway.toml")


def order(name: str, level_pct: int, hold_s: int = 600, source: str = "operator/anna") -> Command:
    """From outside; a level below 0 is a release."""
    if level_pct < 0:
        return Command(name, "lamp-1", "release", {}, 2**60, source)
    arguments = {"level_pct": level_pct, "hold_s": hold_s, "fade_ms": 0}
    return Command(name, "lamp-1", "set_level", arguments, 2**60, source)


def ask(file: str, at_s: float, *more: str) -> str:
    """What the command says of lamp-1."""
    at = (T0_MS + round(1000 * at_s)) / 1000
    stamp = datetime.fromtimestamp(at, UTC)
    told = CliRunner().invoke(app, ["why", file, "lamp-1", "--at", stamp.isoformat(), *more])
    assert told.exit_code == 0, told.output
    return told.output


def first(file: str, at_s: float) -> str:
    """The first line, after the time."""
    return ask(file, at_s).splitlines()[0].partition("UTC: ")[2]


def test_whoever_goes_first_is_named(tmp_path: Path) -> None:
    file = story(
        tmp_path,
        decided(10, "rule fog", BEGINS, 70, 600),
        decided(20, "dimming", "somebody may be near", 90, 30),
        decided(40, "dimming", "nobody can be near", -1, 0),
        orders=((100, order("a", 20)), (200, order("b", -1)), (300, order("c", 5, 60, "safety/x"))),
        text=HEAD + RULE + CLASS,
    )
    late = "program late by rule 1 of calendar homes"
    assert first(file, 5) == f"100 %, by {late}"
    assert first(file, 15) == "100 %, by rule fog, which asks for 70 %, and class M4"
    assert first(file, 25) == "100 %, by light on demand, which asks for 90 %, and class M4"
    assert first(file, 45) == "100 %, by rule fog, which asks for 70 %, and class M4"
    wanted = "100 %, by an order of operator/anna, which asks for 20 %, and class M4"
    assert first(file, 150) == wanted
    assert first(file, 250) == "100 %, by rule fog, which asks for 70 %, and class M4"
    assert first(file, 330) == "5 %, by an order of safety/x"  # it may
    assert "33 %, 20.5 W at 2026-12-18 19:00:01" in ask(file, 330)
    assert "somebody came at 2026-12-18 19:00:02" in ask(file, 330)
    for order_of in ("somebody may be near", "nobody can be near", "(version 7)"):
        assert order_of in ask(file, 330)


def test_a_cap_is_named(tmp_path: Path) -> None:
    file = story(tmp_path, decided(1, "rule fog", BEGINS, 90, 600), text=HEAD + RULE + CAP)
    assert first(file, 15) == "75 %, by rule fog, which asks for 90 %, and feeder"


def test_an_order_that_was_not_carried_out_holds_nothing(tmp_path: Path) -> None:
    file = story(tmp_path, orders=((10, order("a", 20)),), state=CommandState.ERROR)
    assert first(file, 20).startswith("100 %, by program late")


def test_of_the_citys_control_and_ours_the_later_one_counts(tmp_path: Path) -> None:
    rule = decided(50, "rule fog", BEGINS, 70, 600)
    file = story(tmp_path, rule, orders=((10, order("a", 20, 600, "control/scada")),))
    assert first(file, 20) == "20 %, by an order of control/scada"
    assert first(file, 60) == "70 %, by rule fog"


def test_what_was_refused_is_told_as_refused(tmp_path: Path) -> None:
    file = story(tmp_path, decided(10, "rule fog", BEGINS, 70, 600, "unreachable"))
    assert first(file, 20).startswith("100 %, by program late")
    assert "not carried out: unreachable" in ask(file, 20)


def test_a_machine_gets_one_object(tmp_path: Path) -> None:
    file = story(tmp_path, decided(10, "rule fog", BEGINS, 70, 600), text=HEAD + RULE + CLASS + CAP)
    found = json.loads(ask(file, 20, "--json"))
    assert (found["level_pct"], found["by"][:8]) == (100, "rule fog")
    assert found["asked"] == {"level_pct": 70, "by": "rule fog"}
    assert (found["floor_pct"], found["class"], found["ceiling_pct"]) == (100, "M4", 0)
    (control,) = found["control"]
    assert (control["version"], control["priority"]) == ("v7", 3)
    assert control["inputs"] == {"lamp-1 motion_ms": T0_MS + 10_000}
    assert found["told"] == {"level_pct": 33, "power_w": 20.5}


def test_a_lamp_of_no_program_says_so(tmp_path: Path) -> None:
    text = HEAD[: HEAD.index("[light]")]
    file = story(tmp_path, text=text)
    assert first(file, 5) == "its level is its node's own affair, by its node's own profile"


def test_without_a_store_it_says_what_to_do(tmp_path: Path) -> None:
    config(tmp_path, HEAD)
    told = CliRunner().invoke(app, ["why", str(tmp_path / "gateway.toml"), "lamp-1"])
    assert told.exit_code != 0
    assert "no such file" in str(told.exception or told.output)


@pytest.mark.parametrize(
    ("told", "at", "stands"),
    [
        ([(0, "rule a", BEGINS, 70, 60)], 59, ["rule a"]),
        ([(0, "rule a", BEGINS, 70, 60)], 359, ["rule a"]),  # it goes on, until it says otherwise
        ([(0, "rule a", BEGINS, 70, 60)], 361, []),  # or the gateway is dead
        ([(0, "rule a", BEGINS, 70, 60), (300, "rule a", GOES_ON, 70, 60)], 600, ["rule a"]),
        ([(0, "rule a", BEGINS, 70, 60), (100, "rule a", ENDS, 70, 60)], 159, ["rule a"]),
        ([(0, "rule a", BEGINS, 70, 60), (100, "rule a", ENDS, 70, 60)], 161, []),
        ([(0, "rule a", BEGINS, 70, 60), (100, GATEWAY, BEGINS, -1, 0)], 159, ["rule a"]),
        ([(0, "rule a", BEGINS, 70, 60), (100, GATEWAY, BEGINS, -1, 0)], 161, []),
        ([(0, "dimming", "near", 100, 30)], 29, ["dimming"]),
        ([(0, "dimming", "near", 100, 30)], 31, []),
        ([(0, "dimming", "near", 100, 30), (10, "dimming", "gone", -1, 0)], 11, []),
    ],
)
def test_how_long_a_decision_stands(
    told: list[tuple[float, str, str, int, int]], at: float, stands: list[str]
) -> None:
    every = [decided(*each) for each in told][::-1]
    now_ms = T0_MS + round(1000 * at)
    found = standing([each for each in every if each.at_ms <= now_ms], "lamp-1", now_ms)
    assert list(found) == stands


def test_a_decision_is_read_as_it_was_written_and_nothing_else_is() -> None:
    one = decided(3, "rule fog", BEGINS, 70, 600, "held by anna")
    assert Decision.parsed(one.body()) == one
    for bad in ("", "[]", "{}", '[1,"a","b","c","d",1,2,[],{},5]', '["x"]', "[" * 2_000, "null"):
        with pytest.raises(ValueError, match="no decision"):
            Decision.parsed(bad)
