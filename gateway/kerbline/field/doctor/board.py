"""Talks to the board behind a port, step by step: what it says by itself, its REPL, its loader.

Each step is taken only where the one before did not tell enough. Ctrl-C stops a node whose console
is open, and the loader restarts whatever runs; both run again at the end.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from kerbline.boards import Board
from kerbline.boardtools import BoardFault, NoRepl, connected, loader, usb
from kerbline.boardtools.loader_link import REMEDIES, REMEDY_ADDRESS, LoaderFault
from kerbline.field.doctor import boot_text, node
from kerbline.field.doctor.finding import Finding, Level, fault, good, note

LISTEN_S = 1.5
START_S = 3.0
PATIENCE_S = 6.0
RESET_S = 0.1
READ_BYTES = 4096
NO_PROMPT = frozenset(
    {"no_image", "image_damaged", "flash_chip", "wrong_chip", "panic", "boot_loop"}
)
SAYS_ENOUGH = frozenset({"brown_out", "boot_strap", "secure_boot", "flash_encryption"})

Say = Callable[[str], None]


def examine(port: str, board: Board | None, say: Say) -> Iterator[Finding]:
    """What is wrong with the board there; `say` gets a line for each step that takes time."""
    say(f"{port}: listening")
    try:
        heard = listen(port, LISTEN_S)
    except usb.lost() as error:
        yield _broken(error, port)
        return
    told = boot_text.judge(heard, port)
    faults = [each for each in told if each.level is Level.FAULT]
    if {each.code for each in faults} & SAYS_ENOUGH:
        yield from faults
        return
    if {each.code for each in faults} & NO_PROMPT:
        yield from _below(port, board, faults, say)
        return
    say(f"{port}: asking for its prompt")
    try:
        with connected(port, patience_s=PATIENCE_S) as repl:
            seen = node.look(repl)
            if seen.files is not None and "main.py" in seen.files:
                repl.leave("import machine\nmachine.reset()")
        yield from faults
        yield from node.judge(seen, port, board)
        return
    except NoRepl:
        pass
    except BoardFault as error:
        if not faults:
            yield fault("no_repl", port, str(error).removeprefix(f"{port}: "), "see what follows")
    yield from _below(port, board, faults, say)


def _broken(error: BaseException, port: str) -> Finding:
    """It can't be opened, or breaks at once."""
    if "://" in port and "open" in str(error):
        refused = usb.number(error) == errno.ECONNREFUSED
        what = "nobody listens there" if refused else "it can't be reached"
        return fault("no_port", port, what, REMEDY_ADDRESS)
    said = getattr(error, "strerror", None) or str(error)
    return fault("link_lost", port, f"it breaks ({said})", "put the cable in again")


def _below(port: str, board: Board | None, faults: list[Finding], say: Say) -> Iterator[Finding]:
    """No prompt: the chip itself, then `faults` of what it said, or says when it starts."""
    say(f"{port}: asking its loader; the board restarts")
    try:
        found = loader.identify(port)
    except LoaderFault as error:
        if error.code not in {each.code for each in faults}:
            yield fault(error.code, port, error.cause, error.remedy)
        yield from faults
        return
    yield from chip(found, port, board)
    if faults:
        yield from faults
        return
    with suppress(*usb.lost()):
        told = boot_text.judge(listen(port, START_S, reset=True), port)
        if any(each.level is Level.FAULT for each in told):
            yield from told
            return
    yield closed(port, board)


def closed(port: str, board: Board | None) -> Finding:
    """A chip that is well, and gives no prompt."""
    pin = board.service.strap if board is not None and board.service is not None else None
    strap = f"GPIO{pin}" if isinstance(pin, int) else "its service pin (`kerbline boards show`)"
    return note(
        "console_closed",
        port,
        "the chip is well and gives no prompt: a release build keeps its console closed",
        f"`kerbline shell NODE --config ...` opens it through the gateway; or tie {strap} to "
        "ground, restart the node, let go after 5 s",
    )


def chip(found: loader.ChipFound, port: str, board: Board | None) -> Iterator[Finding]:
    """What the loader told of the chip."""
    for lock in found.locks:
        yield fault(lock, port, loader.locked(lock), REMEDIES[lock])
    flash = f", {found.flash_bytes >> 20} MiB of flash" if found.flash_bytes else ""
    if board is not None and found.chip != board.chip.name:
        what = f"the chip is an {found.name}, and {board.name} has an {board.chip.name}"
        yield fault("wrong_chip", port, what, REMEDIES["wrong_chip"])
    else:
        yield good("chip", port, f"an {found.name} {found.revision}{flash}")


def listen(port: str, seconds: float, *, reset: bool = False) -> bytes:
    """What comes within that time, from a reset by RTS on where there is such a line."""
    with usb.opened(port) as line:
        line.timeout = 0.1
        if reset and "://" not in port:
            line.dtr = False  # let the boot strap alone
            line.rts = True
            time.sleep(RESET_S)
            line.rts = False
        heard = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            heard = (heard + line.read(READ_BYTES))[-4 * READ_BYTES :]
    return heard
