"""The streetlight with its drivers: lamp, light, power, temperature and motion."""

from kerbnode.assets import streetlight
from kerbnode.schedule import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from kerbnode.drivers.motion import Motion
    from kerbnode.drivers.tmp36 import Tmp36
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings

    class Dimmer(Protocol):
        def show(self, level: int) -> None: ...

    class Light(Protocol):
        def lux(self) -> "int | None": ...

    class Power(Protocol):
        def sample(self) -> "tuple[int, int, int] | None": ...


SCHEDULE_MS = 10_000  # sun, temperature and profile change no faster


class LampHead:
    """Lamp, light sensor, power sensor, thermometer and motion sensor of a streetlight."""

    def __init__(
        self,
        dimmer: "Dimmer",
        light: "Light",
        power: "Power",
        thermometer: "Tmp36",
        motion: "Motion",
    ):
        self._dimmer = dimmer
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
        inputs.motion = self._motion.take(uptime_ms)
        sample = self._power.sample()
        if sample is not None:
            inputs.power_dw = sample[0]
        events = self.asset.step(uptime_ms, inputs)
        self._dimmer.show(self.asset.level)
        return events

    def configure(self, wanted: "Settings") -> None:
        """Take what a CONFIG changed."""
        self._schedule.dim(wanted.profile)
        self._slow = -1
