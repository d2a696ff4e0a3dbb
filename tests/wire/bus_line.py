"""A gateway and many nodes on one two-wire line, in virtual microseconds.

Each byte takes its time; who talks while another talks spoils both. A node answers `turnaround`
after the last byte and computes the keys of a session for `hkdf_ms`, deaf meanwhile.
"""

import heapq

from kerbwire import messages as m
from kerbwire.bus import Bus, Place
from kerbwire.polled import PolledNode
from kerbwire.poller import PolledGateway
from kerbwire.ranges import RangeSet
from kerbwire.schema import STREETLIGHT
from wire.pair import Random, drained, flipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.engine import Engine, Event

BYTE_US = 87  # of 115,200 baud
PORTION = 64  # bytes that a UART hands over at once
GATEWAY = -1
_EARS = 4  # nodes that hear the other nodes too; for the rest their answers are left out
UTC_MS = 1_790_000_000_000  # at 0 of the virtual time
VALUES = (30, 245, 1000, 10, 12, 0, 3600)


class Talk:
    """Bytes on their way from one station."""

    def __init__(self, sender: int, data: bytes, start_us: int, end_us: int):
        self.sender = sender
        self.data = data
        self.start_us = start_us
        self.end_us = end_us
        self.spoilt = False
        self.hidden_us = 0  # until then another's bytes are heard in place of these


class Node:
    """A node's host: its key and its records survive a restart."""

    def __init__(self, line: "BusLine", index: int):
        self.line = line
        self.index = index
        self.node_id = b"n-%03d" % index
        self.key = (0, bytes((index + i & 0xFF for i in range(16))))
        self.records: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.next_rseq = 1
        self.boot_id = 0
        self.dead = False
        self.busy_us = 0
        self.faults: list[object] = []
        self.commands: list[object] = []
        self.clocks: list[tuple[int, int]] = []  # error and stated uncertainty of offers
        self.inbox: list[bytes] = []
        self.hook: Callable[[Engine, Event], None] | None = None  # takes all other events
        self.start()

    def start(self) -> None:
        """Power on."""
        self.boot_id += 1
        self.inbox = []
        self.busy_us = 0
        info = m.Info(STREETLIGHT.hash, self.boot_id, 77, 1)
        info.period_s = 900
        info.next_rseq = self.next_rseq
        generation, key = self.key
        self.session = PolledNode(self.node_id, generation, key, info, self.line.random.bytes)
        self.session.start(self.line.now // 1000)

    def make(self) -> int:
        """A new record; its number."""
        rseq = self.next_rseq
        self.next_rseq += 1
        self.session.info.next_rseq = self.next_rseq
        self.records[rseq] = (self.boot_id, VALUES)
        return rseq

    def _offer(self, now: int) -> None:
        while self.session.window(now):
            numbers = [n for n in self.records if self.session.wants(n)]
            if not numbers:
                return
            rseq = max(numbers)
            boot_id, values = self.records[rseq]
            record = (rseq, boot_id, rseq, values)
            if rseq == self.next_rseq - 1 and boot_id == self.boot_id:
                self.session.send_report(record, now)
                continue
            first = rseq
            while first - 1 in numbers and self.records[first - 1][0] == boot_id:
                first -= 1
            batch = [(n, boot_id, n, self.records[n][1]) for n in range(first, rseq + 1)]
            self.session.send_batch(batch[:8], now)

    def step(self, now_us: int) -> None:
        """Take what has come and say what is due."""
        if self.dead or now_us < self.busy_us:
            return
        now = now_us // 1000
        for data in self.inbox:
            self.session.receive(data, now)
        self.inbox = []
        for event in drained(self.session):
            self._take(event, now_us)
        if now_us < self.busy_us:
            return
        self._offer(now)
        data = self.session.outgoing(now)
        if data:
            self.line.talk(self.index, data)
        deadline = self.session.deadline()
        if deadline is not None:
            self.line.at(max(deadline * 1000, now_us + 500), self.index)

    def _take(self, event: "Event", now_us: int) -> None:
        if event[0] == "KEY":
            generation, key = event[1:3]
            assert isinstance(generation, int) and isinstance(key, bytes)
            self.key = (generation, key)
            self.busy_us = now_us + self.line.hkdf_ms * 1000
            self.session.key_stored(now_us // 1000)
            self.line.at(self.busy_us, self.index)
        elif event[0] == "KEPT":
            for rseq in [n for n in self.records if n in self.session.kept]:
                del self.records[rseq]
        elif event[0] == "COMMAND":
            self.commands.append(event[1])
            assert isinstance(event[1], int)
            self.session.send_result(event[1], m.OK, 0)
        elif event[0] == "TIME":
            utc_ms, uncertainty_ms = event[1:3]
            assert isinstance(utc_ms, int) and isinstance(uncertainty_ms, int)
            self.clocks.append((utc_ms - UTC_MS - now_us // 1000, uncertainty_ms))
        elif event[0] == "FAULT":
            self.faults.append(event[1])
        elif self.hook:
            self.hook(self.session, event)


class BusLine:
    """The line and both sides of it; `loss` in percent of what is said."""

    def __init__(
        self,
        count: int,
        seed: int = 1,
        *,
        placed: bool = True,
        loss: int = 0,
        turnaround_ms: int = 4,
        hkdf_ms: int = 10,
        disk_ms: int = 5,
    ):
        self.random = Random(seed)
        self.now = 1_000_000
        self.loss = loss
        self.turnaround_us = turnaround_ms * 1000
        self.hkdf_ms = hkdf_ms
        self.disk_ms = disk_ms
        self.bytes = 0
        self.said: list[tuple[int, bytes]] | None = None  # a list takes all that is put on the line
        self.hook: Callable[[Engine, Event], None] | None = None  # takes all other events
        self.events: list[Event] = []
        self.answers: list[Event] = []  # RESULT and EXPIRED
        self.held: list[dict[int, int]] = [{} for _ in range(count)]  # rseq -> times it came
        self._air: list[Talk] = []
        self._due: list[tuple[int, int, int, object]] = []
        self._count = 0
        self._woken: dict[int, int] = {}
        self.nodes = [Node(self, index) for index in range(count)]
        self.placed = placed
        self.gateway_keys = [(0, node.key[1], None) for node in self.nodes]
        self.gateway_held = [RangeSet() for _ in range(count)]
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start, or start again with what is durable."""
        self.sessions = [
            PolledGateway(
                node.node_id,
                self.gateway_keys[node.index],
                77,
                self.gateway_held[node.index],
                self.random.bytes,
                node.index + 1,
            )
            for node in self.nodes
        ]
        self.places = [Place(session, placed=self.placed) for session in self.sessions]
        for session in self.sessions:
            session.set_utc(UTC_MS, 20)
        self.bus = Bus(self.places, BYTE_US)
        self.at(self.now, GATEWAY)

    def at(self, time_us: int, station: int, what: object = None) -> None:
        """Let a station act at that time."""
        if what is None:
            woken = self._woken.get(station)
            if woken is not None and self.now < woken <= time_us:
                return
            self._woken[station] = time_us
        self._count += 1
        heapq.heappush(self._due, (time_us, self._count, station, what))

    def talk(self, sender: int, data: bytes) -> None:
        """A station talks from now on."""
        end_us = self.now + len(data) * BYTE_US
        talk = Talk(sender, data, self.now, end_us)
        self.bytes += len(data)
        if self.said is not None:
            self.said.append((sender, data))
        self._air = [other for other in self._air if other.end_us > self.now]
        for other in self._air:
            other.spoilt = talk.spoilt = True
            talk.hidden_us = max(talk.hidden_us, other.end_us)
        self._air.append(talk)
        if self.random.chance(self.loss):
            if self.random.chance(50):
                return
            talk.data = flipped(data, self.random.below(8 * len(data)))
        for at in range(0, len(data), PORTION):
            end = min(at + PORTION, len(data))
            self.at(self.now + end * BYTE_US, GATEWAY, (talk, at, end))

    def _heard(self, talk: Talk, at: int, end: int) -> None:
        data = talk.data[at:end]
        if talk.spoilt:
            heard = max(0, self.now - talk.hidden_us) // BYTE_US
            data = self.random.bytes(min(len(data), heard))
        if talk.sender != GATEWAY:
            self.bus.receive(data, self.now)
        for node in self.nodes if talk.sender == GATEWAY else self.nodes[:_EARS]:
            if node.index != talk.sender and not node.dead:
                self.at(self.now + self.turnaround_us, node.index, data)

    def _gateway(self) -> None:
        for session in self.sessions:
            for event in drained(session):
                self._take(session, event)
        data = self.bus.outgoing(self.now)
        if data:
            self.talk(GATEWAY, data)
        self.events += _drained_bus(self.bus)
        self.at(max(self.bus.deadline(self.now), self.now + 100), GATEWAY)

    def _take(self, session: PolledGateway, event: "Event") -> None:
        index = session.address - 1
        if event[0] == "KEYS":
            self.at(self.now + self.disk_ms * 1000, GATEWAY, (session, event[1:4]))
        elif event[0] == "RECORD":
            epoch, rseq = event[2:4]
            assert isinstance(epoch, int) and isinstance(rseq, int)
            held = self.held[index]
            held[rseq] = held.get(rseq, 0) + 1
            self.gateway_held[index].add(rseq, rseq)
            session.keep(epoch, rseq, rseq)
        elif event[0] in ("RESULT", "EXPIRED"):
            self.answers.append(event)
        elif self.hook:
            self.hook(session, event)

    def _stored(self, session: PolledGateway, keys: "tuple[int, bytes, bytes | None]") -> None:
        """The gateway's disk has written keys, unless it was restarted meanwhile."""
        index = session.address - 1
        if self.sessions[index] is session:
            self.gateway_keys[index] = keys
            session.key_stored(self.now // 1000)

    def run(self, ms: int, until: "Callable[[], bool] | None" = None) -> bool:
        """Let time pass; True once `until()` holds."""
        end = self.now + ms * 1000
        while self._due and self._due[0][0] <= end:
            time_us, _, station, what = heapq.heappop(self._due)
            self.now = max(self.now, time_us)
            if isinstance(what, tuple) and len(what) == 3:
                self._heard(what[0], what[1], what[2])
                self._gateway()
            elif isinstance(what, tuple):
                self._stored(what[0], what[1])
                self._gateway()
            elif isinstance(what, bytes):
                self.nodes[station].inbox.append(what)
                self.nodes[station].step(self.now)
            elif station == GATEWAY:
                self._gateway()
            else:
                self.nodes[station].step(self.now)
            if until is not None and until():
                return True
        self.now = end
        return until is None

    def all_up(self) -> bool:
        """Has each live node a session that both ends hold for up?"""
        for node, session in zip(self.nodes, self.sessions):
            if not node.dead and not (node.session.up and session.up):
                return False
        return True

    def drained(self) -> bool:
        """Has each live node delivered all that it made, and does it know?"""
        return not [node for node in self.nodes if node.records and not node.dead]


def _drained_bus(bus: Bus) -> "list[Event]":
    events: list[Event] = []
    while True:
        event = bus.next_event()
        if event is None:
            return events
        events.append(event)
