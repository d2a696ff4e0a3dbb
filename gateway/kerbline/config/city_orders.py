"""How an NGSI-LD broker's orders get to us: the section `commands` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kerbline.config import faults
from kerbline.config.reader import Reader
from kerbline.config.rules import Between, Certificates, Matching, OneOf, SecretFile
from kerbline.config.terms import HOST, HOST_NAME, PORT, TcpPort
from kerbline.config.tls import Tls

OPERATIONS = ("set_level", "release", "write")
_TOPIC = r"[A-Za-z0-9_:@-]{1,64}(/[A-Za-z0-9_:@-]{1,64}){0,6}"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Our certificate for whoever asks us, and the CA of those who may, where theirs is wanted."""

    cert: Annotated[Path, Certificates()]
    key: Annotated[Path, SecretFile()] | None = None
    client_ca: Annotated[Path, Certificates()] | None = None


@dataclass(frozen=True, slots=True)
class Notified:
    """Where a broker's notifications reach us, which we need not be reached for."""

    host: Annotated[
        str,
        Matching(
            rf"{HOST_NAME}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*",
            "a host name or an address; the port is a key of its own",
        ),
    ]
    topic: Annotated[str, Matching(_TOPIC, "up to 7 levels of letters, digits and - _ : @")]
    port: TcpPort = 1883
    username: str = ""
    password_file: Annotated[Path, SecretFile()] | None = None
    tls: Tls | None = None
    uri_file: Annotated[Path, SecretFile()] | None = None


@dataclass(frozen=True, slots=True)
class Commands:
    """What a broker may order, and by which of two ways; with neither it may not."""

    listen: Annotated[str, Matching(rf"{HOST}:{PORT}", '"host:port"')] | None = None
    address: (
        Annotated[
            str,
            Matching(
                rf"https?://{HOST}(:{PORT})?(/[A-Za-z0-9._~-]{{1,64}}){{0,8}}",
                '"https://host:port", as the broker reaches us',
            ),
        ]
        | None
    ) = None
    access_token_file: Annotated[Path, SecretFile()] | None = None
    tls: ServerTls | None = None
    mqtt: Notified | None = None
    mode: Annotated[str, OneOf("exclusive", "inclusive")] = "exclusive"
    attributes: tuple[Annotated[str, OneOf("illuminanceLevel", "powerState")], ...] = (
        "illuminanceLevel",
        "powerState",
    )
    ttl_s: Annotated[float, Between(1, 86_400)] = 60.0
    answer_s: Annotated[float, Between(0.5, 60)] = 4.0
    hold_s: Annotated[int, Between(0, 86_400)] = 0
    operations: tuple[Annotated[str, OneOf(*OPERATIONS)], ...] = OPERATIONS
    priority: Annotated[str, OneOf("control", "operator", "safety")] = "operator"

    @property
    def served(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = (self.listen or "").rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def held_here(self) -> bool:
        """Has the broker no state of its own of what may be ordered?"""
        return self.listen is not None and self.mode == "exclusive"


def check(reader: Reader) -> None:
    """Keep a fault for what does not go together."""
    for at in _sections(reader):
        _check(reader, at)
    ports: dict[object, faults.Path] = {}
    for path, listen in reader.select("ngsi_ld", "*", "commands", "listen"):
        before = ports.setdefault(listen, path)
        if before != path:
            problem = f"{faults.shown(listen)} stands in line {reader.line(before)} already"
            reader.complain(path, problem, "write another port")


def _check(reader: Reader, at: faults.Path) -> None:
    listen, mqtt = reader.has((*at, "listen")), reader.has((*at, "mqtt"))
    if not listen and not mqtt:
        problem = "no way for an order to get here"
        reader.complain(at, problem, 'add listen = "host:port", or [ngsi_ld.commands.mqtt]')
    if listen and mqtt:
        problem = "two ways: each order would come twice"
        reader.complain((*at, "listen"), problem, "leave this out, or [ngsi_ld.commands.mqtt]")
    if listen and not reader.has((*at, "address")):
        remedy = 'add address = "https://host:port", as the broker reaches us'
        reader.complain((*at, "listen"), "the broker has to know where we are", remedy)
    guarded = reader.has((*at, "access_token_file")) or reader.has((*at, "tls", "client_ca"))
    if listen and not guarded:
        remedy = "add access_token_file, or tls with client_ca"
        reader.complain((*at, "listen"), "anybody could give orders", remedy)
    address = str(reader.accepted.get((*at, "address"), ""))
    if address.startswith("http://") and reader.has((*at, "tls")):
        problem = f"http:// has no TLS: {faults.shown(address)}"
        reader.complain((*at, "address"), problem, "write https://, or leave tls out")


def doubts(reader: Reader) -> None:
    """Keep a warning where a token of ours goes over a network that others read along."""
    for at in _sections(reader):
        host = str(reader.accepted.get((*at, "listen"), "")).rpartition(":")[0].strip("[]")
        plain = reader.has((*at, "listen")) and not reader.has((*at, "tls"))
        if plain and host not in ("127.0.0.1", "::1", "localhost"):
            problem = "orders and their token come for everybody on the way to read and to repeat"
            reader.complain((*at, "listen"), problem, "add [ngsi_ld.commands.tls], or a proxy")


def _sections(reader: Reader) -> Iterator[faults.Path]:
    found = {
        path[:3] for path in reader.lines if path[:1] == ("ngsi_ld",) and path[2:3] == ("commands",)
    }
    yield from sorted(found, key=str)
