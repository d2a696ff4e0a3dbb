"""The section of a line on which no node of the config is, and where nodes may join."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.config.terms import DEFAULT_BAUD, Baud, Line


@dataclass(frozen=True, slots=True)
class EnrolmentLine:
    """A node with a claim may join on this line; `bus`: many of them, on RS-485."""

    port: Line
    baud: Baud = DEFAULT_BAUD
    bus: bool = False
