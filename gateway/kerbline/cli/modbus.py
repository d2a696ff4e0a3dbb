"""`kerbline modbus`: what is known of Modbus devices; `profile` lists, checks and shows it.

`scan`, `read` and `write`, at the devices themselves, are in `modbus_line`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli import modbus_line

if TYPE_CHECKING:
    from kerbline.config.modbus import AlarmRule, Register, Writable
    from kerbline.config.profiles import Profile, Profiles

_folder = click.option(
    "--profiles",
    "folder",
    type=click.Path(path_type=Path),
    help="A folder of your own, as `[gateway] profiles` names it.",
)


@click.group("modbus")
def group() -> None:
    """Look at Modbus devices."""


for _command in (modbus_line.scan, modbus_line.read, modbus_line.write):
    group.add_command(_command)


@group.group()
def profile() -> None:
    """Profiles of devices: their registers, as data."""


@profile.command("list")
@_folder
def list_(folder: Path | None) -> int:
    """Tell every profile by its name: yours first, then those that are shipped."""
    from kerbline.config import profiles
    from kerbline.config.faults import ConfigFault

    known = profiles.Profiles(folder)
    for name, path in known.names().items():
        try:
            title = profiles.load(path).about.title
        except ConfigFault as fault:
            title = f"{len(fault.faults)} faults: run `kerbline modbus profile check {path}`"
        hides = " (hides the shipped one)" if known.hidden(name) else ""
        click.echo(f"{name:24} {title}{hides}")
    return 0


@profile.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@_folder
def check(files: tuple[str, ...], folder: Path | None) -> int:
    """Tell every fault in profiles, by name or file, or in all; exit status 2 if there is one."""
    from kerbline.config import profiles
    from kerbline.config.faults import ConfigFault

    known = profiles.Profiles(folder)
    bad = []
    for name in files or known.names():
        try:
            found, _ = known.get(name)
        except ConfigFault as fault:
            bad.append(fault)
            continue
        values = len(_names(found))
        click.echo(f"{name}: good; {len(found.registers)} registers, {values} values")
    for each in bad:
        click.echo(each, err=True)
    return ConfigFault.exit_status if bad else 0


@profile.command()
@click.argument("name")
@_folder
def show(name: str, folder: Path | None) -> int:
    """Tell a profile's registers, by name or file, and the requests that a poll of them takes."""
    from kerbline.config import profiles

    for line in told(profiles.Profiles(folder), name):
        click.echo(line)
    return 0


def told(known: Profiles, name: str) -> list[str]:
    """A profile in lines for a person who looks it up in the manual."""
    found, registers = known.get(name)
    about, line, limits = found.about, found.line, found.limits
    manual = about.manual
    lines = [
        f"{about.name}: {about.title}",
        f"file      {known.find(name)}",
        f"models    {', '.join(about.models)}, by {about.maker}",
        f"manual    {manual.title}; {manual.edition}; {manual.table}",
        f"line      unit {line.unit}, {line.baud} baud, parity {line.parity}, "
        f"{line.stop_bits} stop bits",
        f"limits    {limits.max_words} words, {limits.max_bits} bits a request, gaps up to "
        f"{limits.max_gap}",
    ]
    for period_s, reads in _planned(found, registers).items():
        asked = ", ".join(f"{table} {address}+{count}" for table, address, count in reads)
        requests = "1 request" if len(reads) == 1 else f"{len(reads)} requests"
        lines.append(f"poll      every {period_s:g} s {requests}: {asked}")
    return lines + [_row(register) for register in found.registers]


def _planned(
    found: Profile, registers: tuple[Register, ...]
) -> dict[float, list[tuple[str, int, int]]]:
    """The requests of each period, shortest first."""
    from kerbline.south.modbus.plan import Limits, plan

    groups: dict[float, list[Register]] = {}
    for register in registers:
        groups.setdefault(register.poll_s or found.about.poll_s, []).append(register)
    given = found.limits
    limits = Limits(given.max_words, given.max_bits, given.max_gap)
    return {
        period_s: [(read.table, read.address, read.count) for read in plan(each, limits)]
        for period_s, each in sorted(groups.items())
    }


def _row(register: Register) -> str:
    from kerbline.config.modbus import WIDE
    from kerbline.config.unit_codes import UNIT_CODES

    kind = register.type
    if register.count > 1:
        kind += f"[{register.count}]"
    if kind in WIDE and register.words > 1:
        kind += f"[{register.words} words]"
    if register.bit is not None:
        kind += f" bit {register.bit}"
    wide = register.width > register.count
    unit = register.unit or UNIT_CODES.get(register.name.rpartition("_")[2], "")
    more = [
        f"x {register.scale:g}" if register.scale != 1 else "",
        f"{register.offset:+g}" if register.offset else "",
        "low word first" if register.word_order == "low_first" and wide else "",
        "low byte first" if register.byte_order == "low_first" else "",
        unit,
        f"dead-band {register.deadband:g}" if register.deadband is not None else "",
        register.retention if register.retention != "telemetry" else "",
        _may(register.writable) if register.writable is not None else "",
        *(_limit(rule) for rule in register.alarms),
        ", ".join(register.bits),
    ]
    told = ", ".join(each for each in more if each)
    place = f"{register.table} {register.address}"
    return f"{register.name:28} {place:14} {kind:14} {told}".rstrip()


def _may(writable: Writable) -> str:
    if writable.values:
        return "writable: " + " or ".join(f"{value:g}" for value in writable.values)
    if writable.min is None or writable.max is None:
        return "writable"
    step = f" by {writable.step:g}" if writable.step else ""
    return f"writable {writable.min:g} to {writable.max:g}{step}"


def _limit(rule: AlarmRule) -> str:
    if rule.when is not None:
        limit = f"{rule.flag} {str(rule.when).lower()}".strip()
    elif rule.above is not None:
        limit = f"above {rule.above:g}"
    else:
        limit = f"below {rule.below:g}"
    return f"alarm {rule.name} ({limit}, {rule.hold_s:g} s, {rule.severity})"


def _names(found: Profile) -> list[str]:
    from kerbline.config.registers import value_names

    return [name for register in found.registers for name in value_names(register)]
