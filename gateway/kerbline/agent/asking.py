"""One order of somebody who waits for its end: it goes the way of any message, and is judged so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson

from kerbline.agent.orders import Asker, Orders
from kerbline.model import CommandResult, CommandState
from kerbline.north.commands import ALL, Rights
from kerbline.north.port import Message
from kerbline.north.topics import Topics

UNDER_WAY = frozenset([CommandState.PENDING, CommandState.DELIVERED])
_TOPICS = Topics("asked", "here")  # of no broker


class Waiting:
    """Whoever asked waits for what becomes of one command."""

    def __init__(self) -> None:
        self.result: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()

    def tell(self, result: CommandResult) -> None:
        """What became of it."""
        if result.state not in UNDER_WAY and not self.result.done():
            self.result.set_result(result)


async def submit(
    orders: Orders,
    asset: str,
    order: Mapping[str, object],
    asker: Asker,
    rights: Rights = ALL,
) -> None:
    """Hand in an order of `north.commands`; `asker` is told what became of it.

    Raises TypeError where JSON has no form for a value.
    """
    message = Message(_TOPICS.commands.replace("+", asset), orjson.dumps(order))
    await orders.submit(message, asker, _TOPICS, rights)
