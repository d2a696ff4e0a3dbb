"""A node's settings over its board: other pins for the link, judged by the board's own rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from kerbline.boards import rules
from kerbline.boards.assembly import LINE_KEYS
from kerbline.boards.chips import Pin
from kerbline.boards.sections import Board, Datagrams, Line, Links, SharedLine, pins_of
from kerbline.boards.uses import Place, Uart, Use, Wiring
from kerbline.config.faults import ConfigFault
from kerbline.config.reader import Reader


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a node's settings say of its asset and link; None where they leave it to the board."""

    asset: str
    link: str
    uart: Pin | None = None
    tx: Pin | None = None
    rx: Pin | None = None
    de: Pin | None = None


def check_settings(board: Board, settings: LinkSettings, reader: Reader) -> Board:
    """The board with that asset and that link alone, on the pins that the settings choose.

    A sensor's UART that the link takes gets the number that the link leaves: any pin can have
    any UART. Raises ConfigFault with every fault, at the keys `asset`, `link`, `uart`, `tx`, `rx`
    and `de` of the settings' file, which `reader` has read, or at the board's own.
    """
    of_board = board.reader.afresh()
    if settings.asset not in board.about.assets:
        problem = f"board {board.name} serves no {settings.asset}"
        known = ", ".join(board.about.assets)
        reader.complain(("asset",), problem, f"write one of {known}, or take another board")
    if settings.link == "udp":
        _check_udp(board, reader)
        links, wiring = Links(udp=Datagrams()), Wiring({}, board.wiring.fixed)
    else:
        line, uses = _line(board, settings, reader, of_board)
        board = _swapped(board, settings)
        wiring = Wiring({settings.link: uses}, board.wiring.fixed)
        links = Links(rs485=line) if isinstance(line, SharedLine) else Links(uart=line)
        beside = wiring.fixed
        rules.pins(board.chip, board.about.module, uses, wifi=False, beside=beside)
        rules.uarts(board.chip, uses)
        rules.conflicts(wiring)
    if reader.faults or of_board.faults:
        raise ConfigFault([*reader.faults, *of_board.faults])
    about = dataclasses.replace(board.about, assets=(settings.asset,))
    return dataclasses.replace(board, about=about, links=links, wiring=wiring)


def _check_udp(board: Board, reader: Reader) -> None:
    if not board.chip.wifi:
        reader.complain(("link",), f"{board.chip.name} has no Wi-Fi", 'write "uart" or "rs485"')
    for use in rules.beside_no_wifi(board.chip, board.wiring.fixed):
        problem = f"{use.place} is on ADC2, which does not work beside Wi-Fi"
        reader.complain(("link",), problem, 'write "uart" or "rs485"')


def _own(board: Board, link: str) -> Mapping[str, Pin | None]:
    """The board's values for that link, by key; empty where it has none."""
    line = board.links.uart if link == "uart" else board.links.rs485
    return dict(zip(LINE_KEYS["rs485"], pins_of(line) if line else (), strict=False))


def _line(
    board: Board, settings: LinkSettings, reader: Reader, of_board: Reader
) -> tuple[Line | SharedLine, tuple[Use | Uart, ...]]:
    """The link's line as settings and board have it, and its uses."""
    kind = Line if settings.link == "uart" else SharedLine
    own = _own(board, settings.link)
    values: dict[str, Pin | None] = {}
    uses: list[Use | Uart] = []
    if not board.chip.real:
        return kind(), ()
    for key in LINE_KEYS[settings.link]:
        given: Pin | None = getattr(settings, key)
        value = own.get(key) if given is None else given
        values[key] = value
        if value is None:
            problem = f"board {board.name} has no {settings.link} of its own"
            reader.complain((key,), problem, f"write {key} = ..., or another link")
            continue
        place = Place(reader, (key,))
        if given is None:
            place = Place(of_board, ("links", settings.link, key))
        uses.append(Uart(value, "link", place) if key == "uart" else Use(value, key, "link", place))
    return kind(**values), tuple(uses)  # type: ignore[arg-type]


def _swapped(board: Board, settings: LinkSettings) -> Board:
    """With the UART that the link leaves where an instrument had the one that it takes."""
    left, taken = _own(board, settings.link).get("uart"), settings.uart
    if left is None or taken is None or left == taken:
        return board
    fixed = tuple(
        dataclasses.replace(use, number=left)
        if isinstance(use, Uart) and use.number == taken
        else use
        for use in board.wiring.fixed
    )
    instruments = {
        role: dataclasses.replace(each, values={**each.values, "uart": left})
        if each.values.get("uart") == taken
        else each
        for role, each in board.instruments.items()
    }
    wiring = Wiring(board.wiring.links, fixed)
    return dataclasses.replace(board, instruments=instruments, wiring=wiring)
