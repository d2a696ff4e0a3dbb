"""When a record was made: uptime and boot to street time."""

from kerbline.clock import ManualClock, StreetTable
from kerbline.south.dating import BootClock
from kerbline.store import Anchor

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def test_the_earliest_arrival_dates_a_boot() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    assert boots.hear(5, 10) == Anchor(START_MS - 10_500, 600)
    # The same second of uptime heard again later says nothing new.
    clock.advance(900)
    assert boots.hear(5, 10) is None
    # A second that was heard with less delay does.
    clock.advance(600)
    better = boots.hear(5, 12)
    assert better is not None
    assert better.street_ms == START_MS - 11_000
    clock.advance(7_500)
    assert boots.date(5, 20) == (START_MS - 11_000 + 20_000, 600, ())


def test_a_slow_crystal_moves_its_anchor() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0)
    # 50 ppm slow: after ten days the node's clock is 43 s behind.
    clock.advance(10 * 24 * HOUR_MS)
    anchor = boots.hear(5, 10 * 86_400 - 43)
    assert anchor is not None
    assert anchor.street_ms == START_MS + 43_000 - 500


def test_a_restart_keeps_the_better_anchor() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {7: Anchor(START_MS - 60_000, 600)})
    assert boots.hear(7, 30) is None  # 30 s late, from the node's backlog
    assert boots.date(7, 30)[0] == START_MS - 30_000


def test_a_clock_that_is_set_takes_its_dates_along() -> None:
    clock = ManualClock(START_MS - 6 * HOUR_MS)  # no RTC: six hours behind until NTP answers
    boots = BootClock(clock, {})
    boots.hear(5, 100)
    assert boots.date(5, 100)[0] == START_MS - 6 * HOUR_MS - 500
    clock.advance(10_000)
    clock.set_utc(START_MS + 10_000)
    moved = boots.hear(5, 110)
    assert moved == Anchor(START_MS - 100_500, 600)
    assert boots.date(5, 100) == (START_MS - 500, 600, ())


def test_a_clock_that_was_wrong_for_a_moment_leaves_no_trace() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0)
    clock.set_utc(0)
    boots.hear(5, 0)
    clock.set_utc(START_MS)
    boots.hear(5, 0)
    assert boots.date(5, 60)[0] == START_MS - 500 + 60_000


def test_a_clock_before_the_newest_commit_dates_nothing() -> None:
    clock = ManualClock(START_MS - 24 * HOUR_MS)
    boots = BootClock(clock, {}, earliest_ms=START_MS)
    assert boots.hear(5, 100) is None
    assert boots.date(5, 100)[2] == ("undated",)
    clock.set_utc(START_MS + 1_000)
    assert boots.hear(5, 101) is not None
    assert boots.date(5, 101)[2] == ()


def test_a_boot_nobody_heard_lies_between_its_neighbours() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {1: Anchor(START_MS - 100_000, 600)})
    boots.hear(3, 10)
    at_ms, half_ms, quality = boots.date(2, 4)
    assert quality == ("undated",)
    assert at_ms - half_ms == START_MS - 100_000 + 4_000
    assert abs(at_ms + half_ms - (START_MS - 10_500)) <= 1


def test_street_time_dates_and_widens() -> None:
    table = StreetTable.parse(f"[[{START_MS}, {START_MS}, 3600]]")
    clock = ManualClock(START_MS, table)
    boots = BootClock(clock, {})
    clock.advance(2_000)
    assert boots.hear(9, 7_200) == Anchor(START_MS - 500, 500 + 360_000)
