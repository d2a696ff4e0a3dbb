"""Whom a gateway serves, as nodes join and go: whoever has to know is told at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kerbline.agent.records import Records
from kerbline.clock import Clock
from kerbline.config import Node
from kerbline.keys import KeyFault
from kerbline.keys.admission import Admission
from kerbline.keys.revoked import Revocation
from kerbline.model import Gap, NodeState
from kerbline.south.lines import NoRoom
from kerbline.south.nodes import Nodes
from kerbline.south.past import Past, pasts
from kerbline.store import GroupCommit, Store
from kerbline.store.holdings import LAST_NUMBER

if TYPE_CHECKING:
    from kerbline.agent.air import AirFigures
    from kerbline.agent.alerts import Alerts
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.agent.roll import Roll
    from kerbline.assets import Registry
    from kerbline.keys.roster import Joined

TOLD_S = 7 * 86_400  # for so long a start tells who went, if a kill or a broker's absence hid it
REPLACED, REMOVED = "replaced", "removed"  # reasons of a gap

log = logging.getLogger("kerbline.enrolment")


class Serving:
    """Brings the lines in step with who is a node of ours."""

    def __init__(
        self,
        admission: Admission,
        nodes: Nodes,
        store: Store,
        group: GroupCommit,
        clock: Clock,
        kinds: dict[str, str],
        *,
        roll: Roll | None = None,
        registry: Registry | None = None,
        alerts: Alerts | None = None,
        programs: LightPrograms | None = None,
        air: AirFigures | None = None,
    ) -> None:
        """`kinds`: what each asset is; an asset that comes or goes is noted there.

        The others, where a config has them, are told who serves what.
        """
        self._admission = admission
        self._nodes = nodes
        self._store = store
        self._group = group
        self._clock = clock
        self._kinds = kinds
        self._roll = roll
        self._registry = registry
        self._alerts = alerts
        self._programs = programs
        self._air = air
        self._records: Records | None = None
        self.unserved: dict[str, str] = {}  # why nodes that joined are not served
        self._left: list[NodeState] = []
        self._note_left()

    async def begin(self, records: Records) -> None:
        """Declare what nodes that went before our start had not delivered."""
        self._records = records
        for revocation in self._admission.revoked.all:
            await self.declare(revocation)

    async def follow(self) -> None:
        """Serve whom the state folder says, and nobody else."""
        wanted = {node.id: node for node in self._admission.nodes()}
        served = {state.node: state for state in self._nodes.states()}
        for node_id, state in served.items():
            node = wanted.get(node_id)
            link = self._nodes.link(node_id)
            if node is None or (link is not None and link.node != node):
                self._nodes.leave(node_id)
                self._kinds.pop(state.asset, None)
        new = [node for node in wanted.values() if self._nodes.link(node.id) is None]
        if new:
            known = await self._group.call(pasts, self._store, [node.id for node in new])
            for node in new:
                self._serve(node, known[node.id])
        self._note_left()
        serving = self._nodes.all()
        if self._roll is not None:
            self._roll.serve(serving)
        if self._registry is not None:
            self._registry.serve((node.id, node.asset, node.kind) for node in serving)
        if self._air is not None:
            self._air.join(serving)
        if self._alerts is not None and self._records is not None:
            await self._alerts.serve({node.id: node.asset for node in serving}, self._records)

    def _serve(self, node: Node, past: Past) -> None:
        try:
            self._nodes.join(node, past)
        except (KeyFault, NoRoom) as fault:
            self.unserved[node.id] = str(fault)
            log.error("node %s joined, but is not served: %s", node.id, fault)
            return
        self.unserved.pop(node.id, None)
        self._kinds[node.asset] = node.kind
        if self._programs is not None:
            self._programs.joined(self._nodes, node.asset)

    async def declare(self, revocation: Revocation) -> None:
        """What a node that went had not delivered never comes."""
        node_id = revocation.node_id
        if self._records is None or self._nodes.link(node_id) is not None:
            return
        epoch, held = await self._group.call(self._store.held, node_id)
        if epoch is not None and LAST_NUMBER not in held:
            reason = REPLACED if revocation.by else REMOVED
            now_ms = self._clock.utc_ms()
            await self._records.take(Gap(node_id, epoch, 1, None, reason, now_ms))

    def part(self, joined: Joined) -> dict[str, Any]:
        """Where its asset takes part in control, and where it can't."""
        if self._roll is None or joined.waits or joined.node_id in self.unserved:
            return {"part_of": [], "left_out": []}
        return self._roll.of(joined.asset)

    def gone(self) -> frozenset[str]:
        """Whose keys are revoked, and who is no node of ours."""
        return frozenset(self._ended())

    def states(self) -> list[NodeState]:
        """As `Attended`: who went is offline."""
        return self._left

    def _ended(self) -> dict[str, Revocation]:
        ours = {node.id for node in self._admission.nodes()}
        every = self._admission.revoked.all
        return {each.node_id: each for each in every if each.node_id not in ours}

    def _note_left(self) -> None:
        ended = self._ended().values()
        if self._registry is not None:
            self._registry.went = {each.node_id: (each.asset, each.kind) for each in ended}
        from_s = self._clock.utc_ms() // 1000 - TOLD_S
        self._left = [
            NodeState(each.node_id, each.asset, each.kind, online=False, since_ms=1000 * each.at_s)
            for each in ended
            if each.at_s >= from_s
        ]
