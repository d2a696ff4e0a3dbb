"""A polled bus in virtual time: turns, windows, dead and babbling nodes, discovery."""

import sys

from kerbwire import cbor, cobs, frame
from kerbwire import messages as m
from kerbwire.discovery import Census
from kerbwire.handshake import CONFIRMING
from kerbwire.limits import (
    ANSWER_MS,
    BABBLE_BYTES,
    BABBLE_MS,
    BUS,
    BUS_ALL,
    BUS_NODES,
    CALL_MS,
    CALL_PAUSE_MS,
    DATAGRAM,
    DISCOVER_PAUSE_MS,
    DISCOVER_SLOTS,
    DISCOVER_WINDOW,
    ENROL_MS,
    KEYING_MS,
    MISSED_TURNS,
    POLL_CREDIT,
    PROBE_MAX_MS,
    PROBE_MIN_MS,
    RELEASE_MS,
    REPOLLS,
    RUSHES,
    SLOT_GUARD_MS,
    SLOT_LATE_MS,
    SLOT_LEAD_MS,
    TURN_MS,
    UNHEARD_MS,
    WINDOW_MS,
)
from kerbwire.polled import PolledNode
from kerbwire.poller import FRAME, LAST, PolledGateway
from kerbwire.ranges import RangeSet
from wire.bus_line import BusLine
from wire.pair import drained
from wire.test_objects import Host
from wire.test_vectors import Exchange
from wire.vectors import load

WHOLE = sys.implementation.name == "cpython"  # MicroPython simulates fewer nodes


def _up(count: int, seed: int = 1, **options: object) -> BusLine:
    line = BusLine(count, seed, **options)
    assert line.run(30_000, line.all_up)
    line.run(500)
    return line


def _once(line: BusLine) -> None:
    """Each live node's records came once, all of them."""
    for node, held in zip(line.nodes, line.held):
        if not node.dead:
            assert sorted(held) == list(range(1, node.next_rseq)), node.node_id
            assert not [times for times in held.values() if times != 1]


def _crypto_was_spared(line: BusLine) -> None:
    """Frames for others are no failed tags and no faults."""
    for node in line.nodes:
        assert not [code for code in node.faults if code in ("tag", "mac", "replay")]
        assert node.session.channel is None or node.session.channel.failed_tags == 0


def test_an_idle_cycle_of_32_nodes() -> None:
    line = _up(32)
    polls, sent = line.bus.polls, line.bytes
    line.run(10_000)
    polls, sent = line.bus.polls - polls, line.bytes - sent
    assert 32 * 10_000 / polls <= 300  # ms
    assert sent / polls <= 32  # bytes of one exchange
    assert line.bus.repolls == 0 and not line.bus.stray and not line.events
    _crypto_was_spared(line)
    assert 3 + RELEASE_MS + 4 < 10  # what that rests on: bytes, release and the node's turnaround


def test_few_nodes_are_polled_at_leisure() -> None:
    line = _up(2)
    polls = line.bus.polls
    line.run(10_000)
    assert line.bus.polls - polls <= 2 * 10_000 // TURN_MS + 2


def test_strangers_are_found_in_slots() -> None:
    line = _up(BUS_NODES if WHOLE else 24, placed=False)
    assert line.now < 1_000_000 + 12_500_000
    assert {session.address for session in line.sessions} == set(range(1, len(line.nodes) + 1))
    _crypto_was_spared(line)
    for node in line.nodes:
        node.make()
    assert line.run(20_000, line.drained)
    _once(line)


def test_all_that_is_made_arrives_once() -> None:
    for seed in range(1, 7 if WHOLE else 3):
        line = BusLine(6, seed, loss=15)
        for _ in range(20):
            for node in line.nodes:
                node.make()
            line.run(400)
        assert line.run(60_000, line.drained), seed
        _once(line)
        assert line.bus.repolls > 0


def test_restarts_of_both_ends_lose_nothing() -> None:
    for seed in range(1, 5 if WHOLE else 2):
        line = BusLine(4, seed, loss=10)
        for turn in range(30):
            for node in line.nodes:
                node.make()
            line.run(line.random.below(700))
            if turn % 3 == 0:
                line.nodes[line.random.below(4)].start()
            elif turn % 7 == 0:
                line.start_gateway()
            if line.random.chance(20):
                line.talk(0, line.random.bytes(1 + line.random.below(80)))
        assert line.run(180_000, line.drained), seed
        _once(line)


def test_a_backlog_fills_its_windows_and_nobody_starves() -> None:
    line = _up(8)
    for _ in range(120):
        line.nodes[3].make()
    for node in line.nodes:
        node.make()
    assert line.run(400, lambda: len([1 for held in line.held if held]) == 8)
    polls = line.bus.polls
    assert line.run(8000, line.drained)
    assert len(line.held[3]) == 121 and line.bus.polls - polls < 8 * 121
    assert max([place.credit for place in line.places]) <= POLL_CREDIT
    _once(line)


def test_a_window_takes_no_more_than_its_credit() -> None:
    line = _up(1)
    node, gateway = line.nodes[0], line.sessions[0]
    now = line.now // 1000
    for rseq in (1, 2, 3):
        node.session.send_report((rseq, 1, rseq, (0, 0, 0, 0, 0, 0)), now)
    assert node.session.outgoing(now) == b""  # no window, not a byte
    channel = gateway.channel
    assert channel is not None
    node.session.receive(cobs.encode(gateway.poll(channel, 2, now)), now)
    assert _frames(node.session.outgoing(now)) == 2
    node.session.receive(cobs.encode(gateway.poll(channel, POLL_CREDIT + 1, now)), now)
    again = _frames(node.session.outgoing(now))
    assert again == 2  # the third, and an IDLE: the first two are lost to the backlog
    node.session.receive(cobs.encode(gateway.poll(channel, 1, now)), now)
    assert node.session.outgoing(now + WINDOW_MS + 1) == b""  # too late
    assert WINDOW_MS < ANSWER_MS and node.session._framing == BUS


def _frames(stream: bytes) -> int:
    return len([part for part in stream.split(b"\0") if part])


def test_the_dead_rest_and_come_back() -> None:
    line = _up(16)
    for node in line.nodes[10:]:
        node.dead = True
    line.run(20_000)
    silent = [event for event in line.events if event[0] == "SILENT"]
    assert len(silent) == 6
    polls, repolls = line.bus.polls, line.bus.repolls
    for node in line.nodes[:10]:
        node.make()
    assert line.run(1500, line.drained)
    line.run(10_000)
    assert line.bus.repolls == repolls  # a probe is not repeated
    assert (line.bus.polls - polls) / 10 > 11_500 / 200  # the living have their turns
    line.nodes[12].dead = False
    line.nodes[12].start()  # it was without power: no session, no address
    line.nodes[12].make()
    assert line.run(2 * PROBE_MAX_MS + 5000, lambda: not line.nodes[12].records)
    assert ("BACK", b"n-012") in line.events
    assert PROBE_MIN_MS < PROBE_MAX_MS and MISSED_TURNS > 1
    _once(line)


def test_a_missing_answer_is_asked_for_twice_more() -> None:
    line = _up(2)
    line.nodes[1].dead = True
    repolls = line.bus.repolls
    assert line.run(2000, lambda: bool(line.events))
    assert line.bus.repolls - repolls == REPOLLS * MISSED_TURNS


def test_a_babbling_node_is_named_and_the_bus_goes_on() -> None:
    line = _up(6)
    talker = line.nodes[2]
    channel = talker.session.channel
    assert channel is not None

    for turn in range(140):
        line.run(47)
        if turn % 2:
            line.talk(2, line.random.bytes(9) + b"\0")
        else:
            line.talk(2, cobs.encode(channel.seal(m.CLASS_CONTROL, cbor.encode([m.IDLE]), 0)))
        for node in line.nodes[3:] if turn % 4 == 0 else []:
            node.make()
    assert line.run(5000, lambda: not [1 for node in line.nodes[3:] if node.records])
    _once(line)
    told = [event for event in line.events if event[0] == "BABBLE"]
    assert [event[1] for event in told if event[1]] == [b"n-002"]
    assert line.bus.stray[3] >= BABBLE_BYTES and len(told) <= 2 < BABBLE_MS


def test_commands_jump_the_queue() -> None:
    line = _up(32)
    line.sessions[20].send_command(7, 1_790_000_000 + 3600, m.OP_IDENTIFY, (3,))
    assert line.run(40, lambda: line.nodes[20].commands == [7])
    assert line.run(40, lambda: ("RESULT", 7, m.OK, 0) in line.answers)


def _motion(line: BusLine, index: int) -> None:
    node = line.nodes[index]
    rseq = node.next_rseq
    node.next_rseq += 1
    node.session.info.next_rseq = node.next_rseq
    node.session.send_event((rseq, node.boot_id, rseq, (m.EV_MOTION, 1)), line.now // 1000)


def _called(count: int, **options: object) -> BusLine:
    line = _up(count, **options)
    line.bus._calls.wanted = True
    line.run(200)
    line.said = []
    return line


def _calls(line: BusLine) -> int:
    """How often somebody spoke to all."""
    return len([1 for _, data in line.said or () if BUS_ALL in (data[1], data[2])])


def test_who_has_an_event_is_heard_between_two_turns() -> None:
    line = _called(16)
    for at in (3, 15, 0):
        _motion(line, at)
        assert line.run(45, lambda: bool(line.held[at]))
        line.run(100)
        assert list(line.held[at].values()) == [1]
    spent = len(line.said)
    line.run(1000)
    assert not [code for node in line.nodes for code in node.faults]
    assert 1000 // (CALL_MS + CALL_PAUSE_MS + 12) < len(line.said) - spent
    assert not line.bus.stray


def test_calls_begin_with_the_first_node_whose_events_are_waited_for() -> None:
    line = _up(2)
    line.said = []
    line.run(1000)
    assert not _calls(line)
    place = line.bus._row.places[1]
    line.bus.remove(place.session.node_id)
    line.bus.add(place, calls=True)
    line.run(1000)
    assert _calls(line)


def test_those_who_answer_a_call_at_once_are_told_apart() -> None:
    line = _called(16)
    for at in (2, 3, 11):
        _motion(line, at)
    assert line.run(250, lambda: all([line.held[at] for at in (2, 3, 11)]))
    line.run(1000)
    assert [list(held.values()) for held in line.held if held] == [[1]] * 3


def test_nodes_that_do_not_know_a_call_are_not_called() -> None:
    line = _called(3)
    line.sessions[1].info.messages_version = 1
    line.run(50)
    line.said.clear()
    line.run(2000)
    assert not _calls(line)
    _motion(line, 1)
    assert line.run(400, lambda: bool(line.held[1]))


def test_urgent_commands_go_at_once_and_again_before_they_are_answered() -> None:
    line = _up(16)
    line.said = []
    for at in range(8):
        args = (100, 30, 1)
        line.sessions[at].send_command(7, 1_790_000_000 + 3600, m.OP_SET_LEVEL, args, urgent=True)
    assert line.run(70, lambda: all([node.commands == [7] for node in line.nodes[:8]]))
    assert line.run(3000, lambda: len(line.answers) == 8)
    assert all([node.commands == [7] for node in line.nodes[:8]])
    bursts = [data for sender, data in line.said if sender < 0 and _frames(data) >= 8]
    assert len(bursts) <= RUSHES


def test_objects_go_both_ways_in_turns() -> None:
    line = _up(4, loss=10)
    above, below = Host(), Host()
    line.hook, line.nodes[1].hook = above.take, below.take
    data, rear = bytes(range(251)) * 12, b"rear" * 700
    above.offer(line.sessions[1], 3, data, 200)
    below.offer(line.nodes[1].session, 4, rear, 200)
    for node in line.nodes:
        node.make()
    assert line.run(120_000, lambda: below.has(data) and above.has(rear))
    assert line.run(5000, line.drained)
    _once(line)


def test_time_offers_hold_the_truth() -> None:
    line = _up(8)
    line.run(65_000)
    for node in line.nodes:
        assert len(node.clocks) >= 2
        for error, uncertainty in node.clocks:
            assert abs(error) <= uncertainty <= 20 + 50, (error, uncertainty)


def test_a_node_that_lost_its_power_is_keyed_again() -> None:
    line = _up(4)
    line.nodes[1].start()
    assert line.run(5000, lambda: line.nodes[1].session.up)
    assert line.nodes[1].key[0] == 2
    _crypto_was_spared(line)


def test_a_node_without_power_between_hello_and_info_is_asked_again() -> None:
    for count, stored in ((1, False), (4, False), (2, True)):
        line = BusLine(count)
        node, gateway = line.nodes[0], line.sessions[0]
        if stored:
            assert line.run(60_000, lambda: node.session._handshake.state == CONFIRMING)
        else:
            assert line.run(60_000, lambda: gateway.welcomed)
        node.start()  # its nonce is gone, and with it what the gateway waits for
        node.make()
        assert line.run(10_000, line.all_up), (count, stored)
        assert line.run(5000, line.drained)
        _once(line)


def test_a_greeting_said_again_by_another_does_not_keep_its_node_out() -> None:
    line = BusLine(2)
    line.said = []
    assert line.run(60_000, lambda: bool([1 for sender, _ in line.said if sender == 0]))
    old = next((data for sender, data in line.said if sender == 0))
    line.nodes[0].start()
    line.start_gateway()
    line.nodes[0].dead = True
    for _ in range(3):
        line.run(30)
        line.talk(0, old)
        line.run(30)
    assert line.sessions[0].welcomed and not line.sessions[0].up
    line.nodes[0].dead = False
    assert line.run(2 * PROBE_MAX_MS, line.all_up)


def test_a_gateway_that_starts_asks_each_node_by_name() -> None:
    line = _up(8)
    for node in line.nodes:
        node.make()
    line.bus.failed()
    line.start_gateway()
    for node in line.nodes:
        node.make()
    assert line.run(3000, lambda: line.all_up() and line.drained())
    _once(line)
    assert {node.key[0] for node in line.nodes} == {2}


def test_who_is_not_talked_to_looks_for_its_gateway() -> None:
    """A gateway that knows no places: the nodes answer only after UNHEARD_MS."""
    line = _up(5)
    line.bus.failed()
    line.placed = False
    line.start_gateway()
    line.run(UNHEARD_MS - 5000)
    assert not [session for session in line.sessions if session.up]
    assert line.run(5000 + 3 * DISCOVER_PAUSE_MS, line.all_up)


def _discover(*numbers: int) -> bytes:
    head = frame.plain_header(frame.DOWN, BUS_ALL)
    return cobs.encode(head + cbor.encode([m.DISCOVER] + list(numbers)))


def test_a_slot_is_taken_in_time_or_not() -> None:
    line = BusLine(1)
    node = line.nodes[0].session
    node.receive(_discover(0, 1, 1, 6), 5000)
    assert node.outgoing(5000) == b"" and node.deadline() == 5000 + SLOT_LEAD_MS
    hello = node.outgoing(5000 + SLOT_LEAD_MS)
    assert hello[:1] == b"\0" and len(hello) < 6000 // 87
    node.receive(_discover(0, 1, 1, 6), 6000)
    assert node.outgoing(6000 + SLOT_LEAD_MS + SLOT_LATE_MS + 1) == b""
    for numbers in (
        (0, 1, 0, 6),
        (0, 1, 2, 6),
        (0, DISCOVER_WINDOW + 1, 1, 6),
        (0, DISCOVER_WINDOW, DISCOVER_SLOTS + 1, 6),
        (0, 1, 1, 0),
        (0, 1, 1),
    ):
        node.receive(_discover(*numbers), 7000)
        assert node.next_event() == ("FAULT", "value"), numbers
    assert node.outgoing(7000 + SLOT_LEAD_MS) == b""


def test_a_node_with_a_gateway_keeps_out_of_the_slots() -> None:
    line = _up(1)
    now = line.now // 1000
    line.nodes[0].session.receive(_discover(1, 1, 1, 6), now)
    assert line.nodes[0].session.outgoing(now + SLOT_LEAD_MS) == b""


def test_enrolment_is_open_for_a_time() -> None:
    line = _up(2)
    stranger = BusLine(1, seed=9).nodes[0]
    stranger.line = line
    stranger.index = 2
    stranger.session._handshake.node_id = b"stranger"
    line.nodes.append(stranger)
    line.run(12_000)
    assert ("UNKNOWN", b"stranger") not in line.events
    line.bus.enrol(line.now, 2 * ENROL_MS)
    line.at(line.now, -1)
    assert line.run(3000, lambda: ("UNKNOWN", b"stranger") in line.events)
    opened = line.bus._search._enrol_us
    assert opened <= line.now + ENROL_MS * 1000
    line.nodes[0].make()
    assert line.run(1000, line.drained)


def test_the_census_follows_the_crowd() -> None:
    census = Census()
    assert census.round() == (16, 16)
    assert census.count(16, 16, 0, 4000)  # all met: any number may be there
    assert census.guess == 64 and census.round() == (64, DISCOVER_SLOTS)
    while census.count(4, 4, 0, 0):
        pass
    assert census.guess == 0
    for _ in range(9):
        census.count(DISCOVER_WINDOW, DISCOVER_SLOTS, 0, 4000)
    assert census.guess == DISCOVER_WINDOW
    assert SLOT_GUARD_MS > SLOT_LATE_MS and KEYING_MS > 10


def test_a_node_takes_and_says_what_the_vectors_have() -> None:
    known = load("bus")
    given = known["given"]
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["frames"]}
    pair = Exchange(given, DATAGRAM)
    randoms = [bytes.fromhex(given["node_nonce"])]
    info = pair.node.info
    node = PolledNode(
        bytes.fromhex(given["node_id"]),
        given["generation"],
        bytes.fromhex(given["key"]),
        info,
        lambda count: randoms.pop() if count == 8 else bytes(count),
    )
    node.start(0)
    node.receive(want["DISCOVER"], 0)
    assert node.outgoing(SLOT_LEAD_MS) == b"\0" + want["HELLO"]
    node.receive(want["HELLO? by name"], 30)
    assert node.outgoing(31) == want["HELLO"]
    node.receive(want["WELCOME by name"], 40)
    assert node.outgoing(40) == b""
    node.key_stored(50)
    assert node.outgoing(50) == b""
    node.receive(want["WELCOME by name"], 90)
    assert node.outgoing(91) == want["INFO"]
    node.receive(want["POLL for none"], 100)
    assert node.up and node.outgoing(100) == b""
    node.receive(want["POLL short"], 200)
    assert node.outgoing(204) == want["IDLE"]
    node.send_event((1, info.boot_id, 1805, (2, 1)), 210)
    for _ in range(2):  # twice: the gateway did not hear it
        node.receive(want["CALL of all"], 250)
        assert node.outgoing(250 + CALL_MS + 1) == b""  # too late
    node.receive(want["CALL, and later items"], 260)
    assert node.outgoing(261) == want["EVENT for a CALL"]
    node.receive(cobs.encode(bytes((0x73, 255, 22, 1, 6))), 270)  # others
    assert node.outgoing(271) == b""
    info.next_rseq = 4  # it has made more meanwhile
    node.receive(want["POLL for four"], 300)
    assert 3 in node._uplink.seen and _frames(node.outgoing(304)) == 2  # the event, and IDLE
    assert [event[0] for event in drained(node) if event[0] == "FAULT"] == []


def test_a_gateway_says_what_the_vectors_have() -> None:
    known = load("bus")
    given = known["given"]
    want = {case["name"]: bytes.fromhex(case["frame"]) for case in known["frames"]}
    gateway = PolledGateway(
        bytes.fromhex(given["node_id"]),
        (given["generation"], bytes.fromhex(given["key"]), None),
        None,
        RangeSet(),
        lambda _: bytes.fromhex(given["gateway_nonce"]),
        7,
    )
    assert gateway.turn(1, 0) == [want["HELLO? by name"]]
    assert gateway.take(want["HELLO"], 1) == FRAME
    assert gateway.turn(1, 1) == [] and gateway.welcome() is None
    gateway.key_stored(2)
    assert gateway.welcome() == want["WELCOME by name"] and gateway.welcome() is None
    assert gateway.turn(1, 50) == [want["WELCOME by name"]]
    assert gateway.take(want["INFO"], 60) == FRAME
    channel = gateway.channel
    assert channel is not None
    assert gateway.poll(channel, 0, 60) == want["POLL for none"]
    assert gateway.turn(1, 70) == [want["POLL short"]]
    assert gateway.take(want["IDLE"], 80) == LAST


def test_nothing_from_the_line_crashes_either_end() -> None:
    known = load("bus")
    frames = [bytes.fromhex(case["frame"]) for case in known["frames"]]
    line = _up(2)
    node, now = line.nodes[0].session, line.now // 1000
    random = line.random
    plain = [cbor.encode([type_, 1, node.info.boot_id, 5, 6]) for type_ in (1, 2, 18, 19, 24)]
    for turn in range(20_000 if WHOLE else 2000):
        data = bytearray(frames[random.below(len(frames))])
        if random.chance(30):
            head = bytes((0x53 | random.below(2) << 5, random.below(256)))
            data = bytearray(head + plain[random.below(len(plain))])
        for _ in range(random.below(3)):
            data[random.below(len(data))] = random.below(256)
        stream = cobs.encode(bytes(data[: 1 + random.below(len(data))]))
        node.receive(stream, now + turn)
        node.outgoing(now + turn)
        line.bus.receive(stream, line.now)
        if turn % 100 == 0:
            drained(node)
            for session in line.sessions:
                drained(session)
            while line.bus.next_event():
                pass
    node._credit = 0
    line.nodes[0].make()
    assert line.run(120_000, line.drained)  # it may have been led to greet, no more


def test_a_greeting_that_is_over_does_not_wake_the_dead() -> None:
    line = _up(2)
    node = line.nodes[1]
    line.said = []
    node.start()
    assert line.run(5000, lambda: node.session.up and line.all_up())
    hellos = [data for sender, data in line.said if sender == 1 and node.node_id in data]
    node.dead = True
    line.events.clear()
    assert line.run(10_000, lambda: ("SILENT", node.node_id) in line.events)
    line.events.clear()
    for hello in hellos:
        line.bus.receive(hello, line.now)
        line.run(500)
    assert hellos and line.places[1].resting and ("BACK", node.node_id) not in line.events
    node.dead = False
    assert line.run(60_000, lambda: ("BACK", node.node_id) in line.events)
