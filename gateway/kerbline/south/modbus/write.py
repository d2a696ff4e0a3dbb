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
ACKNOWLEDGE = 5  # the exception that says: taken, and not done yet (V1.1b3, 7)
STEP_SLACK = 1e-6  # of a step: what a decimal like 0.1 misses as a double
LARGEST = 1e300  # a double, with room for a scale
SOON_S = 0.01  # a timer fires so near its time
READ_BACK_S = 1.0  # what went out in time may be read back so much later
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
        if not -LARGEST <= number <= LARGEST:  # nor NaN, nor a whole number beyond any double
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
    """Writes to one device, one command at a time, each register no more often than it may be."""

    def __init__(self, device: ModbusDevice, line: Line) -> None:
        self._device = device
        self._line = line
        self._registers = {register.name: register for register in device.registers}
        self._turn_s: dict[str, float] = {}  # when each register was, or is to be, last written to
        self._turn = asyncio.Lock()

    def refusal(self, values: Mapping[str, Value], now_s: float) -> str:
        """Why a command is not taken, for good; empty if it is."""
        why = refusal(self._registers, values)
        if why:
            return why
        for name in values:
            if self._free_s(name) > now_s:
                return self._too_often(name)
        return ""

    async def write(self, values: Mapping[str, Value], until_s: float) -> str:
        """Write all in their order, up to the first that fails; empty, or the reason.

        Nothing goes out after `until_s` of the loop's clock. Orders that waited together for the
        device are spaced as its registers want it, and keep their order.
        """
        now_s = asyncio.get_running_loop().time()
        before = {name: self._turn_s.get(name, -math.inf) for name in values}
        slowest = max(values, key=self._free_s)
        start_s = max(now_s, self._free_s(slowest))
        if start_s > until_s:
            return self._too_often(slowest) if now_s < until_s else EXPIRED
        self._turn_s.update(dict.fromkeys(values, start_s))
        await asyncio.sleep(start_s - now_s)
        async with self._turn:
            left = list(values)
            while left and not (why := await self._judged(left[0], values[left[0]], until_s)):
                del left[0]
        if not left:
            return ""
        untouched = left if why == EXPIRED else left[1:]
        for name in untouched:
            if self._turn_s[name] == start_s:
                self._turn_s[name] = before[name]
        if why == EXPIRED and len(left) < len(values):
            return f"{TooLate.code}: {left[0]}"  # what stands before it is written
        return why

    def _free_s(self, name: str) -> float:
        """From when on a register may be written to."""
        allowed = self._registers[name].writable
        every_s = allowed.every_s if allowed is not None else 0.0
        return self._turn_s.get(name, -math.inf) + every_s

    def _too_often(self, name: str) -> str:
        allowed = self._registers[name].writable
        return f"too_often: {name}: every {allowed.every_s if allowed else 0:g} s"

    async def _judged(self, name: str, value: Value, until_s: float) -> str:
        """Write one register; why it can't be said to be written, EXPIRED if nothing went out."""
        attempt = _Attempt(self._line, until_s)
        try:
            return await self._one(attempt, self._registers[name], value)
        except TooLate as error:
            over = asyncio.get_running_loop().time() >= until_s - SOON_S
            return EXPIRED if over and not attempt.wrote else f"{error.code}: {name}"
        except PortLost as error:
            return error.code
        except (BusFault, WrongRequest) as error:
            return f"{error.code}: {name}"

    async def _one(self, attempt: _Attempt, register: Register, value: Value) -> str:
        """Write a register and read it back; an answer that got lost is no failure by itself."""
        for request in _requests(self._device.unit, register, value, self._device.write):
            try:
                await attempt.write(request)
            except Refused as error:
                if error.exception != ILLEGAL_FUNCTION or request.function != 22:
                    raise
                await self._set_bit(attempt, request)
        lost = attempt.lost
        if register.writable is None or not register.writable.read_back:
            if lost is not None:
                raise lost
            return ""
        found = await self._read(attempt, register)
        if found == _expected(register, value, found):
            return ""
        if lost is not None:
            raise lost
        return f"{NOT_TAKEN}: {register.name}"

    async def _set_bit(self, attempt: _Attempt, request: Request) -> None:
        """For a device without function 22: read the word, write it with the bit changed."""
        mask, bits = request.words
        unit, address = request.unit, request.address
        word = (await attempt.read(Request(unit, READS["holding"], address, 1))).words[0]
        changed = (word & mask | bits) & WORD
        await attempt.write(Request(unit, Function.WRITE_SINGLE_REGISTER, address, 1, (changed,)))

    async def _read(self, attempt: _Attempt, register: Register) -> tuple[int, ...]:
        """Its words now; asked for twice where the answers to the writes came."""
        function = READS[register.table]
        request = Request(self._device.unit, function, register.address, register.width)
        try:
            return tuple((await attempt.read(request)).words)
        except NoAnswer:
            if attempt.lost is not None:
                raise
        return tuple((await attempt.read(request)).words)


class _Attempt:
    """The requests of one register's write: what went out, and whose answer was lost."""

    __slots__ = ("_line", "_until_s", "lost", "wrote")

    def __init__(self, line: Line, until_s: float) -> None:
        self._line = line
        self._until_s = until_s
        self.lost: BusFault | None = None  # then only reading back tells
        self.wrote = False  # something may have changed

    async def write(self, request: Request) -> None:
        """Send it; raises Refused, TooLate or PortLost."""
        try:
            await self._send(request, self._until_s)
        except Refused as error:
            # behind a gateway that got no answer, or of a device that is not done yet
            if not error.by_gateway and error.exception != ACKNOWLEDGE:
                raise
            self.lost = error
        except BusFault as error:
            self.lost = error
        self.wrote = True

    async def read(self, request: Request) -> Response:
        """The answer; what was written went out in time, so reading it back may take longer."""
        until_s = self._until_s
        if self.wrote:
            until_s = max(until_s, asyncio.get_running_loop().time() + READ_BACK_S)
        return await self._send(request, until_s)

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
