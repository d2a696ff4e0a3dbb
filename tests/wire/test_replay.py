"""What was heard on the line is no key to anything: replays and turned bits are not taken."""

from kerbwire import cobs
from kerbwire import messages as m
from kerbwire.limits import DATAGRAM, FAILED_TAGS, REPLAY_WINDOW, STREAM
from wire.pair import Pair, drained, flipped, frames, up_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine

_TAKEN = ("RECORD", "GAP", "RESULT", "COMMAND", "TIME", "KEY", "KEYS", "UP", "KEPT", "SEEN")


def _busy(framing: int = STREAM, seed: int = 1) -> Pair:
    """A pair that has said everything there is to say."""
    pair = up_pair(seed, framing)
    for number in range(5):
        pair.make(values=(number, 1, 2, 3, 4, 5))
        pair.run(50)
    pair.lose(3)
    pair.make(m.EVENT, (m.EV_MOTION, 1))
    pair.gateway.send_command(5, Pair.UTC_MS, m.OP_IDENTIFY, (3,))
    pair.run(50)
    pair.node.send_result(5, m.OK, 0)
    pair.run(25_000)
    return pair


def _captured(pair: Pair) -> "tuple[list[bytes], list[bytes]]":
    up, down = pair.up_line.written, pair.down_line.written
    return (up[:], down[:]) if pair.framing == DATAGRAM else (frames(up), frames(down))


def _taken(session: "Engine", data: bytes, pair: Pair) -> "list[object]":
    """The events that a frame brings, faults and answers apart."""
    drained(session)
    session.receive(data if pair.framing == DATAGRAM else cobs.encode(data), pair.now)
    events = [event[0] for event in drained(session) if event[0] in _TAKEN]
    while session.outgoing(pair.now):
        pass
    return events


def test_no_captured_frame_is_taken_again() -> None:
    """At once, after more traffic, after a restart of either side, and after both."""
    for framing in (STREAM, DATAGRAM):
        pair = _busy(framing)
        up, down = _captured(pair)
        for later in ("at once", "after traffic", "node", "gateway", "both"):
            if later == "after traffic":
                for _ in range(REPLAY_WINDOW + 8):
                    pair.make()
                    pair.run(100)
            if later in ("node", "both"):
                pair.restart_node()
            if later in ("gateway", "both"):
                pair.start_gateway()
            pair.settled()
            for data in up:
                assert _taken(pair.gateway, data, pair) == [], (framing, later, data)
            for data in down:
                assert _taken(pair.node, data, pair) == [], (framing, later, data)
            pair.run(20_000)


def test_nothing_captured_helps_against_a_side_that_is_greeting() -> None:
    up, down = _captured(_busy())
    pair = _busy(seed=2)
    pair.down_line.cut = pair.up_line.cut = True
    pair.restart_node()
    pair.start_gateway()
    pair.run(1)
    for data in up:
        assert _taken(pair.gateway, data, pair) == []
    for data in down:
        assert _taken(pair.node, data, pair) == []


def test_no_frame_with_a_turned_bit_is_taken() -> None:
    for framing in (STREAM, DATAGRAM):
        pair = _busy(framing)
        up, down = _captured(pair)
        for session, sent in ((pair.gateway, up[-6:]), (pair.node, down[-4:])):
            for data in sent:
                for bit in range(8 * len(data)):
                    assert _taken(session, flipped(data, bit), pair) == []


def test_no_fresh_frame_with_a_turned_bit_is_taken() -> None:
    """The same for frames that were never delivered, so that only the tag speaks against them."""
    pair = up_pair()
    pair.node.send_report((9, 1, 60, (1, 2, 3, 4, 5, 6)), pair.now)
    up = frames([pair.node.outgoing(pair.now)])[0]
    pair.gateway.send_command(5, Pair.UTC_MS, m.OP_IDENTIFY, (3,))
    down = frames([pair.gateway.outgoing(pair.now)])[0]
    for session, data in ((pair.gateway, up), (pair.node, down)):
        for bit in range(8 * len(data)):
            assert _taken(session, flipped(data, bit), pair) == []
        assert len(_taken(session, data, pair)) == 1


def test_replay_window() -> None:
    """Within the window a late frame is taken once, below it never."""
    pair = up_pair()
    held_back = []
    for rseq in range(1, REPLAY_WINDOW + 3):
        pair.node.send_backfill((rseq, 1, 60, (1, 2, 3, 4, 5, 6)), pair.now)
        held_back += frames([pair.node.outgoing(pair.now)])
        pair.node.failed(pair.now)
    assert _taken(pair.gateway, held_back[-1], pair) == ["RECORD"]
    taken = [_taken(pair.gateway, data, pair) for data in held_back[:-1]]
    assert taken == [[], []] + [["RECORD"]] * (REPLAY_WINDOW - 1)
    assert [_taken(pair.gateway, data, pair) for data in held_back] == [[]] * len(held_back)


def test_failed_tags_are_counted_and_nothing_else_is_harmed() -> None:
    pair = up_pair()
    assert pair.gateway.channel
    before = pair.gateway.channel.failed_tags
    data = frames(pair.up_line.written)[-1]
    for number in range(100):
        _taken(pair.gateway, data[:1] + bytes((0, 50 + number)) + bytes(20), pair)
    assert pair.gateway.channel.failed_tags == before + 100 < FAILED_TAGS
    pair.make()
    assert pair.run(1000, pair.drained)


def test_frames_of_another_node_are_not_taken() -> None:
    pair = _busy()
    other = Pair(5)
    other.node_key = (0, bytes(16))
    other.gateway_keys = (0, bytes(16), None)
    other.start_node()
    other.start_gateway()
    other.settled()
    for data in _captured(pair)[0]:
        assert _taken(other.gateway, data, other) == []
    for data in _captured(pair)[1]:
        assert _taken(other.node, data, other) == []
