"""Where an asset is: coordinates of a table, or a geometry of RFC 7946, in WGS 84."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import orjson

from kerbline.assets.asset import LINE, POINT, Location, Position
from kerbline.assets.faults import Faults, Where, brief

MAX_POSITIONS = 10_000  # of one line
HIGHEST_M = 10_000.0
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_COMMA = re.compile(r"([+-]?[0-9]{1,9}),([0-9]{1,30})")
_DEGREES = "write decimal degrees: 59.3293"
_EXAMPLE = '{"type": "Point", "coordinates": [18.0686, 59.3293]}, longitude first'
_SWAPPED = {
    "lat": "swap the columns: lat and lon look exchanged",
    "coordinates": "write [longitude, latitude]: they look exchanged",
}
_LIMITS = {"lat": 90.0, "lon": 180.0}


class _Unusable(Exception):
    """A place that will not do: the key, what is wrong, and the remedy."""


def read(where: Where, values: Mapping[str, object], faults: Faults) -> Location | None:
    """The place of keys `lat` and `lon`, or `location`; None where all are empty or at fault."""
    try:
        return _read(values)
    except _Unusable as fault:
        key, problem, remedy = fault.args
        faults.add(where, key, problem, remedy)
        return None


def parse(geometry: object) -> Location:
    """A geometry object that this room wrote; raises ValueError."""
    try:
        return _geometry(geometry)
    except _Unusable as fault:
        raise ValueError(fault.args[1]) from None


def _read(values: Mapping[str, object]) -> Location | None:
    geometry = values.get("location")
    given = {key: values[key] for key in _LIMITS if values.get(key) not in (None, "")}
    if geometry in (None, ""):
        if not given:
            return None
        if len(given) == 1:
            (one,) = given
            other = "lat" if one == "lon" else "lon"
            raise _Unusable(other, f"is missing where {one} is given", _DEGREES)
        lat, lon = (_degrees(key, given[key]) for key in _LIMITS)
        _check(lat, lon, "lat", "lon")
        return Location(POINT, ((lon, lat),))
    if given:
        raise _Unusable("location", "is given beside lat and lon", "leave one of them empty")
    return _geometry(_loaded(geometry) if isinstance(geometry, str) else geometry)


def _loaded(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        raise _Unusable("location", f"{brief(text)} is no JSON", f"write {_EXAMPLE}") from None


def _degrees(key: str, value: object) -> float:
    if isinstance(value, str):
        value = value.strip()
        comma = _COMMA.fullmatch(value)
        if comma:
            remedy = f"write {comma[1]}.{comma[2]}, with a point"
            raise _Unusable(key, f"{brief(value)} has a decimal comma", remedy)
        if _NUMBER.fullmatch(value):
            return float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _Unusable(key, f"{brief(value)} is no number", _DEGREES)


def _check(lat: float, lon: float, lat_key: str, lon_key: str) -> None:
    """Raise where a coordinate is out of range, with what it looks like instead."""
    for key, value, limit in ((lat_key, lat, 90.0), (lon_key, lon, 180.0)):
        if abs(value) <= limit:
            continue
        problem = f"{value:.12g} is out of range, {-limit:g} to {limit:g}"
        if abs(lat) <= 180 and abs(lon) <= 90:
            raise _Unusable(key, problem, _SWAPPED[key])
        if max(abs(lat), abs(lon)) > 1_000:
            remedy = "these look like metres of a national grid: export in WGS 84 (EPSG:4326)"
            raise _Unusable(key, problem, remedy)
        raise _Unusable(key, problem, _DEGREES)


def _geometry(geometry: object) -> Location:
    match geometry:
        case {"type": "Point", "coordinates": position, **rest}:
            kind = POINT
            positions: tuple[Position, ...] = (_position(position),)
        case {"type": "LineString", "coordinates": list(line), **rest}:
            if not 2 <= len(line) <= MAX_POSITIONS:
                problem = f"a LineString of {len(line)} positions"
                raise _Unusable("location", problem, f"write 2 to {MAX_POSITIONS:,}")
            kind, positions = LINE, tuple(map(_position, line))
        case {"type": str(other)} if other not in (POINT, LINE):
            problem = f"{brief(other)} is no geometry of an asset"
            raise _Unusable("location", problem, "write a Point or a LineString")
        case _:
            problem = f"{brief(geometry)} is no geometry"
            raise _Unusable("location", problem, f"write {_EXAMPLE}")
    strange = next((key for key in rest if key != "bbox"), None)
    if strange is not None:
        problem = f"{brief(strange)} is not a key that belongs here"
        raise _Unusable("location", problem, "remove it; known here: type, coordinates")
    return Location(kind, positions)


def _position(value: object) -> Position:
    if not isinstance(value, list) or not 2 <= len(value) <= 3:
        problem = f"{brief(value)} is no position"
        raise _Unusable("coordinates", problem, "write [longitude, latitude]")
    for each in value:
        if type(each) not in (int, float) or not math.isfinite(each):
            problem = f"{brief(each)} is no number"
            raise _Unusable("coordinates", problem, "write [longitude, latitude] in degrees")
    lon, lat, *height = map(float, value)
    _check(lat, lon, "coordinates", "coordinates")
    if height and abs(height[0]) > HIGHEST_M:
        raise _Unusable("coordinates", f"{height[0]:g} m is no height", "write it in metres")
    return (lon, lat, *height)
