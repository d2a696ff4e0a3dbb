"""When what a campaign decides becomes durable: at once, soon, or as soon as the disk takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from kerbline.agent.fleet.update_keeping import KEEP_MS, Keeping
from kerbline.update.campaign import Activate
from kerbline.update.states import State
from kerbwire import messages as m
from tests.gateway.test_permit_door import ByHand
from tests.gateway.test_update_hearing import NODE, One
from tests.gateway.test_update_journal import begun, lines


class Kept:
    """A campaign of one node, and what of it is on the disk."""

    def __init__(self, folder: Path) -> None:
        self.one = One()
        self.clock = ByHand()
        self.clock.now_ms = KEEP_MS
        self.journal = begun(folder)
        self.keeping = Keeping(self.journal, self.clock, _inline)
        found = self.journal.read()
        assert found is not None
        self.keeping.begin(found)
        self.keep()

    def keep(self, *, pressing: bool = False) -> bool:
        done = self.keeping.keep(self.one.campaign, self.one.now_ms, pressing=pressing)
        return asyncio.run(done)

    def owes(self) -> bool:
        """Is something not durable yet?"""
        return self.keeping.owes

    def refused(self) -> bool:
        """By the disk."""
        return self.keeping.refused

    def state(self) -> State | None:
        """Of the node, on the disk."""
        found = self.journal.read()
        assert found is not None
        progress = found.progress.get(NODE)
        return None if progress is None else progress.state


async def _inline(call: Callable[[], object]) -> object:
    return call()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_what_nothing_hangs_on_waits_for_more_and_an_order_does_not(kept: Kept) -> None:
    kept.one.opened()
    assert kept.keep() and not kept.owes(), "a stage that begins waits for nothing"
    kept.one.tell(m.UPDATE_TAKEN)
    kept.one.tick()
    assert kept.keep() and kept.owes()
    assert kept.state() is State.MANIFEST
    kept.clock.now_ms += KEEP_MS
    assert kept.keep() and not kept.owes()
    assert kept.state() is State.PARTS
    kept.one.tell(m.UPDATE_STAGED)
    assert kept.one.tick() == [Activate(NODE)]
    assert kept.keep(pressing=True) and not kept.owes()
    assert kept.state() is State.ORDERED


def test_a_disk_that_refuses_is_said_once_and_gets_all_of_it_later(
    kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept.one.opened()
    file = lines(tmp_path)
    aside = file.rename(file.with_name("aside"))
    assert not kept.keep(pressing=True) and not kept.keep(pressing=True)
    assert kept.refused() and kept.owes()
    assert caplog.text.count("waits until its progress can be kept") == 1
    aside.rename(file)
    assert kept.keep(pressing=True) and not kept.refused()
    assert kept.state() is State.MANIFEST
