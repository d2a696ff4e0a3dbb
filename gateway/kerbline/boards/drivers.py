"""What the firmware can drive: a row for each driver, and the roles of each asset's instruments.

A new driver is one row in `DRIVERS`. A test reads firmware/kerbnode and holds every row to it:
file, class, the bus it takes first, the names and defaults of its options.
"""

from __future__ import annotations

from dataclasses import dataclass

# What hal/board.py offers for one pin, and whether the chip drives that pin.
PIN_BUSES = {
    "pwm": True,
    "output": True,
    "adc": False,
    "latch": False,
    "counter": False,
    "input": False,
}
I2C = "i2c"
SERIAL = "serial"
CHANNEL = "channel"  # of a converter, which no pin of the chip can stand for


@dataclass(frozen=True, slots=True)
class Option:
    """A further parameter of a driver: a whole number in bounds, or a pin of its own.

    `wire`: the pin's bus; such a pin may be left out unless it is `needed`.
    """

    name: str
    low: int = 0
    high: int = 0
    default: int | None = None  # None: must be given, but for a wire
    wire: str = ""
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver: `kind` is its class in kerbnode.drivers.NAME.

    `addresses`: those the chip can have on I2C, its usual one first; `inverts`: the option that
    is 1 where a low pin lights the lamp, which the board's `reset` tells. `channels`: analogue
    inputs that it offers to other drivers; such a converter has no role of its own. `inputs`: of
    so many channels, the given one and those after it, a driver reads.
    """

    name: str
    kind: str
    bus: str
    roles: tuple[str, ...]
    options: tuple[Option, ...] = ()
    addresses: tuple[int, ...] = ()
    baud: int = 0
    hz: int = 0
    inverts: str = ""
    inverts_default: int = 0
    channels: int = 0
    inputs: int = 1


@dataclass(frozen=True, slots=True)
class Instruments:
    """An asset's instruments: class `kind` in kerbnode.instruments.MODULE and its roles.

    `lamp`: roles whose output must light the lamp while the chip is in reset.
    """

    asset: str
    about: str
    module: str
    kind: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lamp: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """All, in the order in which they are written."""
        return self.required + self.optional


# What a pulse of a meter counts.
_WEIGHT = (Option("pulses_per_litre", 1, 1000, 1), Option("litres_per_pulse", 1, 1000, 1))

DRIVERS = {
    row.name: row
    for row in (
        Driver(
            "pwm_led",
            "PwmLed",
            "pwm",
            ("dimmer",),
            (Option("minimum", 0, 1000, 0), Option("logarithmic", 0, 1, 0)),
            hz=1000,
            inverts="inverted",
        ),
        Driver(
            "pwm_0_10v",
            "Pwm010v",
            "pwm",
            ("dimmer",),
            (
                Option("minimum", 0, 1000, 100),
                Option("logarithmic", 0, 1, 0),
                Option("full_mv", 1000, 15_000, 10_000),
            ),
            hz=1000,
            inverts="inverted",
        ),
        Driver(
            "relay", "Relay", "output", ("relay",), inverts="normally_closed", inverts_default=1
        ),
        Driver(
            "bl0942",
            "Bl0942",
            SERIAL,
            ("power",),
            (
                Option("shunt_uohm", 100, 100_000, 1000),
                Option("divider", 1, 100_000, 3825),
                Option("address", 0, 3, 0),
            ),
            baud=4800,
        ),
        Driver(
            "pzem004t",
            "Pzem004t",
            SERIAL,
            ("power",),
            (Option("address", 1, 0xF8, 0xF8),),
            baud=9600,
        ),
        Driver("bh1750", "Bh1750", I2C, ("light",), addresses=(0x23, 0x5C)),
        Driver("veml7700", "Veml7700", I2C, ("light",), addresses=(0x10,)),
        Driver(
            "motion",
            "Motion",
            "latch",
            ("motion",),
            (Option("warm_s", 0, 300, 60), Option("stuck_s", 60, 86_400, 3600)),
        ),
        Driver("tmp36", "Tmp36", "adc", ("thermometer",)),
        Driver(
            "ntc",
            "Ntc",
            "adc",
            ("thermometer",),
            (
                Option("beta", 2000, 6000, 3950),
                Option("r25_ohm", 1000, 1_000_000, 10_000),
                Option("series_ohm", 1000, 1_000_000, 10_000),
                Option("supply_mv", 1000, 5500, 3300),
            ),
        ),
        Driver(
            "pulses",
            "PulseMeter",
            "counter",
            ("forward", "backward"),
            _WEIGHT,
        ),
        Driver(
            "reed",
            "Reed",
            "input",
            ("forward", "backward"),
            (*_WEIGHT, Option("bounce_ms", 0, 200, 10)),
        ),
        Driver(
            "quadrature",
            "Quadrature",
            "input",
            ("forward",),
            (Option("second", wire="input", needed=True), *_WEIGHT),
        ),
        Driver(
            "battery",
            "Battery",
            "adc",
            ("battery",),
            (
                Option("divider_pct", 100, 1000, 200),
                Option("low_mv", 1000, 24_000, 3100),
                Option("load", wire="output"),
            ),
        ),
        Driver("tamper", "Tamper", "latch", ("tamper",), (Option("hold_s", 0, 86_400, 3600),)),
        Driver(
            "pms5003",
            "Pms5003",
            SERIAL,
            ("particles",),
            (Option("passive", 0, 1, 0),),
            baud=9600,
        ),
        Driver("sps30", "Sps30", SERIAL, ("particles",), baud=115_200),
        Driver("scd41", "Scd41", I2C, ("co2",), addresses=(0x62,)),
        Driver("bme280", "Bme280", I2C, ("climate", "pressure"), addresses=(0x76, 0x77)),
        Driver("sht4x", "Sht4x", I2C, ("climate",), addresses=(0x44, 0x45, 0x46)),
        Driver("ads1115", "Ads1115", I2C, (), addresses=(0x48, 0x49, 0x4A, 0x4B), channels=4),
        Driver(
            "b4_cell",
            "B4Cell",
            CHANNEL,
            ("no2", "o3"),
            (
                Option("working_zero_uv", 0, 1_000_000, 225_000),
                Option("auxiliary_zero_uv", 0, 1_000_000, 225_000),
                Option("uv_per_ppb", 50, 2000, 300),
                Option("no2_uv_per_ppb", 0, 2000, 0),
            ),
            inputs=2,
        ),
    )
}

INSTRUMENTS = {
    row.asset: row
    for row in (
        Instruments(
            "streetlight",
            "A lamp head.",
            "lamp_head",
            "LampHead",
            ("dimmer",),
            ("relay", "light", "power", "thermometer", "motion"),
            lamp=("dimmer", "relay"),
        ),
        Instruments(
            "water_meter",
            "A water meter's register.",
            "water_register",
            "WaterRegister",
            ("forward",),
            ("backward", "battery", "tamper"),
        ),
        Instruments(
            "air_quality",
            "An air-quality station.",
            "air_station",
            "AirStation",
            ("particles", "co2", "climate"),
            ("pressure", "no2", "o3"),
        ),
    )
}
