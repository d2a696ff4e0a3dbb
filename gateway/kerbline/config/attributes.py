"""The attributes of a city's entities that are measured: what a dead-band may be named after."""

from __future__ import annotations

_PHASES = tuple(
    f"{name}{phase}"
    for name in (
        *("activePower", "intensity", "powerFactor", "reactivePower"),
        *("thdrIntensity", "thdrVoltage", "voltage"),
    )
    for phase in "RST"
)
MEASURED = (
    *("illuminanceLevel", "powerConsumption", "lifetimePowerConsumption", "powerRating"),
    *("powerFactor", "voltage", "current", "status", "powerState"),
    *_PHASES,
    *("cosPhi", "energyConsumed", "frequency", "lastMeterReading", "maximumPowerAvailable"),
    *("reactiveEnergyConsumed", "totalActivePower", "totalReactivePower"),
    *("waterConsumption", "maxFlow", "minFlow", "alarmFlowPersistence", "alarmInProgress"),
    *("alarmStopsLeaks", "alarmTamper", "alarmWaterQuality"),
    *("airQualityIndex", "airQualityLevel"),
    *("co", "co2", "no", "no2", "nox", "o3", "so2", "pm1", "pm10", "pm25", "pm4"),
    *("pressure", "relativeHumidity", "temperature", "windSpeed", "reliability"),
    *("batteryLevel", "numValue", "kpiValue"),
)
