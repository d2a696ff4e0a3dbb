"""An operator's rules through the agent: from a reading to a lamp; and why, from the store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from kerbline import agent
from kerbline.cli import app
from kerbline.store import FILE_NAME
from kerbwire import messages as m
from tests.gateway.pocket_node import PocketNode, serve_tcp
from tests.gateway.test_agent_light import CLASS, HEAD, KEY, at_s, config

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
WAIT_S = 10.0


async def until(holds: Callable[[], object]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def evening(folder: Path, text: str, *temperatures: int) -> PocketNode:
    """A gateway's life, in which a lamp reports some temperatures."""
    node = PocketNode("sl-1", KEY)
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


def test_decisions_are_in_the_store(tmp_path: Path) -> None:
    asyncio.run(evening(tmp_path, HEAD + WARM.format(level=80), 41))
    sql = sqlite3.connect(tmp_path / "state" / FILE_NAME)
    (entries,) = sql.execute("SELECT sum(entries) FROM decision").fetchone()
    sql.close()
    assert entries == 2  # the gateway began, the rule began
