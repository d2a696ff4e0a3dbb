"""Which values are worth telling: dead-band and heartbeat by attribute; pure."""

from __future__ import annotations

from collections.abc import Mapping

Key = tuple[str, str]  # entity, attribute


class Pace:
    """Remembers what was told last; an attribute without a dead-band is told always."""

    def __init__(self, bands: Mapping[str, float], heartbeat_s: float) -> None:
        """`bands`: by attribute's name, in the attribute's own unit; 0 is on change."""
        self._bands = bands
        self._heartbeat_ms = round(heartbeat_s * 1000)
        self._told: dict[Key, tuple[int, object]] = {}

    def wants(self, key: Key, at_ms: int, value: object) -> bool:
        """Is it to be told? Then it counts as told."""
        band = self._bands.get(key[1])
        if band is None:
            return True
        before = self._told.get(key)
        near = before is not None and abs(at_ms - before[0]) < self._heartbeat_ms
        if near and before is not None and not _moved(before[1], value, band):
            return False
        self._told[key] = (at_ms, value)
        return True


def _moved(before: object, now: object, band: float) -> bool:
    if _is_number(before) and _is_number(now):
        assert isinstance(before, int | float) and isinstance(now, int | float)
        return abs(now - before) > band
    return before != now


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
