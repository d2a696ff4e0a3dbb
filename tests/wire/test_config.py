"""CONFIG: sent until it is answered, numbered above what the node has."""

from kerbwire import messages as m
from kerbwire.errors import LocalError
from kerbwire.limits import CONFIG_KEYS, RTO_START_MS, TRIES, UNACKED_FRAMES
from wire.pair import Pair, drained, frames, up_pair
from wire.test_vectors import Exchange
from wire.vectors import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Event

_VALUES: "dict[int, int | bytes]" = {2: b"\x00\x00\x64", 1: 60}


def _configs(pair: Pair) -> "list[Event]":
    return [event for event in pair.node_events if event[0] == "CONFIG"]


def _answers(pair: Pair) -> "list[Event]":
    return [e for e in pair.gateway_events if e[0] in ("CONFIGURED", "UNSUPPORTED")]


def test_a_config_and_its_answer() -> None:
    pair = up_pair()
    pair.gateway.send_config(3, _VALUES)
    pair.run(20)
    assert _configs(pair) == [("CONFIG", 3, _VALUES)]
    pair.node.send_configured(3, m.OK)
    pair.node.send_configured(2, m.OK)  # of an earlier one
    pair.run(20)
    assert _answers(pair) == [("CONFIGURED", 3, m.OK)]
    pair.run(5000)
    assert len(_configs(pair)) == 1


def test_a_config_without_an_answer_comes_again_and_survives_a_restart() -> None:
    """It takes one of UNACKED_FRAMES, the first one."""
    pair = up_pair()
    for command_id in range(1, UNACKED_FRAMES + 1):
        pair.gateway.send_command(command_id, Pair.UTC_MS // 1000 + 3600, m.OP_RELEASE, ())
    pair.gateway.send_config(3, {})
    pair.run((TRIES - 1) * RTO_START_MS + 100)
    assert len(_configs(pair)) == TRIES
    ids = {event[1] for event in pair.node_events if event[0] == "COMMAND"}
    assert len(ids) == UNACKED_FRAMES - 1
    pair.node_events.clear()
    pair.restart_node()
    pair.settled()
    assert _configs(pair)[0] == ("CONFIG", 3, {})


def test_an_info_with_its_version_is_the_answer() -> None:
    pair = up_pair()
    pair.up_line.cut = True
    pair.gateway.send_config(3, _VALUES)
    pair.run(100)
    pair.up_line.cut = False
    pair.restart_node()
    pair.node.info.config_version = 3
    pair.settled()
    pair.node_events.clear()
    pair.run(5000)
    assert not _configs(pair) and not _answers(pair)


def test_firmware_that_knows_no_config_says_so() -> None:
    pair = up_pair()
    pair.gateway.send_config(3, _VALUES)
    pair.run(20)
    pair.node.send_result(0, m.UNSUPPORTED, m.CONFIG)
    pair.run(20)
    assert _answers(pair) == [("UNSUPPORTED", m.CONFIG)]
    pair.node.send_result(0, m.OK, m.CONFIG)
    pair.node.send_result(0, m.OK, 99)
    pair.node_events.clear()
    pair.run(5000)
    assert not _configs(pair) and len(_answers(pair)) == 1 and not pair.faults


def test_config_keys() -> None:
    pair = up_pair()
    for version, count in ((0, 1), (1 << 32, 1), (1, CONFIG_KEYS + 1)):
        try:
            pair.gateway.send_config(version, {key: key for key in range(1, count + 1)})
            raise AssertionError(version)
        except LocalError as fault:
            assert fault.code == "arguments"
    values: dict[int, int | bytes] = {key: key for key in range(1, CONFIG_KEYS + 1)}
    pair.gateway.send_config(1, values)
    pair.down_line.written.clear()
    pair.run(20)
    assert _configs(pair) == [("CONFIG", 1, values)]
    assert len(frames(pair.down_line.written)) == 1


def test_a_config_as_the_vectors_have_it() -> None:
    known = load("exchange")
    want = {case["name"]: bytes.fromhex(case["stream"]) for case in known["stream"]}
    pair = Exchange(known["given"], 0)
    pair.up()
    drained(pair.node)
    pair.node.receive(want["CONFIG"], 0)
    values = {1: 60, 2: bytes((0, 0, 100, 2, 88, 30))}
    assert drained(pair.node) == [("CONFIG", 3, values)]
    pair.gateway.send_config(3, {})
    pair.gateway.receive(want["RESULT of CONFIG"], 0)
    assert drained(pair.gateway) == [("CONFIGURED", 3, m.OK)]
