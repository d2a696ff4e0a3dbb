"""The sections of a board's file, and the section that a driver's row makes of itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated

from kerbline.boards.chips import CHIPS, Chip, Pin
from kerbline.boards.drivers import CHANNEL, DRIVERS, I2C, INSTRUMENTS, PIN_BUSES, SERIAL, Driver
from kerbline.boards.limits import SelfTest
from kerbline.boards.uses import Wiring
from kerbline.config.faults import Complaint, shown
from kerbline.config.reader import Reader
from kerbline.config.rules import Between, Filled, Matching, OneOf

MIB = 1 << 20
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class PinName:
    """A GPIO's number, or its name on the simulated board."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a value of any type; whether the chip has such a pin is for later."""
        if type(value) is int and 0 <= value <= 99:
            return None
        if isinstance(value, str) and NAME.fullmatch(value):
            return None
        return Complaint(f"{shown(value)} is no pin", "write the number of a GPIO")


@dataclass(frozen=True, slots=True)
class Address:
    """One of the addresses that a chip can be strapped to."""

    known: tuple[int, ...]

    def judge(self, value: object) -> Complaint | None:
        """Judge a number."""
        assert isinstance(value, int)
        if value in self.known:
            return None
        known = ", ".join(f"{each:#04x}" for each in self.known)
        return Complaint(f"the chip is never at {value:#04x}", f"write one of {known}")


AnyPin = Annotated[object, PinName()]


@dataclass(frozen=True, slots=True)
class About:
    """Which board this is, its chip and module, and the assets it can serve."""

    name: Annotated[
        str, Matching(r"[a-z][a-z0-9_-]{0,31}", "1 to 32 small letters, digits, - and _")
    ]
    chip: Annotated[str, OneOf(*CHIPS)]
    assets: Annotated[
        tuple[Annotated[str, OneOf(*INSTRUMENTS)], ...],
        Filled(),
    ]
    about: str
    module: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """The UART of a link; the simulated board's has no pins."""

    uart: Annotated[int, Between(0, 9)] | None = None
    tx: AnyPin | None = None
    rx: AnyPin | None = None


@dataclass(frozen=True, slots=True)
class SharedLine:
    """As a Line, with the pin that is high while we talk."""

    uart: Annotated[int, Between(0, 9)] | None = None
    tx: AnyPin | None = None
    rx: AnyPin | None = None
    de: AnyPin | None = None


@dataclass(frozen=True, slots=True)
class Datagrams:
    """Wi-Fi has no pins."""


@dataclass(frozen=True, slots=True)
class Links:
    """Ways to the gateway; a node's settings choose one of them."""

    uart: Line | None = None
    rs485: SharedLine | None = None
    udp: Datagrams | None = None


@dataclass(frozen=True, slots=True)
class I2cBus:
    """One bus for several chips."""

    number: Annotated[int, Between(0, 9)]
    scl: AnyPin
    sda: AnyPin
    hz: Annotated[int, Between(10_000, 1_000_000)] = 100_000


CONVERTERS = {row.name: row for row in DRIVERS.values() if row.channels}


@dataclass(frozen=True, slots=True)
class Converter:
    """A chip that gives analogue inputs to drivers; its own usual address unless told."""

    driver: Annotated[str, OneOf(*CONVERTERS)]
    bus: str
    address: Annotated[int, Between(0x08, 0x77)] | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """An output while the chip is in reset: the board's own resistor, and the level that lights.

    `pull` "none": no resistor, so that the chip's own decides.
    """

    pull: Annotated[str, OneOf("up", "down", "none")]
    lit_by: Annotated[str, OneOf("high", "low")]


@dataclass(frozen=True, slots=True)
class Service:
    """The pin that, tied to ground at the start and let go, opens the REPL of a release build."""

    strap: AnyPin


@dataclass(frozen=True, slots=True)
class Sleep:
    """Which roles' inputs end a deep sleep."""

    wake: Annotated[tuple[str, ...], Filled()]


@dataclass(frozen=True, slots=True)
class Energy:
    """What a cell holds and where it goes; `years` is what the board promises of it."""

    cell_mah: Annotated[int, Between(100, 1_000_000)]
    sleep_ua: Annotated[float, Between(0.1, 100_000)]
    awake_ma: Annotated[float, Between(0.1, 1_000)]
    awake_s_a_day: Annotated[float, Between(0, 86_400)]
    years: Annotated[float, Between(0.1, 30)]
    self_discharge_pct_a_year: Annotated[float, Between(0, 50)] = 1.0

    @property
    def life_years(self) -> float:
        """How long the cell lasts by these figures."""
        awake = self.awake_s_a_day / 86_400
        mean_ma = self.awake_ma * awake + self.sleep_ua / 1000 * (1 - awake)
        loss_mah = self.cell_mah * self.self_discharge_pct_a_year / 100
        return self.cell_mah / (mean_ma * 8766 + loss_mah)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the node may cost; a build that costs more fails.

    `resident_mpy_bytes`: what is loaded from the start; `mpy_bytes`: all files; `heap_bytes`:
    retained on 32 bit; `flash_bytes`: the file system with the journal.
    """

    resident_mpy_bytes: Annotated[int, Between(4_096, MIB)]
    mpy_bytes: Annotated[int, Between(4_096, MIB)]
    heap_bytes: Annotated[int, Between(8_192, 8 * MIB)]
    flash_bytes: Annotated[int, Between(65_536, 64 * MIB)]


@dataclass(frozen=True, slots=True)
class File:
    """A whole board's file; the instruments' tables are read by their drivers' rows."""

    board: About
    links: Links
    instruments: dict[str, object]
    budget: Budget
    i2c: dict[str, I2cBus] = field(default_factory=dict)
    converter: dict[str, Converter] = field(default_factory=dict)
    service: Service | None = None
    sleep: Sleep | None = None
    energy: Energy | None = None
    selftest: SelfTest = field(default_factory=SelfTest)
    hil: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A role, the driver that fills it and what its table says, defaults included."""

    role: str
    driver: Driver
    values: Mapping[str, object]
    reset: Reset | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """A checked board; `reader` knows the lines of its file."""

    about: About
    chip: Chip
    links: Links
    i2c: Mapping[str, I2cBus]
    converters: Mapping[str, Converter]
    instruments: Mapping[str, Instrument]
    budget: Budget
    wiring: Wiring
    reader: Reader
    service: Service | None = None
    sleep: Sleep | None = None
    energy: Energy | None = None
    selftest: SelfTest = field(default_factory=SelfTest)
    hil: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in its file's name."""
        return self.about.name


@cache
def section(driver: Driver) -> type:
    """The dataclass of an instrument's table: what this driver's row lets stand there."""
    fields: list[tuple[str, object, object]] = [("driver", str, dataclasses.MISSING)]
    if driver.bus == "adc":  # the chip's own, or one of a converter's
        fields += [("pin", AnyPin | None, None), ("converter", str | None, None)]
        fields.append(("channel", Annotated[int, Between(0, 7)] | None, None))
    elif driver.bus == CHANNEL:
        fields.append(("converter", str, dataclasses.MISSING))
        fields.append(("channel", Annotated[int, Between(0, 7)], dataclasses.MISSING))
    elif driver.bus in PIN_BUSES:
        fields.append(("pin", AnyPin, dataclasses.MISSING))
    elif driver.bus == I2C:
        fields.append(("bus", str, dataclasses.MISSING))
        fields.append(("address", Annotated[int, Address(driver.addresses)], driver.addresses[0]))
    else:
        assert driver.bus == SERIAL
        fields += [(name, AnyPin, dataclasses.MISSING) for name in ("uart", "tx", "rx")]
    if driver.hz:
        fields.append(("hz", Annotated[int, Between(1, 40_000_000)], driver.hz))
    for option in driver.options:
        if option.wire:
            fields.append(
                (option.name, AnyPin, dataclasses.MISSING)
                if option.needed
                else (option.name, AnyPin | None, None)
            )
        else:
            known = dataclasses.MISSING if option.default is None else option.default
            fields.append((option.name, Annotated[int, Between(option.low, option.high)], known))
    if driver.bus in ("pwm", "output"):
        fields.append(("reset", Reset | None, None))
    fields.sort(key=lambda each: each[2] is not dataclasses.MISSING)
    return dataclasses.make_dataclass(
        driver.kind,
        [
            (name, kind) if default is dataclasses.MISSING else (name, kind, field(default=default))
            for name, kind, default in fields
        ],
        frozen=True,
    )


def pins_of(line: Line | SharedLine) -> tuple[Pin | None, ...]:
    """(uart, tx, rx, de) of a link, None where it has none; () where it has no pins at all."""
    de = line.de if isinstance(line, SharedLine) else None
    values = (line.uart, line.tx, line.rx, de)
    if values == (None,) * 4:
        return ()
    return tuple(value if isinstance(value, int | str) else None for value in values)
