"""What a value must be beyond its type; each rule says what is wrong and what to write instead."""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kerbline.clock import StreetTable
from kerbline.config.faults import Complaint, shown

MAX_FILE_BYTES = 1 << 20
KEY_BYTES = 16
_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class Rule(Protocol):
    """Judges a value that has the right type already."""

    def judge(self, value: object) -> Complaint | None:
        """None when the value will do."""


@dataclass(frozen=True, slots=True)
class Between:
    """A number within bounds, both included."""

    low: float
    high: float

    def judge(self, value: object) -> Complaint | None:
        """Judge a number."""
        assert isinstance(value, int | float)
        if self.low <= value <= self.high:
            return None
        return Complaint(
            f"{shown(value)} is out of range",
            f"write {self.low:,} to {self.high:,}".replace(",", "_"),
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """A text of one form; `form` says it in words."""

    pattern: str
    form: str

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        if re.fullmatch(self.pattern, value):
            return None
        return Complaint(f"{shown(value)} is not of the right form", f"write {self.form}")


class OneOf:
    """One of a few values."""

    __slots__ = ("values",)

    def __init__(self, *values: object) -> None:
        self.values = values

    def judge(self, value: object) -> Complaint | None:
        """Judge any value."""
        if value in self.values:
            return None
        known = ", ".join(shown(each) for each in self.values)
        return Complaint(f"{shown(value)} is not known", f"write one of {known}")


class Filled:
    """A list with at least one element."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a tuple."""
        return None if value else Complaint("the list is empty", "name at least one")


class DimmingProfile:
    """Steps of [minutes from the night's middle, percent] in rising order."""

    __slots__ = ()
    STEPS = 16
    MINUTES = 720

    def judge(self, value: object) -> Complaint | None:
        """Judge a tuple of tuples."""
        assert isinstance(value, tuple)
        form = f"write 1 to {self.STEPS} steps [-720 to 720, 0 to 100] in rising order"
        if not 1 <= len(value) <= self.STEPS:
            return Complaint(f"{len(value)} steps", form)
        before = -self.MINUTES - 1
        for step in value:
            if not isinstance(step, tuple) or len(step) != 2:
                return Complaint("a step is no pair", form)
            minute, pct = step
            if not isinstance(minute, int) or not isinstance(pct, int):
                return Complaint("a step is no pair of numbers", form)
            if not before < minute <= self.MINUTES or not 0 <= pct <= 100:
                return Complaint(f"[{minute}, {pct}] is out of range or order", form)
            before = minute
        return None


class KeyFile:
    """The path of a node's key: 32 hex digits in a file that nobody else may read."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Read the file; no word of a complaint tells what stands in it."""
        assert isinstance(value, Path)
        if _KEY.fullmatch(value.name):
            return Complaint(
                "this looks like a key; here stands the path of a file that holds it",
                "write the key into a file of mode 0600 and its path here; make a new key, "
                "since this one was shown",
            )
        content = read_secret(value)
        if isinstance(content, Complaint) or _KEY.fullmatch(content):
            return content if isinstance(content, Complaint) else None
        return Complaint(
            f"{shown(value)} does not hold a key", "write exactly 32 hex digits into it"
        )


class SecretFile:
    """The path of a secret in one line that nobody else may read."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Read the file; no word of a complaint tells what stands in it."""
        assert isinstance(value, Path)
        content = read_secret(value)
        if isinstance(content, Complaint):
            return content
        return (
            None if content else Complaint(f"{shown(value)} is empty", "write the secret into it")
        )


class Folder:
    """The path of a folder, which need not be there yet."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Look at what stands there."""
        assert isinstance(value, Path)
        try:
            here = value.is_dir() or not value.exists()
        except OSError as error:
            return Complaint(f"{shown(value)}: {error.strerror}", "write the path of a folder")
        if here:
            return None
        return Complaint(f"{shown(value)} is not a folder", "write the path of a folder")


class Certificates:
    """The path of PEM certificates."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Load them as the connection will."""
        import ssl  # only for a config with TLS

        assert isinstance(value, Path)
        content = read_bytes(value)
        if isinstance(content, Complaint):
            return content
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError):  # a text that is none, or nothing at all
            problem = f"{shown(value)} holds no certificates"
            return Complaint(problem, "write the path of a PEM file")
        return None


class ClockTable:
    """The path of a street clock table in JSON."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Read the table."""
        assert isinstance(value, Path)
        content = read_bytes(value)
        if isinstance(content, Complaint):
            return content
        try:
            StreetTable.parse(content)
        except (ValueError, RecursionError) as error:
            return Complaint(
                f"{shown(value)} is no clock table: {error}",
                "write [[real_ms, street_ms, rate], ...]",
            )
        return None


def read_secret(path: Path) -> str | Complaint:
    """The one line of a private file, stripped; or why it can't be taken."""
    read = _read(path)
    if isinstance(read, Complaint):
        return read
    content, mode = read
    if mode & 0o177:
        return Complaint(
            f"{shown(path)} has mode {mode:04o}, others may use it",
            f"run: chmod 600 {shlex.quote(str(path))}",
        )
    return content.decode("ascii", "replace").strip()


def read_bytes(path: Path) -> bytes | Complaint:
    """The content of a regular file of at most 1 MiB; or why it can't be taken."""
    read = _read(path)
    return read if isinstance(read, Complaint) else read[0]


def _read(path: Path) -> tuple[bytes, int] | Complaint:
    name = shown(path)
    try:
        # O_NONBLOCK: a FIFO of that name must not hold up the start
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                return Complaint(f"{name} is not a file", "write the path of a file")
            content = os.read(descriptor, MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Complaint(f"{name} does not exist", "make it, or write the path of a file that does")
    except OSError as error:
        return Complaint(
            f"{name} can't be read: {error.strerror}", "let the gateway's user read it"
        )
    if len(content) > MAX_FILE_BYTES:
        return Complaint(f"{name} is larger than 1 MiB", "write the path of the right file")
    return content, stat.S_IMODE(mode)
