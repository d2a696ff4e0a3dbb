"""A port with a board's loader behind it, and what is wrong where the two don't come together.

esptool's words, pyserial's errors and what the board itself says become one of our faults.
"""

from __future__ import annotations

import errno
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kerbline.boardtools import usb
from kerbline.errors import KerblineError

LISTEN_S = 1.2  # a board that keeps restarting says so within
SILENCE_S = 1.0  # esptool waits 3 s for an answer
HEARD_BYTES = 4096


class LoaderFault(KerblineError):
    """A board that can't be flashed: `code` for programs, `cause` and `remedy` for people."""

    def __init__(self, port: str, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{port}: {cause}; {remedy}")
        self.port, self.code, self.cause, self.remedy = port, code, cause, remedy


# What to do about each fault; `code` is stable.
REMEDY_ADDRESS = "write socket://HOST:PORT of a serial server that runs, and is in reach"
REMEDIES = {
    "no_port": "is the cable in, and has it data wires? `kerbline doctor` lists the ports",
    "permission": "join the group that owns it (dialout, uucp) and log in again",
    "port_busy": "close the program that has it open (a serial monitor, another kerbline)",
    "no_answer": "hold BOOT, press EN (RESET), let go of BOOT and try again; then try another "
    "cable, and is it the board's UART0 or USB port?",
    "boot_strap": "the board restarts, but not into its loader: hold BOOT, press EN, let go of "
    "BOOT and try again; GPIO0 (GPIO9 on a C3 or C6) must be low at that moment",
    "no_transmit": "the board hears nothing of us: check the wire to its RX, and its level",
    "brown_out": "its supply gives way: use a short cable and a strong port or hub, and take off "
    "what the board feeds",
    "link_lost": "put the cable in again and repeat: what is written is not written again",
    "noise": "use a shorter cable or another port, or --baud 115200, and repeat",
    "verify": "repeat; if it happens again the flash chip is worn out or badly soldered",
    "secure_boot": "it starts signed images alone; take another board",
    "flash_encryption": "it would not start what we write; take another board",
    "secure_download": "its loader is locked for good; take another board",
    "wrong_chip": "take the board that belongs to this chip, or the other --board",
    "wrong_image": "take the image for this chip",
    "flash_small": "take a board with more flash, or an image with another partition table",
    "unsent": "let it empty its log first (`kerbline status` at its gateway), or say --yes",
    "loader": "repeat; `kerbline doctor` looks closer",
}


class Link:
    """The open port: what was sent is counted, what was heard last is kept for a diagnosis."""

    def __init__(self, port: str) -> None:
        self.port = port
        self.sent = 0
        self.heard, self.heard_at = b"", 0.0
        try:
            self.serial = usb.opened(port)
        except usb.lost() as fault:
            raise self._unopened(fault) from None
        read, write = self.serial.read, self.serial.write

        def counted(data: bytes) -> object:
            self.sent += len(data)
            return write(data)

        def kept(size: int = 1) -> bytes:
            data: bytes = read(size)
            if data:
                self.heard, self.heard_at = (self.heard + data)[-HEARD_BYTES:], time.monotonic()
            return data

        self.serial.write, self.serial.read = counted, kept

    @property
    def has_lines(self) -> bool:
        """Is it a serial port, with a rate and lines, here or behind RFC 2217?"""
        return "://" not in self.port or self.port.startswith("rfc2217:")

    def close(self) -> None:
        """Give the port back."""
        with suppress(*usb.lost()):
            usb.closed(self.serial)

    def fault(self, code: str, cause: str) -> LoaderFault:
        """With the remedy that belongs to the code."""
        return LoaderFault(self.port, code, cause, REMEDIES[code])

    @contextmanager
    def telling(self, *, connecting: bool = False) -> Iterator[None]:
        """esptool's and pyserial's faults as ours."""
        from esptool.util import FatalError

        try:
            yield
        except FatalError as fault:
            raise self._diagnosed(str(fault), connecting=connecting) from None
        except usb.lost() as fault:
            raise self.fault("link_lost", f"the link broke ({_told(fault)})") from None
        except (struct.error, IndexError, UnicodeError):  # of an answer that esptool takes as sound
            raise self.fault("noise", "what arrives is damaged") from None

    def _unopened(self, fault: BaseException) -> LoaderFault:
        number = usb.number(fault)
        if number == errno.EACCES:
            return self.fault("permission", "you may not open it")
        if number in usb.BUSY:
            who = ", ".join(usb.holders(self.port)) or "another program"
            return self.fault("port_busy", f"{who} has it open")
        if number == errno.ENOENT:
            return self.fault("no_port", "there is no such port")
        if "://" in self.port:
            what = "nobody listens there" if number == errno.ECONNREFUSED else "it can't be reached"
            return LoaderFault(self.port, "no_port", what, REMEDY_ADDRESS)
        return self.fault("no_port", f"it can't be opened ({_told(fault)})")

    def _diagnosed(self, told: str, *, connecting: bool) -> LoaderFault:
        """What esptool says, and what the board says, as one of our faults."""
        for code, pattern, cause in _TOLD:
            if re.search(pattern, told):
                return self.fault(code, cause)
        is_silent = time.monotonic() - self.heard_at > SILENCE_S
        spoken = self._listen()
        if b"rownout" in spoken:
            return self.fault("brown_out", "the board says that its supply broke down")
        if connecting:
            if re.search(rb"boot:0x|invalid header|rst:0x", spoken):
                return self.fault("boot_strap", "the board starts, but not its loader")
            return self.fault("no_answer", "no loader answers")
        # By esptool's words alone the two can't be told apart: it says "No more data" for both.
        if is_silent and re.search(r"[Nn]o (serial|more) data|stopped|Timed out", told):
            return self.fault("link_lost", "the board stopped answering")
        if re.search(r"[Nn]o more data|noise|corrupt|[Cc]hecksum|SLIP|stopped|doesn't match", told):
            return self.fault("noise", "what arrives is damaged")
        return self.fault("loader", told.splitlines()[0][:120] if told else "the loader refused")

    def _listen(self) -> bytes:
        """What was heard last, and what is to be heard now."""
        heard = self.heard
        with suppress(*usb.lost()):
            if not self.serial.is_open:
                self.serial.open()
            self.serial.timeout = LISTEN_S / 4
            end = time.monotonic() + LISTEN_S
            while time.monotonic() < end and b"rownout" not in heard:
                heard += self.serial.read(HEARD_BYTES)
        return heard


# What esptool 5.6 says, where that alone tells the cause.
_TOLD = (
    ("boot_strap", r"Wrong boot mode", "the board starts, but not its loader"),
    ("no_transmit", r"Download mode successfully detected", "its loader does not hear us"),
    ("verify", r"MD5 of file does not match|region is empty", "the flash holds something else"),
    ("wrong_chip", r"Unexpected chip|Failed to autodetect", "it is no ESP32 that esptool knows"),
    ("wrong_image", r"requires chip revision|does not contain an", "the image is for another chip"),
    ("flash_small", r"will not fit in", "the image is larger than the flash"),
    ("secure_boot", r"Secure Boot", "secure boot is on in this chip"),
    ("flash_encryption", r"[Ff]lash encryption", "flash encryption is on in this chip"),
)


def _told(fault: BaseException) -> str:
    words = str(fault).splitlines()
    return words[0][:120] if words else type(fault).__name__
