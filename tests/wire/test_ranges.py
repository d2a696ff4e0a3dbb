"""RangeSet against a plain set of numbers."""

from kerbwire.errors import LocalError
from kerbwire.ranges import RangeSet
from wire.pair import Random


def _agrees(ranges: RangeSet, plain: "set[int]", top: int) -> bool:
    cumulative = 0
    while cumulative + 1 in plain:
        cumulative += 1
    spans = ranges.spans()
    for (_, low), (high, _) in zip(spans, spans[1:]):
        if high <= low + 1:  # neither overlapping nor touching
            return False
    holes: set[int] = set()
    for first, last in ranges.missing(1, top):
        holes.update(range(first, last + 1))
    return (
        all([(number in ranges) == (number in plain) for number in range(1, top + 1)])
        and ranges.cumulative == cumulative
        and ranges.highest == (max(plain) if plain else 0)
        and len(ranges) == len(plain)
        and holes == set(range(1, top + 1)) - plain
        and all([first > cumulative + 1 for first, _ in ranges.above()])
    )


def test_against_a_plain_set() -> None:
    for seed in range(30):
        random = Random(seed)
        ranges = RangeSet()
        plain: set[int] = set()
        for _ in range(25):
            first = 1 + random.below(60)
            last = first + random.below(8)
            ranges.add(first, last)
            plain.update(range(first, last + 1))
            assert ranges.covers(first, last)
        assert _agrees(ranges, plain, 70), (seed, ranges)


def test_covers_needs_every_number() -> None:
    ranges = RangeSet(((1, 4), (6, 9)))
    assert ranges.covers(6, 9) and ranges.covers(2, 3)
    assert not ranges.covers(4, 6) and not ranges.covers(9, 10) and not ranges.covers(5, 5)


def test_a_limit_forgets_the_oldest_above_the_cumulative_number() -> None:
    ranges = RangeSet(((1, 2), (10, 10), (20, 20)), limit=3)
    ranges.add(30, 30)
    assert ranges.spans() == ((1, 2), (20, 20), (30, 30))
    assert ranges.cumulative == 2


def test_a_copy_is_its_own_and_keeps_to_its_limit() -> None:
    ranges = RangeSet(((1, 2), (10, 10), (20, 20), (30, 30)))
    twin = ranges.copy(2)
    assert twin.spans() == ((1, 2), (30, 30))
    twin.add(3, 9)
    assert ranges.spans() == ((1, 2), (10, 10), (20, 20), (30, 30))


def test_what_is_no_range_is_the_callers_fault() -> None:
    for first, last in ((0, 1), (-1, 5), (5, 4)):
        try:
            RangeSet().add(first, last)
        except LocalError as fault:
            assert fault.code == "range"
        else:
            raise AssertionError((first, last))
