"""What the mapping knows of the city beside an entry: its assets and which devices serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerbline.assets import Asset, Registry
from kerbline.north.ngsi_ld.change import GEO, Attribute


class City:
    """A registry and the devices of a config, with what is asked for often at hand."""

    def __init__(self, registry: Registry, devices: Sequence[object] = ()) -> None:
        self.registry = registry
        self.devices = devices
        self._revision = registry.revision
        self._places: dict[str, tuple[Asset, Mapping[str, Attribute]]] = {}
        self._ids: dict[tuple[str, str], str] = {}

    def urn(self, type_name: str, local: str) -> str:
        """The id of an entity of this city."""
        key = (type_name, local)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = self.registry.urn(type_name, local)
        return found

    def place(self, asset_id: str, kind: str) -> tuple[Asset, Mapping[str, Attribute]]:
        """An asset, and where it is, as an attribute that rides along with each change."""
        if self._revision != self.registry.revision:
            self._places.clear()
            self._revision = self.registry.revision
        found = self._places.get(asset_id)
        if found is None:
            asset = self.registry.asset(asset_id, kind)
            where = asset.location
            location = {} if where is None else {"location": Attribute(where.geojson(), kind=GEO)}
            found = self._places[asset_id] = (asset, location)
        return found
