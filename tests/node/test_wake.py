"""A wait ends by a hand or by time, and on a chip it leaves no garbage."""

import asyncio
import gc
import sys

from kerbnode.wake import Wake

LONG_MS = 600_000
WAITS = 50


def test_a_wait_ends_when_it_is_set() -> None:
    wake = Wake()
    ended = []

    async def wait() -> None:
        for turn in range(2):
            await wake.wait(LONG_MS)
            ended.append(turn)

    async def both() -> None:
        task = asyncio.create_task(wait())
        for turn in range(2):
            await asyncio.sleep(0)
            assert len(ended) == turn, "nobody has set it"
            wake.set()
            wake.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await task

    asyncio.run(both())
    assert ended == [0, 1]


def test_what_was_set_before_ends_one_wait_and_time_the_next() -> None:
    wake = Wake()
    wake.set()

    async def waits() -> None:
        await wake.wait(LONG_MS)
        await wake.wait(1)
        wake.set()  # nobody waits: it hits no other sleep of that task
        await asyncio.sleep(0.001)
        await wake.wait(LONG_MS)
        await wake.wait(0)

    asyncio.run(waits())


def test_two_tasks_that_wake_each_other_leave_no_garbage() -> None:
    if sys.implementation.name != "micropython":
        return
    ours, theirs = Wake(), Wake()

    async def answer() -> None:
        while True:
            await theirs.wait(LONG_MS)
            ours.set()

    async def ask() -> int:
        task = asyncio.create_task(answer())
        before = 0
        for turn in range(2 * WAITS):
            if turn == WAITS:  # all is made by now
                gc.collect()
                gc.disable()
                before = gc.mem_alloc()
            theirs.set()
            await ours.wait(LONG_MS)
        made = gc.mem_alloc() - before
        gc.enable()
        task.cancel()
        return made

    assert asyncio.run(ask()) < 16 * WAITS
