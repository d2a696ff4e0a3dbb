"""A node and a gateway over one line in virtual time: the whole exchange without any I/O.

The line is seeded: it loses, repeats, delays, cuts and garbles what is put on it. What both hosts
keep durably survives their restarts.
"""

from kerbwire import cobs
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import STREETLIGHT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.channel import Channel
    from kerbwire.engine import Engine, Event
    from kerbwire.report import Record


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

    def __init__(
        self,
        random: Random,
        *,
        loss: int = 0,
        repeat: int = 0,
        garble: int = 0,
        delay_ms: int = 5,
        jitter_ms: int = 0,
    ):
        self.random = random
        self.loss = loss
        self.repeat = repeat
        self.garble = garble
        self.delay_ms = delay_ms
        self.jitter_ms = jitter_ms
        self.cut = False
        self.written: list[bytes] = []  # all that was put on it, lost or not
        self._flying: list[tuple[int, bytes]] = []

    def put(self, data: bytes, now: int) -> None:
        """Send bytes on their way, or not."""
        self.written.append(data)
        if self.cut or self.random.chance(self.loss):
            return
        for _ in range(2 if self.random.chance(self.repeat) else 1):
            if self.random.chance(self.garble):
                data = flipped(data, self.random.below(8 * len(data)))
            late = self.random.below(self.jitter_ms + 1)
            self._flying.append((now + self.delay_ms + late, data))

    def take(self, now: int) -> "list[bytes]":
        """What has arrived."""
        here = sorted([item for item in self._flying if item[0] <= now], key=lambda item: item[0])
        self._flying = [item for item in self._flying if item[0] > now]
        return [data for _, data in here]

    def next_ms(self) -> "int | None":
        """When the next bytes arrive."""
        return min([when for when, _ in self._flying]) if self._flying else None


class Pair:
    """Both hosts and the line between them."""

    NODE_ID = b"sl-0001"
    PSK = bytes(range(16))
    UTC_MS = 1_790_000_000_000

    def __init__(self, seed: int = 1, framing: int = STREAM, **line: int):
        self.random = Random(seed)
        self.framing = framing
        self.now = 1000
        self.up_line = Line(self.random, **line)
        self.down_line = Line(self.random, **line)
        self.node_key = (0, self.PSK)
        self.gateway_keys: tuple[int, bytes, bytes | None] = (0, self.PSK, None)
        # The node's flash: rseq -> (kind, boot, uptime, values).
        self.records: dict[int, tuple[int, int, int, tuple[int, ...]]] = {}
        self.next_rseq = 1
        self.gaps: list[tuple[int, int, int]] = []
        self.epoch = 77
        self.boot_id = 1
        # The gateway's store: rseq -> values, None for what a gap covers.
        self.held: dict[int, tuple[int, ...] | None] = {}
        self.held_set = RangeSet()
        self.doubled = 0
        self.faults: list[tuple[str, object]] = []
        self.node_events: list[Event] = []
        self.gateway_events: list[Event] = []
        self.channels: list[Channel] = []  # all that ever were
        self.hold_keep = False  # the gateway's disk is slow: nothing becomes durable
        self.hold_node_key = False  # the node's flash is slow
        self.hold_gateway_keys = False
        self.start_node()
        self.start_gateway()

    def start_node(self) -> None:
        """Power on."""
        info = m.Info(STREETLIGHT.hash, self.boot_id, self.epoch, 1)
        info.period_s = 900
        info.next_rseq = self.next_rseq
        generation, key = self.node_key
        self.node = NodeSession(
            self.NODE_ID, generation, key, info, self.random.bytes, self.framing
        )
        self.node.start(self.now)

    def restart_node(self) -> None:
        """A power cut: the session is gone, flash stays."""
        self.boot_id += 1
        self.start_node()

    def start_gateway(self) -> None:
        """Start, or start again with what is durable."""
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

    def make(self, kind: int = m.REPORT, values: "tuple[int, ...]" = ()) -> int:
        """A new record in the node's flash; its number."""
        values = values or (30, 245, 1000, 10, 12, 0, self.now // 1000)
        rseq = self.next_rseq
        self.next_rseq += 1
        self.node.info.next_rseq = self.next_rseq
        self.records[rseq] = (kind, self.boot_id, self.now // 1000, tuple(values))
        return rseq

    def lose(self, count: int, reason: int = m.GAP_POWER) -> None:
        """So many numbers are skipped, as after a power cut, and declared."""
        self.gaps.append((self.next_rseq, self.next_rseq + count - 1, reason))
        self.next_rseq += count
        self.node.info.next_rseq = self.next_rseq

    def send_waiting(self) -> None:
        """What a node's link does: gaps, then the newest record first."""
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
            kind, boot_id, uptime_s, values = self.records[rseq]
            live = rseq == self.next_rseq - 1 and boot_id == self.boot_id
            record = (rseq, boot_id, uptime_s, values)
            if kind == m.EVENT:
                self.node.send_event(record, self.now)
            elif live:
                self.node.send_report(record, self.now)
            else:
                self.node.send_batch(self._like_it(rseq, numbers), self.now)

    def _like_it(self, last: int, numbers: "list[int]") -> "list[Record]":
        """The waiting reports up to `last` that one batch may hold: the first of them go."""
        kind, boot_id, _, values = self.records[last]
        found: list[Record] = []
        while last in numbers and len(found) < 8:
            record = self.records[last]
            if record[:2] != (kind, boot_id) or len(record[3]) != len(values):
                break
            found.insert(0, (last,) + record[1:])
            last -= 1
        return found

    def key_stored(self) -> None:
        """The node's flash has what the last KEY event said."""
        keys = [event for event in self.node_events if event[0] == "KEY"]
        self._store_node_key(keys[-1])
        self.node.key_stored(self.now)

    def _store_node_key(self, event: "Event") -> None:
        generation, key = event[1:3]
        assert isinstance(generation, int) and isinstance(key, bytes)
        self.node_key = (generation, key)

    def _node_step(self) -> None:
        for data in self.down_line.take(self.now):
            self.node.receive(data, self.now)
        self.send_waiting()
        self._write(self.node, self.up_line)
        for event in drained(self.node):
            self.node_events.append(event)
            if event[0] == "KEY" and not self.hold_node_key:
                self.key_stored()
            elif event[0] == "KEPT":
                for rseq in [n for n in self.records if n in self.node.kept]:
                    del self.records[rseq]
                self.gaps = [gap for gap in self.gaps if gap[1] not in self.node.kept]
            elif event[0] == "FAULT":
                self.faults.append(("node", event[1]))
        self.send_waiting()
        self._write(self.node, self.up_line)
        self._note(self.node.channel, self.node._handshake._pending)

    def _gateway_step(self) -> None:
        for data in self.up_line.take(self.now):
            self.gateway.receive(data, self.now)
        self._write(self.gateway, self.down_line)
        for event in drained(self.gateway):
            self.gateway_events.append(event)
            if event[0] == "KEYS" and not self.hold_gateway_keys:
                self.keys_stored()
            elif event[0] in ("RECORD", "GAP"):
                self._store(event)
            elif event[0] == "FAULT":
                self.faults.append(("gateway", event[1]))
        self._write(self.gateway, self.down_line)
        pending = self.gateway._handshake._pending
        self._note(self.gateway.channel, pending.channel if pending else None)

    def keys_stored(self) -> None:
        """The gateway's disk has what the last KEYS event said."""
        generation, key, following = [e for e in self.gateway_events if e[0] == "KEYS"][-1][1:]
        assert isinstance(generation, int) and isinstance(key, bytes)
        assert following is None or isinstance(following, bytes)
        self.gateway_keys = (generation, key, following)
        self.gateway.key_stored(self.now)

    def _store(self, event: "Event") -> None:
        if event[0] == "RECORD":
            epoch, first, values = event[2], event[3], event[6]
            last = first
            assert isinstance(values, tuple)
            self.doubled += first in self.held
        else:
            epoch, first, last = event[1:4]
            values = None
        assert isinstance(epoch, int) and isinstance(first, int) and isinstance(last, int)
        if self.hold_keep:
            return
        for rseq in range(first, last + 1):
            self.held.setdefault(rseq, values)
        self.held_set.add(first, last)
        self.gateway.keep(epoch, first, last)

    def _note(self, *channels: "Channel | None") -> None:
        for channel in channels:
            if channel and not any([channel is known for known in self.channels]):
                self.channels.append(channel)

    def _write(self, session: "Engine", line: Line) -> None:
        while True:
            data = session.outgoing(self.now)
            if not data:
                return
            line.put(data, self.now)

    def run(self, ms: int, until: "Callable[[], bool] | None" = None) -> bool:
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

    def settled(self) -> "Pair":
        """Itself, with a session up and the line quiet."""
        assert self.run(30_000, lambda: self.node.up)
        self.run(100)
        return self

    def no_key_twice(self) -> bool:
        """Did no two sending channels share a key? (Each numbers its own frames from 0.)"""
        prints = []
        for channel in self.channels:
            keys = channel._keys
            cipher = keys.down if channel.direction else keys.up
            prints.append((channel.direction, bytes(cipher.seal(keys.nonce(b"", 0), b"", b""))))
        return len(set(prints)) == len(prints)


def up_pair(seed: int = 1, framing: int = STREAM, **line: int) -> Pair:
    """A pair with a session up and nothing on the line."""
    return Pair(seed, framing, **line).settled()


def drained(session: "Engine") -> "list[Event]":
    """The events that wait."""
    events: list[Event] = []
    while True:
        event = session.next_event()
        if event is None:
            return events
        events.append(event)


def fault_codes(session: "Engine") -> "list[object]":
    """The codes of the faults among the events that wait."""
    return [event[1] for event in drained(session) if event[0] == "FAULT"]


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit turned."""
    at = bit // 8
    return data[:at] + bytes((data[at] ^ 1 << bit % 8,)) + data[at + 1 :]


def frames(written: "list[bytes]") -> "list[bytes]":
    """The frames in bytes that were put on a stream, their COBS undone."""
    found = []
    deframer = cobs.Deframer()
    stream = b"".join(written)
    at = 0
    while at < len(stream):
        at = deframer.take(stream, at)
        if deframer.length > 0:
            found.append(deframer.frame())
    return found
