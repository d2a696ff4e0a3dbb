"""The one table from what the gateway knows to entities of the city; one file a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kerbline.assets import Registry
from kerbline.config import Config
from kerbline.control.air.report import DAY_KIND, HOUR_KIND
from kerbline.model import Alarm, Entry, NodeState, Reading
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.city import Choose, City
from kerbline.north.ngsi_ld.devices import devices
from kerbline.north.ngsi_ld.models import (
    air,
    alert,
    cabinet,
    device,
    kpi,
    measurement,
    streetlight,
    water,
)
from kerbline.north.ngsi_ld.models.standing import lacks, standing

__all__ = ["changes", "city_of", "lacks", "standing"]

_Model = Callable[[Reading, City], tuple[Change, ...]]

# By the type of the asset that it is of; by its kind where a reading is of no asset.
READINGS: Mapping[str, _Model] = {
    air.TYPE: air.reading,
    cabinet.TYPE: cabinet.reading,
    measurement.TYPE: measurement.reading,
    streetlight.TYPE: streetlight.reading,
    water.TYPE: water.reading,
}
KINDS: Mapping[str, _Model] = {
    "event": alert.event,
    HOUR_KIND: air.hour,
    DAY_KIND: air.day,
    **dict.fromkeys(kpi.ORIGINS, kpi.reading),
}
CHOOSE: Mapping[str, Choose] = {
    air.TYPE: air.choose,
    cabinet.TYPE: cabinet.choose,
    measurement.TYPE: measurement.choose,
    streetlight.TYPE: streetlight.choose,
    water.TYPE: water.choose,
}


def city_of(config: Config, registry: Registry) -> City:
    """What the mapping has to know, for as long as the config holds."""
    return City(registry, devices(config), CHOOSE)


def changes(entry: Entry | NodeState, city: City) -> Sequence[Change]:
    """What an entry changes: nothing where no model has a place for it, and for a gap."""
    if isinstance(entry, Reading):
        model = KINDS.get(entry.kind)
        if model is None:
            model = READINGS[city.place(entry.asset, entry.kind).asset.type]
        return model(entry, city)
    if isinstance(entry, Alarm):
        return alert.alarm(entry, city)
    return device.state(entry, city) if isinstance(entry, NodeState) else ()
