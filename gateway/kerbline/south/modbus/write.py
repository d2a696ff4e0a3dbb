"""Writes to one Modbus device, as a command asks: judged, paced, one after the other, read back.

Audit is the book of commands', which is written before anything goes out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from kerbline.config import ModbusDevice, Register
from kerbline.config.modbus import BIT_TABLES, Writable
from kerbline.model import Value
from kerbline.ports import PortLost
from kerbline.south.modbus.encode import WrongValue, to_mask, to_words
from kerbline.south.modbus.framing import (
    ILLEGAL_FUNCTION,
    READS,
    BusFault,
    Function,
    NoAnswer,
    Refused,
    Request,
    Response,
    WrongRequest,
)
from kerbline.south.modbus.schedule import TooLate
from kerbline.south.modbus.transaction import Priority

NOT_TAKEN = "not_taken"
EXPIRED = "expired"
STEP_SLACK = 1e-6  # of a step: what a decimal like 0.1 misses as a double
WORD = 0xFFFF


class Line(Protocol):
    """What carries a request to the device; a `Bus`."""

    async def transact(self, request: Request, *, priority: Priority, within_s: float) -> Response:
        """The answer; raises BusFault, TooLate, PortLost or WrongRequest."""


def refusal(registers: Mapping[str, Register], values: Mapping[str, Value]) -> str:
    """Why these values can't be written to a device with these registers; empty if they can."""
    for name, value in values.items():
        register = registers.get(name)
        if register is None:
            writable = " ".join(each.name for each in registers.values() if each.writable)
            return f"unknown_argument: {name}: writable are {writable or 'none'}"
        if register.writable is None:
            return f"not_writable: {name}"
        why = _beyond(register.writable, value)
        if why:
            return f"out_of_range: {name}: {why}"
        try:
            _requests(1, register, value, "auto")
        except WrongValue as error:
            return f"wrong_type: {error}"
    return ""


def _beyond(allowed: Writable, value: Value) -> str:
    """What of `writable` a value breaks."""
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if isinstance(number, str):
            continue
        if not math.isfinite(number):
            return "a finite number"
        if allowed.values and number not in allowed.values:
            return "one of " + " ".join(f"{each:g}" for each in allowed.values)
        low = -math.inf if allowed.min is None else allowed.min
        high = math.inf if allowed.max is None else allowed.max
        if not low <= number <= high:
            return f"{low:g} to {high:g}"
        if allowed.step is not None:
            steps = (number - (allowed.min or 0.0)) / allowed.step
            if abs(steps - round(steps)) > STEP_SLACK:
                return f"steps of {allowed.step:g}"
    return ""


def _requests(unit: int, register: Register, value: Value, way: str) -> Sequence[Request]:
    """What goes out for a value; raises WrongValue."""
    address = register.address
    if register.bit is not None and register.table not in BIT_TABLES:
        masks = to_mask(register, value)
        return (Request(unit, Function.MASK_WRITE_REGISTER, address, 1, masks),)
    words = to_words(register, value)
    coil = register.table in BIT_TABLES
    one = Function.WRITE_SINGLE_COIL if coil else Function.WRITE_SINGLE_REGISTER
    several = Function.WRITE_MULTIPLE_COILS if coil else Function.WRITE_MULTIPLE_REGISTERS
    if way == "single" or (way == "auto" and len(words) == 1):
        return [Request(unit, one, address + at, 1, (word,)) for at, word in enumerate(words)]
    return (Request(unit, several, address, len(words), words),)


class Writer:
    """Writes to one device, one command at a time."""

    def __init__(self, device: ModbusDevice, line: Line) -> None:
        self._device = device
        self._line = line
        self._registers = {register.name: register for register in device.registers}
        self._written_s: dict[str, float] = {}  # when each register was last written to
        self._turn = asyncio.Lock()

    def refusal(self, values: Mapping[str, Value], now_s: float) -> str:
        """Why a command is not taken, for good; empty if it is."""
        why = refusal(self._registers, values)
        if why:
            return why
        for name in values:
            allowed = self._registers[name].writable
            rest_s = self._written_s.get(name, -math.inf) - now_s
            if allowed is not None and rest_s + allowed.every_s > 0:
                return f"too_often: {name}: every {allowed.every_s:g} s"
        return ""

    async def write(self, values: Mapping[str, Value], until_s: float) -> str:
        """Write all in their order, up to the first that fails; empty, or the reason.

        Nothing goes out after `until_s` of the loop's clock.
        """
        async with self._turn:
            for name, value in values.items():
                register = self._registers[name]
                self._written_s[name] = asyncio.get_running_loop().time()
                try:
                    why = await self._one(register, value, until_s)
                except TooLate:
                    why = EXPIRED
                except PortLost as error:
                    why = error.code
                except (BusFault, WrongRequest) as error:
                    why = f"{error.code}: {name}"
                if why:
                    return why
        return ""

    async def _one(self, register: Register, value: Value, until_s: float) -> str:
        """Write a register and read it back; an answer that got lost is no failure by itself."""
        lost: BusFault | None = None
        for request in _requests(self._device.unit, register, value, self._device.write):
            try:
                await self._send(request, until_s)
            except Refused as error:
                if error.exception != ILLEGAL_FUNCTION or request.function != 22:
                    raise
                await self._set_bit(request, until_s)
            except BusFault as error:
                lost = error
        if register.writable is None or not register.writable.read_back:
            if lost is not None:
                raise lost
            return ""
        found = await self._read(register, until_s, again=lost is None)
        if found == _expected(register, value, found):
            return ""
        if lost is not None:
            raise lost
        return f"{NOT_TAKEN}: {register.name}"

    async def _set_bit(self, request: Request, until_s: float) -> None:
        """For a device without function 22: read the word, write it with the bit changed."""
        mask, bits = request.words
        unit, address = request.unit, request.address
        reading = Request(unit, Function.READ_HOLDING_REGISTERS, address, 1)
        word = (await self._send(reading, until_s)).words[0]
        changed = (word & mask | bits) & WORD
        writing = Request(unit, Function.WRITE_SINGLE_REGISTER, address, 1, (changed,))
        await self._send(writing, until_s)

    async def _read(self, register: Register, until_s: float, *, again: bool) -> tuple[int, ...]:
        """Its words now. What was written went out in time: reading it back may take longer."""
        request = Request(
            self._device.unit, READS[register.table], register.address, register.width
        )
        now_s = asyncio.get_running_loop().time()
        until_s = max(until_s, now_s + 1.0)
        try:
            return tuple((await self._send(request, until_s)).words)
        except NoAnswer:
            if not again:
                raise
        return tuple((await self._send(request, until_s)).words)

    async def _send(self, request: Request, until_s: float) -> Response:
        within_s = until_s - asyncio.get_running_loop().time()
        if within_s <= 0:
            raise TooLate("its time is over")
        return await self._line.transact(request, priority=Priority.COMMAND, within_s=within_s)


def _expected(register: Register, value: Value, found: tuple[int, ...]) -> tuple[int, ...]:
    """The words that say the value; of a bit, the word as it was found with that bit."""
    if register.bit is not None and register.table not in BIT_TABLES:
        mask, bits = to_mask(register, value)
        return tuple((word & mask | bits) & WORD for word in found)
    return to_words(register, value)
