"""Is this machine's clock right: by a server that tells the time, by the kernel, by our own age."""

from __future__ import annotations

import ctypes
import http.client
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from kerbline.field.doctor.finding import Finding, fault, good, note, unknown
from kerbline.local_socket import Declined, NotServing, ask

SUBJECT = "clock"
MOST_S = 30.0  # a command lives for minutes; a node is offered the time with 50 ms
MOST_AHEAD_S = 5 * 366 * 86_400  # of our own age, where no time server vouches for it
TIMEOUT_S = 4.0
NTP_PORT = 123
NTP_REQUEST = b"\x23" + 47 * b"\0"  # RFC 5905: no warning, version 4, client
NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970
STA_UNSYNC = 0x0040
_UNTOLD = (OSError, ValueError, LookupError, TypeError, NotServing, Declined)
SET = "set it: sudo timedatectl set-ntp true, or by hand: sudo date -u -s 'YYYY-MM-DD HH:MM:SS'"


@dataclass(frozen=True, slots=True)
class Seen:
    """`now_s` is ours, in s since 1970; `theirs_s` a server's, None where none told.

    `synced`: the kernel's word, None where it has none; `built_s`: when this software was made;
    `fault`: why the server told nothing.
    """

    now_s: float
    built_s: float = 0.0
    synced: bool | None = None
    source: str = ""
    theirs_s: float | None = None
    fault: str = ""


def judge(seen: Seen) -> Finding:
    """What that means."""
    ours = f"{datetime.fromtimestamp(seen.now_s, UTC):%Y-%m-%d %H:%M} UTC"
    if seen.theirs_s is not None:
        off_s = seen.now_s - seen.theirs_s
        if abs(off_s) <= MOST_S:
            return good("clock", SUBJECT, f"{ours}, within {MOST_S:g} s of {seen.source}")
        side = "ahead of" if off_s > 0 else "behind"
        return fault("clock_wrong", SUBJECT, f"{ours}: {_span(off_s)} {side} {seen.source}", SET)
    if seen.built_s and seen.now_s < seen.built_s - 86_400:
        built = f"{datetime.fromtimestamp(seen.built_s, UTC):%Y-%m-%d}"
        what = f"{ours} is before this software was made ({built})"
        return fault("clock_wrong", SUBJECT, what, SET)
    if seen.built_s and not seen.synced and seen.now_s > seen.built_s + MOST_AHEAD_S:
        built = f"{datetime.fromtimestamp(seen.built_s, UTC):%Y-%m-%d}"
        what = f"{ours} is years past the day this software was made ({built})"
        return fault("clock_wrong", SUBJECT, what, SET)
    why = f" ({seen.source} tells no time: {seen.fault})" if seen.fault else ""
    if seen.synced:
        return good("clock", SUBJECT, f"{ours}, kept by a time server{why}")
    ask = "`--clock-from https://HOST` or `ntp://HOST` compares it where there is a network"
    if seen.synced is None:
        return unknown("clock_unknown", SUBJECT, f"{ours}; nothing here tells whether{why}", ask)
    return note("clock_alone", SUBJECT, f"{ours}, kept by no time server{why}", ask)


def look(source: str = "") -> Seen:
    """Ours beside that of `source`; without one nobody is asked.

    http(s)://HOST, ntp://HOST, or the path of a gateway's socket, which ssh -L brings here.
    """
    built_s = _built_s()
    if not source:
        return Seen(time.time(), built_s, _synced())
    try:
        before = time.time()
        theirs_s = _told(source)
        now = time.time()
    except (*_UNTOLD, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Seen(time.time(), built_s, _synced(), source, None, said)
    return Seen((before + now) / 2, built_s, _synced(), source, theirs_s)


def _told(source: str) -> float:
    if "://" not in source:
        return float(ask(Path(source), {"ask": "status"})["at_ms"]) / 1000
    parts = urlsplit(source)
    host = parts.hostname or ""
    if parts.scheme == "ntp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(TIMEOUT_S)
            line.sendto(NTP_REQUEST, (host, parts.port or NTP_PORT))
            answer = line.recv(128)
        if len(answer) < 48 or answer[1] == 0:  # stratum 0: it has no time either
            raise ValueError("no time in its answer")
        whole, part = int.from_bytes(answer[40:44], "big"), int.from_bytes(answer[44:48], "big")
        return whole - NTP_EPOCH_S + part / 2**32
    if parts.scheme not in ("http", "https"):
        raise ValueError("write http://HOST, https://HOST, ntp://HOST, or a gateway's status.sock")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    line_http = kind(host, parts.port, timeout=TIMEOUT_S)
    line_http.connect()
    ends = threading.Timer(TIMEOUT_S, line_http.sock.shutdown, (socket.SHUT_RDWR,))
    ends.start()  # whoever says a byte now and then would keep us for ever
    try:
        line_http.request("HEAD", parts.path or "/")
        date = line_http.getresponse().getheader("Date")
    finally:
        ends.cancel()
        line_http.close()
    if not date:
        raise ValueError("no Date in its answer")
    return parsedate_to_datetime(date).timestamp() + 0.5  # it tells whole seconds


def _synced() -> bool | None:
    """Linux: does something keep the clock (adjtimex(2))? None where that can't be asked."""

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_byte * 256),
        )

    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    told = Timex()
    if adjtimex(ctypes.byref(told)) < 0:
        return None
    return not told.status & STA_UNSYNC


def _built_s() -> float:
    """When the newest of our own files was made; 0 where that is not told."""
    folder = Path(__file__).parents[2]
    try:
        return max(file.stat().st_mtime for file in folder.glob("*.py"))
    except (OSError, ValueError):
        return 0.0


def _span(seconds: float) -> str:
    left = abs(seconds)
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if left >= 2 * size:
            return f"{left / size:.0f} {name}"
    return f"{left:.0f} s"
