"""Who uses which pin and which UART, and where a file says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kerbline.boards.chips import Pin
from kerbline.boards.drivers import I2C, PIN_BUSES, SERIAL, Driver
from kerbline.config import faults
from kerbline.config.reader import Reader

TX, RX, DE, STRAP = "tx", "rx", "de", "strap"
DRIVEN = {TX, DE, I2C} | {bus for bus, driven in PIN_BUSES.items() if driven}


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a file."""

    reader: Reader
    path: faults.Path

    def complain(self, problem: str, remedy: str) -> None:
        """Keep a fault here."""
        self.reader.complain(self.path, problem, remedy)

    def __str__(self) -> str:
        where = f"{self.reader.file}:{self.reader.line(self.path)}"
        return f"{faults.spelled(self.path)} ({where})"


@dataclass(frozen=True, slots=True)
class Use:
    """A pin, what it is used as (a bus, TX, RX, DE, STRAP), and by whom."""

    pin: Pin
    bus: str
    user: str
    place: Place

    @property
    def driven(self) -> bool:
        """Does the chip drive it?"""
        return self.bus in DRIVEN


@dataclass(frozen=True, slots=True)
class Uart:
    """A UART's number and who uses it."""

    number: Pin
    user: str
    place: Place


@dataclass(frozen=True, slots=True)
class Wiring:
    """All uses of a board; those of its links apart, since a node has one of them."""

    links: Mapping[str, tuple[Use | Uart, ...]]
    fixed: tuple[Use | Uart, ...]

    def pins(self) -> list[Use]:
        """Every use of a pin, the links' among them."""
        every = [*self.fixed, *(use for link in self.links.values() for use in link)]
        return [use for use in every if isinstance(use, Use)]


def read(reader: Reader, drivers: Mapping[str, Driver]) -> Wiring:
    """The uses in a board's file, by the values that were accepted; `drivers` by role."""
    links: dict[str, list[Use | Uart]] = {}
    fixed: list[Use | Uart] = []
    for use in _all(reader, drivers):
        _, _, link = use.user.partition("links.")
        (links.setdefault(link, []) if link else fixed).append(use)
    return Wiring({link: tuple(uses) for link, uses in links.items()}, tuple(fixed))


def _all(reader: Reader, drivers: Mapping[str, Driver]) -> Iterator[Use | Uart]:
    for path, value in reader.accepted.items():
        if not isinstance(value, int | str) or len(path) < 2:
            continue
        key = str(path[-1])
        user = faults.spelled(path[:-1])
        place = Place(reader, path)
        match path:
            case ("service", "strap"):
                yield Use(value, STRAP, user, place)
            case ("i2c", _, "scl" | "sda"):
                yield Use(value, I2C, user, place)
            case ("links", _, "tx" | "rx" | "de") | ("instruments", _, "tx" | "rx"):
                yield Use(value, key, user, place)
            case ("links", _, "uart") | ("instruments", _, "uart"):
                yield Uart(value, user, place)
            case ("instruments", str(role), _) if role in drivers:
                bus = _pin_bus(drivers[role], key)
                if bus:
                    yield Use(value, bus, user, place)


def _pin_bus(driver: Driver, key: str) -> str:
    """What the pin at that key of the driver's table is used as; "" where it is none."""
    if key == "pin" and driver.bus not in (I2C, SERIAL):
        return driver.bus
    return next((option.wire for option in driver.options if option.name == key), "")
