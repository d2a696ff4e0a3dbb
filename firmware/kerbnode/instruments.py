"""Each kind of asset with its drivers: reads them, steps the asset, shows what it wants."""

from kerbnode.assets import air_quality, streetlight, water_meter
from kerbnode.schedule import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from kerbnode.hal.board import Board
    from kerbnode.settings import Settings
    from kerbwire.schema import Schema

    Events = list[tuple[int, int]]

    class Asset(Protocol):
        """What all assets offer to the rest of the node."""

        SCHEMA: Schema
        level: int
        fading: bool

        def command(self, op: int, args: "tuple[int, ...]", now: int) -> int: ...
        def values(self) -> "tuple[int, ...]": ...
        def totals(self) -> "tuple[int, ...]": ...

    class Instruments(Protocol):
        """An asset with its drivers."""

        @property
        def asset(self) -> Asset: ...
        def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events": ...
        def configure(self, wanted: Settings) -> None: ...


SCHEDULE_MS = 10_000  # sun, temperature and profile change no faster
PULSES_PER_LITRE = 1


class LampHead:
    """Lamp, light sensor, power sensor, thermometer and motion sensor of a streetlight."""

    def __init__(self, board: "Board", wanted: "Settings", totals: "tuple[int, ...] | None"):
        from kerbnode.drivers import lamp, light, power, thermometer

        self.asset = streetlight.Streetlight(totals or (0, 0))
        self._lamp = lamp.Lamp(board.pwm("lamp"))
        self._light = light.LightSensor(board.adc("light"))
        self._power = power.PowerSensor(board.adc("power"))
        self._thermometer = thermometer.Thermometer(board.adc("temperature"))
        self._motion = board.latch("motion")
        self._schedule = Schedule(wanted.profile, wanted.position)
        self._inputs = streetlight.Inputs()
        self._slow = -1

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`; `street_ms` is UTC, or None."""
        inputs = self._inputs
        utc_known = street_ms is not None
        if uptime_ms // SCHEDULE_MS != self._slow or utc_known != inputs.utc_known:
            self._slow = uptime_ms // SCHEDULE_MS
            inputs.lux = self._light.lux()
            inputs.temperature_c = self._thermometer.celsius()
            inputs.utc_known = utc_known
            street_s = None if street_ms is None else street_ms // 1000
            inputs.scheduled_pct = self._schedule.step(uptime_ms // 1000, street_s, inputs.lux)
            inputs.night = self._schedule.night
        inputs.motion = self._motion.take()
        inputs.power_dw = self._power.power_dw()
        events = self.asset.step(uptime_ms, inputs)
        self._lamp.show(self.asset.level)
        return events

    def configure(self, wanted: "Settings") -> None:
        """Take what a CONFIG changed."""
        self._schedule.dim(wanted.profile)
        self._slow = -1


class WaterRegister:
    """The pulse outputs of a meter's register, and its cell."""

    def __init__(self, board: "Board", wanted: "Settings", totals: "tuple[int, ...] | None"):
        from kerbnode.drivers import battery, pulses

        self.asset = water_meter.WaterMeter(totals or (0, 0))
        self._forward = pulses.PulseMeter(board.counter("forward"), PULSES_PER_LITRE)
        self._backward = pulses.PulseMeter(board.counter("backward"), PULSES_PER_LITRE)
        self._battery = battery.Battery(board.adc("battery"))
        self._inputs = water_meter.Inputs()

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`."""
        inputs = self._inputs
        inputs.forward_l = self._forward.litres()
        inputs.backward_l = self._backward.litres()
        inputs.battery_mv = self._battery.millivolts()
        return self.asset.step(uptime_ms, inputs)

    def configure(self, wanted: "Settings") -> None:
        """A meter has nothing to configure but its reports."""


class AirStation:
    """Particle sensor, carbon dioxide, nitrogen dioxide and pressure of an air-quality station."""

    def __init__(self, board: "Board", wanted: "Settings", totals: "tuple[int, ...] | None"):
        from kerbnode.drivers import lps22, no2, pms5003, scd41

        i2c = board.i2c("air")
        self.asset = air_quality.AirQuality()
        self._particles = pms5003.Pms5003(board.serial("particles"))
        self._carbon = scd41.Scd41(i2c)
        self._nitrogen = no2.No2Cell(board.adc("no2"))
        self._pressure = lps22.Lps22(i2c)
        self._period_ms = scd41.PERIOD_MS
        self._sampled: int | None = None

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`; the chips are asked once in 5 s."""
        period = uptime_ms // self._period_ms
        if self._sampled is None:
            self._carbon.start()
            self._pressure.start()
            self._sampled = period + 1  # the first measurement takes a whole period
        if period <= self._sampled:
            return []
        self._sampled = period
        ppm, celsius, humidity = self._carbon.sample()
        samples = self._particles.sample() + (
            ppm,
            self._nitrogen.tenth_ppb(),
            celsius,
            humidity,
            self._pressure.sample(),
        )
        return self.asset.step(uptime_ms, samples)

    def configure(self, wanted: "Settings") -> None:
        """A station has nothing to configure but its reports."""


def build(board: "Board", wanted: "Settings", totals: "tuple[int, ...] | None") -> "Instruments":
    """The instruments of the asset that the settings name."""
    if wanted.asset == "streetlight":
        return LampHead(board, wanted, totals)
    if wanted.asset == "water_meter":
        return WaterRegister(board, wanted, totals)
    return AirStation(board, wanted, totals)
