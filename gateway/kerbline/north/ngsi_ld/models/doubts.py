"""What a city could not use, told before anything is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from kerbline.assets.asset import CABINET, MEASUREMENT, WATER
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.devices import Device
from kerbline.north.ngsi_ld.models.measured import code
from kerbline.north.ngsi_ld.units import rule

MOST_NAMED = 8
VOLUME = "waterConsumption"
_NONE: Mapping[str, Sequence[str]] = {}
_WITHOUT_PLACE = (WATER, MEASUREMENT)  # whose schemas don't ask for one


def doubts(city: City, telegrams: Mapping[str, Sequence[str]] = _NONE) -> Iterator[str]:
    """A line for each thing that the config or the list of assets should say.

    `telegrams`: by asset, the values that serial devices give it.
    """
    nowhere = [
        each.id
        for each in city.registry.served()
        if each.location is None and each.type not in _WITHOUT_PLACE
    ]
    if nowhere:
        yield f"no place, which their entities have to have: {_named(nowhere)}"
    for device in city.devices:
        if device.kind == "modbus":
            yield from _of_unit(device, city)
        for asset_id in device.assets:
            yield from _without_a_place(asset_id, device.names or telegrams.get(asset_id, ()), city)


def _of_unit(device: Device, city: City) -> Iterator[str]:
    for asset_id in device.assets:
        place = city.place(asset_id)
        type_name = place.asset.type
        if type_name != MEASUREMENT:
            for name, attribute in device.attributes.items():
                unit = code(device, name)
                if rule(type_name, attribute, unit) is None:
                    within = f" in {unit}" if unit else ""
                    told = f"no {type_name} has an attribute {attribute}{within}"
                    yield f"{asset_id}: {told}; {name} is not sent"


def _without_a_place(asset_id: str, names: Sequence[str], city: City) -> Iterator[str]:
    """An asset of which its model takes nothing that its device tells."""
    place = city.place(asset_id)
    rules = [rule for name in names if (rule := place.plan[name]) is not None]
    type_name = place.asset.type
    if not names or type_name == MEASUREMENT:
        return
    if type_name == WATER and all(each.attribute != VOLUME for each in rules):
        yield (
            f"{asset_id} is a {WATER}, and none of its values is its volume: only litres and flow "
            "leave, if any; call a register volume_l or volume_m3, or give it "
            f'attribute = "{VOLUME}"'
        )
    elif not rules:
        whose = "a cabinet's" if type_name == CABINET else "its model's"
        yield (
            f"{asset_id} is a {type_name}, and none of its values is one of {whose}: "
            "nothing of it leaves; give it another type in the list of assets"
        )


def _named(ids: Collection[str]) -> str:
    shown = ", ".join(sorted(ids)[:MOST_NAMED])
    more = len(ids) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
