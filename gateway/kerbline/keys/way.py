"""Where a node is: the line that it is heard on."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.config.sections import UDP
from kerbline.config.terms import DEFAULT_BAUD


@dataclass(frozen=True, slots=True)
class Way:
    """A line; `port` "udp" for datagrams, `bus` where many nodes share it."""

    port: str
    baud: int = DEFAULT_BAUD
    bus: bool = False

    @property
    def link(self) -> str:
        """As a claim calls it."""
        return UDP if self.port == UDP else "rs485" if self.bus else "uart"
