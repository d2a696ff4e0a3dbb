"""Records, their two acknowledgements, deltas, gaps and pacing."""

from kerbwire import acks, bases, cbor, cobs, report
from kerbwire import messages as m
from kerbwire.bases import Bases
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    ACK_DELAY_MS,
    ACK_SPANS,
    BACKOFF_MAX_MS,
    BACKOFF_MIN_MS,
    BASE_REACH,
    DATAGRAM,
    DELTA_REACH,
    GATEWAY_BASES,
    HELD_SPANS,
    IDLE_MS,
    LOST_IN_ROW,
    RTO_MAX_MS,
    RTO_MIN_MS,
    RTO_START_MS,
    SPANS_IN_POLL,
    STREAM,
    TRIES,
    UNACKED_FRAMES,
)
from kerbwire.ranges import RangeSet
from kerbwire.retry import Backoff, RoundTrip
from kerbwire.schema import STREETLIGHT
from wire.pair import Pair, Random, drained, flipped, frames, up_pair

_VALUES = (30, 245, 1000, 10, 12, 0)
STREETLIGHT_ROW = _VALUES + (3600,)


def _sent(pair: Pair) -> int:
    """How many frames of records went out since this was asked last."""
    count = len([data for data in frames(pair.up_line.written) if data[0] & 3 == m.CLASS_REPORT])
    pair.up_line.written.clear()
    return count


def _record(rseq: int, values: "tuple[int, ...]" = _VALUES) -> "report.Record":
    return rseq, 1, rseq * 900, values


# ------------------------------------------------------------- the two acknowledgements


def test_spans_in_poll() -> None:
    """A set comes back as its cumulative number and at most four spans, none of them wrong."""
    for seed in range(200):
        random = Random(seed)
        numbers = RangeSet()
        for _ in range(random.below(12)):
            first = 1 + random.below(300)
            numbers.add(first, first + random.below(9))
        recent = [number for number in range(1, 310, 41) if number in numbers][:SPANS_IN_POLL]
        items = acks.encode_spans(numbers, recent)
        spans = acks.decode_spans(items, 0, numbers.cumulative, 1 << 40)
        assert spans[:1] == [(1, numbers.cumulative)] or not numbers.cumulative
        spans = spans[1:] if numbers.cumulative else spans
        assert 1 + 2 * len(spans) == len(items) and len(spans) <= SPANS_IN_POLL
        assert len(spans) == min(SPANS_IN_POLL, len(numbers.above()))
        assert all([span in numbers.above() for span in spans])
        told = RangeSet(tuple(spans))
        if numbers.cumulative:
            told.add(1, numbers.cumulative)
        assert all([number in told for number in recent])


def test_the_example_of_the_specification() -> None:
    numbers = RangeSet(((1, 10), (15, 16), (20, 24)))
    assert acks.encode_spans(numbers, []) == [2, 14, 5, 4, 2]
    assert acks.decode_spans([2, 14, 5, 4, 2], 0, 10, 25) == [(1, 10), (20, 24), (15, 16)]


def test_spans_that_cannot_be_are_refused() -> None:
    for numbers in ([5], [1, 1], [1, 0, 1], [1, 2, 0], [1, -1, 1], [2, 5, 1, 9, 1], [-1], []):
        try:
            acks.decode_spans(numbers, 0, 0, 1 << 40)
        except RemoteError as fault:
            assert fault.code == "value"
        else:
            raise AssertionError(numbers)


def test_seen_stops_the_sending_and_kept_allows_to_delete() -> None:
    pair = up_pair()
    pair.hold_keep = True
    rseq = pair.make()
    pair.node_events.clear()
    pair.run(5000)
    assert ("SEEN",) in pair.node_events and ("KEPT",) not in pair.node_events
    assert _sent(pair) == 1 and not pair.node.wants(rseq) and rseq not in pair.node.kept
    pair.gateway.keep(pair.epoch, rseq, rseq)
    pair.run(100)
    assert ("KEPT",) in pair.node_events and rseq in pair.node.kept
    assert not pair.records


def test_a_gateway_restarted_with_seen_but_not_kept_gets_all_again() -> None:
    pair = up_pair()
    pair.hold_keep = True
    for _ in range(10):
        pair.make()
        pair.run(50)
    assert len(pair.records) == 10 and not pair.node.wants(10)
    pair.start_gateway()
    pair.hold_keep = False
    assert pair.run(20_000, pair.drained)
    assert sorted(pair.held) == list(range(1, 11)) and pair.doubled == 0


def test_seen_that_goes_back_within_a_session_is_believed() -> None:
    pair = up_pair()
    pair.hold_keep = True
    for _ in range(5):
        pair.make()
        pair.run(50)
    assert not pair.node.wants(5)
    pair.gateway._intake.seen = RangeSet(((1, 2),))
    pair.run(IDLE_MS + 1000, lambda: pair.node.wants(5) or 5 in pair.gateway._intake.seen)
    pair.run(1000)
    assert 5 in pair.gateway._intake.seen


def test_each_record_is_an_event_once_in_a_session() -> None:
    pair = up_pair(repeat=40, loss=30)
    for _ in range(30):
        pair.make()
        pair.run(200)
    pair.run(60_000, pair.drained)
    numbers = [event[3] for event in pair.gateway_events if event[0] == "RECORD"]
    assert sorted(numbers) == list(range(1, 31))  # type: ignore[type-var]


def test_keep_of_another_log_is_not_told() -> None:
    pair = up_pair()
    pair.gateway.keep(pair.epoch + 1, 1, 5)
    pair.run(100)
    assert len(pair.node.kept) == 0


def test_a_log_that_comes_back_is_kept_as_far_as_it_was() -> None:
    for between in (0, 78):  # a boot whose flash did not answer, and another board
        pair = up_pair()
        for _ in range(3):
            pair.make()
        assert pair.run(1000, pair.drained)
        epoch, pair.epoch = pair.epoch, between
        pair.restart_node()
        pair.settled()
        assert pair.gateway.info is not None and pair.gateway.info.epoch == between
        assert not pair.node.kept.spans() and not pair.gateway.kept.spans()
        pair.gateway.keep(epoch, 4, 4)  # what was on its way to the disk meanwhile
        pair.epoch = epoch
        pair.next_rseq = 5
        pair.restart_node()
        pair.settled()
        assert pair.node.kept.spans() == ((1, 4),)
        pair.make()
        assert pair.run(1000, pair.drained) and 5 in pair.held


def test_a_node_without_a_log_can_claim_nothing() -> None:
    pair = up_pair()
    pair.epoch = 0
    pair.restart_node()
    pair.settled()
    for send in (
        lambda: pair.node.send_report((1, 1, 900, _VALUES), pair.now),
        lambda: pair.node.send_batch([(1, 1, 900, STREETLIGHT_ROW)], pair.now),
        lambda: pair.node.send_event((1, 1, 900, (1, 0)), pair.now),
        lambda: pair.node.send_gap(1, 5, m.GAP_POWER, pair.now),
    ):
        pair.faults.clear()
        send()
        pair.run(20_000)
        assert {code for _, code in pair.faults} == {"value"}
    assert not [event for event in pair.gateway_events if event[0] in ("RECORD", "GAP")]
    assert not pair.gateway.kept.spans() and not pair.node.kept.spans()


def test_a_new_log_starts_with_nothing_kept() -> None:
    pair = up_pair()
    pair.make()
    assert pair.run(1000, pair.drained)
    pair.epoch += 1
    pair.next_rseq = 1
    pair.restart_node()
    pair.settled()
    assert len(pair.node.kept) == 0 and pair.node.wants(1)


def test_whatever_is_in_flight_is_answered_however_many_spans_there_are() -> None:
    """Records far below many spans: the POLL that answers them tells of just their spans."""
    pair = up_pair()
    for rseq in range(101, 140, 3):  # 13 spans above
        pair.node.send_backfill(_record(rseq), pair.now)
        pair.run(50)
    for rseq in (50, 30, 10):
        pair.node.send_backfill(_record(rseq), pair.now)
        pair.run(50)
        assert not pair.node.wants(rseq) and rseq in pair.node.kept
    pair.restart_node()  # now it knows of nothing
    pair.settled()
    for rseq in (10, 30, 101):
        pair.node.send_backfill(_record(rseq), pair.now)
        pair.run(50)
        assert rseq in pair.node.kept


def test_many_gaps_and_a_restart_do_not_block_the_line() -> None:
    pair = Pair()
    for _ in range(12):
        pair.lose(5)
        pair.make()
    pair.up_line.cut = True  # gaps only: the records come later
    records, pair.records = pair.records, {}
    pair.up_line.cut = False
    assert pair.run(60_000, lambda: not pair.gaps)
    for first in range(1, 67, 6):
        pair.gaps.append((first, first + 4, m.GAP_POWER))
    pair.records = records
    pair.restart_node()
    assert pair.run(60_000, pair.drained)
    assert sorted(pair.held) == list(range(1, 73))


def test_ack_spans_is_a_bound_and_what_is_forgotten_is_asked_again() -> None:
    pair = up_pair()
    last = 4 * ACK_SPANS
    for rseq in range(2, last + 1, 2):
        pair.node.send_backfill(_record(rseq), pair.now)
        pair.run(30)
    assert len(pair.node.kept.spans()) == ACK_SPANS
    assert len(pair.node._uplink.seen.spans()) == ACK_SPANS
    assert pair.node.wants(2) and not pair.node.wants(last)
    for rseq in range(1, last + 1):
        if pair.node.wants(rseq):
            pair.node.send_backfill(_record(rseq), pair.now)
            pair.run(30)
    assert pair.node.kept.cumulative == last


def test_held_spans_is_a_bound() -> None:
    pair = up_pair()
    for rseq in range(2, 3 * HELD_SPANS, 2):
        pair.gateway.keep(pair.epoch, rseq, rseq)
    for numbers in (pair.gateway._intake.seen, pair.gateway._intake.kept):
        assert len(numbers.spans()) == HELD_SPANS


def test_ack_delay_ms_gathers_what_comes_together() -> None:
    pair = up_pair()
    pair.hold_keep = True
    pair.down_line.written.clear()
    for _ in range(UNACKED_FRAMES):
        pair.make()
    pair.run(ACK_DELAY_MS + 30)
    assert len(frames(pair.down_line.written)) == 1


# ------------------------------------------------------------- deltas


def test_deltas_follow_a_seen_keyframe_and_survive_loss() -> None:
    for seed in range(8):
        pair = up_pair(seed, loss=30, repeat=10, jitter_ms=20)
        made = {}
        for number in range(60):
            values = (number % 100, 200 + number, 1000 + 7 * number, 10, 12 - number, number & 1)
            made[pair.make(values=values)] = values
            pair.run(pair.random.below(300))
        assert pair.run(600_000, pair.drained)
        assert pair.held == made and pair.doubled == 0


def test_a_report_without_change_is_four_bytes() -> None:
    pair = up_pair()
    pair.make()
    pair.run(1000)
    pair.now += 900_000 - 1000
    pair.run(1)
    _sent(pair)
    pair.make()
    pair.run(10)
    reports = [data for data in frames(pair.up_line.written) if data[0] & 3 == m.CLASS_REPORT]
    assert [len(data) for data in reports] == [3 + 4 + 8]


def test_a_delta_never_means_another_base() -> None:
    """256 records on, a byte would name two bases: the node must not send such a delta.

    Record 257 and the base, record 1, end in the same byte. Its acknowledgement is lost, so that
    the node knows only of 1, while the gateway holds both.
    """
    pair = up_pair()
    pair.node.send_report(_record(1), pair.now)
    pair.run(100)
    pair.down_line.cut = True
    made = {1: _VALUES}
    for rseq in (257, 258, 259):
        made[rseq] = (rseq % 100, rseq, rseq, rseq, rseq, 1)
        pair.node.send_report(_record(rseq, made[rseq]), pair.now)
        pair.run(10)
    assert pair.held == made


def test_base_reach() -> None:
    base = _record(1)
    assert report.usable(_record(300), base, 1 + BASE_REACH)
    assert not report.usable(_record(300), base, 2 + BASE_REACH)
    assert not report.usable((300, 2, 0, _VALUES), base, 1)  # of another boot


def test_delta_reach() -> None:
    base = _record(1)
    assert report.usable(_record(1 + DELTA_REACH), base, 1)
    assert not report.usable(_record(2 + DELTA_REACH), base, 1)
    assert not report.usable(base, base, 1)


def test_a_base_counts_for_later_frames_only() -> None:
    """A delta that was overtaken on the way keeps the base that its sender meant."""
    held = Bases()
    held.add(_record(1), 10)
    held.add(_record(257), 12)
    found = held.find(1, 11)
    assert found is not None and found[0] == 1
    found = held.find(1, 13)
    assert found is not None and found[0] == 257
    assert held.find(1, 10) is None


def test_gateway_bases_is_a_bound() -> None:
    held = Bases()
    for rseq in range(1, 3 * GATEWAY_BASES):
        held.add(_record(rseq), rseq)
    assert len(held._records) == GATEWAY_BASES
    assert held.find(1, 1000) is None and held.find(2 * GATEWAY_BASES, 1000)


def test_need_keyframe_brings_one() -> None:
    pair = up_pair()
    pair.make()
    pair.run(100)
    pair.gateway._intake._bases.clear()
    pair.make()
    pair.run(100)
    assert ("gateway", "base") in pair.faults
    pair.faults.clear()
    pair.run(5000)
    pair.make()
    assert pair.run(5000, pair.drained)
    assert not pair.faults


# ------------------------------------------------------------- gaps and events


def test_a_gap_is_repeated_until_it_is_kept() -> None:
    pair = up_pair()
    pair.hold_keep = True
    pair.lose(5)
    pair.run(5000)
    told = [event for event in pair.gateway_events if event[0] == "GAP"]
    assert told == [("GAP", pair.epoch, 1, 5, m.GAP_POWER)] and pair.gaps
    pair.start_gateway()
    pair.hold_keep = False
    assert pair.run(20_000, pair.drained)
    assert len([event for event in pair.gateway_events if event[0] == "GAP"]) == 2
    assert pair.held_set.covers(1, 5)


def test_an_event_is_tried_again_and_a_report_is_not() -> None:
    for kind, tries in ((m.EVENT, TRIES), (m.REPORT, 1)):
        pair = up_pair()
        pair.up_line.cut = True
        _sent(pair)
        values = (m.EV_MOTION, 1) if kind == m.EVENT else _VALUES
        pair.make(kind, values)
        pair.run(1)
        slot = pair.node._uplink._slots[0]
        pair.run(TRIES * RTO_START_MS, lambda: slot not in pair.node._uplink._slots)
        written = len(frames(pair.up_line.written))
        assert tries <= written <= tries + 1, (kind, written)  # the one after it is a new sending


def test_events_keep_their_code_and_value() -> None:
    pair = up_pair()
    pair.make(m.EVENT, (m.EV_CLOCK_JUMP, -300))
    assert pair.run(1000, pair.drained)
    assert pair.held == {1: (m.EV_CLOCK_JUMP, -300)}


# ------------------------------------------------------------- pacing


def test_unacked_frames_is_the_window() -> None:
    pair = up_pair()
    pair.down_line.cut = True
    assert pair.node.window(pair.now) == UNACKED_FRAMES
    for rseq in range(1, UNACKED_FRAMES + 1):
        pair.node.send_report(_record(rseq), pair.now)
    assert pair.node.window(pair.now) == 0
    try:
        pair.node.send_report(_record(99), pair.now)
    except LocalError as fault:
        assert fault.code == "window"
    else:
        raise AssertionError("a fifth frame")


def test_lost_in_row_is_where_backing_off_starts() -> None:
    pair = up_pair()
    pair.down_line.cut = True
    for _ in range(20):
        pair.make()
    pair.run(RTO_START_MS + 100)  # the first four are lost by now
    assert pair.node._uplink._lost_in_row >= LOST_IN_ROW
    _sent(pair)
    pair.run(60_000)
    assert 4 <= _sent(pair) <= 10  # one a step of 1, 2, 4, 8, ... seconds
    pair.down_line.cut = False
    assert pair.run(40_000, pair.drained)


def test_backing_off_with_nothing_left_to_send_asks_for_no_time() -> None:
    pair = up_pair()
    pair.down_line.cut = True
    for rseq in range(1, UNACKED_FRAMES + 1):
        pair.node.send_report(_record(rseq), pair.now)
    pair.run(10_000)
    due = pair.node.deadline()
    assert due is not None and due > pair.now


def test_backoff_min_ms_and_backoff_max_ms() -> None:
    backoff = Backoff(Random(4).bytes)
    waits = [backoff.next_ms() for _ in range(20)]
    for step, wait in enumerate(waits):
        whole = min(BACKOFF_MIN_MS << step, BACKOFF_MAX_MS)
        assert whole // 2 <= wait <= whole
    backoff.reset()
    assert backoff.next_ms() <= BACKOFF_MIN_MS


def test_rto_min_ms_and_rto_max_ms() -> None:
    trip = RoundTrip()
    assert trip.timeout_ms == RTO_START_MS
    for _ in range(20):
        trip.sample(3)
    assert trip.timeout_ms == RTO_MIN_MS
    for _ in range(20):
        trip.sample(60_000)
    assert trip.timeout_ms == RTO_MAX_MS


def test_the_time_out_follows_rfc_6298() -> None:
    trip = RoundTrip()
    trip.sample(100)
    assert trip.timeout_ms == 100 + 4 * 50
    trip.sample(100)
    assert 240 <= trip.timeout_ms <= 252  # RTTVAR falls by a quarter


def test_a_slow_line_is_learnt_and_nothing_is_sent_twice() -> None:
    pair = up_pair(delay_ms=200)
    pair.hold_keep = False
    for _ in range(10):
        pair.make()
        pair.run(1000)
    _sent(pair)
    for _ in range(10):
        pair.make()
        pair.run(1000)
    assert _sent(pair) == 10


def test_idle_ms() -> None:
    pair = up_pair()
    pair.up_line.written.clear()
    pair.run(3 * IDLE_MS + 1000)
    assert len(frames(pair.up_line.written)) == 3


def test_a_line_that_broke_gives_its_frames_back() -> None:
    pair = up_pair()
    pair.up_line.cut = True
    pair.make()
    pair.run(1)
    assert not pair.node.wants(1)
    pair.node.failed(pair.now)
    assert pair.node.wants(1)
    pair.up_line.cut = False
    assert pair.run(1000, pair.drained)


# ------------------------------------------------------------- portions


def test_byte_by_byte_gives_the_same_events() -> None:
    whole, single = up_pair(), up_pair()
    for pair in (whole, single):
        for number in range(12):
            pair.make(values=(number, 1, 2, 3, 4, 5))
        pair.lose(3)
        pair.make(m.EVENT, (m.EV_MOTION, 1))
        pair.hold_keep = True
        drained(pair.gateway)
        pair.up_line.cut = True
        pair.run(700)
    stream = b"".join(whole.up_line.written) + b"\x05\0\x07\x07\0" + bytes(9)
    assert stream.startswith(b"".join(single.up_line.written))
    whole.gateway.receive(stream, whole.now)
    for at in range(len(stream)):
        single.gateway.receive(stream[at : at + 1], single.now)
    events = drained(whole.gateway)
    assert [event[0] for event in events].count("RECORD") >= 3
    assert drained(single.gateway) == events
    assert whole.gateway.outgoing(whole.now + 50) == single.gateway.outgoing(single.now + 50)


def test_noise_byte_by_byte_gives_the_same_events() -> None:
    for seed in range(20):
        whole, single = up_pair(seed), up_pair(seed)
        random = Random(seed)
        stream = b""
        for _ in range(40):
            sent = whole.up_line.written[random.below(len(whole.up_line.written))]
            stream += flipped(sent, random.below(8 * len(sent))) if random.chance(50) else sent
            stream += random.bytes(random.below(12)) + bytes(random.below(2))
        for pair in (whole, single):
            drained(pair.gateway)
        whole.gateway.receive(stream, whole.now)
        for at in range(len(stream)):
            single.gateway.receive(stream[at : at + 1], single.now)
        assert drained(whole.gateway) == drained(single.gateway)


def test_a_bad_line_loses_and_doubles_nothing() -> None:
    for framing in (STREAM, DATAGRAM):
        for seed in range(4):
            pair = Pair(seed, framing, loss=20, repeat=10, garble=10, jitter_ms=40)
            made = {}
            for number in range(80):
                if number % 13 == 12:
                    pair.lose(2)
                values = (number, number * 3, 5, 6, -number, 0)
                made[pair.make(values=values)] = values
                pair.run(pair.random.below(500))
                if number % 30 == 17:
                    pair.restart_node()
                if number % 30 == 23:
                    pair.start_gateway()
            assert pair.run(2_000_000, pair.drained), (framing, seed)
            held = {rseq: values for rseq, values in pair.held.items() if values is not None}
            assert held == made and pair.doubled == 0
            assert pair.no_key_twice()


def test_a_gateway_that_forgot_what_is_kept_says_it_all_the_same() -> None:
    intake = up_pair().gateway._intake
    intake.begin(m.Info(STREETLIGHT.hash, 1, 77, 1), 0)
    intake.kept.add(1, 3)
    intake.seen.add(1, 2)  # its own limit made it forget 3
    intake.keep(77, 10, 10)
    assert intake.seen.cumulative == intake.kept.cumulative == 3


def test_a_base_too_far_below_what_was_seen_is_none() -> None:
    held = bases.Bases()
    held.add((10, 1, 1000, (30, 245, 1000, 10, 12, 0)), 0)
    info = m.Info(STREETLIGHT.hash, 1, 77, 1)
    delta = [m.REPORT, 1, 10, 1, -5]
    assert bases.decode(delta, 1, held, info, STREETLIGHT, 265)[0] == 11
    try:
        bases.decode(delta, 1, held, info, STREETLIGHT, 266)  # the node means 266
        raise AssertionError("taken")
    except RemoteError as fault:
        assert fault.code == "base"


def test_what_was_never_made_is_neither_seen_nor_kept() -> None:
    pair = up_pair()
    for _ in range(3):
        pair.make()
    assert pair.run(1000, pair.drained)
    channel = pair.gateway.channel
    assert channel
    polls: tuple[list[int | bytes], ...] = (
        [m.POLL, 4, 1, 1, 0, 0],
        [m.POLL, 3, 0, 1, 1, 1, 1, 0],
        [m.POLL, 3, 0, 1, 0, 1, 1, 1],
        [m.POLL, 0, 0, 1, 0, 1, 1 << 39, 1 << 38],
    )
    for items in polls:
        pair.faults.clear()
        pair.down_line.put(
            cobs.encode(channel.seal(m.CLASS_CONTROL, cbor.encode(items), pair.now)), pair.now
        )
        pair.run(50)
        assert pair.faults == [("node", "value")], items
    assert pair.node.kept.spans() == ((1, 3),) and pair.node.wants(4)
    pair.make()
    assert pair.run(5000, pair.drained) and 4 in pair.held


def test_a_log_that_was_set_back_is_not_told_of_what_it_has_not_made() -> None:
    pair = up_pair()
    for _ in range(9):
        pair.make()
    assert pair.run(1000, pair.drained)
    pair.faults.clear()
    pair.next_rseq = 5  # its flash is an image of some days ago
    pair.restart_node()
    pair.settled()
    assert pair.gateway.kept.spans() == pair.node.kept.spans() == ((1, 4),)
    pair.make()
    assert pair.run(1000, pair.drained) and not pair.faults
