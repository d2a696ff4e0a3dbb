"""What a unit says: registers read once, each told with its value or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kerbline.config import Register
from kerbline.config.modbus import ADDRESSES, BIT_TABLES, MAX_BITS, MAX_WORDS, WIDE, WIDTHS
from kerbline.errors import KerblineError
from kerbline.field.modbus.line import Master
from kerbline.model import Value
from kerbline.south.modbus.decode import NOT_AVAILABLE, Decoder
from kerbline.south.modbus.framing import READS, BusFault, Refused, Request
from kerbline.south.modbus.plan import Limits, Read, plan

TIMEOUT_S = 0.5

_SPEC = re.compile(r"(input|holding|coil|discrete):(\d+)(?::(\w+))?(?:\*(\d+))?(?::(low_first))?")


class BadRegister(KerblineError):
    """What was given names no register; the text says how to."""

    code = "bad_register"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Told:
    """A register and its values by name; `fault` is why there are none."""

    register: Register
    values: dict[str, Value] = field(default_factory=dict)
    fault: str = ""


def register_of(spec: str) -> Register:
    """The register that `holding:100:uint16` is; raises BadRegister.

    `*4` after it is a range of four (of a string: its words), `:low_first` the order of the words.
    """
    found = _SPEC.fullmatch(spec)
    if found is None:
        raise BadRegister(
            f"{spec}: write TABLE:ADDRESS:TYPE, like holding:100:uint16 or input:0:float32*3; "
            "tables are input, holding, coil, discrete; the address is the wire's, from 0"
        )
    table, address, kind, times, order = found.groups()
    kind = kind or ("bool" if table in BIT_TABLES else "uint16")
    types = sorted({*WIDTHS, "string", "bcd"})
    if kind not in types or (table in BIT_TABLES and kind != "bool"):
        known = "bool" if table in BIT_TABLES else ", ".join(types)
        raise BadRegister(f"{spec}: {kind} is no type of {table}; write one of {known}")
    count, words = (1, int(times or 1)) if kind in WIDE else (int(times or 1), 1)
    register = Register(
        f"{table}_{address}",
        int(address),
        kind,
        table,
        word_order=order or "high_first",
        count=count,
        words=words,
    )
    longest = MAX_BITS if table in BIT_TABLES else MAX_WORDS
    if not 1 <= register.width <= longest or register.address + register.width > ADDRESSES:
        raise BadRegister(
            f"{spec}: one request has 1 to {longest}, and the last is {ADDRESSES - 1}"
        )
    return register


async def read(
    master: Master,
    unit: int,
    registers: Sequence[Register],
    limits: Limits,
    timeout_s: float = TIMEOUT_S,
) -> list[Told]:
    """Each register once, in as few requests as `plan` makes of them; in the order given.

    What is refused together is asked for alone. Raises BusFault when the unit does not answer.
    """
    told: dict[Register, Told] = {}
    for each in plan(registers, limits):
        for one in await _taken(master, unit, each, timeout_s):
            told[one.register] = one
    return [told[register] for register in registers]


async def _taken(master: Master, unit: int, read: Read, timeout_s: float) -> list[Told]:
    request = Request(unit, READS[read.table], read.address, read.count)
    try:
        words = (await master.transact(request, timeout_s)).words
    except Refused as error:
        if len(read.registers) == 1:
            return [Told(read.registers[0], fault=error.code)]
        return [
            one
            for alone in plan(read.registers, Limits(max_gap=-1))
            for one in await _taken(master, unit, alone, timeout_s)
        ]
    return list(_decoded(read, words))


def _decoded(read: Read, words: Sequence[int]) -> Iterator[Told]:
    for register in read.registers:
        start = register.address - read.address
        alone = Read(read.table, register.address, register.width, (register,))
        values, flags = Decoder(alone).decode(words[start : start + register.width])
        yield Told(register, values, NOT_AVAILABLE if flags and not values else "")


async def lives(master: Master, unit: int, timeout_s: float, function: int) -> bool:
    """Does a unit answer at all, with a value or a refusal? Raises PortLost."""
    try:
        await master.transact(Request(unit, function, 0, 1), timeout_s)
    except Refused as error:
        return not error.by_gateway and error.code != "gateway_path"
    except BusFault:
        return False
    return True
