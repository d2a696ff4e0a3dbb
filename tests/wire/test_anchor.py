"""Anchors: records that tie a boot's uptime to UTC."""

from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import RTO_START_MS, STREAM, TRIES
from wire.pair import drained, frames, up_pair
from wire.test_vectors import Exchange
from wire.vectors import load

_TIE = (250, 843_315_200, 7, 25)


def test_an_anchor_is_a_record_like_any_other() -> None:
    pair = up_pair()
    pair.node.send_anchor((1, 1, 1806, _TIE), pair.now)
    pair.run(50)
    told = [event for event in pair.gateway_events if event[0] == "RECORD"]
    assert told == [("RECORD", m.ANCHOR, 77, 1, 1, 1806, _TIE)]
    assert 1 in pair.node.kept


def test_an_anchor_is_tried_again_as_an_event_is() -> None:
    pair = up_pair()
    pair.down_line.cut = True
    pair.up_line.written.clear()
    pair.node.send_anchor((1, 1, 1806, _TIE), pair.now)
    pair.run(TRIES * RTO_START_MS + 10)
    assert len(frames(pair.up_line.written)) == TRIES
    pair.down_line.cut = False
    pair.node.send_anchor((1, 9, 1806, _TIE), pair.now) if pair.node.window(pair.now) else None
    pair.run(600_000, lambda: 1 in pair.node.kept)
    told = [event for event in pair.gateway_events if event[0] == "RECORD"]
    assert told == [("RECORD", m.ANCHOR, 77, 1, 1, 1806, _TIE)]


def test_an_anchor_as_the_vectors_have_it() -> None:
    known = load("exchange")
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["stream"]}
    pair = Exchange(known["given"], STREAM)
    pair.up()
    gateway = pair.gateway
    assert isinstance(gateway, GatewaySession)
    gateway.receive(want["ANCHOR"], 0)
    assert drained(gateway) == [("RECORD", m.ANCHOR, 77, 6, 9, 1806, _TIE)]
