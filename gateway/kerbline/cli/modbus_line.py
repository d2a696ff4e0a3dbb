"""`kerbline modbus scan`, `read`, `write`: at a line itself, or through its gateway."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.config import Config, ModbusBus, ModbusDevice, Register
    from kerbline.config.profiles import Profiles
    from kerbline.field.modbus.line import Bench, Master
    from kerbline.field.modbus.reading import Told
    from kerbline.field.modbus.scan import Found
    from kerbline.model import Value

NAME = "bus-1"  # of a bus that no config names
ANSWER_S = 15.0  # the gateway answers so much later than an order's time at most
_FILE = click.Path(path_type=Path)
_BAUDS = click.Choice(
    ["1200", "2400", "4800", "9600", "19200", "38400", "57600", "115200", "230400"]
)


class Failed(KerblineError):
    """It did not come to what was asked; the text says why and what to do."""


def _options(command: Callable[..., int]) -> Callable[..., int]:
    """What describes a line on the command line."""
    for option in (
        click.option("--port", metavar="PORT", help="/dev/ttyUSB0 or socket://host:port"),
        click.option("--framer", type=click.Choice(["rtu", "tcp"]), default="rtu"),
        click.option("--baud", type=_BAUDS, default="9600", show_default=True),
        click.option("--parity", type=click.Choice(["none", "even", "odd"]), default="none"),
        click.option("--stop-bits", type=click.Choice(["1", "2"]), default="1"),
        click.option("--profiles", "folder", type=_FILE, help="A folder of your own profiles."),
    ):
        command = option(command)
    return command


def _bus(port: str, framer: str, baud: str, parity: str, stop_bits: str) -> ModbusBus:
    from kerbline.config import ModbusBus

    line = {"baud": int(baud), "parity": parity, "stop_bits": int(stop_bits)}
    return ModbusBus(NAME, port, (), framer, **line)  # type: ignore[arg-type]


# ---------------------------------------------------------------- read


@click.command()
@click.argument("words", nargs=-1, metavar="[CONFIG ASSET [NAME]...]")
@_options
@click.option("--unit", type=click.IntRange(1, 255), default=1, show_default=True)
@click.option("--profile", help="Read all that this profile has, by name or file.")
@click.option("--register", "specs", multiple=True, help="holding:100:uint16; repeatable")
def read(
    words: tuple[str, ...],
    port: str | None,
    framer: str,
    baud: str,
    parity: str,
    stop_bits: str,
    folder: Path | None,
    unit: int,
    profile: str | None,
    specs: tuple[str, ...],
) -> int:
    """Read a unit once: an ASSET of a CONFIG, or any unit at a --port.

    While the config's gateway runs, it does the reading.
    """
    from kerbline.field.modbus.line import master

    if port is None:
        config, device, bus = _device(words)
        registers = _chosen(device, words[2:])
        name = f"{device.asset}, unit {device.unit}"
        return asyncio.run(_read_asset(config, bus, device, registers, name))
    if words or bool(profile) == bool(specs):
        raise click.UsageError("with --port give --profile or --register, and no CONFIG")
    line = _bus(port, framer, baud, parity, stop_bits)
    device = _described(folder, unit, profile, specs)

    async def main() -> int:
        async with master(line, _say, urgent=True) as asked:
            return await _told(asked, device, device.registers, f"unit {unit}", line)

    return asyncio.run(main())


def _described(
    folder: Path | None, unit: int, profile: str | None, specs: Sequence[str]
) -> ModbusDevice:
    """The device that the options describe."""
    from kerbline.config import ModbusDevice
    from kerbline.config.profiles import Profiles
    from kerbline.field.modbus.reading import register_of

    if profile is None:
        return ModbusDevice(unit, "unit", tuple(map(register_of, specs)))
    about, registers = Profiles(folder).get(profile)
    limits = about.limits
    return ModbusDevice(
        unit,
        "unit",
        registers,
        max_words=limits.max_words,
        max_bits=limits.max_bits,
        max_gap=limits.max_gap,
        write=limits.write,
    )


async def _read_asset(
    config: Config,
    bus: ModbusBus,
    device: ModbusDevice,
    registers: Sequence[Register],
    name: str,
) -> int:
    from kerbline.field.modbus.line import Through, bench

    if _runs(config):
        click.echo(f"through the gateway {config.gateway.id}", err=True)
        through = Through(_socket(config), bus)
        return await _told(through, device, registers, name, bus)
    click.echo(f"no gateway of this config runs: at {bus.port} itself", err=True)
    async with bench(bus) as open_line:
        return await _told(open_line, device, registers, name, bus)


async def _told(
    master: Master,
    device: ModbusDevice,
    registers: Sequence[Register],
    name: str,
    bus: ModbusBus,
) -> int:
    """Print each register; status 1 if one of them has no value."""
    from kerbline.field.modbus import reading
    from kerbline.south.modbus.framing import BusFault
    from kerbline.south.modbus.plan import Limits

    limits = Limits(device.max_words, device.max_bits, device.max_gap)
    try:
        found = await reading.read(master, device.unit, registers, limits)
    except BusFault as fault:
        _nobody(f"{name}: {fault.code}", bus, master)
    for line in _rows(found):
        click.echo(line)
    return int(any(each.fault for each in found))


def _rows(found: Sequence[Told]) -> list[str]:
    """Name, value or fault, and place of each, in columns."""
    from kerbline.field.modbus.line import explained

    rows = []
    for each in found:
        place = f"{each.register.table} {each.register.address}"
        for name, value in each.values.items():
            rows.append((name, _shown(value), place))
        if each.fault:
            why = explained(each.fault)
            rows.append((each.register.name, each.fault, f"{place}{why and ': ' + why}"))
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"{name:{wide[0]}}  {value:>{wide[1]}}  {place}" for name, value, place in rows]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- write


@click.command()
@click.argument("config", type=_FILE)
@click.argument("asset")
@click.argument("words", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--within", type=click.FloatRange(0.1, 300), default=10.0, show_default=True)
@click.option("--direct", is_flag=True, help="While no gateway runs: at the line itself.")
def write(config: Path, asset: str, words: tuple[str, ...], within: float, *, direct: bool) -> int:
    """Write registers of an ASSET in their order and read each back; status 1 unless all is OK.

    The gateway does it as it does any command, of the source operator/cli.
    """
    from kerbline.field.modbus.writing import values_of
    from kerbline.local_socket import ask

    loaded, device, bus = _device((str(config), asset))
    values = values_of(device, words)
    if not _runs(loaded):
        if not direct:
            raise Failed(
                f"no gateway of {config} runs, and only it keeps the book of commands; start it, or"
                " write at the line itself with --direct"
            )
        click.echo(f"no gateway runs: at {bus.port} itself, in no book of commands", err=True)
        reason = asyncio.run(_write_direct(bus, device, values, within))
        click.echo(f"{asset}: {'not written: ' + reason if reason else 'OK'}")
        return int(bool(reason))
    if direct:
        click.echo("a gateway runs, so it writes", err=True)
    question = {"ask": "modbus-write", "asset": asset, "values": values, "within_s": within}
    answer = ask(_socket(loaded), question, within + ANSWER_S)
    state, reason = answer["state"], answer["reason"]
    if reason and reason != state.lower():
        state = f"{state}: {reason}"
    click.echo(f"{asset}: {state} (order {answer['id']})")
    return int(state != "OK")


async def _write_direct(
    bus: ModbusBus, device: ModbusDevice, values: Mapping[str, Value], within_s: float
) -> str:
    from kerbline.field.modbus import writing
    from kerbline.field.modbus.line import bench

    async with bench(bus) as open_line:
        return await writing.write(open_line, device, values, within_s)


# ---------------------------------------------------------------- scan


@click.command()
@_options
@click.option("--all-bauds", is_flag=True, help="Try the usual speeds and parities in turn.")
@click.option("--units", default="1-247", show_default=True, help="1-247, 3,7 or 10-19")
@click.option("--timeout", type=click.FloatRange(0.02, 10), help="Seconds; else 0.1, then 0.5.")
def scan(
    port: str | None,
    framer: str,
    baud: str,
    parity: str,
    stop_bits: str,
    folder: Path | None,
    units: str,
    timeout: float | None,
    *,
    all_bauds: bool,
) -> int:
    """Find the units on a line and print a table for a config. Never writes to them."""
    from kerbline.config.profiles import Profiles
    from kerbline.field.modbus import scan as scanning

    if port is None:
        raise click.UsageError("which line? --port /dev/ttyUSB0 or --port socket://host:port")
    line = _bus(port, framer, baud, parity, stop_bits)
    found: list[Found] = []
    scanner = _Scanner(scanning.units_of(units), Profiles(folder), timeout, found)
    settled = line
    try:
        settled = asyncio.run(scanner.run(line, all_bauds=all_bauds))
    finally:  # at Ctrl-C: what was found till then
        scanner.line("")
        if found:
            click.echo("\n".join(scanning.table(scanner.at or settled, found)))
    return 0


class _Scanner:
    """One scan: what it found is in `found`, and `at` is the line as the units want it."""

    def __init__(
        self, units: Sequence[int], profiles: Profiles, timeout_s: float | None, found: list[Found]
    ) -> None:
        self._units = units
        self._profiles = profiles
        self._timeout_s = timeout_s
        self._found = found
        self.at: ModbusBus | None = None

    async def run(self, line: ModbusBus, *, all_bauds: bool) -> ModbusBus:
        """Find and introduce; raises Failed when nobody answers."""
        from kerbline.field.modbus.scan import SPEEDS

        lines = [replace(line, timeout_s=self._timeout_s or 0.5)]
        if all_bauds and line.framer == "rtu" and line.port.startswith("/"):
            lines = [replace(lines[0], baud=baud, parity=parity) for baud, parity in SPEEDS]
        for each in lines:
            if await self._at_line(each, patient=len(lines) == 1):
                return each
        raise Failed(f"{line.port}: nobody answers at any of {len(lines)} speeds")

    async def _at_line(self, line: ModbusBus, *, patient: bool) -> bool:
        from kerbline.field.modbus.line import Through, master

        if not patient:
            self.line(f"{line.baud} baud, parity {line.parity}\n")
        async with master(line, _say, urgent=False) as asked:
            at = asked.bus if isinstance(asked, Through) else line
            if await self._units_of(asked, at, patient=patient):
                return True
            if patient or isinstance(asked, Through):  # the gateway's line has one speed
                _nobody(f"{line.port}: nobody answers", line, asked)
            return False

    async def _units_of(self, master: Master, line: ModbusBus, *, patient: bool = True) -> bool:
        from kerbline.field.modbus.scan import FIRST_S, answering, introduced

        self.at = line
        first_s = self._timeout_s or FIRST_S
        numbers = []
        async for unit in answering(master, self._units, first_s, self.line, patient=patient):
            self.line(f"unit {unit} answers\n")
            numbers.append(unit)
        for unit in numbers:
            self.line(f"who is unit {unit}?")
            self._found.append(await introduced(master, unit, self._profiles))
        return bool(numbers)

    @staticmethod
    def line(text: str) -> None:
        """Say how far we are, over the line before; where nobody looks, whole lines alone."""
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
        elif text.endswith("\n"):
            click.echo(text, nl=False, err=True)


# ---------------------------------------------------------------- what they share


def _device(words: Sequence[str]) -> tuple[Config, ModbusDevice, ModbusBus]:
    """The device of CONFIG ASSET; says which assets there are."""
    from kerbline.config import load

    if len(words) < 2:
        raise click.UsageError("which unit? Give CONFIG ASSET, or --port")
    config = load(Path(words[0]))
    devices = {device.asset: (device, bus) for bus in config.buses for device in bus.devices}
    if words[1] not in devices:
        known = ", ".join(devices) or "none"
        raise click.UsageError(f"{words[1]}: no Modbus device of {words[0]}; there are {known}")
    return config, *devices[words[1]]


def _chosen(device: ModbusDevice, names: Sequence[str]) -> Sequence[Register]:
    registers = {register.name: register for register in device.registers}
    for name in names:
        if name not in registers:
            known = ", ".join(registers)
            raise click.UsageError(f"{name}: {device.asset} has no such register but {known}")
    return [registers[name] for name in names] or device.registers


def _socket(config: Config) -> Path:
    from kerbline.local_socket import SOCKET_FILE

    return config.gateway.state_dir / SOCKET_FILE


def _say(text: str) -> None:
    click.echo(text, err=True)


def _runs(config: Config) -> bool:
    """Does a gateway of this config run?"""
    from kerbline.local_socket import NotServing, ask

    try:
        ask(_socket(config), {"ask": "status"})
    except NotServing:
        return False
    return True


def _nobody(what: str, bus: ModbusBus, master: Master | Bench) -> NoReturn:
    """Nobody answered, or not in words: what to look at, line by line."""
    from kerbline.field.modbus.line import Bench, explained, remedies

    why = explained(what.rpartition(": ")[2])
    lines = [f"{what}{why and ' (' + why + ')'}"]
    if isinstance(master, Bench):
        lines += remedies(bus, garbled=master.garbled, echoes=master.echoes)
    else:
        lines.append("`kerbline status` tells how the gateway finds the units of its config")
    raise Failed("\n  - ".join(lines))
