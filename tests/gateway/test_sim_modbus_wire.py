"""The simulated bus's parts: what faults do to frames, when bytes arrive, what is drawn."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from kerbline.clock import ManualClock
from kerbline.config import Register
from kerbline.ports import PortLost
from kerbline.sim import virtual_time
from kerbline.sim.modbus import adu, faults
from kerbline.sim.modbus.adu import Framing
from kerbline.sim.modbus.devices import Server, device
from kerbline.sim.modbus.faults import BadFault, Orders, Schedule, Unplug
from kerbline.sim.modbus.line_time import LineTime, Speed
from kerbline.sim.modbus.memory import MemoryPort
from kerbline.sim.modbus.wire import Tally, Trouble

FRAMINGS: tuple[Framing, ...] = ("rtu", "tcp")
REGISTERS = tuple(Register(f"unit_{number}", number) for number in range(10))
LONG_S = 10.0


def its_own(name: str, unit: int, _street_ms: int) -> float:
    """A value that says where it belongs: unit 3's register 2 is 302."""
    return 100 * unit + int(name.rpartition("_")[2])


def request(framing: Framing, unit: int, address: int, count: int = 1, tid: int = 0) -> bytes:
    body = struct.pack(">BBHH", unit, 3, address, count)
    return adu.sealed(body) if framing == "rtu" else struct.pack(">HHH", tid, 0, 6) + body


def answer(framing: Framing, unit: int, *words: int, tid: int = 0) -> bytes:
    body = struct.pack(f">BBB{len(words)}H", unit, 3, 2 * len(words), *words)
    if framing == "rtu":
        return adu.sealed(body)
    return struct.pack(">HHH", tid, 0, len(body)) + body


class Master:
    """Asks in virtual time and collects what comes within a time."""

    def __init__(self, framing: Framing, trouble: Trouble, units: int = 4) -> None:
        server = Server(
            [device(unit, REGISTERS, ManualClock(), its_own) for unit in range(1, units + 1)],
            framing,
        )
        self.framing = framing
        self.tally = Tally()
        self.port = MemoryPort(server, trouble, self.tally)

    async def heard(self, within_s: float) -> bytes:
        data = b""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    data += await self.port.read()
        except TimeoutError:
            return data

    async def ask(self, unit: int, address: int, within_s: float = 0.1, tid: int = 0) -> bytes:
        self.port.write(request(self.framing, unit, address, tid=tid))
        return await self.heard(within_s)


def ran(framing: Framing, trouble: Trouble, scenario: Callable[[Master], Awaitable[None]]) -> Tally:
    """A scenario in virtual time; what the bus carried."""

    async def main() -> Tally:
        master = Master(framing, trouble)
        await scenario(master)
        master.port.close()
        return master.tally

    return virtual_time.run(main())


def ordered(*words: str) -> Trouble:
    return Trouble(faults.parse(words))


@pytest.mark.parametrize("framing", FRAMINGS)
def test_without_trouble_each_unit_answers_for_itself(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        for unit in (1, 2, 3, 4):
            assert await master.ask(unit, 2) == answer(framing, unit, 100 * unit + 2)
        assert await master.ask(5, 2) == b""

    tally = ran(framing, Trouble(), scenario)
    assert dict(tally.requests) == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    assert dict(tally.answers) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_dead_are_silent_and_the_others_are_not(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        assert await master.ask(2, 0, LONG_S) == b""
        assert await master.ask(1, 0) == answer(framing, 1, 100)

    assert ran(framing, ordered("dead=2,3"), scenario).faults == {"dead": 1}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_slow_answer_after_their_time(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        assert await master.ask(2, 0, 0.39) == b""
        assert await master.heard(0.02) == answer(framing, 2, 200)

    ran(framing, ordered("slow=2:0.4"), scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_wrong_checksum_differs_in_one_bit(framing: Framing) -> None:
    good = answer(framing, 2, 200)

    async def scenario(master: Master) -> None:
        bad = await master.ask(2, 0)
        turned = int.from_bytes(bad, "big") ^ int.from_bytes(good, "big")
        assert len(bad) == len(good) and turned.bit_count() == 1
        if framing == "rtu":
            assert adu.sealed(bad[:-2]) != bad
        else:
            assert bad[2:4] != b"\0\0"

    ran(framing, ordered("crc=2"), scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_wrong_unit_is_another_of_the_bus_and_well_formed(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        other = adu.unit(bad := await master.ask(2, 0), framing)
        assert other in {1, 3, 4}
        assert bad == answer(framing, other, 200)

    ran(framing, ordered("wrong-unit=2"), scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_exception_takes_the_answers_place(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        bad = await master.ask(2, 0, tid=77)
        if framing == "rtu":
            assert bad == adu.sealed(b"\x02\x83\x06")
        else:
            assert bad == b"\x00\x4d\x00\x00\x00\x03\x02\x83\x06"

    ran(framing, ordered("exception=2:6"), scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_truncated_answer_is_a_beginning(framing: Framing) -> None:
    good = answer(framing, 2, 200)

    async def scenario(master: Master) -> None:
        for _ in range(20):
            bad = await master.ask(2, 0)
            assert 0 < len(bad) < len(good) and good.startswith(bad)

    ran(framing, ordered("truncated=2"), scenario)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_late_answer_comes_before_that_to_the_next_request(framing: Framing) -> None:
    async def scenario(master: Master) -> None:
        assert await master.ask(2, 0, 0.2, tid=1) == b""
        assert await master.ask(1, 5, 0.05, tid=2) == answer(framing, 1, 105, tid=2)
        assert await master.ask(2, 3, 0.01, tid=3) == answer(framing, 2, 200, tid=1)
        assert await master.heard(0.28) == b""
        assert await master.heard(0.02) == answer(framing, 2, 203, tid=3)  # asked no more

    ran(framing, ordered("late=2:0.3"), scenario)


def test_an_echoing_adapter_gives_back_what_was_written() -> None:
    async def scenario(master: Master) -> None:
        heard = await master.ask(2, 0)
        assert heard == request("rtu", 2, 0) + answer("rtu", 2, 200)

    ran("rtu", ordered("echo"), scenario)


def test_faults_of_one_unit_add_up_and_strike_with_their_chance() -> None:
    async def scenario(master: Master) -> None:
        for _ in range(200):
            await master.ask(2, 0, 0.2)
            await master.ask(1, 0, 0.2)

    tally = ran("rtu", ordered("slow=2:0.1 crc=2:0.25"), scenario)
    assert tally.faults["slow"] == 200
    assert 30 <= tally.faults["crc"] <= 70


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_run_is_the_same_for_the_same_seed(framing: Framing) -> None:
    def heard(seed: int) -> list[bytes]:
        found: list[bytes] = []

        async def scenario(master: Master) -> None:
            for number in range(150):
                found.append(await master.ask(number % 4 + 1, number % 10, 0.2))

        ran(framing, Trouble(schedule=Schedule(seed, 0.5), seed=seed), scenario)
        return found

    assert heard(7) == heard(7)
    assert heard(7) != heard(8)


def test_a_pipeline_is_answered_in_order_and_whole() -> None:
    async def scenario(master: Master) -> None:
        wanted = [(number % 4 + 1, number % 10, number) for number in range(16)]
        master.port.write(b"".join(request("tcp", u, a, tid=tid) for u, a, tid in wanted))
        expected = b"".join(answer("tcp", u, 100 * u + a, tid=tid) for u, a, tid in wanted)
        assert await master.heard(0.1) == expected

    ran("tcp", Trouble(), scenario)


def test_noise_before_a_request_is_forgotten_with_the_pause_after_it() -> None:
    async def scenario(master: Master) -> None:
        master.port.write(b"\xff\x00\x12")
        assert await master.heard(1.0) == b""
        assert await master.ask(1, 0) == answer("rtu", 1, 100)

    ran("rtu", Trouble(), scenario)


# ---------------------------------------------------------------- the line's time


@pytest.mark.parametrize("baud", [9_600, 19_200, 115_200])
def test_bytes_arrive_when_their_last_bit_would_have(baud: int) -> None:
    speed = Speed(baud, turn_round_s=0.005)
    character_s = 11 / baud
    count = 2 * 10 + 5
    first_s = 8 * character_s + 0.005 + 16 * character_s

    async def scenario(master: Master) -> None:
        loop = asyncio.get_running_loop()
        master.port.write(request("rtu", 1, 0, 10))
        first = await master.port.read()
        assert len(first) == 16
        assert loop.time() == pytest.approx(first_s)
        rest = await master.port.read()
        assert loop.time() == pytest.approx(first_s + (count - 16) * character_s)
        assert first + rest == answer("rtu", 1, *range(100, 110))

    tally = ran("rtu", Trouble(speed=speed), scenario)
    assert sum(tally.answers.values()) == 1


def test_the_silence_is_three_and_a_half_characters_or_1_75_ms() -> None:
    assert Speed(9_600).silence_s == pytest.approx(3.5 * 11 / 9_600)
    assert Speed(19_200).silence_s == pytest.approx(3.5 * 11 / 19_200)
    assert Speed(115_200).silence_s == 0.00175
    assert Speed(9_600, 0.001).answer_after_s == Speed(9_600).silence_s  # no device is quicker
    assert Speed(9_600, 0.01).answer_after_s == 0.01


def test_a_back_to_back_master_keeps_the_line_busy_all_the_time() -> None:
    line = LineTime(Speed(9_600, 0.01))
    now = 0.0
    for _ in range(50):
        line.request(now, 8)
        *_, (now, _) = line.answer(now, 205)
        now += line.speed.silence_s
    assert line.busy_s == pytest.approx(now)
    assert (line.silences_broken, line.collisions) == (0, 0)


def test_who_begins_too_early_breaks_the_silence_and_who_talks_into_an_answer_spoils_both() -> None:
    line = LineTime(Speed(9_600))
    line.request(0.0, 8)
    *_, (end, _) = line.answer(0.0, 8)
    asked = line.request(end + 0.5 * line.speed.silence_s, 8)
    assert (line.silences_broken, line.collisions) == (1, 0)
    line.request(asked, 1)  # the same frame goes on
    assert line.silences_broken == 1

    async def scenario(master: Master) -> None:
        master.port.write(request("rtu", 1, 0, 10))
        await asyncio.sleep(0.025)  # the answer is on the line
        master.port.write(request("rtu", 2, 0))
        heard = await master.heard(1.0)
        assert heard != answer("rtu", 1, *range(100, 110))
        assert len(heard) == 25  # unit 2 heard no request

    ran("rtu", Trouble(speed=Speed(9_600)), scenario)


# ---------------------------------------------------------------- orders and schedules


def test_orders_are_read() -> None:
    orders = faults.parse(["dead=3,7 slow=2:0.4", "crc=5:0.1", "exception=10-12:6:0.5", "late"])
    assert [(each.name, each.amount, each.chance) for each in orders.faults] == [
        ("dead", 0.0, 1.0),
        ("slow", 0.4, 1.0),
        ("crc", 0.0, 0.1),
        ("exception", 6.0, 0.5),
        ("late", 0.3, 1.0),
    ]
    assert [sorted(each.units)[:3] for each in orders.faults][:4] == [
        [3, 7],
        [2],
        [5],
        [10, 11, 12],
    ]
    assert len(orders.faults[4].units) == 247
    assert faults.parse(["echo", "unplug=10:2"]) == Orders((), True, Unplug(10, 2))


@pytest.mark.parametrize(
    "word",
    [
        *("deaf=3", "dead=0", "dead=300", "dead=x", "dead=9-3", "slow=2:fast", "slow=2:-1"),
        *("crc=2:1.5", "crc=2:0.1:3", "exception=2:0", "exception=2:256"),
        *("unplug=5", "unplug=0:1"),
    ],
)
def test_a_wrong_order_is_told_with_its_remedy(word: str) -> None:
    with pytest.raises(BadFault) as raised:
        faults.parse([word])
    assert f"--fault {word}: " in str(raised.value)
    assert "write " in str(raised.value) or "known: dead" in str(raised.value)


def test_a_schedule_has_its_share_of_every_fault_and_units_of_their_own() -> None:
    schedule = Schedule(seed=3, share=0.3)
    times = [number / 4 for number in range(40_000)]
    drawn = [schedule.at(1, now) for now in times]
    ill = [fault for fault in drawn if fault is not None]
    assert len(ill) / len(drawn) == pytest.approx(0.3, abs=0.03)
    assert {fault.name for fault in ill} == set(faults.FORMS)
    assert drawn != [schedule.at(2, now) for now in times]
    assert any(before != after for before, after in pairwise(drawn))


def test_a_schedule_goes_on_through_new_connections() -> None:
    whole, parted = Schedule(seed=5, share=0.5), Schedule(seed=5, share=0.5)
    began_s = 25_000.0  # a loop's clock, since the machine's start
    drawn = [whole.at(1, number / 2) for number in range(400)]
    assert [parted.at(1, began_s + number / 2) for number in range(400)] == drawn

    async def main() -> Tally:
        trouble, tally = Trouble(schedule=Schedule(seed=5, share=0.5)), Tally()
        server = Server([device(1, REGISTERS, ManualClock(), its_own)], "rtu")
        for _ in range(400):
            port = MemoryPort(server, trouble, tally)
            port.write(request("rtu", 1, 0))
            await asyncio.sleep(0.5)
            port.close()
        return tally

    tally = virtual_time.run(main())
    assert len(tally.faults) >= 5  # not one episode for ever


def test_a_pulled_wire_is_told_to_who_reads() -> None:
    async def scenario(master: Master) -> None:
        reading = asyncio.ensure_future(master.port.read())
        await asyncio.sleep(0)
        master.port.close()
        with pytest.raises(PortLost):
            await reading

    ran("rtu", Trouble(), scenario)
