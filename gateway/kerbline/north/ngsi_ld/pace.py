"""Which values are worth telling: dead-band and heartbeat by attribute; pure."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.north.ngsi_ld.change import UNCERTAINTY, Attribute

Key = tuple[str, str]  # entity, attribute


class Pace:
    """Remembers what was told last; an attribute without a dead-band is told always."""

    def __init__(self, bands: Mapping[str, float], heartbeat_s: float) -> None:
        """`bands`: by attribute's name, in the attribute's own unit; 0 is on change."""
        self._bands = bands
        self._heartbeat_ms = round(heartbeat_s * 1000)
        self._told: dict[Key, tuple[int, Attribute]] = {}

    def wants(self, key: Key, at_ms: int, attribute: Attribute) -> bool:
        """Is it to be told? Then it counts as told."""
        band = self._bands.get(key[1])
        if band is None:
            return True
        before = self._told.get(key)
        near = before is not None and abs(at_ms - before[0]) < self._heartbeat_ms
        if near and before is not None and not _is_news(before[1], attribute, band):
            return False
        self._told[key] = (at_ms, attribute)
        return True


def _is_news(before: Attribute, now: Attribute, band: float) -> bool:
    """Another value, or other flags; by how much its time is unsure alone is none."""
    return _moved(before.value, now.value, band) or _flags(before) != _flags(now)


def _flags(attribute: Attribute) -> list[str]:
    return [flag for flag in attribute.quality if not flag.startswith(UNCERTAINTY)]


def _moved(before: object, now: object, band: float) -> bool:
    if _is_number(before) and _is_number(now):
        assert isinstance(before, int | float) and isinstance(now, int | float)
        return abs(now - before) > band
    return before != now


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
