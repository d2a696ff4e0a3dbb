"""Records on their way through both real engines: live first, then gaps and the backlog."""

from kerbnode.journal import RESERVE, Journal
from kerbnode.records import LIVE, Records
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import STREETLIGHT
from node.torn_flash import TornFlash

KEY = bytes(range(16))


class Random:
    """Bytes that differ from call to call, the same on each interpreter."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return bytes([(self.calls * 37 + place) & 0xFF for place in range(count)])


class Pair:
    """A node's journal, records and session, and a gateway that keeps what it gets."""

    def __init__(self) -> None:
        self.flash = TornFlash()
        self.made_numbers: list[int] = []
        self.held: dict[int, tuple[int, ...]] = {}
        self.order: list[int] = []
        self.gaps: list[tuple[int, int, int]] = []
        self.kept = RangeSet()
        self.random = Random()
        self.now = 1000
        self.plugged = True
        self.keeping = True
        self.node_key = (0, KEY)
        self.keys: tuple[int, bytes, bytes | None] = (0, KEY, None)
        self.start_node()
        self.start_gateway()

    def start_node(self) -> None:
        self.journal = Journal(self.flash, self.random, 600, 50)
        self.journal.open()
        self.records = Records(self, self.journal, 7, "streetlight")
        info = m.Info(STREETLIGHT.hash, 7, self.journal.epoch, 1)
        self.node = NodeSession(
            b"sl-1", self.node_key[0], self.node_key[1], info, self.random, STREAM
        )
        self.node.start(self.now)

    def start_gateway(self) -> None:
        self.gateway = GatewaySession(
            b"sl-1", self.keys, self.journal.epoch, self.kept, self.random, STREAM, None
        )
        self.gateway.start(self.now)

    def made(self, kind: str, record: "tuple[object, ...]", epoch: int) -> None:
        """The witness of the board."""
        self.made_numbers.append(record[0])

    def make(self, count: int, kind: int = m.REPORT) -> None:
        for _ in range(count):
            values = (
                (2, 1)
                if kind == m.EVENT
                else (30, 185, self.journal.next, 0, 12, 1, self.journal.next)
            )
            self.records.make(1000 * self.journal.next, kind, values)

    def run(self, span_ms: int) -> None:
        end = self.now + span_ms
        while self.now < end:
            self.now += 10
            self._take_node_events()
            self.records.offer(self.node, self.now)
            self.node.info.next_rseq = self.journal.next  # as kerbnode.app tells it
            up = self.node.outgoing(self.now)
            if self.plugged:
                self.gateway.receive(up, self.now)
            self._take_gateway_events()
            down = self.gateway.outgoing(self.now)
            if self.plugged:
                self.node.receive(down, self.now)

    def _take_node_events(self) -> None:
        while True:
            event = self.node.next_event()
            if event is None:
                return
            if event[0] == "KEY":
                self.node_key = (event[1], event[2])
                self.node.key_stored(self.now)
            elif event[0] == "UP":
                self.records.restart(self.node.kept.cumulative)
            elif event[0] == "KEPT":
                self.journal.release(self.node.kept)

    def _take_gateway_events(self) -> None:
        while True:
            event = self.gateway.next_event()
            if event is None:
                return
            if event[0] == "KEYS":
                self.keys = event[1:4]
                self.gateway.key_stored(self.now)
            elif event[0] == "RECORD":
                self.order.append(event[3])
                assert self.held.get(event[3], event[6]) == event[6]
                self.held[event[3]] = event[6]
                self._keep(event[2], event[3], event[3])
            elif event[0] == "GAP":
                self.gaps.append(event[2:5])
                self._keep(event[1], event[2], event[3])

    def _keep(self, epoch: int, first: int, last: int) -> None:
        if self.keeping:
            self.kept.add(first, last)
            self.gateway.keep(epoch, first, last)


def test_records_go_live_and_are_released_when_kept() -> None:
    pair = Pair()
    pair.run(1000)
    pair.make(LIVE)
    pair.journal.flush()
    pair.run(2000)
    assert pair.order == list(range(1, LIVE + 1))
    assert pair.node.kept.cumulative == LIVE
    assert pair.made_numbers == pair.order
    assert len(pair.flash.files) == 1


def test_live_goes_before_the_backlog() -> None:
    pair = Pair()
    pair.run(1000)
    pair.plugged = False
    pair.make(60)
    pair.run(3000)
    pair.plugged = True
    pair.run(20)
    pair.make(1, m.EVENT)
    pair.run(30_000)
    assert sorted(pair.order) == list(range(1, 62))
    assert pair.order.index(61) < 12
    assert pair.held[61] == (2, 1)
    assert pair.held[5] == (30, 185, 5, 0, 12, 1, 5)


def test_what_live_has_no_room_for_is_backfilled_from_flash() -> None:
    pair = Pair()
    pair.make(3 * LIVE)
    pair.journal.flush()
    pair.run(5000)
    assert sorted(pair.order) == list(range(1, 3 * LIVE + 1))


def test_the_backlog_goes_in_batches_and_events_between_them() -> None:
    pair = Pair()
    pair.make(70)
    pair.make(1, m.EVENT)
    pair.make(70)
    pair.journal.flush()
    frames = 0
    while len(pair.order) < 141 and pair.now < 20_000:
        before = pair.node.channel.sent if pair.node.channel else 0
        pair.run(10)
        frames += pair.node.channel.sent - before if pair.node.channel else 0
    assert sorted(pair.order) == list(range(1, 142))
    assert frames < LIVE + 12
    assert pair.held[71] == (2, 1) and pair.held[70][6] == 70


def test_records_of_an_older_version_are_sent_too() -> None:
    pair = Pair()
    for _ in range(2 * LIVE):
        pair.records.make(
            1000 * pair.journal.next, m.REPORT, (30, 185, pair.journal.next, 0, 12, 1)
        )
    pair.make(5)
    pair.journal.flush()
    pair.run(10_000)
    assert sorted(pair.held) == list(range(1, 2 * LIVE + 6))
    assert len(pair.held[3]) == 6 and len(pair.held[2 * LIVE + 1]) == 7


def test_a_power_cut_is_declared_once_it_is_in_flash_and_settled() -> None:
    pair = Pair()
    pair.run(1000)
    pair.make(5)
    pair.journal.flush()
    pair.make(2)
    pair.run(500)
    assert len(pair.held) == 7
    pair.start_node()
    pair.run(3000)
    assert pair.gaps == [(8, 5 + RESERVE, m.GAP_POWER)]  # 6 and 7 had gone live
    assert pair.node.kept.cumulative == 5 + RESERVE
    assert pair.journal.gaps == []


class Forgetful:
    """A session that has no room to remember what is kept above the cumulative number."""

    def __init__(self) -> None:
        self.kept = RangeSet()
        self.sent: list[tuple[int, int]] = []

    def window(self, now: int) -> int:
        return 1 if len(self.sent) < 6 else 0

    def wants(self, rseq: int) -> bool:
        return True

    def send_gap(self, first: int, last: int, reason: int, now: int) -> None:
        self.sent.append((first, last))

    def send_batch(self, reports: "list[tuple[object, ...]]", now: int) -> int:
        self.sent.append((reports[0][0], reports[0][0]))
        return 1


def test_a_gap_that_is_forgotten_again_does_not_hold_up_the_backlog() -> None:
    pair = Pair()
    pair.records.make(1000, m.REPORT, (1, 2, 3, 4, 5, 6, 7))
    pair.journal.flush()
    pair.start_node()  # after a power cut
    pair.make(20)
    pair.journal.flush()
    pair.records._live.clear()
    session = Forgetful()
    gap = pair.journal.gaps[0][:2]
    pair.records.offer(session, 0)
    after = gap[1] + 1
    assert session.sent == [gap, (1, 1)] + [(n, n) for n in range(after, after + 4)]


def test_a_new_gateway_gets_again_what_it_had_not_kept() -> None:
    pair = Pair()
    pair.run(1000)
    pair.make(4)
    pair.journal.flush()
    pair.run(1000)
    pair.keeping = False
    pair.make(6)
    pair.journal.flush()
    pair.run(1000)
    assert sorted(pair.order) == list(range(1, 11))
    pair.keeping = True
    pair.start_gateway()
    pair.run(5000)
    assert sorted(pair.order[10:]) == list(range(5, 11))
    assert pair.node.kept.cumulative == 10


def test_a_lost_frame_is_found_behind_much_that_waits_to_be_kept() -> None:
    pair = Pair()
    pair.run(1000)
    pair.keeping = False
    for _ in range(10):
        pair.make(32)
        pair.journal.flush()
        pair.run(3000)
    assert sorted(pair.order) == list(range(1, 321))
    pair.plugged = False
    pair.make(1)
    pair.run(300)
    pair.plugged = True
    pair.run(5000)
    assert pair.order[320:] == [321]


def test_nothing_is_due_while_no_session_can_take_it() -> None:
    pair = Pair()
    pair.run(1000)
    pair.keeping = False
    pair.make(3)
    pair.run(1000)
    assert pair.records.deadline(pair.node, pair.now) is not None
    pair.plugged = False
    pair.make(20)
    pair.run(60_000)
    if pair.node.window(pair.now) == 0:
        assert pair.records.deadline(pair.node, pair.now) is None


def test_a_record_that_flash_has_lost_is_declared() -> None:
    pair = Pair()
    pair.make(2 * LIVE)
    pair.journal.flush()
    name = pair.flash.names()[1]
    pair.flash.files[name] = b"\xff" * len(pair.flash.files[name])
    pair.run(5000)
    pair.journal.flush()
    pair.run(5000)
    lost = [number for first, last, _ in pair.gaps for number in range(first, last + 1)]
    assert lost == list(range(1, LIVE + 1))
    assert sorted(pair.order + lost) == list(range(1, 2 * LIVE + 1))
