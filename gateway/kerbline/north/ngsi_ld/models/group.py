"""StreetlightGroup: the lamps that a city names together, as its registry has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kerbline.assets import Asset
from kerbline.assets.asset import CABINET, STREETLIGHT
from kerbline.north.ngsi_ld.change import GEO, RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City

TYPE = "StreetlightGroup"


def names(city: City, cabinet: Asset) -> Sequence[str]:
    """The groups that a cabinet controls: its own, else those of its zone, else one by its name.

    The schema asks for one at least; where the registry names none, all lamps at the cabinet are
    a group called after it.
    """
    if cabinet.group:
        return [cabinet.group]
    lamps = [each for each in city.registry.zones().get(cabinet.zone, ()) if _is_lamp(each)]
    named = [each.group for each in lamps if each.group and not city.registry.personal(each.id)]
    return list(dict.fromkeys(named)) or [cabinet.id]


def standing(city: City, *, personal: bool) -> Iterator[Change]:
    """Every group that a device of ours serves, or a cabinet of ours controls.

    Of what is personal, a home that shares a group's name among it, a group tells only where
    `personal` says so.
    """

    def told(assets: Iterable[Asset]) -> list[Asset]:
        return [each for each in assets if personal or not city.registry.personal(each.id)]

    served = told(city.registry.served())
    cabinets = {each.id: names(city, each) for each in served if each.type == CABINET}
    lamps = dict.fromkeys(each.group for each in served if _is_lamp(each) and each.group)
    listed = city.registry.groups()
    for name in dict.fromkeys((*lamps, *(each for some in cabinets.values() for each in some))):
        members = told(listed.get(name, ()))
        by = [cabinet for cabinet, some in cabinets.items() if name in some]
        yield Change(city.urn(TYPE, name), TYPE, _attributes(city, name, members, by))


def _attributes(
    city: City, name: str, members: Sequence[Asset], cabinets: Sequence[str]
) -> dict[str, Attribute]:
    found = {"name": Attribute(name)}
    lamps = [each for each in members if _is_lamp(each)]
    if lamps:
        ids = [city.urn(STREETLIGHT, each.id) for each in lamps]
        found["refStreetlight"] = Attribute(ids, kind=RELATIONSHIP)
    if cabinets:
        found["refStreetlightControlCabinet"] = city.reference(CABINET, cabinets[0])
    positions = list(_positions(lamps or members))
    if not positions and cabinets:
        positions = list(_positions([city.registry.asset(cabinets[0])]))
    if len(positions) == 1:
        point = {"type": "Point", "coordinates": positions[0]}
        found["location"] = Attribute(point, kind=GEO)
    elif positions:
        points = {"type": "MultiPoint", "coordinates": positions}
        found["location"] = Attribute(points, kind=GEO)
    return found


def _is_lamp(asset: Asset) -> bool:
    return asset.type == STREETLIGHT


def _positions(assets: Sequence[Asset]) -> Iterator[list[float]]:
    for each in assets:
        if each.location is not None:
            yield from (list(position) for position in each.location.positions)
