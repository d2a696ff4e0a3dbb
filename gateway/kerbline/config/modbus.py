"""The sections of Modbus: buses, units and registers, as a config and a device profile write them.

What registers say of each other and of their device is checked in `registers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from kerbline.config.modbus_share import Share
from kerbline.config.reader import Key
from kerbline.config.rules import Between, Filled, Matching, OneOf
from kerbline.config.terms import Baud, Line, Name

MAX_WORDS = 125  # Modbus Application Protocol V1.1b3, 6.3 and 6.4
MAX_BITS = 2_000  # 6.1 and 6.2
MAX_GAP = 16  # unread registers cost a bus less than one more request with its two silences
ADDRESSES = 65_536  # of each table
DEFAULT_POLL_S = 1.0
WORD_BITS = 16

BIT_TABLES = frozenset(["coil", "discrete"])
# How many words one value takes; a string, BCD digits and flags take as many as `words` says.
WIDTHS = {
    "uint16": 1,
    "int16": 1,
    "uint32": 2,
    "int32": 2,
    "uint64": 4,
    "int64": 4,
    "float32": 2,
    "float64": 4,
    "bool": 1,
    "datetime": 4,
}
WIDE = frozenset(["string", "bcd", "bits"])

ValueName = Annotated[
    str,
    Matching(r"[a-z][a-z0-9_]{0,63}", 'a small letter, then letters, digits and _: "power_w"'),
]
ProfileName = Annotated[
    str,
    Matching(
        r"[a-z0-9][a-z0-9-]{0,47}|[^\x00-\x1f\x7f]{1,200}\.toml",
        'the name of a profile, or the path of one: "mine.toml"',
    ),
]
UnitCode = Annotated[
    str, Matching(r"[A-Z0-9]{2,3}", 'a code of UN/CEFACT Recommendation 20: "KWH"')
]
Seconds = Annotated[float, Between(0.05, 86_400)]
Parity = Annotated[str, OneOf("none", "even", "odd")]
RegisterType = Annotated[str, OneOf(*WIDTHS, *sorted(WIDE))]
Table = Annotated[str, OneOf("input", "holding", "coil", "discrete")]
Order = Annotated[str, OneOf("high_first", "low_first")]
RawValue = Annotated[int, Between(-(1 << 63), (1 << 64) - 1)]
Deadband = Annotated[float, Between(0, 1e300)]
Heartbeat = Annotated[float, Between(0.05, 7 * 86_400)]
Retention = Annotated[str, OneOf("telemetry", "meter", "alarm")]


@dataclass(frozen=True, slots=True)
class Writable:
    """What may be written to a register, in its value's unit."""

    min: float | None = None
    max: float | None = None
    step: Annotated[float, Between(1e-9, 1e9)] | None = None  # from `min` on
    values: tuple[float, ...] = ()  # these alone
    every_s: Annotated[float, Between(0, 86_400)] = 1.0  # not more often: some wear out
    read_back: bool = True  # false: for what clears itself, like a reset


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """When a register's value is an alarm; one of `above`, `below` and `when` says it.

    It begins when the value has been beyond its limit for `hold_s`, and ends when it has been back
    by `hysteresis` for as long.
    """

    name: ValueName
    above: float | None = None
    below: float | None = None
    when: bool | None = None
    flag: str = ""  # of a register of type "bits": which one
    hysteresis: Annotated[float, Between(0, 1e300)] = 0.0
    hold_s: Annotated[float, Between(0, 86_400)] = 0.0
    severity: Annotated[str, OneOf("warning", "critical")] = "warning"


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a Modbus device, or a range of equal ones; its name ends in its unit."""

    name: ValueName
    address: Annotated[int, Between(0, ADDRESSES - 1)]
    type: RegisterType = "uint16"
    table: Table = "holding"
    word_order: Order = "high_first"
    byte_order: Order = "high_first"
    scale: float = 1.0
    offset: float = 0.0
    count: Annotated[int, Between(1, MAX_BITS)] = 1
    spread: bool = False  # a range is one list; or NAME_0, NAME_1 and so on
    words: Annotated[int, Between(1, MAX_WORDS)] = 1
    bit: Annotated[int, Between(0, WORD_BITS - 1)] | None = None
    bits: dict[str, Annotated[int, Between(0, 63)]] = field(default_factory=dict, hash=False)
    invalid: tuple[RawValue, ...] = ()
    unit: UnitCode | None = None
    deadband: Deadband | None = None
    heartbeat_s: Heartbeat = 900.0
    retention: Annotated[Retention, Key("class")] = "telemetry"
    poll_s: Seconds | None = None
    writable: Writable | None = None
    alarms: Annotated[tuple[AlarmRule, ...], Key("alarm")] = ()
    attribute: Annotated[
        str, Matching(r"[a-z][A-Za-z0-9]{0,63}", 'an attribute of a data model: "activePower"')
    ] = ""

    @property
    def width(self) -> int:
        """How many words the register takes; of coils and discrete inputs, how many bits."""
        return self.count * (self.words if self.type in WIDE else WIDTHS[self.type])


@dataclass(frozen=True, slots=True)
class ModbusDevice:
    """A unit on a bus, the asset it is and what is read from it.

    A loaded config has the registers of `profile` in `registers` already, ranges that are spread
    as single registers, and what the profile says where the file says nothing. `poll_s` holds for
    registers without one of their own.
    """

    unit: Annotated[int, Between(0, 255)]  # of a serial line 1 to 247
    asset: Name
    registers: Annotated[tuple[Register, ...], Key("register")] = ()
    poll_s: Seconds = DEFAULT_POLL_S
    profile: ProfileName | None = None
    only: tuple[ValueName, ...] = ()  # of the profile's registers; () is all
    max_words: Annotated[int, Between(1, MAX_WORDS)] = MAX_WORDS
    max_bits: Annotated[int, Between(1, MAX_BITS)] = MAX_BITS
    max_gap: Annotated[int, Between(-1, MAX_WORDS)] = MAX_GAP  # -1: each register alone
    write: Annotated[str, OneOf("auto", "single", "multiple")] = "auto"


@dataclass(frozen=True, slots=True)
class ModbusBus:
    """A Modbus bus: one line, one master (us), several units."""

    name: Name
    port: Line
    devices: Annotated[tuple[ModbusDevice, ...], Key("device"), Filled()]
    framer: Annotated[str, OneOf("rtu", "tcp")] = "rtu"
    baud: Baud = 19_200
    parity: Parity = "none"
    timeout_s: Annotated[float, Between(0.02, 10)] = 0.5
    stop_bits: Annotated[int, OneOf(1, 2)] = 1
    unit_switch_ms: Annotated[float, Between(0, 1_000)] = 0.0
    rs485: bool = False
    echo: bool = False
    pipeline: Annotated[int, Between(1, 16)] = 1
    share: Share | None = None
