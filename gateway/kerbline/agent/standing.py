"""Which alarms of Modbus devices stand, remembered across a restart: each is to end some day."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from kerbline.model import Finding
from kerbline.store import GroupCommit, Store

RULE = "profile_alarms"  # the rule under which the store remembers them, by asset


class Standing:
    """The names of the alarms that stand, by asset."""

    def __init__(self, store: Store, group: GroupCommit) -> None:
        self._group = group
        self._names = {asset: set(json.loads(body)) for asset, body in store.memories(RULE).items()}

    @property
    def names(self) -> Mapping[str, Collection[str]]:
        """As they stood when the gateway stopped, and have changed since."""
        return self._names

    def note(self, findings: Iterable[Finding]) -> None:
        """Alarms that begin or end."""
        for finding in findings:
            names = self._names.setdefault(finding.asset, set())
            (names.add if finding.active else names.discard)(finding.rule)
            self._group.save_memory(RULE, finding.asset, json.dumps(sorted(names)))
