"""Who joins by a claim, and who goes; what is decided on is `members`' business.

Every method leaves on disk either what was there or what it says; nothing here needs an agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kerbline.config import Config, Node
from kerbline.config.sections import UDP
from kerbline.keys.departures import Departures
from kerbline.keys.members import Members
from kerbline.keys.refused import Refused
from kerbline.keys.revoked import Revocation, Revoked
from kerbline.keys.ring import KeyRing, origin_of
from kerbline.keys.roster import Joined
from kerbline.keys.way import Way

if TYPE_CHECKING:
    from kerbline.keys.claim import Claim

__all__ = ["Admission", "Refused"]

MAX_WAITING = 32  # claims for assets that have a node
MAX_JOINED = 2_000


class Admission:
    """The door of a state folder; `config` is the file's, without it."""

    def __init__(self, config: Config, ring: KeyRing, *, looks_only: bool = False) -> None:
        """Reads the folder and finishes what a kill left half done; raises KeyFault.

        `looks_only`: nothing is written; for who is not the gateway.
        """
        self._members = Members(config, ring, looks_only=looks_only)
        self._departures = Departures(self._members)

    @property
    def joined(self) -> Mapping[str, Joined]:
        """Who joined by a claim, by node id."""
        return self._members.joined

    @property
    def revoked(self) -> Revoked:
        """The keys that count no more."""
        return self._members.revoked

    def nodes(self) -> tuple[Node, ...]:
        """All nodes that serve an asset, those of the config first."""
        return self._members.nodes()

    def told(self) -> dict[str, Any]:
        """Who joined, and which keys are revoked; of one that waits, after whom it would come."""
        return self._members.told()

    def troubles(self) -> Iterator[str]:
        """What a person should know of it."""
        return self._members.troubles()

    def ways(self) -> list[Way]:
        """The lines on which nodes may join."""
        return self._members.ways()

    def remove(self, node_id: str, now_s: int) -> Revocation:
        """A node that joined goes, and its key with it, for ever; raises Refused."""
        return self._departures.remove(node_id, now_s)

    def replace(self, old: str, new: str, now_s: int) -> Revocation:
        """`new` serves the asset of `old` from now on, or from its claim on; raises Refused."""
        return self._departures.replace(old, new, now_s)

    def admit(self, claim: Claim, way: Way | None, now_s: int) -> Joined:
        """Take a claim: durable when this returns; raises Refused.

        `way` is where the node was heard; None for a claim brought by hand. The same claim again
        gives what the first one gave.
        """
        members = self._members
        node_id = claim.node_id
        if (ended := members.revoked.refuses(claim, now_s)) is not None:
            raise Refused(
                "revoked",
                f"node {node_id}: the key of {ended.node_id} is revoked and stays so; commission "
                "the node again, which gives it a fresh key (and set the laptop's clock first)",
            )
        known = members.joined.get(node_id)
        ids, assets = members.taken()
        if node_id in ids:
            raise Refused(
                "configured",
                f"node {node_id} stands in the config, whose key_file counts; remove its [[node]] "
                f"first, or run: kerbline replace CONFIG {node_id} NEW",
            )
        if known is not None and known.origin != origin_of(claim.key):
            self._judge_known(known, claim)
        elif known is not None and (way is None or _way(known) == way):
            members.ring.take(node_id, claim.key, claim.generation)  # it may have been lost here
            return known
        if known is not None and way is not None and known.link == claim.link != way.link:
            raise Refused(
                "elsewhere",
                f"node {node_id} was commissioned for {claim.link}, where it is known, and its "
                f"claim came on {way.port}; to move it, commission it for that line",
            )
        stands_in = members.stands_in(node_id)
        asset = claim.asset if stands_in is None else stands_in.asset
        if stands_in is not None and stands_in.kind != claim.kind:
            raise Refused(
                "kind",
                f"node {node_id} is a {claim.kind}, {stands_in.node_id} was a {stands_in.kind}: "
                "it can't stand in for it; commission it as that kind",
            )
        others = {each.asset for each in members.serving() if each.node_id != node_id}
        waits = asset in assets | others
        if waits and sum(each.waits for each in members.joined.values()) >= MAX_WAITING:
            raise Refused("asset", f"node {node_id}: {members.remedy(node_id, asset)}")
        if known is None and len(members.joined) >= MAX_JOINED:
            raise Refused("full", f"{MAX_JOINED} nodes joined by claims; no more fit one gateway")
        way = way or self._way_for(claim)
        self._own_line(node_id, asset, way)
        joined = Joined(
            node_id,
            asset,
            claim.kind,
            way.link,
            way.port,
            way.baud,
            members.ring.take(node_id, claim.key, claim.generation),
            claim.made_s,
            now_s,
            claim.position,
            waits,
            claim.laptop.hex(),
            claim.technician,
        )
        members.put(joined)
        return joined

    def _judge_known(self, known: Joined, claim: Claim) -> None:
        """A known node with another key: a newer claim of it tells that it has a fresh one."""
        raise Refused(
            "other_key",
            f"node {claim.node_id} is known by another key"
            + ("" if claim.made_s > known.made_s else ", from a newer claim")
            + "; if it was commissioned anew, run: "
            f"kerbline claims remove CONFIG {claim.node_id}, and commission it once more",
        )

    def _way_for(self, claim: Claim) -> Way:
        """The one line of the config that a claim brought by hand can mean."""
        lines = self._members.ways()
        fitting = [way for way in lines if way.link == claim.link]
        if len(fitting) == 1:
            return fitting[0]
        if claim.link == UDP:
            text = 'no [udp] section opens a port for it; add [udp] with listen = "host:port"'
        elif fitting:
            text = "on which line? add --port with one of " + ", ".join(w.port for w in fitting)
        else:
            text = f"no line of the config is for a node on {claim.link}; add an [[enrolment]]"
        raise Refused("line", f"node {claim.node_id}: {text}")

    def _own_line(self, node_id: str, asset: str, way: Way) -> None:
        """A line of its own has one node: raises Refused where it has one for another asset."""
        if way.bus or way.port == UDP:
            return
        for each in self._members.joined.values():
            if each.port == way.port and each.node_id != node_id and each.asset != asset:
                raise Refused(
                    "line",
                    f"node {node_id}: {way.port} has node {each.node_id} for {each.asset}; name "
                    "another line with --port, or run first: kerbline claims remove CONFIG "
                    f"{each.node_id}",
                )

    def way(self, port: str | None) -> Way | None:
        """The line of that port, None where none is named; raises Refused."""
        found = [way for way in self._members.ways() if way.port == port]
        if port is not None and not found:
            known = ", ".join(way.port for way in self._members.ways()) or "none"
            raise Refused("line", f"no node may join on {port}; lines for that: {known}")
        return found[0] if found else None


def _way(joined: Joined) -> Way:
    return Way(joined.port, joined.baud, joined.link == "rs485")
