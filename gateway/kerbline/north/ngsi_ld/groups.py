"""Groups of lamps that a city orders together: who is in one, how it stands; pure.

What is written of a group's entity is written of each of its lamps that has a node here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from kerbline.assets.asset import STREETLIGHT
from kerbline.north.ngsi_ld.change import Attribute
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import group

if TYPE_CHECKING:
    from kerbline.north.ngsi_ld.orders import Target


def members(lamps: Iterable[Target], city: City) -> Mapping[str, list[Target]]:
    """The lamps that take orders here, by their group; what is in none is left out."""
    found: dict[str, list[Target]] = {}
    for each in lamps:
        name = city.registry.asset(each.asset).group
        if name and each.type == STREETLIGHT:
            found.setdefault(name, []).append(each)
    return found


def urn(name: str, city: City) -> str:
    """The id of a group's entity."""
    return city.urn(group.TYPE, name)


def is_shared(name: str, here: Collection[Target], city: City) -> bool:
    """Has the group lamps that take no orders here?"""
    listed = city.registry.groups().get(name, ())
    return sum(each.type == STREETLIGHT for each in listed) > len(here)


def level(lamps: Collection[Attribute]) -> Attribute | None:
    """What all have; None where they differ."""
    newest = max(lamps, key=_at, default=None)
    same = {each.value for each in lamps}
    return newest if len(same) == 1 else None


def power(lamps: Collection[Attribute]) -> Attribute | None:
    """The newest that is on, or off where none is."""
    lit = [each for each in lamps if each.value == "on"]
    return max(lit or lamps, key=_at, default=None)


def _at(attribute: Attribute) -> int:
    return attribute.observed_at_ms or 0
