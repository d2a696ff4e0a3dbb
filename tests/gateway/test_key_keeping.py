"""A node's newest keys and the disk that has to take them before the session may go on."""

from __future__ import annotations

import asyncio

import pytest

from kerbline.keys import KeyFault, NodeKeys
from kerbline.south.key_keeping import RETRY_MS, KeyKeeping

OLD, NEW = NodeKeys(1, bytes(16), None), NodeKeys(2, bytes(16), None)


class Disk:
    """Takes keys, unless it is full."""

    def __init__(self) -> None:
        self.now_ms = 1
        self.fault = ""
        self.asked = 0
        self.taken: list[NodeKeys] = []
        self.keeping = KeyKeeping("sl-1", self._store, lambda: self.now_ms)

    async def _store(self, keys: NodeKeys) -> None:
        self.asked += 1
        if self.fault:
            raise KeyFault(self.fault)
        self.taken.append(keys)


async def taken() -> None:
    disk = Disk()
    keeping = disk.keeping
    assert not await keeping.settled()
    assert keeping.due_ms is None
    await keeping.take(OLD)
    await keeping.take(NEW)  # before the session knew of the first
    assert await keeping.settled() and await keeping.settled()
    assert disk.taken == [OLD, NEW], "durable once each, the newest last"
    keeping.done()
    assert not await keeping.settled()
    assert keeping.due_ms is None


def test_keys_are_durable_before_the_session_knows() -> None:
    asyncio.run(taken())


async def refused() -> None:
    disk = Disk()
    keeping = disk.keeping
    disk.fault = "no space"
    await keeping.take(OLD)
    assert not await keeping.settled()
    assert disk.asked == 1, "not asked again at once"
    assert keeping.due_ms == disk.now_ms + RETRY_MS
    disk.now_ms += RETRY_MS
    assert not await keeping.settled()
    assert disk.asked == 2
    await keeping.take(NEW)
    disk.fault = ""
    assert not await keeping.settled()
    disk.now_ms += RETRY_MS
    assert await keeping.settled()
    assert disk.taken == [NEW]
    keeping.done()
    disk.fault = "no space"
    disk.now_ms += RETRY_MS
    await keeping.take(NEW)


def test_a_disk_that_refuses_is_asked_again_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asyncio.run(refused())
    told = "node sl-1: no session until its key can be kept: no space"
    assert caplog.messages == [told, told], "once for each time that it fills up"
