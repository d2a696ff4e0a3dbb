"""The air-quality station with its drivers: particles, gases, climate and pressure."""

from kerbnode.assets import air_quality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from kerbnode.drivers.b4_cell import B4Cell
    from kerbnode.drivers.scd41 import Scd41
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings

    class Sensor(Protocol):
        raw: object

        def sample(self) -> "tuple[int, ...] | None": ...

    class Particles(Sensor, Protocol):
        fan: int


PERIOD_MS = 5000  # of a round of samples: the carbon dioxide sensor has no new one sooner
LOOKS = 100  # ticks until a round is over, whoever is still at work
BITS = (0b111, 1 << 3, 0b11 << 5, 1 << 7, 1 << 4, 1 << 8)  # of the fields that each sensor gives


class AirStation:
    """Sensors of an air-quality station; each is looked at once a tick until it has a sample."""

    def __init__(
        self,
        particles: "Particles",
        co2: "Scd41",
        climate: "Sensor",
        pressure: "Sensor | None" = None,
        no2: "B4Cell | None" = None,
        o3: "B4Cell | None" = None,
    ):
        self._fan = particles
        self._co2 = co2
        self._no2 = no2
        self._o3 = o3
        self._one_chip = pressure is climate
        barometer = None if self._one_chip else pressure
        self._sensors: tuple[Sensor | None, ...] = (particles, co2, climate, barometer, no2, o3)
        self._got: list[tuple[int, ...] | None] = []
        self._looks = 0  # of this round; 0: it is over
        self._round = -1

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset, which has no totals."""
        fitted = [bits if each else 0 for bits, each in zip(BITS, self._sensors)]
        if self._one_chip:
            fitted[2] |= 1 << 7
        self.asset = air_quality.AirQuality(tuple(fitted), 1000 * wanted.report_s)

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`; the chips are asked once in 5 s."""
        if not self._looks:
            if uptime_ms // PERIOD_MS == self._round:
                return ()
            self._round = uptime_ms // PERIOD_MS
            self._got = [() if each else None for each in self._sensors]
        self._looks += 1
        for place, sensor in enumerate(self._sensors):
            if sensor and self._got[place] == ():
                self._got[place] = sensor.sample()
        if () in self._got and self._looks < LOOKS:
            return ()
        self._looks = 0
        return self._finish(uptime_ms)

    def _finish(self, uptime_ms: int) -> "Events":
        particles, co2, climate, pressure, no2, o3 = self._got
        samples: list[int | None] = [None] * 9
        if particles:
            samples[0:3] = particles
        if co2:
            samples[3] = co2[0]
        if climate:
            samples[5:7] = climate[:2]
            if no2 and self._no2:  # without it ozone can't be told apart
                samples[4] = ppb = self._no2.tenth_ppb(no2, climate[0])
                if o3 and self._o3:
                    samples[8] = self._o3.tenth_ppb(o3, climate[0], ppb)
        pressure = pressure or climate
        if pressure and len(pressure) > 2:
            samples[7] = pressure[2]
            self._co2.hpa = pressure[2] // 10
        raws = [got and sensor and sensor.raw for sensor, got in zip(self._sensors, self._got)]
        return self.asset.step(uptime_ms, samples, raws, self._fan.fan)

    def configure(self, wanted: "Settings") -> None:
        """Take what a CONFIG changed."""
        self.asset.period_ms = 1000 * wanted.report_s
