"""A node's log that is away for a boot or two: real journal, session and store, end to end."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from kerbline.clock import ManualClock
from kerbline.config import Node
from kerbline.counters import Counters
from kerbline.keys import NodeKeys
from kerbline.model import Entry, Gap, Reading
from kerbline.south.arrivals import Arrival
from kerbline.south.node_link import NodeLink
from kerbline.south.past import Past
from kerbline.store import Store
from kerbnode.journal import Journal
from kerbnode.records import Records
from kerbwire import messages as m
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.schema import STREETLIGHT
from tests.node.torn_flash import TornFlash

T0_MS = 1_790_000_000_000
STEP_MS = 10


class Witness:
    """Sees each record at the moment it gets its number."""

    def __init__(self) -> None:
        self.made_records: set[tuple[int, int]] = set()  # (epoch, number)

    def made(self, kind: str, record: tuple[object, ...], epoch: int) -> None:
        """The part of a board that `Records` knows."""
        assert isinstance(record[0], int)
        self.made_records.add((epoch, record[0]))


class Street:
    """One node, one gateway; their flash and disk survive what the rest does not."""

    def __init__(self, folder: Path) -> None:
        self.random = random.Random(1)
        self.clock = ManualClock(T0_MS)
        self.store = Store.open(folder / "s.db")
        self.witness = Witness()
        self.boots = 0
        self.node_key = (0, bytes(16))
        self.ring = NodeKeys(0, bytes(16), None)
        self.waiting: list[Entry] = []
        self.gaps: list[Gap] = []
        self.start_gateway()

    def start_gateway(self) -> None:
        """A process that knows what is durable."""

        async def keep(keys: NodeKeys) -> None:
            self.ring = keys

        async def arrive(arrival: Arrival) -> None:
            if isinstance(arrival, Reading | Gap):
                self.waiting.append(arrival)

        node = Node("sl-1", "lamp-1", "streetlight", Path("sl-1.key"), "/dev/null")
        self.link = NodeLink(
            node,
            self.ring,
            Past(self.store.held("sl-1")),
            self.clock,
            Counters(),
            keep_keys=keep,
            arrive=arrive,
            address=None,
        )
        self.link.begin()

    def boot(self, flash: TornFlash) -> None:
        """Power on, with that board's flash."""
        self.boots += 1
        self.journal = Journal(flash, self.random.randbytes)  # type: ignore[arg-type]
        self.journal.open()
        self.records = Records(self.witness, self.journal, self.boots, "streetlight")  # type: ignore[arg-type]
        info = m.Info(STREETLIGHT.hash, self.boots, self.journal.epoch, 1)
        info.period_s = 900
        self.node = NodeSession(b"sl-1", *self.node_key, info, self.random.randbytes, STREAM)
        self._describe()
        self.node.start(self.clock.monotonic_ms())

    def make(self, count: int) -> None:
        """So many reports, durable at the node."""
        for index in range(count):
            self.records.make(1000 * index, m.REPORT, (30, 245, 1000 + index, 10, 12, 0, index))
        self.journal.flush()

    def _describe(self) -> None:
        self.node.info.first_rseq = self.journal.first()
        self.node.info.next_rseq = self.journal.next

    def _node_step(self) -> bytes:
        now = self.clock.monotonic_ms()
        while (event := self.node.next_event()) is not None:
            if event[0] == "KEY":
                assert isinstance(event[1], int) and isinstance(event[2], bytes)
                self.node_key = (event[1], event[2])
                self.node.key_stored(now)
            elif event[0] == "UP":
                self.records.restart(self.node.kept.cumulative)
            elif event[0] == "KEPT":
                self.journal.release(self.node.kept)
        self._describe()
        self.records.offer(self.node, now)
        return self.node.outgoing(now)

    async def run(self, ms: int) -> None:
        """Let time pass."""
        for _ in range(ms // STEP_MS):
            if data := self._node_step():
                self.link.receive(data)
            await self.link.settle()
            if self.waiting:
                entries, self.waiting = self.waiting, []
                committed = self.store.append(entries, self.clock.utc_ms())
                self.gaps += [one for one in committed.entries if isinstance(one, Gap)]
                for one in committed.kept:
                    self.link.keep(one.epoch, one.first, one.last)
            while data := self.link.outgoing():
                self.node.receive(data, self.clock.monotonic_ms())
            await self.link.settle()
            self.clock.advance(STEP_MS)

    def stored(self) -> list[tuple[int, int]]:
        """The key of each reading in the store."""
        entries = [entry for batch in self.store.read(0, 1 << 20) for entry in batch.entries]
        return [(e.key.epoch, e.key.number) for e in entries if isinstance(e, Reading)]


async def away(folder: Path, *, swapped: bool, restarted: bool) -> None:
    street, flash = Street(folder), TornFlash()
    street.boot(flash)
    street.make(5)
    await street.run(3000)
    street.make(20)  # while the gateway is away
    flash.dead = True
    other = TornFlash() if swapped else flash
    street.boot(other)  # flash that does not answer, or another board
    street.make(3)
    await street.run(3000)
    if restarted:
        street.start_gateway()
    flash.dead = False
    street.boot(flash)
    street.make(10)
    await street.run(20_000)
    stored = street.stored()
    assert len(stored) == len(set(stored)), "a record came twice"
    lost = street.witness.made_records - set(stored)
    assert len(street.witness.made_records) == (38 if swapped else 35)
    assert lost == set()
    logs = len({epoch for epoch, _ in street.witness.made_records})
    assert logs == (2 if swapped else 1)
    reasons = [gap.reason for gap in street.gaps if gap.reason != "power"]
    assert reasons == (["log_lost"] * 2 if swapped else [])
    assert street.node.kept.covers(1, street.journal.next - 1)
    street.store.close()


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_log_that_comes_back_loses_nothing(
    tmp_path: Path, *, swapped: bool, restarted: bool
) -> None:
    asyncio.run(away(tmp_path, swapped=swapped, restarted=restarted))
