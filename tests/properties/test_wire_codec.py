"""The wire's codecs against others' and against plain models, over all that they can be given."""

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from kerbwire import acks, cbor, cobs
from kerbwire.errors import RemoteError
from kerbwire.limits import CBOR_ITEMS, FRAME_BYTES, SPANS_IN_POLL
from kerbwire.ranges import RangeSet

ITEMS = st.lists(
    st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=FRAME_BYTES), max_size=CBOR_ITEMS
)
SPANS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 30)), max_size=40)


@given(ITEMS)
def test_cbor_agrees_with_cbor2(items: list[int | bytes]) -> None:
    encoded = cbor.encode(items)
    assert encoded == b"".join(cbor2.dumps(item, canonical=True) for item in items)
    assert cbor.decode(encoded) == items


@given(st.binary(max_size=FRAME_BYTES))
def test_cbor_takes_only_what_it_would_write(body: bytes) -> None:
    try:
        items = cbor.decode(body)
    except RemoteError:
        return
    assert cbor.encode(items) == body


@given(st.lists(st.binary(min_size=1, max_size=FRAME_BYTES), max_size=8), st.integers(1, 300))
def test_frames_come_out_of_any_portions(frames: list[bytes], portion: int) -> None:
    stream = b"".join(cobs.encode(frame) for frame in frames)
    deframer = cobs.Deframer()
    found = []
    for start in range(0, len(stream), portion):
        data, at = stream[start : start + portion], 0
        while at < len(data):
            at = deframer.take(data, at)
            if deframer.length:
                found.append(deframer.frame())
    assert found == frames


@given(SPANS, st.integers(1, 340), st.integers(0, 60))
def test_ranges_agree_with_a_set(spans: list[tuple[int, int]], first: int, more: int) -> None:
    ranges, plain = RangeSet(), set[int]()
    for start, length in spans:
        ranges.add(start, start + length)
        plain.update(range(start, start + length + 1))
    assert {n for n in range(1, 400) if n in ranges} == plain
    assert len(ranges) == len(plain)
    assert ranges.highest == max(plain, default=0)
    assert all(n in plain for n in range(1, ranges.cumulative + 1))
    assert ranges.cumulative + 1 not in plain
    wanted = set(range(first, first + more + 1))
    assert ranges.covers(first, first + more) == (wanted <= plain)
    holes = {n for a, b in ranges.missing(first, first + more) for n in range(a, b + 1)}
    assert holes == wanted - plain


@given(SPANS, st.integers(1, 20))
def test_a_bounded_range_never_claims_more(spans: list[tuple[int, int]], limit: int) -> None:
    bounded, whole = RangeSet(limit=limit), RangeSet()
    for start, length in spans:
        for ranges in (bounded, whole):
            ranges.add(start, start + length)
        assert len(bounded.spans()) <= limit
    assert all(whole.covers(first, last) for first, last in bounded.spans())


@given(SPANS, st.lists(st.integers(1, 340), max_size=SPANS_IN_POLL))
def test_an_acknowledgement_tells_the_truth_and_what_was_asked(
    spans: list[tuple[int, int]], asked: list[int]
) -> None:
    numbers = RangeSet()
    for start, length in spans:
        numbers.add(start, start + length)
    items = acks.encode_spans(numbers, asked)
    told = acks.decode_spans(items, 0, numbers.cumulative, 1 << 40)
    assert len(items) == 1 + 2 * (len(told) - bool(numbers.cumulative))
    assert set(told) <= set(numbers.spans())
    for number in asked:
        known = number <= numbers.cumulative or any(a <= number <= b for a, b in told)
        assert known == (number in numbers)
