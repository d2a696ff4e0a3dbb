"""A gateway's store on a disk that another program fills and frees again; prints what happened.

Usage: full_disk.py FOLDER, a file system of a few megabytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.samples import T0_MS, numbers, reading, stored

BEFORE, DURING, AFTER = 2_000, 3_000, 1_000


def fill(ballast: Path) -> None:
    """Take all space that is left."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"\0"):
            pass


async def story(folder: Path) -> dict[str, object]:
    """Readings come before, during and after; each is taken at once."""
    store = Store.open(folder / "s.db")
    store.open_cursor("mqtt")
    group = GroupCommit(store, GroupPolicy(100, 0.01, retry_s=0.02), lambda: T0_MS)
    running = asyncio.create_task(group.run())
    confirmed = 0

    async def confirm(until: int) -> None:
        nonlocal confirmed
        while confirmed < until:
            confirmed += len((await group.committed()).entries)

    async def come(first: int, count: int) -> None:
        for number in range(first, first + count):
            await group.put(reading(number))

    await come(1, BEFORE)
    await confirm(BEFORE)
    fill(folder / "ballast")
    async with asyncio.timeout(60):
        await come(BEFORE + 1, DURING)
        confirming = asyncio.create_task(confirm(BEFORE + DURING + AFTER))
        while not group.blocked:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
    said = group.blocked
    while_full = sum(len(batch.entries) for batch in await group.read(0, 100_000))
    (folder / "ballast").unlink()
    await come(BEFORE + DURING + 1, AFTER)
    async with asyncio.timeout(60):
        await confirming
    group.stop()
    await running
    await group.close()
    again = Store.open(folder / "s.db")
    found = numbers(stored(again))
    again.close()
    return {
        "said": said,
        "readable_while_full": while_full,
        "each_once": found == list(range(1, BEFORE + DURING + AFTER + 1)),
        "quarantined": str(again.quarantined),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(story(Path(sys.argv[1])))))
