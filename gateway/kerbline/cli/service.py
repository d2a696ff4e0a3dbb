"""The agent as a process: its log on standard error, and an orderly end at SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import traceback
from types import TracebackType

from kerbline.agent import run as serve
from kerbline.config import Config
from kerbline.errors import KerblineError

EXIT_STOPPED = 0
EXIT_INTERRUPTED = 130


class _OneLine(logging.Formatter):
    """Says an exception in one line: a technician reads the log, not our stack."""

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        _, error, trace = ei
        frames = traceback.extract_tb(trace)
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        return f"{type(error).__name__}: {error}{where}"


def run(config: Config, *, verbose: bool) -> int:
    """Serve until asked to stop; the exit status. Raises KerblineError for an expected failure."""
    _log(verbose=verbose)
    os.umask(0o077)  # readings of households are nobody else's business
    try:
        return asyncio.run(_until_stopped(config))
    except BaseExceptionGroup as group:
        if group.split((KerblineError, OSError))[1] is not None:
            raise
        raise _first(group) from None


async def _until_stopped(config: Config) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(serve(config))
    statuses: list[int] = []

    def stop(status: int) -> None:
        statuses.append(status)
        task.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends us at once

    loop.add_signal_handler(signal.SIGTERM, stop, EXIT_STOPPED)
    loop.add_signal_handler(signal.SIGINT, stop, EXIT_INTERRUPTED)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return statuses[0] if statuses else EXIT_STOPPED


def _first(error: BaseException) -> BaseException:
    """The first failure of several tasks that ended each other."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _log(*, verbose: bool) -> None:
    handler = logging.StreamHandler()
    layout = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(logging.Formatter(layout) if verbose else _OneLine(layout))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
