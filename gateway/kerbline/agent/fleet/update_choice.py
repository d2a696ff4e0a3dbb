"""Whom a campaign is for: the nodes that an operator names, as far as the release is for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kerbline.assets import Registry
from kerbline.bundle import Bundle
from kerbline.local_socket import Question
from kerbline.south.nodes import Nodes
from kerbline.update.campaign import Campaign
from kerbline.update.plan import Member, PlanFault
from kerbline.update.states import State

LAMP = "streetlight"
NAMED = 8  # of nodes, in an error


class Choice:
    """Chooses among the nodes of a gateway; raises PlanFault."""

    def __init__(self, nodes: Nodes, registry: Registry | None) -> None:
        """`registry`: who knows zones, where the config has a [city]."""
        self._nodes = nodes
        self._registry = registry

    def asked(self, question: Question) -> set[str]:
        """The nodes that are named by themselves, their assets or their zones; all if none is."""
        by_asset = {node.asset: node.id for node in self._nodes.all()}
        nodes = set(by_asset.values())
        chosen: set[str] = set()
        asked = False
        for key, known in (("nodes", {each: each for each in nodes}), ("assets", by_asset)):
            names = _texts(question, key)
            asked |= bool(names)
            lacking = [name for name in names if name not in known]
            if lacking:
                raise PlanFault(f"{key}: none of this gateway's: {_some(lacking)}")
            chosen |= {known[name] for name in names}
        for zone in _texts(question, "zones"):
            asked = True
            chosen |= self._within(zone, by_asset)
        if not nodes:
            raise PlanFault("this gateway has no nodes")
        return chosen if asked else nodes

    def members(
        self, bundle: Bundle, path: Path, chosen: set[str], before: Campaign | None
    ) -> list[Member]:
        """Those who may take it; a release that all of them would refuse is refused here.

        `before`: the campaign that was the last one.
        """
        boards = {each.node: each.board for each in self._nodes.states() if each.board}
        board = bundle.about.board
        others = sorted(node for node in chosen if boards.get(node, board) != board)
        if others and len(others) == len(chosen):
            told = ", ".join(f"{node} is {boards[node]}" for node in others[:NAMED])
            raise PlanFault(f"{path}: is for board {board}; {told}")
        if before is not None and before.plan.build != bundle.build:
            _demand_follows(bundle, path, chosen, before)
        return [
            Member(node.id, node.port, self._street(node.asset, node.port, node.kind))
            for node in self._nodes.all()
            if node.id in chosen
        ]

    def _within(self, zone: str, by_asset: dict[str, str]) -> set[str]:
        if self._registry is None:
            raise PlanFault("zone: this gateway's config has no [city], so it knows no zones")
        zones = self._registry.zones()
        found = {by_asset[each.id] for each in zones.get(zone, ()) if each.id in by_asset}
        if not found:
            known = _some(sorted(zones))
            raise PlanFault(f"zone: no node of ours is in {zone!a}; zones: {known}")
        return found

    def _street(self, asset: str, line: str, kind: str) -> str:
        """Whose lamps may not all be restarting: those of a zone, else of a line."""
        if kind != LAMP:
            return ""
        zone = "" if self._registry is None else self._registry.asset(asset).zone
        return zone or line


def _demand_follows(bundle: Bundle, path: Path, chosen: set[str], before: Campaign) -> None:
    """Would those who had the release before take this one?"""
    done = set(before.fleet.within(State.DONE)) & chosen
    if done and before.plan.sequence >= bundle.about.sequence:
        raise PlanFault(
            f"{path}: its sequence {bundle.about.sequence} is not above "
            f"{before.plan.sequence}, which {_some(sorted(done))} confirmed; build it "
            "with a higher --sequence"
        )
    missed = (set(before.fleet.members) & chosen) - done
    if missed and before.plan.hands_over_to == bundle.root.hex():
        raise PlanFault(
            f"{path}: is signed by the next root, which release {before.plan.version} "
            f"(sequence {before.plan.sequence}) brings, and that {_some(sorted(missed))} "
            "did not confirm; bring it to them first, or name the others with --nodes"
        )


def _texts(question: Question, key: str) -> list[str]:
    value = question.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PlanFault(f"{key}: a list of names is expected")
    return value


def _some(names: Iterable[str]) -> str:
    """A few of them."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
