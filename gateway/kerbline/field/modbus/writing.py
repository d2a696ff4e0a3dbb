"""Values for a unit from a person's words, and written without a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from kerbline.config import ModbusDevice, Register
from kerbline.config.modbus import BIT_TABLES
from kerbline.errors import KerblineError
from kerbline.field.modbus.line import Bench
from kerbline.model import Value
from kerbline.south.modbus.framing import Request, Response
from kerbline.south.modbus.transaction import Priority
from kerbline.south.modbus.write import Writer

_TRUTH = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


class BadValue(KerblineError):
    """What was given is no value for that register; the text says what is."""

    code = "bad_value"
    exit_status = 2


def values_of(device: ModbusDevice, words: Iterable[str]) -> dict[str, Value]:
    """`NAME=VALUE` by name, in the order given; raises BadValue. Ranges are not judged here."""
    registers = {register.name: register for register in device.registers}
    found: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise BadValue(f"{word}: write NAME=VALUE")
        register = registers.get(name)
        if register is None:
            known = ", ".join(each.name for each in device.registers if each.writable) or "none"
            raise BadValue(f"{name}: {device.asset} has no such register; to write to: {known}")
        found[name] = _value(register, text)
    return found


def _value(register: Register, text: str) -> Value:
    if register.type == "string":
        return text
    if register.count > 1:
        return tuple(_number(register, part) for part in text.split(","))
    return _number(register, text)


def _number(register: Register, text: str) -> int | float | bool:
    if register.type == "bool" or register.table in BIT_TABLES:
        if text.lower() not in _TRUTH:
            raise BadValue(f"{register.name}={text}: write true or false")
        return _TRUTH[text.lower()]
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"{register.name}={text}: a number is expected") from None


async def write(
    bench: Bench, device: ModbusDevice, values: Mapping[str, Value], within_s: float
) -> str:
    """Judged, written and read back as the gateway does it; empty, or why not."""
    until_s = asyncio.get_running_loop().time() + within_s
    writer = Writer(device, _Alone(bench))
    return writer.refusal(values, 0.0) or await writer.write(values, until_s)


class _Alone:
    """A bench in the place of a bus: nobody else wants a turn."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def transact(self, request: Request, *, priority: Priority, within_s: float) -> Response:
        """The answer."""
        del priority, within_s
        return await self._bench.transact(request, self._bench.timeout_s)
