"""What the list of assets and a config say of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from kerbline.assets.asset import (
    IMPLIED,
    MEASUREMENT,
    MODBUS_METER,
    SERIAL_METER,
    WATER,
    Asset,
    personal,
)
from kerbline.assets.metered import kinds
from kerbline.config import Config

MOST_NAMED = 8
_NODES = frozenset(["streetlight", "water_meter", "air_quality"])


def doubts(config: Config, assets: Sequence[Asset]) -> Iterator[str]:
    """A line for each thing that may not have been meant."""
    served = kinds(config)
    listed = {each.id: each for each in assets}
    if not listed:
        yield "no asset was ever imported: `kerbline assets import`"
        yield from _unsaid(served, listed)
        return
    lacking = [each for each in served if each not in listed]
    if lacking:
        yield f"not in the list of assets: {_named(lacking)}"
    for asset_id, kind in served.items():
        asset = listed.get(asset_id)
        if asset is None or kind not in _NODES or asset.type in (IMPLIED[kind], MEASUREMENT):
            continue
        yield f"{asset_id} is a {asset.type} in the list, and the config has a {kind} node at it"
    yield from _unsaid(served, listed)
    yield from _sums(config, [(listed[each], served[each]) for each in served if each in listed])
    yield from _districts(config, served, listed)
    unserved = [each for each in listed if each not in served]
    if unserved:
        yield f"in the list of assets and not in this config: {_named(unserved)}"


def _unsaid(served: Mapping[str, str], listed: Mapping[str, Asset]) -> Iterator[str]:
    """What is held back by its device alone, which may be a home's and may be the city's."""
    found = [
        each
        for each, kind in served.items()
        if kind in (MODBUS_METER, SERIAL_METER)
        and not (each in listed and (listed[each].privacy or listed[each].type == WATER))
    ]
    if found:
        yield (
            f"held back as a home's may be, by what the devices measure: {_named(found)}; "
            "say `privacy` public or personal in the list of assets"
        )


def _sums(config: Config, served: Sequence[tuple[Asset, str]]) -> Iterator[str]:
    """Households whose water is in no sum that leaves."""
    least = config.city.min_households if config.city is not None else 0
    homes: dict[str, set[str]] = {}
    meters = [asset for asset, kind in served if asset.type == WATER and personal(asset, kind)]
    for asset in meters:
        home = f"group {asset.group}" if asset.group else asset.id
        homes.setdefault(asset.zone, set()).add(home)
    nowhere = [asset.id for asset in meters if not asset.zone]
    if nowhere:
        yield f"personal water meters without a zone, whose water is in no sum: {_named(nowhere)}"
    few = [zone for zone, some in homes.items() if zone and len(some) < least]
    if few:
        yield f"zones of fewer than {least} households, of which no sum leaves: {_named(few)}"


def _districts(
    config: Config, served: Mapping[str, str], listed: Mapping[str, Asset]
) -> Iterator[str]:
    zones = {asset.zone for asset in listed.values()}
    meters = [each for each in served if each in listed and listed[each].type == WATER]
    for district in config.districts:
        zone = district.zone
        if zone not in zones:
            yield (
                f"no asset of the list has the zone {zone} of a [[district]]: its alarms are held "
                "back as a home's may be"
            )
        here = [each for each in meters if listed[each].zone == zone]
        astray = set(district.left_out).difference(here)
        if astray:
            yield f"left out of district {zone}, which has none of them: {_named(astray)}"
        homes = {each for each in meters if personal(listed[each], served[each])}
        counted = homes.intersection(district.counted(here))
        others = counted.symmetric_difference(homes.intersection(here))
        if counted and others:
            yield (
                f"district {zone} tells no consumption, since it has other households than the sum "
                f"of the zone: {_named(others)}; give those a `zone` of their own in the list"
            )


def _named(ids: Collection[str]) -> str:
    shown = ", ".join(sorted(ids)[:MOST_NAMED])
    more = len(ids) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
