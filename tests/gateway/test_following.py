"""Following the log: what a time limit cuts short is taken up by the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from kerbline.agent.following import Following
from kerbline.model import Entry, Key, Reading
from kerbline.store import Committed, GroupCommit, GroupPolicy, Store

LAST = 6


def reading(number: int) -> Reading:
    return Reading(Key("n", 1, number), "air-1", "air_quality", number, 0, {"pm2_5_ugm3": 1.0})


def test_a_limit_that_ends_amid_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    """Or the end of the log would wait for the commit after it, which may never come."""
    taken: list[int] = []

    async def take(seq: int, _entries: Iterable[Entry]) -> None:
        taken.append(seq)

    async def scene() -> None:
        store = Store.open(tmp_path / "kerbline.db")
        group = GroupCommit(store, GroupPolicy(readings=1), lambda: 0, "gw-1")
        committing = asyncio.create_task(group.run())
        following = Following(group, 0, "test")
        for number in range(1, LAST + 1):
            await group.put(reading(number))
            while group.pending:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        following.log_grew(Committed(LAST, (reading(LAST),), ()))
        cut = asyncio.create_task(following.follow(take))
        await asyncio.sleep(0)  # it has begun to read
        cut.cancel()
        await asyncio.wait([cut])
        assert following.cursor < store.head
        await asyncio.wait_for(following.grew.wait(), 60)
        await following.follow(take)
        assert not following.grew.is_set()
        assert following.cursor == store.head
        group.stop()
        await committing
        await group.close()

    asyncio.run(scene())
    assert taken == list(range(1, LAST + 1))
