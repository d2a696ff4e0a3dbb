"""How a session comes about, whatever is lost, doubled, late, or killed on the way."""

from kerbwire import cbor, cobs, handshake, keyschedule
from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.frame import Header
from kerbwire.handshake import CONFIRMING, GATEWAY, GREETING, KEEPING, NODE, REST
from kerbwire.limits import (
    DATAGRAM,
    FAILED_TAGS,
    HELLO_REQUEST_GAP_MS,
    HELLO_REQUEST_MS,
    HELLOS_ON_REQUEST,
    NODE_ID_BYTES,
    RATCHET_FREE_STEPS,
    RATCHET_GAP_MS,
    RATCHET_STEPS,
    SESSION_FRAMES,
    SESSION_MS,
    SILENCE_MS,
    STREAM,
)
from kerbwire.node import NodeSession
from kerbwire.schema import STREETLIGHT
from wire.pair import Pair, drained, fault_codes, frames, up_pair

_HELLO_REQUEST = b"\x63\x02"  # on a point-to-point line


def _hellos(pair: Pair) -> "list[bytes]":
    return [data for data in frames(pair.up_line.written) if data[0] & 3 == m.CLASS_PLAIN]


def _welcomes(pair: Pair) -> "list[bytes]":
    sent = frames(pair.down_line.written)
    return [data for data in sent if data[0] & 3 == m.CLASS_PLAIN and data[1] == m.WELCOME]


def _stream(data: bytes) -> bytes:
    return bytes(cobs.encode(data))


def test_every_transition_of_the_table_is_reached() -> None:
    """Each line of the table is brought about from outside and ends where the table says."""
    reached = []

    def at(role: int, before: int, input_: int, after: int) -> None:
        assert handshake.TRANSITIONS[role, before, input_] == after
        reached.append((role, before, input_))

    pair = Pair()
    pair.hold_node_key = pair.hold_gateway_keys = True
    node, gateway = pair.node, pair.gateway
    at(NODE, REST, handshake.ASKED, node._handshake.state)
    node.start(pair.now)
    at(NODE, GREETING, handshake.ASKED, node._handshake.state)
    pair.run(50)
    at(GATEWAY, REST, handshake.GREETED, gateway._handshake.state)
    pair.restart_node()
    pair.run(50)
    at(GATEWAY, KEEPING, handshake.GREETED, gateway._handshake.state)
    pair.keys_stored()
    at(GATEWAY, KEEPING, handshake.STORED, gateway._handshake.state)
    pair.node_key = (1, keyschedule.ratchet(pair.PSK))  # of the next generation: another write
    pair.restart_node()
    pair.run(50)
    at(GATEWAY, CONFIRMING, handshake.GREETED, gateway._handshake.state)
    pair.keys_stored()
    pair.run(50)
    node = pair.node
    at(NODE, GREETING, handshake.WELCOMED, node._handshake.state)
    node.start(pair.now)
    at(NODE, KEEPING, handshake.ASKED, node._handshake.state)
    pair.key_stored()
    at(NODE, KEEPING, handshake.STORED, node._handshake.state)
    node.start(pair.now)
    at(NODE, CONFIRMING, handshake.ASKED, node._handshake.state)
    pair.hold_node_key = pair.hold_gateway_keys = False
    assert pair.run(5000, lambda: pair.node.up)
    at(NODE, CONFIRMING, handshake.HEARD, node._handshake.state)
    at(GATEWAY, CONFIRMING, handshake.HEARD, gateway._handshake.state)
    assert sorted(reached) == sorted(handshake.TRANSITIONS)
    assert pair.no_key_twice()


def test_what_the_table_does_not_name_changes_nothing() -> None:
    for role, session in ((NODE, up_pair().node), (GATEWAY, up_pair().gateway)):
        for state in range(len(handshake.STATES)):
            for input_ in range(len(handshake.INPUTS)):
                session._handshake.state = state
                known = (role, state, input_) in handshake.TRANSITIONS
                assert session._handshake.step(input_) == known
                assert known or session._handshake.state == state


def test_a_hello_again_gets_the_same_welcome_and_starts_nothing() -> None:
    pair = up_pair()
    hello, welcome = _hellos(pair)[-1], _welcomes(pair)[-1]
    keys, channel = pair.gateway_keys, pair.gateway.channel
    for _ in range(3):
        drained(pair.gateway)
        assert not pair.gateway.receive(_stream(hello), pair.now)  # anybody may have sent it
        assert frames([pair.gateway.outgoing(pair.now)]) == [welcome]
        assert drained(pair.gateway) == []
    assert pair.gateway_keys == keys and pair.gateway.channel is channel
    pair.node.receive(_stream(welcome), pair.now)
    assert drained(pair.node) == [] and pair.node.up


def test_a_hello_again_before_the_key_is_durable_waits_with_the_first() -> None:
    pair = Pair()
    pair.hold_gateway_keys = True
    pair.run(3000)
    assert len(_hellos(pair)) > 1 and not _welcomes(pair)
    pair.keys_stored()
    pair.run(100)
    assert len(set(_welcomes(pair))) == 1


def test_a_hello_that_is_over_is_no_sign_of_life() -> None:
    pair = up_pair()
    hello = _hellos(pair)[-1]
    pair.gateway.channel = None  # worn out, say
    pair.gateway.start(pair.now)
    assert not pair.gateway.receive(_stream(hello), pair.now)
    asked = frames([pair.gateway.outgoing(pair.now)])
    assert asked[-1][:2] == _HELLO_REQUEST  # the question stands
    pair = Pair()
    pair.hold_gateway_keys = True
    pair.run(3000)
    hello = _hellos(pair)[-1]
    for _ in range(2):  # pending while the key is written, and while INFO is awaited
        pair.gateway.start(pair.now)
        assert pair.gateway.receive(_stream(hello), pair.now)
        assert _HELLO_REQUEST not in [f[:2] for f in frames([pair.gateway.outgoing(pair.now)])]
        pair.gateway.key_stored(pair.now)


def test_greetings_cost_the_disk_one_write_a_generation() -> None:
    """Whoever has two greetings of one generation may say them by turns, for ever."""
    pair = Pair()
    pair.down_line.cut = True
    hellos = []
    for _ in range(3):  # the node starts again and again and hears nothing
        pair.restart_node()
        pair.run(50)
        hellos.append(_hellos(pair)[-1])
    assert len(set(hellos)) == 3
    written = [event for event in pair.gateway_events if event[0] == "KEYS"]
    for turn in range(300):
        assert pair.gateway.receive(_stream(hellos[turn % 3]), pair.now)
        welcome = frames([pair.gateway.outgoing(pair.now)])[-1]
        assert welcome[1] == m.WELCOME  # and each has its answer
        written += [event for event in drained(pair.gateway) if event[0] == "KEYS"]
    assert len(written) == 1
    pair.start_gateway()  # what it reads is durable
    assert pair.gateway.receive(_stream(hellos[0]), pair.now)
    assert [event for event in drained(pair.gateway) if event[0] == "KEYS"] == []
    pair.down_line.cut = False
    assert pair.run(60_000, lambda: pair.node.up) and pair.no_key_twice()


def test_a_hello_while_its_generation_s_keys_are_written_waits_for_them() -> None:
    pair = Pair()
    pair.hold_gateway_keys = True
    pair.run(50)
    pair.restart_node()
    pair.run(50)
    assert len(set(_hellos(pair))) == 2 and not _welcomes(pair)
    assert len([event for event in pair.gateway_events if event[0] == "KEYS"]) == 1
    pair.keys_stored()
    pair.hold_gateway_keys = False
    assert pair.run(5000, lambda: pair.node.up)


def test_no_generation_follows_the_last_one() -> None:
    """Of 32 bits: a key that is worn out is refused, and nothing is kept that can't be read."""
    pair = Pair()
    last = (1 << 32) - 1
    key = bytes(range(16, 32))
    for generation in (last - 1, last):
        pair.gateway_keys = (generation, key, None)
        pair.node_key = (generation, key)
        pair.start_gateway()
        pair.restart_node()
        pair.gateway_events.clear()
        pair.run(5000)
        kept = [event[1] for event in pair.gateway_events if event[0] == "KEYS"]
        assert kept == ([last - 1, last] if generation < last else [])
        assert pair.node.up == (generation < last)
        assert pair.node_key[0] == pair.gateway_keys[0] == last
    assert ("gateway", "value") in pair.faults


def test_a_lower_generation_is_refused() -> None:
    pair = up_pair()
    first = _hellos(pair)[0]
    pair.restart_node()
    pair.settled()
    drained(pair.gateway)
    pair.gateway.receive(_stream(first), pair.now)
    assert fault_codes(pair.gateway) == ["generation"]
    assert pair.gateway.up


def _gateway_behind(steps: int) -> Pair:
    """A pair whose node is so many generations ahead of the gateway's backup."""
    pair = Pair()
    generation, key = pair.node_key
    for _ in range(steps):
        generation, key = generation + 1, keyschedule.ratchet(key)
    pair.node_key = (generation, key)
    pair.start_node()
    return pair


def test_ratchet_steps_bring_an_old_gateway_up_to_date() -> None:
    for steps in (1, RATCHET_FREE_STEPS + 1, RATCHET_STEPS):
        assert _gateway_behind(steps).run(2000), steps
    pair = _gateway_behind(RATCHET_STEPS)
    assert pair.run(5000, lambda: pair.node.up)
    pair = _gateway_behind(RATCHET_STEPS + 1)
    assert not pair.run(5000, lambda: pair.node.up)
    assert ("gateway", "generation") in pair.faults


def _forged_hello(generation: int) -> bytes:
    return b"\x43" + cbor.encode([m.HELLO, Pair.NODE_ID, generation, bytes(8)]) + bytes(8)


def test_ratchet_gap_ms_bounds_what_a_forged_hello_costs() -> None:
    """Far steps are taken once in that time; near ones always."""
    pair = Pair()
    far, near = _stream(_forged_hello(RATCHET_STEPS)), _stream(_forged_hello(RATCHET_FREE_STEPS))
    pair.gateway.receive(far * 5 + near, 0)
    assert fault_codes(pair.gateway) == ["mac"] + ["ratchet"] * 4 + ["mac"]
    pair.gateway.receive(far, RATCHET_GAP_MS - 1)
    pair.gateway.receive(far, RATCHET_GAP_MS)
    assert fault_codes(pair.gateway) == ["ratchet", "mac"]


def test_a_crash_of_either_side_at_any_moment_ends_in_a_session() -> None:
    """The handshake is cut at each millisecond at which anything can have changed."""
    for moment in range(0, 62, 2):
        for crash in ("node", "gateway", "both"):
            for hold in ("", "node", "gateway"):
                pair = Pair(moment + 1)
                pair.hold_node_key = hold == "node"
                pair.hold_gateway_keys = hold == "gateway"
                pair.run(moment + 1)
                if crash != "gateway":
                    pair.restart_node()
                if crash != "node":
                    pair.start_gateway()
                pair.hold_node_key = pair.hold_gateway_keys = False
                if pair.node._handshake.state == KEEPING:
                    pair.key_stored()
                if pair.gateway._handshake.state == KEEPING:
                    pair.keys_stored()
                assert pair.run(30_000, lambda: pair.node.up), (moment, crash, hold)
                assert pair.no_key_twice(), (moment, crash, hold)


def test_keys_go_forward_and_agree_through_many_restarts() -> None:
    for seed in range(6):
        pair = Pair(seed, loss=20, repeat=10, jitter_ms=15)
        for life in range(12):
            assert pair.run(400_000, lambda: pair.node.up), (seed, life)
            assert pair.gateway_keys[0] == pair.node_key[0]
            if pair.random.chance(50):
                pair.restart_node()
            else:
                pair.start_gateway()
            pair.run(pair.random.below(40) + 1)
        assert pair.no_key_twice()


def test_two_welcomes_for_one_hello_end_in_a_session() -> None:
    """The gateway was killed between two copies of one HELLO, and both its answers arrive."""
    pair = Pair()
    pair.down_line.delay_ms = 700
    pair.run(300)  # HELLO went, was answered; the answer is on its way
    pair.start_gateway()
    pair.gateway._ask_at_ms = None  # on UDP it does not know where the node is
    pair.run(600)
    assert len(set(_welcomes(pair))) == 2
    assert pair.run(20_000, lambda: pair.node.up)
    assert pair.no_key_twice()


def test_infos_in_vain_become_a_new_hello_and_flash_is_spared() -> None:
    """A gateway that never confirms costs the node a key write a back-off step, no more."""
    pair = Pair()
    pair.node.info.boot_id = 0  # an INFO that the gateway refuses
    pair.run(3_600_000)
    keys = [event for event in pair.node_events if event[0] == "KEY"]
    assert 2 <= len(keys) <= 25, len(keys)
    assert not pair.gateway.up and pair.no_key_twice()


def test_hellos_on_request_is_a_bound_and_the_next_is_deferred() -> None:
    pair = up_pair()
    pair.run(HELLO_REQUEST_MS)  # the gateway asked at its start
    pair.down_line.cut = True
    pair.up_line.cut = True
    pair.up_line.written.clear()
    start = pair.now
    for _ in range(HELLOS_ON_REQUEST + 3):
        pair.node.receive(_stream(_HELLO_REQUEST), pair.now)
        pair.run(1)
    assert len(_hellos(pair)) == HELLOS_ON_REQUEST
    pair.node._handshake._due_ms = None  # its own repeats are not what is asked here
    pair.run(start + HELLO_REQUEST_MS - pair.now - 10)
    assert len(_hellos(pair)) == HELLOS_ON_REQUEST
    pair.run(20)
    assert len(_hellos(pair)) == HELLOS_ON_REQUEST + 1


def test_hello_request_drops_nothing_in_a_session() -> None:
    pair = up_pair()
    for _ in range(5):
        pair.make()
    pair.hold_keep = True
    pair.run(100)
    pair.node.receive(_stream(_HELLO_REQUEST), pair.now)
    pair.hold_keep = False
    assert pair.run(20_000, pair.drained)
    assert sorted(pair.held) == [1, 2, 3, 4, 5]


def test_a_gateway_asks_at_most_once_in_hello_request_gap_ms() -> None:
    pair = up_pair()
    report = frames(pair.up_line.written)[-1]
    pair.start_gateway()
    asked = 0
    for _ in range(100):
        pair.gateway.receive(_stream(report), pair.now)
        asked += len(frames([pair.gateway.outgoing(pair.now)]))
        pair.now += HELLO_REQUEST_GAP_MS // 20
    assert 4 <= asked <= 6


def test_a_session_that_came_up_takes_the_question_back() -> None:
    """Frames of the old session before HELLO must not cost a second handshake."""
    pair = up_pair()
    pair.start_gateway()
    for _ in range(3):
        pair.node.send_report((1, 1, 1, (1, 2, 3, 4, 5, 6)), pair.now)
        pair.up_line.put(pair.node.outgoing(pair.now), pair.now)
        pair.node.failed(pair.now)
    pair.run(10_000)
    assert len([event for event in pair.node_events if event[0] == "KEY"]) == 2


def test_a_line_that_comes_back_costs_no_new_session() -> None:
    """A host calls `start` whenever its line opens; a session that stands is kept."""
    pair = up_pair()
    for wait, generation in ((1000, 1), (SILENCE_MS, 2)):
        pair.up_line.cut = pair.down_line.cut = True
        pair.run(wait)
        pair.up_line.cut = pair.down_line.cut = False
        pair.node.failed(pair.now)
        pair.gateway.failed(pair.now)
        pair.gateway.start(pair.now)
        pair.make()
        assert pair.run(90_000, pair.drained)
        pair.run(1000)
        assert pair.node_key[0] == generation


def test_silence_ms_is_down_and_the_next_frame_is_up() -> None:
    pair = up_pair()
    pair.node_events.clear()
    pair.gateway_events.clear()
    pair.up_line.cut = pair.down_line.cut = True
    pair.run(SILENCE_MS + 1000)
    assert pair.node_events == [("DOWN",)] and pair.gateway_events == [("DOWN",)]
    pair.up_line.cut = pair.down_line.cut = False
    pair.run(30_000)
    assert ("UP",) in pair.node_events
    assert [event[0] for event in pair.gateway_events] == ["DOWN", "UP"]
    assert pair.node_key[0] == 1  # the session itself lived on


def _worn(pair: Pair) -> None:
    """Whatever wore it out: a new session comes of itself, with new keys, and works."""
    before = pair.node_key[0]
    pair.make()
    assert pair.run(90_000, lambda: pair.node_key[0] > before and pair.node.up)
    assert pair.run(10_000, pair.drained)
    assert pair.no_key_twice()


def test_session_frames() -> None:
    pair = up_pair()
    assert pair.node.channel
    pair.node.channel.sent = SESSION_FRAMES
    _worn(pair)
    pair = up_pair()
    assert pair.gateway.channel
    pair.gateway.channel.sent = SESSION_FRAMES
    _worn(pair)


def test_session_ms() -> None:
    for side in ("node", "gateway"):
        pair = up_pair()
        channel = pair.node.channel if side == "node" else pair.gateway.channel
        assert channel
        channel.born_ms -= SESSION_MS
        _worn(pair)


def test_failed_tags() -> None:
    for side in ("node", "gateway"):
        pair = up_pair()
        channel = pair.node.channel if side == "node" else pair.gateway.channel
        assert channel
        channel.failed_tags = FAILED_TAGS
        _worn(pair)


def test_failed_tags_of_a_session_that_waits_for_its_info() -> None:
    pair = Pair()
    assert pair.run(3000, lambda: pair.gateway._handshake.channel is not None)
    pair.up_line.cut = True
    pair.run(100)  # what was under way is over
    forged = _stream(bytes((0x45, 0, 0)) + b"\x11" * 20)
    channel = pair.gateway._handshake.channel
    assert channel
    channel.failed_tags = FAILED_TAGS - 1
    pair.gateway.receive(forged, pair.now)
    pair.down_line.written.clear()
    pair.run(10)
    assert pair.gateway._handshake.channel is None
    assert [data[1] for data in frames(pair.down_line.written)] == [m.HELLO_REQUEST]
    pair.up_line.cut = False
    pair.settled()
    assert pair.gateway.up


def test_a_hello_names_a_node() -> None:
    for node_id in (b"", b"n" * (NODE_ID_BYTES + 1)):
        data = handshake.encode_hello(bytes(16), node_id, 0, bytes(8), 0)
        try:
            handshake.node_id_of(data, Header(data))
            raise AssertionError(node_id)
        except RemoteError as fault:
            assert fault.code == "value"


def test_a_worn_session_is_told_as_down() -> None:
    pair = up_pair()
    pair.gateway_events.clear()
    assert pair.gateway.channel
    pair.gateway.channel.failed_tags = FAILED_TAGS
    pair.up_line.cut = True
    pair.run(100)
    assert pair.gateway_events == [("DOWN",)] and not pair.gateway.up


def test_datagrams_carry_the_connection_id() -> None:
    pair = up_pair(framing=DATAGRAM)
    pair.make()
    assert pair.run(5000, pair.drained)
    up, down = pair.up_line.written, pair.down_line.written
    assert all([data[0] & 0x10 for data in up + down])
    assert {data[1] for data in up if data[0] & 3 != m.CLASS_PLAIN} == {7}
    assert {data[1] for data in down} == {7}


def test_no_answer_to_what_is_not_proven_is_longer_than_it() -> None:
    """A datagram from anywhere brings at most a HELLO? of three bytes, or a WELCOME again."""
    pair = up_pair(framing=DATAGRAM)
    captured = pair.up_line.written[:]
    pair.start_gateway()
    pair.gateway.outgoing(pair.now)
    for data in captured + [bytes(n) for n in range(1, 255)] + [b"\x54\x07\0\0" + bytes(9)]:
        pair.now += HELLO_REQUEST_GAP_MS
        pair.gateway.receive(data, pair.now)
        drained(pair.gateway)
        answer = pair.gateway.outgoing(pair.now)
        assert len(answer) <= len(data), (data, answer)


def test_both_framings_make_the_same_sessions() -> None:
    for framing in (STREAM, DATAGRAM):
        pair = Pair(9, framing, loss=25, repeat=10, garble=10, jitter_ms=30)
        for _ in range(20):
            pair.make()
        assert pair.run(600_000, pair.drained)
        assert sorted(pair.held) == list(range(1, 21)) and pair.doubled == 0


class Twins(Pair):
    """A pair with a copy of the node on the same line: its id, its key, a log of its own."""

    def __init__(self, seed: int = 1, **line: int):
        Pair.__init__(self, seed, **line)
        info = m.Info(STREETLIGHT.hash, 9, 78, 1)
        self.copy = NodeSession(self.NODE_ID, 0, self.PSK, info, self.random.bytes, self.framing)
        self.copy.start(self.now)

    def _node_step(self) -> None:
        came = self.down_line.take(self.now)
        for data in came:  # both hear all
            self.copy.receive(data, self.now)
            self.node.receive(data, self.now)
        Pair._node_step(self)
        for event in drained(self.copy):
            if event[0] == "KEY":
                self.copy.key_stored(self.now)
        self._write(self.copy, self.up_line)
        self._note(self.copy.channel, self.copy._handshake._pending)

    def run_twins(self, ms: int) -> None:
        """Let time pass, a millisecond or until the pair has something due."""
        end = self.now + ms
        while self.now < end:
            due = self.copy.deadline()
            step = 60_000 if due is None else max(1, due - self.now)
            self.run(min(step, end - self.now))


def test_of_two_nodes_with_one_key_one_is_refused_and_nothing_breaks() -> None:
    for seed in range(8):
        pair = Twins(seed, jitter_ms=9)
        pair.run_twins(900_000)
        assert pair.no_key_twice()
        codes = {code for side, code in pair.faults if side == "gateway"}
        assert "generation" in codes  # the host names it
        assert pair.gateway.up and (pair.node.up or pair.copy.up)
        assert len(frames(pair.up_line.written)) < 300  # neither storms
        assert pair.gateway_keys[0] < 8
