"""What is wired to a stock board, as a JSON file says it: lamp, relay, chips, levels at its pins.

`kerbline.sim.wiring` writes that file from a board's own; a part that is not in it is not there.
All is as large as it is written: nothing here changes by itself.
"""

import json
import time

from kerbnode.sim import dimming
from kerbnode.sim.i2c import Bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POWER_FACTOR = 0.95
SERIAL = ("bl0942", "pzem004t", "pms5003", "sps30")


def _ms() -> int:
    return time.ticks_ms()  # type: ignore[attr-defined, no-any-return]


class Wired:
    """The parts around the chip; a pin is its number."""

    def __init__(self, path: str):
        with open(path) as file:
            self._said: "dict[str, Any]" = json.load(file)
        said = self._said
        self._gear: "Any" = None
        dimmer = said.get("dimmer")
        if dimmer:
            self._gear = (
                dimming.VoltGear(
                    dimmer["hz"],
                    inverting=bool(dimmer["inverted"]),
                    full_v=dimmer["full_mv"] / 1000,
                )
                if dimmer["volts"]
                else dimming.LedDriver(dimmer["hz"])
            )
            self.dim(dimmer["pin"], 0)
        self._coil = 0
        self._buses = {
            int(number): Bus({each["address"]: self._chip(each) for each in chips})
            for number, chips in said.get("i2c", {}).items()
        }
        self._serials = {
            int(number): self._chip(each) for number, each in said.get("uart", {}).items()
        }

    def level(self, pin: int) -> "int | None":
        """What drives that input now, or None: a level, or a contact that opens and closes."""
        if str(pin) in self._said.get("pulses_h", {}):
            return 1 - (_ms() * 2 * int(self._said["pulses_h"][str(pin)]) // 3_600_000 & 1)
        level: "int | None" = self._said.get("pins", {}).get(str(pin))
        return level

    def microvolts(self, pin: int) -> int:
        """At an analogue input; none where nothing is wired to it."""
        return int(self._said.get("adc", {}).get(str(pin), 0))

    @property
    def counts(self) -> bool:
        """Does any meter turn here?"""
        return "pulses_h" in self._said

    def count(self, pin: int) -> int:
        """Pulses of a meter whose contact closes so often an hour."""
        return _ms() * int(self._said.get("pulses_h", {}).get(str(pin), 0)) // 3_600_000

    def rssi(self) -> int:
        """The Wi-Fi's strength in dBm; 0: there is none."""
        return int(self._said.get("rssi_dbm", 0))

    def drive(self, pin: int, level: int) -> None:
        """An output has that level."""
        relay = self._said.get("relay")
        if relay and relay["pin"] == pin:
            self._coil = level

    def dim(self, pin: int, duty: int) -> None:
        """A dimming output has that duty cycle."""
        dimmer = self._said.get("dimmer")
        if dimmer and dimmer["pin"] == pin and self._gear is not None:
            if dimmer["volts"] or not dimmer["inverted"]:
                self._gear.duty_u16(duty)
            else:
                self._gear.duty_u16(dimming.FULL - duty)

    def bus(self, number: int) -> "Bus | None":
        """The chips on an I2C bus."""
        return self._buses.get(number)

    def serial(self, number: int) -> "Any":  # noqa: ANN401 - a chip's end of a line
        """What is at the other end of that UART, or None."""
        return self._serials.get(number)

    def mains(self) -> "tuple[float, float, float]":
        """Watts, volts and amperes of the lamp and its electronics."""
        said = self._said
        relay = said.get("relay")
        closed = not relay or self._coil == relay["closed_at"]
        if relay and relay.get("stuck"):
            closed = relay["stuck"] == "closed"
        lamp_w = said.get("lamp_w", 0) * self._gear.light if self._gear and closed else 0
        watts = said.get("standby_w", 0) + lamp_w
        volts = said.get("mains_v", 0)
        return watts, volts, watts / volts / POWER_FACTOR if volts else 0.0

    def _chip(self, what: "dict[str, Any]") -> "Any":  # noqa: ANN401
        name = what["chip"]
        made = getattr(__import__("kerbnode.sim." + name, None, None, ("",)), what["kind"])
        said = self._said
        air = said.get("air", {})
        if name in SERIAL[:2]:
            if name == "pzem004t":
                return made(self.mains, _ms)
            return made(self.mains, 4800, _ms, what.get("shunt_uohm", 1000) / 1_000_000)
        if name in SERIAL:
            return made(lambda: air["masses"], _ms)
        if name in ("bh1750", "veml7700"):
            return made(lambda: said["lux"], _ms)
        if name == "scd41":
            return made(lambda: air["carbon"], _ms)
        if name == "ads1115":
            return made(lambda channel: said["channels"][channel], _ms)
        count = 2 if name == "sht4x" else 3
        return made(lambda: air["climate"][:count], _ms)
