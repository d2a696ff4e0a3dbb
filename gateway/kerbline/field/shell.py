"""A person at a node's prompt: opened where it may be, and closed again, whatever happens between.

A debug build and a board without a node have an open prompt. A release build opens its console for
a sealed command alone, which the gateway gives and enters in its book, or for its service pin.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kerbline.boardtools import BoardFault, NoRepl, connected
from kerbline.errors import KerblineError
from kerbline.local_socket import Declined, NotServing, ask

FIRST_S = 4.0  # for a prompt that is open already
PATIENCE_S = 40.0
CLOSING_S = 3.0
WAIT_S = 60.0  # for a node that sleeps or is away
EACH_S = 1.0
OK = "OK"
UNDER_WAY = ("PENDING", "DELIVERED")

Say = Callable[[str], None]
T = TypeVar("T")


class ShellFault(KerblineError):
    """There is no prompt, and may be none; the text tells the way to one."""

    code = "shell"


@dataclass(frozen=True, slots=True)
class Window:
    """Where a gateway may be asked to open a node's console, and for how long."""

    socket: Path
    node: str
    seconds: int


def visit(port: str, window: Window | None, say: Say, stay: Callable[[str], T]) -> T:
    """What `stay` gives, called with the port once a prompt answers there; then the node runs.

    Raises ShellFault where there is no way in, BoardFault where the link breaks.
    """
    began = time.monotonic()
    if window is not None:
        _order(window, window.seconds, say)
        began = time.monotonic()
        say(f"{window.node}: its console is open for {window.seconds} s; the gateway has logged it")
    try:
        patience_s = FIRST_S if window is None else min(PATIENCE_S, window.seconds)
        with connected(port, patience_s=patience_s):
            pass
    except BoardFault as error:
        if window is not None:  # nobody came in: the node runs, and closes it when it is told to
            with suppress(KerblineError):
                _order(window, 0, say)
                say(f"{window.node}: its console is closed again")
        if not isinstance(error, NoRepl):
            raise
        raise ShellFault(refusal(port) if window is None else _elsewhere(port, window)) from None
    try:
        return stay(port)
    except BoardFault:
        if window is None or time.monotonic() - began < window.seconds:
            raise
        raise ShellFault(
            f"{window.node}: its {window.seconds} s were over before that was done, and it has "
            "started again; ask for more --seconds"
        ) from None
    finally:
        _run_again(port, say)


def _elsewhere(port: str, window: Window) -> str:
    return (
        f"{port}: {window.node} has opened its console, and none answers here: is that the cable "
        "to its UART0 or USB port, and not its line?"
    )


def refusal(port: str) -> str:
    """Why there is no prompt, and the way to one."""
    return (
        f"{port}: no prompt: a release build keeps its console closed. `kerbline shell NODE "
        "--config gateway.toml` on the gateway opens it for a while, and that is logged; or tie "
        "its service pin (`kerbline boards show BOARD`) to ground, restart the node, let go after "
        "5 s. If no node is installed, `kerbline doctor` tells what else it may be"
    )


def _run_again(port: str, say: Say) -> None:
    """Start the node anew; its watchdog does where the link is gone."""
    try:
        with connected(port, patience_s=FIRST_S) as repl:
            repl.leave("import machine\nmachine.reset()")
        say("the node starts again; the console of a release build is closed by that")
    except NoRepl:
        say("no prompt answers any more: the node has started again, and its console is closed")
    except BoardFault as error:
        say(f"{error}; the node's watchdog starts it again when its time is over")


def _order(window: Window, seconds: int, say: Say) -> None:
    """Ask the gateway, and wait until the node has said yes; raises ShellFault."""
    question: dict[str, Any] = {
        "ask": "service",
        "node": window.node,
        "seconds": seconds,
        "who": getpass.getuser(),
    }
    end = time.monotonic() + (WAIT_S if seconds else CLOSING_S)
    said = False
    while True:
        answer = _asked(window, question)
        if answer["state"] == OK:
            return
        if answer["state"] not in UNDER_WAY or time.monotonic() > end:
            raise ShellFault(_unopened(window, answer))
        if not said:
            say(f"{window.node}: waiting for its answer")
            said = True
        question["id"] = answer["id"]
        time.sleep(EACH_S)


def _asked(window: Window, question: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return ask(window.socket, question)
    except NotServing as error:
        raise ShellFault(
            f"{error}; without its gateway a release build opens its console by its service pin "
            "alone"
        ) from None
    except Declined as error:
        raise ShellFault(f"the gateway says: {error}") from None


def _unopened(window: Window, answer: Mapping[str, Any]) -> str:
    reason = answer["reason"] or answer["state"]
    return (
        f"{window.node}: its console stays closed ({reason}): is it online? (`kerbline status`) "
        "Else its service pin: to ground, restart it, let go after 5 s"
    )
