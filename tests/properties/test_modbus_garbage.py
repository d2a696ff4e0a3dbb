"""Whatever a line says, a request ends in a fault of its kind or in the words asked for."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kerbline.south.modbus.framing import BusFault, Request, wanted
from kerbline.south.modbus.line import Line, Pace, RtuLine, TcpLine
from kerbline.south.modbus.transaction import Job, Priority, Transaction
from kerbline.south.modbus.unit import Unit

COUNT = 2
LONG_S = 10.0
HEADS = [b"", b"\1\3\4", b"\1\x83", b"\1\4", b"\1\x2b\x0e", b"\1\x18\0\2", b"\0\1\0\0\0\7\1\3\4"]
said = st.lists(st.tuples(st.sampled_from(HEADS), st.binary(max_size=40)), max_size=4)
lines = st.sampled_from([lambda: RtuLine(Pace(115_200), 0.0), lambda: TcpLine(4, 0.5)])
requests = st.sampled_from(
    [
        Request(1, 3, 0, COUNT),
        Request(1, 1, 0, 9),
        Request(1, 43, 0, 1, (1, 0)),
        Request(1, 6, 0, 1, (7,)),
    ]
)


def outcome(line: Line, request: Request, parts: Sequence[bytes]) -> Transaction:
    """What a request comes to when the line says so."""
    job = Job(Unit(1, 0.5), wanted(request), Priority.COMMAND, LONG_S)
    transaction = Transaction(job, job.wanted, job.priority)
    line.send(transaction, 0.0)
    for at, part in enumerate(parts):
        line.receive(part, at / 1_000)
    line.expire(LONG_S)
    return transaction


@given(lines, requests, said)
def test_no_bytes_break_a_request(
    make: type[Line], request: Request, said: list[tuple[bytes, bytes]]
) -> None:
    found = outcome(make(), request, [head + tail for head, tail in said])
    assert (found.response is None) is isinstance(found.fault, BusFault)
    if found.response is not None and request.function == 3:
        assert len(found.response.words) == COUNT
