"""One node at the gateway: its engine, and what its events mean to us.

It moves no bytes: `serial_line` and `udp` do, and call `settle` after each step of the engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from kerbline.clock import Clock
from kerbline.config import Node
from kerbline.counters import Counters
from kerbline.keys import KeyFault, NodeKeys
from kerbline.model import Command, Gap, Key
from kerbline.south import schemas
from kerbline.south.arrivals import Answered, Arrival, Carried, Joined, Noted, Obeyed, Runs
from kerbline.south.cargo import Cargo, Carrying, Pace
from kerbline.south.dating import BootClock
from kerbline.south.node_commands import NodeCommands
from kerbline.south.node_config import RULE as CONFIG_RULE
from kerbline.south.node_config import NodeConfig
from kerbline.south.presence import Presence, diag_text
from kerbline.south.records import Records
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import BUS
from kerbwire.poller import PolledGateway
from kerbwire.ranges import RangeSet
from kerbwire.schema import by_name

UTC_UNCERTAINTY_MS = 50  # of a gateway whose clock NTP keeps
MAX_WAITING = 512  # events of one node; a line stops being read long before
KEY_RETRY_MS = 2000  # after the disk refused a key

MISFITS = {
    "mac": "its greeting does not fit its key_file",
    "generation": "its key is of another generation than ours",
}
LAST_CONFIG = (1 << 32) - 1  # a node that states this version takes no newer one

log = logging.getLogger("kerbline.south")


class NodeLink:
    """The session with one node and the translation of its events into arrivals."""

    def __init__(
        self,
        node: Node,
        keys: NodeKeys,
        held: tuple[int | None, RangeSet],
        boots: BootClock,
        config: NodeConfig,
        clock: Clock,
        counters: Counters,
        *,
        keep_keys: Callable[[NodeKeys], Awaitable[None]],
        arrive: Callable[[Arrival], Awaitable[None]],
        framing: int,
        address: int | None,
        known: schemas.Schemas,
    ) -> None:
        self.node = node
        self.changed = asyncio.Event()  # there may be something to send
        self.presence = Presence(node, clock.utc_ms)
        self._records = Records(node, boots, clock, dict(known))
        self._config = config
        self._clock = clock
        self._counters = counters
        self._keep_keys = keep_keys
        self._arrive = arrive
        self._cargo: Cargo | None = None  # an object on its way there
        self._offered: Cargo | None = None  # the last one, whatever became of it
        self.losses = 0  # of its line
        self._epoch = held[0]
        self.address = address  # its connection id, or its place on a bus
        self._info: m.Info | None = None
        self._config_version = 0  # that it has, as far as it told
        self._misfit = ""
        self._unkept: NodeKeys | None = None  # the newest keys, until they are durable
        self._durable = False  # are they by now?
        self._keep_at_ms = 0
        self._refused = ""  # why the disk did not take them
        name, ring = node.id.encode(), (keys.generation, keys.key, keys.next_key)
        self.session = (
            PolledGateway(name, ring, *held, os.urandom, address, known)
            if framing == BUS and address is not None
            else GatewaySession(name, ring, *held, os.urandom, framing, address, known)
        )
        self._commands = NodeCommands(self.session)
        own = by_name(node.kind)
        assert own is not None  # the config takes no other kind
        self.session.set_class(own.class_id)

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
        keep_ms = None if self._unkept is None else self._keep_at_ms
        times = [time for time in (self.session.deadline(), keep_ms) if time is not None]
        return max(0.0, (min(times) - self._clock.monotonic_ms()) / 1000) if times else None

    def keep(self, epoch: int, first: int, last: int) -> None:
        """These records are durable: the node may delete them."""
        self.session.keep(epoch, first, last)
        self.changed.set()

    def ask_again(self) -> None:
        """What of its records is not durable is gone here: the node is to send it again."""
        self.session.ask_again()
        self.changed.set()

    @property
    def epoch(self) -> int | None:
        """Of its log; None while it was never heard."""
        return self._epoch

    @property
    def heard_ms(self) -> int:
        """When it was last heard, monotonic; 0: never."""
        return self.session.heard_ms

    @property
    def takes_commands(self) -> bool:
        """Is there a session, with room for one more command under way?"""
        return self._commands.have_room

    def send(self, command: Command) -> bool:
        """Send a command; False while there is no session or too many are under way."""
        return self._changed(went=self._commands.send(command))

    def activate(self, expires_at_ms: int) -> bool:
        """Order it to start what is staged; False while there is no session, or no room."""
        return self._changed(went=self._commands.activate(expires_at_ms))

    def _changed(self, *, went: bool) -> bool:
        if went:
            self.changed.set()
        return went

    def carry(self, kind: int, data: bytes, pace: Pace) -> None:
        """Offer it an object in the place of one before, and give its blocks."""
        self._let_go()
        now_ms, changed = self._clock.monotonic_ms, self.changed.set
        self._cargo = Cargo(self.session, kind, data, pace, now_ms, changed, self._offered)
        self._offered = self._cargo

    def withdraw(self) -> None:
        """What was offered is offered no more."""
        if self._cargo is not None:
            self._cargo.withdraw()
        self._let_go()

    def _let_go(self) -> None:
        if self._cargo is not None:
            self._cargo.stop()
            self._cargo = None

    @property
    def carrying(self) -> Carrying | None:
        """How far the object is that is on its way there."""
        return None if self._cargo is None else self._cargo.carrying

    async def settle(self) -> None:
        """Take the engine's events; waits where the agent can't take more.

        A key that the disk refuses holds up nothing but its own greeting.
        """
        self.presence.line(there=True)
        while True:
            while (event := self.session.next_event()) is not None:
                await self._take(event)
            if self._unkept is None or not (self._durable or await self._keep(self._unkept)):
                return
            if self.session.waiting == 0:  # no newer keys came meanwhile
                self._unkept = None
                self.session.key_stored(self._clock.monotonic_ms())

    async def _take(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("RECORD", kind, epoch, rseq, *record):
                if kind not in (m.EVENT, m.ANCHOR):
                    self.presence.recorded()
                for arrival in self._records.take(kind, Key(self.node.id, epoch, rseq), *record):
                    await self._arrive(arrival)
            case ("GAP", epoch, first, last, reason):
                name = m.GAP_NAMES.get(reason, f"reason_{reason}")
                await self._arrive(
                    Gap(self.node.id, epoch, first, last, name, self._clock.utc_ms())
                )
            case ("KEYS", generation, key, next_key):
                self._unkept = NodeKeys(generation, key, next_key)
                await self._keep(self._unkept)
            case ("UP", info):
                await self._up(info)
            case ("DOWN",):
                self.presence.silent()
                log.warning("node %s: silent", self.node.id)
            case ("RESULT", number, code, _):
                reason = "" if code == m.OK else m.RESULT_NAMES.get(code, f"code_{code}")
                await self._answered(number, reason)
            case ("WANTED", handle, index) if self._cargo and handle == self._cargo.handle:
                self._cargo.wanted(index)
            case ("SENT", handle, whole) if self._cargo and handle == self._cargo.handle:
                digest = self._cargo.digest
                self._cargo.ended = True
                self._let_go()
                await self._arrive(Carried(self.node.id, digest, whole))
            case ("EXPIRED", number):
                await self._answered(number, "expired")
            case ("CONFIGURED", version, code):
                await self._configured(version, code)
            case ("SCHEMA", _, encoding, forgotten):
                log.info("node %s: taught us a schema", self.node.id)
                body = self._records.learn(encoding, forgotten)
                await self._arrive(Noted(schemas.RULE, self.node.id, body))
            case _:
                self._note(event)

    def _note(self, event: tuple[Any, ...]) -> None:
        """What goes no further than the log and the counters."""
        match event:
            case ("OFFER", handle, *_):
                self.session.objects.refuse(handle)  # this gateway has a use for none yet
            case ("DIAG", values):
                self.presence.told(values)
                told = [
                    f"{m.DIAG_NAMES.get(key, key)} {diag_text(key, value)}"
                    for key, value in values.items()
                ]
                log.info("node %s: says of itself: %s", self.node.id, ", ".join(told))
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

    async def _keep(self, keys: NodeKeys) -> bool:
        """Make the keys durable; a disk that refuses is said once, and asked again later."""
        self._durable = False
        if self._clock.monotonic_ms() < self._keep_at_ms:
            return False
        try:
            await self._keep_keys(keys)
        except KeyFault as fault:
            if str(fault) != self._refused:
                log.error("node %s: no session until its key can be kept: %s", self.node.id, fault)
            self._refused = str(fault)
            self._keep_at_ms = self._clock.monotonic_ms() + KEY_RETRY_MS
            return False
        self._refused = ""
        self._durable = True
        return True

    async def _up(self, info: m.Info) -> None:
        renewed = self._info is not None and self._info.boot_id == info.boot_id
        if self._info is not None and self._info.firmware != info.firmware:
            self._config.reflashed()
        self._info = info
        self._commands.begin(info)
        self._misfit = ""
        self.presence.joined(info.firmware)
        log.info("node %s: session up%s", self.node.id, " again" if renewed else "")
        if self.session.schema is None:
            log.info("node %s: reports in a schema that it is asked for", self.node.id)
        await self._mind_the_log(info)
        for anchored in self._records.begin(info):
            await self._arrive(anchored)
        await self._arrive(
            Runs(self.node.id, info.build, info.messages_version, info.epoch, info.next_rseq)
        )
        await self._arrive(Joined(self.node.id, self.node.asset))
        await self._configured(info.config_version, m.OK)
        self._send_config()

    def configure(self, values: dict[int, int | bytes]) -> None:
        """More of a CONFIG than its [[node]] names: sent if it is another one than it has."""
        self._config.ask(values)
        if self._info is not None and self.session.up:
            self._send_config()

    def _send_config(self) -> None:
        due = self._config.due(self._config_version)
        if due is not None and due[0] <= LAST_CONFIG:
            self.session.send_config(*due)
            self.changed.set()

    async def _configured(self, version: int, code: int) -> None:
        """A node answered a CONFIG, or states the version of one that it took."""
        if code != m.OK:
            name = m.RESULT_NAMES.get(code, f"code_{code}")
            log.warning("node %s: does not take its config: %s", self.node.id, name)
            if self._config.refused(version) and code == m.UNSUPPORTED:
                log.warning("node %s: gets what older firmware takes of it", self.node.id)
                self._send_config()
            return
        self._config_version = version
        if (body := self._config.taken(version)) is not None:
            log.info("node %s: configured, version %d", self.node.id, version)
            await self._arrive(Noted(CONFIG_RULE, self.node.id, body))

    async def _mind_the_log(self, info: m.Info) -> None:
        """Declare what went with a log that is another one now, or with a store of ours."""
        if not info.epoch:
            log.warning("node %s: its flash does not answer: it keeps no records", self.node.id)
            return
        lost, self._epoch = self._epoch, info.epoch
        now_ms = self._clock.utc_ms()
        if lost is not None and lost != info.epoch:
            log.warning("node %s: its log was lost and begins anew", self.node.id)
            # Open-ended; the store leaves out what it holds of it, and takes what comes after all.
            await self._arrive(Gap(self.node.id, lost, 1, None, "log_lost", now_ms))
        # What the node deleted because a store that is gone had said "kept".
        first = self.session.kept.cumulative + 1
        if info.first_rseq > first:
            last = info.first_rseq - 1
            log.warning("node %s: records %d to %d went with a store", self.node.id, first, last)
            await self._arrive(Gap(self.node.id, info.epoch, first, last, "store_lost", now_ms))

    async def _answered(self, number: int, reason: str) -> None:
        match self._commands.answered(number):
            case True:
                await self._arrive(Obeyed(self.node.id, reason))
            case Command() as command:
                await self._arrive(Answered(command.id, command.asset, reason))

    def tell_time(self) -> None:
        """Our clock as it is now, for time offers."""
        offset_ms = self._clock.utc_ms() - self._clock.monotonic_ms()
        self.session.set_utc(offset_ms, UTC_UNCERTAINTY_MS)
