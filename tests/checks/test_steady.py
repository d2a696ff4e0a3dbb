"""The steady loop: what happens while the process is stopped, counted by its own clock."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time

import pytest

from tests import steady

STOPPED_S = 1.2


def stopped() -> None:
    """All that runs here stands still, as on a machine that gives it no turn."""
    threading.Event().wait(STOPPED_S)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_stop_is_no_time_out(*, waiting: bool) -> None:
    """Stopped between two waits, or within one."""

    near, far = socket.socketpair()

    def stopped_and_told(*_: object) -> None:
        stopped()
        far.send(b"x")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(sock=near)
        began_s = time.monotonic()
        async with asyncio.timeout(STOPPED_S / 3):
            if waiting:
                threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            else:
                loop.call_later(0.01, stopped)
                loop.call_later(0.02, far.send, b"x")
            assert await reader.readexactly(1) == b"x"
        assert time.monotonic() - began_s > STOPPED_S / 2
        writer.close()
        far.close()

    before = signal.signal(signal.SIGUSR1, stopped_and_told)
    steady.run(main())
    signal.signal(signal.SIGUSR1, before)


def test_time_goes_on_as_ever() -> None:
    async def main() -> float:
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        except TimeoutError:
            return asyncio.get_running_loop().time() - began_s
        return 0.0

    assert 0.05 <= steady.run(main()) < 0.2


def test_a_sleep_of_the_thread_passes() -> None:
    async def main() -> int:
        loop, slept = asyncio.get_running_loop(), 0
        until_s = loop.time() + 0.03
        while loop.time() < until_s:
            threading.Event().wait(0.002)
            slept += 1
        return slept

    assert 2 <= steady.run(main()) <= 16
