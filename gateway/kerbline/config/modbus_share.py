"""The sections that share a bus: where we serve it, and which other masters may ask what."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from kerbline.config.faults import Complaint, shown
from kerbline.config.reader import Key
from kerbline.config.rules import Between, Filled, Matching
from kerbline.config.terms import HOST, PORT


class Network:
    """An address or a network of them."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        try:
            ipaddress.ip_network(str(value))
        except ValueError as error:
            form = 'write "192.168.7.20", or a network: "192.168.7.0/24"'
            return Complaint(f"{shown(value)}: {error}", form)
        return None


@dataclass(frozen=True, slots=True)
class Master:
    """Another master of the bus, or all of a network; the first that fits an address holds."""

    address: Annotated[str, Network()]
    write: bool = False
    priority: Annotated[int, Between(0, 9)] = 5  # 0 goes first; our own commands go before all


@dataclass(frozen=True, slots=True)
class Share:
    """A Modbus TCP server of ours before the bus; who is no master of it is turned away."""

    listen: Annotated[str, Matching(rf"{HOST}:{PORT}", '"host:port"')]
    masters: Annotated[tuple[Master, ...], Key("master"), Filled()]
    max_age_s: Annotated[float, Between(0, 3_600)] = 0.0  # of what is answered without the bus
    answer_s: Annotated[float, Between(0.05, 60)] = 3.0  # then a master is told that we are busy

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
