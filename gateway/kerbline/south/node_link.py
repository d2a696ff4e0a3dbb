"""One node at the gateway: its engine, and what its events mean to us.

It moves no bytes: a line's pump does, and calls `settle` after each step of the engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from kerbline.clock import Clock
from kerbline.config import Node
from kerbline.counters import Counters
from kerbline.keys import NodeKeys
from kerbline.model import Command, Gap, Key
from kerbline.south import schemas
from kerbline.south.arrivals import Answered, Arrival, Carried, Joined, Noted, Obeyed, Runs
from kerbline.south.config_exchange import ConfigExchange
from kerbline.south.dating import BootClock
from kerbline.south.hold import Hold
from kerbline.south.key_keeping import KeyKeeping
from kerbline.south.node_commands import NodeCommands
from kerbline.south.node_config import NodeConfig
from kerbline.south.node_log import NodeLog
from kerbline.south.past import Past
from kerbline.south.presence import Presence
from kerbline.south.records import Records
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import DATAGRAM, STREAM
from kerbwire.poller import PolledGateway
from kerbwire.schema import by_name

UTC_UNCERTAINTY_MS = 50  # of a gateway whose clock NTP keeps
MAX_WAITING = 512  # events of one node; a line stops being read long before

MISFITS = {
    "mac": "its greeting does not fit its key_file",
    "generation": "its key is of another generation than ours",
}

log = logging.getLogger("kerbline.south")


class NodeLink:
    """The session with one node and the translation of its events into arrivals."""

    def __init__(
        self,
        node: Node,
        keys: NodeKeys,
        past: Past,
        clock: Clock,
        counters: Counters,
        *,
        keep_keys: Callable[[NodeKeys], Awaitable[None]],
        arrive: Callable[[Arrival], Awaitable[None]],
        address: int | None,
        earliest_ms: int = 0,
    ) -> None:
        """`address`: its connection id or its place on a bus, None on a line of its own.

        `earliest_ms`: no record to come was made before.
        """
        self.node = node
        self.address = address
        self.changed = asyncio.Event()  # there may be something to send
        self.losses = 0  # of its line
        known = schemas.known(past.taught)
        self.session = session = _session(node, keys, past, address, known)
        self.presence = Presence(node, clock.utc_ms)
        self.log = NodeLog(node.id, past.held[0], clock.utc_ms)
        now_ms, wake = clock.monotonic_ms, self._wake
        self.commands = NodeCommands(session, wake)
        self.config = ConfigExchange(node.id, NodeConfig(node, past.config), session, wake)
        self.hold = Hold(session, now_ms, wake)
        self._keys = KeyKeeping(node.id, keep_keys, now_ms)
        boots = BootClock(clock, past.boots, earliest_ms)
        self._records = Records(node, boots, clock, dict(known))
        self._clock = clock
        self._counters = counters
        self._arrive = arrive
        self._boot: int | None = None  # the last that it had a session in
        self._misfit = ""

    def begin(self) -> None:
        """The line is open: ask the node for a session."""
        self.tell_time()
        self.session.start(self._clock.monotonic_ms())
        self.changed.set()

    def receive(self, data: bytes) -> bool:
        """Bytes or a datagram came; True if something in it was authentic.

        While the agent takes no more, datagrams are dropped: the node sends again what is not kept.
        """
        if self.session.waiting >= MAX_WAITING:
            self._counters.count("nodes.flood")
            return False
        return self.session.receive(data, self._clock.monotonic_ms())

    def outgoing(self) -> bytes:
        """What to send now, b"" for nothing."""
        self.tell_time()
        return self.session.outgoing(self._clock.monotonic_ms())

    def lost(self) -> None:
        """The line broke."""
        self.session.failed(self._clock.monotonic_ms())
        self.presence.line(there=False)
        self.losses += 1

    def wait_s(self) -> float | None:
        """Seconds until the engine has something to do by itself."""
        times = [t for t in (self.session.deadline(), self._keys.due_ms) if t is not None]
        return max(0.0, (min(times) - self._clock.monotonic_ms()) / 1000) if times else None

    def keep(self, epoch: int, first: int, last: int) -> None:
        """These records are durable: the node may delete them."""
        self.session.keep(epoch, first, last)
        self.changed.set()

    def ask_again(self) -> None:
        """What of its records is not durable is gone here: the node is to send it again."""
        self.session.ask_again()
        self.changed.set()

    async def settle(self) -> None:
        """Take the engine's events; waits where the agent can't take more.

        A key that the disk refuses holds up nothing but its own greeting.
        """
        self.presence.line(there=True)
        while True:
            while (event := self.session.next_event()) is not None:
                await self._take(event)
            if not await self._keys.settled():
                return
            if self.session.waiting == 0:  # no newer keys came meanwhile
                self._keys.done()
                self.session.key_stored(self._clock.monotonic_ms())

    async def _take(self, event: tuple[Any, ...]) -> None:
        if event[0] == "KEYS":
            await self._keys.take(NodeKeys(*event[1:]))
        for arrival in self._arrivals(event):
            await self._arrive(arrival)

    def _arrivals(self, event: tuple[Any, ...]) -> Iterator[Arrival]:
        """What the agent is to know of an event."""
        name = self.node.id
        match event:
            case ("RECORD", kind, epoch, rseq, *record):
                if kind not in (m.EVENT, m.ANCHOR):
                    self.presence.recorded()
                yield from self._records.take(kind, Key(name, epoch, rseq), *record)
            case ("GAP", epoch, first, last, code):
                reason = m.GAP_NAMES.get(code, f"reason_{code}")
                yield Gap(name, epoch, first, last, reason, self._clock.utc_ms())
            case ("UP", info):
                yield from self._up(info)
            case ("RESULT", number, code, _):
                reason = "" if code == m.OK else m.RESULT_NAMES.get(code, f"code_{code}")
                yield from self._answered(number, reason)
            case ("EXPIRED", number):
                yield from self._answered(number, "expired")
            case ("CONFIGURED", version, code):
                yield from self.config.answered(version, code)
            case ("SENT", handle, whole):
                if (digest := self.hold.sent(handle)) is not None:
                    yield Carried(name, digest, whole)
            case ("SCHEMA", _, encoding, forgotten):
                log.info("node %s: taught us a schema", name)
                yield Noted(schemas.RULE, name, self._records.learn(encoding, forgotten))
            case _:
                self._note(event)

    def _note(self, event: tuple[Any, ...]) -> None:
        """What goes no further than this link, the log and the counters."""
        match event:
            case ("WANTED", handle, index):
                self.hold.wanted(handle, index)
            case ("DOWN",):
                self.presence.silent()
                log.warning("node %s: silent", self.node.id)
            case ("OFFER", handle, *_):
                self.session.objects.refuse(handle)  # this gateway has a use for none yet
            case ("DIAG", values):
                self.presence.told(values)
            case ("UNSUPPORTED", type_):
                self._counters.count("nodes.unsupported")
                log.warning("node %s: does not know messages of type %d", self.node.id, type_)
            case ("FAULT", code):
                self._counters.count(f"nodes.{code}")
                self._say_misfit(code)

    def _say_misfit(self, code: str) -> None:
        """Name the node whose key does not fit, once until it has a session."""
        if code in MISFITS and code != self._misfit:
            self._misfit = code
            log.warning("node %s: %s", self.node.id, MISFITS[code])

    def _up(self, info: m.Info) -> Iterator[Arrival]:
        again, self._boot = self._boot == info.boot_id, info.boot_id
        self.commands.begin(info)
        self._misfit = ""
        self.presence.joined(info.firmware)
        log.info("node %s: session up%s", self.node.id, " again" if again else "")
        if self.session.schema is None:
            log.info("node %s: reports in a schema that it is asked for", self.node.id)
        yield from self.log.begin(info, self.session.kept.cumulative)
        yield from self._records.begin(info)
        yield Runs(self.node.id, info.build, info.messages_version, info.epoch, info.next_rseq)
        yield Joined(self.node.id, self.node.asset)
        yield from self.config.begin(info)

    def _answered(self, number: int, reason: str) -> Iterator[Arrival]:
        match self.commands.answered(number):
            case True:
                yield Obeyed(self.node.id, reason)
            case Command() as command:
                yield Answered(command.id, command.asset, reason)

    def _wake(self) -> None:
        self.changed.set()  # a bus puts its own event in the place of ours

    def tell_time(self) -> None:
        """Our clock as it is now, for time offers."""
        offset_ms = self._clock.utc_ms() - self._clock.monotonic_ms()
        self.session.set_utc(offset_ms, UTC_UNCERTAINTY_MS)


def _session(
    node: Node, keys: NodeKeys, past: Past, address: int | None, known: schemas.Schemas
) -> GatewaySession:
    name, ring = node.id.encode(), (keys.generation, keys.key, keys.next_key)
    if node.bus:
        assert address is not None
        session: GatewaySession = PolledGateway(name, ring, *past.held, os.urandom, address, known)
    else:
        framing = STREAM if address is None else DATAGRAM
        session = GatewaySession(name, ring, *past.held, os.urandom, framing, address, known)
    own = by_name(node.kind)
    assert own is not None  # the config takes no other kind
    session.set_class(own.class_id)
    return session
