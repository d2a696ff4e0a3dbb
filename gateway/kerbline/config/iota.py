"""The sections of FIWARE IoT Agents, and what may be written in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kerbline.config.faults import Complaint, shown
from kerbline.config.reader import Reader
from kerbline.config.rules import Between, OneOf, SecretFile, read_secret
from kerbline.config.terms import Host, Name, Personal, TcpPort
from kerbline.config.tls import Tls
from kerbline.operations import OPERATIONS

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")  # it becomes a level of topics


class ApiKeyFile:
    """The path of a service group's key, that nobody else may read."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Read the file; no word of a complaint tells what stands in it."""
        complaint = SecretFile().judge(value)
        if complaint is not None:
            return complaint
        assert isinstance(value, Path)
        if not _KEY.fullmatch(str(read_secret(value))):
            problem = f"{shown(value)} holds no key for topics"
            return Complaint(problem, "write 1 to 64 letters, digits, - and _ into it")
        return None


@dataclass(frozen=True, slots=True)
class Iota:
    """An IoT Agent JSON behind an MQTT broker: it gets measures and gives commands."""

    name: Name
    host: Host
    api_key_file: Annotated[Path, ApiKeyFile()]
    port: TcpPort = 1883
    prefix: Annotated[str, OneOf("/json/", "json/", "/")] = "/json/"
    username: str = ""
    password_file: Annotated[Path, SecretFile()] | None = None
    tls: Tls | None = None
    backoff_max_s: Annotated[float, Between(0.1, 3_600)] = 60.0
    operations: tuple[Annotated[str, OneOf(*OPERATIONS)], ...] = tuple(OPERATIONS)
    command_ttl_s: Annotated[float, Between(1, 3_600)] = 30.0
    personal: Personal = "zones"
    arrays: bool = True


def check(reader: Reader) -> None:
    """Keep a fault for agents of no city: their entities would have no ids."""
    if any(reader.select("city", "id")):
        return
    for path, _ in reader.select("iota", "*", "name"):
        remedy = 'add [city] with id = "..."'
        reader.complain(path[:-1], "whose entities are these? There is no [city]", remedy)
        return
