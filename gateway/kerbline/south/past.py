"""What the store holds of a node, for a link that begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kerbline.south import node_config, schemas
from kerbline.store import Anchor, Store
from kerbwire.ranges import RangeSet


@dataclass(frozen=True, slots=True)
class Past:
    """Its log and the records that are held of it, its boots, its CONFIG, its schemas."""

    held: tuple[int | None, RangeSet] = field(default_factory=lambda: (None, RangeSet()))
    boots: Mapping[int, Anchor] = field(default_factory=dict)
    config: str | None = None
    taught: str | None = None


def pasts(store: Store, node_ids: Iterable[str]) -> dict[str, Past]:
    """What the store holds of these nodes."""
    boots: dict[str, dict[int, Anchor]] = {}
    for (name, boot), anchor in store.anchors().items():
        boots.setdefault(name, {})[boot] = anchor
    configs, taught = store.memories(node_config.RULE), store.memories(schemas.RULE)
    return {
        name: Past(store.held(name), boots.get(name, {}), configs.get(name), taught.get(name))
        for name in node_ids
    }
