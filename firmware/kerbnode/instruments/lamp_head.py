"""The streetlight with its drivers: lamp, light, power, temperature and motion."""

from kerbnode.assets import streetlight
from kerbnode.schedule import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.lamp import Lamp
    from kerbnode.drivers.light import LightSensor
    from kerbnode.drivers.power import PowerSensor
    from kerbnode.drivers.thermometer import Thermometer
    from kerbnode.hal.board import Latch
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings

SCHEDULE_MS = 10_000  # sun, temperature and profile change no faster


class LampHead:
    """Lamp, light sensor, power sensor, thermometer and motion sensor of a streetlight."""

    def __init__(
        self,
        lamp: "Lamp",
        light: "LightSensor",
        power: "PowerSensor",
        thermometer: "Thermometer",
        motion: "Latch",
    ):
        self._lamp = lamp
        self._light = light
        self._power = power
        self._thermometer = thermometer
        self._motion = motion
        self._inputs = streetlight.Inputs()
        self._slow = -1

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset and its schedule."""
        self.asset = streetlight.Streetlight(totals or (0, 0))
        self._schedule = Schedule(wanted.profile, wanted.position)

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
