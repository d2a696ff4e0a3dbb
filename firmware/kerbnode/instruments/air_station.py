"""The air-quality station with its drivers: particles, gases and pressure."""

from kerbnode.assets import air_quality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.lps22 import Lps22
    from kerbnode.drivers.no2 import No2Cell
    from kerbnode.drivers.pms5003 import Pms5003
    from kerbnode.drivers.scd41 import Scd41
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings

PERIOD_MS = 5000  # between two samples: the carbon dioxide sensor has no new one sooner


class AirStation:
    """Particle sensor, carbon dioxide, nitrogen dioxide and pressure of an air-quality station."""

    def __init__(
        self, particles: "Pms5003", carbon: "Scd41", nitrogen: "No2Cell", pressure: "Lps22"
    ):
        self._particles = particles
        self._carbon = carbon
        self._nitrogen = nitrogen
        self._pressure = pressure
        self._sampled: int | None = None

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset, which has no totals."""
        self.asset = air_quality.AirQuality()

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`; the chips are asked once in 5 s."""
        period = uptime_ms // PERIOD_MS
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
