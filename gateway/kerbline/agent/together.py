"""An order to a group of lamps: an order to each of them, and one result."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import orjson

from kerbline.agent.asking import UNDER_WAY, Waiting
from kerbline.agent.orders import Asker, Desk, Orders
from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.commands import Rejection, Rights, parse
from kerbline.north.port import Message
from kerbline.north.topics import Topics

LAMP = "streetlight"
MOST_NAMED = 20  # lamps of one result
PARTLY, NONE_OF_THEM = "partly", "none_of_them"  # reasons of ERROR
LONGEST_ID = 31  # with @ and a lamp's name it has 64


def together(name: str, at: str, results: Collection[CommandResult], at_ms: int) -> CommandResult:
    """What became of an order to all: what became of each where that is one thing."""
    ends = {(each.state, each.reason) for each in results}
    if len(ends) == 1:
        ((state, reason),) = ends
        return CommandResult(name, at, state, reason, at_ms)
    failed = [each for each in results if each.state is not CommandState.OK]
    if not failed:  # some went otherwise than ordered, and say how
        notes = sorted({each.reason for each in results if each.reason})
        return CommandResult(name, at, CommandState.OK, ", ".join(notes[:MOST_NAMED]), at_ms)
    if all(each.state in UNDER_WAY for each in failed):
        return CommandResult(name, at, CommandState.DELIVERED, "", at_ms)
    word = PARTLY if len(failed) < len(results) else NONE_OF_THEM
    told = ", ".join(f"{each.asset} {each.reason or each.state}" for each in failed[:MOST_NAMED])
    more = len(failed) - MOST_NAMED
    told += f" and {more:,} more" if more > 0 else ""
    return CommandResult(name, at, CommandState.ERROR, f"{word}: {told}", at_ms)


class Groups:
    """The groups of a config by name, where the orders of a broker come in."""

    def __init__(
        self,
        members: Mapping[str, Sequence[str]],
        orders: Orders,
        clock: Clock,
        counters: Counters,
        rights: Rights,
    ) -> None:
        self._members = members
        self._orders = orders
        self._clock = clock
        self._counters = counters
        self._rights = rights
        self._following: set[asyncio.Task[None]] = set()

    async def serve(self, sink: Desk, topics: Topics) -> None:
        """Take what a sink receives, for lamps and for groups; for ever."""
        while True:
            message = await sink.received()
            name = topics.commanded(message.topic)
            if name in self._members and name is not None:
                await self._order(message, name, sink, topics)
            else:
                await self._orders.submit(message, sink, topics, self._rights)

    async def _order(self, message: Message, name: str, sink: Asker, topics: Topics) -> None:
        """To each lamp under an id of its own, which a repeat has again."""
        now_ms = self._clock.utc_ms()
        command = parse(message, topics, {name: LAMP}, now_ms, self._rights)
        if isinstance(command, Command) and len(command.id) > LONGEST_ID:
            form = f"1 to {LONGEST_ID} characters for a group"
            command = Rejection(command.id, name, "bad_id", form)
        if isinstance(command, Rejection):
            self._counters.count(f"commands.{command.reason}")
            sink.tell(command.result(now_ms))
            return
        if command is None:
            return
        body = orjson.loads(message.payload)
        askers = []
        for lamp in self._members[name]:
            asker = Waiting()
            part = orjson.dumps(body | {"id": f"{command.id}@{lamp}"})
            one = Message(topics.commands.replace("+", lamp), part)
            await self._orders.submit(one, asker, topics, self._rights)
            askers.append(asker)
        following = asyncio.create_task(self._follow(command, askers, sink))
        self._following.add(following)
        following.add_done_callback(self._following.discard)

    async def _follow(self, command: Command, askers: Sequence[Waiting], sink: Asker) -> None:
        results = [await asker.result for asker in askers]
        sink.tell(together(command.id, command.asset, results, self._clock.utc_ms()))
