"""`kerbline boards`: list, check and show the files that say how a node's board is wired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerbline.boards import Board


@click.group(name="boards")
def group() -> None:
    """Look at boards: chips, pins and drivers of nodes."""


@group.command("list")
def list_() -> int:
    """Tell every board: its name, chip, links and what it is."""
    from kerbline import boards

    for name in boards.names():
        board = boards.load(boards.find(name))
        links = "/".join(_links(board))
        click.echo(f"{name:22} {board.chip.name:8} {links:14} {_plain(board.about.about)}")
    return 0


@group.command()
@click.argument("board", nargs=-1)
def check(board: tuple[str, ...]) -> int:
    """Tell every fault in boards by name or file, or in all; exit status 2 if there is one."""
    from kerbline import boards
    from kerbline.config import ConfigFault

    faults = []
    for name in board or boards.names():
        try:
            loaded = boards.load(boards.find(name))
        except ConfigFault as fault:
            faults.append(fault)
            continue
        roles = ", ".join(loaded.instruments)
        click.echo(f"{name}: good; {loaded.chip.name}, {roles}")
    for each in faults:
        click.echo(each, err=True)
    return ConfigFault.exit_status if faults else 0


@group.command()
@click.argument("board")
@click.option("--python", is_flag=True, help="The board.py that a node of this board gets.")
def show(board: str, *, python: bool) -> int:
    """Tell one board's pins and budgets, in the order of its pins."""
    from kerbline import boards

    loaded = boards.load(boards.find(board))
    if python:
        click.echo(boards.source(loaded), nl=False)
        return 0
    for line in told(loaded):
        click.echo(line)
    return 0


def _plain(text: str) -> str:
    """The text of a file on one line, with nothing in it that moves a terminal's cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def told(board: Board) -> list[str]:
    """A board in lines for a person who wires one."""
    about, chip = board.about, board.chip
    lines = [
        f"{board.name}: {_plain(about.about)}",
        f"chip      {chip.name} {about.module}".rstrip(),
    ]
    if chip.real:
        major, minor = chip.micropython
        lines.append(f"image     {chip.image}, MicroPython {major}.{minor} or later")
    lines.append(f"links     {', '.join(_links(board))}")
    pins = [(str(use.pin), use.bus, use.user) for use in board.wiring.pins()]
    pins.sort(key=lambda each: (not each[0].isdigit(), each[0].zfill(3), each[2]))
    lines += [f"pin {pin:>12}  {bus:8} {user}" for pin, bus, user in pins]
    for role, instrument in board.instruments.items():
        values = {name: value for name, value in instrument.values.items() if value is not None}
        given = [f"{name}={_shown(name, value)}" for name, value in values.items()]
        lines.append(f"role {role:12} {instrument.driver.name}: {', '.join(given)}")
    budget = board.budget
    lines.append(
        f"budget    {budget.resident_mpy_bytes:,} resident .mpy, {budget.mpy_bytes:,} .mpy, "
        f"{budget.heap_bytes:,} heap, {budget.flash_bytes:,} flash bytes"
    )
    if board.energy is not None:
        years, cell_mah = board.energy.life_years, board.energy.cell_mah
        lines.append(f"energy    {years:.1f} years from {cell_mah:,} mAh")
    lines += [f"hil       {name}: {text}" for name, text in board.hil.items()]
    return lines


def _shown(name: str, value: object) -> str:
    return f"{value:#04x}" if name == "address" else str(value)


def _links(board: Board) -> list[str]:
    known = {"uart": board.links.uart, "rs485": board.links.rs485, "udp": board.links.udp}
    return [name for name, link in known.items() if link is not None]
