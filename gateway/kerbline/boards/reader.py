"""A board's file, read and judged whole: every fault in it at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kerbline.boards import assembly, limits, rules, uses
from kerbline.boards.chips import CHIPS, Chip
from kerbline.boards.drivers import DRIVERS, Driver
from kerbline.boards.sections import (
    About,
    Board,
    Budget,
    Energy,
    File,
    Instrument,
    Reset,
    Service,
    Sleep,
    section,
)
from kerbline.config import document
from kerbline.config.faults import ConfigFault, Fault, shown
from kerbline.config.reader import STRANGE, Reader

SECTIONS = {"board": About, "service": Service, "sleep": Sleep, "energy": Energy, "budget": Budget}


def load(path: Path) -> Board:
    """Read and check a board's file; raises ConfigFault with every fault in it."""
    reader, table = document.opened(path)
    file = reader.section(File, table)
    instruments = _instruments(reader)
    _headers(reader)
    drivers = {role: instrument.driver for role, instrument in instruments.items()}
    chip = CHIPS.get(str(reader.accepted.get(("board", "chip"))))
    wiring = uses.read(reader, drivers)
    name = reader.accepted.get(("board", "name"))
    if name is not None and name != path.stem:
        reader.complain(("board", "name"), f"the file is called {path.name}", "rename one of them")
    assembly.check(reader, drivers)
    limits.check(reader)
    if chip is not None:
        _check_chip(reader, chip, wiring)
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(file, File)
    assert chip is not None
    return Board(
        about=file.board,
        chip=chip,
        links=file.links,
        i2c=file.i2c,
        converters=file.converter,
        instruments=instruments,
        budget=file.budget,
        wiring=wiring,
        reader=reader,
        service=file.service,
        sleep=file.sleep,
        energy=file.energy,
        selftest=file.selftest,
        hil=file.hil,
    )


def _headers(reader: Reader) -> None:
    """A header that is gone is one fault, not one of each key that it leaves to another table."""
    for name, kind in SECTIONS.items():
        keys = {each.name for each in dataclasses.fields(kind)}
        strays = [
            fault
            for fault in reader.faults
            if fault.problem == STRANGE and fault.key.rpartition(".")[2] in keys
        ]
        if strays and not reader.has((name,)):
            faults = [f for f in reader.faults if f not in strays and f.key != name]
            line = min(fault.line for fault in strays)
            problem = "is missing above these keys"
            reader.faults = [*faults, Fault(reader.file, line, name, problem, f"write [{name}]")]


def _instruments(reader: Reader) -> dict[str, Instrument]:
    """Each role with a known driver, its table read by that driver's row."""
    found: dict[str, Instrument] = {}
    for path, raw in list(reader.select("instruments", "*")):
        role = str(path[1])
        if not isinstance(raw, dict):
            reader.complain(path, f"{shown(raw)} where a table belongs", "write a table")
            continue
        name = raw.get("driver")
        if name is None:
            reader.complain((*path, "driver"), "is missing", 'write driver = "..."')
        elif not isinstance(name, str) or name not in DRIVERS:
            fitting = [row.name for row in DRIVERS.values() if role in row.roles]
            remedy = f"write one of {', '.join(fitting or DRIVERS)}"
            reader.complain((*path, "driver"), f"{shown(name)} is no driver", remedy)
        else:
            driver = DRIVERS[name]
            made = reader.section(section(driver), raw, path)
            found[role] = _instrument(role, driver, made)
    return found


def _instrument(role: str, driver: Driver, made: object) -> Instrument:
    values = {each.name: getattr(made, each.name) for each in dataclasses.fields(section(driver))}
    del values["driver"]
    given = values.pop("reset", None)
    return Instrument(role, driver, values, given if isinstance(given, Reset) else None)


def _check_chip(reader: Reader, chip: Chip, wiring: uses.Wiring) -> None:
    """What depends on the chip."""
    module = str(reader.accepted.get(("board", "module"), ""))
    if chip.real and module not in chip.modules:
        known = ", ".join(shown(each) for each in chip.modules)
        told = f"{shown(module)} is no module of {chip.name}" if module else "is missing"
        reader.complain(("board", "module"), told, f"write one of {known}")
    every = [*wiring.fixed, *(use for link in wiring.links.values() for use in link)]
    rules.pins(chip, module, every, wifi=reader.has(("links", "udp")))
    rules.uarts(chip, every)
    rules.conflicts(wiring)
    for path, number in reader.select("i2c", "*", "number"):
        if chip.real and isinstance(number, int) and number >= chip.i2cs:
            remedy = "write " + ("0" if chip.i2cs == 1 else f"0 to {chip.i2cs - 1}")
            reader.complain(path, f"{chip.name} has no I2C {number}", remedy)
    assembly.check_links(reader, chip)
    assembly.check_lamp(reader, chip)
    assembly.check_sleep(reader, chip)
