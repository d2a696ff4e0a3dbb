"""The way of a command through the gateway: once, never late, and always one answer."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.agent.light.loops import Loops
from kerbline.agent.orders import Orders
from kerbline.agent.own_commands import OwnCommands
from kerbline.clock import ManualClock
from kerbline.control import program
from kerbline.counters import Counters
from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.south.arrivals import Answered
from kerbline.store import GroupCommit, GroupPolicy, Store
from kerbline.store.ledger import LATE_KEPT
from tools.trees import ROOT

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
TOPICS = Topics("kerbline", "gw-1")


class MemoryStreet:
    """Lamps that take whatever is sent."""

    def __init__(self) -> None:
        self.there = True
        self.room = True
        self.never = ""
        self.done: list[Command] = []

    def reachable(self, asset: str) -> bool:
        """Whether the node is there."""
        return self.there

    def refusal(self, command: Command) -> str:
        """Why it never will."""
        return self.never

    def send(self, command: Command) -> bool:
        """Carry it out."""
        if not self.room:
            return False
        self.done.append(command)
        return True


class MemoryDesk:
    """Messages in, results out."""

    def __init__(self) -> None:
        self.told: list[CommandResult] = []
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    async def received(self) -> Message:
        """The next message."""
        return await self.inbox.get()

    def tell(self, result: CommandResult) -> None:
        """Note it."""
        self.told.append(result)


class Life:
    """One life of the part of a gateway that a command goes through; ends as a kill does."""

    def __init__(self, path: Path, now_ms: int = NOW_MS) -> None:
        self.clock = ManualClock(now_ms)
        self.store = Store.open(path)
        self.street = MemoryStreet()
        self.desk = MemoryDesk()
        group = GroupCommit(self.store, GroupPolicy(), self.clock.utc_ms)
        self.loops = Loops(program.Plan(), self.clock, program.State(), group)
        self.group = group
        kinds = {"lamp-1": "streetlight", "lamp-2": "streetlight"}
        self.orders = Orders(
            kinds, self.store, group, self.street, self.loops, self.clock, Counters()
        )
        self.own = OwnCommands(kinds, self.street, group, self.clock)

    async def order(self, payload: bytes, *, retained: bool = False, asset: str = "lamp-1") -> None:
        """One message comes in."""
        message = Message(f"kerbline/gw-1/{asset}/command", payload, retained)
        await self.orders.submit(message, self.desk, TOPICS)

    def states(self) -> list[tuple[str, str, str]]:
        """What was told."""
        return [(r.command_id, r.state, r.reason) for r in self.desk.told]


def lives(path: Path, *stories: Callable[[Life], Awaitable[None]], later_ms: int = 0) -> None:
    """One life after the other on the same store, `later_ms` apart."""

    async def live(story: Callable[[Life], Awaitable[None]], now_ms: int) -> None:
        life = Life(path, now_ms)
        entering = asyncio.create_task(life.orders.enter())
        try:
            await life.orders.resume([life.desk])
            await story(life)
        finally:
            entering.cancel()
            await life.group.close()

    for index, story in enumerate(stories):
        asyncio.run(live(story, NOW_MS + index * later_ms))


def order(name: str = "a1", **change: object) -> bytes:
    body: dict[str, Any] = {
        "id": name,
        "operation": "set_level",
        "arguments": {"level_pct": 60, "hold_s": 3600},
        "expires_at": NOW_MS + 5_000,
    }
    return orjson.dumps({**body, **change})


def control(level: int = 30) -> Command:
    return Command(
        "own", "lamp-1", "set_level", {"level_pct": level}, NOW_MS + HOUR_MS, "control/dimming"
    )


def test_a_command_that_went_unanswered_does_not_go_again(tmp_path: Path) -> None:
    """Nor under another number on the wire, which its node would not know."""

    async def sent(life: Life) -> None:
        await life.order(order())
        assert [command.id for command in life.street.done] == ["a1"]

    async def after(life: Life) -> None:
        await life.orders.joined("lamp-1")
        assert life.street.done == []
        assert life.states() == [("a1", "ERROR", "outcome_unknown")]

    lives(tmp_path / "s.db", sent, after)


def test_a_command_waits_for_its_node_across_a_kill_and_goes_once(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        life.street.there = False
        await life.order(order())

    async def after(life: Life) -> None:
        await life.orders.joined("lamp-1")
        await life.orders.joined("lamp-1")
        assert [command.id for command in life.street.done] == ["a1"]
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        assert life.states() == [("a1", "OK", "")]

    lives(tmp_path / "s.db", before, after, later_ms=1_000)


def test_orders_that_waited_go_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(12)]

    async def before(life: Life) -> None:
        life.street.there = False
        for name in names[:8]:
            life.clock.advance(-1)  # NTP sets it back
            await life.order(order(name))

    async def after(life: Life) -> None:
        life.street.room = False  # each that is tried goes back to where it was
        for name in names[8:]:
            await life.order(order(name))
        life.street.room = True
        await life.order(order("last"))
        assert [command.id for command in life.street.done] == [*names, "last"]

    lives(tmp_path / "s.db", before, after, later_ms=1_000)


def test_who_asks_for_a_console_stands_in_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = order("s1", operation="service", arguments={"seconds": 60}, source="x")

    async def story(life: Life) -> None:
        life.street.there = False
        for _ in range(2):  # a broker may bring it twice
            await life.order(asked)

    lives(tmp_path / "store.db", story)
    said = [each for each in caplog.messages if "console" in each]
    assert said == ["command s1: the console of lamp-1 is asked for, for 60 s, by operator/x"]


def test_after_an_outage_nothing_stale_is_written(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        life.street.there = False
        await life.order(order())

    async def after(life: Life) -> None:
        await life.orders.joined("lamp-1")
        assert life.street.done == []
        assert life.states() == [("a1", "EXPIRED", "expired")]

    lives(tmp_path / "s.db", before, after, later_ms=5_000)


def test_what_the_config_allows_no_more_is_not_sent_after_a_restart(tmp_path: Path) -> None:
    """An order that waited was judged by another config."""

    async def before(life: Life) -> None:
        life.street.there = False
        await life.order(order())

    async def after() -> None:
        life = Life(tmp_path / "s.db")
        life.street.never = "not_writable: speed_hz"
        await life.orders.resume([life.desk])
        await life.orders.joined("lamp-1")
        assert life.street.done == []
        assert life.states() == [("a1", "REJECTED", "not_writable: speed_hz")]
        await life.group.close()

    lives(tmp_path / "s.db", before)
    asyncio.run(after())


def test_an_order_that_went_otherwise_says_so_and_a_repeat_is_told_the_same(tmp_path: Path) -> None:
    note = "raised: 67 % (class M5)"

    async def story(life: Life) -> None:
        await life.order(order())
        await life.orders.answered(Answered("a1", "lamp-1", "", note))
        await life.order(order())
        assert life.states() == [("a1", "OK", note)] * 2

    async def after(life: Life) -> None:
        await life.order(order("b2"))
        await life.orders.answered(Answered("b2", "lamp-1", "busy", note))
        assert life.states() == [("b2", "ERROR", "busy")]

    lives(tmp_path / "s.db", story, after)


def test_a_loops_command_is_judged_like_any_other(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        life.street.never = "out_of_range: speed_hz: 0 to 50"
        life.own.issue(control())
        assert life.street.done == []
        life.group.stop()
        await life.group.run()
        (result,) = life.store.commands.audit("own")
        assert (result.state, result.reason) == (CommandState.REJECTED, life.street.never)

    lives(tmp_path / "s.db", story)


def test_of_a_loops_commands_the_book_has_those_that_a_node_refused(tmp_path: Path) -> None:
    """Of the others the decision is kept: 54 bytes instead of 4,200, for each car that passes."""

    async def story(life: Life) -> None:
        gone = [replace(control(), id=name) for name in ("fine", "bad", "away")]
        assert [life.own.issue(each) for each in gone[:2]] == ["", ""]
        life.street.room = False
        assert life.own.issue(gone[2]) == "unreachable"
        assert life.own.answered(Answered("fine", "lamp-1", "", "raised: 67 % (class M5)"))
        assert life.own.answered(Answered("bad", "lamp-1", "busy"))
        assert not life.own.answered(Answered("bad", "lamp-1", "busy"))
        life.group.stop()
        await life.group.run()
        audits = [life.store.commands.audit(each.id) for each in gone]
        assert [[line.reason for line in audit] for audit in audits] == [[], ["busy"], []]

    lives(tmp_path / "s.db", story)


def test_what_a_node_of_another_kind_is_spared_takes_no_room_in_the_book(tmp_path: Path) -> None:
    """A rule asks each 30 s: in days the orders of the city would be forgotten, and run twice."""

    async def story(life: Life) -> None:
        own = OwnCommands({"lamp-1": "water_meter"}, life.street, life.group, life.clock)
        assert own.issue(control()) == "unsupported: set_level on a water_meter"
        assert life.street.done == []
        life.group.stop()
        await life.group.run()
        assert life.store.commands.audit("own") == []

    lives(tmp_path / "s.db", story)


def test_a_node_with_no_room_gets_it_later(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        life.street.room = False
        await life.order(order())
        assert life.street.done == []
        life.street.room = True
        await life.orders.joined("lamp-1")
        assert len(life.street.done) == 1

    lives(tmp_path / "s.db", story)


def test_a_copy_that_comes_late_or_is_retained_is_told_what_became_of_it(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        await life.order(order())
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        life.clock.advance(6_000)
        await life.order(order())
        await life.order(order(), retained=True)
        await life.order(order("a2"))
        await life.order(order("a3"), retained=True)
        assert life.states() == [
            *[("a1", "OK", "")] * 3,
            ("a2", "REJECTED", "expired"),
            ("a3", "REJECTED", "retained: publish commands without the retain flag"),
        ]
        assert len(life.street.done) == 1

    lives(tmp_path / "s.db", story)


def test_an_operator_holds_a_lamp_across_a_restart(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        await life.order(order(source="dispatcher-3"))
        await life.orders.answered(Answered("a1", "lamp-1", ""))

    async def within(life: Life) -> None:
        assert life.loops.operate(control()) == "held by operator/dispatcher-3"

    async def later(life: Life) -> None:
        assert life.loops.operate(control()) == "", "its hour is over"

    lives(tmp_path / "s.db", before, within, within, later, later_ms=HOUR_MS * 2 // 5)


def test_a_release_frees_a_lamp_across_a_restart(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        for name, operation, arguments in (
            ("a1", "set_level", {"level_pct": 60}),
            ("a2", "release", {}),
        ):
            await life.order(order(name, operation=operation, arguments=arguments))
            await life.orders.answered(Answered(name, "lamp-1", ""))

    async def after(life: Life) -> None:
        assert life.loops.operate(control()) == ""

    lives(tmp_path / "s.db", before, after)


def test_a_command_that_came_to_nothing_holds_nothing(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        await life.order(order("first", source="first"))
        await life.orders.answered(Answered("first", "lamp-1", ""))
        life.street.there = False
        await life.order(order("second", source="second"))
        assert life.loops.operate(control()) == "held by operator/second"
        await life.orders.answered(Answered("second", "lamp-1", "failed"))
        assert life.loops.operate(control()) == "held by operator/first"

    lives(tmp_path / "s.db", story)


REASONS = set(
    re.findall(r"`([a-z_]+)[:`]", (ROOT / "docs" / "operate" / "commands.md").read_text())
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ["id", "operation", "arguments", "expires_at", "priority", "source", "level_pct"]
NAMES = st.sampled_from(FIELDS) | st.text(max_size=8)
WORDS = st.sampled_from(["set_level", "release", "reboot", "safety", "a1", "2026-09-21T14:13:25Z"])
NUMBERS = st.integers(NOW_MS - 10, NOW_MS + 10_000)
ORDERS = st.dictionaries(NAMES, JSON | WORDS | NUMBERS, max_size=4)


@given(st.lists(st.tuples(ORDERS, st.booleans(), st.binary(max_size=30)), min_size=1, max_size=8))
def test_whatever_comes_gets_one_answer(messages: list[tuple[dict[str, Any], bool, bytes]]) -> None:
    async def story(life: Life) -> None:
        for number, (change, retained, junk) in enumerate(messages):
            body = {**orjson.loads(order(f"m{number}")), **change}
            try:
                payload = orjson.dumps(body)
            except TypeError:  # an integer that JSON has, and orjson does not write
                payload = repr(body).encode()
            for sent in (payload, junk):
                life.desk.told.clear()
                before = len(life.street.done)
                await life.order(sent, retained=retained)
                for command in life.street.done[before:]:
                    assert not life.desk.told
                    assert command.expires_at_ms > NOW_MS
                    await life.orders.answered(Answered(command.id, command.asset, ""))
                (result,) = life.desk.told
                if result.state is CommandState.REJECTED:
                    assert result.reason.partition(":")[0].partition(" ")[0] in REASONS
                if isinstance(body["id"], str) and sent is payload and result.command_id:
                    assert result.command_id == body["id"]

    with tempfile.TemporaryDirectory() as folder:
        lives(Path(folder) / "s.db", story)


class FullDisk:
    """Whatever would be written, the disk has no room for it."""

    def __init__(self, life: Life) -> None:
        self._database = life.store._database

    def fill(self) -> None:
        """From here on."""
        self._database.refused = "full"

    def free(self) -> None:
        """Room again."""
        self._database.refused = ""


def test_a_full_disk_stops_no_command_and_runs_none_twice(tmp_path: Path) -> None:
    async def sent(life: Life) -> None:
        disk = FullDisk(life)
        disk.fill()
        await life.order(order())
        await life.order(order())  # its copy
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        await life.order(order())
        assert [command.id for command in life.street.done] == ["a1"]
        assert [state for _, state, _ in life.states()] == ["DELIVERED", "OK", "OK"]
        assert life.loops.refuses(control()) == "held by mqtt"
        assert life.store.commands.audit("a1")
        disk.free()
        await life.order(order("a2"))

    async def after(life: Life) -> None:
        audit = [result.state for result in life.store.commands.audit("a1")]
        assert audit == [CommandState.PENDING, CommandState.DELIVERED, CommandState.OK]
        await life.order(order())
        assert life.street.done == []

    lives(tmp_path / "s.db", sent, after)


def test_what_fails_while_the_disk_is_full_gives_its_asset_back(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        await life.order(order())
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        FullDisk(life).fill()
        await life.order(order("a2", priority="operator", source="desk"))
        assert life.loops.refuses(control()) == "held by operator/desk"
        await life.orders.answered(Answered("a2", "lamp-1", "failed"))
        assert life.loops.refuses(control()) == "held by mqtt"

    lives(tmp_path / "s.db", story)


def test_more_commands_than_wait_for_a_full_disk_are_rejected(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        FullDisk(life).fill()
        for number in range(LATE_KEPT):
            await life.order(order(f"a{number}"))
            await life.orders.answered(Answered(f"a{number}", "lamp-1", ""))
        await life.order(order("one-more"))
        assert life.states()[-1] == ("one-more", "REJECTED", "store_blocked")
        assert len(life.street.done) == LATE_KEPT

    lives(tmp_path / "s.db", story)
