"""The registry of assets: what stands where in the city, apart from the devices that serve it."""

from __future__ import annotations

from kerbline.assets.asset import Asset, Location, urn
from kerbline.assets.registry import Registry

__all__ = ["Asset", "Location", "Registry", "urn"]
