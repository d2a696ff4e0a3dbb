"""Calls of `kerbline`, each in a process of its own that need not import it first.

They are forked from a server that has: what a call does, and how it dies, is what it is otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import IO

from kerbline.cli import main
from tests.field.killed_at import Killer

IMPORTED = ["tests.field.forked", "kerbline.field.commission.run", "esptool"]


@dataclass(frozen=True, slots=True)
class Call:
    """What a call gets; `killed`: Killer's folder and where, `limit_bytes`: of any file."""

    words: Sequence[str]
    environment: Mapping[str, str]
    killed: tuple[str, str] | None = None
    limit_bytes: int | None = None

    def __call__(self, out: Connection, error: Connection) -> None:
        """Be it, in the child."""
        os.dup2(out.fileno(), 1)
        os.dup2(error.fileno(), 2)
        os.environ.clear()
        os.environ.update(self.environment)
        if self.limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit_bytes, self.limit_bytes))
        sys.argv = ["kerbline", *self.words]
        if self.killed:
            sys.addaudithook(Killer(*self.killed))
        main()


@dataclass(frozen=True, slots=True)
class Running:
    """A call that runs, as subprocess.Popen has it."""

    stdout: IO[str]
    stderr: IO[str]
    _process: BaseProcess

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """How it ended."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


@contextmanager
def running(call: Call) -> Iterator[Running]:
    """The call in a process."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(IMPORTED)
    (out, its_out), (error, its_error) = server.Pipe(duplex=False), server.Pipe(duplex=False)
    process = server.Process(target=call, args=(its_out, its_error))
    with out, error:
        with its_out, its_error:
            process.start()
        with (
            open(out.fileno(), closefd=False) as said,
            open(error.fileno(), closefd=False) as complained,
        ):
            yield Running(said, complained, process)
        process.join()
        process.close()
