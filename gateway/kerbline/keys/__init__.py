"""Keys at the gateway: the nodes', its own, and the claims that bring a node's key to it."""

from __future__ import annotations

from kerbline.keys.faults import KeyFault
from kerbline.keys.ring import KeyRing, NodeKeys

__all__ = ["KeyFault", "KeyRing", "NodeKeys"]
