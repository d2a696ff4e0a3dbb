"""Places that are possible and yet hardly meant: far from all others, or with swapped axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import asin, cos, radians, sin, sqrt
from statistics import median

from kerbline.assets.asset import Asset

FAR_KM = 200.0  # wider than any city
_EARTH_KM = 6_371.0
# What most say who swap them: a city of Europe that lies between Ethiopia and the Seychelles.
_EUROPE_LAT, _EUROPE_LON = (34.0, 72.0), (-25.0, 45.0)

Place = tuple[float, float]  # latitude, longitude


def doubts(fresh: Sequence[Asset], everything: Sequence[Asset]) -> Iterator[str]:
    """A line for each of `fresh` far from the middle of `everything`."""
    places = {each.id: place for each in everything if (place := _place(each))}
    if not places:
        return
    lats, lons = zip(*places.values(), strict=True)
    middle = median(lats), median(lons)
    lat, lon = middle
    if fresh and not _european(middle) and _european((lon, lat)):
        yield f"most assets lie at lat {lat:g}, lon {lon:g}: are latitude and longitude swapped?"
    for each in fresh:
        place = places.get(each.id)
        if place is None or _apart_km(place, middle) <= FAR_KM:
            continue
        away = f"{each.id} lies {_apart_km(place, middle):,.0f} km from the middle of the others"
        swapped = place[1], place[0]
        near = abs(swapped[0]) <= 90 and _apart_km(swapped, middle) <= FAR_KM
        yield f"{away}: latitude and longitude swapped?" if near else away


def _place(asset: Asset) -> Place | None:
    """Of a line its beginning."""
    if asset.location is None:
        return None
    lon, lat, *_ = asset.location.positions[0]
    return lat, lon


def _european(place: Place) -> bool:
    lat, lon = place
    south, north = _EUROPE_LAT
    west, east = _EUROPE_LON
    return south <= lat <= north and west <= lon <= east


def _apart_km(one: Place, other: Place) -> float:
    """On a sphere, by the haversine."""
    lat_1, lon_1, lat_2, lon_2 = map(radians, (*one, *other))
    across = sin((lon_2 - lon_1) / 2) ** 2
    chord = sin((lat_2 - lat_1) / 2) ** 2 + cos(lat_1) * cos(lat_2) * across
    return 2 * _EARTH_KM * asin(min(1.0, sqrt(chord)))
