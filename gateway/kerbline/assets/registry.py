"""The assets that a gateway knows, as whoever tells the city about them asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kerbline.assets import asset as terms
from kerbline.assets.asset import (
    IMPLIED,
    MEASUREMENT,
    METERS,
    MODBUS,
    MODBUS_METER,
    SERIAL,
    SERIAL_METER,
    Asset,
)
from kerbline.assets.metered import kinds
from kerbline.config import Config

# They measure a street, nobody's home.
OPEN_KINDS = frozenset(["streetlight", "air_quality", "air_hour", "air_day"])
LINES = frozenset([MODBUS, MODBUS_METER, SERIAL, SERIAL_METER])  # of what is no node
# Ours, of many assets: their "asset" is an area.
FIGURES = frozenset(["zone_water", "kpi", "water_balance"])


class Registry:
    """One object for a gateway's life; `take` puts another list of assets into it.

    What the list lacks and the config names is implied by the kind of its device.
    """

    def __init__(
        self,
        city: str,
        assets: Iterable[Asset] = (),
        kinds: Mapping[str, str] | None = None,
        owner: str = "",
        gateway: str = "",
    ) -> None:
        """`kinds`: of what device each asset of the config is; `owner`: of assets without one."""
        self.city = city
        self._kinds = dict(kinds or {})
        self._owner = owner
        self._gateway = gateway  # its own alarms are nobody's secret
        self._listed: dict[str, Asset] = {}
        self.nodes: Mapping[str, str] | None = None  # the asset of each, once some joined or went
        self.went: Mapping[str, tuple[str, str]] = {}  # asset and kind of nodes that were revoked
        self.revision = 0  # rises whenever other assets may be found here
        self.lost = False  # the list can't be read: what it said of privacy is not known
        self.take(assets)

    def take(self, assets: Iterable[Asset], *, lost: bool = False) -> None:
        """These are the assets from now on; `lost`: because the list could not be read."""
        self._listed = {each.id: self._owned(each) for each in assets}
        self._groups = _by("group", self._listed.values())
        self._zones = _by("zone", self._listed.values())
        self.lost = lost
        self.revision += 1

    def serve(self, nodes: Iterable[tuple[str, str, str]]) -> None:
        """These nodes are there from now on, beside the lines' devices: id, asset and kind."""
        found = tuple(nodes)
        of_lines = {each: kind for each, kind in self._kinds.items() if kind in LINES}
        kinds = {asset: kind for _, asset, kind in found} | of_lines
        served = {node: asset for node, asset, _ in found}
        if (kinds, served) != (self._kinds, self.nodes):
            self._kinds, self.nodes = kinds, served
            self.revision += 1

    def kind_of(self, asset_id: str) -> str:
        """The kind of the device at an asset; "" where there is none."""
        return self._kinds.get(asset_id, "")

    def asset(self, asset_id: str, kind: str = "") -> Asset:
        """The asset of that id; of one that is known no more, `kind` of its reading says what."""
        found = self._listed.get(asset_id)
        return found if found is not None else self._implied(asset_id, kind)

    @property
    def size(self) -> int:
        """How many assets the list has."""
        return len(self._listed)

    def listed(self, asset_id: str) -> bool:
        """Does the list itself have it?"""
        return asset_id in self._listed

    def all(self) -> Sequence[Asset]:
        """Every asset of the list, then those that only the config names."""
        implied = [each for each in self._kinds if each not in self._listed]
        return [*self._listed.values(), *(self._implied(each, "") for each in implied)]

    def served(self) -> Sequence[Asset]:
        """The assets at which the config has a device: a city's list may hold many more."""
        return [self.asset(each) for each in self._kinds]

    def groups(self) -> Mapping[str, Sequence[Asset]]:
        """Each group's assets, wherever they are served."""
        return self._groups

    def zones(self) -> Mapping[str, Sequence[Asset]]:
        """Each zone's assets, wherever they are served."""
        return self._zones

    def personal(self, asset_id: str, kind: str = "") -> bool:
        """Is what it measures, or an alarm on it, somebody's own?

        Whatever may be is: what was marked in a list that is lost, and what an event or an alarm
        of the log tells of an asset that neither list nor config have any more.
        """
        if asset_id == self._gateway:
            return False
        if kind in FIGURES and asset_id not in self._kinds and asset_id not in self._listed:
            return False
        served = asset_id in self._kinds
        if not kind and not served and asset_id not in self._listed and asset_id in self._zones:
            return False  # an alarm of a zone: of its pipes, and of nobody's home
        if asset_id not in self._listed and (self.lost or not served):
            return self._kinds.get(asset_id, kind) not in OPEN_KINDS
        if served and kind not in METERS:  # what a meter told stays a meter's
            kind = self._kinds[asset_id]
        elif kind in (MODBUS, SERIAL):
            kind = ""  # what the device measured nobody knows any more
        return terms.personal(self.asset(asset_id, kind), kind)

    def urn(self, type_name: str, local: str) -> str:
        """The id of an entity of this city."""
        return terms.urn(self.city, type_name, local)

    def _implied(self, asset_id: str, kind: str) -> Asset:
        type_name = IMPLIED.get(self._kinds.get(asset_id, kind), MEASUREMENT)
        return Asset(asset_id, type_name, owner=self._owner)

    def _owned(self, asset: Asset) -> Asset:
        return asset if asset.owner or not self._owner else replace(asset, owner=self._owner)


def _by(field: str, assets: Iterable[Asset]) -> Mapping[str, Sequence[Asset]]:
    found: dict[str, list[Asset]] = {}
    for each in assets:
        name = getattr(each, field)
        if name:
            found.setdefault(name, []).append(each)
    return found


def empty(config: Config) -> Registry:
    """The registry of a config with `[city]`, its list not read yet."""
    assert config.city is not None
    return Registry(config.city.id, (), kinds(config), config.city.owner, config.gateway.id)
