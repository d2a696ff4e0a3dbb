"""An order leaves before the disk has it: what a kill and a power cut then find, at each point.

The store's thread is held up, as by a slow disk. A kill leaves what the kernel has: copies of the
files at that moment. A power cut leaves what was synced: of the daybook nothing, or anything.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from kerbline.model import Command, CommandResult, CommandState
from kerbline.operations import OPERATIONS
from kerbline.south.arrivals import Answered
from kerbline.store.database import Database
from kerbline.store.ledger import OUTCOME_UNKNOWN, CommandLedger
from kerbwire import messages as m
from tests.gateway.test_orders import Life, MemoryDesk, control, lives, order

UNKNOWN = ("a1", "ERROR", "outcome_unknown")


@asynccontextmanager
async def slow_disk(life: Life) -> AsyncIterator[None]:
    """Nothing gets to the disk meanwhile; then all of it."""
    gate = threading.Event()
    held = life.group.begin(gate.wait)
    try:
        yield
    finally:
        gate.set()
        await held
        await life.group.call(lambda: None)
        await asyncio.sleep(0)


def gate_in(life: Life) -> threading.Event:
    """What comes to the store's thread behind this waits until it is set."""
    gate = threading.Event()
    life.group.begin(gate.wait)
    return gate


def cut(path: Path, folder: Path, *, power: bool = False) -> Path:
    """The store as the next start finds it, were this the end."""
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        if not file.name.endswith((".lock", "-shm")) and not (power and "daybook" in file.name):
            shutil.copy(file, folder)
    return folder / path.name


def audit(path: Path, name: str = "a1") -> list[str]:
    found: list[str] = []

    async def look(life: Life) -> None:
        found.extend(result.state.value for result in life.store.commands.audit(name))

    lives(path, look)
    return found


def reboot(name: str) -> bytes:
    return order(name, operation="reboot", arguments={})


async def never_sent_again(life: Life) -> None:
    """Its sender repeats it, and its node comes back."""
    assert life.states() == [UNKNOWN]
    await life.order(order())
    await life.orders.joined("lamp-1")
    assert life.street.done == []
    assert life.states() == [UNKNOWN, UNKNOWN]


def test_an_order_leaves_while_the_disk_is_busy_and_nothing_is_told_of_it(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        async with slow_disk(life):
            await life.order(order())
            assert [command.id for command in life.street.done] == ["a1"]
            answered = asyncio.create_task(life.orders.answered(Answered("a1", "lamp-1", "")))
            copy = asyncio.create_task(life.order(order()))
            await asyncio.sleep(0.05)
            assert life.states() == []
        await asyncio.gather(answered, copy)
        assert life.states() == [("a1", "OK", "")] * 2
        assert len(life.street.done) == 1

    lives(tmp_path / "s.db", story)
    assert audit(tmp_path / "s.db") == ["PENDING", "DELIVERED", "OK"]


class Following(MemoryDesk):
    """Wants every state."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[CommandState] = []

    def moves(self, command: Command, result: CommandResult) -> None:
        """Note it."""
        assert command.id == result.command_id
        self.moved.append(result.state)


def test_who_follows_an_order_hears_of_it_when_the_disk_has_it(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        life.desk = follower = Following()
        async with slow_disk(life):
            await life.order(order())
            answered = asyncio.create_task(life.orders.answered(Answered("a1", "lamp-1", "")))
            await asyncio.sleep(0.05)
            assert follower.moved == []
        await answered
        assert follower.moved == [CommandState.DELIVERED, CommandState.OK]

    lives(tmp_path / "s.db", story)


def test_an_answer_as_soon_as_the_disk_has_it_is_told_behind_its_order(tmp_path: Path) -> None:
    """Both come from the store's thread while this loop stands still."""

    async def story(life: Life) -> None:
        life.desk = follower = Following()
        gate, idle = gate_in(life), threading.Event()
        await life.order(order())
        answered = asyncio.create_task(life.orders.answered(Answered("a1", "lamp-1", "")))
        await asyncio.sleep(0)
        life.group.begin(idle.set)
        gate.set()
        idle.wait()
        await answered
        assert follower.moved == [CommandState.DELIVERED, CommandState.OK]

    lives(tmp_path / "s.db", story)


async def left(life: Life, kill: Callable[[], Path]) -> None:
    async with slow_disk(life):
        await life.order(order())
        kill()


async def entered(life: Life, kill: Callable[[], Path]) -> None:
    async with slow_disk(life):
        await life.order(order())
    kill()


async def answered_unentered(life: Life, kill: Callable[[], Path]) -> None:
    async with slow_disk(life):
        await life.order(order())
        answer = asyncio.create_task(life.orders.answered(Answered("a1", "lamp-1", "")))
        await asyncio.sleep(0.02)
        kill()
    await answer


@pytest.mark.parametrize("moment", [left, entered, answered_unentered])
def test_killed_once_it_left_it_is_told_as_unknown_and_never_sent_again(
    moment: Callable[[Life, Callable[[], Path]], Awaitable[None]], tmp_path: Path
) -> None:
    path, after = tmp_path / "s.db", tmp_path / "after"

    async def before(life: Life) -> None:
        await moment(life, lambda: cut(path, after))
        assert len(life.street.done) == 1

    lives(path, before)
    lives(after / "s.db", never_sent_again)
    assert audit(after / "s.db") == ["PENDING", "DELIVERED", "ERROR"]


def test_killed_when_it_was_told_it_is_told_so_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def before(life: Life) -> None:
        await life.order(order())
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        cut(path, tmp_path / "after")

    async def after(life: Life) -> None:
        assert life.states() == []
        await life.order(order())
        assert (life.states(), life.street.done) == ([("a1", "OK", "")], [])

    lives(path, before)
    lives(tmp_path / "after" / "s.db", after)


def test_killed_twice_before_the_disk_takes_anything_it_is_still_known(tmp_path: Path) -> None:
    """The second life enters what the first left; it is killed in that, and its disk is full."""
    path = tmp_path / "s.db"

    async def first(life: Life) -> None:
        async with slow_disk(life):
            await life.order(order())
            cut(path, tmp_path / "second")

    lives(path, first)
    second = tmp_path / "second" / "s.db"
    ledger_before = {each.name: each.read_bytes() for each in second.parent.iterdir()}

    async def then(life: Life) -> None:
        assert life.states() == [UNKNOWN]

    lives(second, then)
    for name, content in ledger_before.items():  # it was killed before its commit
        (second.parent / name).write_bytes(content)
    lives(second, never_sent_again)


def test_after_a_power_cut_what_was_not_synced_never_was(tmp_path: Path) -> None:
    """Nothing was told of it: its sender repeats it, and once more does what once did."""
    path = tmp_path / "s.db"

    async def before(life: Life) -> None:
        async with slow_disk(life):
            await life.order(order())
            cut(path, tmp_path / "after", power=True)
            assert life.states() == []

    async def after(life: Life) -> None:
        assert life.states() == []
        await life.order(order())
        await life.orders.answered(Answered("a1", "lamp-1", ""))
        assert [command.id for command in life.street.done] == ["a1"]
        assert life.states() == [("a1", "OK", "")]

    lives(path, before)
    lives(tmp_path / "after" / "s.db", after)
    assert audit(tmp_path / "after" / "s.db") == ["PENDING", "DELIVERED", "OK"]


def test_whatever_a_power_cut_leaves_of_the_daybook_the_gateway_starts(tmp_path: Path) -> None:
    path, chance = tmp_path / "s.db", random.Random(7)

    async def before(life: Life) -> None:
        async with slow_disk(life):
            for number in range(6):
                await life.order(order(f"a{number}"))
            cut(path, tmp_path / "cut")

    lives(path, before)
    whole = (tmp_path / "cut" / "s.db.daybook").read_bytes()
    for case in range(30):
        folder = tmp_path / f"case-{case}"
        shutil.copytree(tmp_path / "cut", folder)
        torn = bytearray(whole[: chance.randrange(len(whole) + 1)])
        if case % 2:
            torn = bytearray(whole)
            torn[chance.randrange(len(torn))] ^= 1 << chance.randrange(8)
        (folder / "s.db.daybook").write_bytes(torn)
        told: list[str] = []

        async def after(life: Life, told: list[str] = told) -> None:
            told.extend(name for name, state, _ in life.states() if state == "ERROR")

        lives(folder / "s.db", after)
        assert told == [f"a{number}" for number in range(len(told))], "a beginning of them"
        assert torn != whole or len(told) == 6


def test_what_may_not_run_twice_waits_for_the_disk(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        async with slow_disk(life):
            ordered = asyncio.create_task(life.order(reboot("a1")))
            await asyncio.sleep(0.05)
            assert life.street.done == []
        await ordered
        assert [command.id for command in life.street.done] == ["a1"]

    lives(tmp_path / "s.db", story)


def test_only_what_the_wire_calls_idempotent_leaves_at_once() -> None:
    numbers = {name: number for number, name in m.OP_NAMES.items()}
    at_once = {numbers[name] for name, each in OPERATIONS.items() if each.repeatable}
    assert at_once == set(m.IDEMPOTENT_OPS)


def test_orders_to_one_asset_keep_their_order_whatever_each_waits_for(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        async with slow_disk(life):
            tasks = []
            for payload in (order("a1"), reboot("a2"), order("a3"), order("a4")):
                tasks.append(asyncio.create_task(life.order(payload)))
                await asyncio.sleep(0)
            await life.order(order("b1"), asset="lamp-2")  # of another it waits for nothing
            assert [command.id for command in life.street.done] == ["a1", "b1"]
        await asyncio.gather(*tasks)
        assert [command.id for command in life.street.done] == ["a1", "b1", "a2", "a3", "a4"]
        await life.order(order("a5"))
        assert life.street.done[-1].id == "a5"

    lives(tmp_path / "s.db", story)


def test_one_that_waited_for_its_node_is_not_overtaken_on_its_way(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        life.street.there = False
        await life.order(order("a1"))
        life.street.there = True
        async with slow_disk(life):
            joined = asyncio.create_task(life.orders.joined("lamp-1"))
            await asyncio.sleep(0)
            later = asyncio.create_task(life.order(order("a2")))
            await asyncio.sleep(0.02)
            assert life.street.done == []
        await asyncio.gather(joined, later)
        assert [command.id for command in life.street.done] == ["a1", "a2"]

    lives(tmp_path / "s.db", story)


def test_a_copy_in_the_same_moment_runs_nothing(tmp_path: Path) -> None:
    """Neither of an order that is on its way to the disk, nor of one that the log has."""

    async def story(life: Life) -> None:
        await asyncio.gather(*[life.order(order()) for _ in range(5)])
        changed = orjson.dumps({**orjson.loads(order()), "arguments": {"level_pct": 1}})
        await life.order(changed)
        assert len(life.street.done) == 1
        assert life.states() == [("a1", "DELIVERED", "")] * 4 + [("a1", "REJECTED", "id_reused")]

    async def after(life: Life) -> None:
        await life.order(order())
        assert life.street.done == []

    lives(tmp_path / "s.db", story, after)


def test_with_a_disk_that_refuses_an_order_is_written_down_for_a_kill(tmp_path: Path) -> None:
    """Its page of the daybook is there already; also what may not run twice, and what waits."""
    path = tmp_path / "s.db"
    payloads = {"a1": order("a1"), "a2": order("a2"), "a3": reboot("a3"), "a4": order("a4")}

    async def before(life: Life) -> None:
        life.store._database.refused = "full"
        for name, payload in payloads.items():
            life.street.there = name != "a4"
            await life.order(payload)
            await life.group.call(lambda: None)  # from the second on the disk is asked first
        assert [command.id for command in life.street.done] == ["a1", "a2", "a3"]
        cut(path, tmp_path / "after")

    async def after(life: Life) -> None:
        assert life.states() == [(name, "ERROR", "outcome_unknown") for name in payloads]
        for payload in payloads.values():
            await life.order(payload)
        assert life.street.done == []

    lives(path, before)
    lives(tmp_path / "after" / "s.db", after)


def test_one_that_found_no_room_is_not_overtaken_by_the_next(tmp_path: Path) -> None:
    """Room comes while the next waits for the disk."""

    async def story(life: Life) -> None:
        life.street.room = False
        tasks, gates = [], []
        for name in ("a1", "a2"):
            gates.append(gate_in(life))
            tasks.append(asyncio.create_task(life.order(reboot(name))))
            await asyncio.sleep(0.02)
        gates[0].set()
        await asyncio.sleep(0.05)
        life.street.room = True
        gates[1].set()
        await asyncio.gather(*tasks)
        await life.orders.joined("lamp-1")
        assert [command.id for command in life.street.done] == ["a1", "a2"]

    lives(tmp_path / "s.db", story)


def test_who_orders_while_another_order_comes_to_nothing_holds_the_asset(tmp_path: Path) -> None:
    async def story(life: Life) -> None:
        await life.order(order("a1"))
        entered_late, looked_up_late = gate_in(life), threading.Event()
        failed = asyncio.create_task(life.orders.answered(Answered("a1", "lamp-1", "failed")))
        await asyncio.sleep(0.02)
        life.group.begin(looked_up_late.wait)
        entered_late.set()
        await asyncio.sleep(0.05)
        later = asyncio.create_task(life.order(order("a2")))
        await asyncio.sleep(0.02)
        looked_up_late.set()
        await asyncio.gather(failed, later)
        assert life.loops.refuses(control()) == "held by mqtt"

    lives(tmp_path / "s.db", story)


def test_what_a_kill_left_is_told_though_the_disk_refuses_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def before(life: Life) -> None:
        async with slow_disk(life):
            await life.order(order())
            cut(path, tmp_path / "after")

    lives(path, before)
    database = Database.open(tmp_path / "after" / "s.db")
    database.refused = "full"
    ledger = CommandLedger(database)
    ledger.load()
    ((command, state),) = ledger.open()
    assert (command.id, state) == ("a1", CommandState.DELIVERED)
    ledger.settle(CommandResult("a1", "lamp-1", CommandState.ERROR, OUTCOME_UNKNOWN))
    assert ledger.open() == []
    ledger.close()
    database.close()


def test_what_was_told_while_the_disk_refused_is_so_after_a_kill(tmp_path: Path) -> None:
    """Of an order that was in the book before, and of one that is not yet."""
    path = tmp_path / "s.db"

    async def before(life: Life) -> None:
        await life.order(order("a0"))
        await life.group.call(lambda: None)
        life.store._database.refused = "full"
        await life.order(order("a1"))
        await life.orders.answered(Answered("a0", "lamp-1", ""))
        await life.orders.answered(Answered("a1", "lamp-1", "failed"))
        assert [state for _, state, _ in life.states()] == ["OK", "ERROR"]
        cut(path, tmp_path / "after")
        shutil.copytree(tmp_path / "after", tmp_path / "full")

    async def after(life: Life) -> None:
        assert life.states() == []
        await life.order(order("a0"))
        await life.order(order("a1"))
        assert life.street.done == []
        assert life.states() == [("a0", "OK", ""), ("a1", "ERROR", "failed")]

    lives(path, before)
    lives(tmp_path / "after" / "s.db", after, after)
    assert audit(tmp_path / "after" / "s.db", "a1") == ["PENDING", "DELIVERED", "ERROR"]
    for _ in range(2):  # it is killed again, with the disk as full
        database = Database.open(tmp_path / "full" / "s.db")
        database.refused = "full"
        ledger = CommandLedger(database)
        ledger.load()
        found = [ledger.known(name) for name in ("a0", "a1")]
        assert [each and each.state for each in found] == [CommandState.OK, CommandState.ERROR]
        assert ledger.open() == []
        ledger.close()
        database.close()
