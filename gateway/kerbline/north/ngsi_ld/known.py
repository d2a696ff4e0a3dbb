"""What is so, of all that takes orders: for whoever asks us, and to know our own values again.

Fed with what comes into the log, before any sink has it; pure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from kerbline.model import Entry, NodeState, Reading
from kerbline.north.ngsi_ld import groups
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.orders import LEVEL, POWER, Catalogue
from kerbline.store import Committed

KEPT = 32  # values of an attribute that are known again, the newest
_GROUPS = {LEVEL: groups.level, POWER: groups.power}
_CLOSE = 1e-9  # shares are rounded, here and there


class Known:
    """The newest value of each attribute that may be ordered, and those just before it."""

    def __init__(
        self, catalogue: Catalogue, changes: Callable[[Entry | NodeState], Sequence[Change]]
    ) -> None:
        self._catalogue = catalogue
        self._changes = changes
        self._values: dict[tuple[str, str], OrderedDict[int, Attribute]] = {}
        self._ordered: dict[tuple[str, str], Attribute] = {}
        self._restated: set[tuple[str, str]] = set()

    def offer(self, entry: Entry) -> None:
        """What came; of what takes no orders nothing is kept."""
        if not isinstance(entry, Reading) or self._catalogue.at(entry.asset) is None:
            return
        for change in self._changes(entry):
            target = self._catalogue.targets.get(change.id)
            if target is not None:
                for name, attribute in change.attributes.items():
                    if name in target.attributes and attribute.observed_at_ms is not None:
                        self._keep((change.id, name), attribute.observed_at_ms, attribute)

    def log_grew(self, committed: Committed | None = None) -> None:
        """It is no news here that something is durable."""

    def _keep(self, key: tuple[str, str], at_ms: int, attribute: Attribute) -> None:
        values = self._values.setdefault(key, OrderedDict())
        values[at_ms] = attribute
        if len(values) > KEPT:
            del values[min(values)]

    def carried_out(self, entity: str, name: str, attribute: Attribute) -> None:
        """An order was confirmed: so it is until something newer is measured."""
        self._ordered[entity, name] = attribute

    def newest(self, entity: str, name: str) -> Attribute | None:
        """What is so now, as far as it is known; of a group by what is known of its lamps."""
        target = self._catalogue.targets.get(entity)
        if target is not None and target.lamps:
            lamps = [self.newest(each.id, name) for each in target.lamps]
            return _GROUPS[name]([each for each in lamps if each is not None])
        values = self._values.get((entity, name))
        measured = values[max(values)] if values else None
        ordered = self._ordered.get((entity, name))
        if measured is None or ordered is None:
            return measured or ordered
        return ordered if _at(ordered) > _at(measured) else measured

    def measured(self, entity: str) -> Mapping[str, Attribute]:
        """Of an entity the newest that was measured."""
        target = self._catalogue.targets.get(entity)
        found = (
            {name: self._values.get((entity, name)) for name in target.attributes} if target else {}
        )
        return {name: values[max(values)] for name, values in found.items() if values}

    def is_ours(self, entity: str, name: str, at_ms: int, value: object) -> bool:
        """Is it a value of ours, come back? What is dated before all that is kept counts as one."""
        values = self._values.get((entity, name))
        if not values:
            return False
        mine = values.get(at_ms)
        if mine is None:
            return at_ms < min(values)
        return _same(mine.value, value)

    def restated(self, entity: str, names: Iterable[str]) -> None:
        """What was measured of these is on its way to the broker once more."""
        self._restated.update((entity, name) for name in names)

    def take_restated(self, entity: str, name: str) -> bool:
        """Was it, since this was asked last?"""
        was = (entity, name) in self._restated
        self._restated.discard((entity, name))
        return was

    def is_dated_by_us(self, entity: str, name: str, at_ms: int) -> bool:
        """Is that the date of a value of ours? Brokers keep it where only the value is written."""
        return at_ms in self._values.get((entity, name), ())


def _at(attribute: Attribute) -> int:
    return attribute.observed_at_ms or 0


def _same(mine: object, theirs: object) -> bool:
    if isinstance(mine, bool) or isinstance(theirs, bool):
        return mine is theirs
    if isinstance(mine, int | float) and isinstance(theirs, int | float):
        return math.isclose(mine, theirs, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return mine == theirs
