"""What the mapping knows of the city beside an entry: its assets and which devices serve them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from kerbline.assets import Asset, Registry
from kerbline.north.ngsi_ld.change import GEO, RELATIONSHIP, Attribute
from kerbline.north.ngsi_ld.devices import LINES, Device
from kerbline.north.ngsi_ld.units import Rule

Choose = Callable[["Device | None", str], "Rule | None"]  # a value's name to its rule


class Plan(dict[str, "Rule | None"]):
    """How each value of an asset leaves, by its name; worked out when it is first seen."""

    def __init__(self, device: Device | None, choose: Choose) -> None:
        super().__init__()
        self._device = device
        self._choose = choose

    def __missing__(self, name: str) -> Rule | None:
        found = self[name] = self._choose(self._device, name)
        return found


class Place:
    """One asset as the mapping wants it: its id as an entity, and what rides along."""

    __slots__ = ("asset", "device", "extra", "id", "location", "measurements", "plan")

    def __init__(self, asset: Asset, entity_id: str, device: Device | None, choose: Choose) -> None:
        self.asset = asset
        self.id = entity_id
        self.device = device
        self.location: Mapping[str, Attribute] = {}
        if asset.location is not None:
            self.location = {"location": Attribute(asset.location.geojson(), kind=GEO)}
        self.plan = Plan(device, choose)
        # What a model works out once for this asset.
        self.measurements: dict[str, tuple[str, Rule, Mapping[str, Attribute]] | None] = {}
        self.extra: Mapping[str, Attribute] | None = None


class City:
    """A registry and the devices of a config, with what is asked for often at hand.

    `choose` says by an asset's type how its values leave. Another list of assets in the registry
    is taken up with the next question.
    """

    def __init__(
        self, registry: Registry, devices: Sequence[Device], choose: Mapping[str, Choose]
    ) -> None:
        self.registry = registry
        self._devices = tuple(devices)
        self._choose = choose
        self._revision = registry.revision
        self._places: dict[str, Place] = {}
        self._at = _by_asset(self._devices)

    @property
    def devices(self) -> Sequence[Device]:
        """Those of the config, less the nodes that went, with those that joined."""
        self._mind_revision()
        return self._devices

    def _mind_revision(self) -> None:
        registry = self.registry
        if self._revision == registry.revision:
            return
        self._revision = registry.revision
        self._places.clear()
        if registry.nodes is not None:
            nodes = [
                Device(node, registry.kind_of(asset), (asset,))
                for node, asset in registry.nodes.items()
            ]
            lines = [each for each in self._devices if each.kind in LINES]
            self._devices = (*nodes, *lines)
            self._at = _by_asset(self._devices)

    def urn(self, type_name: str, local: str) -> str:
        """The id of an entity of this city; what no URN may hold is percent-encoded (RFC 8141)."""
        return self.registry.urn(type_name, quote(local, safe="-._~:@!$*+"))

    def place(self, asset_id: str, kind: str = "") -> Place:
        """An asset of the registry, or the one that a reading of that kind implies."""
        self._mind_revision()
        found = self._places.get(asset_id)
        if found is None:
            asset = self.registry.asset(asset_id, kind)
            at = self._at.get(asset_id, [])
            device = next((each for each in at if each.attributes), at[0] if at else None)
            choose = self._choose[asset.type]
            entity_id = self.urn(asset.type, asset.id)
            found = self._places[asset_id] = Place(asset, entity_id, device, choose)
        return found

    def devices_at(self, asset_id: str) -> Sequence[str]:
        """The ids, as entities, of the devices that serve an asset."""
        self._mind_revision()
        return [self.urn("Device", device.id) for device in self._at.get(asset_id, ())]

    def reference(self, type_name: str, local: str) -> Attribute:
        """A relationship to one entity."""
        return Attribute(self.urn(type_name, local), kind=RELATIONSHIP)


def _by_asset(devices: Sequence[Device]) -> dict[str, list[Device]]:
    found: dict[str, list[Device]] = {}
    for device in devices:
        for asset in device.assets:
            found.setdefault(asset, []).append(device)
    return found
