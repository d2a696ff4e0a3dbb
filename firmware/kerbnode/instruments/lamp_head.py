"""The streetlight with its drivers: dimmer, relay, power, light, motion and temperature."""

from binascii import crc32

from kerbnode.assets import streetlight
from kerbnode.schedule import ASTRAY, Schedule, level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from kerbnode.drivers.motion import Motion
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings

    class Dimmer(Protocol):
        def show(self, level: int) -> None: ...

    class Relay(Protocol):
        def switch(self, *, on: bool) -> None: ...

    class Light(Protocol):
        def lux(self) -> "int | None": ...

    class Power(Protocol):
        def sample(self) -> "tuple[int, int, int] | None": ...

    class Thermometer(Protocol):
        def celsius(self) -> "int | None": ...


REST_MS = 20  # all but the light itself can wait so long
SPREAD_S = 16  # the lamps of a street go on within that time, not in one inrush
FULL = 1000


class LampHead:
    """All that a pole may carry; only the dimmer must be there."""

    def __init__(
        self,
        dimmer: "Dimmer",
        relay: "Relay | None" = None,
        light: "Light | None" = None,
        power: "Power | None" = None,
        thermometer: "Thermometer | None" = None,
        motion: "Motion | None" = None,
    ):
        self._dimmer = dimmer
        self._relay = relay
        self._light = light
        self._power = power
        self._thermometer = thermometer
        self._motion = motion
        self._inputs = streetlight.Inputs()
        self._looked = self._ticked_ms = -1
        self._drive = FULL  # 1/1000 of the level that is driven: constant light output
        self.lit()  # the pin may have told the dimmer otherwise

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset and its schedule."""
        self.asset = streetlight.Streetlight(totals or (0, 0))
        lead_s = crc32(wanted.node_id.encode()) % SPREAD_S
        self._schedule = Schedule(wanted.position, lead_s)
        self.configure(wanted)

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`; `street_ms` is UTC, or None."""
        try:
            return self._tick(uptime_ms, street_ms)
        except Exception:
            self.lit()  # a bug may cost energy, never the light
            raise

    def _tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        inputs = self._inputs
        asset = self.asset
        if asset.fading == streetlight.RAISE_TICK_MS and uptime_ms - self._ticked_ms < REST_MS:
            asset.show(uptime_ms)  # so quick that a chip has time for no more
            self._show(asset.level * self._drive // FULL, True)
            return ()
        self._ticked_ms = uptime_ms
        if self._motion is not None:
            inputs.motion = self._motion.take(uptime_ms)
        if self._power is not None:
            sample = self._power.sample()
            inputs.power_dw = None if sample is None else sample[0]
        uptime_s = uptime_ms // 1000
        utc_known = street_ms is not None
        if uptime_s != self._looked or utc_known != inputs.utc_known:
            self._looked = uptime_s
            inputs.utc_known = utc_known
            self._look(uptime_s, None if street_ms is None else street_ms // 1000)
        events = asset.step(uptime_ms, inputs)
        if self._clo and not asset.fading:  # one step at a time is none that shows
            drive = 10 * level(self._clo, asset.hours())
            self._drive += (drive > self._drive) - (drive < self._drive)
        self._show(asset.level * self._drive // FULL, asset.lamp_on)
        return events

    def _look(self, uptime_s: int, utc_s: "int | None") -> None:
        """Once a second what changes no faster, and which of the sensors are broken."""
        inputs = self._inputs
        lux = None if self._light is None else self._light.lux()
        schedule = self._schedule
        inputs.scheduled_pct = schedule.step(uptime_s, utc_s, lux)
        inputs.night = schedule.night
        faults = schedule.cell_fault & ASTRAY
        if self._light is not None and schedule.cell_fault != faults:
            faults |= streetlight.LIGHT_FAULT
        if self._power is not None and inputs.power_dw is None:
            faults |= streetlight.POWER_FAULT
        if self._thermometer is not None:
            inputs.temperature_c = self._thermometer.celsius()
            if inputs.temperature_c is None:
                faults |= streetlight.THERMOMETER_FAULT
        if self._motion is not None and self._motion.fault:
            faults |= streetlight.MOTION_FAULT
        inputs.faults = faults

    def lit(self) -> None:
        """Full light, until the next tick."""
        self._show(FULL, True)

    def _show(self, output: int, on: bool) -> None:  # noqa: FBT001 - by keyword it is more bytes
        if self._relay is not None:
            self._relay.switch(on=on)
        self._dimmer.show(output)

    def configure(self, wanted: "Settings") -> None:
        """Take what a CONFIG changed."""
        self._clo = wanted.clo
        self._schedule.configure(wanted.profile, wanted.night)
        self.asset.motion = wanted.motion
        self._looked = -1
