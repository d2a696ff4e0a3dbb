"""A technician at a line: who answers, what they are and say; what is told when nobody does."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pymodbus.simulator import SimDevice

from kerbline.cli import app
from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice, Register, load
from kerbline.config.modbus import Writable
from kerbline.config.profiles import Profiles
from kerbline.field.modbus import line, reading, scan, writing
from kerbline.field.modbus.likeness import Likeness
from kerbline.model import Value
from kerbline.ports import PortLost
from kerbline.sim.modbus import Tally, Trouble, faults, over_rtu, over_tcp
from kerbline.sim.modbus.devices import device
from kerbline.south.modbus.framing import Function, NoAnswer, Request
from kerbline.south.modbus.plan import Limits
from tests import steady

SHIPPED = Profiles()
NAMES = sorted(SHIPPED.names())
BAUD = 115_200
PIPE = asyncio.subprocess.PIPE


def made(name: str, *units: int, holes: bool = False) -> list[SimDevice]:
    profile, registers = SHIPPED.get(name)
    return [device(unit, registers, Clock(), limits=profile.limits, holes=holes) for unit in units]


def at_tcp(port: str) -> AbstractAsyncContextManager[line.Bench]:
    return line.bench(ModbusBus("bench", port, (), "tcp"))


def at_rtu(
    folder: Path,
    devices: Sequence[SimDevice],
    story: Callable[[line.Bench], Awaitable[None]],
    *orders: str,
) -> None:
    """A story at a bench on a pty with these devices."""

    async def main() -> None:
        trouble = Trouble(faults.parse(list(orders)))
        async with over_rtu(devices, folder / "bus", BAUD, trouble=trouble) as port:
            config = ModbusBus("bench", port, (), baud=BAUD)
            async with asyncio.timeout(60), line.bench(config) as bench:
                await story(bench)

    steady.run(main())


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_shipped_device_is_known_by_what_it_says(name: str, holes: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        tally = Tally()
        devices = made(name, 3, holes=holes)
        async with over_tcp(devices, tally=tally) as port, at_tcp(port) as bench:
            found = await scan.introduced(bench, 3, SHIPPED)
        assert found.likeness is not None
        assert found.likeness.profile == name
        assert tally.requests[3] <= 12 * len(NAMES)

    steady.run(main())


def test_a_device_of_another_kind_is_like_none() -> None:
    async def main() -> None:
        words = (Register("setpoint_c", 700, "int16", scale=0.1),)
        async with over_tcp([device(3, words, Clock())]) as port, at_tcp(port) as bench:
            assert (await scan.introduced(bench, 3, SHIPPED)).likeness is None

    steady.run(main())


def units(bench: line.Bench, first_s: float = scan.FIRST_S) -> Awaitable[list[int]]:
    async def found() -> list[int]:
        answering = scan.answering(bench, range(1, 8), first_s, lambda _: None)
        return [unit async for unit in answering]

    return found()


def test_units_are_found_fast_where_one_is_slow(tmp_path: Path) -> None:
    """It answers while the next is asked; the last one's answer comes after the last question."""

    async def story(bench: line.Bench) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert sorted(await units(bench)) == [2, 4, 6]
        assert loop.time() - began_s < 7 * scan.LAST_S

    at_rtu(tmp_path, made("eastron-sdm630", 2, 4, 6), story, "slow=4:0.15")


def test_where_all_are_slow_they_are_waited_for(tmp_path: Path) -> None:
    async def story(bench: line.Bench) -> None:
        assert await units(bench, 0.03) == [7]

    at_rtu(tmp_path, made("eastron-sdm630", 7), story, "slow=7:0.3")


def test_a_late_answer_is_no_other_registers(tmp_path: Path) -> None:
    """Two reads alike but for the address: the second waits until only its own can come."""

    async def story(bench: line.Bench) -> None:
        first = Request(2, Function.READ_INPUT_REGISTERS, 0, 2)
        with pytest.raises(NoAnswer):
            await bench.transact(first, 0.05)
        hertz = Register("frequency_hz", 70, "float32", "input")
        (told,) = await reading.read(bench, 2, [hertz], Limits(), 0.4)
        assert 45 < float(str(told.values["frequency_hz"])) < 55

    at_rtu(tmp_path, made("eastron-sdm630", 2), story, "slow=2:0.12")


def test_what_is_refused_together_is_read_alone(tmp_path: Path) -> None:
    registers = [
        reading.register_of(spec) for spec in ("input:0:float32", "input:9000", "input:70")
    ]

    async def story(bench: line.Bench) -> None:
        found = await reading.read(bench, 2, registers, Limits(max_gap=125, max_words=125))
        assert [each.fault for each in found] == ["", "illegal_address", ""]
        (volts,) = found[0].values.values()
        assert 200 < float(str(volts)) < 250

    at_rtu(tmp_path, made("eastron-sdm630", 2, holes=True), story)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("holding:1", Register("holding_1", 1)),
        ("coil:3", Register("coil_3", 3, "bool", "coil")),
        (
            "input:10:float32*3:low_first",
            Register("input_10", 10, "float32", "input", "low_first", count=3),
        ),
        ("holding:4:string*8", Register("holding_4", 4, "string", words=8)),
        ("holding", "write TABLE:ADDRESS:TYPE"),
        ("holding:70000", "the last is 65535"),
        ("holding:1:uint16*200", "one request has 1 to 125"),
        ("holding:1:float", "float is no type of holding; write one of bcd, bool, "),
        ("coil:1:uint16", "uint16 is no type of coil; write one of bool"),
    ],
)
def test_a_register_in_a_word(spec: str, said: Register | str) -> None:
    if isinstance(said, Register):
        assert reading.register_of(spec) == said
    else:
        with pytest.raises(reading.BadRegister, match=said):
            reading.register_of(spec)


PUMP = ModbusDevice(
    1,
    "pump",
    (
        Register("speed_hz", 0, "int16", scale=0.1, writable=Writable(0, 50)),
        Register("run", 1, "bool", bit=0, writable=Writable()),
        Register("steps", 2, count=2, writable=Writable()),
        Register("name", 4, "string", words=4, writable=Writable()),
    ),
)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["speed_hz=12.5", "run=on"], {"speed_hz": 12.5, "run": True}),
        (["speed_hz=0x10", "run=0"], {"speed_hz": 16, "run": False}),
        (["steps=1,2", "name=1"], {"steps": (1, 2), "name": "1"}),
        (["speed=1"], "speed: pump has no such register; to write to: speed_hz, run, steps, name"),
        (["speed_hz"], "speed_hz: write NAME=VALUE"),
        (["run=2"], "run=2: write true or false"),
        (["speed_hz=fast"], "speed_hz=fast: a number is expected"),
    ],
)
def test_values_in_words(words: list[str], values: dict[str, Value] | str) -> None:
    if isinstance(values, dict):
        assert writing.values_of(PUMP, words) == values
    else:
        with pytest.raises(writing.BadValue, match=values):
            writing.values_of(PUMP, words)


def test_written_at_the_line_itself(tmp_path: Path) -> None:
    """Judged and read back as the gateway does it."""
    _, registers = SHIPPED.get("danfoss-vlt-fc202")
    drive = ModbusDevice(2, "pump", registers)

    async def story(bench: line.Bench) -> None:
        assert await writing.write(bench, drive, {"bus_reference_pct": 50}, 5) == ""
        read = Request(2, Function.READ_HOLDING_REGISTERS, 50_009, 1)
        assert list((await bench.transact(read, 0.5)).words) == [0x2000]
        why = await writing.write(bench, drive, {"control_word": 7}, 5)
        assert why == "out_of_range: control_word: one of 1084 1148"

    at_rtu(tmp_path, made("danfoss-vlt-fc202", 2), story)


def test_what_a_scan_prints_is_a_config(tmp_path: Path) -> None:
    found = [
        scan.Found(7, 'Acme "P7"', None),
        scan.Found(3, "", Likeness("eastron-sdm630", "Eastron SDM630", 0.97)),
    ]
    bus = ModbusBus("bus-1", "/dev/ttyUSB0", (), baud=9_600, parity="even")
    text = "\n".join(scan.table(bus, found))
    assert tomllib.loads(text)["modbus"][0]["device"][0]["unit"] == 3
    config = tmp_path / "gw.toml"
    config.write_text(f'[gateway]\nid = "gw-1"\nstate_dir = "state"\n\n{text}\n')
    (loaded,) = load(config).buses
    assert (loaded.baud, loaded.parity, loaded.devices[0].asset) == (9_600, "even", "unit-3")
    assert '# Unit 7 answers, and no profile fits; it calls itself "Acme "P7""' in text


@pytest.mark.parametrize("text", ["0", "1-300", "a", "3-", "", "7-3"])
def test_units_that_can_not_be(text: str) -> None:
    with pytest.raises(scan.BadUnits, match="--units"):
        scan.units_of(text)
    assert scan.units_of("3,7,10-12,11") == [3, 7, 10, 11, 12]


# ---------------------------------------------------------------- what a person is told


def kerbline(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["modbus", *map(str, words)], standalone_mode=False)


def test_no_such_line(tmp_path: Path) -> None:
    for word in ("scan", "read"):
        more = ["--register", "holding:1"] if word == "read" else []
        result = kerbline(word, "--port", tmp_path / "ttyUSB7", *more)
        assert isinstance(result.exception, PortLost)
        assert "ttyUSB7: No such file or directory; lines here: " in str(result.exception)
        result = kerbline(word, "--port", "192.0.2.7:502", *more)
        remedy = (
            "192.0.2.7:502: No such file or directory; a connection is written socket://192.0.2"
        )
        assert remedy in str(result.exception)


def test_who_has_a_line_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with over_rtu([], tmp_path / "bus", BAUD) as port:
            opens = f"import serial; s = serial.Serial({port!r}, exclusive=True); print(1, flush=1)"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", f"{opens}; input()"), stdin=PIPE, stdout=PIPE
            )
            try:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"1\n"
                by = line.holder(port)
                assert by is not None
                with pytest.raises(line.InUse, match=r"in use by another program; it is \w+"):
                    async with line.bench(ModbusBus("bench", port, ())):
                        pass
            finally:
                process.kill()
                await process.wait()

    steady.run(main())


def test_a_gateway_is_known_by_its_command_line() -> None:
    by = line.Holder(0, "", ("/usr/bin/python3", "-m", "kerbline", "--debug", "run", "gw.toml"))
    assert by.config is None, "a process that is gone"
    mine = line.Holder(os.getpid(), "", by.words)
    assert mine.config == Path.cwd() / "gw.toml"
    assert line.Holder(os.getpid(), "", ("vim", "run", "gw.toml")).config is None


def test_when_nobody_answers_it_is_told_where_to_look() -> None:
    serial = ModbusBus("b", "/dev/ttyUSB0", (), baud=9_600)
    silent = "\n".join(line.remedies(serial))
    assert "are A and B" in silent
    assert "120 ohm" in silent
    garbled = "\n".join(line.remedies(serial, garbled=b"\xfe\x00", echoes=True))
    assert "no Modbus at 9600 baud, parity none: fe 00" in garbled
    assert "adapter echoes" in garbled
    assert "--framer tcp" in "\n".join(line.remedies(ModbusBus("b", "socket://h:502", ())))


def test_garbled_answers_are_told_apart_from_none(tmp_path: Path) -> None:
    async def story(bench: line.Bench) -> None:
        assert await units(bench) == []
        assert bench.garbled

    at_rtu(tmp_path, made("eastron-sdm630", 2), story, "crc=2")
