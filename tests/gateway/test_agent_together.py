"""An order to a group of lamps over MQTT: each lamp gets it, and one result is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kerbline.agent.together import Groups, together
from kerbline.counters import Counters
from kerbline.model import CommandResult, CommandState
from kerbline.north.commands import Rights
from kerbline.north.port import Message
from kerbline.south.arrivals import Answered
from tests.gateway.test_orders import NOW_MS, TOPICS, Life, lives, order

STREET = {"street": ("lamp-1", "lamp-2")}


async def until(told: Callable[[], object]) -> None:
    """Wait for it, a second at most."""
    for _ in range(1000):
        if told():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come")


def served(story: Callable[[Life, Callable[[bytes], None]], Awaitable[None]], path: Path) -> None:
    """Play with the groups between a desk and the orders."""

    async def play(life: Life) -> None:
        groups = Groups(STREET, life.orders, life.clock, Counters(), Rights())
        serving = asyncio.create_task(groups.serve(life.desk, TOPICS))

        def come(payload: bytes, asset: str = "street") -> None:
            topic = f"kerbline/gw-1/{asset}/command"
            life.desk.inbox.put_nowait(Message(topic, payload, retained=False))

        try:
            await story(life, come)
        finally:
            serving.cancel()

    lives(path, play)


def test_each_lamp_does_it_and_a_repeat_is_told_the_same(tmp_path: Path) -> None:
    async def story(life: Life, come: Callable[[bytes], None]) -> None:
        come(order("night"))
        await until(lambda: len(life.street.done) == 2)
        assert [(each.id, each.asset) for each in life.street.done] == [
            ("night@lamp-1", "lamp-1"),
            ("night@lamp-2", "lamp-2"),
        ]
        await life.orders.answered(Answered("night@lamp-1", "lamp-1", ""))
        assert life.desk.told == []
        raised = "raised: 67 % (class M5)"
        await life.orders.answered(Answered("night@lamp-2", "lamp-2", "", raised))
        await until(lambda: life.desk.told)
        assert life.states() == [("night", "OK", raised)]
        assert life.desk.told[0].asset == "street"
        come(order("night"))
        await until(lambda: len(life.desk.told) == 2)
        assert life.states()[1] == ("night", "OK", raised)
        assert len(life.street.done) == 2

    served(story, tmp_path / "s.db")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (order("x" * 32), "bad_id: 1 to 31 characters for a group"),
        (order("night", operation="write"), "unsupported"),
        (b"no", "not_json"),
    ],
)
def test_what_no_group_can_be_asked_is_rejected_once(
    tmp_path: Path, payload: bytes, reason: str
) -> None:
    async def story(life: Life, come: Callable[[bytes], None]) -> None:
        come(payload)
        await until(lambda: life.desk.told)
        (result,) = life.desk.told
        assert (result.asset, result.state) == ("street", CommandState.REJECTED)
        assert result.reason.startswith(reason)
        assert life.street.done == []

    served(story, tmp_path / "s.db")


def test_an_order_to_a_lamp_goes_as_ever(tmp_path: Path) -> None:
    async def story(life: Life, come: Callable[..., None]) -> None:
        come(order("one"), "lamp-1")
        await until(lambda: life.street.done)
        await life.orders.answered(Answered("one", "lamp-1", ""))
        assert life.states() == [("one", "OK", "")]

    served(story, tmp_path / "s.db")


def test_one_result_of_many() -> None:
    done = CommandResult("1", "lamp-1", CommandState.OK)
    raised = CommandResult("2", "lamp-2", CommandState.OK, "raised: 67 % (class M5)")
    broken = CommandResult("3", "lamp-3", CommandState.ERROR, "busy")
    away = CommandResult("4", "lamp-4", CommandState.EXPIRED, "expired")
    told = together("0", "quay", [done, raised], NOW_MS)
    assert told == CommandResult("0", "quay", CommandState.OK, raised.reason, NOW_MS)
    assert together("0", "quay", [done, done], 5).reason == ""
    assert together("0", "quay", [done, broken], 5).reason == "partly: lamp-3 busy"
    assert (
        together("0", "quay", [broken, away], 5).reason
        == "none_of_them: lamp-3 busy, lamp-4 expired"
    )
