"""What stands: where each asset is, what it belongs to, and which device serves it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kerbline.assets import Asset
from kerbline.assets.asset import AIR, CABINET, MEASUREMENT, STREETLIGHT
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import cabinet, device, group

# What a schema requires and only a measurement can give: no body without it makes a whole entity.
MEASURED: Mapping[str, str] = {STREETLIGHT: "status", AIR: "dateObserved"}

_IDENTIFIER = re.compile(r"[\w\-.{}$+*\[\]`|~^@!,:\\]{1,256}")  # of the models' common schema


def standing(city: City, *, personal: bool = False) -> Sequence[Change]:
    """All that a registry and a config say of the assets that have a device here.

    For the start and for when the registry's revision rose. What `lacks` something waits for
    the first change of the same entity, to go with it. Personal assets and the devices that serve
    nothing else are in it with `personal` alone.
    """
    assets = [
        each for each in city.registry.served() if personal or not city.registry.personal(each.id)
    ]
    made = [change for each in assets if (change := _asset(each, city)) is not None]
    return [
        *made,
        *group.standing(city, personal=personal),
        *device.standing(city, personal=personal),
    ]


def lacks(change: Change) -> str:
    """What only a measurement can tell and no entity of its type may be without, "" for nothing."""
    measured = MEASURED.get(change.type, "")
    return "" if measured in change.attributes else measured


def _asset(asset: Asset, city: City) -> Change | None:
    if asset.type == MEASUREMENT:
        return None  # each of its values is an entity of its own
    place = city.place(asset.id)
    return Change(place.id, asset.type, dict(_attributes(asset, city)))


def _attributes(asset: Asset, city: City) -> Iterator[tuple[str, Attribute]]:
    place = city.place(asset.id)
    yield from place.location.items()
    if asset.name:
        yield "name", Attribute(asset.name)
    if asset.zone:
        yield "areaServed", Attribute(asset.zone)
    if asset.segment:
        yield "address", Attribute({"streetAddress": asset.segment})
    if asset.owner:
        yield "owner", Attribute([_owner(asset.owner, city)])
    devices = city.devices_at(asset.id)
    if devices and asset.type in (STREETLIGHT, CABINET):
        yield "refDevice", Attribute(devices, kind=RELATIONSHIP)
    if devices and asset.type == AIR:
        yield "refDevice", Attribute(devices[0], kind=RELATIONSHIP)
    if asset.type == STREETLIGHT:
        yield "controllingMethod", Attribute("individual")
        if asset.group:
            yield "refStreetlightGroup", city.reference(group.TYPE, asset.group)
    if asset.type == CABINET:
        yield from cabinet.required(place, city).items()


def _owner(owner: str, city: City) -> str:
    """As an identifier: a name with spaces becomes the id of an organisation."""
    return owner if _IDENTIFIER.fullmatch(owner) else city.urn("Organization", owner)
