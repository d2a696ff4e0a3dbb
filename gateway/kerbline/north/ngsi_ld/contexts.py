"""Which @context maps an entity's terms: of each type the official one of its subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

OFFICIAL = "https://raw.githubusercontent.com/smart-data-models/dataModel.{}/master/context.jsonld"

SUBJECTS: Mapping[str, str] = {
    "Streetlight": "Streetlighting",
    "StreetlightGroup": "Streetlighting",
    "StreetlightControlCabinet": "Streetlighting",
    "WaterConsumptionObserved": "WaterConsumption",
    "AirQualityObserved": "Environment",
    "Device": "Device",
    "DeviceMeasurement": "Device",
    "DeviceOperation": "Device",
    "Alert": "Alert",
    "KeyPerformanceIndicator": "KeyPerformanceIndicator",
}


class Contexts:
    """The addresses by type; a city's own ones, where it hosts a copy, stand for all types.

    The core context is in none: a broker puts its own behind (ETSI GS CIM 009, 5.5.7), and one
    that had to fetch another version of it could answer 503.
    """

    def __init__(self, city: Sequence[str] = ()) -> None:
        self._city = tuple(city)

    def of(self, type_name: str) -> tuple[str, ...]:
        """The addresses for entities of that type, in their order."""
        return self._city or (OFFICIAL.format(SUBJECTS[type_name]),)
