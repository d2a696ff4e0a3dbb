"""The ends of what nodes told as events, found in what they report: events of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kerbline.agent.records import Records
from kerbline.control.endings import Endings, Over
from kerbline.model import Reading
from kerbline.store import GroupCommit, Store

RULE = "node_alerts"  # under which the store remembers what is open, by node


class Alerts:
    """What is open, across a restart too."""

    def __init__(self, nodes: Mapping[str, str], store: Store, group: GroupCommit) -> None:
        """`nodes`: the asset of each."""
        saved = {name: json.loads(body) for name, body in store.memories(RULE).items()}
        self._endings = Endings(nodes, saved)
        self._group = group

    async def begin(self, records: Records) -> None:
        """What nodes left behind that are in the config no more."""
        await self._tell(self._endings.gone(records.now_ms()), records)

    async def serve(self, nodes: Mapping[str, str], records: Records) -> None:
        """These are the nodes from now on, with their assets."""
        self._endings.serve(nodes)
        await self.begin(records)

    async def consider(self, reading: Reading, records: Records) -> None:
        """What is over with a reading of a node."""
        await self._tell(self._endings.take(reading), records)

    async def _tell(self, ended: Iterable[Over], records: Records) -> None:
        for over in list(ended):  # others may come while we wait
            await records.ended(over.asset, over.at_ms, over.values())
        changed = self._endings.changed
        while changed:
            name = changed.pop()
            self._group.save_memory(RULE, name, json.dumps(self._endings.saved(name)))
