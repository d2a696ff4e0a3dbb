"""`kerbline serial`: listen to a serial device, list and check the profiles that read them."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.config import SerialDevice
    from kerbline.config.telegram import Profile
    from kerbline.south.measured import Measured
    from kerbline.south.serial.device import Device

PATIENCE_S = 5.0  # before the first word on what may be wrong
PATIENCE_PERIODS = 3
LINE_FLAGS = frozenset(["port_lost", "no_answer", "garbled", "stale"])  # said in other words


class Silence(KerblineError):
    """Not one reading came."""

    code = "silence"


@click.group(name="serial")
def group() -> None:
    """Look at serial devices that are no Modbus units: P1, IEC 62056-21, NMEA 0183, frames."""


@group.command("profiles")
def profiles() -> int:
    """Tell every shipped profile: its name and what it is."""
    from kerbline.config import serial_profile

    for name in serial_profile.names():
        about = serial_profile.load(serial_profile.find(name, Path())).profile.about
        click.echo(f"{name:20} {about}")
    return 0


@group.group()
def profile() -> None:
    """Look at a profile."""


@profile.command()
@click.argument("file", nargs=-1, required=True)
def check(file: tuple[str, ...]) -> int:
    """Tell every fault in profiles by name or file; exit status 2 if there is one."""
    from kerbline.config import ConfigFault, serial_profile

    faults = []
    for name in file:
        try:
            loaded = serial_profile.load(serial_profile.find(name, Path()))
        except ConfigFault as fault:
            faults.append(fault)
            continue
        given = ", ".join(f"{each.name} ({len(each.fields)} values)" for each in loaded.readings)
        click.echo(f"{name}: good; {given}")
    for each in faults:
        click.echo(each, err=True)
    return ConfigFault.exit_status if faults else 0


@group.command()
@click.argument("port")
@click.option("--profile", "name", required=True, help="A profile's name, or the path of one.")
@click.option("--baud", type=int, help="Instead of the profile's.")
@click.option("--parity", type=click.Choice(["none", "even", "odd", "even7"]))
@click.option("--seconds", type=click.FloatRange(1, 86_400), help="Stop after so long.")
def listen(
    port: str, name: str, baud: int | None, parity: str | None, seconds: float | None
) -> int:
    """Print each telegram of a device decoded, and what is wrong when none comes.

    Runs until Ctrl-C, or for --seconds; exit status 1 if not one reading came.
    """
    from kerbline.config import SerialDevice, serial_profile

    loaded = serial_profile.load(serial_profile.find(name, Path()))
    own, *_ = (each.name for each in loaded.readings)
    device = SerialDevice("listen", port, name, own, {}, baud, parity, report_s=0.0)
    every = {each.name: each.name for each in loaded.readings} | {
        f"{each.name}@{channel}": f"{each.name}@{channel}"
        for each in loaded.readings
        if each.channel is not None
        for channel in range(1, 10)
    }
    device = dataclasses.replace(device, assets=every)
    return asyncio.run(_listen(device, loaded, seconds))


async def _listen(config: SerialDevice, loaded: Profile, seconds: float | None) -> int:
    from kerbline.clock import Clock
    from kerbline.counters import Counters
    from kerbline.south.serial import diagnosis
    from kerbline.south.serial.device import Device

    device = Device(config, loaded, Clock(), Counters())
    parity = config.parity or loaded.line.parity
    line = f"{config.baud or loaded.line.baud} baud, parity {parity}"
    click.echo(f"{config.port}: {line}, as {loaded.profile.about}")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    tasks = [asyncio.create_task(device.run()), asyncio.create_task(_print(device))]
    patience_s = max(PATIENCE_S, PATIENCE_PERIODS * loaded.line.period_s)
    if loaded.request is not None:  # it is asked at once, not after a period
        patience_s = PATIENCE_S + loaded.request.timeout_s
    try:
        if seconds is None or seconds > patience_s:
            await asyncio.wait(tasks, timeout=patience_s)
            if not device.heard.readings and not device.lost:
                _say(diagnosis.told(device.heard, loaded, parity))
        await asyncio.wait(tasks, timeout=seconds and seconds - loop.time() + began_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        heard = device.heard
        click.echo(
            f"{heard.received} bytes, {heard.telegrams} telegrams, {heard.readings} readings"
        )
    if not device.lost:
        _say(diagnosis.told(heard, loaded, parity))
    if not heard.readings:
        raise Silence(f"{config.port}: no reading came")
    return 0


async def _print(device: Device) -> None:
    while True:
        for each in await device.next():
            for line in told(each) if not LINE_FLAGS.intersection(each.quality) else ():
                click.echo(line)


def told(found: Measured) -> list[str]:
    """A reading in lines for a person."""
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(found.read_at_ms / 1_000, UTC)
    flags = f"  [{', '.join(found.quality)}]" if found.quality else ""
    lines = [f"{at:%Y-%m-%d %H:%M:%S}Z {found.asset}{flags}"]
    return lines + [f"    {name} = {value}" for name, value in found.values.items()]


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(f"! {line}", err=True)
