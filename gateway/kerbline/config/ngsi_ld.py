"""The sections of NGSI-LD brokers, and what may be written in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kerbline.config import city_orders, faults
from kerbline.config.attributes import MEASURED
from kerbline.config.city_orders import Commands
from kerbline.config.reader import Reader, hint
from kerbline.config.rules import Between, Matching, OneOf, SecretFile
from kerbline.config.terms import HOST, PORT, Name, Personal
from kerbline.config.tls import Tls

_PATH = r"(/[A-Za-z0-9._~%/-]{0,200})?"
Url = Annotated[
    str,
    Matching(rf"https?://{HOST}(:{PORT})?{_PATH}", '"https://host:port/path", without a query'),
]
Contexts = Annotated[
    str, Matching(rf"https?://{HOST}(:{PORT})?{_PATH}", "the address of a JSON-LD context")
]


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Where a token is had for a client's id and secret (RFC 6749, 4.4)."""

    token_url: Url
    client_id: Annotated[str, Matching(r"[\x21-\x7e]{1,200}", "the id that the platform gave us")]
    client_secret_file: Annotated[Path, SecretFile()]
    scope: Annotated[
        str, Matching(r"[\x21-\x7e]{0,100}( [\x21-\x7e]{1,100})*", "words with blanks between")
    ] = ""


@dataclass(frozen=True, slots=True)
class NgsiLd:
    """A broker of the city that gets entities of Smart Data Models."""

    name: Name
    url: Url
    tenant: Annotated[
        str, Matching(r"[A-Za-z0-9_.-]{0,100}", "the tenant that the platform gave us")
    ] = ""
    context: tuple[Contexts, ...] = ()
    context_in: Annotated[str, OneOf("body", "link")] = "body"
    form: Annotated[str, OneOf("normalized", "concise")] = "normalized"
    history: Annotated[str, OneOf("rest", "all", "off")] = "rest"
    personal: Personal = "zones"
    token_file: Annotated[Path, SecretFile()] | None = None
    oauth2: OAuth2 | None = None
    tls: Tls | None = None
    gzip: bool = False
    timeout_s: Annotated[float, Between(1, 120)] = 10.0
    history_per_s: Annotated[float, Between(0.1, 1_000)] = 20.0
    backoff_max_s: Annotated[float, Between(0.1, 3_600)] = 60.0
    heartbeat_s: Annotated[float, Between(1, 366 * 86_400)] = 900.0
    commands: Commands | None = None
    deadband: dict[str, Annotated[float, Between(0, 1e9)]] = field(default_factory=dict)


def check(reader: Reader) -> None:
    """Keep a fault for what does not go together."""
    city_orders.check(reader)
    for path, _ in reader.select("ngsi_ld", "*", "deadband", "*"):
        name = str(path[-1])
        if name not in MEASURED:
            remedy = hint(name, MEASURED)
            reader.complain(path, "is no attribute that is measured", remedy)
    for at in _brokers(reader):
        if not any(reader.select("city", "id")):
            remedy = 'add [city] with id = "..."'
            reader.complain(at, "whose entities are these? There is no [city]", remedy)
            break
    for at in _brokers(reader):
        url = str(dict(reader.select(*at, "url")).get((*at, "url"), ""))
        if reader.has((*at, "token_file")) and reader.has((*at, "oauth2")):
            problem = "two ways to a token"
            reader.complain((*at, "token_file"), problem, "leave this out, or the oauth2 section")
        if reader.has((*at, "tls")) and url.startswith("http://"):
            problem = f"http:// has no TLS: {faults.shown(url)}"
            reader.complain((*at, "url"), problem, "write https://, or leave tls out")
        link = dict(reader.select(*at, "context_in")).get((*at, "context_in")) == "link"
        if link and len(list(reader.select(*at, "context", "*"))) > 1:
            problem = "a Link has room for one @context"
            remedy = 'name one that has all terms, or write context_in = "body"'
            reader.complain((*at, "context"), problem, remedy)


def doubts(reader: Reader) -> None:
    """Keep a warning where a token goes over a network that others read along."""
    city_orders.doubts(reader)
    for at in _brokers(reader):
        secret = reader.has((*at, "token_file")) or reader.has((*at, "oauth2"))
        for path in ((*at, "url"), (*at, "oauth2", "token_url")):
            url = str(reader.accepted.get(path, ""))
            if secret and url.startswith("http://") and not _is_here(url):
                problem = f"a token goes to {faults.shown(url)} for everybody on the way to read"
                reader.complain(path, problem, "write https://")


def _brokers(reader: Reader) -> Iterator[faults.Path]:
    for path, _ in reader.select("ngsi_ld", "*", "name"):
        yield path[:-1]


def _is_here(url: str) -> bool:
    import ipaddress  # for `kerbline check` alone
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
