"""Simulated Modbus devices as pymodbus serves them, and its server without a line of its own."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from kerbline.clock import Clock
from kerbline.config.modbus import BIT_TABLES, WIDE, Register
from kerbline.config.profiles import DeviceLimits
from kerbline.sim.modbus import registers as encoding
from kerbline.sim.modbus import values
from kerbline.sim.modbus.adu import Framing

Send = Callable[[bytes], None]
ValueOf = Callable[[str, int, int], float]  # name, unit, street ms

GENEROUS = DeviceLimits()
_ORDER = ("coil", "discrete", "holding", "input")  # of the four blocks of a SimDevice
_TABLE_OF = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 4: "input"}  # else holding


class Table:
    """One table of one unit: its values by address, and what was written over them."""

    __slots__ = ("_addresses", "_longest", "_places", "_written")

    def __init__(self, registers: Sequence[Register]) -> None:
        self._places = sorted(
            (
                (address, name, register)
                for register in registers
                for address, name in encoding.places(register)
            ),
            key=lambda place: place[:2],
        )
        self._addresses = [place[0] for place in self._places]
        self._longest = max((encoding.size(register) for register in registers), default=1)
        self._written: dict[int, int] = {}  # address: the bits that a master set

    def blocks(self, *, holes: bool) -> Iterator[tuple[int, int]]:
        """Address and length of what exists, neighbours together; without `holes` all is one."""
        start = end = -1
        for address, _, register in self._places:
            if address > end and (holes or end < 0):
                if end >= 0:
                    yield start, end - start
                start, end = address, address
            end = max(end, address + encoding.size(register))
        if end >= 0:
            yield start, end - start

    def touched(self, address: int, count: int) -> Iterator[tuple[int, str, Register]]:
        """The values that lie, even in part, in a range."""
        first = bisect_left(self._addresses, address - self._longest + 1)
        for at in range(first, bisect_right(self._addresses, address + count - 1)):
            place = self._places[at]
            if place[0] + encoding.size(place[2]) > address:
                yield place

    def free_bits(self, address: int, register: Register) -> int:
        """Which bits of the first word still follow the profile, not a master's write."""
        return (encoding.mask(register) or 0xFFFF) & ~self._written.get(address, 0)

    def write(self, address: int, words: Sequence[int]) -> ExcCodes | None:
        """Take a write, or say why not."""
        touched = list(self.touched(address, len(words)))
        if not touched or any(register.writable is None for _, _, register in touched):
            return ExcCodes.ILLEGAL_ADDRESS
        for at, _, register in touched:
            part = words[max(at - address, 0) : at - address + encoding.size(register)]
            whole = len(part) == encoding.size(register) and register.type not in WIDE
            if whole and not encoding.allowed(register, encoding.value_of(register, part)):
                return ExcCodes.ILLEGAL_VALUE
        for at, _, register in touched:
            kept = self._written.get(at, 0)
            self._written[at] = kept | (encoding.mask(register) or 0xFFFF)
        return None


def device(
    unit: int,
    registers: Sequence[Register],
    clock: Clock,
    value: ValueOf = values.value,
    limits: DeviceLimits = GENEROUS,
    *,
    holes: bool = False,
) -> SimDevice:
    """One unit: each read sees the values of its moment, a writable register what was written.

    With `holes` what lies between two registers is an illegal address; without, it reads as 0.
    More than the limits of its profile it refuses.
    """
    by_table: dict[str, list[Register]] = defaultdict(list)
    for register in registers:
        by_table[register.table].append(register)
    tables = {name: Table(by_table[name]) for name in _ORDER}

    async def access(
        function: int,
        start: int,
        address: int,
        count: int,
        words: list[int],
        new: Sequence[int] | None,
    ) -> ExcCodes | None:
        refused = _refused(limits, function, count)
        if refused is not None:
            return refused
        name = _TABLE_OF.get(function, "holding")
        table = tables[name]
        if new is not None:
            return table.write(address, new)
        now = clock.street_ms(clock.utc_ms())
        if name in BIT_TABLES:
            first = address // 16
            for at, label, register in table.touched(16 * first, 16 * (count + 1)):
                if table.free_bits(at, register):
                    _show(words, at // 16 - start, 1 << at % 16, value(label, unit, now) != 0)
            return None
        for at, label, register in table.touched(address, count):
            free = table.free_bits(at, register)
            shown = encoding.words_of(register, _now(register, label, value, unit, now))
            if register.bit is not None:
                _show(words, at - start, free, shown[0] != 0)
            elif free:
                words[at - start : at - start + len(shown)] = shown
        return None

    coils, discrete, holding, inputs = (
        _simdata(tables[name], name, holes=holes) for name in _ORDER
    )
    return SimDevice(id=unit, simdata=(coils, discrete, holding, inputs), action=access)


def _now(register: Register, name: str, value: ValueOf, unit: int, street_ms: int) -> float:
    """What a register shows: a number, or all its flags, each a value of its own."""
    if register.type != "bits":
        return value(name, unit, street_ms)
    flags = register.bits.items()
    return sum(1 << bit for flag, bit in flags if value(f"{name}_{flag}", unit, street_ms))


def _refused(limits: DeviceLimits, function: int, count: int) -> ExcCodes | None:
    """What the device can't do, before it looks at the address; bits come as words of 16."""
    if function in (5, 6) and limits.write == "multiple":
        return ExcCodes.ILLEGAL_FUNCTION
    if function in (15, 16) and limits.write == "single":
        return ExcCodes.ILLEGAL_FUNCTION
    most = -(-limits.max_bits // 16) + 1 if function in (1, 2, 5, 15) else limits.max_words
    return ExcCodes.ILLEGAL_VALUE if count > most else None


def _show(words: list[int], place: int, mask: int, on: bool) -> None:  # noqa: FBT001
    words[place] = words[place] & ~mask | mask * on


def _simdata(table: Table, name: str, *, holes: bool) -> list[SimData]:
    if name in BIT_TABLES:
        ends = [start + length for start, length in table.blocks(holes=holes)]
        states = [False] * (-(-max(ends, default=1) // 16) * 16)
        return [SimData(0, values=states, datatype=DataType.BITS)]
    found = [
        SimData(start, count=length, values=0, datatype=DataType.REGISTERS)
        for start, length in table.blocks(holes=holes)
    ]
    return found or [SimData(0xFFFF, datatype=DataType.INVALID)]


class Server:
    """pymodbus's server: its request handlers, framers and data store; the lines are ours."""

    def __init__(self, devices: Sequence[SimDevice], framing: Framing) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # refused requests are meant
        self.framing = framing
        self.units = frozenset(device.id for device in devices)
        framer = FramerType.RTU if framing == "rtu" else FramerType.SOCKET
        self._server = ModbusTcpServer(
            list(devices), framer=framer, address=("", 0), ignore_missing_devices=True
        )

    def connect(self, send: Send) -> Connection:
        """A master's connection; its answers go to `send`, each a whole frame."""
        return Connection(self._server, send)


class Connection(asyncio.Transport):
    """What pymodbus takes for a transport: frames go in by `feed`, answers out by `send`."""

    def __init__(self, server: ModbusTcpServer, send: Send) -> None:
        super().__init__()
        self._send = send
        self._handler = server.callback_new_connection()  # type: ignore[no-untyped-call]
        self._handler.connection_made(self)

    def feed(self, frame: bytes) -> None:
        """One whole request; one at a time."""
        self._handler.data_received(frame)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """An answer."""
        self._send(bytes(data))

    def close(self) -> None:
        """Nothing is open."""
