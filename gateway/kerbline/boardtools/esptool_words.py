"""What esptool would show on a terminal: none of it, and its progress goes to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

Progress = Callable[[int, int], None]  # done, of

_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def shown_to(tell: Progress) -> Iterator[None]:
    """Of what this thread does meanwhile."""
    token = _progress.set(tell)
    try:
        yield
    finally:
        _progress.reset(token)


@cache
def hush() -> None:
    """Nothing that esptool says reaches the user; its progress reaches whoever asked for it.

    It also makes a hex dump of each packet, for a trace that is never shown: nine tenths of the
    time that a write takes. Here it makes none.
    """
    from esptool import loader as packets
    from esptool import reset
    from esptool.logger import TemplateLogger, log

    class Silence(TemplateLogger):  # type: ignore[misc] # no types there
        def print(self, *args: object, **kwargs: object) -> None:
            """Not said."""

        def note(self, message: str) -> None:
            """Not said."""

        warning = error = note

        def stage(self, finish: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
            """Not shown."""

        def progress_bar(self, cur_iter: int, total_iters: int, *_: object, **__: object) -> None:
            tell = _progress.get()
            if tell is not None:
                tell(cur_iter, total_iters)

        def set_verbosity(self, verbosity: str) -> None:
            """As it is."""

    class NoDump:
        def __init__(self, *_: object, **__: object) -> None:
            """Whatever the packet is."""

        def __str__(self) -> str:
            return ""

    log.set_logger(Silence())
    packets.HexFormatter = NoDump
    reset.ResetStrategy.print_once = NoDump  # bound to the logger that was there before
