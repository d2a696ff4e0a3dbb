"""Nodes join and go while the agent runs: the enrolment window, claims, replacements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kerbline.agent.fleet.serving import Serving
from kerbline.agent.records import Records
from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.keys import KeyFault
from kerbline.keys.admission import Admission, Refused
from kerbline.keys.revoked import Revocation
from kerbline.keys.roster import Joined
from kerbline.keys.way import Way
from kerbline.local_socket import Answer, Answering, Declined, Question
from kerbline.south.arrivals import Claimed
from kerbline.south.door import Window
from kerbline.south.nodes import Nodes
from kerbwire.limits import ENROL_MS

MOST_WAITING = 8  # claims that wait for the disk; what comes beyond is said again by its node
MOST_JOINED = 250  # nodes in a window: a bus has 247
MOST_SAID = 64  # in a window, of refusals: strangers decide how many there are

log = logging.getLogger("kerbline.enrolment")


class Enrolment:
    """Lets nodes in and out; what it says is durable before a node hears of it."""

    def __init__(
        self,
        config: Config,
        admission: Admission,
        nodes: Nodes,
        serving: Serving,
        clock: Clock,
    ) -> None:
        self._config = config
        self._admission = admission
        self._nodes = nodes
        self._serving = serving
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._claims: asyncio.Queue[Claimed] = asyncio.Queue(MOST_WAITING)
        self._private = b""  # our key, once it is needed
        self._by = ""  # who opened the window
        self._window = 0  # its number
        self._joined: list[Joined] = []  # in it
        self._said: list[str] = []  # in it, of those that did not
        nodes.door.gone = self._serving.gone()

    def answers(self) -> dict[str, Answering]:
        """What is answered at the gateway's own socket."""
        return {
            "permit": self._permit,
            "permit-status": self._status,
            "permit-close": self._close,
            "claims": self._list,
            "claims-add": self._add,
            "claims-remove": self._remove,
            "replace": self._replace,
        }

    async def run(self, records: Records) -> None:
        """Declare what nodes that went had not delivered, then watch over windows; for ever."""
        await self._serving.begin(records)
        while True:
            await self._nodes.door.opened.wait()
            await asyncio.sleep(self._nodes.door.left_ms / 1000)
            if self._nodes.door.opened.is_set() and not self._nodes.door.left_ms:
                self._end()

    def consider(self, claimed: Claimed) -> None:
        """A claim came in a window: it is judged when the disk has time; nobody waits for it."""
        try:
            self._claims.put_nowait(claimed)
        except asyncio.QueueFull:
            self._nodes.door.again(claimed.node)
            self._nodes.door.count("busy")

    async def judge(self) -> None:
        """Judge the claims that came, one by one; for ever."""
        while True:
            await self._judge(await self._claims.get())

    async def _judge(self, claimed: Claimed) -> None:
        """Its node joins, or a person is told why not."""
        try:
            await self._take(claimed.sealed, claimed.way, claimed.node)
        except KeyFault as fault:
            reason = getattr(fault, "reason", "")
            if not reason:  # the disk's: it may come again
                reason = "not_kept"
                self._nodes.door.again(claimed.node)
            self._nodes.door.count(str(reason))
            if str(fault) not in self._said and len(self._said) < MOST_SAID:
                self._said.append(str(fault))
                log.warning("a claim on %s did not help: %s", claimed.way.port, fault)

    # ------------------------------------------------------------------ what is asked of us

    async def _permit(self, question: Question) -> Answer:
        seconds, only = question.get("seconds"), question.get("only", [])
        if not isinstance(seconds, int) or not 1 <= seconds <= ENROL_MS // 1000:
            raise Declined(f"write 1 to {ENROL_MS // 1000} seconds")
        if not isinstance(only, list) or not all(isinstance(each, str) for each in only):
            raise Declined("only names nodes")
        from kerbline.keys import claim, gateway_key

        state = self._config.gateway.state_dir
        try:
            key = await self._nodes.in_key_thread(partial(gateway_key.load_or_make, state))
        except KeyFault as fault:
            raise Declined(str(fault)) from None
        if self._nodes.door.left_ms:  # nothing is awaited from here on: one of two gets it
            left_s = self._nodes.door.left_ms // 1000
            raise Declined(
                f"a window of {self._by} is open for {left_s} s more; wait, or end it: "
                "kerbline permit --close"
            )
        if not self._admission.ways():
            raise Declined(
                'no line of the config is for nodes that join; add [udp] with listen = "host:port"'
                ", or an [[enrolment]] with its port"
            )
        self._private = key.private
        self._by = str(question.get("by", "somebody"))[:64]
        self._joined, self._said = [], []
        self._window += 1
        named = f", for {', '.join(only)} alone" if only else ""
        log.info("enrolment is open for %d s, by %s%s", seconds, self._by, named)
        self._nodes.permit(Window(1000 * seconds, claim.hint(key.public), frozenset(only)))
        return await self._status(question)

    async def _status(self, _question: Question) -> Answer:
        states = {state.node: state for state in self._nodes.states()}
        return {
            "window": self._window,
            "left_ms": self._nodes.door.left_ms,
            "by": self._by,
            "joined": [
                self._told(each)
                | {"online": each.node_id in states and states[each.node_id].online}
                for each in self._joined
            ],
            "said": self._said,
            "refused": dict(sorted(self._nodes.door.refused.items())),
        }

    async def _close(self, question: Question) -> Answer:
        if self._by and question.get("window", self._window) == self._window:
            self._end()
        return await self._status(question)

    def _end(self) -> None:
        self._nodes.close_door()
        refused = self._nodes.door.refused
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items()))
        log.info(
            "enrolment is closed: %d joined%s", len(self._joined), f"; not: {told}" if told else ""
        )
        self._by = ""

    async def _list(self, _question: Question) -> Answer:
        return self._admission.told()

    async def _add(self, question: Question) -> Answer:
        from kerbline.keys import gateway_key

        try:
            sealed = bytes.fromhex(str(question.get("sealed")))
        except ValueError:
            raise Declined("a claim is given in hexadecimal") from None
        port = question.get("port")
        try:
            way = self._admission.way(None if port is None else str(port))
            if not self._private:
                state = self._config.gateway.state_dir
                made = await self._nodes.in_key_thread(partial(gateway_key.load_or_make, state))
                self._private = made.private
            return self._told(await self._take(sealed, way))
        except KeyFault as fault:
            raise Declined(str(fault)) from None

    async def _remove(self, question: Question) -> Answer:
        node = str(question.get("node"))
        return asdict(await self._ended(partial(self._admission.remove, node, self._now_s())))

    async def _replace(self, question: Question) -> Answer:
        old, new = str(question.get("old")), str(question.get("new"))
        work = partial(self._admission.replace, old, new, self._now_s())
        told = asdict(await self._ended(work))
        heir = self._admission.joined.get(new)
        unserved = self._serving.unserved.get(new, "")
        return told | {"serves": heir is not None and not heir.waits, "unserved": unserved}

    def _told(self, joined: Joined) -> dict[str, Any]:
        """Of one that joined, also its part in control, and whether an IoT Agent must know it."""
        return asdict(joined) | {
            "unserved": self._serving.unserved.get(joined.node_id, ""),
            "provision": bool(self._config.agents),
            **self._serving.part(joined),
        }

    # ------------------------------------------------------------------ what follows

    async def _take(self, sealed: bytes, way: Way | None, named: str = "") -> Joined:
        """Open a claim, make its node known, serve it; raises KeyFault."""
        from kerbline.keys import claim

        opened = claim.open(sealed, self._private)
        if named and opened.node_id != named:
            raise Refused(
                "forged", f"a node that calls itself {named} said {opened.node_id}'s claim"
            )
        self._nodes.door.settle(opened.node_id)
        known = opened.node_id in self._admission.joined
        if named and not known and len(self._joined) >= MOST_JOINED:
            raise Refused(
                "many", f"{MOST_JOINED} nodes joined in this window; open another one for more"
            )
        async with self._one_at_a_time:
            before = self._admission.joined.get(opened.node_id)
            admit = partial(self._admission.admit, opened, way, self._now_s())
            joined = await self._nodes.in_key_thread(admit)
            if named and joined not in self._joined:
                self._joined = [*self._joined, joined]
            if joined != before:
                at = _date(joined.made_s)
                state = "waits to serve" if joined.waits else "serves"
                log.info(
                    "node %s joined on %s: %s %s, a %s; its claim was made %s%s",
                    *(joined.node_id, joined.port, state, joined.asset, joined.kind, at),
                    _by_whom(joined),
                )
            await self._serving.follow()
        return joined

    async def _ended(self, work: Callable[[], Revocation]) -> Revocation:
        """Revoke a key, then let go of its node."""
        async with self._one_at_a_time:
            before = self._admission.revoked.all
            try:
                revocation = await self._nodes.in_key_thread(work)
            except KeyFault as fault:
                raise Declined(str(fault)) from None
            if revocation not in before:
                then = f"; {revocation.by} is to serve {revocation.asset}" if revocation.by else ""
                log.warning("node %s: its key is revoked%s", revocation.node_id, then)
            self._nodes.door.gone = self._serving.gone()
            self._nodes.door.again(revocation.by)
            await self._serving.follow()
            await self._serving.declare(revocation)
        return revocation

    def _now_s(self) -> int:
        return self._clock.utc_ms() // 1000


def _date(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def _by_whom(joined: Joined) -> str:
    if not joined.laptop:
        return ""
    return f", as it says by {joined.technician or 'somebody'} on laptop {joined.laptop}"


def troubles(admission: Admission) -> None:
    """Say at the start what a person should know of nodes that joined or went."""
    for trouble in admission.troubles():
        log.warning("%s", trouble)
