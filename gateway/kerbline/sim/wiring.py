"""What is wired to a simulated stock board: all that its file says, or less, as a fault has it.

The file that this writes is read by kerbnode's sim/wired.py at each reset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerbline.boards import Board
from kerbline.boards.drivers import CHANNEL, I2C, SERIAL, Driver
from kerbline.boards.sections import Instrument

LAMP_W = 60
STANDBY_W = 0.5
MAINS_V = 230
LUX = 120
RSSI_DBM = -62
HOUSING_UV = 720_000  # 22 degrees of a TMP36
CELL_MV = 3600
CHANNEL_UV = 240_000
AIR = {"masses": [7, 12, 18], "carbon": [600, 184, 521], "climate": [18.4, 52.1, 1013.2]}


def whole(board: Board) -> dict[str, Any]:
    """Every part of the board, in order, at rest."""
    said: dict[str, Any] = {
        "lamp_w": LAMP_W,
        "standby_w": STANDBY_W,
        "mains_v": MAINS_V,
        "lux": LUX,
        "rssi_dbm": RSSI_DBM,
        "air": AIR,
        "channels": [CHANNEL_UV] * 4,
        "pins": {},
        "adc": {},
        "i2c": {},
        "uart": {},
    }
    for instrument in board.instruments.values():
        _wire(said, board, instrument)
    for converter in board.converters.values():
        bus = board.i2c[converter.bus].number
        said["i2c"].setdefault(str(bus), []).append(
            {"chip": "ads1115", "kind": "Ads1115", "address": converter.address or 0x48}
        )
    return said


def write(said: Mapping[str, Any], folder: Path) -> None:
    """Into the folder of a StockBoard."""
    (folder / "wired.json").write_text(json.dumps(said))


def without(said: dict[str, Any], chip: str) -> dict[str, Any]:
    """The same with that chip dead: it answers nothing."""
    for bus in said["i2c"].values():
        bus[:] = [each for each in bus if each["chip"] != chip]
    said["uart"] = {n: each for n, each in said["uart"].items() if each["chip"] != chip}
    return said


def _wire(said: dict[str, Any], board: Board, instrument: Instrument) -> None:
    driver, values = instrument.driver, instrument.values
    pin = str(values.get("pin"))
    if driver.bus == I2C:
        chips = said["i2c"].setdefault(str(board.i2c[str(values["bus"])].number), [])
        chip = {**_model(driver), "address": values.get("address", driver.addresses[0])}
        if chip not in chips:
            chips.append(chip)
    elif driver.bus == SERIAL:
        said["uart"][str(values["uart"])] = {**_model(driver), **_numbers(values)}
    elif driver.bus == "pwm":
        low = instrument.reset is not None and instrument.reset.lit_by == "low"
        said["dimmer"] = {
            "pin": values["pin"],
            "hz": values["hz"],
            "inverted": low,
            "volts": driver.name == "pwm_0_10v",
            "full_mv": values.get("full_mv", 10_000),
        }
    elif driver.bus == "output":
        low = instrument.reset is not None and instrument.reset.lit_by == "low"
        said["relay"] = {"pin": values["pin"], "closed_at": int(not low)}
    elif driver.name == "battery":
        divider_pct = values["divider_pct"]
        assert isinstance(divider_pct, int)
        said["adc"][pin] = CELL_MV * 100_000 // divider_pct
    elif driver.bus == "adc" and values.get("converter") is None:
        said["adc"][pin] = HOUSING_UV if driver.name == "tmp36" else 1_650_000
    elif driver.bus == "latch":
        said["pins"][pin] = 0
    elif driver.bus == CHANNEL:
        at = values["channel"]
        assert isinstance(at, int)
        said["channels"][at] = values["working_zero_uv"]
        said["channels"][at + 1] = values["auxiliary_zero_uv"]


def _model(driver: Driver) -> dict[str, object]:
    """The class of kerbnode.sim that plays that driver's chip has the driver's own name."""
    return {"chip": driver.name, "kind": driver.kind}


def _numbers(values: Mapping[str, object]) -> dict[str, object]:
    return {name: values[name] for name in ("shunt_uohm",) if name in values}
