"""Can a serial port be opened, and if not, why: its owner, its users, or that there is none."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.field.doctor.finding import Finding, fault, good, note, unknown

PROC = Path("/proc")
LONGEST_COMMAND = 60
MOST_NAMED = 3
WAYS = ("socket://", "rfc2217://")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the port open."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A port and who has to do with it; `hidden`: processes whose files we may not look at.

    `opened` is the number of the fault that opening it gave, 0 where it opened, None where it was
    not tried. `in_group`: the user database has us in its group; `active`: so has this login.
    """

    port: str
    exists: bool = True
    is_line: bool = True
    opened: int | None = 0
    group: str = ""
    in_group: bool = False
    active: bool = False
    holders: tuple[Holder, ...] = ()
    hidden: int = 0
    ports: tuple[str, ...] = ()


def judge(seen: Seen) -> list[Finding]:
    """Why the port does not open, or that it does."""
    port = seen.port
    if not seen.exists:
        there = f"there are {', '.join(seen.ports)}" if seen.ports else "there is none at all"
        return [
            fault(
                "no_port",
                port,
                f"there is no such port, {there}",
                "is the cable in, and does it carry data? `kerbline doctor --watch`",
            )
        ]
    if not seen.is_line or seen.opened == errno.ENOTTY:
        remedy = "name a /dev/tty..., or socket://HOST:PORT of a serial server"
        return [fault("no_line", port, "that is no serial port", remedy)]
    if "://" in port:
        return []  # it is tried by using it
    if seen.holders:
        return [_busy(seen)]
    if seen.opened in (errno.EBUSY, errno.EAGAIN):
        return [_busy_by_nobody(seen)]
    if seen.opened in (errno.EACCES, errno.EPERM):
        return [_forbidden(seen)]
    if seen.opened:
        text = os.strerror(seen.opened)
        return [
            fault(
                "port_fault",
                port,
                f"it can't be opened: {text}",
                "pull the cable out and put it in again; does the board get warm?",
            )
        ]
    if seen.opened is None:
        return [unknown("port_untried", port, "it was not opened")]
    found = [good("port", port, "it is there and can be opened")]
    if seen.hidden:
        found.append(
            note(
                "users_hidden",
                port,
                f"whether another user's program reads it too can't be told: {seen.hidden} "
                "processes are not ours to look at",
                "ask with sudo",
            )
        )
    return found


def _busy(seen: Seen) -> Finding:
    named = seen.holders[:MOST_NAMED]
    who = ", ".join(f"{each.command} (pid {each.pid})" for each in named)
    who += f" and {len(seen.holders) - len(named)} more" if len(seen.holders) > len(named) else ""
    which = " ".join(str(each.pid) for each in named)
    return fault(
        "port_busy", seen.port, f"{who} has it open", f"close that program, or: kill {which}"
    )


def _busy_by_nobody(seen: Seen) -> Finding:
    if seen.hidden:
        what = f"another user's program has it open ({seen.hidden} processes can't be looked at)"
        return fault("port_busy", seen.port, what, f"sudo fuser -v {seen.port} tells which")
    return fault(
        "port_busy",
        seen.port,
        "the system says that it is in use, and no program has it open",
        "pull the cable out and put it in again",
    )


def _forbidden(seen: Seen) -> Finding:
    if seen.group in ("", "root"):
        what = "you may not open it, and it belongs to no group that you could join"
        return fault("permission", seen.port, what, "run the command with sudo, or add a udev rule")
    if seen.in_group and not seen.active:
        what = f"you may not open it yet: you joined the group {seen.group} after you logged in"
        return fault(
            "permission", seen.port, what, f"log out and in again, or: newgrp {seen.group}"
        )
    return fault(
        "permission",
        seen.port,
        f"you may not open it: it belongs to the group {seen.group}",
        f"sudo usermod -aG {seen.group} $USER, then log out and in again",
    )


def look(port: str, ports: Sequence[str], proc: Path = PROC) -> Seen:
    """What the system tells of a port that is a file; one of the network is tried by using it."""
    if "://" in port:
        return Seen(port, is_line=port.startswith(WAYS), opened=None)
    try:
        about = os.stat(port)  # noqa: PTH116 - one call for all of it
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO)
        return Seen(port, exists=not gone, opened=error.errno, ports=tuple(ports))
    if not stat.S_ISCHR(about.st_mode):
        return Seen(port, is_line=False, ports=tuple(ports))
    holders, hidden = users(port, proc)
    group = _name_of_group(about.st_gid)
    return Seen(
        port,
        opened=_opened(port),
        group=group,
        in_group=_is_member(group),
        active=about.st_gid in (*os.getgroups(), os.getegid()),
        holders=holders,
        hidden=hidden,
        ports=tuple(ports),
    )


def users(port: str, proc: Path = PROC) -> tuple[tuple[Holder, ...], int]:
    """The processes that have a file open, and how many there are that we may not look at."""
    real = os.path.realpath(port)
    found: list[Holder] = []
    hidden = 0
    for process in proc.glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            links = [os.readlink(each) for each in (process / "fd").iterdir()]  # noqa: PTH115
        except PermissionError:
            hidden += 1
            continue
        except OSError:  # it ended meanwhile
            continue
        if real in links:
            found.append(Holder(int(process.name), _command(process)))
    return tuple(sorted(found, key=lambda each: each.pid)), hidden


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        return words.strip()[:LONGEST_COMMAND] or (process / "comm").read_text().strip()
    except OSError:
        return "a program"


def _opened(port: str) -> int:
    """The number of the fault that opening gives; 0: none. It waits for nothing."""
    try:
        line = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        if not os.isatty(line):
            return errno.ENOTTY
        fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as pyserial and mpremote lock it
    except OSError as error:
        return error.errno or errno.EBUSY
    finally:
        os.close(line)
    return 0


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _is_member(group: str) -> bool:
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False
