"""Who is a node of ours: those of the config, those that brought a claim, less the revoked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from kerbline.config import Config, Node
from kerbline.config.sections import UDP
from kerbline.keys.faults import KeyFault
from kerbline.keys.revoked import Revocation, Revoked, tip_of
from kerbline.keys.ring import KeyRing, NodeKeys, first_key, origin_of
from kerbline.keys.roster import Joined, Roster
from kerbline.keys.way import Way

log = logging.getLogger("kerbline.keys")


class Members:
    """What the state folder says of nodes; `config` is the file's, without it."""

    def __init__(self, config: Config, ring: KeyRing, *, looks_only: bool = False) -> None:
        """Reads the folder and finishes what a kill left half done; raises KeyFault.

        `looks_only`: nothing is written; for who is not the gateway.
        """
        self.config = config
        self.ring = ring
        self._roster = Roster(config.gateway.state_dir)
        self.revoked = Revoked(config.gateway.state_dir)
        self.joined = self._roster.all()
        if not looks_only:
            self._finish_all()
        for joined in self.joined.values():
            ring.claimed(joined.node_id, joined.origin)

    def nodes(self) -> tuple[Node, ...]:
        """All nodes that serve an asset, those of the config first."""
        return (*self.configured(), *(self.node(each) for each in self.serving()))

    def told(self) -> dict[str, Any]:
        """Who joined, and which keys are revoked; of one that waits, after whom it would come."""
        return {
            "joined": [
                asdict(each) | {"after": self.before(each.asset) if each.waits else ""}
                for each in self.joined.values()
            ],
            "revoked": [asdict(each) for each in self.revoked.all],
        }

    def troubles(self) -> Iterator[str]:
        """What a person should know of it."""
        for node in self.config.nodes:
            ended = self.ended(node.id) and self.revoked.of(node.id, origin_in(node))
            if ended is not None:
                then = f"; {ended.by} has {ended.asset} now" if ended.by else ""
                yield (
                    f"node {node.id}: its key is revoked, so it is left out{then}; remove its "
                    "[[node]], or give it a key_file with a fresh key"
                )
        ids, assets = self.taken()
        for each in self.joined.values():
            if each.waits:
                yield f"node {each.node_id} waits: {self.remedy(each.node_id, each.asset)}"
            elif each.port == UDP and self.config.udp is None:
                yield (
                    f"node {each.node_id} joined on UDP, but the config has no [udp] any more; "
                    'add [udp] with listen = "host:port", or run: '
                    f"kerbline claims remove CONFIG {each.node_id}"
                )
            elif each.node_id in ids or each.asset in assets:
                what = each.node_id if each.node_id in ids else each.asset
                yield (
                    f"node {each.node_id} joined by a claim, but the config names {what} too, and "
                    "counts; change the config, or run: "
                    f"kerbline claims remove CONFIG {each.node_id}"
                )

    def configured(self) -> list[Node]:
        ended = {each.node_id for each in self.revoked.all}
        return [
            node
            for node in self.config.nodes
            if node.id not in ended or self.revoked.of(node.id, origin_in(node)) is None
        ]

    def serving(self) -> list[Joined]:
        ids, assets = self.taken()
        return [
            each
            for each in self.joined.values()
            if not each.waits and each.node_id not in ids and each.asset not in assets
        ]

    def taken(self) -> tuple[set[str], set[str]]:
        """The node ids and assets that the config has given out."""
        config = self.config
        nodes = self.configured()
        assets = {node.asset for node in nodes} | {config.gateway.id}
        assets |= {unit.asset for bus in config.buses for unit in bus.devices}
        for device in config.serials:
            assets |= {device.asset, *device.assets.values()}
        return {node.id for node in nodes} | {config.gateway.id}, assets

    def node(self, joined: Joined) -> Node:
        return Node(
            joined.node_id,
            joined.asset,
            joined.kind,
            self._roster.path(joined.node_id),
            joined.port,
            joined.baud,
            joined.link == "rs485",
        )

    def stands_in(self, node_id: str) -> Revocation | None:
        """For whom a node stands in; what it was before its own key was revoked is over."""
        found = None
        for each in self.revoked.all:
            if each.by == node_id:
                found = each
            elif each.node_id == node_id:
                found = None
        return found

    def remedy(self, node_id: str, asset: str) -> str:
        """What to do where a node's asset has another one."""
        before = self.before(asset)
        if not before:
            return f"{asset} is a device of the config; commission the node for another asset"
        had = "had" if self.ended(before) else "has"
        return f"{asset} {had} node {before}; run: kerbline replace CONFIG {before} {node_id}"

    def before(self, asset: str) -> str:
        """The node that serves an asset, else the last one that did; "" for none."""
        serving = [node.id for node in self.nodes() if node.asset == asset]
        gone = [each.node_id for each in self.revoked.all if each.asset == asset and not each.by]
        return next(iter([*serving, *reversed(gone)]), "")

    def ways(self) -> list[Way]:
        """The lines on which nodes may join."""
        config = self.config
        found = [Way(UDP)] if config.udp is not None else []
        found += [Way(each.port, each.baud, each.bus) for each in config.enrolments]
        found += [Way(node.port, node.baud, bus=True) for node in config.nodes if node.bus]
        return list(dict.fromkeys(found))

    def ended(self, node_id: str) -> Revocation | None:
        """The newest revocation of a node that serves no more."""
        mine = [each for each in self.revoked.all if each.node_id == node_id]
        return mine[-1] if mine else None

    def revocation(self, node: Node, origin: str, now_s: int, by: str) -> Revocation:
        kept = self.ring.tip(node.id)
        if kept is not None and kept[0] == origin:
            keys = kept[1]
        elif node.id in self.joined:
            keys = NodeKeys(0, b"")  # lost here: its origin is all that is known
        else:
            keys = NodeKeys(0, first_key(node.key_file))
        tips = tuple(tip_of(key) for key in (keys.key, keys.next_key) if key)
        return Revocation(node.id, origin, tips, keys.generation, now_s, node.asset, node.kind, by)

    def finish(self, revocation: Revocation) -> None:
        """What follows from a revocation, as far as it is not done yet."""
        node_id = revocation.node_id
        joined = self.joined.get(node_id)
        if joined is not None and joined.origin == revocation.origin:
            del self.joined[node_id]  # first: it serves no more, whatever the disk says
            self._roster.remove(node_id)
        kept = self.ring.tip(node_id)
        if kept is not None and kept[0] == revocation.origin:
            self.ring.forget(node_id)

    def _finish_all(self) -> None:
        """Make up for a kill; a disk that refuses keeps nobody from starting."""
        for revocation in self.revoked.all:
            try:
                self.finish(revocation)
            except KeyFault as fault:
                log.error("%s; node %s is left out, and forgotten later", fault, revocation.node_id)
        try:
            self.promote()
        except KeyFault as fault:
            log.error("%s; its node waits until the next start", fault)

    def promote(self) -> None:
        """Heirs whose asset has no other node wait no longer."""
        for heir in list(self.joined.values()):
            ended = self.stands_in(heir.node_id) if heir.waits else None
            if ended is not None and ended.asset not in {node.asset for node in self.nodes()}:
                self.put(replace(heir, asset=ended.asset, waits=False))

    def put(self, joined: Joined) -> None:
        self._roster.put(joined)
        self.joined[joined.node_id] = joined


def origin_in(node: Node) -> str:
    """What the key of a node began with whose key file the config names."""
    return origin_of(first_key(node.key_file))
