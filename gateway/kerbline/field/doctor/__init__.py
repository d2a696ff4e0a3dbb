"""`kerbline doctor`: what is wrong between a laptop, a board, a node, a gateway and a broker.

Each part looks (`look`, thin) and judges (`judge`, of what was seen alone); what could not be
looked at is told as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kerbline.boards import Board
from kerbline.config import Config, load
from kerbline.config.faults import ConfigFault
from kerbline.config.rules import read_secret
from kerbline.field.doctor import broker, clock, gateway, joined, port, usb
from kerbline.field.doctor.finding import Finding, Level, fault, good
from kerbline.north.tls import TlsFiles

WATCH_S = 30.0
WATCH_EACH_S = 0.3
SETTLE_S = 1.0  # the driver takes its time

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at; `port` "": whatever is plugged in."""

    port: str = ""
    board: Board | None = None
    config: Path | None = None
    clock_from: str = ""
    watch_s: float = 0.0


def examine(wanted: Wanted, say: Say) -> Iterator[Finding]:
    """Every finding, in the order in which to mend them; `say` tells what takes time."""
    if wanted.watch_s:
        yield from _watched(wanted.watch_s, say)
        return
    there = ports()
    if wanted.port:
        yield from _port(wanted, there, say)
    else:
        yield from usb.judge(usb.look(), there)
    if wanted.config is not None:
        yield from _gateway(wanted.config)
    yield clock.judge(clock.look(wanted.clock_from))


def ports() -> list[str]:
    """The serial ports of this machine."""
    from kerbline.boardtools.usb import sockets

    return [each.device for each in sockets()]


def worst(found: list[Finding]) -> Level:
    """A fault, something unknown, or all is well."""
    levels = {each.level for each in found}
    for level in (Level.FAULT, Level.UNKNOWN):
        if level in levels:
            return level
    return Level.GOOD


def _watched(seconds: float, say: Say) -> Iterator[Finding]:
    before = usb.look()
    say(f"plug the board in now; {seconds:g} s")
    end = time.monotonic() + seconds
    after = before
    while time.monotonic() < end and after == before:
        time.sleep(WATCH_EACH_S)
        after = usb.look()
    if after != before:
        time.sleep(SETTLE_S)
        after = usb.look()
    yield from usb.judge_change(before, after, seconds)


def _port(wanted: Wanted, there: list[str], say: Say) -> Iterator[Finding]:
    found = port.judge(port.look(wanted.port, there))
    if any(each.level is Level.FAULT for each in found):
        if any(each.code == "no_port" for each in found):
            yield from usb.judge(usb.look(), there)
        yield from found
        return
    from kerbline.field.doctor import board  # with esptool, which takes its time

    yield from found
    yield from board.examine(wanted.port, wanted.board, say)


def _gateway(file: Path) -> Iterator[Finding]:
    try:
        config = load(file)
    except ConfigFault as error:
        for each in error.faults:
            where = f"{each.file}:{each.line}" if each.line else str(each.file)
            what = f"{each.key}: {each.problem}" if each.key else each.problem
            yield fault("config", where, what, each.remedy)
        return
    yield good("config", str(file), "the config is good")
    members = joined.look(config)
    lines = [
        gateway.Line(each.id, each.port, each.bus, joined=each.id in members.names)
        for each in members.nodes
    ]
    yield from joined.judge(members)
    yield from gateway.judge(gateway.look(str(file), config.gateway.state_dir, lines))
    target = broker_of(config)
    if target is not None:
        yield broker.judge(target, broker.look(target))


def broker_of(config: Config) -> broker.Target | None:
    """The broker of a config, and who the gateway is there."""
    mqtt = config.mqtt
    if mqtt is None:
        return None
    tls = None if mqtt.tls is None else TlsFiles(mqtt.tls.ca, mqtt.tls.cert, mqtt.tls.key)
    password = read_secret(mqtt.password_file) if mqtt.password_file else ""
    told = password if isinstance(password, str) else ""
    return broker.Target(mqtt.host, mqtt.port, mqtt.username, told, tls)
