"""When a record was made: uptime and boot to street time."""

from kerbline.clock import ManualClock, StreetTable
from kerbline.south.dating import BootClock
from kerbline.store import Anchor

START_MS = 1_790_000_000_000


def test_the_earliest_arrival_dates_a_boot() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    assert boots.hear(5, 10, START_MS) == Anchor(START_MS - 10_500, 600)
    # The same second of uptime heard again later says nothing new.
    assert boots.hear(5, 10, START_MS + 900) is None
    # A second that was heard with less delay does.
    better = boots.hear(5, 12, START_MS + 1_500)
    assert better is not None
    assert better.street_ms == START_MS - 11_000
    assert boots.date(5, 20, START_MS + 9_000) == (START_MS - 11_000 + 20_000, 600, ())


def test_a_slow_crystal_moves_its_anchor() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0, START_MS)
    day_ms = 86_400_000
    # 50 ppm slow: after ten days the node's clock is 43 s behind.
    anchor = boots.hear(5, 10 * 86_400 - 43, START_MS + 10 * day_ms)
    assert anchor is not None
    assert anchor.street_ms == START_MS + 43_000 - 500


def test_a_restart_keeps_the_better_anchor() -> None:
    clock = ManualClock(START_MS)
    known = Anchor(START_MS - 60_000, 600)
    boots = BootClock(clock, {7: known})
    assert boots.hear(7, 30, START_MS) is None  # 30 s late, from the node's backlog
    assert boots.date(7, 30, START_MS)[0] == START_MS - 30_000


def test_a_boot_nobody_heard_lies_between_its_neighbours() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {1: Anchor(START_MS - 100_000, 600)})
    boots.hear(3, 10, START_MS)
    at_ms, half_ms, quality = boots.date(2, 4, START_MS)
    assert quality == ("undated",)
    assert at_ms - half_ms == START_MS - 100_000 + 4_000
    assert abs(at_ms + half_ms - (START_MS - 10_500)) <= 1


def test_street_time_dates_and_widens() -> None:
    table = StreetTable.parse(f"[[{START_MS}, {START_MS}, 3600]]")
    clock = ManualClock(START_MS, table)
    boots = BootClock(clock, {})
    anchor = boots.hear(9, 7_200, START_MS + 2_000)
    assert anchor == Anchor(START_MS - 500, 500 + 360_000)
