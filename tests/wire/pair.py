"""A node and a gateway over one line in virtual time: the whole exchange without any I/O.

The line is seeded: it loses, repeats, delays, cuts and garbles what is put on it.
"""

from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.keyschedule import ratchet
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import STREETLIGHT


class Random:
    """A small seeded generator (xorshift32) that both interpreters agree on."""

    def __init__(self, seed: int):
        self._state = seed * 2654435761 % 0xFFFFFFFF + 1

    def word(self) -> int:
        """The next 32 bits."""
        x = self._state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._state = x
        return x

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        return self.word() % limit

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 calls."""
        return self.below(100) < percent

    def bytes(self, count: int) -> bytes:
        """So many random bytes."""
        return bytes([self.word() >> 8 & 0xFF for _ in range(count)])


class Line:
    """One direction of a line: put bytes in, take those whose time has come out."""

    def __init__(self, random: Random, loss=0, repeat=0, garble=0, delay_ms=5, jitter_ms=0):
        self.random = random
        self.loss = loss
        self.repeat = repeat
        self.garble = garble
        self.delay_ms = delay_ms
        self.jitter_ms = jitter_ms
        self.cut = False
        self._flying = []

    def put(self, data: bytes, now: int) -> None:
        if not data or self.cut or self.random.chance(self.loss):
            return
        for _ in range(2 if self.random.chance(self.repeat) else 1):
            if self.random.chance(self.garble):
                at = self.random.below(len(data))
                flip = bytes((data[at] ^ 1 << self.random.below(8),))
                data = data[:at] + flip + data[at + 1 :]
            late = self.random.below(self.jitter_ms + 1)
            self._flying.append((now + self.delay_ms + late, data))

    def take(self, now: int) -> "list[bytes]":
        here = [data for when, data in self._flying if when <= now]
        self._flying = [item for item in self._flying if item[0] > now]
        return here

    def next_ms(self) -> "int | None":
        return min([when for when, _ in self._flying]) if self._flying else None


class Pair:
    """Both hosts: what they keep durably survives `restart_node` and `restart_gateway`."""

    NODE_ID = b"sl-0001"
    PSK = bytes(range(16))
    UTC_MS = 1_790_000_000_000

    def __init__(self, seed=1, framing=STREAM, **line):
        self.random = Random(seed)
        self.framing = framing
        self.now = 1000
        self.up_line = Line(self.random, **line)
        self.down_line = Line(self.random, **line)
        self.node_key = (0, self.PSK)
        self.gateway_keys = (0, self.PSK, None)
        self.records = {}  # rseq -> (kind, boot, uptime, values): the node's flash
        self.next_rseq = 1
        self.gaps = []
        self.epoch = 77
        self.boot_id = 1
        self.held = {}  # rseq -> values: the gateway's store
        self.held_set = RangeSet()
        self.doubled = 0
        self.faults = []
        self.node_events = []
        self.gateway_events = []
        self.hold_keep = False
        self.start_node()
        self.start_gateway()

    def start_node(self) -> None:
        info = m.Info(STREETLIGHT.hash, self.boot_id, self.epoch, 1)
        info.period_s = 900
        generation, key = self.node_key
        self.node = NodeSession(
            self.NODE_ID, generation, key, info, self.random.bytes, self.framing
        )
        self.node.start(self.now)

    def restart_node(self) -> None:
        self.boot_id += 1
        self.start_node()

    def start_gateway(self) -> None:
        address = None if self.framing == STREAM else 7
        self.gateway = GatewaySession(
            self.NODE_ID,
            self.gateway_keys,
            self.epoch,
            self.held_set,
            self.random.bytes,
            self.framing,
            address,
        )
        self.gateway.set_utc(self.UTC_MS, 20)
        self.gateway.start(self.now)

    def make(self, kind=m.REPORT, values=(30, 245, 1000, 10, 12, 0)) -> int:
        rseq = self.next_rseq
        self.next_rseq += 1
        self.records[rseq] = (kind, self.boot_id, self.now // 1000, tuple(values))
        return rseq

    def send_waiting(self) -> None:
        """What a node's link does: newest first, then the backlog."""
        while self.node.window(self.now):
            waiting = [gap for gap in self.gaps if self.node.wants(gap[1])]
            if waiting:
                first, last, reason = waiting[0]
                self.node.send_gap(first, last, reason, self.now)
                continue
            numbers = [n for n in self.records if self.node.wants(n)]
            if not numbers:
                return
            rseq = max(numbers)
            kind, boot_id = self.records[rseq][:2]
            live = rseq == self.next_rseq - 1 and boot_id == self.boot_id
            record = self.records[rseq][1:]
            if kind == m.EVENT:
                self.node.send_event((rseq,) + record, self.now)
            elif live:
                self.node.send_report((rseq,) + record, self.now)
            else:
                self.node.send_backfill((rseq,) + record, self.now)

    def _node_step(self) -> None:
        for data in self.down_line.take(self.now):
            self.node.receive(data, self.now)
        self.send_waiting()
        self._write(self.node, self.up_line)
        while True:
            event = self.node.next_event()
            if event is None:
                break
            if event[0] == "KEY":
                self.node_key = (event[1], event[2])
                self.node.key_stored(self.now)
            elif event[0] == "KEPT":
                for rseq in [n for n in self.records if n in self.node.kept]:
                    del self.records[rseq]
                self.gaps = [gap for gap in self.gaps if gap[1] not in self.node.kept]
            elif event[0] == "FAULT":
                self.faults.append(("node", event[1]))
            self.node_events.append(event)
        self.send_waiting()
        self._write(self.node, self.up_line)

    def _gateway_step(self) -> None:
        for data in self.up_line.take(self.now):
            self.gateway.receive(data, self.now)
        self._write(self.gateway, self.down_line)
        while True:
            event = self.gateway.next_event()
            if event is None:
                break
            if event[0] == "KEYS":
                self.gateway_keys = event[1:4]
                self.gateway.key_stored(self.now)
            elif event[0] == "RECORD":
                if event[3] in self.held:
                    self.doubled += 1
                self._keep(event[2], event[3], event[3], event[6])
            elif event[0] == "GAP":
                self._keep(event[1], event[2], event[3], None)
            elif event[0] == "FAULT":
                self.faults.append(("gateway", event[1]))
            self.gateway_events.append(event)
        self._write(self.gateway, self.down_line)

    def _keep(self, epoch, first, last, values) -> None:
        if self.hold_keep:
            return
        for rseq in range(first, last + 1):
            self.held.setdefault(rseq, values)
        self.held_set.add(first, last)
        self.gateway.keep(epoch, first, last)

    def _write(self, session, line) -> None:
        while True:
            data = session.outgoing(self.now)
            if not data:
                return
            line.put(data, self.now)

    def run(self, ms: int, until=None) -> bool:
        """Let time pass, from one thing that is due to the next; True once `until()` holds."""
        end = self.now + ms
        while self.now < end:
            self._node_step()
            self._gateway_step()
            if until and until():
                return True
            times = [self.up_line.next_ms(), self.down_line.next_ms()]
            times += [self.node.deadline(), self.gateway.deadline(), end]
            due = min([time for time in times if time is not None])
            self.now = max(self.now + 1, min(due, end))
        return until is None

    def drained(self) -> bool:
        """Does the gateway hold all that was made, and does the node know?"""
        return not self.records and not self.gaps
