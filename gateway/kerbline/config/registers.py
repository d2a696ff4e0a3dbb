"""What registers say of each other and of their device, judged where each key is good by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from kerbline.config import faults
from kerbline.config.faults import shown
from kerbline.config.modbus import (
    ADDRESSES,
    BIT_TABLES,
    WIDE,
    WORD_BITS,
    AlarmRule,
    ModbusBus,
    ModbusDevice,
    Register,
    Writable,
)
from kerbline.config.reader import UNUSABLE, Reader
from kerbline.config.unit_codes import UNIT_CODES

INT_BITS = {"uint16": 16, "int16": 16, "uint32": 32, "int32": 32, "uint64": 64, "int64": 64}
FLOATS = frozenset(["float32", "float64"])
NUMBERS = frozenset(INT_BITS) | FLOATS
MOST_WORDS = {"bcd": 4, "bits": 4}
SERIAL_UNITS = range(1, 248)  # Modbus over serial line V1.02, 2.2
SMALLEST_SCALE, LARGEST_SCALE = 1e-9, 1e9
LARGEST_OFFSET = 1e18  # and SMALLEST_SCALE the smallest: beyond, a double can't reckon with both

_Section = TypeVar("_Section")
Place = faults.Path
Placed = tuple[Place, Register]


def listed(raw: object, kind: type[_Section]) -> Iterator[tuple[int, _Section]]:
    """The sections of a list with their numbers; none where the reader refused the list."""
    for number, each in enumerate(raw if isinstance(raw, tuple) else ()):
        if isinstance(each, kind):
            yield number, each


def usable(section: object) -> bool:
    """Has a section no hole where the reader refused a value?"""
    if isinstance(section, tuple):
        return all(map(usable, section))
    if isinstance(section, dict):
        return all(map(usable, section.values()))
    if dataclasses.is_dataclass(section) and not isinstance(section, type):
        return all(usable(getattr(section, field.name)) for field in dataclasses.fields(section))
    return section is not UNUSABLE


def value_names(register: Register) -> Iterator[str]:
    """The names that a register's values have in a reading."""
    if register.type == "bits":
        yield from (f"{register.name}_{flag}" for flag in register.bits)
    elif register.spread:
        yield from (f"{register.name}_{n}" for n in range(register.count))
    else:
        yield register.name


def expanded(registers: Iterable[Register]) -> tuple[Register, ...]:
    """Registers with each range that is spread as registers, and alarms, of their own: "hot_3"."""
    return tuple(single for each in registers for single in _spread(each))


def _spread(register: Register) -> Iterator[Register]:
    if not register.spread:
        yield register
        return
    size = register.width // register.count
    for number, name in enumerate(value_names(register)):
        alarms = tuple(
            dataclasses.replace(rule, name=f"{rule.name}_{number}") for rule in register.alarms
        )
        address = register.address + number * size
        yield dataclasses.replace(
            register, name=name, address=address, count=1, spread=False, alarms=alarms
        )


def check(reader: Reader, placed: Sequence[Placed], limits: Mapping[bool, int]) -> None:
    """Keep a fault for each register that can't be so; `limits[True]`: the longest read of bits."""
    for at, register in placed:
        _form(reader, at, register)
        _place(reader, at, register, limits[register.table in BIT_TABLES])
        _scale(reader, at, register)
        _invalid(reader, at, register)
        _unit(reader, at, register)
        if register.writable is not None:
            _writable(reader, at, register, register.writable)
        for number, rule in enumerate(register.alarms):
            _alarm(reader, (*at, "alarm", number), register, rule)


def check_bus(reader: Reader, at: Place, bus: ModbusBus) -> None:
    """Keep a fault for what a line of this kind does not have."""
    connected = bus.port.startswith("socket://")
    if bus.pipeline > 1 and bus.framer == "rtu":
        problem = "answers in RTU frames have no number to know them by"
        reader.complain((*at, "pipeline"), problem, 'leave it out, or write framer = "tcp"')
    if bus.rs485 and connected:
        problem = "a connection has no driver to switch"
        reader.complain((*at, "rs485"), problem, "leave it out: the adapter at its end does it")
    if bus.echo and bus.framer == "tcp":
        problem = "Modbus TCP has no echo"
        reader.complain((*at, "echo"), problem, "leave it out")
    for number, device in listed(bus.devices, ModbusDevice):
        if bus.framer == "rtu" and usable(device.unit) and device.unit not in SERIAL_UNITS:
            problem = f"{device.unit} is no unit of a serial line"
            reader.complain((*at, "device", number, "unit"), problem, "write 1 to 247")


def _form(reader: Reader, at: Place, register: Register) -> None:
    """Which keys go with which type and table."""
    kind = register.type
    in_bits = register.table in BIT_TABLES
    if in_bits and kind != "bool":
        problem = f"{register.table} registers are single bits, not {kind}"
        reader.complain((*at, "type"), problem, 'write type = "bool"')
    if register.bit is not None and (kind != "bool" or in_bits):
        problem = "picks a bool out of a word of input or holding registers"
        reader.complain((*at, "bit"), problem, "leave it out")
    if bool(register.bits) != (kind == "bits"):
        problem = "names the flags of a register of type bits"
        remedy = 'write type = "bits" with bits = {name = 0}, or neither'
        reader.complain((*at, "bits"), problem, remedy)
    for flag, bit in register.bits.items():
        if kind == "bits" and bit >= register.words * WORD_BITS:
            problem = f"bit {bit} is not among {register.words * WORD_BITS}"
            reader.complain((*at, "bits", flag), problem, "write words = 2, or mend the bit")
        if not flag.replace("_", "a").isalnum() or not flag.islower() or not flag.isascii():
            problem = f"{shown(flag)} is no name of a flag"
            reader.complain((*at, "bits", flag), problem, "use small letters, digits and _")
    if register.words > 1 and kind not in WIDE:
        problem = f"a {kind} has its own width"
        reader.complain((*at, "words"), problem, "leave it out; a range has a count")
    if register.words > MOST_WORDS.get(kind, register.words):
        remedy = f"write up to {MOST_WORDS[kind]}"
        reader.complain((*at, "words"), f"is too many for {kind}", remedy)
    if register.count > 1 and kind not in NUMBERS and not in_bits:
        problem = f"only numbers and bits have ranges, not {kind}"
        reader.complain((*at, "count"), problem, "write a register for each")
    if register.spread and register.count == 1:
        reader.complain((*at, "spread"), "there is no range to spread", "write its count")
    if register.deadband and kind not in NUMBERS | {"bcd"}:
        problem = f"a {kind} is the same or not"
        reader.complain((*at, "deadband"), problem, "write 0: it is told when it changes")


def _place(reader: Reader, at: Place, register: Register, longest: int) -> None:
    end = register.address + register.width
    if end > ADDRESSES:
        problem = f"{register.width} from {register.address} on end past {ADDRESSES - 1}"
        reader.complain((*at, "address"), problem, "mend the address, the type or the count")
    elif register.width > longest and not register.spread:
        if register.count > 1:
            key, what = "count", f"a list of {register.width}"
            remedy = "write spread = true, or a smaller count"
        else:
            key, what = "type", f"a {register.type} of {register.width} words"
            remedy = f"max_words = {register.width}"
            if register.type in WIDE:
                key, remedy = "words", f"words = {longest}, or {remedy}"
            remedy = f"write {remedy}"
        reader.complain((*at, key), f"{what} does not fit into one read of {longest}", remedy)


def _scale(reader: Reader, at: Place, register: Register) -> None:
    if not SMALLEST_SCALE <= abs(register.scale) <= LARGEST_SCALE:
        remedy = "write what one step of the raw value is worth: 0.1"
        reader.complain((*at, "scale"), f"{shown(register.scale)} is no scale", remedy)
    if register.offset and not SMALLEST_SCALE <= abs(register.offset) <= LARGEST_OFFSET:
        remedy = "write what the value is where the raw one is 0: -40.0"
        reader.complain((*at, "offset"), f"{shown(register.offset)} is no offset", remedy)
    scaled = (register.scale, register.offset) != (1.0, 0.0)
    if scaled and register.type not in NUMBERS | {"bcd"}:
        key = "scale" if register.scale != 1.0 else "offset"
        reader.complain((*at, key), f"a {register.type} is no number", "leave it out")


def _invalid(reader: Reader, at: Place, register: Register) -> None:
    bits = 32 if register.type == "float32" else 64
    if register.type in ("bool", "bits"):
        bits = register.words * WORD_BITS
    bits = INT_BITS.get(register.type, bits)
    if register.invalid and (
        register.table in BIT_TABLES or register.type not in NUMBERS | {"bool", "bits"}
    ):
        problem = f"a {register.type} of {register.table} has no such raw value"
        reader.complain((*at, "invalid"), problem, "leave it out")
        return
    for number, raw in enumerate(register.invalid):
        if not -(1 << bits - 1) <= raw < 1 << bits:
            problem = f"{raw} does not fit into {bits} bits"
            reader.complain((*at, "invalid", number), problem, "write the raw bits: 0x8000")


def _unit(reader: Reader, at: Place, register: Register) -> None:
    code = UNIT_CODES.get(register.name.rpartition("_")[2])
    if register.unit is not None and code is not None and register.unit != code:
        problem = f"{shown(register.name)} ends in the unit {code}"
        reader.complain((*at, "unit"), problem, "leave it out, or mend the name")


def _writable(reader: Reader, at: Place, register: Register, may: Writable) -> None:
    here = (*at, "writable")
    bounds = (may.min, may.max)
    if register.table in ("input", "discrete"):
        problem = f"{register.table} registers can't be written"
        reader.complain(here, problem, "leave it out, or mend the table")
    elif register.type in ("datetime", "bits"):
        problem = f"a register of type {register.type} is not written"
        reader.complain(here, problem, 'leave it out; a bool of the same word has its "bit"')
    elif register.type not in NUMBERS | {"bcd"}:
        if bounds != (None, None) or may.step is not None or may.values:
            remedy = "leave out min, max, step and values"
            reader.complain(here, f"a {register.type} has no range", remedy)
    elif may.values:
        if bounds != (None, None) or may.step is not None:
            reader.complain(here, "has values and a range", "write one of them")
        _fits(reader, register, {(*here, "values", n): v for n, v in enumerate(may.values)})
    elif may.min is None or may.max is None or may.min > may.max:
        remedy = "write min and max, the lower first, or values"
        reader.complain(here, "does not say what may be written", remedy)
    else:
        _fits(reader, register, {(*here, "min"): may.min, (*here, "max"): may.max})


def _fits(reader: Reader, register: Register, values: Mapping[Place, float]) -> None:
    """Can the register hold what may be written?"""
    if register.type not in INT_BITS or not register.scale:
        return
    bits = INT_BITS[register.type]
    signed = register.type.startswith("int")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    for path, value in values.items():
        if not low <= round((value - register.offset) / register.scale) <= high:
            problem = f"{shown(value)} does not fit into a {register.type}"
            reader.complain(path, problem, "mend it, or the scale")


def _alarm(reader: Reader, at: Place, register: Register, rule: AlarmRule) -> None:
    limits = [key for key in ("above", "below", "when") if getattr(rule, key) is not None]
    if len(limits) != 1:
        told = " and ".join(limits) or "nothing"
        reader.complain(at, f"{told} says when it begins", "write one of above, below, when")
        return
    truth = register.type in ("bool", "bits")
    if (limits == ["when"]) != truth:
        remedy = "write when = true or false" if truth else "write above or below"
        reader.complain((*at, limits[0]), f"does not fit a {register.type}", remedy)
    elif not truth and register.type not in NUMBERS | {"bcd"}:
        reader.complain(at, f"a {register.type} is no number", "leave it out")
    if register.type == "bits" and rule.flag not in register.bits:
        remedy = f"write one of {', '.join(register.bits)}"
        reader.complain((*at, "flag"), f"{shown(rule.flag)} is no flag of it", remedy)
    if rule.flag and register.type != "bits":
        reader.complain((*at, "flag"), "is for registers of type bits", "leave it out")
    if rule.hysteresis and truth:
        reader.complain((*at, "hysteresis"), "a bool has none", "leave it out")
    if register.count > 1 and not register.spread:
        reader.complain(at, "a list has no limit", "write spread = true")


def check_names(reader: Reader, placed: Iterable[Placed]) -> None:
    """Keep a fault for each name that a reading of one device would have twice, or its alarms.

    A register of a profile stands at the device's key "profile".
    """
    values: dict[str, Place] = {}
    alarms: dict[str, Place] = {}
    for at, register in placed:
        inherited = at[-1] == "profile"
        for name in value_names(register):
            _once(reader, at if inherited else (*at, "name"), values, name)
        for number, rule in enumerate(register.alarms):
            path = at if inherited else (*at, "alarm", number, "name")
            for single in _spread(dataclasses.replace(register, alarms=(rule,))):
                _once(reader, path, alarms, single.alarms[0].name)


def _once(reader: Reader, path: Place, first: dict[str, Place], name: str) -> None:
    before = first.setdefault(name, path)
    if before != path:
        where = f"{faults.spelled(before)}, line {reader.line(before)}"
        reader.complain(path, f"{shown(name)} stands at {where} already", "write another one")
