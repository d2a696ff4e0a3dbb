"""A board's raw REPL through mpremote: over a serial port or `socket://`, with patience.

Nothing here pulls DTR or RTS to reset a board: an adapter may have neither.
"""

from __future__ import annotations

import binascii
import contextlib
import errno
import io
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerbline.boardtools import usb
from kerbline.errors import KerblineError

PATIENCE_S = 40.0  # a first boot formats the file system for 10 s; a watchdog bites within 30 s
TRY_S = 2.0
SETUP_S = 10.0
BABBLE_S = 10.0  # a port that never pauses is no board that boots
PAUSE_S = 0.1
RESET_S = 0.3  # closing moves RTS and DTR one by one: at a reset they would choose the loader
HEARD_BYTES = 1024
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
SILENCE_S = 20.0  # of a board that works on what it was told
CHUNK_BYTES = 768


class BoardFault(KerblineError):
    """No REPL answers, the link broke, or the board refused; the text tells what to do."""

    code = "board"


class NoRepl(BoardFault):
    """The port is there and quiet, and no REPL answers: none is there, or its console is closed."""

    code = "no_repl"


class LinkLost(BoardFault):
    """The link broke under way."""

    code = "link_lost"

    def __init__(self, port: str, fault: BaseException) -> None:
        super().__init__(
            f"{port}: the link broke ({_told(fault)}); put the cable in again and repeat"
        )


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
            raise LinkLost(self.port, fault) from None
        if error:
            raise BoardFault(f"{self.port}: the board says {_last_line(error)}")
        text: str = out.decode("utf-8", "replace")
        return text.replace("\r\n", "\n")

    def leave(self, code: str) -> None:
        """Run code that does not come back, such as a reset."""
        try:
            with _quiet():
                self._transport.exec_raw_no_follow(code)
        except _link_faults() as fault:
            raise LinkLost(self.port, fault) from None
        if "://" not in self.port:
            time.sleep(RESET_S)


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
    transport = _transport(transport_serial, port, baud)
    try:
        _enter(transport, port, setup, patience_s)
        yield Repl(port, transport)
    finally:
        with contextlib.suppress(*_link_faults()):
            if "://" in port:
                usb.closed(transport.serial)
            else:
                transport.close()


def _transport(mpremote: Any, port: str, baud: int) -> Any:  # noqa: ANN401 - it has no types
    """The open port; one that is busy is asked for again, as `usb.opened` does."""
    usb.rest(port)
    end = time.monotonic() + usb.BUSY_S
    while True:
        try:
            with _quiet():
                transport = mpremote.SerialTransport(port, baud, timeout=SILENCE_S)
            usb.at_once(transport.serial)
            return transport
        except _link_faults() as fault:
            why, is_busy = _unopened(mpremote.serial, port, _told(fault))
            if not is_busy or time.monotonic() > end:
                raise BoardFault(f"{port}: can't be opened: {why}") from None
            time.sleep(usb.BUSY_STEP_S)


def _unopened(serial: Any, port: str, told: str) -> tuple[str, bool]:  # noqa: ANN401
    """Why a port can't be opened, and is it busy? mpremote keeps that to itself."""
    try:
        serial.serial_for_url(port, exclusive=True).close()
    except OSError as fault:
        if "://" in port:
            return _told(fault), False
        there = sorted(each.device for each in serial.tools.list_ports.comports())
        if port not in there and not Path(port).exists():
            found = f"there are {', '.join(there)}" if there else "there is none at all"
            return f"there is no such port, {found}; is the cable in?", False
        number = usb.number(fault)
        if number == errno.EACCES:
            why = "you may not; join the group that owns it (dialout, uucp) and log in again"
            return why, False
        if number in usb.BUSY:
            who = ", ".join(usb.holders(port)) or "another program"
            return f"{who} has it open; close that", True
        return f"{_told(fault)}; is it a serial port, and does nothing else use it?", False
    return told, True  # it can be, by now


def _enter(transport: Any, port: str, setup: str, patience_s: float) -> None:  # noqa: ANN401
    begun = time.monotonic()
    refusal, heard, calm = "", b"", False
    while True:
        try:
            heard, is_calm = _knock(transport.serial)
            calm = calm or is_calm
            if heard.endswith(RAW_PROMPT):
                transport.in_raw_repl = transport.use_raw_paste = True
                with _quiet():
                    out, error = transport.exec_raw(f"{setup}\nprint(6*7)", timeout=SETUP_S)
                # Without raw paste nothing says when the board can take more: bytes were lost.
                if out.strip() == b"42" and transport.use_raw_paste:
                    return
                refusal = _last_line(error)
        except OSError as fault:  # pyserial's too: the line itself is gone
            raise LinkLost(port, fault) from None
        except _link_faults():
            pass
        gone_s = time.monotonic() - begun
        if gone_s > patience_s or (not calm and gone_s > BABBLE_S):
            break
    kind = NoRepl if calm and not refusal else BoardFault
    raise kind(f"{port}: {_refused(refusal, heard, calm=calm)}")


def _refused(refusal: str, heard: bytes, *, calm: bool) -> str:
    if refusal:
        return f"the board says {refusal}"
    if not calm:
        return (
            f"something speaks there without a pause, and it is no REPL: {_words(heard)}; "
            "is it the board's UART0 or USB port? A chip that says the same again and again has no "
            "MicroPython yet: flash it"
        )
    spoken = f" (it says {_words(heard)})" if heard else ""
    return (
        f"no REPL answers{spoken}; is it the board's UART0 or USB port? A release build keeps its "
        "REPL closed: tie its service pin to ground, restart it and let go after 5 s, or send it "
        "the service command"
    )


def _knock(serial: Any) -> tuple[bytes, bool]:  # noqa: ANN401
    """Interrupt what runs and ask for the raw REPL: what was heard, and whether it paused.

    What was asked for earlier may be answered late. So the prompt counts when nothing follows it,
    and is asked for anew, for mpremote to find.
    """
    serial.write(b"\r\x03")
    heard, is_calm = _listen(serial, 2 * PAUSE_S)
    if is_calm:
        serial.write(b"\r\x01")
        heard, is_calm = _listen(serial, TRY_S)
        if heard.endswith(RAW_PROMPT):
            serial.write(b"\x01")
    return heard, is_calm


def _listen(serial: Any, first_s: float) -> tuple[bytes, bool]:  # noqa: ANN401
    """The end of what comes within `first_s` until a pause; False where there was none."""
    heard = b""
    begun = last = time.monotonic()
    while True:
        if serial.in_waiting:
            heard = (heard + serial.read(serial.in_waiting))[-HEARD_BYTES:]
            last = time.monotonic()
        elif time.monotonic() - last > (PAUSE_S if heard else first_s):
            return heard, True
        else:
            time.sleep(0.01)
        if time.monotonic() - begun > first_s + TRY_S:
            time.sleep(PAUSE_S)  # it is we, perhaps, who stood still
            return heard, not serial.in_waiting


def _last_line(error: bytes) -> str:
    return error.decode("utf-8", "replace").strip().rpartition("\n")[2]


def _words(heard: bytes) -> str:
    """The last text in it, for a message."""
    texts = re.findall(rb"[ -~]{4,}", heard)
    return repr(texts[-1][:60].decode()) if texts else "no text at all"


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
