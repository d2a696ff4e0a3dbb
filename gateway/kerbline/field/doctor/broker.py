"""Is the broker to be reached: its name, its port, TLS, who we are. Looked at step by step.

A CONNECT of MQTT 3.1.1, with a client id of its own, so that the gateway's session stays.
"""

from __future__ import annotations

import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from kerbline.field.doctor.finding import Finding, fault, good
from kerbline.north.tls import TlsFiles, plainly

TIMEOUT_S = 5.0
ACCEPTED, BAD_PROTOCOL, BAD_ID, UNAVAILABLE, BAD_USER, NOT_AUTHORIZED = range(6)


class Stage(StrEnum):
    """How far it went; the last one is all the way."""

    NAME = "name"
    PORT = "port"
    TLS = "tls"
    GREETING = "greeting"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Target:
    """Which broker, and who we are there."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """`stage` is the step that failed, with the system's words; or ANSWERED with its code."""

    stage: Stage
    said: str = ""
    refused: bool = False  # the port: somebody said no, rather than nobody anything
    code: int = ACCEPTED


def judge(target: Target, seen: Seen) -> Finding:
    """What that means."""
    subject = f"broker {target.host}:{target.port}"
    if seen.stage is Stage.NAME:
        return fault(
            "broker_name",
            subject,
            f"its name has no address here ({seen.said})",
            "is [mqtt] host spelled right, and has this machine a network and a name server?",
        )
    if seen.stage is Stage.PORT and seen.refused:
        return fault(
            "broker_refused",
            subject,
            "the machine is there, and nothing listens at that port",
            "start the broker, or mend [mqtt] port; mosquitto without a listener takes only "
            "connections of its own machine",
        )
    if seen.stage is Stage.PORT:
        return fault(
            "broker_unreachable",
            subject,
            f"nobody answers there ({seen.said})",
            "is the network up, is a firewall or VPN in between, is the address right?",
        )
    if seen.stage is Stage.TLS:
        return fault(
            "broker_tls",
            subject,
            f"TLS fails: {plainly(seen.said, target.host, target.tls)}",
            "see [mqtt.tls], and `kerbline check`",
        )
    if seen.stage is Stage.GREETING:
        return fault(
            "broker_silent",
            subject,
            "it takes the connection and does not answer in MQTT"
            if target.tls is None
            else "it speaks TLS and does not answer in MQTT",
            "is that an MQTT port?"
            + (" One for TLS, often 8883, wants [mqtt.tls]" if target.tls is None else ""),
        )
    return _answered(target, subject, seen.code)


def _answered(target: Target, subject: str, code: int) -> Finding:
    if code == ACCEPTED:
        who = f" as {target.username}" if target.username else ""
        return good("broker", subject, f"it lets us in{who}")
    if code in (BAD_USER, NOT_AUTHORIZED):
        who = f"the user {target.username}" if target.username else "anybody without a user"
        return fault(
            "broker_user",
            subject,
            f"it refuses {who} or that password",
            "mend [mqtt] username and password_file, or the broker's list of users",
        )
    if code == UNAVAILABLE:
        what = "it is there and not at work yet"
        return fault("broker_busy", subject, what, "wait, and look into its log")
    return fault("broker_refuses", subject, f"it refuses us with code {code}", "look into its log")


def look(target: Target, timeout_s: float = TIMEOUT_S) -> Seen:
    """Go there, and hang up."""
    try:
        socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Seen(Stage.NAME, getattr(error, "strerror", None) or str(error))
    try:
        plain = socket.create_connection((target.host, target.port), timeout_s)
    except ConnectionRefusedError as error:
        return Seen(Stage.PORT, error.strerror or "", refused=True)
    except OSError as error:
        return Seen(Stage.PORT, error.strerror or "no answer")
    with plain:
        try:
            line = _secured(target, plain)
        except (OSError, ValueError) as error:
            return Seen(Stage.TLS, str(error))
        with line:
            return _greeted(target, line.sendall, line.recv)


def _secured(target: Target, plain: socket.socket) -> socket.socket:
    if target.tls is None:
        return plain
    context = ssl.create_default_context(cafile=str(target.tls.ca))
    if target.tls.cert is not None:
        context.load_cert_chain(target.tls.cert, target.tls.key)
    return context.wrap_socket(plain, server_hostname=target.host)


def _greeted(
    target: Target, send: Callable[[bytes], None], receive: Callable[[int], bytes]
) -> Seen:
    try:
        send(connect(target))
        answer = b""
        while len(answer) < 4:
            data = receive(4 - len(answer))
            if not data:
                break
            answer += data
    except ssl.SSLError as error:  # TLS 1.3 refuses a certificate when all seems done
        return Seen(Stage.TLS, str(error))
    except OSError as error:
        return Seen(Stage.GREETING, str(error))
    if len(answer) < 4 or answer[:2] != b"\x20\x02":
        return Seen(Stage.GREETING, answer.hex())
    return Seen(Stage.ANSWERED, code=answer[3])


def connect(target: Target) -> bytes:
    """A CONNECT (MQTT 3.1.1, 3.1) with a clean session and a client id drawn by chance."""
    flags = 0x02
    payload = _text(f"kerbline-doctor-{secrets.token_hex(4)}")
    if target.username:
        flags |= 0x80
        payload += _text(target.username)
        if target.password:
            flags |= 0x40
            payload += _text(target.password)
    body = _text("MQTT") + bytes((4, flags, 0, 10)) + payload
    return b"\x10" + _length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _length(count: int) -> bytes:
    found = b""
    while True:
        count, low = divmod(count, 128)
        found += bytes((low | (0x80 if count else 0),))
        if not count:
            return found
