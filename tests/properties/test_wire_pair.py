"""A node and a gateway over any line, with any restarts: all that was made is held, once."""

from hypothesis import given
from hypothesis import strategies as st

from kerbwire import messages as m
from kerbwire.limits import DATAGRAM, STREAM
from tests.wire.pair import Pair

# What one end of ours never finds wrong with what the other one says.
NEVER_SAID = {"cobs", "long", "short", "layout", "cbor", "type", "class", "value", "direction"}
LINES = st.fixed_dictionaries(
    {
        "loss": st.integers(0, 40),
        "repeat": st.integers(0, 30),
        "garble": st.integers(0, 25),
        "delay_ms": st.integers(0, 300),
        "jitter_ms": st.integers(0, 200),
    }
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("report", "report", "report", "event", "gap", "command"),
                *("node", "gateway", "both", "hold", "keep", "cut", "mend", "broken"),
            ]
        ),
        st.integers(1, 3000),
    ),
    max_size=40,
)


def _take(pair: Pair, step: str, number: int) -> None:
    """Something happens."""
    match step:
        case "report":
            pair.make(values=(number, 7 * number, -number, 1, 2, 3, 4))
        case "event":
            pair.make(m.EVENT, (m.EV_MOTION, number))
        case "gap":
            pair.lose(1 + number % 64)
        case "node" | "both":
            pair.restart_node()
        case "cut":
            pair.up_line.cut = number % 2 == 0
            pair.down_line.cut = number % 3 == 0
        case "mend":
            pair.up_line.cut = pair.down_line.cut = False
        case "broken":
            pair.node.failed(pair.now)
            pair.gateway.failed(pair.now)
        case "hold" | "keep":
            pair.hold_keep = step == "hold"
        case "command" if pair.gateway.up:
            pair.gateway.send_command(number + 1, 1, m.OP_RELEASE, ())
    if step in ("gateway", "both"):
        pair.start_gateway()


@given(st.integers(0, 1 << 30), st.sampled_from([STREAM, DATAGRAM]), LINES, STEPS)
def test_all_made_is_held_and_none_is_doubled(
    seed: int, framing: int, line: dict[str, int], steps: list[tuple[str, int]]
) -> None:
    pair = Pair(seed, framing, **line)
    made: dict[int, tuple[int, ...] | None] = {}
    for step, number in steps:
        _take(pair, step, number)
        made |= {rseq: record[3] for rseq, record in pair.records.items()}
        for first, last, _ in pair.gaps:
            made |= dict.fromkeys(range(first, last + 1))
        pair.run(number)
    pair.hold_keep = pair.up_line.cut = pair.down_line.cut = False
    pair.start_gateway()  # what was seen while nothing could be kept is asked for again
    assert pair.run(12 * 3_600_000, pair.drained)
    assert pair.held == made
    assert pair.doubled == 0
    assert pair.no_key_twice()
    if not line["garble"]:
        assert not {code for _, code in pair.faults} & NEVER_SAID
