"""A bus that other masters share: real libmodbus (mbpoll) and pymodbus clients before a line."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.simulator import DataType, SimData, SimDevice

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.config.modbus_share import Master
from kerbline.config.modbus_share import Share as ShareConfig
from kerbline.counters import Counters
from kerbline.demo.stage import free_port
from kerbline.sim import modbus as sim
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.cache import MAX_READS, Cache
from kerbline.south.modbus.framing import Function, Request
from kerbline.south.modbus.share import MAX_MASTERS, SEARCH_SHARE, Caller, Share, Turns
from tests import steady

WRITER = Master("127.0.0.1", write=True)
READER = Master("127.0.0.0/8")
GONE = 9  # a unit that is not there
TIMEOUT_S = 0.1
LONG_S = 60.0


@dataclass
class Shared:
    """A bus that runs and is shared at `port`."""

    bus: Bus
    port: int
    counters: Counters

    def answers(self, unit: int = 1) -> int:
        return sum(each.answers for each in self.bus.state().units if each.unit == unit)


def devices() -> list[SimDevice]:
    """Unit 1: its holding register n is 100 + n at first."""
    values = [100 + number for number in range(50)]
    return [SimDevice(id=1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])]


@asynccontextmanager
async def shared(
    folder: Path,
    *masters: Master,
    max_age_s: float = 0.0,
    poll_s: float = 3_600.0,
    answer_s: float = 30.0,
    line: Path | None = None,
) -> AsyncIterator[Shared]:
    config = ShareConfig(f"127.0.0.1:{free_port()}", masters or (WRITER,), max_age_s, answer_s)
    async with sim.over_rtu(devices(), folder / "bus", 115_200) as served:
        unit = ModbusDevice(1, "meter", (Register("level_pct", 0, count=10),), poll_s)
        section = ModbusBus(
            "bus", str(line or served), (unit,), "rtu", 115_200, timeout_s=TIMEOUT_S
        )
        counters = Counters()
        cache = Cache(max_age_s)
        bus = Bus(section, Clock(), counters, cache=cache)
        share = Share("bus", config, bus, cache, counters)
        tasks = [asyncio.create_task(each) for each in (bus.run(), share.run())]
        while not ((line or bus.state().up) and await _listens(config.address[1])):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(LONG_S):
                yield Shared(bus, config.address[1], counters)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def master(shared: Shared) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=shared.port, timeout=LONG_S, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def mbpoll(shared: Shared, *words: str) -> str:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian: apt install mbpoll)")
    child = await asyncio.create_subprocess_exec(
        *(program, "-0", "-1", "-o", "10", "-p", str(shared.port), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    return out.decode()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * LONG_S):
            await scenario()

    steady.run(bounded())


def test_libmodbus_reads_and_writes_through_us(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus:
            read = await mbpoll(bus, "-a", "1", "-r", "3", "-c", "2", "127.0.0.1")
            assert "[3]: \t103" in read
            assert "[4]: \t104" in read
            wrote = await mbpoll(bus, "-a", "1", "-r", "3", "127.0.0.1", "7")
            assert "Written 1 reference" in wrote, wrote
            assert "[3]: \t7" in await mbpoll(bus, "-a", "1", "-r", "3", "127.0.0.1")
            several = await mbpoll(bus, "-a", "1", "-r", "5", "127.0.0.1", "8", "9")
            assert "Written 2 references" in several, several
            assert "[6]: \t9" in await mbpoll(bus, "-a", "1", "-r", "6", "127.0.0.1")
            gone = await mbpoll(bus, "-a", str(GONE), "-r", "3", "127.0.0.1")
            assert "Target device failed to respond" in gone, gone
            high = await mbpoll(bus, "-a", "1", "-r", "900", "127.0.0.1")
            assert "Illegal data address" in high, high

    run(scenario)


def test_eight_masters_and_our_own_polls_share_the_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path, poll_s=0.05) as bus:
            polls = 0

            async def polled() -> None:
                nonlocal polls
                while True:
                    polls += len(await bus.bus.next())

            async def reads(number: int) -> list[int]:
                async with master(bus) as client:
                    found: list[int] = []
                    for _ in range(20):
                        answer = await client.read_holding_registers(number, count=2, device_id=1)
                        assert not answer.isError(), answer
                        found += answer.registers
                    return found

            counting = asyncio.create_task(polled())
            found = await asyncio.gather(*[reads(number) for number in range(8)])
            counting.cancel()
            for number, words in enumerate(found):
                assert words == [100 + number, 101 + number] * 20
            assert polls >= 3  # 160 foreign reads did not keep our own from the line

    run(scenario)


def test_a_read_that_is_known_or_under_way_costs_the_bus_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path, max_age_s=60.0, poll_s=3_600.0) as bus:
            await bus.bus.next()  # our own poll of registers 0 to 9
            before = bus.answers()
            async with master(bus) as client:
                known = await client.read_holding_registers(2, count=5, device_id=1)
                assert known.registers == [102, 103, 104, 105, 106]
                assert bus.answers() == before
                beyond = client.read_holding_registers(8, count=5, device_id=1)
                async with master(bus) as other:
                    again = other.read_holding_registers(8, count=5, device_id=1)
                    first, second = await asyncio.gather(beyond, again)
                assert first.registers == second.registers == [108, 109, 110, 111, 112]
                assert bus.answers() == before + 1
                assert not (await client.write_register(3, 7, device_id=1)).isError()
                fresh = await client.read_holding_registers(2, count=5, device_id=1)
                assert fresh.registers == [102, 7, 104, 105, 106]

    run(scenario)


def test_who_may_not_write_is_refused_and_nothing_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with shared(tmp_path, READER) as bus, master(bus) as client:
            for _ in range(2):
                answer = await client.write_register(3, 7, device_id=1)
                assert answer.exception_code == 1
            read = await client.read_holding_registers(3, count=1, device_id=1)
            assert read.registers == [103]
            assert bus.counters.totals()["modbus.write_refused"] == 2

    run(scenario)
    said = [each for each in caplog.messages if "may not write" in each]
    assert said == ["bus bus: 127.0.0.1 may not write (unit 1, function 6, address 3)"]


def test_a_stranger_is_turned_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path, Master("10.0.0.0/8", write=True)) as bus:
            reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
            writer.write(bytes.fromhex("000100000006010300000001"))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert bus.counters.totals()["modbus.master_refused"] >= 1

    run(scenario)


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ("0001 0000 0003 01 03 00", "0001 0000 0003 01 83 03"),  # cut short
        ("0002 0000 0006 01 03 0000 0000", "0002 0000 0003 01 83 03"),  # none
        ("0003 0000 0006 01 03 0000 007e", "0003 0000 0003 01 83 03"),  # 126 registers
        ("0004 0000 0002 01 63", "0004 0000 0003 01 e3 01"),  # a function of nobody
        ("0005 0000 0006 01 03 0003 0001", "0005 0000 0005 01 03 02 0067"),
        ("0006 0000 0006 00 03 0003 0001", "0006 0000 0003 00 83 0b"),  # of all units none
    ],
)
def test_any_request_gets_an_answer(tmp_path: Path, payload: str, answer: str) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus:
            reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
            for byte in bytes.fromhex(payload):
                writer.write(bytes([byte]))
                await writer.drain()
            expected = bytes.fromhex(answer)
            assert await reader.readexactly(len(expected)) == expected
            writer.close()

    run(scenario)


def test_what_is_no_modbus_ends_its_connection_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus, master(bus) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert await reader.read() == b""
            writer.close()
            answer = await client.read_holding_registers(0, count=1, device_id=1)
            assert answer.registers == [100]

    run(scenario)


def test_who_vanished_without_a_word_gives_his_place_to_a_new_master(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus, AsyncExitStack() as gone:
            for _ in range(MAX_MASTERS):  # a SCADA whose power went as often: no word of it came
                _, writer = await asyncio.open_connection("127.0.0.1", bus.port)
                gone.callback(writer.close)
            async with master(bus) as client:
                for _ in range(2):
                    answer = await client.read_holding_registers(0, count=1, device_id=1)
                    assert answer.registers == [100]

    run(scenario)


def test_what_a_master_asked_who_is_gone_costs_the_bus_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus:
            _, writer = await asyncio.open_connection("127.0.0.1", bus.port)
            asked = (f"{number:04x}00000006010300{number % 50:02x}0001" for number in range(340))
            writer.write(bytes.fromhex("".join(asked)))
            await asyncio.sleep(0.1)
            writer.transport.abort()
            before = -1
            while (now := bus.answers()) != before:  # what is under way ends
                before = now
                await asyncio.sleep(0.3)
            assert before < 200

    run(scenario)
    assert not [each for each in caplog.messages if "socket.send" in each]


def test_masters_that_look_for_units_have_a_share_of_the_line_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shared(tmp_path) as bus, master(bus) as client:
            loop = asyncio.get_running_loop()
            reads = 0

            async def read_on() -> None:
                nonlocal reads
                while True:
                    answer = await client.read_holding_registers(0, count=1, device_id=1)
                    assert answer.registers == [100]
                    reads += 1

            async def look_for(units: range) -> list[int]:
                async with master(bus) as other:
                    asked = [
                        await other.read_holding_registers(0, count=1, device_id=unit)
                        for unit in units
                    ]
                    return [answer.exception_code for answer in asked]

            assert not (await client.read_holding_registers(0, count=1, device_id=1)).isError()
            reading, began_s = asyncio.create_task(read_on()), loop.time()
            told = await asyncio.gather(look_for(range(20, 24)), look_for(range(30, 34)))
            took_s = loop.time() - began_s
            reading.cancel()
            assert [*told] == [[11] * 4] * 2
            assert took_s > 7 * TIMEOUT_S / SEARCH_SHARE  # each but the last is paid for
            assert reads > 8

            again = await client.read_holding_registers(0, count=1, device_id=33)
            assert again.exception_code == 11  # at once, while its breaker is open
            assert loop.time() - began_s - took_s < TIMEOUT_S

    run(scenario)


def test_masters_are_told_that_the_line_is_not_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            shared(tmp_path, answer_s=0.5, line=tmp_path / "none") as bus,
            master(bus) as client,
        ):
            answer = await client.read_holding_registers(0, count=1, device_id=1)
            assert answer.exception_code == 10

    run(scenario)


def test_turns_go_by_priority_and_survive_who_leaves() -> None:
    async def scenario() -> None:
        turns = Turns(1)
        order: list[str] = []

        async def takes(name: str, priority: int) -> None:
            await turns.take(Caller(Master("127.0.0.1", priority=priority), name))
            order.append(name)
            turns.give()

        await turns.take(Caller(READER, "first"))
        tasks = [
            asyncio.create_task(takes(name, priority))
            for name, priority in (("a", 5), ("b", 0), ("gone", 0), ("c", 5), ("d", 9))
        ]
        await asyncio.sleep(0)
        tasks[2].cancel()
        turns.give()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["b", "a", "c", "d"]
        await asyncio.wait_for(turns.take(Caller(READER, "last")), LONG_S)  # it was given back

    run(scenario)


def test_who_asks_much_at_once_takes_no_turns_of_who_asks_little() -> None:
    async def scenario() -> None:
        turns = Turns(1)
        order: list[str] = []

        async def takes(caller: Caller) -> None:
            await turns.take(caller)
            order.append(caller.who)
            await asyncio.sleep(0)
            turns.give()

        flood, logger, scada = (Caller(READER, name) for name in ("flood", "logger", "scada"))

        for _ in range(100):  # who was alone for long does not pay for it
            await takes(logger)
        order.clear()

        async def one_by_one(caller: Caller) -> None:
            for _ in range(4):
                await takes(caller)

        await asyncio.gather(
            *[takes(flood) for _ in range(16)], one_by_one(logger), one_by_one(scada)
        )
        assert max(at for at, who in enumerate(order) if who != "flood") <= 3 * 4
        assert order[:12].count("flood") >= 4  # nor is it kept from its own

    run(scenario)


READ = Request(1, Function.READ_HOLDING_REGISTERS, 10, 5)


def test_the_cache_answers_what_a_read_covers_while_it_is_young() -> None:
    cache = Cache(2.0)
    cache.saw(READ, (0, 1, 2, 3, 4), asked_s=10.0, now_s=10.1)
    inner = Request(1, Function.READ_HOLDING_REGISTERS, 12, 2)
    assert cache.words(inner, 12.0) == (2, 3)
    assert cache.words(inner, 12.01) is None
    assert cache.words(Request(2, inner.function, 12, 2), 11.0) is None
    assert cache.words(Request(1, Function.READ_INPUT_REGISTERS, 12, 2), 11.0) is None
    assert cache.words(Request(1, inner.function, 13, 3), 11.0) is None


def test_a_write_ends_what_was_read_before_it_even_if_it_comes_later() -> None:
    cache = Cache(60.0)
    cache.saw(READ, (0, 1, 2, 3, 4), asked_s=10.0, now_s=10.1)
    cache.saw(Request(1, 6, 10, 1, (9,)), (9,), asked_s=10.2, now_s=10.3)
    assert cache.words(READ, 10.4) is None
    cache.saw(READ, (0, 1, 2, 3, 4), asked_s=10.25, now_s=10.5)
    assert cache.words(READ, 10.6) is None
    cache.saw(READ, (9, 1, 2, 3, 4), asked_s=10.6, now_s=10.7)
    assert cache.words(READ, 10.8) == (9, 1, 2, 3, 4)


def test_the_cache_is_bounded() -> None:
    cache = Cache(1e9)
    for address in range(5 * MAX_READS):
        cache.saw(Request(1, 3, address, 1), (address,), asked_s=address, now_s=address)
    assert cache.words(Request(1, 3, 0, 1), 400.0) is None
    assert cache.words(Request(1, 3, 5 * MAX_READS - 1, 1), 400.0) == (5 * MAX_READS - 1,)
    assert sum(len(reads) for reads in cache._reads.values()) <= MAX_READS
