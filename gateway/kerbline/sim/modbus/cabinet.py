"""The demo's lighting cabinet: a meter whose registers follow the street's day; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kerbline.config.modbus import Register
from kerbline.sim.modbus import values

DAY_MS = 86_400_000
LAMPS = 40
LAMP_W = 60.0
STANDBY_W = 35.0
MAINS_V = 230.0
# Input registers of the common three-phase family (Eastron SDM630: float32, high word first)
VOLTAGE_V, CURRENT_A, POWER_W, FREQUENCY_HZ, ENERGY_KWH = 0, 6, 52, 70, 342
DOOR_OPEN = 500  # holding: uint16, 0 or 1
REGISTERS = (
    Register("voltage_v", VOLTAGE_V, "float32", "input"),
    Register("current_a", CURRENT_A, "float32", "input"),
    Register("power_w", POWER_W, "float32", "input"),
    Register("frequency_hz", FREQUENCY_HZ, "float32", "input"),
    Register("energy_kwh", ENERGY_KWH, "float32", "input"),
    Register("door_open", DOOR_OPEN),
)


@dataclass(frozen=True, slots=True)
class Cabinet:
    """What a cabinet's meter shows at a street time."""

    lamps: int = LAMPS

    def load_w(self, street_ms: int) -> float:
        """Lamps between 18:00 and 06:00 UTC, and a slow ripple of the mains."""
        ripple = 1 + 0.01 * math.sin(street_ms / 7_000)
        return (STANDBY_W + self.lamps * LAMP_W * self.lit(street_ms)) * ripple

    def lit(self, street_ms: int) -> bool:
        """Is it night?"""
        return not 6 <= street_ms % DAY_MS / 3_600_000 < 18

    def volts(self, street_ms: int) -> float:
        """The mains."""
        return MAINS_V + 2 * math.sin(street_ms / 11_000)

    def energy_kwh(self, street_ms: int) -> float:
        """What all its lamps and its own parts took so far."""
        days, rest_ms = divmod(street_ms, DAY_MS)
        lit_h = min(rest_ms / 3_600_000, 6) + max(rest_ms / 3_600_000 - 18, 0)
        lamp_kwh = (days % 10_000 * 12 + lit_h) * self.lamps * LAMP_W / 1_000
        return lamp_kwh + street_ms % (10_000 * DAY_MS) / 3_600_000 * STANDBY_W / 1_000

    def value(self, name: str, unit: int, street_ms: int) -> float:
        """A register by its name: the load's own, and for all else what any device shows."""
        watts, volts = self.load_w(street_ms), self.volts(street_ms)
        quantity = name.split("_")[0]
        match quantity, name.rpartition("_")[2]:
            case "voltage", "v":
                return volts
            case "current", "a":
                return watts / volts / (3 if "_l" in name else 1)
            case "power", "w":
                return watts
            case "energy", "kwh":
                return self.energy_kwh(street_ms)
            case "circuit" | "contactor" | "photocell", _:
                return float(self.lit(street_ms))
            case "door" | "by", _:
                return 0.0
        return values.value(name, unit, street_ms)
