"""DIAG: how a node is, in pairs."""

from kerbwire import messages as m
from kerbwire.limits import CONFIG_KEYS, DEFERRED_COMMANDS, STREAM
from wire.pair import drained, frames, up_pair
from wire.test_vectors import Exchange
from wire.vectors import load


def test_a_node_says_how_it_is() -> None:
    pair = up_pair()
    values = {key: key * key for key in range(CONFIG_KEYS, 0, -1)}
    pair.node.send_diag(values)
    pair.run(50)
    assert [event for event in pair.gateway_events if event[0] == "DIAG"] == [("DIAG", values)]
    assert not pair.faults


def test_it_never_stands_in_the_way() -> None:
    pair = up_pair()
    pair.up_line.written.clear()
    for _ in range(2 * DEFERRED_COMMANDS):
        pair.node.send_diag({m.DIAG_WAITING: 1})
    pair.run(50)
    assert len(frames(pair.up_line.written)) == DEFERRED_COMMANDS
    assert pair.node.window(pair.now) == 4


def test_a_diag_as_the_vectors_have_it() -> None:
    known = load("exchange")
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["stream"]}
    pair = Exchange(known["given"], STREAM)
    pair.up()
    pair.gateway.receive(want["DIAG"], 0)
    assert drained(pair.gateway) == [("DIAG", {1: 120000, 2: 0, 3: 17})]
