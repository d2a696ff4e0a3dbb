"""The sections of a serial device's profile: one dataclass each, with what each key may hold.

What they say of each other is checked in `serial_profile`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from kerbline.config.faults import Complaint, shown
from kerbline.config.reader import Key
from kerbline.config.rules import Between, Filled, Matching, OneOf
from kerbline.config.serial import SerialBaud, SerialParity

INTEGERS = {  # width in bytes, signed
    "uint8": (1, False),
    "int8": (1, True),
    "uint16": (2, False),
    "int16": (2, True),
    "uint32": (4, False),
    "int32": (4, True),
}
CHECKSUMS = {  # bytes of each; south computes them
    "xor8": 1,
    "bcc": 1,
    "sum8": 1,
    "sum16": 2,
    "crc8": 1,
    "crc8_maxim": 1,
    "crc16_arc": 2,
    "crc16_modbus": 2,
}
WIDTHS = {name: width for name, (width, _) in INTEGERS.items()} | {"float32": 4}
BINARY_TYPES = tuple(WIDTHS)
TEXT_TYPES = ("decimal", "integer", "hex", "text", "hex_text", "degrees_minutes")
MAX_BINARY_BYTES = 1_024  # each may be a start: a search costs length x bytes
MAX_PATTERN = 200


class Characters:
    """A text that stands for bytes: no character above U+00FF."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        if all(each <= "\xff" for each in value) and len(value) <= MAX_PATTERN:
            return None
        return Complaint(f"{shown(value)} is no bytes", "write up to 200 of U+0000 to U+00FF")


class Pattern:
    """A regular expression of Python."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Compile it."""
        assert isinstance(value, str)
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            return Complaint(f"{shown(value)} is no pattern: {error}", "write one of Python's re")
        if len(value) > MAX_PATTERN:
            return Complaint("the pattern is too long", f"write up to {MAX_PATTERN} characters")
        return None


Bytes = Annotated[str, Characters()]
Mark = Annotated[str, Matching(r"[\x00-\xff]{1,8}", "1 to 8 characters up to U+00FF")]
Expression = Annotated[str, Pattern()]
Order = Annotated[str, OneOf("high_first", "low_first")]
Offset = Annotated[int, Between(0, MAX_BINARY_BYTES - 1)]
Column = Annotated[int, Between(0, 255)]
Word = Annotated[
    str, Matching(r"[a-z][a-z0-9_]{0,31}", "a small letter, then letters, digits and _")
]
ValueName = Annotated[
    str,
    Matching(r"[a-z][a-z0-9_]{0,63}", 'a small letter, then letters, digits and _: "power_w"'),
]
Obis = Annotated[
    str,
    Matching(
        r"[0-9A-Za-z{}:.\-*&#|]{1,80}", 'as the meter writes it: "1-0:1.8.0"; {n} for any channel'
    ),
]


@dataclass(frozen=True, slots=True)
class About:
    """What the profile is for, and what its facts rest on."""

    name: Annotated[str, Matching(r"[a-z0-9][a-z0-9-]{0,47}", "small letters, digits and -")]
    about: str
    cites: Annotated[tuple[str, ...], Filled()]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """How the device's line is set, and how often a telegram is to be expected on it."""

    baud: SerialBaud = 9_600
    parity: SerialParity = "none"
    period_s: Annotated[float, Between(0, 86_400)] = 0.0
    gap_s: Annotated[float, Between(0.01, 60)] = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to get a telegram; without it the device pushes."""

    send: Bytes = ""
    handshake: Annotated[str, OneOf("none", "iec62056-21")] = "none"
    address: Annotated[str, Matching(r"[0-9A-Za-z ]{0,32}", "letters and digits")] = ""
    wake_nul: Annotated[int, Between(0, 1_000)] = 0
    timeout_s: Annotated[float, Between(0.05, 120)] = 2.0


@dataclass(frozen=True, slots=True)
class Length:
    """A field that says how long the frame is: its value + `plus` is all of it.

    What is shorter than `least` is a frame of another kind, and passed over.
    """

    at: Offset
    type: Annotated[str, OneOf("uint8", "uint16")] = "uint8"
    plus: Annotated[int, Between(-255, 255)] = 0
    least: Annotated[int, Between(0, MAX_BINARY_BYTES)] = 0

    @property
    def width(self) -> int:
        """Bytes of the field."""
        return WIDTHS[self.type]


@dataclass(frozen=True, slots=True)
class Checksum:
    """How a telegram is secured: behind its end, over what `covers` says."""

    type: Annotated[str, OneOf(*CHECKSUMS)]
    form: Annotated[str, OneOf("raw", "hex")] = "raw"
    covers: Annotated[str, OneOf("whole", "inside", "with_end")] = "whole"
    byte_order: Order | None = None

    @property
    def bytes(self) -> int:
        """How many bytes it takes in the stream."""
        return CHECKSUMS[self.type] * (2 if self.form == "hex" else 1)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a telegram begins and ends: by `end`, or by `bytes`, or by a `length` in it."""

    start: Bytes = ""
    end: Bytes = ""
    bytes: Annotated[int, Between(1, MAX_BINARY_BYTES)] | None = None
    length: Length | None = None
    max_bytes: Annotated[int, Between(8, 65_536)] = MAX_BINARY_BYTES
    byte_order: Order = "high_first"
    checksum: Checksum | None = None

    @property
    def least_bytes(self) -> int:
        """The shortest frame that has room for its start, its length and its checksum."""
        head = self.length.at + self.length.width if self.length else 0
        return max(len(self.start), head) + self.tail_bytes

    @property
    def tail_bytes(self) -> int:
        """How long the checksum is."""
        return self.checksum.bytes if self.checksum else 0


@dataclass(frozen=True, slots=True)
class Content:
    """How values lie in a telegram."""

    form: Annotated[str, OneOf("obis", "separated", "pairs", "text", "binary")]
    separator: Mark = ","
    equals: Mark = "="


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a text stands in a telegram; which key is fitting `content.form` says."""

    obis: Obis | None = None
    part: Annotated[int, Between(1, 64)] | None = None
    index: Column | None = None
    key: str | None = None
    pattern: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Source):
    """One value: where it stands, its type and unit; its name ends in the unit it is given in."""

    name: ValueName
    at: Offset | None = None
    type: Annotated[str, OneOf(*TEXT_TYPES, *BINARY_TYPES)] = "decimal"
    byte_order: Order | None = None
    unit: str = ""
    unit_index: Column | None = None
    scale: float = 1.0
    offset: float = 0.0
    states: dict[str, float] | None = None
    sign_index: Column | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp(Source):
    """The time that a telegram tells of itself."""

    form: Annotated[str, OneOf("dsmr", "nmea")] = "dsmr"
    date_index: Column | None = None
    zone_min: Annotated[int, Between(-840, 840)] = 0
    uncertainty_ms: Annotated[int, Between(0, 3_600_000)] = 1_000
    oldest_s: Annotated[float, Between(1, 31 * 86_400)] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Required(Source):
    """A text that must be one of `values`; else the reading has no values and this flag."""

    values: Annotated[tuple[str, ...], Filled()]
    flag: Word = "invalid"


@dataclass(frozen=True, slots=True)
class Channel:
    """A device behind the device: its values are on the channel {n} whose `obis` tells `value`."""

    obis: Obis
    values: Annotated[tuple[str, ...], Filled()]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one asset gets from a telegram whose text `match`es."""

    name: Word
    fields: Annotated[tuple[Field, ...], Key("field"), Filled()]
    match: Expression = ""
    channel: Channel | None = None
    stamp: Stamp | None = None
    require: tuple[Required, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile, every rule kept. Readings without a channel are the device's own."""

    profile: About
    frame: Frame
    content: Content
    readings: Annotated[tuple[Reading, ...], Key("reading"), Filled()]
    line: Line = Line()
    request: Request | None = None
