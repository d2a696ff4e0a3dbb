"""What several drivers share: buses with their addresses, and converters with their channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kerbline.boards.drivers import CHANNEL, I2C, Driver
from kerbline.boards.sections import CONVERTERS, NAME, Address
from kerbline.boards.uses import Place
from kerbline.config.faults import Path, shown
from kerbline.config.reader import Reader

FORM = "write a small letter, then small letters, digits and _"


def check(reader: Reader, drivers: Mapping[str, Driver]) -> None:
    """Whoever names a bus or a converter finds it, alone at its address or channel."""
    for role, driver in drivers.items():
        if driver.bus in ("adc", CHANNEL):
            _input(reader, ("instruments", role), driver)
    _channels(reader, drivers)
    _converters(reader)
    _buses(reader, drivers)


def _input(reader: Reader, at: Path, driver: Driver) -> None:
    """An analogue input is a pin, or a converter and a channel; for some only the latter."""
    name = reader.accepted.get((*at, "converter"))
    if name is None:
        if driver.bus != CHANNEL and not any(
            reader.has((*at, key)) for key in ("pin", "converter")
        ):
            remedy = "write pin = ..., or converter and channel"
            reader.complain((*at, "pin"), "is missing", remedy)
        return
    if not reader.has(("converter", str(name))):
        problem = f"no converter is called {shown(name)}"
        reader.complain((*at, "converter"), problem, f"add [converter.{name}]")
    if driver.bus == CHANNEL:
        return
    if reader.has((*at, "pin")):
        reader.complain((*at, "pin"), "has a converter, too", "leave one of them out")
    if not reader.has((*at, "channel")):
        reader.complain((*at, "channel"), "is missing", "write channel = ...")


def _channels(reader: Reader, drivers: Mapping[str, Driver]) -> None:
    """A channel is one that its converter has, and has one reader."""
    used: dict[tuple[object, int], Place] = {}
    for path, first in reader.select("instruments", "*", "channel"):
        name = reader.accepted.get((*path[:-1], "converter"))
        kind = CONVERTERS.get(str(reader.accepted.get(("converter", str(name), "driver"))))
        driver = drivers.get(str(path[1]))
        if kind is None or driver is None or not isinstance(first, int):
            continue
        last = kind.channels - driver.inputs
        if first > last:
            more = f" and {first + driver.inputs - 1}" if driver.inputs > 1 else ""
            problem = f"{kind.name} has no channel {first}{more}"
            reader.complain(path, problem, f"write 0 to {last}")
        for channel in range(first, first + driver.inputs):
            place = used.setdefault((name, channel), Place(reader, path))
            if place.path != path:
                reader.complain(path, f"channel {channel} is taken by {place}", "write another one")


def _converters(reader: Reader) -> None:
    """Each has a name that will do, an address that it can have, and a reader."""
    names = {name for _, name in reader.select("instruments", "*", "converter")}
    for path in [path for path in reader.lines if len(path) == 2 and path[0] == "converter"]:
        address = reader.accepted.get((*path, "address"))
        kind = CONVERTERS.get(str(reader.accepted.get((*path, "driver"))))
        if not NAME.fullmatch(str(path[1])):
            reader.complain(path, "is no name for a converter", FORM)
        elif path[1] not in names:
            reader.complain(path, "no driver uses this converter", "remove it")
        if kind is not None and isinstance(address, int):
            complaint = Address(kind.addresses).judge(address)
            if complaint is not None:
                reader.complain((*path, "address"), complaint.problem, complaint.remedy)


def _buses(reader: Reader, drivers: Mapping[str, Driver]) -> None:
    """Chips name a bus that is there, each bus has a chip, and addresses on it differ."""
    buses = {path[1] for path in reader.lines if len(path) == 2 and path[0] == "i2c"}
    used: set[object] = set()
    first: dict[tuple[object, object], tuple[Path, Driver]] = {}
    for at, driver in _chips(reader, drivers):
        bus = reader.accepted.get((*at, "bus"))
        if bus is None:
            continue
        used.add(bus)
        if bus not in buses:
            named = ", ".join(shown(each) for each in sorted(map(str, buses)))
            remedy = f"write one of {named}" if named else f"add [i2c.{bus}] with its pins"
            reader.complain((*at, "bus"), f"no bus is called {shown(bus)}", remedy)
        key = "address" if reader.has((*at, "address")) else "bus"
        address = reader.accepted.get((*at, "address"), driver.addresses[0])
        other, its_driver = first.setdefault((bus, address), (at, driver))
        shared = its_driver is driver and not driver.channels  # one chip in two roles
        if other != at and not shared and isinstance(address, int):
            place = Place(reader, other)
            problem = f"address {address:#04x} on {shown(bus)} is taken by {place}"
            reader.complain((*at, key), problem, "write another address or another bus")
    for bus in sorted(map(str, buses)):
        if not NAME.fullmatch(bus):
            reader.complain(("i2c", bus), "is no name for a bus", FORM)
        elif bus not in used:
            reader.complain(("i2c", bus), "no driver uses this bus", "remove it")
    numbers: dict[object, Place] = {}
    for path, number in reader.select("i2c", "*", "number"):
        place = numbers.setdefault(number, Place(reader, path))
        if place.path != path:
            reader.complain(path, f"I2C {number} is taken by {place}", "write another one")


def _chips(reader: Reader, drivers: Mapping[str, Driver]) -> Iterator[tuple[Path, Driver]]:
    """Where each chip on an I2C bus stands."""
    for role, driver in drivers.items():
        if driver.bus == I2C:
            yield ("instruments", role), driver
    for path, name in reader.select("converter", "*", "driver"):
        yield path[:-1], CONVERTERS[str(name)]
