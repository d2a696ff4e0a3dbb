"""Child processes that never outlive us, whatever kills us."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
STOP_S = 20.0
NOWHERE = asyncio.subprocess.DEVNULL


class Child:
    """A running process; `end` is idempotent."""

    __slots__ = ("process",)

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def running(self) -> bool:
        """Has it not ended yet?"""
        return self.process.returncode is None

    async def kill(self) -> None:
        """SIGKILL, as a power cut is; returns when it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def end(self) -> int:
        """SIGTERM and, should it take more than STOP_S, SIGKILL; the exit status."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            await self.kill()
            return await self.process.wait()


async def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    terminal: int = NOWHERE,
    keep: Sequence[int] = (),
) -> Child:
    """Starts `command` in a session of its own (Ctrl-C is ours alone); its output goes to `log`.

    `environment` is added to ours. `terminal`: a pty's slave end, which becomes the session's own,
    its input and its output. `keep`: descriptors that it gets as well. Raises OSError when there
    is no such program.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)
        if terminal != NOWHERE:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *[os.fspath(part) for part in command],
            stdin=terminal,
            stdout=output if terminal == NOWHERE else terminal,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            umask=0o077,  # a node under MicroPython can't make its key file private itself
            preexec_fn=die_with_parent,
            pass_fds=keep,
        )
    return Child(process)
