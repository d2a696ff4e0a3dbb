"""BATCH: what is packed comes back, in both implementations; what is not valid costs no more."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from kerbwire import bases, batch, unpacking
from kerbwire import messages as m
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import BATCH_RECORDS
from kerbwire.schema import SCHEMAS, STREETLIGHT, Schema
from tests.properties.executed import lines
from tools import second_batch
from tools.second_batch import Record
from tools.vectors import BATCHED

SMALL = st.integers(-40, 40)
NUMBERS = st.one_of(st.just(0), SMALL, st.integers(-(1 << 31), (1 << 31) - 1))
REFUSAL = 40  # lines of raising and telling a fault


def info_of(schema: Schema) -> m.Info:
    info = m.Info(schema.hash, 9, 1, 1)
    info.period_s = 900
    return info


@st.composite
def batches(draw: st.DrawFn) -> tuple[Schema, Record | None, list[Record]]:
    schema = draw(st.sampled_from(SCHEMAS))
    count = draw(st.integers(1, BATCH_RECORDS // 4))
    first = draw(st.integers(2, (1 << 40) - 200))
    boot = draw(st.sampled_from((9, 1, (1 << 32) - 1)))
    row = st.lists(NUMBERS, min_size=schema.width, max_size=schema.width)
    uptime_s = draw(st.integers(0, 1 << 31))
    records: list[Record] = []
    for number in range(count + 1):
        records.append((first + number, boot, uptime_s, tuple(draw(row))))
        uptime_s += draw(st.one_of(st.just(900), st.integers(0, 5000)))
    if draw(st.booleans()):
        return schema, None, records[1:]
    distance = draw(st.integers(0, 3))
    moved = records[0]
    return schema, (max(1, moved[0] - distance), *moved[1:]), records[1:]


@settings(max_examples=120, deadline=None)
@given(batches())
def test_both_implementations_give_back_what_was_packed(
    given_: tuple[Schema, Record | None, list[Record]],
) -> None:
    schema, base, records = given_
    info = info_of(schema)
    try:
        packed = batch.encode(records, base, schema, info)[1:]
    except LocalError:
        return  # products of enormous numbers: such records go whole
    held = bases.Bases()
    if base is not None:
        held.add_last(base)
    assert unpacking.decode(packed, held, info, schema) == records
    fields, _ = BATCHED[schema.name]
    known = {base[0]: base} if base else {}
    assert second_batch.decode(packed, fields, 9, 900, known) == records


def cost(packed: bytes) -> int:
    """How many lines of kerbwire it takes to take or refuse this."""

    def taken() -> None:
        with suppress(RemoteError):
            unpacking.decode(packed, bases.Bases(), info_of(STREETLIGHT), STREETLIGHT)

    return lines(taken)


def dearest() -> int:
    """A short valid body of as many records as there may be, each number of them coded."""
    values = [[turn % 2 * 3 + place for place in range(7)] for turn in range(BATCH_RECORDS)]
    records = [(1 + turn, 9, 900 * turn, tuple(row)) for turn, row in enumerate(values)]
    packed = batch.encode(records, None, STREETLIGHT, info_of(STREETLIGHT))[1:]
    return cost(packed)


DEAREST = dearest()


@settings(max_examples=150, deadline=None)
@given(noise=st.binary(max_size=242), lying=st.booleans())
def test_no_noise_costs_more_than_a_valid_batch(*, noise: bytes, lying: bool) -> None:
    if lying:  # as many records as there may be, then noise
        head = second_batch.gamma(BATCH_RECORDS - 1) + second_batch.whole(1) + "00"
        noise = second_batch.packed("0" + head + second_batch.whole(0) * 8) + noise
    assert cost(noise) <= DEAREST + REFUSAL
