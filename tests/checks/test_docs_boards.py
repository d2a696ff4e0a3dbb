"""The page on boards: its file is a good board with every key, its tables are the code's."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

from kerbline import boards
from kerbline.boards.chips import CHIPS
from kerbline.boards.drivers import DRIVERS, INSTRUMENTS, SERIAL, Option
from kerbline.boards.sections import File
from tools.trees import ROOT

PAGE = (ROOT / "docs" / "reference" / "boards.md").read_text(encoding="utf-8")


def test_the_file_on_the_page_is_a_good_board_with_every_key(tmp_path: Path) -> None:
    text = PAGE.split("```toml\n")[1].split("```")[0]
    path = tmp_path / "street.toml"
    path.write_text(text)
    board = boards.load(path)
    assert board.energy is not None
    shown = set(re.findall(r"^\[?([a-z0-9_.]+)(?:\]| = )", text, re.MULTILINE))
    shown |= set(re.findall(r"[{,] ?([a-z_]+) = ", text))
    assert set(keys_of(File)) <= {part for name in shown for part in name.split(".")}


def keys_of(section: type) -> Iterator[str]:
    """Every key of a section and of those within."""
    for name, hint in typing.get_type_hints(section).items():
        yield name
        for each in (hint, *typing.get_args(hint)):
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                yield from keys_of(each)


def spans(pins: Iterable[int]) -> str:
    """12-15, 17: runs of pins as a person writes them."""
    runs: list[list[int]] = []
    for pin in sorted(pins):
        if runs and runs[-1][-1] == pin - 1:
            runs[-1].append(pin)
        else:
            runs.append([pin])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def row(*cells: object) -> str:
    """A line of a table."""
    return "| " + " | ".join(str(cell) or " " for cell in cells) + " |"


def chip_rows() -> list[str]:
    """The table of chips."""
    return [
        row(
            f"`{chip.name}`",
            chip.image,
            spans(range(1, chip.uarts)),
            chip.i2cs,
            spans(chip.strapping),
            spans(chip.flash),
            spans(chip.console),
            spans(chip.usb) or "none",
            spans(chip.adc1),
            spans(chip.wake),
        )
        for chip in CHIPS.values()
        if chip.real
    ]


def module_rows() -> list[str]:
    """The table of modules."""
    return [
        row(f"`{chip.name}`", ", ".join(f"`{module}`" for module in chip.modules))
        for chip in CHIPS.values()
        if chip.real
    ]


def role_rows() -> list[str]:
    """The table of roles."""
    return [
        row(f"`{each.asset}`", named(each.required), named(each.optional))
        for each in INSTRUMENTS.values()
    ]


def named(names: Iterable[str]) -> str:
    """Names as code."""
    return ", ".join(f"`{name}`" for name in names)


def driver_rows() -> list[str]:
    """The table of drivers."""
    rows = []
    for driver in DRIVERS.values():
        where = f"{driver.bus}"
        if driver.addresses:
            where += " at " + ", ".join(f"{address:#04x}" for address in driver.addresses)
        if driver.bus == SERIAL:
            where += f", {driver.baud} baud"
        keys = ", ".join(map(option_text, driver.options))
        roles = f"{driver.channels} channels" if driver.channels else named(driver.roles)
        rows.append(row(f"`{driver.name}`", roles, where, keys))
    return rows


def option_text(option: Option) -> str:
    """A driver's key with its bounds and default."""
    if option.wire:
        given = "must be given" if option.needed else "none"
        return f"`{option.name}`: {option.wire} pin ({given})"
    default = "must be given" if option.default is None else option.default
    return f"`{option.name}` {option.low}-{option.high} ({default})"


def test_the_tables_are_the_codes() -> None:
    lines = PAGE.splitlines()
    wanted = [*chip_rows(), *module_rows(), *role_rows(), *driver_rows()]
    assert [line for line in wanted if line not in lines] == []  # write these into the page
    shown = [line for line in lines if line.startswith("| `")]
    assert sorted(shown) == sorted(wanted)
