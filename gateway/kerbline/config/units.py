"""Units as devices write them, and the units that our names end in: exact factors between them."""

from __future__ import annotations

from decimal import Decimal

# By ending: each spelling that converts to it, with factor. Exact by SI and ISO 80000 (1 kn =
# 1852 m/h, 1 ft = 0.3048 m); letters of NMEA 0183 (K, N, M, S) stand in its field of units.
ENDINGS: dict[str, dict[str, Decimal]] = {
    "wh": {"Wh": Decimal(1), "kWh": Decimal(1_000), "MWh": Decimal(1_000_000)}
    | {"J": 1 / Decimal(3_600), "MJ": Decimal(2_500) / 9, "GJ": Decimal(2_500_000) / 9},
    "w": {"W": Decimal(1), "kW": Decimal(1_000), "MW": Decimal(1_000_000)},
    "var": {"var": Decimal(1), "kvar": Decimal(1_000)},
    "varh": {"varh": Decimal(1), "kvarh": Decimal(1_000)},
    "va": {"VA": Decimal(1), "kVA": Decimal(1_000)},
    "v": {"V": Decimal(1), "mV": Decimal("0.001"), "kV": Decimal(1_000)},
    "a": {"A": Decimal(1), "mA": Decimal("0.001"), "kA": Decimal(1_000)},
    "hz": {"Hz": Decimal(1)},
    "l": {"l": Decimal(1), "L": Decimal(1), "dm3": Decimal(1), "m3": Decimal(1_000)},
    "lph": {"l/h": Decimal(1), "m3/h": Decimal(1_000), "m3ph": Decimal(1_000)},
    "c": {"C": Decimal(1), "\xb0C": Decimal(1), "\xdfC": Decimal(1)},
    "pct": {"%": Decimal(1)},
    "hpa": {"hPa": Decimal(1), "mbar": Decimal(1), "bar": Decimal(1_000), "Pa": Decimal("0.01")},
    "s": {"s": Decimal(1), "ms": Decimal("0.001"), "min": Decimal(60), "h": Decimal(3_600)},
    "hours": {"h": Decimal(1), "Hr": Decimal(1), "s": 1 / Decimal(3_600)},
    "mps": {"m/s": Decimal(1), "M": Decimal(1), "km/h": 10 / Decimal(36), "K": 10 / Decimal(36)}
    | {"kn": Decimal(1_852) / 3_600, "N": Decimal(1_852) / 3_600, "S": Decimal("0.44704")},
    "m": {"m": Decimal(1), "M": Decimal(1), "mm": Decimal("0.001"), "ft": Decimal("0.3048")},
    "deg": {"deg": Decimal(1), "\xb0": Decimal(1)},
    "ugm3": {"ug/m3": Decimal(1), "mg/m3": Decimal(1_000)},
    "ppm": {"ppm": Decimal(1)},
    "ppb": {"ppb": Decimal(1), "ppm": Decimal(1_000)},
}


def ending(name: str) -> str:
    """The unit that a value's name ends in: "power_w" has "w"."""
    return name.rpartition("_")[2]


def conversion(unit: str, name: str) -> Decimal | None:
    """What a number in `unit` is multiplied by to be `name`'s; None where they don't fit."""
    return ENDINGS.get(ending(name), {}).get(unit)
