"""A line's silences, echoes and strangers; a bus on a modelled line in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import tty
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import pytest

from kerbline.clock import ManualClock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.counters import Counters
from kerbline.ports import PortLost, open_port
from kerbline.sim import virtual_time
from kerbline.sim.modbus.devices import Server, device
from kerbline.sim.modbus.faults import Orders, parse
from kerbline.sim.modbus.line_time import Speed
from kerbline.sim.modbus.memory import MemoryPort
from kerbline.sim.modbus.wire import Tally, Trouble
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.framing import (
    Garbled,
    NoAnswer,
    Refused,
    Request,
    Response,
    answered,
    refused,
    rtu_frame,
    tcp_frame,
    wanted,
)
from kerbline.south.modbus.line import Pace, RtuLine, TcpLine
from kerbline.south.modbus.transaction import Job, Priority, Transaction
from kerbline.south.modbus.unit import Unit
from tests.descriptors import held, leaked

BAUD = 19_200
UNITS = {address: Unit(address, 0.5) for address in range(4)}


def asked(unit: int, count: int = 2, function: int = 3, words: tuple[int, ...] = ()) -> Transaction:
    request = Request(unit, function, 0, count, words)
    job = Job(UNITS[unit], wanted(request), Priority.COMMAND, 9.0)
    return Transaction(job, job.wanted, job.priority)


def answer(unit: int, *words: int, function: int = 3) -> bytes:
    request = Request(unit, function, 0, len(words))
    return rtu_frame(unit, answered(request, Response(words)))


def words_of(transaction: Transaction) -> list[int]:
    assert transaction.response is not None
    return list(transaction.response.words)


@pytest.mark.parametrize(
    ("baud", "silence_ms"), [(1_200, 32.08), (9_600, 4.01), (19_200, 2.005), (38_400, 1.75)]
)
def test_the_silence_is_of_characters_and_never_too_short(baud: int, silence_ms: float) -> None:
    line = RtuLine(Pace(baud, unit_switch_s=0.05), 1.0)
    assert line.clear_s(None) == pytest.approx(1 + silence_ms / 1_000, abs=1e-5)
    line.send(asked(1), 2.0)
    assert line.receive(answer(1, 5, 6), 2.1)
    assert line.clear_s(UNITS[1]) == pytest.approx(2.1 + silence_ms / 1_000, abs=1e-5)
    assert line.clear_s(UNITS[2]) == pytest.approx(2.15)


def test_an_answer_is_over_with_its_last_byte() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    transaction = asked(1)
    line.send(transaction, 1.0)
    whole = answer(1, 5, 6)
    for at, byte in enumerate(whole[:-1]):
        assert not line.receive(bytes([byte]), 1.02 + at * 0.0005)
    assert line.receive(whole[-1:], 1.03) == (transaction,)
    assert words_of(transaction) == [5, 6]
    bytes_s = (8 + len(whole)) * 11 / BAUD
    assert transaction.pause_s == pytest.approx(0.03 - bytes_s)


def test_a_late_answer_of_another_is_passed_over_and_its_time_given_back() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    late, transaction = asked(1), asked(2)
    line.send(late, 0.0)
    assert line.expire(line.deadline_s) == (late,)
    assert isinstance(late.fault, NoAnswer)
    line.send(transaction, 1.0)
    before_s = line.deadline_s
    stranger = answer(1, 5, 6)
    assert not line.receive(stranger, 1.1)
    assert line.deadline_s == pytest.approx(before_s + len(stranger) * 11 / BAUD)
    assert line.receive(answer(2, 7, 8), line.deadline_s - 0.001)
    assert words_of(transaction) == [7, 8]
    assert transaction.pause_s < 0  # who was disturbed teaches nothing
    assert line.strays == 1


def test_strangers_do_not_stretch_a_time_out_for_ever() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    line.send(asked(2), 1.0)
    before_s = line.deadline_s
    for at in range(500):
        line.receive(answer(1, 5, 6), 1.0 + at / 1_000)
    assert line.deadline_s <= before_s + 0.5


def test_a_late_answer_in_the_silence_is_read_away_and_the_silence_begins_anew() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    line.send(asked(1), 0.0)
    line.expire(line.deadline_s)
    line.receive(answer(1, 5, 6), 1.0)
    assert line.clear_s(None) == pytest.approx(1.0 + line._silence_s)
    transaction = asked(1, 1)
    line.send(transaction, 1.1)
    assert line.receive(answer(1, 9), 1.2)
    assert words_of(transaction) == [9]


def test_a_babbling_line_is_not_waited_for() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    line.send(asked(1), 0.0)
    line.expire(line.deadline_s)
    for at in range(2_000):
        line.receive(b"\x55", 1.0 + at / 1_000)
    assert line.clear_s(None) < 2.0


def test_a_refusal_that_may_be_late_is_not_believed() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    transaction = asked(1)
    transaction.refusals = False
    line.send(transaction, 0.0)
    assert not line.receive(rtu_frame(1, refused(3, 2)), 0.1)
    assert line.receive(answer(1, 5, 6), 0.2)
    assert words_of(transaction) == [5, 6]


@pytest.mark.parametrize("told", [False, True])
def test_an_echo_is_taken_out(told: bool) -> None:  # noqa: FBT001
    line = RtuLine(Pace(BAUD), 0.0, echo=told)
    for number, pieces in enumerate((1, 3)):
        transaction = asked(1)
        frame = line.send(transaction, float(number))
        both = frame + answer(1, 5, 6)
        size = len(both) // pieces
        parts = [both[at : at + size] for at in range(0, len(both), size)]
        done = [one for part in parts for one in line.receive(part, number + 0.1)]
        assert done == [transaction]
        assert words_of(transaction) == [5, 6]
    assert line.echo_found is not told
    write = asked(1, 1, 6, (77,))
    frame = line.send(write, 3.0)
    assert not line.receive(frame, 3.1)  # the echo alone is no confirmation
    assert line.receive(frame, 3.2) == (write,)
    assert write.response is not None


def test_a_broadcast_has_no_answer() -> None:
    line = RtuLine(Pace(BAUD), 0.0)
    transaction = asked(0, 1, 6, (1,))
    line.send(transaction, 0.0)
    assert line.expire(line.deadline_s) == (transaction,)
    assert transaction.fault is None


REGISTERS = tuple(Register(f"r{at}", at) for at in range(100))


def tcp(tid: int, unit: int, *words: int) -> bytes:
    return tcp_frame(tid, unit, answered(Request(unit, 3, 0, len(words)), Response(words)))


def test_answers_on_tcp_come_in_any_order_and_in_any_pieces() -> None:
    line = TcpLine(3, 0.5)
    several = [asked(unit) for unit in (1, 2, 3)]
    for transaction in several:
        line.send(transaction, 0.0)
    assert line.room() == 0
    stream = tcp(3, 3, 7, 8) + tcp(1, 1, 3, 4) + tcp(2, 2, 5, 6)
    done = [one for at in range(len(stream)) for one in line.receive(stream[at : at + 1], 0.1)]
    assert [words_of(one) for one in done] == [[7, 8], [3, 4], [5, 6]]


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_answer_on_tcp_that_is_cut_short_takes_nothing_of_the_next(pieces: int) -> None:
    line = TcpLine(2, 0.5)
    first, second = asked(1, 20), asked(2)
    line.send(first, 0.0)
    line.send(second, 0.0)
    cut, next_one = tcp(1, 1, *range(20))[:-13], tcp(2, 2, 5, 6)
    parts = [cut + next_one] if pieces == 1 else [cut, next_one]
    for part in parts:
        line.receive(part, 0.1)
    line.expire(9.0)
    assert first.response is None
    assert second.response is None or words_of(second) == [5, 6]


def test_a_silent_unit_behind_a_gateway_is_not_the_next_ones_fault() -> None:
    line = TcpLine(1, 0.5)
    silent, patient, quick = asked(1), asked(2), asked(3)
    for transaction in (silent, patient, quick):
        transaction.timeout_s = 0.05
    line.send(silent, 0.0)
    assert line.expire(0.06) == [silent]
    line.send(patient, 0.06)
    assert line.deadline_s == pytest.approx(0.56)
    assert line.receive(tcp(1, 1, 1, 2) + tcp(2, 2, 5, 6), 0.3) == [patient]
    line.send(quick, 0.6)
    assert line.deadline_s == pytest.approx(0.65)


def test_a_requests_time_begins_when_those_before_it_are_answered() -> None:
    line = TcpLine(3, 0.5)
    first, second, third = several = [asked(unit) for unit in (1, 2, 3)]
    for transaction in several:
        transaction.timeout_s = 0.1
        line.send(transaction, 0.0)
    assert line.receive(tcp(1, 1, 3, 4), 0.08) == [first]
    assert line.expire(0.11) == ()
    assert line.receive(tcp(2, 2, 5, 6), 0.16) == [second]
    assert second.pause_s == pytest.approx(0.08)
    assert line.expire(0.25) == ()
    assert line.expire(0.27) == [third]


def test_an_answer_gives_no_time_to_a_request_before_it() -> None:
    line = TcpLine(3, 0.5)
    silent, other = asked(1), asked(2)
    silent.timeout_s = other.timeout_s = 0.1
    line.send(silent, 0.0)
    line.send(other, 0.05)
    assert line.receive(tcp(2, 2, 5, 6), 0.09) == [other]
    assert other.pause_s == pytest.approx(0.04)
    assert line.expire(0.11) == [silent]


class SlowPort(MemoryPort):
    """A server that answers one request after another, each after so long."""

    ANSWER_S = 0.05
    _free_s = 0.0

    def _hear(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._free_s = max(self._free_s, loop.time()) + self.ANSWER_S
        loop.call_at(self._free_s, super()._hear, data)


def test_a_slow_server_with_a_full_pipeline_loses_no_unit() -> None:
    units, counters = range(1, 17), Counters()
    devices = tuple(ModbusDevice(unit, f"unit-{unit}", REGISTERS) for unit in units)
    config = ModbusBus("bus", "socket://memory:1", devices, "tcp", pipeline=16)

    async def opening(_config: ModbusBus) -> MemoryPort:
        served = [device(each, REGISTERS, ManualClock(), lambda *_: 1) for each in units]
        return SlowPort(Server(served, "tcp"), Trouble(Orders()))

    async def scenario() -> None:
        bus = Bus(config, ManualClock(), counters, opening=opening)
        running = asyncio.create_task(bus.run())
        found: Counter[str] = Counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while True:
                    found.update(each.asset for each in await bus.next() if each.values)
        running.cancel()
        assert set(found.values()) == {20}

    virtual_time.run(scenario())
    assert counters.totals() == {}


@pytest.mark.parametrize("fault", [b"HTTP/1.1 400 Bad Request", tcp(9, 1, 5, 6)])
def test_what_is_out_of_step_ends_a_connection(fault: bytes) -> None:
    line = TcpLine(2, 0.5)
    culprit, other = asked(1), asked(2)
    line.send(culprit, 0.0)
    line.send(other, 0.0)
    assert line.receive(fault, 0.1) == [culprit, other]
    assert line.broken
    assert isinstance(culprit.fault, Garbled)
    assert (culprit.left, other.left) == (False, True)


class Bench:
    """A bus of ours on a modelled line, in virtual time."""

    def __init__(self, baud: int, units: int = 10, words: int = 100, orders: Orders | None = None):
        self.tally = Tally()
        self.plugs: list[MemoryPort] = []
        self.there = True
        self.units = range(1, units + 1)
        self.words = REGISTERS[:words]
        self.speed = Speed(baud, 0.005)
        self.orders = orders or Orders()
        devices = tuple(
            ModbusDevice(unit, f"unit-{unit}", self.words, poll_s=0.05) for unit in self.units
        )
        config = ModbusBus("bus", "/dev/memory", devices, "rtu", baud)
        self.bus = Bus(config, ManualClock(), Counters(), opening=self.open, sleep=sleep)

    async def open(self, _config: ModbusBus) -> MemoryPort:
        if not self.there:
            raise PortLost("memory: not there")
        served = [
            device(unit, self.words, ManualClock(), lambda _name, unit, _ms: unit)
            for unit in self.units
        ]
        trouble = Trouble(self.orders, None, self.speed)
        self.plugs.append(MemoryPort(Server(served, "rtu"), trouble, self.tally))
        return self.plugs[-1]

    async def counted(self, seconds: float) -> Counter[str]:
        """Good polls by asset, of so long."""
        good: Counter[str] = Counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    good.update(each.asset for each in await self.bus.next() if each.values)
        return good

    async def first_good(self) -> float:
        """When the next good poll comes."""
        while not any(each.values for each in await self.bus.next()):
            pass
        return asyncio.get_running_loop().time()


def sleep(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual_time.VirtualLoop)
    loop._jumping.now_s += seconds


async def with_bus(bench: Bench, scenario: Coroutine[object, object, None]) -> None:
    running = asyncio.create_task(bench.bus.run())
    try:
        await scenario
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("baud", [9_600, 19_200, 38_400, 57_600, 115_200])
@pytest.mark.parametrize("words", [10, 100])
def test_a_busy_line_has_no_pauses_but_its_own(baud: int, words: int) -> None:
    bench = Bench(baud, words=words)

    async def scenario() -> None:
        await bench.counted(5)
        (line,) = bench.tally.lines
        assert line.busy_s / 5 >= 0.98  # less what a real machine's wake-ups cost
        assert line.silences_broken == line.collisions == 0
        assert bench.bus.state().utilisation > 0.8

    virtual_time.run(with_bus(bench, scenario()))


def test_a_fifth_of_dead_units_leaves_the_others_their_rate() -> None:
    rates: list[int] = []
    for orders, units in ((Orders(), 8), (parse(["dead=9-10"]), 10)):
        bench = Bench(19_200, units, orders=orders)

        async def scenario(bench: Bench = bench) -> None:
            await bench.counted(5)  # the dead are known for dead
            good = await bench.counted(60)
            assert not {"unit-9", "unit-10"} & good.keys()
            assert max(good.values()) - min(good.values()) <= 2
            rates.append(sum(good.values()))

        virtual_time.run(with_bus(bench, scenario()))
    assert rates[1] >= 0.95 * rates[0]


def test_a_command_waits_for_the_transaction_under_way_and_no_longer() -> None:
    bench = Bench(9_600)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        await bench.counted(1)
        longest_s = (8 + 205 + 8 + 25) * 11 / 9_600 + 2 * 0.005 + 3 * 0.0041
        for number in range(20):
            await asyncio.sleep(0.0373 * number)
            asked_s = loop.time()
            request = Request(1, 3, 0, 10)
            await bench.bus.transact(request, priority=Priority.COMMAND, within_s=1)
            assert loop.time() - asked_s <= longest_s + 0.005

    async def both() -> None:
        draining = asyncio.create_task(bench.counted(100))
        await scenario()
        draining.cancel()

    virtual_time.run(with_bus(bench, both()))


def test_a_line_that_comes_back_gives_values_within_two_seconds() -> None:
    bench = Bench(19_200)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for away_s in (0.05, 0.5, 5.0, 60.0):
            await bench.counted(3)
            bench.there = False
            bench.plugs[-1].close()
            await asyncio.sleep(0.01)
            request = Request(1, 3, 0, 1)
            with pytest.raises(PortLost):
                await bench.bus.transact(request, priority=Priority.COMMAND, within_s=1)
            await asyncio.sleep(away_s)
            assert not bench.bus.state().up
            bench.there = True
            plugged_s = loop.time()
            await bench.bus.next()  # that the line was lost
            assert await bench.first_good() - plugged_s <= 2.0

    virtual_time.run(with_bus(bench, scenario()))


def test_nobody_takes_and_polling_waits_while_commands_go_on() -> None:
    bench = Bench(115_200, words=1)

    async def scenario() -> None:
        await asyncio.sleep(5)
        polled = sum(bench.tally.requests.values())
        await asyncio.sleep(5)
        assert sum(bench.tally.requests.values()) == polled
        request = Request(3, 3, 0, 1)
        found = await bench.bus.transact(request, priority=Priority.COMMAND, within_s=1)
        assert list(found.words) == [3]
        assert len(await bench.bus.next()) == polled
        await bench.counted(1)
        assert sum(bench.tally.requests.values()) > polled + 10

    virtual_time.run(with_bus(bench, scenario()))


def test_a_unit_is_refused_to_other_masters_while_it_is_dead() -> None:
    bench = Bench(19_200, orders=parse(["dead=2"]))

    async def scenario() -> None:
        await bench.counted(5)
        before = bench.tally.requests[2]
        for priority, most in ((Priority.FOREIGN, 2), (Priority.COMMAND, 12)):
            for _ in range(10):
                with pytest.raises(NoAnswer):
                    await bench.bus.transact(Request(2, 3, 0, 1), priority=priority, within_s=9)
            assert most - 2 <= bench.tally.requests[2] - before <= most
        state = next(unit for unit in bench.bus.state().units if unit.unit == 2)
        assert (state.health, state.asset) == ("open", "unit-2")
        assert state.faults["no_answer"] > 1

    virtual_time.run(with_bus(bench, scenario()))


def test_a_refusal_reaches_whoever_asked() -> None:
    bench = Bench(19_200, orders=parse(["exception=1:4"]))

    async def scenario() -> None:
        with pytest.raises(Refused, match="exception 4"):
            await bench.bus.transact(Request(1, 3, 0, 1), priority=Priority.COMMAND, within_s=1)

    virtual_time.run(with_bus(bench, scenario()))


def test_plugging_a_hundred_times_leaks_no_descriptor(tmp_path: Path) -> None:
    link = tmp_path / "adapter"
    config = ModbusBus("bus", str(link), (ModbusDevice(1, "unit-1", REGISTERS[:1]),), "rtu", BAUD)

    async def main() -> None:
        opened = asyncio.Event()

        async def opening(config: ModbusBus) -> object:
            port = await open_port(config.port, config.baud, rs485=True)
            opened.set()
            return port

        bus = Bus(config, ManualClock(), Counters(), opening=opening)  # type: ignore[arg-type]
        before = held()
        for _ in itertools.repeat(None, 20):
            far, near = os.openpty()
            tty.setraw(near)
            link.unlink(missing_ok=True)
            link.symlink_to(os.ttyname(near))
            opened.clear()
            running = asyncio.create_task(bus.run())
            async with asyncio.timeout(60):
                await opened.wait()
            os.close(far)
            os.close(near)
            while not any("port_lost" in each.quality for each in await bus.next()):
                pass
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            bus._lost = False
        assert not leaked(before)

    asyncio.run(main())


def test_a_driver_that_knows_no_rs485_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    far, near = os.openpty()

    async def main() -> None:
        with caplog.at_level(logging.WARNING):
            (await open_port(os.ttyname(near), BAUD, "even", 2, rs485=True)).close()

    asyncio.run(main())
    os.close(far)
    os.close(near)
    assert "its driver can't switch RS-485" in caplog.text
