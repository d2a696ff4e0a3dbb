"""A service window at a node's console, asked for at the gateway's own socket.

It is a command like any other, of the source "operator/cli": in the book, sealed, told by the node.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import Any

from kerbline.agent import asking
from kerbline.agent.orders import Orders
from kerbline.clock import Clock
from kerbline.local_socket import Answer, Declined, Question
from kerbline.model import CommandState
from kerbline.south.nodes import Nodes

LONGEST_S = 3_600
WITHIN_S = 60.0  # an order that a node did not hear of by then is none any more
ASKED_S = 8.0  # the asker's patience ends at 10 s; it asks again with the same id
SOURCE = "cli"
MOST_LOGGED = 64
MOST_NAMED = 64  # characters

log = logging.getLogger("kerbline.service")


class Service:
    """Answers "service"."""

    def __init__(self, nodes: Nodes, orders: Orders, clock: Clock) -> None:
        self._nodes = nodes
        self._orders = orders
        self._clock = clock
        self._logged: deque[object] = deque(maxlen=MOST_LOGGED)  # ids that the log has already

    async def answer(self, question: Question) -> Answer:
        """Open `node`'s console for `seconds`, or close it (0): state and reason of the command.

        `node` may be its asset; `who` stands in the log; `id` again asks what became of it.
        """
        name, seconds, who = (question.get(key) for key in ("node", "seconds", "who"))
        assets = {each.id: each.asset for each in self._nodes.all()}  # some joined, some went
        node = next((n for n, asset in assets.items() if name in (n, asset)), None)
        if node is None:
            known = ", ".join(assets) or "none"
            raise Declined(f"no such node here: {name}; known: {known}")
        if type(seconds) is not int or not 0 <= seconds <= LONGEST_S:
            raise Declined(f"seconds: 0 to {LONGEST_S} are expected")
        number = question.get("id") or f"cli-{os.urandom(8).hex()}"
        asked = {
            "id": number,
            "operation": "service",
            "arguments": {"seconds": seconds},
            "expires_at": self._clock.utc_ms() + int(1_000 * WITHIN_S),
            "priority": "operator",
            "source": SOURCE,
        }
        if number not in self._logged:
            self._logged.append(number)
            log.warning(
                "node %s: its console is asked for, for %d s, by %s (uid %s)",
                *(node, seconds, _plain(who), question.get("uid", "?")),
            )
        waiting = asking.Waiting()
        await asking.submit(self._orders, assets[node], asked, waiting)
        told: dict[str, Any] = {"id": number, "node": node}
        try:
            async with asyncio.timeout(ASKED_S):
                result = await waiting.result
        except TimeoutError:
            return {**told, "state": CommandState.PENDING, "reason": "the node has not answered"}
        return {**told, "state": result.state, "reason": result.reason}


def _plain(who: object) -> str:
    """What somebody calls himself, in one line of a log."""
    name = str(who or "somebody")[:MOST_NAMED]
    return "".join(each if each.isprintable() else "?" for each in name)
