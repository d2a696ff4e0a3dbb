"""The section of a serial device that is no Modbus unit: its line, its profile, its assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from kerbline.config.rules import Between, Matching, OneOf
from kerbline.config.terms import Line, Name

SerialBaud = Annotated[
    int,
    OneOf(300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600),
]
# "even7": 7 data bits and even parity, as IEC 62056-21, 5.1 has it
SerialParity = Annotated[str, OneOf("none", "even", "odd", "even7")]


@dataclass(frozen=True, slots=True)
class SerialDevice:
    """A device that tells telegrams; its profile says how to read them.

    `asset` gets the device's own readings, `assets` say who gets those of meters behind it.
    """

    name: Name
    port: Line
    profile: Annotated[
        str,
        Matching(
            r"[a-z0-9][a-z0-9-]{0,47}|[^\x00-\x1f\x7f]{1,200}\.toml",
            'the name of a profile, or the path of one: "mine.toml"',
        ),
    ]
    asset: Name
    assets: dict[str, Name] = field(default_factory=dict)
    baud: SerialBaud | None = None
    parity: SerialParity | None = None
    poll_s: Annotated[float, Between(0.1, 86_400)] | None = None
    report_s: Annotated[float, Between(0, 86_400)] = 10.0
