"""A node's self-test over its REPL: what it measures of itself, judged by its board's limits.

The node's half is kerbnode/selftest.py, which a build carries and a node in service never loads.
Each check tells what was found, between which limits it is good, and where it is not, the likely
cause and what to do. What could not be measured says so, and is no pass and no failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kerbline.boards import Board
from kerbline.boards.drivers import INSTRUMENTS
from kerbline.boards.sections import Instrument, pins_of
from kerbline.boardtools import Repl
from kerbline.field import selftest_words as words
from kerbline.field.selftest_asking import Asked, Clock, Instant, SelfTestFault
from kerbline.field.selftest_report import Check, Report, at_least, bad
from kerbline.field.settings import NodeSettings

FULL = 1000
HALF = 500
ANY_DW = 10_000_000
PULSES_MS = 600
TICKS = 0x3FFF_FFFF  # time.ticks_ms() goes round
PIN_NAMES = ("uart", "tx", "rx", "de")

Say = Callable[[Check], None]


def run(
    repl: Repl,
    board: Board,
    settings: NodeSettings,
    *,
    say: Say = lambda _: None,
    clock: Clock = time.monotonic,
) -> Report:
    """Every check that this board's asset has; the lamp is lit at the end, as before.

    `board` may be the one that `field.settings.load` narrowed. Raises BoardFault where the link
    breaks, SelfTestFault where the node has no self-test.
    """
    node = Asked(repl, clock)
    done: list[Check] = []
    for check in _all(node, board, settings):
        done.append(check)
        say(check)
    return Report(tuple(done))


def _all(node: Asked, board: Board, settings: NodeSettings) -> Iterator[Check]:
    began = node.instant()
    limits = board.selftest
    heap = node.ask("heap")
    yield at_least("heap free", heap["free"], "bytes", limits.heap_free_bytes, words.HEAP)
    yield at_least("heap piece", heap["largest"], "bytes", limits.heap_piece_bytes, words.HEAP)
    yield from _flash(node, board)
    made = node.ask("make", settings.asset)
    if made["fault"]:
        yield Check("wiring", settings.asset, ok=False, cause=words.NO_ASSET[0],
                    remedy=words.NO_ASSET[1])  # fmt: skip
        return
    fitted = _fitted(board, settings.asset)
    try:
        yield from _sensors(node, board, fitted)
        if "dimmer" in fitted:
            yield from _lamp(node, board, fitted)
        yield from _pulses(node, fitted)
        yield from _link(node, board, settings)
    finally:
        node.ask("lit")
    yield _clock_check(began, node.instant(), limits.clock_ppm)


def _flash(node: Asked, board: Board) -> Iterator[Check]:
    told = node.ask("flash")
    if told["fault"]:
        yield bad("flash", told["fault"], words.FLASH)
    else:
        yield Check("flash", "written and read back")
    least = board.selftest.flash_free_blocks
    yield at_least("flash free", told["free"], "blocks", least, words.FLASH_FULL)
    files = node.ask("files", timeout_s=60.0)
    if files["bad"]:
        yield bad("files", ", ".join(files["bad"]), words.FILES)
    elif not files["files"]:
        yield Check("files", None, ok=None, cause="the node has no list of its files' hashes")
    else:
        yield Check("files", files["files"], "files as built")


def _fitted(board: Board, asset: str) -> dict[str, Instrument]:
    """The asset's instruments by role, in the roles' order."""
    roles = INSTRUMENTS[asset].roles
    return {role: board.instruments[role] for role in roles if role in board.instruments}


def _sensors(node: Asked, board: Board, fitted: Mapping[str, Instrument]) -> Iterator[Check]:
    most_ms = board.selftest.sensor_ms
    answers = node.ask("sensors", most_ms, timeout_s=most_ms / 1000 + 10)["sensors"]
    left = list(answers)
    for role, instrument in fitted.items():
        if role in ("dimmer", "relay", "forward", "backward"):
            continue
        found = [each for each in left if each["kind"] == instrument.driver.kind]
        if not found:  # one chip in two roles was told once
            found = [each for each in answers if each["kind"] == instrument.driver.kind]
        elif len(found) > 1 or not _shared(instrument, fitted, role):
            left.remove(found[0])
        yield _sensor(role, instrument, found[0])


def _shared(instrument: Instrument, fitted: Mapping[str, Instrument], role: str) -> bool:
    """Does another role have the same chip?"""
    others = [each for name, each in fitted.items() if name != role]
    return any(each.driver == instrument.driver for each in others)


def _sensor(role: str, instrument: Instrument, told: Mapping[str, Any]) -> Check:
    driver = instrument.driver.name
    fault, value = told["fault"], told["value"]
    if driver == "sps30" and fault == "late":  # it answers, and cleans its fan for ten seconds
        return Check(role, None, ok=True, cause="it answers, and cleans its fan first")
    if value is None:
        cause, remedy = words.sensor(driver, fault or "silent")
        return Check(role, None, ok=False, cause=cause, remedy=remedy)
    if role == "motion":
        return Check(role, None, ok=None, cause=words.MOTION[bool(value)])
    if role == "tamper":
        return bad(role, "open", words.TAMPER) if value else Check(role, "closed")
    if role == "battery":
        low_mv = instrument.values["low_mv"]
        assert isinstance(low_mv, int)
        return at_least(role, value, "mV", low_mv, words.BATTERY)
    if role == "co2":
        return Check(role, f"chip {value:x} answers")
    figure, unit, low, high = words.plausible(role, value)
    if low <= figure <= high:
        return Check(role, figure, unit, low, high)
    return Check(role, figure, unit, low, high, False, *words.IMPLAUSIBLE)


def _lamp(node: Asked, board: Board, fitted: Mapping[str, Instrument]) -> Iterator[Check]:
    limits = board.selftest
    off_dw = round(10 * limits.lamp_off_w)
    least_dw, most_dw = round(10 * limits.lamp_least_w), round(10 * limits.lamp_most_w)

    def power(level: int, low_dw: int, high_dw: int, *, on: bool = True) -> Mapping[str, Any]:
        wait = (level, int(on), low_dw, high_dw, limits.lamp_ms)
        return node.ask("lamp", *wait, timeout_s=limits.lamp_ms / 1000 + 10)

    full = power(FULL, least_dw, most_dw)
    if not full["meter"]:
        for level in (0, HALF, FULL):
            power(level, 0, ANY_DW, on=bool(level))
        yield Check("lamp", None, ok=None, cause=words.NO_METER)
        return
    if full["is"] is None:  # told above, of the power meter itself
        yield Check("lamp", None, ok=None, cause=words.SILENT_METER)
        return
    full_dw, volts = full["is"][0], full["is"][1] / 10
    yield _mains(volts, limits.mains_least_v, limits.mains_most_v)
    yield _watts("lamp 100 %", full_dw, least_dw, most_dw,
                 words.NO_LAMP if full_dw < least_dw else words.BIG_LAMP)  # fmt: skip
    drawn = full_dw >= least_dw
    if "relay" in fitted:
        cut_dw = _watts_of(power(FULL, 0, off_dw, on=False))
        if drawn:
            yield _watts("relay open", cut_dw, 0, off_dw, words.RELAY)
        else:
            yield Check("relay open", None, ok=None, cause=words.NO_CURRENT)
    cuts = "relay" in fitted or fitted["dimmer"].driver.name == "pwm_led"
    dark_dw = _watts_of(
        power(0, 0, off_dw if cuts else full_dw * 9 // 10, on="relay" not in fitted)
    )
    low_dw = full_dw * limits.half_least_pct // 100
    high_dw = full_dw * limits.half_most_pct // 100
    half_dw = _watts_of(power(HALF, max(low_dw, dark_dw or 0), high_dw)) if drawn else None
    if drawn:
        yield _watts("lamp 0 %", dark_dw, 0, off_dw if cuts else high_dw, words.DARK)
        yield _watts("lamp 50 %", half_dw, low_dw, high_dw, words.DIMMING)
    else:
        yield Check("dimming", None, ok=None, cause=words.NO_CURRENT)


def _mains(volts: float, least: int, most: int) -> Check:
    if least <= volts <= most:
        return Check("mains", volts, "V", least, most)
    cause, remedy = words.NO_MAINS if volts < 20 else words.MAINS
    return Check("mains", volts, "V", least, most, False, cause, remedy)


def _watts_of(told: Mapping[str, Any]) -> int | None:
    return told["is"][0] if told["is"] else None


def _watts(name: str, found_dw: int | None, low_dw: int, high_dw: int, said: words.Said) -> Check:
    if found_dw is None:
        return Check(name, None, "W", low_dw / 10, high_dw / 10, False, *words.METER)
    if low_dw <= found_dw <= high_dw:
        return Check(name, found_dw / 10, "W", low_dw / 10, high_dw / 10)
    return Check(name, found_dw / 10, "W", low_dw / 10, high_dw / 10, False, *said)


def _pulses(node: Asked, fitted: Mapping[str, Instrument]) -> Iterator[Check]:
    roles = [role for role in ("forward", "backward") if role in fitted]
    if not roles:
        return
    counts = node.ask("pulses", PULSES_MS)["counts"]
    count = sum(counts)
    name = "pulses " + " and ".join(roles)
    if count:
        yield Check(name, count, "pulses", 0, 0, False, *words.PULSES)
    else:
        yield Check(name, 0, "pulses", 0, 0)


def _link(node: Asked, board: Board, settings: NodeSettings) -> Iterator[Check]:
    join_ms = board.selftest.join_ms
    if settings.link == "udp":
        host, _, port = (settings.gateway or "").rpartition(":")
        given: tuple[object, ...] = ((host, int(port)), settings.baud, ())
    else:
        line = board.links.uart if settings.link == "uart" else board.links.rs485
        pins = (pins_of(line) if line else ()) or (None,) * 4
        own = (getattr(settings, name) for name in PIN_NAMES)
        both = tuple(b if o is None else o for o, b in zip(own, pins, strict=True))
        given = (None, settings.baud, both if settings.link == "rs485" else (*both[:3], None))
    told = node.ask("link", *given, join_ms, timeout_s=join_ms / 1000 + 20)
    if settings.link == "udp":
        yield from _wifi(node, board, told)
    elif told["fault"]:
        yield bad("link", told["fault"], words.UART)
    elif told["echo"]:
        yield Check("link", "what we sent came back", cause="a loop is plugged in: take it out")
    elif told["heard"]:
        yield Check("link", told["heard"], "bytes heard")
    else:
        yield Check("link", None, ok=None, cause=words.SILENT_LINE)


def _wifi(node: Asked, board: Board, told: Mapping[str, Any]) -> Iterator[Check]:
    if told["fault"] in words.WIFI:
        yield Check("wifi", None, ok=False, cause=words.WIFI[told["fault"]][0],
                    remedy=words.WIFI[told["fault"]][1])  # fmt: skip
        return
    text = node.run(
        "import network\ntry:print(network.WLAN(network.STA_IF).status('rssi'))\n"
        "except Exception:print('')"
    ).strip()
    least = board.selftest.rssi_least_dbm
    if text.lstrip("-").isdigit() and int(text) < 0:
        yield at_least("wifi", int(text), "dBm", least, words.WEAK_WIFI)
    else:
        yield Check("wifi", "joined")
    if told["fault"]:
        yield bad("gateway", told["fault"], words.GATEWAY)
    else:
        yield Check("gateway", None, ok=None, cause=words.GATEWAY_UNPROVED)


def _clock_check(first: Instant, last: Instant, most_ppm: int) -> Check:
    """The chip's ticks beside ours, less what the line's delays and a tick may be."""
    ours_s = last.ours_s - first.ours_s
    theirs_s = ((last.ticks - first.ticks) & TICKS) / 1000
    unsure_s = first.unsure_s + last.unsure_s + 0.002
    drift = round((theirs_s - ours_s) / ours_s * 1e6)
    unsure = round(unsure_s / ours_s * 1e6)
    if abs(drift) - unsure > most_ppm:
        return Check("clock", drift, "ppm", -most_ppm, most_ppm, False, *words.CLOCK)
    if unsure > most_ppm:
        cause = f"the line's delays leave {unsure} ppm unsure: use a cable, or try again"
        return Check("clock", drift, "ppm", -most_ppm, most_ppm, None, cause)
    return Check("clock", drift, "ppm", -most_ppm, most_ppm)


__all__ = ["Check", "Report", "SelfTestFault", "run"]
