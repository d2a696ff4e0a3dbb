"""Commands down, their results up, and the time that both need."""

from kerbwire import cbor, cobs
from kerbwire import messages as m
from kerbwire.errors import LocalError
from kerbwire.limits import (
    BACKOFF_MIN_MS,
    COMMAND_ARGS,
    COPIES,
    COPY_MS,
    DATAGRAM,
    DEFERRED_COMMANDS,
    OFFER_MS,
    RTO_START_MS,
    STREAM,
    TRIES,
    UNACKED_FRAMES,
)
from wire.pair import Pair, frames, up_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Event

_LATER_S = Pair.UTC_MS // 1000 + 3600


def _commands(pair: Pair) -> "list[Event]":
    return [event for event in pair.node_events if event[0] == "COMMAND"]


def _results(pair: Pair) -> "list[Event]":
    return [event for event in pair.gateway_events if event[0] in ("RESULT", "EXPIRED")]


def test_a_command_and_its_result() -> None:
    pair = up_pair()
    pair.gateway.send_command(5, _LATER_S, m.OP_SET_LEVEL, (80, 30, 500))
    pair.run(20)
    assert _commands(pair) == [("COMMAND", 5, _LATER_S, m.OP_SET_LEVEL, (80, 30, 500))]
    pair.node.send_result(5, m.OK, 80)
    pair.run(20)
    assert _results(pair) == [("RESULT", 5, m.OK, 80)]
    pair.run(5000)
    assert len(_commands(pair)) == 1  # answered: not sent again


def test_an_urgent_command_goes_again_as_it_is_until_it_is_answered() -> None:
    pair = up_pair(framing=DATAGRAM)
    pair.up_line.loss = 100  # no answer comes
    pair.run(10)
    pair.down_line.written.clear()
    pair.gateway.send_command(5, _LATER_S, m.OP_SET_LEVEL, (100, 30, 1), urgent=True)
    pair.run(COPY_MS * COPIES + 10)
    assert len(pair.down_line.written) == 1 + COPIES
    assert len(set(pair.down_line.written)) == 1
    assert len(_commands(pair)) == 1  # what it had it dropped
    pair.up_line.loss = 0
    pair.run(3 * RTO_START_MS)  # then as others: it is asked again, and answers
    pair.node.send_result(5, m.OK, 0)
    pair.run(20)
    assert _results(pair) == [("RESULT", 5, m.OK, 0)]
    pair.down_line.written.clear()
    pair.gateway.send_command(6, _LATER_S, m.OP_SET_LEVEL, (100, 30, 1), urgent=True)
    pair.run(10)
    pair.node.send_result(6, m.OK, 0)
    pair.run(COPY_MS * COPIES)
    assert pair.down_line.written.count(pair.down_line.written[0]) == 1


def test_an_urgent_command_that_met_no_time_goes_again_behind_an_offer() -> None:
    pair = up_pair(framing=DATAGRAM)
    pair.node_events.clear()
    pair.gateway.send_command(5, _LATER_S, m.OP_SET_LEVEL, (100, 30, 1), urgent=True)
    pair.run(10)
    pair.node.send_result(5, m.NO_TIME, 0)
    pair.run(2 * COPY_MS)
    assert [event[0] for event in pair.node_events] == ["COMMAND", "TIME", "COMMAND"]
    assert _results(pair) == []


def test_an_event_goes_again_until_it_is_seen() -> None:
    for framing, loss, want in ((DATAGRAM, 100, 1 + COPIES), (DATAGRAM, 0, 1), (STREAM, 100, 1)):
        pair = up_pair(framing=framing)
        pair.run(100)
        pair.down_line.loss = loss
        pair.up_line.written.clear()
        pair.make(m.EVENT, (m.EV_MOTION, 1))
        pair.run(COPY_MS * COPIES + 10)
        assert want <= len(pair.up_line.written) <= want + 1, framing  # the last by the time-out
        events = [event for event in pair.gateway_events if event[0] == "RECORD"]
        assert len(events) == 1


def test_a_command_that_waits_for_the_session_comes_after_the_time() -> None:
    pair = Pair()
    pair.gateway.send_command(5, _LATER_S, m.OP_RELEASE, ())
    pair.run(5000, lambda: bool(_commands(pair)))
    kinds = [event[0] for event in pair.node_events]
    assert kinds.index("TIME") < kinds.index("COMMAND")


def test_a_command_without_a_result_is_sent_again_then_backed_off() -> None:
    pair = up_pair()
    pair.gateway.send_command(5, _LATER_S, m.OP_RELEASE, ())
    pair.run((TRIES - 1) * RTO_START_MS + 100)
    assert len(_commands(pair)) == TRIES
    pair.run(BACKOFF_MIN_MS)
    assert len(_commands(pair)) <= TRIES + 1
    pair.node.send_result(5, m.OK, 0)
    pair.node.send_result(5, m.OK, 0)
    pair.run(100)
    assert _results(pair) == [("RESULT", 5, m.OK, 0)]  # once, though told twice


def test_a_command_survives_a_restart_of_the_node() -> None:
    pair = up_pair()
    pair.up_line.cut = True
    pair.gateway.send_command(5, _LATER_S, m.OP_RELEASE, ())
    pair.run(20)
    pair.up_line.cut = False
    pair.node_events.clear()
    pair.restart_node()
    pair.settled()
    pair.run(1000)
    assert _commands(pair)


def test_an_expired_command_is_told_in_time() -> None:
    for connected in (True, False):
        pair = up_pair()
        pair.down_line.cut = pair.up_line.cut = True
        if not connected:
            pair.gateway.channel = None
        expires_s = (pair.now + Pair.UTC_MS) // 1000 + 10
        pair.gateway.send_command(5, expires_s, m.OP_RELEASE, ())
        assert pair.run(12_000, lambda: bool(_results(pair))), connected
        assert _results(pair) == [("EXPIRED", 5)]
        assert 10_000 <= pair.now + Pair.UTC_MS - (expires_s - 10) * 1000 <= 11_100


def test_without_a_clock_nothing_expires() -> None:
    pair = up_pair()
    pair.gateway._intake._utc_offset_ms = None
    pair.gateway.send_command(5, 1, m.OP_RELEASE, ())
    pair.run(1000)
    assert not _results(pair) and _commands(pair)


def _refused(pair: Pair, command_id: int, args: "tuple[int, ...]") -> str:
    try:
        pair.gateway.send_command(command_id, _LATER_S, m.OP_IDENTIFY, args)
    except LocalError as fault:
        return fault.code
    return ""


def test_deferred_commands_and_unacked_frames() -> None:
    pair = up_pair()
    pair.up_line.cut = True
    for command_id in range(1, DEFERRED_COMMANDS + 1):
        assert _refused(pair, command_id, (1,)) == ""
    assert _refused(pair, 99, (1,)) == "window"
    pair.run(100)
    assert len(_commands(pair)) == UNACKED_FRAMES
    pair.up_line.cut = False
    for command_id in range(1, UNACKED_FRAMES + 1):
        pair.node.send_result(command_id, m.OK, 0)
    pair.run(100)
    assert len({event[1] for event in _commands(pair)}) == DEFERRED_COMMANDS


def test_command_args() -> None:
    pair = up_pair()
    assert _refused(pair, 1, tuple(range(COMMAND_ARGS))) == ""
    assert _refused(pair, 2, tuple(range(COMMAND_ARGS + 1))) == "arguments"
    pair.run(50)
    assert _commands(pair)[0][4] == tuple(range(COMMAND_ARGS))


def test_a_time_offer_contains_the_truth() -> None:
    """Truth lies within the stated uncertainty, however unequal the two ways are."""
    offers = 0
    for seed in range(30):
        pair = Pair(seed, delay_ms=1 + seed % 7, jitter_ms=200 if seed % 2 else 0)
        told = 0
        for _ in range(400):
            if seed % 3 == 0 and pair.random.chance(10):
                pair.make()
            pair.run(pair.random.below(1000) + 1, lambda: len(pair.node_events) > told)
            for event in pair.node_events[told:]:
                if event[0] == "TIME":
                    utc_ms, uncertainty_ms = event[1:3]
                    assert isinstance(utc_ms, int) and isinstance(uncertainty_ms, int)
                    assert abs(pair.now + Pair.UTC_MS - utc_ms) <= uncertainty_ms
                    assert 20 <= uncertainty_ms <= 20 + 4 + 201 + 7
                    offers += 1
            told = len(pair.node_events)
    assert offers > 60


def test_offer_ms() -> None:
    pair = up_pair()
    pair.run(5 * OFFER_MS)
    offers = [event for event in pair.node_events if event[0] == "TIME"]
    assert 3 <= len(offers) <= 6


def test_an_offer_for_an_earlier_frame_is_let_go() -> None:
    pair = up_pair(delay_ms=50)
    pair.node_events.clear()
    pair.gateway._intake._offer_ms = 0
    pair.make()
    pair.run(30)
    pair.make()  # crosses the answer
    pair.run(90)
    assert not [event for event in pair.node_events if event[0] == "TIME"]


def test_a_gateway_without_a_clock_offers_none() -> None:
    pair = Pair()
    pair.gateway._intake._utc_offset_ms = None
    pair.settled()
    assert not [event for event in pair.node_events if event[0] == "TIME"]


def test_rounding_of_two_clocks_spoils_no_acknowledgement() -> None:
    """A hold time a millisecond longer than the trip: the POLL still says what it says."""
    pair = up_pair()
    pair.hold_keep = True
    rseq = pair.make()
    pair.run(2)
    pair.gateway._intake._offer_ms = 0
    pair.run(12)
    assert pair.node.channel
    pair.node.channel.last_sent_ms = pair.now + 50  # what rounding does, made visible
    pair.run(30)
    assert not pair.node.wants(rseq) and not pair.faults


def test_a_full_exchange_is_short() -> None:
    """A command, its result and the POLL around them stay within 100 bytes."""
    pair = up_pair()
    pair.up_line.written.clear()
    pair.down_line.written.clear()
    pair.gateway.send_command(5, _LATER_S, m.OP_SET_LEVEL, (80, 30, 500))
    pair.run(20)
    pair.node.send_result(5, m.OK, 80)
    pair.run(100)
    sent = frames(pair.up_line.written) + frames(pair.down_line.written)
    assert sum([len(data) for data in sent]) < 100


def test_ids_operations_and_codes_have_their_bounds() -> None:
    pair = up_pair()
    for command_id, op in ((0, 1), (1 << 40, 1), (1, -1)):
        try:
            pair.gateway.send_command(command_id, _LATER_S, op, ())
            raise AssertionError(command_id)
        except LocalError as fault:
            assert fault.code == "arguments"
    channel = pair.gateway.channel
    assert channel
    for command_id, expires_s, op in ((1 << 40, 1, 3), (0, 1, 3), (1, -1, 3), (1, 1, -7)):
        pair.faults.clear()
        body = cbor.encode([m.COMMAND, command_id, expires_s, op, 5])
        pair.down_line.put(cobs.encode(channel.seal(m.CLASS_CONTROL, body, pair.now)), pair.now)
        pair.run(30)
        assert pair.faults == [("node", "value")], command_id
    top = (1 << 40) - 1
    pair.gateway.send_command(top, _LATER_S, m.OP_RELEASE, ())
    pair.run(20)
    assert _commands(pair) == [("COMMAND", top, _LATER_S, m.OP_RELEASE, ())]
    for number, code in ((top, 256), (top, -1), (1 << 40, 0), (-1, 0), (0, 256)):
        pair.faults.clear()
        pair.node.send_result(number, code, 0)
        pair.run(30)
        assert pair.faults == [("gateway", "value")], number
    assert _results(pair) == []
    pair.node.send_result(top, 255, 0)
    pair.run(30)
    assert _results(pair) == [("RESULT", top, 255, 0)]
