"""The virtual serial line outlives its ends, and the children do not outlive their parent."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
import tty
from contextlib import suppress
from pathlib import Path

from kerbline.sim import children, lines

LONG_S = 60.0
HOLDER = """
import os, sys, tty
line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(line)
os.write(line, b"ready")
while True: os.write(line, os.read(line, 4096))
"""

PARENT = """
import asyncio, sys
from pathlib import Path
from kerbline.sim import children
async def main():
    child = await children.start(["sleep", "60"], Path(sys.argv[1]))
    print(child.process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def read(end: int, count: int) -> bytes:
    """`count` bytes, or what came in a minute."""
    data, until = b"", time.monotonic() + LONG_S
    while len(data) < count and time.monotonic() < until:
        await asyncio.sleep(0.005)
        if select.select([end], [], [], 0)[0]:
            data += os.read(end, count - len(data))
    return data


def opened(path: str) -> int:
    end = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(end)
    return end


def test_bytes_go_both_ways_and_the_killed_end_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def scenario() -> None:
        line = lines.open_line()
        near = opened(line.gateway)
        for _ in range(3):
            holder = await children.start([sys.executable, "-c", HOLDER, line.node], log)
            assert await read(near, 5) == b"ready"
            os.write(near, bytes(range(256)))
            assert await read(near, 256) == bytes(range(256))
            await holder.kill()
        os.close(near)
        line.close()

    asyncio.run(scenario())


def test_a_cut_line_loses_what_was_under_way() -> None:
    async def scenario() -> None:
        line = lines.open_line()
        near, far = opened(line.gateway), opened(line.node)
        line.unplug()
        os.write(near, b"lost")
        async with asyncio.timeout(LONG_S):
            while line.lost_bytes < 4:  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.005)
        line.plug()
        os.write(near, b"here")
        assert await read(far, 4) == b"here"
        assert line.lost_bytes == 4

    asyncio.run(scenario())


def test_an_end_that_nobody_reads_overruns_and_blocks_nobody() -> None:
    async def scenario() -> None:
        line = lines.open_line()
        near = opened(line.gateway)
        os.set_blocking(near, False)
        sent = 0
        while line.lost_bytes == 0 and sent < 10_000_000:
            with suppress(BlockingIOError):  # until the pump has taken some
                sent += os.write(near, bytes(1000))
            await asyncio.sleep(0)
        assert line.lost_bytes > 0

    asyncio.run(scenario())


def test_seeded_loss_is_the_same_each_time() -> None:
    async def scenario() -> bytes:
        line = lines.open_line(seed=5, loss=0.5)
        near, far = opened(line.gateway), opened(line.node)
        got = b""
        async with asyncio.timeout(LONG_S):
            for number in range(20):
                os.write(near, bytes([number, 255]))
                while len(got) + line.lost_bytes < 2 * number + 2:  # or two would go as one
                    await asyncio.sleep(0.001)
                    if select.select([far], [], [], 0)[0]:
                        got += os.read(far, 100)
        line.close()
        return got

    first, second = asyncio.run(scenario()), asyncio.run(scenario())
    assert first == second
    assert 20 < len(first) < 40


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + LONG_S
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


def test_a_child_ends_when_asked(tmp_path: Path) -> None:
    async def scenario() -> int:
        child = await children.start(["sleep", "60"], tmp_path / "log")
        assert child.running
        return await child.end()

    assert asyncio.run(scenario()) == -signal.SIGTERM
