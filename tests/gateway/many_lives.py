"""A gateway's part in a process of its own, killed at moments of chance until it may live."""

from __future__ import annotations

import fcntl
import os
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from tests import steady


def killed(
    live: Callable[[int], Coroutine[Any, Any, object]],
    chance: random.Random,
    steps: range,
    kills: int,
) -> None:
    """Run `live` again and again; it writes a byte for each step to the file that it is given.

    SIGKILL comes after as many steps as `chance` takes from `steps`, `kills` times; then it may
    end. One that ends before its kill fails the test.
    """
    done = 0
    while True:
        # It holds one step: a life that this process can't follow waits, and does not end.
        receiving, telling = os.pipe2(os.O_DIRECT)
        fcntl.fcntl(telling, fcntl.F_SETPIPE_SZ, 1)
        child = os.fork()
        if child == 0:
            try:
                steady.run(live(telling))
            finally:
                os._exit(0)
        os.close(telling)
        for _ in range(chance.choice(steps) if done < kills else 1 << 30):
            if not os.read(receiving, 1):
                break
        else:
            os.kill(child, signal.SIGKILL)
        os.close(receiving)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        done += 1
    assert done == kills
