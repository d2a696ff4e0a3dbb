"""Serial ports of this machine: which there are, in which USB socket, and opening one."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What boards carry: vendor and product, by the makers' tables.
ADAPTERS = {
    (0x10C4, 0xEA60): "CP210x",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x5523): "CH341",
    (0x1A86, 0x55D3): "CH343",
    (0x1A86, 0x55D4): "CH9102",
    (0x0403, 0x6001): "FT232R",
    (0x0403, 0x6010): "FT2232",
    (0x0403, 0x6015): "FT230X",
    (0x067B, 0x2303): "PL2303",
    (0x303A, 0x1001): "ESP32 (its own USB)",
}
ESPRESSIF = 0x303A
BUSY = (errno.EBUSY, errno.EAGAIN)
BUSY_S = 2.0
BUSY_STEP_S = 0.1
REST_S = 0.3  # of a serial server between two of our visits: it takes one at a time
PROC = Path("/proc")

_left_s: dict[str, float] = {}  # when we left a port behind a network


@dataclass(frozen=True, slots=True)
class Socket:
    """A serial port; `slot` is the path of USB sockets to it (1-2.3), which stays when a board is
    changed, or the device's own name; `adapter` is empty where a board carries no such chip."""

    device: str
    slot: str
    adapter: str = ""
    vendor: int = 0
    product: int = 0
    serial: str = ""
    description: str = ""


def sockets() -> list[Socket]:
    """Every serial port, those with a board's adapter first, by slot."""
    from serial.tools import list_ports

    found = [_socket(each) for each in list_ports.comports()]
    return sorted(found, key=lambda each: (not each.adapter, each.slot, each.device))


def socket_of(port: str) -> Socket:
    """What is known of a port that a user named; its slot is its name where it is no USB port."""
    real = os.path.realpath(port) if "://" not in port else port
    for each in sockets():
        if each.device in (port, real):
            return each
    return Socket(port, port)


def _socket(info: Any) -> Socket:  # noqa: ANN401 - pyserial has no types
    vendor, product = info.vid or 0, info.pid or 0
    adapter = ADAPTERS.get((vendor, product), "")
    if not adapter and vendor == ESPRESSIF:
        adapter = "ESP32 (its own USB)"
    return Socket(
        info.device,
        info.location or info.device,
        adapter,
        vendor,
        product,
        info.serial_number or "",
        info.description or "",
    )


def opened(port: str) -> Any:  # noqa: ANN401
    """The open port, ours alone, as pyserial has it; OSError as the system says it.

    One that somebody else has is asked for again: whoever looks at what was just plugged in
    (ModemManager) lets go soon.
    """
    import serial

    rest(port)
    end = time.monotonic() + BUSY_S
    while True:
        try:
            return at_once(serial.serial_for_url(port, exclusive=True))
        except OSError as fault:
            if number(fault) not in BUSY or time.monotonic() > end:
                raise
            time.sleep(BUSY_STEP_S)


def rest(port: str) -> None:
    """Wait until a serial server has let go of our last visit; a cable needs no rest."""
    left_s = _left_s.pop(port, None)
    if left_s is not None:
        time.sleep(max(0.0, left_s + REST_S - time.monotonic()))


def at_once(serial: Any) -> Any:  # noqa: ANN401
    """The open port; behind a socket what is written goes at once, as it does over a cable.

    Else each short question waits for the kernel's answer to the one before: 40 ms.
    """
    link = getattr(serial, "_socket", None)
    if link is not None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return serial


def closed(serial: Any) -> None:  # noqa: ANN401
    """Close it; pyserial rests after a socket: that is for whoever comes next, by `rest`."""
    link = getattr(serial, "_socket", None)
    if link is not None and str(serial.port).startswith("socket:"):
        _left_s[serial.port] = time.monotonic()
        serial._socket, serial.is_open = None, False  # noqa: SLF001 - its close would sleep
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()
    else:
        serial.close()


def lost() -> tuple[type[BaseException], ...]:
    """What pyserial raises when a port can't be opened or breaks; its own kind is an OSError."""
    import termios

    return (OSError, termios.error)


def number(fault: BaseException) -> int:
    """The errno of a fault, also where pyserial has it in its text alone; 0: none."""
    found = getattr(fault, "errno", None)
    if isinstance(found, int):
        return found
    text = str(fault)
    for each in (errno.ENOENT, errno.EACCES, errno.EBUSY, errno.EAGAIN, errno.ECONNREFUSED):
        if f"[Errno {each}]" in text:
            return each
    return 0


def holders(port: str) -> list[str]:
    """Programs that have the port open, as `minicom (4711)`; those of other users stay unseen."""
    real = os.path.realpath(port)
    found = []
    for process in PROC.glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and any(
                os.path.realpath(each) == real for each in (process / "fd").iterdir()
            ):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:
            continue  # it ended, or is not ours to look at
    return sorted(found)
