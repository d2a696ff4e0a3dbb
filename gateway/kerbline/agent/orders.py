"""The way of a command: from the city to its node, and its result back.

A command from the city goes once and waits for its node no longer than its expiry. It is in the
book before it goes; one that is harmless twice need only be in the daybook, which outlives a kill,
and is in the book before anything is told of it. What our own control commands goes by
`own_commands`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Protocol, runtime_checkable

from kerbline.agent.light.loops import Loops
from kerbline.agent.own_commands import state_of
from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.commands import ALL, Rejection, Rights, parse
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.operations import OPERATIONS
from kerbline.south.arrivals import Answered
from kerbline.store import GroupCommit, Store, StoreBlocked, Submission
from kerbline.store.ledger import OUTCOME_UNKNOWN
from kerbwire import messages as m

RETRY_S = 0.5
MAX_OPEN = 1_000  # commands of the city that wait for a node or its answer
NO_TIME = m.RESULT_NAMES[m.NO_TIME]
REPEATABLE = frozenset(["expired", "retained"])  # rejections that a copy of a good order gets, too

log = logging.getLogger("kerbline.orders")


class Street(Protocol):
    """What orders need of nodes and devices."""

    def reachable(self, asset: str) -> bool:
        """Would the node of an asset take a command now?"""

    def refusal(self, command: Command) -> str:
        """Why its asset will never do it; empty if it may."""

    def send(self, command: Command) -> bool:
        """Send it; False where it could not go."""


class Asker(Protocol):
    """Whoever gave a command."""

    def tell(self, result: CommandResult) -> None:
        """Tell what became of a command."""


@runtime_checkable
class Follower(Asker, Protocol):
    """Whoever wants to know every state of a command that is in the book."""

    def moves(self, command: Command, result: CommandResult) -> None:
        """Tell how it stands now; `tell` follows when it is over."""


class Desk(Asker, Protocol):
    """Where commands come from and results go."""

    async def received(self) -> Message:
        """The next message."""


class _OnPaper:
    """Assets to which an order waits for the disk before it goes: none to the same overtakes it."""

    def __init__(self) -> None:
        self._orders: Counter[str] = Counter()

    def __contains__(self, asset: str) -> bool:
        return self._orders[asset] > 0

    @contextmanager
    def waits(self, asset: str) -> Iterator[None]:
        """One does, meanwhile."""
        self._orders[asset] += 1
        try:
            yield
        finally:
            self._orders[asset] -= 1
            if not self._orders[asset]:
                del self._orders[asset]


class Orders:
    """All commands that are not final."""

    def __init__(
        self,
        kinds: Mapping[str, str],
        store: Store,
        group: GroupCommit,
        street: Street,
        loops: Loops,
        clock: Clock,
        counters: Counters,
        rights: Rights = ALL,
    ) -> None:
        self._kinds = kinds  # of each asset
        self._rights = rights
        self._store = store
        self._group = group
        self._street = street
        self._loops = loops
        self._clock = clock
        self._counters = counters
        self._open: dict[str, Command] = {}  # the city's, by id, until they are final
        self._waiting: set[str] = set()  # of those, not delivered yet
        self._leaving: set[str] = set()  # nor these, which wait for the disk
        self._sinks: dict[str, Asker] = {}  # who is to be told of an open command
        self._on_paper = _OnPaper()
        self._gone: asyncio.Queue[tuple[Command, asyncio.Future[Submission]]] = asyncio.Queue()
        self._unfollowed: dict[str, asyncio.Future[Submission]] = {}  # of these, until it is told

    async def resume(
        self, sinks: Sequence[Desk], others: Mapping[str, Asker] | None = None
    ) -> None:
        """After a restart: what was not delivered waits again, the rest is settled as unknown.

        Who held an asset holds it again. What the config allows no more is rejected. `others` are
        told of commands of their source, the first of `sinks` of all else.
        """
        for command, state in await self._group.call(self._store.commands.open):
            self._open[command.id] = command
            asker = (others or {}).get(command.source) or (sinks[0] if sinks else None)
            if asker is not None:
                self._sinks[command.id] = asker
            if state is not CommandState.PENDING:
                await self._settle(command, CommandState.ERROR, OUTCOME_UNKNOWN)
            elif refusal := self._street.refusal(command):
                await self._settle(command, CommandState.REJECTED, refusal)
            else:
                self._waiting.add(command.id)
        self._loops.recall(await self._group.call(self._store.commands.standing))

    async def serve(self, sink: Desk, topics: Topics) -> None:
        """Take the commands that a sink receives; for ever."""
        while True:
            await self.submit(await sink.received(), sink, topics, self._rights)

    async def retry(self) -> None:
        """Deliver what waits, or tell that it was not delivered in time; for ever."""
        while True:
            await asyncio.sleep(RETRY_S)
            await self._deliver_waiting()

    async def enter(self) -> None:
        """See that what left is entered in the book, and tell who follows it; for ever."""
        while True:
            command, entry = await self._gone.get()
            try:
                submission = await asyncio.shield(entry)
            except StoreBlocked as error:
                log.error("command %s is on its way, not entered: %s", command.id, error)
            else:
                _say_refused(command, submission)
            self._follow_entered(command)

    async def answered(self, answer: Answered) -> None:
        """A node has answered, or its time was over."""
        command = self._open.get(answer.command_id)
        if command is None:
            return
        if answer.reason == NO_TIME:  # its session is young: the node will know the time soon
            self._waiting.add(command.id)
        else:
            await self._settle(command, state_of(answer.reason), answer.reason or answer.note)

    async def joined(self, asset: str) -> None:
        """A node is there again: send what waits for it."""
        await self._deliver_waiting(asset)

    async def submit(
        self, message: Message, sink: Asker, topics: Topics, rights: Rights = ALL
    ) -> None:
        """Judge an order, and let it go or wait; `sink` is told what became of it, once."""
        now_ms = self._clock.utc_ms()
        command = parse(message, topics, self._kinds, now_ms, rights)
        if command is None:
            return
        if isinstance(command, Rejection):
            self._counters.count(f"commands.{command.reason}")
            known = command.reason in REPEATABLE and await self._known(command.command_id)
            sink.tell(known or command.result(now_ms))
            return
        if refusal := self._street.refusal(command):
            self._counters.count(f"commands.{refusal.partition(':')[0]}")
            known = await self._known(command.id)
            sink.tell(known or _result(command, CommandState.REJECTED, refusal, now_ms))
            return
        if len(self._open) >= MAX_OPEN:
            sink.tell(_result(command, CommandState.REJECTED, "too_many_open", now_ms))
            return
        goes = (
            self._street.reachable(command.asset)
            and not self._loops.refuses(command)
            and not self._waiting_for(command.asset)
        )
        prompt = OPERATIONS[command.operation].repeatable and command.asset not in self._on_paper
        if goes and prompt and self._store.commands.jot(command, now_ms):
            self._leave(command, sink, now_ms)
        else:
            with self._on_paper.waits(command.asset):
                await self._enter_and_go(command, sink, now_ms, goes=goes)

    def _leave(self, command: Command, sink: Asker, now_ms: int) -> None:
        """To its node at once; into the book meanwhile, in its turn."""
        submit = self._store.commands.submit
        entry = self._group.begin(submit, command, now_ms, goes=True)
        self._gone.put_nowait((command, entry))
        self._unfollowed[command.id] = entry
        self._open[command.id] = command
        self._sinks[command.id] = sink
        self._loops.operate(command)
        if not self._street.send(command):
            self._waiting.add(command.id)

    async def _enter_and_go(
        self, command: Command, sink: Asker, now_ms: int, *, goes: bool
    ) -> None:
        """Into the book, then to its node or to those that wait."""
        submit = self._store.commands.submit
        try:
            submission = await self._group.call(submit, command, now_ms, goes=goes)
        except StoreBlocked as error:
            log.error("command %s rejected: %s", command.id, error)
            sink.tell(_result(command, CommandState.REJECTED, "store_blocked", now_ms))
            return
        if not submission.new:
            sink.tell(submission.result)
            return
        _say_refused(command, submission)
        if command.operation == "service":  # whoever sent it, and whatever becomes of it
            log.warning(
                "command %s: the console of %s is asked for, for %s s, by %s",
                *(command.id, command.asset, command.arguments["seconds"], command.source),
            )
        self._open[command.id] = command
        self._sinks[command.id] = sink
        self._follow(command, submission.result)
        refusal = self._loops.operate(command)
        if refusal:
            await self._settle(command, CommandState.REJECTED, refusal)
        elif not (goes and self._sent(command)):
            self._waiting.add(command.id)
            await self._deliver_waiting(command.asset)

    async def _known(self, command_id: str) -> CommandResult | None:
        """What became of an order, a copy of which came late or lay at the broker."""
        try:
            return await self._group.call(self._store.commands.known, command_id)
        except StoreBlocked:
            return None

    def _waiting_for(self, asset: str) -> list[Command]:
        """What waits for an asset, or for any; the oldest first, which a set does not know."""
        if not self._waiting:
            return []
        waiting = [command for name, command in self._open.items() if name in self._waiting]
        return [command for command in waiting if asset in ("", command.asset)]

    async def _deliver_waiting(self, asset: str = "") -> None:
        """An order that still waits is overtaken by none to the same asset."""
        held: set[str] = set()
        for command in self._waiting_for(asset):
            await self._deliver(command, held=command.asset in held)
            if command.id in self._waiting:
                held.add(command.asset)

    async def _deliver(self, command: Command, *, held: bool) -> None:
        if command.id not in self._waiting:  # delivered or settled while its turn came
            return
        if command.expires_at_ms <= self._clock.utc_ms():
            await self._settle(command, CommandState.EXPIRED, "expired")
        elif not held and self._street.reachable(command.asset):
            self._waiting.discard(command.id)
            # In the book before it goes: a gateway that dies in between must not send it again.
            delivered = _result(command, CommandState.DELIVERED, "", self._clock.utc_ms())
            self._leaving.add(command.id)
            with self._on_paper.waits(command.asset):
                await self._enter(delivered)
                self._leaving.discard(command.id)
                self._follow(command, delivered)
                if not self._sent(command):  # the node went, or has too many under way
                    self._waiting.add(command.id)

    def _sent(self, command: Command) -> bool:
        """Did it go? Not where one before it, to the same asset, has yet to."""
        unsent = self._waiting | self._leaving
        before = takewhile(lambda name: name != command.id, self._open if unsent else ())
        if any(name in unsent and self._open[name].asset == command.asset for name in before):
            return False
        return self._street.send(command)

    async def _settle(self, command: Command, state: CommandState, reason: str) -> None:
        """Enter a final state and tell whoever gave the command."""
        result = _result(command, state, reason, self._clock.utc_ms())
        self._open.pop(command.id, None)
        self._waiting.discard(command.id)
        await self._enter(result)
        if state is not CommandState.OK and reason != OUTCOME_UNKNOWN:
            await self._release(command.asset)
        self._follow_entered(command)  # the book has it by now, and `enter` may not have looked
        self._follow(command, result)
        sink = self._sinks.pop(command.id, None)
        if sink is not None:
            sink.tell(result)

    def _follow_entered(self, command: Command) -> None:
        entry = self._unfollowed.pop(command.id, None)
        if entry is not None and entry.done() and not entry.exception():
            self._follow(command, entry.result().result)

    def _follow(self, command: Command, result: CommandResult) -> None:
        follower = self._sinks.get(command.id)
        if isinstance(follower, Follower):
            follower.moves(command, result)

    async def _release(self, asset: str) -> None:
        """An order came to nothing: its asset is whose it was before.

        One that comes meanwhile waits, or the book would not have it yet.
        """
        with self._on_paper.waits(asset):
            try:
                orders = await self._group.call(self._store.commands.standing, asset)
            except StoreBlocked as error:
                log.error("who holds %s is not known: %s", asset, error)
            else:
                self._loops.recall(orders, asset)

    async def _enter(self, result: CommandResult) -> None:
        """Into the book; a disk that refuses costs the entry, not the command."""
        try:
            await self._group.call(self._store.commands.settle, result)
        except StoreBlocked as error:
            log.error("command %s is %s, not entered: %s", result.command_id, result.state, error)


def _say_refused(command: Command, submission: Submission) -> None:
    if submission.refused:
        refused = submission.refused
        log.error("command %s goes before it is in the book: %s", command.id, refused)


def _result(command: Command, state: CommandState, reason: str, at_ms: int) -> CommandResult:
    return CommandResult(command.id, command.asset, state, reason, at_ms)
