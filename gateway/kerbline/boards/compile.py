"""From a checked board to the text of firmware/kerbnode/board.py, laid out as ruff lays it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kerbline.boards.chips import Pin
from kerbline.boards.drivers import DRIVERS, I2C, INSTRUMENTS, SERIAL, Driver, Instruments
from kerbline.boards.sections import Board, Converter, Instrument, pins_of

WIDTH = 100
HEAD = '''\
"""The wiring of {name}: one function for each asset that it serves.

Compiled from boards/{name}.toml (`kerbline boards show {name} --python`).
The build of a board puts that board's own file in this place.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Board, Pin
    from kerbnode.instruments import Instruments

NAME = {name_text}
CHIP = {chip}
# Each link's UART, tx, rx and the pin that is high while we talk.
{links}
SERVICE_PIN: "Pin" = {service}  # tied to ground at the start, then let go: the REPL opens
'''
SLEEP = """\
SLEEP: "tuple[Pin, ...]" = {pins}  # contacts that end a deep sleep
"""


def source(board: Board) -> str:
    """The whole module; the same board gives the same text."""
    head = HEAD.format(
        name=board.name,
        name_text=_text(board.name),
        chip=_text(board.chip.name),
        links=_links(board),
        service=_text(board.service.strap if board.service else None),
    )
    if board.sleep is not None:
        contacts = [role for role in ("forward", "backward") if role in board.sleep.wake]
        pins = (board.instruments[role].values.get("pin") for role in contacts)
        head += SLEEP.format(pins=_pins(pins))
    return head + "".join(_function(board, INSTRUMENTS[asset]) for asset in board.about.assets)


def _links(board: Board) -> str:
    lines = {"uart": board.links.uart, "rs485": board.links.rs485}
    known = {name: pins_of(line) for name, line in lines.items() if line is not None}
    if board.links.udp is not None:
        known["udp"] = ()
    entries = [f"{_text(name)}: {_tuple(pins)}" for name, pins in known.items()]
    start = 'LINKS: "dict[str, tuple[Pin, ...]]" = {'
    line = f"{start}{', '.join(entries)}}}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([start, *(f"    {entry}," for entry in entries), "}"])


def _pins(values: Iterable[object]) -> str:
    text = ", ".join(map(_text, values))
    return f"({text},)" if "," not in text else f"({text})"


def _tuple(values: tuple[Pin | None, ...]) -> str:
    return "(" + ", ".join(_text(value) for value in values) + ")"


def _text(value: object) -> str:
    """A literal of Python; large numbers in groups of three."""
    if isinstance(value, str):
        return '"' + value + '"'  # names alone: nothing in them needs an escape
    return f"{value:_}" if isinstance(value, int) and value >= 10_000 else repr(value)


def _function(board: Board, asset: Instruments) -> str:
    filled = [board.instruments[role] for role in asset.roles if role in board.instruments]
    chips = _shared(filled)
    converters = _converters(board, filled)
    kinds = {each.driver for each in filled} | {
        DRIVERS[each.driver] for each in converters.values()
    }
    body = [f"    {line}" for line in _imports(kinds, asset)] + [""]
    body += _assigned_buses(board, filled, converters)
    for name, converter in converters.items():
        kind = DRIVERS[converter.driver]
        given = [f"{converter.bus}_bus", *_address(kind, converter.address)]
        body += _call(f"    {name}_inputs = ", kind.kind, given, "")
    body += [
        line
        for name, instrument in chips.values()
        if name
        for line in _call(f"    {name} = ", instrument.driver.kind, _arguments(instrument), "")
    ]
    body.append(f"    return {asset.kind}(")
    for instrument in filled:
        name, _ = chips[_identity(instrument)]
        start = f"        {instrument.role}="
        if name:
            body.append(f"{start}{name},")
        else:
            body += _call(start, instrument.driver.kind, _arguments(instrument), ",")
    body.append("    )")
    head = f'\n\ndef {asset.asset}(hal: "Board") -> "Instruments":\n    """{asset.about}"""\n'
    return head + "\n".join(body) + "\n"


def _imports(kinds: Iterable[Driver], asset: Instruments) -> list[str]:
    lines = [f"from kerbnode.drivers.{each.name} import {each.kind}" for each in kinds]
    return [*sorted(lines), f"from kerbnode.instruments.{asset.module} import {asset.kind}"]


def _converters(board: Board, filled: Iterable[Instrument]) -> Mapping[str, Converter]:
    """Those that these instruments read, by name."""
    names = [str(each.values.get("converter") or "") for each in filled]
    return {name: board.converters[name] for name in names if name}


def _assigned_buses(
    board: Board, filled: Iterable[Instrument], converters: Mapping[str, Converter]
) -> list[str]:
    names = [str(each.values["bus"]) for each in filled if each.driver.bus == I2C]
    lines = []
    for name in dict.fromkeys([*names, *(each.bus for each in converters.values())]):
        bus = board.i2c[name]
        values = (bus.number, bus.scl, bus.sda, bus.hz)
        lines.append(f"    {name}_bus = hal.i2c({', '.join(map(_text, values))})")
    return lines


def _address(driver: Driver, address: object) -> list[str]:
    """The argument that tells a chip's address, where it is not the usual one."""
    if not isinstance(address, int) or address == driver.addresses[0]:
        return []
    return [f"address={address:#04x}"]


Identity = tuple[str, tuple[tuple[str, object], ...]]


def _identity(instrument: Instrument) -> Identity:
    """What tells two chips apart: the same driver told the same is one chip."""
    return instrument.driver.name, tuple(instrument.values.items())


def _shared(filled: list[Instrument]) -> Mapping[Identity, tuple[str, Instrument]]:
    """Each chip with the name of its variable: "" where only one role has it."""
    roles: dict[Identity, list[Instrument]] = {}
    for instrument in filled:
        roles.setdefault(_identity(instrument), []).append(instrument)
    named: dict[Identity, tuple[str, Instrument]] = {}
    for identity, users in roles.items():
        name = f"{users[0].role}_chip" if len(users) > 1 else ""
        named[identity] = (name, users[0])
    return named


def _arguments(instrument: Instrument) -> list[str]:
    """What the driver's constructor takes: its bus, then what differs from its defaults."""
    driver, values = instrument.driver, instrument.values
    found = [_bus(instrument)]
    if driver.bus == I2C:
        found += _address(driver, values["address"])
    for option in driver.options:
        value = values[option.name]
        if option.wire and value is not None:
            start = ", 0" if option.wire == "output" else ""
            found.append(f"{option.name}=hal.{option.wire}({_text(value)}{start})")
        elif not option.wire and value != option.default:
            found.append(f"{option.name}={_text(value)}")
    if driver.inverts and instrument.reset is not None:
        by_low = int(instrument.reset.lit_by == "low")
        if by_low != driver.inverts_default:
            found.append(f"{driver.inverts}={by_low}")
    return found


def _bus(instrument: Instrument) -> str:
    """What the driver speaks to; an output begins at the level that lights the lamp."""
    driver, values, reset = instrument.driver, instrument.values, instrument.reset
    if driver.bus == I2C:
        return f"{values['bus']}_bus"
    if values.get("converter") is not None:
        return f"{values['converter']}_inputs.channel({values['channel']})"
    given: tuple[object, ...] = (values.get("pin"),)
    if driver.bus == SERIAL:
        given = (values["uart"], values["tx"], values["rx"], driver.baud)
    elif driver.bus == "pwm":
        given = (values["pin"], values["hz"])
    elif driver.bus == "output":
        given = (values["pin"], int(reset is not None and reset.lit_by == "high"))
    return f"hal.{driver.bus}({', '.join(map(_text, given))})"


def _call(start: str, name: str, arguments: list[str], end: str) -> list[str]:
    """A call in one line, its arguments in one line, or each in its own: the first that fits."""
    line = f"{start}{name}({', '.join(arguments)}){end}"
    if len(line) <= WIDTH:
        return [line]
    outer = " " * (len(start) - len(start.lstrip()))
    together = f"{outer}    {', '.join(arguments)}"
    inside = [together]
    if len(together) > WIDTH:
        inside = [f"{outer}    {argument}," for argument in arguments]
    return [f"{start}{name}(", *inside, f"{outer}){end}"]
