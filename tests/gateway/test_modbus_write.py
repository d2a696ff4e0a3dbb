"""Writes to Modbus devices: judged, in order, never late, read back; on a line and in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from pymodbus.simulator import DataType, SimData, SimDevice

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.config.modbus import Writable
from kerbline.counters import Counters
from kerbline.model import Value
from kerbline.sim import modbus as sim
from kerbline.sim import virtual_time
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.framing import (
    ILLEGAL_FUNCTION,
    Function,
    NoAnswer,
    Refused,
    Request,
    Response,
)
from kerbline.south.modbus.schedule import TooLate
from kerbline.south.modbus.transaction import Priority
from kerbline.south.modbus.write import ACKNOWLEDGE, Writer, refusal
from tests import steady

ANY = Writable(every_s=0.0)
REGISTERS = (
    Register("speed_hz", 10, "int16", scale=0.1, writable=Writable(0, 50, 0.5, every_s=0.0)),
    Register("level_w", 11, "float32", word_order="low_first", writable=ANY),
    Register("run", 13, "bool", bit=3, writable=ANY),
    Register("mode", 14, writable=Writable(values=(1.0, 2.0), every_s=60.0)),
    Register("reset", 15, writable=Writable(every_s=0.0, read_back=False)),
    Register("lamp", 0, "bool", "coil", writable=ANY),
    Register("power_w", 16),
)
DEVICE = ModbusDevice(1, "pump", REGISTERS)
BY_NAME = {register.name: register for register in REGISTERS}


class Unit:
    """A device in memory; what it is asked is kept in `asked`."""

    def __init__(self) -> None:
        self.words = dict.fromkeys(range(10, 20), 0)
        self.coils = {0: 0}
        self.asked: list[Request] = []
        self.deaf = 0  # so many writes are carried out, and the answer is lost
        self.stuck = False  # writes are answered, and nothing changes
        self.masks = True  # it knows function 22
        self.busy = 0  # so many writes are carried out and answered with exception 5
        self.lag_s = 0.0  # how long each request takes
        self.full = False  # too many wait for the bus
        self.at_s: list[float] = []  # when each request came

    async def transact(self, request: Request, *, priority: Priority, within_s: float) -> Response:
        """Answer as a device does."""
        assert priority is Priority.COMMAND
        assert within_s > 0
        if self.full:
            raise TooLate("too many wait for the bus")
        self.at_s.append(asyncio.get_running_loop().time())
        if self.lag_s > within_s:
            await asyncio.sleep(within_s)
            raise TooLate("no turn")
        self.asked.append(request)
        await asyncio.sleep(self.lag_s)
        table = self.coils if request.function in (1, 5, 15) else self.words
        if request.function in (1, 3):
            places = range(request.address, request.address + request.count)
            return Response([table[place] for place in places])
        if request.function == Function.MASK_WRITE_REGISTER:
            if not self.masks:
                raise Refused(ILLEGAL_FUNCTION)
            mask, bits = request.words
            written = {request.address: table[request.address] & mask | bits}
        else:
            written = {request.address + at: word for at, word in enumerate(request.words)}
        if not self.stuck:
            table.update(written)
        if self.busy:
            self.busy -= 1
            raise Refused(ACKNOWLEDGE)
        if self.deaf:
            self.deaf -= 1
            raise NoAnswer("unit 1")
        return Response(request.words)


def write(unit: Unit, values: Mapping[str, Value], within_s: float = 5.0) -> str:
    async def main() -> str:
        return await Writer(DEVICE, unit).write(
            values, asyncio.get_running_loop().time() + within_s
        )

    return steady.run(main())


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"speed_hz": 12.5}, ""),
        ({"speed_hz": 50, "run": True, "lamp": 0, "level_w": 1.5, "mode": 2}, ""),
        ({"speed_hz": 50.5}, "out_of_range: speed_hz: 0 to 50"),
        ({"speed_hz": -0.5}, "out_of_range: speed_hz: 0 to 50"),
        ({"speed_hz": 12.3}, "out_of_range: speed_hz: steps of 0.5"),
        ({"mode": 3}, "out_of_range: mode: one of 1 2"),
        ({"level_w": math.nan}, "out_of_range: level_w: a finite number"),
        ({"level_w": 10**400}, "out_of_range: level_w: a finite number"),
        ({"speed_hz": "fast"}, "wrong_type: speed_hz: 'fast' is no number"),
        ({"speed_hz": True}, "wrong_type: speed_hz: True is no number"),
        ({"run": 2}, "wrong_type: run: 2 is neither true nor false"),
        ({"reset": 70_000}, "wrong_type: reset: 70000 does not fit into a uint16"),
        ({"power_w": 3}, "not_writable: power_w"),
        (
            {"power": 3},
            "unknown_argument: power: writable are speed_hz level_w run mode reset lamp",
        ),
        ({"speed_hz": 1, "mode": 3}, "out_of_range: mode: one of 1 2"),
    ],
)
def test_what_may_not_be_written_is_named(values: Mapping[str, Value], why: str) -> None:
    assert refusal(BY_NAME, values) == why


def test_values_go_in_their_order_and_are_read_back() -> None:
    unit = Unit()
    unit.words[13] = 0b0100_0000
    assert write(unit, {"run": True, "speed_hz": 12.5, "level_w": 1.5, "lamp": 1}) == ""
    assert unit.words[10] == 125
    assert (unit.words[11], unit.words[12]) == (0, 0x3FC0)
    assert unit.words[13] == 0b0100_1000
    assert unit.coils[0] == 1
    assert [request.function for request in unit.asked] == [22, 3, 6, 3, 16, 3, 5, 1]


def test_a_device_that_does_not_take_a_value_ends_the_sequence() -> None:
    unit = Unit()
    unit.stuck = True
    assert write(unit, {"speed_hz": 12.5, "run": True}) == "not_taken: speed_hz"
    assert [request.function for request in unit.asked] == [6, 3]


def test_a_lost_answer_is_settled_by_reading_back() -> None:
    unit = Unit()
    unit.deaf = 1
    assert write(unit, {"speed_hz": 12.5}) == ""
    unit.deaf, unit.stuck = 1, True
    assert write(unit, {"speed_hz": 20}) == "no_answer: speed_hz"
    unit.deaf = 1
    assert write(unit, {"reset": 1}) == "no_answer: reset"


def test_a_bit_is_set_where_function_22_is_not_known() -> None:
    unit = Unit()
    unit.masks = False
    unit.words[13] = 0b0100_0000
    assert write(unit, {"run": True}) == ""
    assert unit.words[13] == 0b0100_1000
    assert write(unit, {"run": False}) == ""
    assert unit.words[13] == 0b0100_0000


def test_nothing_goes_out_after_its_time() -> None:
    unit = Unit()
    assert write(unit, {"speed_hz": 12.5}, within_s=-0.001) == "expired"
    assert unit.asked == []


def test_a_register_that_wears_is_not_written_to_too_often() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer = Writer(DEVICE, Unit())
        assert writer.refusal({"mode": 2}, loop.time()) == ""
        assert await writer.write({"mode": 2}, loop.time() + 5) == ""
        assert writer.refusal({"mode": 1}, loop.time()) == "too_often: mode: every 60 s"
        assert writer.refusal({"speed_hz": 1}, loop.time()) == ""
        assert writer.refusal({"mode": 1}, loop.time() + 60) == ""

    steady.run(main())


def test_orders_that_waited_together_are_spaced_and_the_last_stays() -> None:
    """While the device was away nobody could be told `too_often`: both were taken."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        unit = Unit()
        writer = Writer(DEVICE, unit)
        until_s = loop.time() + 100
        orders = [{"mode": 2}, {"mode": 1}, {"mode": 2}, {"speed_hz": 5}]
        done = await asyncio.gather(*(writer.write(each, until_s) for each in orders))
        assert done == ["", "", "too_often: mode: every 60 s", ""]
        assert unit.words[14] == 1
        writes = [
            at for at, asked in zip(unit.at_s, unit.asked, strict=True) if asked.address == 14
        ][::2]
        assert writes[1] - writes[0] == pytest.approx(60)
        assert writer.refusal({"mode": 2}, loop.time()) == "too_often: mode: every 60 s"

    virtual_time.run(main())


def test_a_register_that_was_not_reached_may_be_written_to_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        unit = Unit()
        unit.stuck = True
        writer = Writer(DEVICE, unit)
        assert await writer.write({"speed_hz": 5, "mode": 2}, loop.time() + 5) != ""
        assert writer.refusal({"mode": 2}, loop.time()) == ""

    virtual_time.run(main())


def test_expired_is_only_what_never_went_out() -> None:
    """The first value is written, then the time is over: the device is not as it was."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        unit = Unit()
        unit.lag_s = 2.0
        writer = Writer(DEVICE, unit)
        order = {"speed_hz": 5, "run": True}
        assert await writer.write(order, loop.time() + 1) == "expired"
        assert unit.asked == []
        assert await writer.write(order, loop.time() + 5) == "too_late: run"
        assert unit.words[10] == 50
        unit.full = True
        assert await writer.write({"lamp": 1}, loop.time() + 5) == "too_late: lamp"

    virtual_time.run(main())


def test_a_device_that_is_not_done_yet_is_read_back() -> None:
    unit = Unit()
    unit.busy = 1
    assert write(unit, {"speed_hz": 12.5}) == ""
    unit.busy, unit.stuck = 1, True
    assert write(unit, {"speed_hz": 20}) == "acknowledge: speed_hz"


def test_the_lost_answer_of_a_bit_is_settled_by_reading_back() -> None:
    unit = Unit()
    unit.masks = False
    unit.deaf = 1
    assert write(unit, {"run": True}) == ""
    assert unit.words[13] == 0b1000


def test_over_a_real_line(tmp_path: Path) -> None:
    async def main() -> None:
        served = SimDevice(
            id=1,
            simdata=[
                SimData(10, values=[0] * 10, datatype=DataType.REGISTERS),
            ],
        )
        async with sim.over_rtu([served], tmp_path / "bus", 115_200) as port:
            words = ModbusDevice(1, "pump", REGISTERS[:2], 3_600)
            bus = Bus(
                ModbusBus("bus", port, (words,), "rtu", 115_200, timeout_s=0.2), Clock(), Counters()
            )
            running = asyncio.create_task(bus.run())
            try:
                async with asyncio.timeout(60):
                    await bus.next()
                    loop = asyncio.get_running_loop()
                    writer = Writer(words, bus)
                    assert (
                        await writer.write({"speed_hz": 42.5, "level_w": 7.25}, loop.time() + 5)
                        == ""
                    )
                    read = Request(1, Function.READ_HOLDING_REGISTERS, 10, 3)
                    found = await bus.transact(read, priority=Priority.COMMAND, within_s=5.0)
                    assert list(found.words) == [425, 0, 0x40E8]
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

    steady.run(main())
