"""The link's concern: bytes between the line and the session, events to those they are for."""

import asyncio
import sys

import slots
from kerbnode import loaded, settings
from kerbwire import messages as m
from kerbwire.node import GREETING_MODULES
from kerbwire.retry import sooner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kerbnode.app import Node
    from kerbnode.hal.board import Line

REOPEN_S = 0.5  # after the line broke
DIAG_MS = 6 * 3_600_000  # between two words on how the node is
LONGEST_WAIT_MS = 5000  # to show life to the supervisor


class Link:
    """The pump: waits for bytes, for a record, or for the session's deadline."""

    def __init__(self, node: "Node"):
        self.beats = 0
        self._node = node
        self._broken = False
        self._diag_ms = 0  # when to say how the node is
        self._faults = 0
        self._silences = 0
        self._greeted = False
        self._key: tuple[int, bytes] | None = None  # (generation, key) that NVS has not taken yet

    async def run(self) -> None:
        """Open the line, pump until it breaks, and again."""
        while True:
            self.beats += 1
            line = None
            try:
                from kerbnode import opening

                line = await opening.line(self._node)
                del opening
                loaded.forget("kerbnode", ("opening",))
                await self._pump(line)
            except OSError:
                pass  # the far side is gone: the session's state survives it
            finally:
                if line is not None:
                    line.close()
            self._node.session.failed(self._node.board.monotonic_ms())
            await asyncio.sleep(REOPEN_S)

    async def _pump(self, line: "Line") -> None:
        node = self._node
        self._broken = False
        if not self._greeted:  # once a boot: a session outlives a line
            self._greeted = True
            node.session.start(node.board.monotonic_ms())
        reader = asyncio.create_task(self._read(line))
        try:
            while not self._broken:
                self.beats += 1
                now = node.board.monotonic_ms()
                self._take_events(now)
                self._keep_key(now)
                self._offer(now)
                while True:
                    data = node.session.outgoing(now)
                    if not data:
                        break
                    sending = line.write(data)
                    if sending is not None:
                        await sending
                if node.leaving:
                    from kerbnode import orders

                    await orders.leave(node, line)
                await node.link_wake.wait(self._wait_ms())
        finally:
            reader.cancel()

    async def _read(self, line: "Line") -> None:
        node = self._node
        try:
            while True:
                data = await line.read()
                node.session.receive(data, node.board.monotonic_ms())
                node.link_wake.set()
        except OSError:
            pass  # the pump ends and the line is opened again
        finally:
            self._broken = True
            node.link_wake.set()

    def _offer(self, now: int) -> None:
        """Give the session what is to go out."""
        node = self._node
        node.records.offer(node.session, now)
        node.describe(now)
        if node.session.up and now >= self._diag_ms:
            self._diag_ms = now + DIAG_MS
            from kerbnode.diagnosis import diagnosis

            node.session.send_diag(diagnosis(node, self._faults, self._silences))
            loaded.forget("kerbnode", ("build", "diagnosis"))

    def _kept(self) -> None:
        """An ack: what is durable there goes here, and a build on trial has shown its worth."""
        node = self._node
        if slots.trial and node.sense.beats:  # INFO named it, and the lamp was looked at
            from kerbnode import trial

            asyncio.create_task(trial.confirmed(node))  # noqa: RUF006 - the scheduler holds it
        node.journal.release(node.session.kept)
        packed = "kerbwire.batch" in sys.modules
        if packed and node.session.kept.cumulative + 1 >= node.journal.next:
            _forget_packing()  # no backlog to pack

    def _keep_key(self, now: int) -> None:
        """Store a new key; should NVS refuse it, this is tried again with the next line."""
        if self._key is not None:
            settings.store_key(self._node.board.nvs, self._key[0], self._key[1])
            self._key = None
            self._node.session.key_stored(now)

    def _wait_ms(self) -> int:
        node = self._node
        now = node.board.monotonic_ms()
        deadline = sooner(node.session.deadline(), node.records.deadline(node.session, now))
        return LONGEST_WAIT_MS if deadline is None else min(LONGEST_WAIT_MS, max(1, deadline - now))

    def _take_events(self, now: int) -> None:
        node = self._node
        while True:
            event: "tuple[Any, ...] | None" = node.session.next_event()
            if event is None:
                return
            kind = event[0]
            if kind == "KEY":
                self._key = (event[1], event[2])
            elif kind == "UP":
                node.clock.trusted = False
                self._diag_ms = now
                node.records.restart(node.session.kept.cumulative)
                loaded.forget("kerbwire", GREETING_MODULES)
            elif kind == "FAULT":
                self._faults += 1
            elif kind == "DOWN":
                self._silences += 1
            elif kind == "PERMIT":
                from kerbnode import claim

                claim.tell(node.session, node.board.nvs)
                loaded.forget("kerbnode", ("claim",))
            elif kind in "KEPT SEEN":  # a text takes less than a tuple
                self._kept()
            elif kind == "TIME":
                node.take_time(event[1], event[2], now)
            elif kind == "COMMAND":
                code, value = node.obey(event[1], event[2], event[3], event[4], now)
                node.session.send_result(event[1], code, value)
            elif kind in "OFFER BLOCK OBJECT":
                _forget_packing()  # a chip's heap has no room for both
                try:
                    from kerbnode import update

                    update.take(node, event)
                except MemoryError:  # the link goes on
                    loaded.forget("kerbnode", ("update",))
                    node.tell(m.EV_UPDATE, m.UPDATE_MEMORY)
            elif kind == "CONFIG":
                from kerbnode import orders

                code = orders.configure(node, event[1], event[2], now)
                node.session.send_configured(event[1], code)
                loaded.forget("kerbwire", ("config",))
                loaded.forget("kerbnode", ("orders",))


def _forget_packing() -> None:
    """The code that packs a batch, and what gathers one."""
    loaded.forget("kerbwire", ("batch",))
    loaded.forget("kerbnode", ("backlog",))
