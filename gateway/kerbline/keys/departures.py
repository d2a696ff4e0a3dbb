"""Who goes: a node's key is revoked for ever, and another may come after it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from kerbline.config import Node
from kerbline.config.terms import NodeId
from kerbline.keys.members import Members, origin_in
from kerbline.keys.refused import Refused
from kerbline.keys.revoked import Revocation

_NODE_ID = get_args(NodeId)[1]


class Departures:
    """Lets nodes of `members` go; the revocation is durable before all else."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def remove(self, node_id: str, now_s: int) -> Revocation:
        """A node that joined goes, and its key with it, for ever; raises Refused."""
        members = self._members
        joined = members.joined.get(node_id)
        if joined is None:
            ended = members.ended(node_id)
            if ended is not None:
                return ended
            if any(node.id == node_id for node in members.config.nodes):
                raise Refused(
                    "configured", f"node {node_id} stands in the config; remove its [[node]] there"
                )
            raise Refused(
                "unknown", f"no node {node_id} joined by a claim; see: kerbline claims list CONFIG"
            )
        revocation = members.revocation(members.node(joined), joined.origin, now_s, by="")
        members.revoked.put(revocation)
        members.finish(revocation)
        members.promote()
        return revocation

    def replace(self, old: str, new: str, now_s: int) -> Revocation:
        """`new` serves the asset of `old` from now on, or from its claim on; raises Refused.

        The key of `old` is revoked before anything else. The same again finishes what was begun.
        """
        members = self._members
        serving = {node.id: node for node in members.nodes()}
        if old == new:
            raise Refused("same", f"{old} can't replace itself; name the node that takes its place")
        if (complaint := _NODE_ID.judge(new)) is not None:
            raise Refused("name", f"{new!a} is no node's name: {complaint.remedy}")
        self._may_stand_in(old, new, serving)
        node = serving.get(old)
        ended = members.ended(old)
        if node is not None:
            self._same_kind(node.kind, old, new)
            origin = members.joined[old].origin if old in members.joined else origin_in(node)
            revocation = members.revocation(node, origin, now_s, by=new)
        elif ended is None:
            known = ", ".join(list(serving)[:8]) or "none"
            raise Refused("unknown", f"{old} is no node of ours; these are: {known}")
        elif ended.by not in ("", new) and (ended.by in members.joined or members.ended(ended.by)):
            raise Refused(
                "replaced",
                f"{old} was replaced by {ended.by}; run: kerbline replace CONFIG {ended.by} {new}",
            )
        else:
            holder = next((each for each in serving.values() if each.asset == ended.asset), None)
            if holder is not None and holder.id != new:
                raise Refused(
                    "replaced",
                    f"{old} is gone, and {ended.asset} has node {holder.id}; run: "
                    f"kerbline replace CONFIG {holder.id} {new}",
                )
            self._same_kind(ended.kind, old, new)
            revocation = replace(ended, by=new)
        members.revoked.put(revocation)
        members.finish(revocation)
        members.promote()
        return revocation

    def _may_stand_in(self, old: str, new: str, serving: dict[str, Node]) -> None:
        members = self._members
        ended = members.ended(old)
        if old not in serving and ended is not None and members.stands_in(new) == ended:
            return  # the same again
        if new not in members.joined and (gone := members.ended(new)) is not None:
            raise Refused(
                "revoked",
                f"the key of {new} was revoked and stays so; commission {new} again, which gives "
                f"it a fresh key, let it bring its claim, then run this again"
                + (f" ({gone.by} has its asset)" if gone.by else ""),
            )
        if any(node.id == new for node in members.configured()):
            raise Refused(
                "configured",
                f"{new} stands in the config; give its [[node]] the asset of {old} there, remove "
                f"that of {old}, and check it: kerbline check",
            )
        if new in serving:
            raise Refused(
                "serves",
                f"{new} serves {serving[new].asset}; run: kerbline claims remove CONFIG {new}, "
                f"commission it for the asset of {old}, then run this again",
            )

    def _same_kind(self, kind: str, old: str, new: str) -> None:
        joined = self._members.joined.get(new)
        if joined is not None and joined.kind != kind:
            raise Refused(
                "kind",
                f"{new} is a {joined.kind}, {old} a {kind}: it can't stand in for it",
            )
