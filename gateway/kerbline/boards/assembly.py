"""What the parts of a board demand of each other: roles, buses, links, the lamp, sleep, budgets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from kerbline.boards import rules, sharing
from kerbline.boards.chips import Chip
from kerbline.boards.drivers import DRIVERS, INSTRUMENTS, Driver
from kerbline.boards.sections import Energy
from kerbline.boards.uses import Place
from kerbline.config.faults import shown
from kerbline.config.reader import Reader

VFS_BYTES = 2_097_152  # the file system's partition in the plain 4 MiB image
LINE_KEYS = {"uart": ("uart", "tx", "rx"), "rs485": ("uart", "tx", "rx", "de")}


def check(reader: Reader, drivers: Mapping[str, Driver]) -> None:
    """What holds for any chip; `drivers` by role."""
    _roles(reader, drivers)
    sharing.check(reader, drivers)
    _budget(reader)
    if not any(reader.has(("links", link)) for link in (*LINE_KEYS, "udp")):
        reader.complain(("links",), "no way to the gateway", "add [links.uart], .rs485 or .udp")


def _roles(reader: Reader, drivers: Mapping[str, Driver]) -> None:
    """Each role is one of the assets' and has a driver that fills it; none that is needed lacks."""
    assets = [str(value) for _, value in reader.select("board", "assets", "*")]
    served = [INSTRUMENTS[asset] for asset in assets]
    known = [role for each in served for role in each.roles]
    for path, _ in reader.select("instruments", "*"):
        role = str(path[1])
        if not served:
            break  # what was meant to be served is told as a fault already
        if role not in known:
            remedy = f"write one of {', '.join(known)}"
            reader.complain(path, f"{' and '.join(assets)} has no {shown(role)}", remedy)
        elif role in drivers and role not in drivers[role].roles:
            fitting = ", ".join(row.name for row in DRIVERS.values() if role in row.roles)
            problem = f"{shown(drivers[role].name)} is no driver for {role}"
            reader.complain((*path, "driver"), problem, f"write one of {fitting}")
    for each in served:
        for role in each.required:
            if not reader.has(("instruments", role)):
                problem = f"is missing: {each.asset} needs it"
                reader.complain(
                    ("instruments", role), problem, f"add [instruments.{role}] with its driver"
                )
    for number, asset in enumerate(assets):
        if asset in assets[:number]:
            reader.complain(("board", "assets", number), "stands here twice", "remove it")


def _budget(reader: Reader) -> None:
    """Ceilings that can be met: a part is no larger than its whole."""
    budget = {str(path[1]): value for path, value in reader.select("budget", "*")}
    order = ("resident_mpy_bytes", "mpy_bytes", "flash_bytes")
    for part, whole in itertools.pairwise(order):
        low, high = budget.get(part), budget.get(whole)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            problem = f"{low} is more than {whole}, which holds it"
            reader.complain(("budget", part), problem, f"write at most {high}")


def check_links(reader: Reader, chip: Chip) -> None:
    """A chip's line has all its pins; Wi-Fi needs a chip that has it."""
    for link, keys in LINE_KEYS.items():
        if chip.real and reader.has(("links", link)):
            for key in keys:
                if not reader.has(("links", link, key)):
                    reader.complain(("links", link, key), "is missing", f"write {key} = ...")
    if reader.has(("links", "udp")) and not chip.wifi:
        reader.complain(("links", "udp"), f"{chip.name} has no Wi-Fi", "remove it")
    flash = reader.accepted.get(("budget", "flash_bytes"))
    if chip.real and isinstance(flash, int) and flash > VFS_BYTES:
        problem = f"{flash} is more than the image's file system has"
        reader.complain(("budget", "flash_bytes"), problem, f"write at most {VFS_BYTES}")


def check_lamp(reader: Reader, chip: Chip) -> None:
    """Each output that can darken a lamp tells how the reset state lights it, and does."""
    for role in {role for each in INSTRUMENTS.values() for role in each.lamp}:
        at = ("instruments", role)
        pin = reader.accepted.get((*at, "pin"))
        if not chip.real or not isinstance(pin, int):
            continue
        if not reader.has((*at, "reset")):
            remedy = 'write reset = {pull = "up" | "down" | "none", lit_by = "high" | "low"}'
            reader.complain((*at, "reset"), "is missing: the lamp must be on in reset", remedy)
            continue
        pull = reader.accepted.get((*at, "reset", "pull"))
        lit_by = reader.accepted.get((*at, "reset", "lit_by"))
        if pull is not None and lit_by is not None:
            rules.reset(chip, pin, str(pull), str(lit_by), Place(reader, (*at, "reset")))


def check_sleep(reader: Reader, chip: Chip) -> None:
    """What wakes is an input on a pin that stays powered, and the cell lasts as promised."""
    for path, role in reader.select("sleep", "wake", "*"):
        pin = reader.accepted.get(("instruments", str(role), "pin"))
        if pin is None:
            problem = f"{shown(role)} is no role with a pin of its own"
            reader.complain(path, problem, "write a role of [instruments]")
        elif isinstance(pin, int):
            module = str(reader.accepted.get(("board", "module")))
            rules.wake(chip, module, pin, Place(reader, path))
    given = {str(path[1]): value for path, value in reader.select("energy", "*")}
    if not reader.has(("energy",)):
        return
    numbers = {name: value for name, value in given.items() if isinstance(value, int | float)}
    try:
        energy = Energy(**numbers)  # type: ignore[arg-type]
    except TypeError:
        return  # a key is missing, which is told already
    if energy.life_years < energy.years:
        problem = f"by these figures the cell lasts {energy.life_years:.1f} years"
        reader.complain(("energy", "years"), problem, "promise less, sleep deeper or fit more")
