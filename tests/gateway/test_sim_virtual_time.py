"""The loop whose time jumps: timers in order at no cost, files and threads as ever."""

from __future__ import annotations

import asyncio
import socket
import threading

from kerbline.sim import virtual_time
from kerbline.sim.virtual_time import VirtualLoop


def test_hours_pass_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []

        async def wake(name: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            seen.append((name, loop.time()))

        await asyncio.gather(wake("late", 7_200), wake("soon", 0.001), wake("then", 60))
        return seen

    assert virtual_time.run(main()) == [("soon", 0.001), ("then", 60.0), ("late", 7_200.0)]


def test_a_blocking_sleep_moves_time_and_runs_nothing_else() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ran: list[int] = []
        loop.call_later(0.5, ran.append, 1)
        loop.sleep(2.0)
        assert (loop.time(), ran) == (2.0, [])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ran == [1]

    virtual_time.run(main())


def test_what_is_ready_comes_before_time_goes_on() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.send(b"now")
            async with asyncio.timeout(5):
                assert await loop.sock_recv(near, 10) == b"now"
            assert loop.time() == 0.0

    virtual_time.run(main())


def test_another_thread_wakes_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done.set,))
        thread.start()
        await done.wait()
        thread.join()

    virtual_time.run(main())
