"""The poller against real pymodbus servers and against devices that misbehave, over real lines."""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.simulator import DataType, SimData, SimDevice

from kerbline.clock import Clock, ManualClock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.counters import Counters
from kerbline.ports import FIRST_RETRY_S, LAST_RETRY_S
from kerbline.sim import modbus as sim
from kerbline.south.measured import Measured
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.framing import READS, Garbled, NoAnswer, Refused, Request
from kerbline.south.modbus.transaction import Priority
from tests import steady

Line = Callable[..., AbstractAsyncContextManager[str]]

METER = (
    Register("voltage_v", sim.VOLTAGE_V, "float32", "input"),
    Register("power_w", sim.POWER_W, "float32", "input"),
    Register("door_open", sim.DOOR_OPEN, "uint16", "holding"),
)
NIGHT_MS = 20 * 3_600_000
PERIOD_S = 0.05
LONG_S = 60.0


def meter(unit: int, registers: tuple[Register, ...] = METER) -> ModbusDevice:
    return ModbusDevice(unit, f"cabinet-{unit}", registers, PERIOD_S)


def bus(port: str, *devices: ModbusDevice) -> ModbusBus:
    framer = "tcp" if port.startswith("socket://") else "rtu"
    return ModbusBus("bus", port, devices, framer, baud=115_200, timeout_s=0.2)


@asynccontextmanager
async def polling(config: ModbusBus) -> AsyncIterator[tuple[Tap, Counters]]:
    counters = Counters()
    bus = Bus(config, Clock(), counters)
    task = asyncio.create_task(bus.run())
    try:
        async with asyncio.timeout(LONG_S):
            yield Tap(bus), counters
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Tap:
    """What a bus finds, one after the other."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.waiting: list[Measured] = []

    async def next(self) -> Measured:
        while not self.waiting:
            self.waiting = await self.bus.next()
        return self.waiting.pop(0)


async def first(tap: Tap, wanted: Callable[[Measured], bool]) -> Measured:
    while not wanted(found := await tap.next()):
        pass
    return found


async def taken(tap: Tap, count: int) -> list[Measured]:
    return [await tap.next() for _ in range(count)]


async def read(bus: Bus, table: str, address: int, count: int) -> list[int]:
    """A read of unit 1 out of turn."""
    request = Request(1, READS[table], address, count)
    answer = await bus.transact(request, priority=Priority.COMMAND, within_s=1.0)
    return list(answer.words)


def over_tcp(_folder: Path, *devices: SimDevice) -> AbstractAsyncContextManager[str]:
    return sim.over_tcp(devices)


def over_rtu(folder: Path, *devices: SimDevice) -> AbstractAsyncContextManager[str]:
    return sim.over_rtu(devices, folder / "bus", 115_200)


def cabinets(*units: int) -> list[SimDevice]:
    return [sim.device(unit, ManualClock(NIGHT_MS), sim.Cabinet()) for unit in units]


@pytest.mark.parametrize("line", [over_tcp, over_rtu])
def test_every_unit_is_read_and_dated(line: Line, tmp_path: Path) -> None:
    async def main() -> None:
        began_ms = Clock().utc_ms()
        async with (
            line(tmp_path, *cabinets(1, 2)) as port,
            polling(bus(port, meter(1), meter(2))) as (poller, counters),
        ):
            found = await taken(poller, 6)
        assert {each.asset for each in found} == {"cabinet-1", "cabinet-2"}
        for each in found:
            assert each.quality == ()
            assert began_ms <= each.read_at_ms <= Clock().utc_ms()
            assert each.values["voltage_v"] == pytest.approx(230, abs=3)
            assert each.values["power_w"] == pytest.approx(sim.Cabinet().load_w(NIGHT_MS))
            assert each.values["door_open"] == 0
        assert not set(counters.totals()) - {"modbus.late"}  # this machine, not the bus

    steady.run(main())


@pytest.mark.parametrize("line", [over_tcp, over_rtu])
def test_a_dead_unit_is_told_and_rests_while_the_others_go_on(
    line: Line, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with (
            line(tmp_path, *cabinets(1)) as port,
            polling(bus(port, meter(1), meter(9))) as (poller, counters),
        ):
            found = await taken(poller, 40)
        dead = [each for each in found if each.asset == "cabinet-9"]
        assert dead
        assert all(each.values == {} and each.quality == ("no_answer",) for each in dead)
        assert len(dead) <= 5
        assert all(each.quality == () for each in found if each.asset == "cabinet-1")
        assert counters.totals()["modbus.no_answer"] >= len(dead)
        assert "unit 9, cabinet-9: no_answer" in caplog.text

    steady.run(main())


def test_an_illegal_address_in_a_gap_is_found_at_once_and_remembered(tmp_path: Path) -> None:
    device = SimDevice(
        id=1,
        simdata=[
            SimData(0, values=[7, 8], datatype=DataType.REGISTERS),
            SimData(10, values=[9], datatype=DataType.REGISTERS),
        ],
    )
    wanted = (Register("a", 0), Register("b", 10), Register("c", 1))

    async def main() -> None:
        async with (
            over_tcp(tmp_path, device) as port,
            polling(bus(port, meter(1, wanted))) as (poller, counters),
        ):
            for _ in range(4):
                good = await poller.next()
                assert (good.values, good.quality) == ({"a": 7, "b": 9, "c": 8}, ())
            assert counters.totals() == {"modbus.illegal_address": 2}  # the read, and its half

    steady.run(main())


def test_one_register_that_is_refused_leaves_the_others(tmp_path: Path) -> None:
    wanted = (*METER, Register("ghost", 5000))

    async def main() -> None:
        async with (
            over_tcp(tmp_path, *cabinets(1)) as port,
            polling(bus(port, meter(1, wanted))) as (poller, _),
        ):
            found = await poller.next()
        assert set(found.values) == {"voltage_v", "power_w", "door_open"}
        assert found.quality == ("illegal_address",)

    steady.run(main())


def test_a_line_that_vanishes_is_told_once_and_found_again(tmp_path: Path) -> None:
    async def main() -> None:
        config = bus(str(tmp_path / "bus"), meter(1), meter(2))
        async with polling(config) as (poller, counters):
            lost = await taken(poller, 2)
            for _ in range(2):
                assert [each.quality for each in lost] == [("port_lost",)] * 2
                assert [each.asset for each in lost] == ["cabinet-1", "cabinet-2"]
                async with over_rtu(tmp_path, *cabinets(1, 2)):
                    async with asyncio.timeout(2):  # from plugging in to the first good poll
                        await first(poller, lambda each: each.quality == ())
                with suppress(asyncio.QueueEmpty):  # what was polled before the plug was pulled
                    lost = [await first(poller, lambda each: each.quality == ("port_lost",))]
                lost += await taken(poller, 1)
        assert counters.totals()["modbus.port_lost"] >= 2

    steady.run(main())


Answer = Callable[[bytes], Awaitable[bytes]]


@contextmanager
def device_on_a_pty(answer: Answer) -> Iterator[str]:
    """A device of our own making: gets each RTU request, gives the bytes to answer with."""
    far, near = os.openpty()
    tty.setraw(near)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def one(request: bytes) -> None:
        os.write(far, await answer(request))

    def on_request() -> None:
        tasks.add(asyncio.create_task(one(os.read(far, 256))))

    loop.add_reader(far, on_request)
    try:
        yield os.ttyname(near)
    finally:
        loop.remove_reader(far)
        for task in tasks:
            task.cancel()
        os.close(far)
        os.close(near)


def frame(unit: int, *words: int, function: int = 3) -> bytes:
    body = bytes([unit, function, 2 * len(words)]) + struct.pack(f">{len(words)}H", *words)
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


GARBAGE = {
    "noise": b"\x00\xff\x13" * 9,
    "wrong checksum": frame(1, 5)[:-1] + b"\x00",
    "half an answer": frame(1, 5)[:4],
    "another unit's": frame(2, 5),
    "another function's": frame(1, 5, function=4),
    "too few words": frame(1),
    "too many words": frame(1, 5, 6),
    "an endless babble": b"\x01\x03\xfa" * 500,
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_answer_and_is_over_with_its_request(answer: bytes) -> None:
    answers = iter([answer, frame(1, 42)])

    async def device(_request: bytes) -> bytes:
        return next(answers)

    async def main() -> None:
        with device_on_a_pty(device) as path:
            async with polling(bus(path)) as (tap, _):
                with pytest.raises(Garbled):
                    await read(tap.bus, "holding", 0, 1)
                assert await read(tap.bus, "holding", 0, 1) == [42]

    steady.run(main())


def test_noise_before_an_answer_and_an_answer_in_pieces_are_understood() -> None:
    async def device(request: bytes) -> bytes:
        return b"\x00\x00" + frame(1, *range(request[5]))

    async def main() -> None:
        with device_on_a_pty(device) as path:
            async with polling(bus(path)) as (tap, _):
                for count in (1, 2, 125):
                    assert await read(tap.bus, "holding", 0, count) == list(range(count))

    steady.run(main())


def test_a_late_answer_is_not_taken_for_the_next_ones() -> None:
    release = asyncio.Event()
    answers = iter([frame(1, 111), frame(1, 222)])

    async def device(_request: bytes) -> bytes:
        own = next(answers)
        if own == frame(1, 111):
            await release.wait()
        return own

    async def main() -> None:
        with device_on_a_pty(device) as path:
            async with polling(bus(path)) as (tap, _):
                with pytest.raises(NoAnswer):
                    await read(tap.bus, "holding", 0, 1)
                release.set()
                await asyncio.sleep(0.01)
                assert await read(tap.bus, "holding", 0, 1) == [222]

    steady.run(main())


def test_refusals_name_their_exception() -> None:
    async def device(request: bytes) -> bytes:
        body = bytes([request[0], request[1] | 0x80, request[3]])
        return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")

    async def main() -> None:
        with device_on_a_pty(device) as path:
            async with polling(bus(path)) as (tap, _):
                for exception, code in [
                    (2, "illegal_address"),
                    (4, "device_failure"),
                    (99, "refused"),
                ]:
                    with pytest.raises(Refused) as raised:
                        await read(tap.bus, "input", exception, 1)
                    assert (raised.value.exception, raised.value.code) == (exception, code)

    steady.run(main())


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("unit", [0, 255])
def test_a_device_with_an_address_of_its_own_needs_no_unit(unit: int) -> None:
    """Modbus messaging on TCP/IP V1.0b, 4.4.1.2: its unit is 255, and 0 is taken as well."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(12):
            writer.write(request[:2] + b"\0\0\0\5" + request[6:8] + b"\2\0\x07")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        device = meter(unit, (Register("level_pct", 0),))
        async with polling(bus(f"socket://127.0.0.1:{port_of(server)}", device)) as (tap, counters):
            for each in await taken(tap, 3):
                assert (each.values, each.quality) == ({"level_pct": 7}, ())
            assert tap.bus.answers(unit)
        assert not set(counters.totals()) - {"modbus.late"}
        server.close()

    steady.run(main())


def test_on_tcp_an_answer_is_known_by_its_number() -> None:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(12):
            requests.append(request)
            if len(requests) == 1:
                continue  # answered late, with the next one
            for each, value in zip(requests, (111, 222), strict=True):
                writer.write(each[:2] + b"\0\0\0\5" + each[6:8] + b"\2" + struct.pack(">H", value))
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with polling(bus(f"socket://127.0.0.1:{port_of(server)}")) as (tap, _):
            with pytest.raises(NoAnswer):
                await read(tap.bus, "holding", 0, 1)
            assert await read(tap.bus, "holding", 0, 1) == [222]
        server.close()

    steady.run(main())


def test_a_tcp_peer_out_of_step_is_left_and_called_again() -> None:
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        bad = calls == 1
        while request := await reader.read(12):
            answer = request[:2] + b"\0\0\0\5" + request[6:8] + b"\2\0\7"
            writer.write(b"HTTP/1.1 400 Bad Request\r\n" if bad else answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = f"socket://127.0.0.1:{port_of(server)}"
        async with polling(bus(port, meter(1, (Register("x", 0),)))) as (poller, _):
            garbled, good = await taken(poller, 2)
        assert garbled.quality == ("garbled",)
        assert (good.values, good.quality) == ({"x": 7}, ())
        assert calls == 2
        server.close()

    steady.run(main())


def test_a_server_that_hangs_up_when_it_is_idle_is_no_outage() -> None:
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        request = await reader.read(12)
        writer.write(request[:2] + b"\0\0\0\5" + request[6:8] + b"\2\0\7")
        await writer.drain()
        await asyncio.sleep(PERIOD_S / 10)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        device = replace(meter(1, (Register("x", 0),)), poll_s=4 * PERIOD_S)
        async with polling(bus(f"socket://127.0.0.1:{port_of(server)}", device)) as (tap, counters):
            for each in await taken(tap, 3):
                assert (each.values, each.quality) == ({"x": 7}, ())
            server.close()  # and when nobody listens any more it is one
            lost = await first(tap, lambda each: each.quality == ("port_lost",))
            assert lost.asset == "cabinet-1"
        assert calls >= 3
        assert counters.totals()["modbus.port_lost"] >= 1

    steady.run(main())


def test_a_line_that_comes_and_goes_is_tried_and_told_ever_more_seldom() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(12)
        writer.write(request[:2] + b"\0\0\0\5" + request[6:8] + b"\2\0\7")
        await reader.read(12)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        device = meter(1, (Register("x", 0), Register("y", 999)))
        async with polling(bus(f"socket://127.0.0.1:{port_of(server)}", device)) as (tap, _):
            loop = asyncio.get_running_loop()
            lost_s: list[float] = []
            while len(lost_s) < 4:
                await first(tap, lambda each: each.quality == ("port_lost",))
                lost_s.append(loop.time())
        assert lost_s[-1] - lost_s[0] >= 2 * FIRST_RETRY_S + 4 * FIRST_RETRY_S + LAST_RETRY_S / 2
        server.close()

    steady.run(main())
