"""The self-test on a stock board whose parts are played: the real REPL, runtime and drivers."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kerbline import boards
from kerbline.boardtools import connected
from kerbline.config.faults import ConfigFault
from kerbline.field import selftest
from kerbline.field import settings as node_settings
from kerbline.firmware import build, collect, kept
from kerbline.sim import wiring
from kerbline.sim.repl import StockBoard
from tests.gateway import boards_at_hand as at_hand

Edit = Callable[[dict[str, Any]], object]
SETTINGS = at_hand.SETTINGS.replace("report_s = 1\n", "")


@cache
def flash_of(name: str) -> bytes:
    """The file system of that board's node, as flashing writes it."""
    file = boards.find(name)
    firmware = build.build(build.of_board(boards.load(file), str(file)), keep=kept.folder())
    image = firmware.image()
    assert image is not None
    return image


def report_of(
    folder: Path,
    micropython: Path,
    name: str,
    edit: Edit,
    text: str = SETTINGS,
    before: str = "",
) -> tuple[selftest.Report, list[str]]:
    """The self-test of a board of that name with its parts as `edit` leaves them; its events."""
    board_file = boards.load(boards.find(name))
    settings, _ = node_settings.load(at_hand.settings_file(folder, text), board_file)
    quick = dataclasses.replace(board_file.selftest, sensor_ms=2500, lamp_ms=1200, join_ms=1000)
    board_file = dataclasses.replace(board_file, selftest=quick)
    said = wiring.whole(board_file)
    edit(said)
    wiring.write(said, folder)
    (folder / "flash.bin").write_bytes(flash_of(name))

    async def scenario() -> tuple[selftest.Report, list[str]]:
        async with StockBoard(folder, micropython, board_file.chip.name) as board:

            def test() -> selftest.Report:
                with connected(board.url, before) as repl:
                    return selftest.run(repl, board_file, settings)

            report = await asyncio.to_thread(test)
            return report, board.events

    return asyncio.run(scenario())


def states(report: selftest.Report) -> Mapping[str, bool | None]:
    return {check.name: check.ok for check in report.checks}


# As behind a soft reset into the raw REPL, where main.py has not run.
NOT_MOUNTED = """
import sys,vfs
if '/app' in sys.path:
 vfs.umount('/app');sys.path.remove('/app')
for n in list(sys.modules):
 if n.startswith('kerb'):del sys.modules[n]
"""


def test_a_sound_streetlight_passes_and_is_lit_as_before(tmp_path: Path, micropython: Path) -> None:
    report, events = report_of(
        tmp_path, micropython, "streetlight-esp32", lambda _: None, before=NOT_MOUNTED
    )
    assert report.ok, [check.line for check in report.failed]
    assert states(report)["relay open"] and states(report)["lamp 50 %"]
    for pin, rests in (("pin 26 ", "0"), ("pwm 25 ", "0")):  # mains, and a control line left alone
        assert [event for event in events if event.startswith(pin)][-1] == pin + rests


# What is planted, and which check finds it with what words.
PLANTED: list[tuple[str, Edit, str, str]] = [
    ("relay", lambda said: said["relay"].update(stuck="closed"), "relay open", "click"),
    ("lamp", lambda said: said.update(lamp_w=0), "lamp 100 %", "no current"),
    ("light", lambda said: wiring.without(said, "bh1750"), "light", "plugged in"),
    ("power", lambda said: wiring.without(said, "bl0942"), "power", "does not answer"),
    ("wire", lambda said: said["adc"].clear(), "thermometer", "open or shorted"),
]
OFTEN = ("relay", "lamp", "light")


METER = SETTINGS.replace('"streetlight"', '"water_meter"').replace(
    'link = "uart"',
    'link = "udp"\ngateway = "127.0.0.1:5683"\nwifi = {ssid = "street", password = "12345678"}',
)
AIR = SETTINGS.replace('"streetlight"', '"air_quality"')


@pytest.mark.nightly
def test_a_water_meter_of_which_everything_is_broken(tmp_path: Path, micropython: Path) -> None:
    def break_it(said: dict[str, Any]) -> None:
        said.update(rssi_dbm=0, pulses_h={"4": 18_000}, adc={}, pins={"5": 1})

    report, _ = report_of(tmp_path, micropython, "water-meter-esp32c3", break_it, METER)
    found = {each.name: each.line for each in report.failed}
    assert list(found) == ["battery", "tamper", "pulses forward and backward", "wifi"]
    assert "loose or wet contact" in found["pulses forward and backward"]
    assert "can't be joined" in found["wifi"]


@pytest.mark.nightly
def test_an_air_station_with_one_dead_chip(tmp_path: Path, micropython: Path) -> None:
    report, _ = report_of(
        tmp_path,
        micropython,
        "air-quality-esp32s3",
        lambda said: wiring.without(said, "scd41"),
        AIR,
    )
    assert [each.name for each in report.failed] == ["co2"]
    good = {each.name for each in report.checks if each.ok}
    assert {"particles", "climate", "pressure", "no2", "o3", "files", "heap free"} <= good


@pytest.mark.parametrize(
    ("edit", "check", "told"),
    [
        pytest.param(*planted, id=name, marks=() if name in OFTEN else pytest.mark.nightly)
        for name, *planted in PLANTED
    ],
)
def test_what_is_broken_is_found(
    tmp_path: Path, micropython: Path, edit: Edit, check: str, told: str
) -> None:
    report, _ = report_of(tmp_path, micropython, "streetlight-esp32", edit)
    assert [each.name for each in report.failed] == [check]
    assert told in report.failed[0].line


def test_the_self_test_costs_no_resident_byte() -> None:
    modules = {name: module.text for name, module in collect.tree().items()}
    modules[collect.WIRING] = boards.source(boards.load(boards.find("streetlight-esp32")))
    wanted = collect.needed(
        {n: collect.Module(n, text, package=False) for n, text in modules.items()}, "esp32"
    )
    assert collect.SELFTEST in wanted
    assert collect.SELFTEST not in collect.resident(wanted)


@pytest.mark.parametrize(
    ("keys", "line", "told"),
    [
        (
            "lamp_off_w = 9.0",
            2,
            "selftest.lamp_off_w: leaves nothing that is good: lamp_least_w is",
        ),
        ("mains_least_v = 240\nmains_most_v = 230", 3, "write more than 240"),
        ("half_most_pct = 0", 2, "selftest.half_most_pct"),
        ("clock_pm = 5", 2, "selftest.clock_pm: is not a key"),
    ],
)
def test_limits_that_leave_nothing_good_are_refused(
    tmp_path: Path, keys: str, line: int, told: str
) -> None:
    text = boards.find("streetlight-esp32").read_text().replace("streetlight-esp32", "street", 2)
    file = tmp_path / "street.toml"
    file.write_text(f"{text}\n[selftest]\n{keys}\n")
    with pytest.raises(ConfigFault) as fault:
        boards.load(file)
    at = len(text.splitlines()) + 1 + line
    assert f"street.toml:{at}: " in str(fault.value) and told in str(fault.value)


def test_a_build_without_one_says_so(tmp_path: Path, micropython: Path) -> None:
    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            board_file = boards.load(boards.find("streetlight-esp32"))
            file = at_hand.settings_file(tmp_path, SETTINGS)
            settings, _ = node_settings.load(file, board_file)

            def test() -> None:
                with (
                    connected(board.url) as repl,
                    pytest.raises(selftest.SelfTestFault, match="has no self-test"),
                ):
                    selftest.run(repl, board_file, settings)

            await asyncio.to_thread(test)

    asyncio.run(scenario())
