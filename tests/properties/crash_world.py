"""One node, one gateway and the sink behind it in virtual time, with crashes of each at any point.

The node's journal, its records and both engines are the real ones, and so is the gateway's store.
Flash is RAM whose power can be cut within a write; the line loses, doubles, reorders and garbles.
A witness writes down each record when it gets its number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerbline.model import Entry, Gap, Key, Reading
from kerbline.store import Notes, Store
from kerbnode.journal import Journal
from kerbnode.records import Records
from kerbnode.store import BATCH, WAIT_MS
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import DATAGRAM, STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import STREETLIGHT
from tests.node.torn_flash import PowerCut, TornFlash
from tests.wire.pair import Line, Random, drained

NODE = "sl-0001"
PSK = bytes(range(16))
UTC_MS = 1_790_000_000_000
COMMIT_READINGS = 100
COMMIT_MS = 10_000
SINK = "mqtt"


@dataclass(slots=True)
class Witness:
    """What was made, as the node's board sees it, before anything leaves."""

    made: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)  # by (epoch, rseq)
    cut_off: set[tuple[int, int]] = field(default_factory=set)  # not in flash at a power cut

    def made_one(self, epoch: int, number: int, values: tuple[int, ...]) -> None:
        assert (epoch, number) not in self.made, f"number {number} was given twice"
        self.made[epoch, number] = values


class Board:
    """What `Records` asks of a board."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def made(self, kind: str, record: Any, epoch: int) -> None:
        """A record got its number."""
        self._witness.made_one(epoch, record[0], record[4])


class Sink:
    """What stands behind the store: takes entries, or is down; keeps them by their keys."""

    def __init__(self) -> None:
        self.down_until_ms = 0
        self.held: dict[tuple[int, int], tuple[int, ...]] = {}
        self.gaps: dict[tuple[int, str], RangeSet] = {}  # by epoch and reason
        self.doubles = 0

    def take(self, entry: Entry) -> None:
        """One entry, perhaps again: the same key always says the same."""
        if isinstance(entry, Gap):
            assert entry.last is not None
            self.gaps.setdefault((entry.epoch, entry.reason), RangeSet()).add(
                entry.first, entry.last
            )
            return
        assert isinstance(entry, Reading)
        key = (entry.key.epoch, entry.key.number)
        values = tuple([value for value in entry.values.values() if isinstance(value, int)])
        self.doubles += key in self.held
        assert self.held.setdefault(key, values) == values, f"{key} says another thing now"


class NodeHost:
    """What stands around the node's engine; `flash` and `key` outlive a power cut."""

    def __init__(self, random: Random, framing: int, line: Line, witness: Witness) -> None:
        self.flash = TornFlash()
        self.key = (0, PSK)
        self.cut_at_key = 0  # 1: power goes before the next key write, 2: after it
        self.powered = False
        self.boot_id = 0
        self._random = random
        self._framing = framing
        self._line = line
        self._witness = witness

    def boot(self, now: int) -> None:
        """Power on: all but flash and key is new."""
        self.boot_id += 1
        self.journal = Journal(self.flash, self._random.bytes)  # type: ignore[arg-type]
        self.powered = True
        try:
            self.journal.open()
        except PowerCut:
            self.power_cut()
            return
        board: Any = Board(self._witness)
        self.records = Records(board, self.journal, self.boot_id, "streetlight")
        self._born_ms = now
        self._oldest_ms: int | None = None
        info = m.Info(STREETLIGHT.hash, self.boot_id, self.journal.epoch, 1)
        info.period_s = 1
        self.session = NodeSession(
            NODE.encode(), *self.key, info, self._random.bytes, self._framing
        )
        self._describe(now)
        self.session.start(now)

    def power_cut(self) -> None:
        """Power off; what had a number and was not in flash may be lost."""
        self.powered = False
        self.flash.cut_at = None
        epoch = self.journal.epoch
        self._witness.cut_off |= {(epoch, record[0]) for record in self.journal.pending}

    def make(self, kind: int, values: tuple[int, ...], now: int) -> None:
        """A sensor has something to say."""
        self.records.make(now - self._born_ms, kind, values)
        if self._oldest_ms is None:
            self._oldest_ms = now

    def step(self, now: int) -> None:
        """All that a node does at one moment; a power cut within a write ends it."""
        try:
            self._flush(now)
            self._pump(now)
        except PowerCut:
            self.power_cut()

    def deadline(self, now: int) -> int:
        """When something is due."""
        times = [self.session.deadline(), self.records.deadline(self.session, now)]
        if self._oldest_ms is not None:
            times.append(self._oldest_ms + WAIT_MS)
        return min([time for time in times if time is not None])

    def _flush(self, now: int) -> None:
        pending = self.journal.pending
        waited = self._oldest_ms is not None and now - self._oldest_ms >= WAIT_MS
        event = pending and pending[-1][1] == m.EVENT
        if len(pending) >= BATCH or self.journal.dirty or event or waited:
            self.journal.flush()
            self._oldest_ms = None

    def _pump(self, now: int) -> None:
        for data in self._line.take(now):
            self.session.receive(data, now)
        for event in drained(self.session):
            if event[0] == "KEY":
                self._keep_key(event, now)
            elif event[0] == "UP":
                self.records.restart(self.session.kept.cumulative)
            elif event[0] == "KEPT":
                self.journal.release(self.session.kept)
        self.records.offer(self.session, now)
        self._describe(now)

    def _keep_key(self, event: Any, now: int) -> None:
        moment, self.cut_at_key = self.cut_at_key, 0
        if moment == 1:
            raise PowerCut
        self.key = (event[1], event[2])
        if moment == 2:
            raise PowerCut
        self.session.key_stored(now)

    def _describe(self, now: int) -> None:
        info = self.session.info
        info.uptime_s = (now - self._born_ms) // 1000
        info.first_rseq = self.journal.first()
        info.next_rseq = self.journal.next


class GatewayHost:
    """What stands around the gateway's engine; the store and `keys` outlive a crash."""

    def __init__(self, random: Random, framing: int, line: Line, path: Path, sink: Sink) -> None:
        self.keys: tuple[int, bytes, bytes | None] = (0, PSK, None)
        self.crash_at_key = 0  # as of a node
        self._random = random
        self._framing = framing
        self._line = line
        self._path = path
        self._sink = sink
        self.store = Store.open(path)

    def start(self, now: int) -> None:
        """Start, or start again with what is durable."""
        self.store.close()
        self.store = Store.open(self._path)
        self._cursor = self.store.open_cursor(SINK)
        self._group: list[Entry] = []
        self._commit_ms: int | None = None
        address = None if self._framing == STREAM else 7
        epoch, held = self.store.held(NODE)
        self.session = GatewaySession(
            NODE.encode(), self.keys, epoch, held, self._random.bytes, self._framing, address
        )
        self.session.set_utc(UTC_MS, 20)
        self.session.start(now)

    def step(self, now: int) -> None:
        """All that a gateway does at one moment."""
        for data in self._line.take(now):
            self.session.receive(data, now)
        for event in drained(self.session):
            if event[0] == "KEYS" and not self._keep_keys(event, now):
                return
            if event[0] in ("RECORD", "GAP"):
                self._arrived(event, now)
        due = self._commit_ms is not None and now >= self._commit_ms
        if due or len(self._group) >= COMMIT_READINGS:
            self.commit(now)

    def deadline(self) -> int | None:
        """When something is due."""
        times = [self.session.deadline(), self._commit_ms]
        return min([time for time in times if time is not None], default=None)

    def commit(self, now: int) -> None:
        """Make the group durable, tell the engine, then deliver what the sink takes."""
        group, self._group, self._commit_ms = self._group, [], None
        notes = Notes()
        notes.cursors[SINK] = self._cursor
        done = self.store.append(group, UTC_MS + now, notes)
        for one in done.kept:
            self.session.keep(one.epoch, one.first, one.last)
        self.deliver(now)

    def deliver(self, now: int) -> None:
        """The durable lane: from the cursor, which moves when the sink has taken a batch whole."""
        while now >= self._sink.down_until_ms:
            batches = self.store.read(self._cursor, 500)
            if not batches:
                return
            for batch in batches:
                for entry in batch.entries:
                    if self._random.below(4000) == 0:  # the sink falls over amid a batch
                        self._sink.down_until_ms = now + self._random.below(30_000)
                        return
                    self._sink.take(entry)
                self._cursor = batch.seq

    @property
    def settled(self) -> bool:
        """Is nothing under way to the store or the sink?"""
        return not self._group and not self.store.read(self._cursor, 1)

    def _arrived(self, event: Any, now: int) -> None:
        entry: Entry
        if event[0] == "GAP":
            _, epoch, first, last, reason = event
            entry = Gap(NODE, epoch, first, last, m.GAP_NAMES[reason], now)
        else:
            _, kind, epoch, rseq, _, _, values = event
            named = {str(index): value for index, value in enumerate(values)}
            entry = Reading(Key(NODE, epoch, rseq), "lamp", str(kind), now, 0, named)
            if now >= self._sink.down_until_ms:  # the live lane: published before it is durable
                self._sink.take(entry)
        self._group.append(entry)
        if self._commit_ms is None:
            self._commit_ms = now + COMMIT_MS

    def _keep_keys(self, event: Any, now: int) -> bool:
        moment, self.crash_at_key = self.crash_at_key, 0
        if moment != 1:
            self.keys = event[1:4]
        if moment:
            self.start(now)
            return False
        self.session.key_stored(now)
        return True


class World:
    """All of it, driven from one thing that is due to the next."""

    def __init__(self, seed: int, folder: Path, *, quiet: bool = False) -> None:
        """`quiet`: a line that only delays."""
        self.random = Random(seed)
        framing = DATAGRAM if seed & 1 else STREAM
        faults = {"loss": 30, "repeat": 15, "garble": 8, "jitter_ms": 60}
        up, down = (Line(self.random, **({} if quiet else faults)) for _ in range(2))
        self.lines = (up, down)
        self.now = 1000
        self.witness = Witness()
        self.sink = Sink()
        self.crashes = 0
        self.node = NodeHost(self.random, framing, down, self.witness)
        self.gateway = GatewayHost(self.random, framing, up, folder / f"{seed}.db", self.sink)
        self.node.boot(self.now)
        self.gateway.start(self.now)

    def play(self, readings: int, crashes: int) -> None:
        """Make so many readings with so many crashes among them, then wait until all is told."""
        crash_at = sorted([self.random.below(readings) for _ in range(crashes)])
        while len(self.witness.made) < readings:
            while crash_at and len(self.witness.made) >= crash_at[0]:
                crash_at.pop(0)
                self._crash()
            if self.node.powered:
                self._sense()
            self.run(self.now + 20 + self.random.below(900))
        self.settle()

    def settle(self) -> None:
        """Let time pass until all that was made has been told."""
        for _ in range(2000):
            self.run(self.now + 10_000)
            if self._told and self.gateway.settled:
                return
        raise AssertionError("not told to the end")

    def make(self, kind: int, values: tuple[int, ...]) -> None:
        """The node makes a record now."""
        self.node.make(kind, values, self.now)

    @property
    def _told(self) -> bool:
        """Does the node know that all it numbered is kept?"""
        journal = self.node.journal
        return self.node.session.kept.cumulative >= journal.next - 1 and not journal.gaps

    def _sense(self) -> None:
        low = self.random.below(1000)
        if self.random.below(20) == 0:
            self.make(m.EVENT, (m.EV_MOTION, low))
        else:
            count = len(self.witness.made)
            self.make(m.REPORT, (low % 101, low, count, count // 100, -low % 40, 0, count))

    def _crash(self) -> None:
        """Something breaks, now or with one of its next writes."""
        self.crashes += 1
        kind = self.random.below(8)
        if kind == 0:
            self.gateway.start(self.now)
        elif kind == 1:
            self.gateway.crash_at_key = 1 + self.random.below(2)
        elif kind == 2:
            self.sink.down_until_ms = self.now + self.random.below(60_000)
        elif kind == 3:
            self.node.cut_at_key = 1 + self.random.below(2)
        elif kind == 4:
            self.node.flash.tear = self.random.below(4)
            self.node.flash.cut_at = 1 + self.random.below(4)
        elif kind == 5:
            self.gateway.start(self.now)
            self.node.power_cut()
        else:
            self.node.power_cut()
        if kind in (1, 3):  # a key is written when a session begins
            self.node.session.start(self.now)

    def run(self, end: int) -> None:
        """Let time pass."""
        up, down = self.lines
        while self.now < end:
            if not self.node.powered:
                self.node.boot(self.now)
                continue
            self.node.step(self.now)
            self.gateway.step(self.now)
            if self.node.powered:
                _write(self.node.session, up, self.now)
            _write(self.gateway.session, down, self.now)
            self.gateway.deliver(self.now)
            times = [up.next_ms(), down.next_ms(), self.gateway.deadline(), end]
            if self.node.powered:
                times.append(self.node.deadline(self.now))
            due = min([time for time in times if time is not None])
            self.now = max(self.now + 1, min(due, end))

    def verdict(self) -> None:
        """What arrived is what was made; what did not is declared, by a cut or by a full log."""
        made, held = self.witness.made, self.sink.held
        assert not [key for key in held if key not in made]
        assert not [key for key, values in held.items() if made[key] != values]
        for key in made:
            if key not in held:
                reasons = {m.GAP_NAMES[m.GAP_FULL]}
                if key in self.witness.cut_off:
                    reasons.add(m.GAP_NAMES[m.GAP_POWER])
                assert [why for why in reasons if self._declared(key, why)], key

    def _declared(self, key: tuple[int, int], reason: str) -> bool:
        return key[1] in self.sink.gaps.get((key[0], reason), ())


def _write(session: Any, line: Line, now: int) -> None:
    while data := session.outgoing(now):
        line.put(data, now)
    line.written.clear()
