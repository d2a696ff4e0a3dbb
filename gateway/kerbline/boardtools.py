"""A board's raw REPL through mpremote: over a serial port or `socket://`, with patience.

Nothing here pulls DTR or RTS to reset a board: an adapter may have neither.
"""

from __future__ import annotations

import binascii
import contextlib
import io
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kerbline.errors import KerblineError

PATIENCE_S = 40.0  # a first boot formats the file system for 10 s; a watchdog bites within 30 s
TRY_S = 2.0
SILENCE_S = 20.0  # of a board that works on what it was told
CHUNK_BYTES = 768


class BoardFault(KerblineError):
    """No REPL answers, the link broke, or the board refused; the text tells what to do."""

    code = "board"


class Repl:
    """A board that listens in its raw REPL. Make it with `connected`."""

    def __init__(self, port: str, transport: Any) -> None:  # noqa: ANN401 - mpremote has no types
        self.port = port
        self._transport = transport

    def run(self, code: str, timeout_s: float = SILENCE_S) -> str:
        """Run code there and return what it printed; BoardFault, which never holds the code."""
        try:
            with _quiet():
                self._transport.exec_raw_no_follow(code)
                out, error = self._transport.follow(timeout_s)
        except _link_faults() as fault:
            raise BoardFault(f"{self.port}: the link broke: {_told(fault)}") from None
        if error:
            last = error.decode("utf-8", "replace").strip().splitlines()[-1]
            raise BoardFault(f"{self.port}: the board says {last}")
        text: str = out.decode("utf-8", "replace")
        return text.replace("\r\n", "\n")

    def leave(self, code: str) -> None:
        """Run code that does not come back, such as a reset."""
        try:
            with _quiet():
                self._transport.exec_raw_no_follow(code)
        except _link_faults() as fault:
            raise BoardFault(f"{self.port}: the link broke: {_told(fault)}") from None


@contextmanager
def connected(
    port: str, setup: str = "", baud: int = 115_200, patience_s: float = PATIENCE_S
) -> Iterator[Repl]:
    """The raw REPL behind a port, whatever ran there before; raises BoardFault.

    A program is interrupted by Ctrl-C and `setup` run, tried again until that succeeds: the board
    may be booting, or its watchdog bite in between.
    """
    try:
        from mpremote import transport_serial
    except ImportError:
        raise BoardFault("mpremote is not installed: pip install 'kerbline[field]'") from None
    try:
        with _quiet():
            transport = transport_serial.SerialTransport(port, baud, timeout=SILENCE_S)
    except _link_faults() as fault:
        raise BoardFault(f"{port}: can't be opened: {_told(fault)}") from None
    try:
        _enter(transport, port, setup, patience_s)
        yield Repl(port, transport)
    finally:
        with contextlib.suppress(*_link_faults()):
            transport.close()


def _enter(transport: Any, port: str, setup: str, patience_s: float) -> None:  # noqa: ANN401
    ends = time.monotonic() + patience_s
    refusal = ""
    while True:
        try:
            with _quiet():
                transport.enter_raw_repl(soft_reset=False, timeout_overall=TRY_S)
                said, error = transport.exec_raw(f"{setup}\nprint(6*7)", timeout=TRY_S)
            if said.strip() == b"42":
                return
            refusal = error.decode("utf-8", "replace").strip().rpartition("\n")[2]
        except OSError as fault:  # pyserial's too: the line itself is gone
            raise BoardFault(f"{port}: the link broke: {_told(fault)}") from None
        except _link_faults():
            pass
        if time.monotonic() > ends:
            break
    if refusal:
        raise BoardFault(f"{port}: the board says {refusal}")
    raise BoardFault(
        f"{port}: no REPL answers; is it the board's UART0 or USB port? A release build keeps its "
        "REPL closed: tie its service pin to ground and restart it, or send it the service command"
    )


def _link_faults() -> tuple[type[BaseException], ...]:
    """What mpremote raises when a link breaks, whatever the moment."""
    from mpremote.transport import TransportError

    return (OSError, TransportError, struct.error, IndexError, ValueError, TypeError)


def _told(fault: BaseException) -> str:
    words = str(fault).splitlines()
    return words[0][:120] if words else type(fault).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """mpremote prints what it did not expect; that may hold what we sent."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def literal(data: bytes) -> str:
    """An expression that is `data` on a board that has imported a2b_base64."""
    return f"a2b_base64({binascii.b2a_base64(data, newline=False)!r})"


def chunks(data: bytes) -> Iterator[bytes]:
    """In pieces that a board's heap takes."""
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]
