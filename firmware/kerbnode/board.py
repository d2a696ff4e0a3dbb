"""The wiring of sim: one function for each asset that it serves.

Compiled from boards/sim.toml (`kerbline boards show sim --python`).
The build of a board puts that board's own file in this place.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Board, Pin
    from kerbnode.instruments import Instruments

NAME = "sim"
CHIP = "host"
# Each link's UART, tx, rx and the pin that is high while we talk.
LINKS: "dict[str, tuple[Pin, ...]]" = {"uart": (), "rs485": (), "udp": ()}
SERVICE_PIN: "Pin" = None  # tied to ground at the start, then let go: the REPL opens
SLEEP: "tuple[Pin, ...]" = ("forward", "backward")  # contacts that end a deep sleep


def streetlight(hal: "Board") -> "Instruments":
    """A lamp head."""
    from kerbnode.drivers.bh1750 import Bh1750
    from kerbnode.drivers.bl0942 import Bl0942
    from kerbnode.drivers.motion import Motion
    from kerbnode.drivers.pwm_led import PwmLed
    from kerbnode.drivers.tmp36 import Tmp36
    from kerbnode.instruments.lamp_head import LampHead

    air_bus = hal.i2c(0, "scl", "sda", 100_000)
    return LampHead(
        dimmer=PwmLed(hal.pwm("lamp", 1000)),
        light=Bh1750(air_bus),
        power=Bl0942(hal.serial("power", "power_tx", "power_rx", 4800)),
        thermometer=Tmp36(hal.adc("temperature")),
        motion=Motion(hal.latch("motion"), warm_s=0),
    )


def water_meter(hal: "Board") -> "Instruments":
    """A water meter's register."""
    from kerbnode.drivers.battery import Battery
    from kerbnode.drivers.pulses import PulseMeter
    from kerbnode.instruments.water_register import WaterRegister

    return WaterRegister(
        forward=PulseMeter(hal.counter("forward")),
        backward=PulseMeter(hal.counter("backward")),
        battery=Battery(hal.adc("battery")),
    )


def air_quality(hal: "Board") -> "Instruments":
    """An air-quality station."""
    from kerbnode.drivers.ads1115 import Ads1115
    from kerbnode.drivers.b4_cell import B4Cell
    from kerbnode.drivers.bme280 import Bme280
    from kerbnode.drivers.pms5003 import Pms5003
    from kerbnode.drivers.scd41 import Scd41
    from kerbnode.instruments.air_station import AirStation

    air_bus = hal.i2c(0, "scl", "sda", 100_000)
    cells_inputs = Ads1115(air_bus)
    climate_chip = Bme280(air_bus)
    return AirStation(
        particles=Pms5003(hal.serial("particles", "tx", "rx", 9600)),
        co2=Scd41(air_bus),
        climate=climate_chip,
        pressure=climate_chip,
        no2=B4Cell(cells_inputs.channel(0)),
    )
