"""The simulated devices: what their registers show and take, and the process that serves them."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from kerbline.clock import ManualClock
from kerbline.config import Register
from kerbline.config.modbus import Writable
from kerbline.config.profiles import DeviceLimits
from kerbline.ports import PortLost, open_port, open_when_there
from kerbline.sim import modbus as sim
from kerbline.sim.modbus import adu, devices, registers, values
from kerbline.sim.modbus.cabinet import DAY_MS, LAMP_W, LAMPS, POWER_W, Cabinet
from tests import steady

NIGHT_MS = 20_000 * DAY_MS + 22 * 3_600_000
QUARTER_MS = 900_000
LONG_S = 60.0
IMPORT_KWH = 72  # input register of an Eastron SDM630, and of the cabinet's profile

OLD_WAY = ("-m", "kerbline.sim.modbus")
COMMAND = ("-m", "kerbline", "sim", "modbus")

PROFILE = """
[profile]
name = "meter"
title = "A meter of this test"
maker = "Nobody"
models = ["One"]
manual = {title = "None", edition = "1", table = "1"}

[[register]]
name = "voltage_v"
address = 0
type = "float32"
table = "input"

[[register]]
name = "energy_kwh"
address = 10
type = "uint32"
scale = 0.1

[[register]]
name = "level_pct"
address = 20
count = 3
writable = {min = 0, max = 100}

[[register]]
name = "fault"
address = 40
type = "bool"
bit = 3

[[register]]
name = "relay"
address = 17
table = "coil"
type = "bool"
count = 4
writable = {}

[[register]]
name = "door"
address = 5
table = "discrete"
type = "bool"
"""


# ---------------------------------------------------------------- values


def test_the_lamps_burn_at_night_only() -> None:
    cabinet = Cabinet()
    assert cabinet.load_w(NIGHT_MS) > LAMPS * LAMP_W
    assert cabinet.load_w(NIGHT_MS + DAY_MS // 2) < 100


def test_the_cabinets_counter_never_runs_back_and_grows_by_the_load() -> None:
    cabinet = Cabinet()
    counts = [cabinet.energy_kwh(NIGHT_MS + n * QUARTER_MS) for n in range(200)]
    for number, (before, after) in enumerate(itertools.pairwise(counts)):
        load_kw = cabinet.load_w(NIGHT_MS + number * QUARTER_MS + QUARTER_MS // 2) / 1000
        assert after - before == pytest.approx(load_kw / 4, rel=0.02)


@pytest.mark.parametrize("word", sorted(values.COUNTS))
def test_what_counts_only_rises(word: str) -> None:
    counts = [values.value(f"a_{word}", 7, NIGHT_MS + n * QUARTER_MS) for n in range(500)]
    assert all(before < after for before, after in itertools.pairwise(counts))


@pytest.mark.parametrize("word", sorted(values.WANDERS))
def test_what_wanders_moves_and_stays_near_its_middle(word: str) -> None:
    middle, reach = values.WANDERS[word]
    seen = [values.value(f"a_{word}", 7, NIGHT_MS + n * QUARTER_MS) for n in range(500)]
    assert max(abs(each - middle) for each in seen) <= reach
    assert max(seen) - min(seen) > reach / 2
    near = values.value(f"a_{word}", 7, NIGHT_MS + 1_000)
    assert abs(near - seen[0]) < reach / 5  # within a second it does not jump


def test_units_and_registers_differ_and_states_change() -> None:
    assert values.value("a_v", 1, NIGHT_MS) != values.value("a_v", 2, NIGHT_MS)
    assert values.value("a_v", 1, NIGHT_MS) != values.value("b_v", 1, NIGHT_MS)
    states = {values.value("door", 1, NIGHT_MS + n * QUARTER_MS) for n in range(50)}
    assert states == {0.0, 1.0}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        (Register("a", 0), 300, [300]),
        (Register("a", 0), -5, [0]),  # cut to the range
        (Register("a", 0), 70_000, [65_535]),
        (Register("a", 0, "int16", scale=0.1), -12.3, [0x10000 - 123]),
        (Register("a", 0, scale=0.5, offset=-40.0), 21.5, [123]),
        (Register("a", 0, "uint32"), 0x1234_5678, [0x1234, 0x5678]),
        (Register("a", 0, "uint32", word_order="low_first"), 0x1234_5678, [0x5678, 0x1234]),
        (Register("a", 0, "uint32", byte_order="low_first"), 0x1234_5678, [0x3412, 0x7856]),
        (Register("a", 0, "int64"), -2, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE]),
        (Register("a", 0, "float32"), 230.5, [0x4366, 0x8000]),
        (Register("a", 0, "float64"), 1.0, [0x3FF0, 0, 0, 0]),
        (Register("a", 0, "bcd", words=2), 1_234_567, [0x0123, 0x4567]),
        (Register("a", 0, "string", words=2), 123, [0x3132, 0x3300]),
        (Register("a", 0, "bool", bit=3), 1, [8]),
        (Register("a", 0, "int16", invalid=(0x7FFF,)), 1e9, [0x7FFE]),  # no "no value" by chance
        (Register("a", 0, table="coil"), 1, [1]),
    ],
)
def test_a_value_has_the_words_that_its_register_says(
    register: Register, value: float, words: Sequence[int]
) -> None:
    assert list(registers.words_of(register, value)) == words


# ---------------------------------------------------------------- devices


@asynccontextmanager
async def asked(*units: Register, holes: bool = False) -> AsyncIterator[AsyncModbusTcpClient]:
    """A client of pymodbus at unit 1."""
    device = devices.device(1, units, ManualClock(NIGHT_MS), holes=holes)
    async with sim.over_tcp([device]) as address:
        client = AsyncModbusTcpClient("127.0.0.1", port=int(address.rpartition(":")[2]))
        assert await client.connect()
        try:
            yield client
        finally:
            client.close()


def test_gaps_read_as_nothing_or_are_illegal() -> None:
    cells = (Register("a_v", 10), Register("b_v", 20))

    async def main() -> None:
        for holes in (False, True):
            async with asked(*cells, holes=holes) as client:
                over = await client.read_holding_registers(10, count=11, device_id=1)
                beyond = await client.read_holding_registers(10, count=12, device_id=1)
            assert beyond.exception_code == 2
            if holes:
                assert over.exception_code == 2
            else:
                assert over.registers[1:10] == [0] * 9
                assert over.registers[0] == round(values.value("a_v", 1, NIGHT_MS))

    steady.run(main())


def test_a_writable_register_takes_what_it_may_and_keeps_it() -> None:
    level = Register("level_pct", 20, count=2, writable=Writable(0, 100))
    mode = Register("mode_a", 22, writable=Writable(values=(1, 4)))
    wide = Register("limit_w", 23, "uint32", writable=Writable(0, 100_000))
    fixed = Register("power_w", 25)

    async def main() -> None:
        async with asked(level, mode, wide, fixed) as client:

            async def code(address: int, *words: int) -> int:
                written = await client.write_registers(address, list(words), device_id=1)
                return written.exception_code if written.isError() else 0

            assert await code(21, 55) == 0
            assert await code(21, 155) == 3
            assert await code(22, 4) == 0
            assert await code(22, 2) == 3
            assert await code(23, 1, 0) == 0
            assert await code(23, 0xFFFF, 0) == 3
            assert await code(25, 7) == 2
            assert await code(24, 0, 7) == 2  # in part
            shown = await client.read_holding_registers(20, count=6, device_id=1)
        power = round(values.value("power_w", 1, NIGHT_MS))
        assert shown.registers[1:] == [55, 4, 1, 0, power]
        assert shown.registers[0] == round(values.value("level_pct_0", 1, NIGHT_MS))

    steady.run(main())


def test_a_device_refuses_what_its_profile_says_it_cannot() -> None:
    level = Register("level_pct", 0, count=10, writable=Writable(0, 100))
    limits = DeviceLimits(max_words=4, write="single")
    unit = devices.device(1, [level], ManualClock(NIGHT_MS), values.value, limits)

    async def main() -> None:
        async with sim.over_tcp([unit]) as address:
            client = AsyncModbusTcpClient("127.0.0.1", port=int(address.rpartition(":")[2]))
            await client.connect()
            assert not (await client.read_holding_registers(0, count=4, device_id=1)).isError()
            many = await client.read_holding_registers(0, count=5, device_id=1)
            assert many.exception_code == 3
            assert not (await client.write_register(0, 5, device_id=1)).isError()
            assert (await client.write_registers(0, [5], device_id=1)).exception_code == 1
            client.close()

    steady.run(main())


def test_bits_are_addressed_one_by_one() -> None:
    relay = Register("relay", 17, table="coil", count=4, writable=Writable())
    door = Register("door", 5, table="discrete")
    flags = [Register(f"flag_{n}", 40, "bool", bit=n) for n in (0, 3)]

    async def main() -> None:
        async with asked(relay, door, *flags) as client:
            await client.write_coil(18, True, device_id=1)
            await client.write_coils(19, [False, True], device_id=1)
            shown = await client.read_coils(17, count=4, device_id=1)
            assert shown.bits[1:4] == [True, False, True]
            assert shown.bits[0] == bool(values.value("relay_0", 1, NIGHT_MS))
            inputs = await client.read_discrete_inputs(5, count=1, device_id=1)
            assert inputs.bits[0] == bool(values.value("door", 1, NIGHT_MS))
            (word,) = (await client.read_holding_registers(40, count=1, device_id=1)).registers
            assert word & 1 == values.value("flag_0", 1, NIGHT_MS)
            assert word >> 3 & 1 == values.value("flag_3", 1, NIGHT_MS)
            assert word & ~0b1001 == 0

    steady.run(main())


# ---------------------------------------------------------------- processes


@contextmanager
def served(*words: str, way: Sequence[str] = OLD_WAY) -> Iterator[str]:
    """A simulator in a process of its own; gives its address."""
    command = [sys.executable, *way, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, address = process.stdout.readline().split()
            assert ready == "ready"
            yield address
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONG_S) == 0
        finally:
            process.kill()


def read(unit: int, function: int, address: int, count: int) -> bytes:
    return struct.pack(">BBHH", unit, function, address, count)


async def spoken(address: str, frame: bytes, length: int, within_s: float = LONG_S) -> bytes:
    """What `length` bytes come back, or fewer within a time."""
    port = await open_port(address, 19_200)
    data = b""
    try:
        port.write(frame)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(data) < length:
                    data += await port.read()
    finally:
        port.close()
    return data


def over_tcp(address: str, body: bytes, length: int, within_s: float = LONG_S) -> bytes:
    frame = struct.pack(">HHH", 1, 0, len(body)) + body
    return asyncio.run(spoken(address, frame, 6 + length, within_s))[6:]


def over_rtu(address: str, body: bytes, length: int, within_s: float = LONG_S) -> bytes:
    return asyncio.run(spoken(address, adu.sealed(body), length + 2, within_s))[:-2]


def floats(data: bytes) -> float:
    (value,) = struct.unpack(">f", data[3:])
    assert isinstance(value, float)
    return value


def test_it_serves_tcp_and_knows_its_units() -> None:
    with served("--tcp", "0", "--unit", "3", "--unit", "4") as address:
        for unit in (3, 4):
            assert floats(over_tcp(address, read(unit, 4, POWER_W, 2), 7)) > 0
        frames = [
            struct.pack(">HHH", number, 0, 6) + read(unit, 4, POWER_W, 2)
            for number, unit in ((1, 5), (2, 3))
        ]
        told = asyncio.run(spoken(address, b"".join(frames), 13))
        assert struct.unpack(">HHHB", told[:7]) == (2, 0, 7, 3), "of the first nothing came"


def test_it_serves_rtu_on_a_pty_in_street_time(tmp_path: Path) -> None:
    link, table = tmp_path / "cabinet", tmp_path / "clock.json"
    table.write_text(json.dumps([[0, 0, 1], [1, NIGHT_MS, 1e-6]]))  # it stays night
    with served("--pty", str(link), "--clock-table", str(table)) as address:
        assert address == str(link)
        assert floats(over_rtu(address, read(1, 4, POWER_W, 2), 7)) > LAMPS * LAMP_W
        energy = floats(over_rtu(address, read(1, 4, IMPORT_KWH, 2), 7))
        assert energy == pytest.approx(Cabinet().energy_kwh(NIGHT_MS), abs=2)  # in half an hour
    assert not link.is_symlink()


def test_it_serves_a_profile_with_faults_and_line_time_and_reports(tmp_path: Path) -> None:
    profile, link, report = tmp_path / "meter.toml", tmp_path / "bus", tmp_path / "report.json"
    profile.write_text(PROFILE)
    speed = ("--baud", "19200", "--turn-round-ms", "5", "--report", str(report))
    words = (str(profile), "--units", "50", "--pty", str(link), *speed, "--fault", "dead=3")
    with served(*words, way=COMMAND) as address:
        assert 200 < floats(over_rtu(address, read(50, 4, 0, 2), 7)) < 260
        assert over_rtu(address, read(3, 4, 0, 2), 7, within_s=0.1) == b""
    told = json.loads(report.read_text())
    assert (told["requests"], told["answers"]) == ({"3": 1, "50": 1}, {"50": 1})
    assert told["faults"] == {"dead": 1}
    character_s = 11 / 19_200
    answered_s = (8 + 9 + 3.5) * character_s + 0.005
    assert told["busy_s"] == pytest.approx(answered_s + 8 * character_s + 0.005, abs=1e-5)


def test_it_serves_rtu_over_tcp() -> None:
    with served("--rtu-tcp", "0") as address:
        assert floats(over_rtu(address, read(1, 4, POWER_W, 2), 7)) > 0


def test_what_is_unplugged_hangs_up_and_comes_back(tmp_path: Path) -> None:
    link = tmp_path / "bus"
    orders = sim.Orders(unplug=sim.Unplug(0.4, 0.05))
    cabinet = sim.device(1, ManualClock(NIGHT_MS), Cabinet())

    async def main() -> None:
        tally = sim.Tally()
        async with sim.over_rtu([cabinet], link, trouble=sim.Trouble(orders), tally=tally):
            port = await open_port(str(link))
            with pytest.raises(PortLost):
                await port.read()
            assert not link.exists()
            port = await open_when_there(str(link))
            port.write(adu.sealed(read(1, 4, POWER_W, 2)))
            assert len(await port.read()) > 0
            port.close()
        assert tally.unplugged >= 1
        assert not link.is_symlink()

    steady.run(main())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing", "--tcp", "0"), "no profile is called so"),
        (("--tcp", "0", "--units", "300"), "--units 300"),
        (("--tcp", "0", "--fault", "deaf"), "known: dead, slow"),
        (("--tcp", "0", "--chaos", "x"), "write SEED or SEED:SHARE"),
        (("--tcp", "nowhere.invalid:1"), ""),
        (("--tcp", "here"), "here: no address of TCP; write HOST:PORT"),
        (("--pty", "/"), "is there and no link"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(words: Sequence[str], said: str) -> None:
    command = [sys.executable, *COMMAND, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "a fault of ours" not in done.stderr


def test_the_module_says_it_too() -> None:
    command = [sys.executable, *OLD_WAY, "nothing", "--tcp", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 2
    assert "no profile is called so" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_asks_where() -> None:
    command = [sys.executable, *COMMAND]
    for words in ((), ("--port", "0", "--pty", "bus")):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "--port, --tcp, --rtu-tcp and --pty" in done.stderr
