"""When a record was made: uptime and boot to street time."""

from kerbline.clock import ManualClock, StreetRow, StreetTable
from kerbline.south.dating import BootClock
from kerbline.store import BOOTS_KEPT, Anchor

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def test_the_earliest_arrival_dates_a_boot() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    assert boots.hear(5, 10) == Anchor(START_MS - 10_000, 1_100)
    # The same second of uptime heard again later says nothing new.
    clock.advance(900)
    assert boots.hear(5, 10) is None
    # A second that was heard with less delay does.
    clock.advance(600)
    better = boots.hear(5, 12)
    assert better is not None
    assert better.street_ms == START_MS - 10_500
    clock.advance(7_500)
    assert boots.date(5, 20) == (START_MS - 10_500 + 20_000, 1_100, ())


def test_a_slow_crystal_moves_its_anchor() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0)
    # 50 ppm slow: after ten days the node's clock is 43 s behind.
    clock.advance(10 * 24 * HOUR_MS)
    anchor = boots.hear(5, 10 * 86_400 - 43)
    assert anchor is not None
    assert anchor.street_ms == START_MS + 43_000


def test_a_restart_keeps_the_better_anchor() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {7: Anchor(START_MS - 60_000, 600)})
    assert boots.hear(7, 30) is None  # 30 s late, from the node's backlog
    assert boots.date(7, 30)[0] == START_MS - 30_000


def test_a_clock_that_is_set_takes_its_dates_along() -> None:
    clock = ManualClock(START_MS - 6 * HOUR_MS)  # no RTC: six hours behind until NTP answers
    boots = BootClock(clock, {})
    boots.hear(5, 100)
    assert boots.date(5, 100)[0] == START_MS - 6 * HOUR_MS
    clock.advance(10_000)
    clock.set_utc(START_MS + 10_000)
    moved = boots.hear(5, 110)
    assert moved == Anchor(START_MS - 100_000, 1_100)
    assert boots.date(5, 100) == (START_MS, 1_100, ())


def test_a_clock_that_was_wrong_for_a_moment_leaves_no_trace() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0)
    clock.set_utc(0)
    boots.hear(5, 0)
    clock.set_utc(START_MS)
    boots.hear(5, 0)
    assert boots.date(5, 60)[0] == START_MS + 60_000


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
    assert abs(at_ms + half_ms - (START_MS - 10_000)) <= 1


def test_street_time_dates_and_widens() -> None:
    table = StreetTable.parse(f"[[{START_MS}, {START_MS}, 3600]]")
    clock = ManualClock(START_MS, table)
    boots = BootClock(clock, {})
    clock.advance(2_000)
    assert boots.hear(9, 7_200) == Anchor(START_MS, 1_000 + 360_000)


def test_a_node_s_own_anchor_dates_a_boot_that_nobody_heard() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(9, 5)
    assert boots.date(3, 60)[2] == ("undated",)
    tied = boots.tie(3, 20_250, START_MS - HOUR_MS, 25)
    assert tied == Anchor(START_MS - HOUR_MS - 20_250 + 500, 525)
    assert boots.date(3, 60) == (START_MS - HOUR_MS + 39_750 + 500, 525, ())


def test_a_node_s_own_anchor_is_better_than_any_arrival() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    began_ms = START_MS - 10_400
    assert boots.hear(5, 10) is not None
    assert boots.tie(5, 10_400, START_MS, 25) == Anchor(began_ms + 500, 525)
    for _ in range(50):  # whatever comes later, however quickly
        clock.advance(997)
        uptime_ms = clock.utc_ms() - began_ms
        assert boots.hear(5, uptime_ms // 1000) is None
        at_ms, half_ms, _ = boots.date(5, uptime_ms // 1000)
        assert abs(at_ms - clock.utc_ms()) <= half_ms
    assert boots.tie(5, 61_000, began_ms + 61_000, 400) is None  # a worse one


def test_a_newer_anchor_outlives_an_old_one_s_drift() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.hear(5, 0)
    boots.tie(5, 0, START_MS, 25)
    clock.advance(10 * HOUR_MS)  # 3.6 s at 100 ppm
    late = boots.tie(5, 10 * HOUR_MS - 900, clock.utc_ms(), 40)
    assert late == Anchor(START_MS + 900 + 500, 540)


def test_an_anchor_that_contradicts_is_the_newer_truth() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    boots.tie(5, 0, START_MS - 9_000_000, 20)
    assert boots.tie(5, 1000, START_MS, 200) == Anchor(START_MS - 500, 700)


def test_in_a_fast_street_an_anchor_is_as_unsure_as_the_street_is_fast() -> None:
    clock = ManualClock(START_MS, StreetTable((StreetRow(START_MS - HOUR_MS, START_MS, 60.0),)))
    boots = BootClock(clock, {})
    tied = boots.tie(5, 0, START_MS, 25)
    assert tied is not None and tied.uncertainty_ms == 500 + 60 * 25


def test_the_stated_interval_holds_the_truth() -> None:
    """Whatever second's fraction was heard first, and with whatever delay up to the allowed one."""
    for first in range(0, 1_000, 90):
        for delay in (0, 50, 100):
            clock = ManualClock(START_MS)
            boots = BootClock(clock, {})
            clock.advance(first + delay)  # the boot began at START_MS; a record of uptime 0 comes
            boots.hear(5, 0)
            for made in range(0, 5_000, 130):
                at_ms, half_ms, _ = boots.date(5, made // 1_000)
                assert abs(at_ms - (START_MS + made)) <= half_ms


def test_boots_that_a_node_makes_up_take_no_memory() -> None:
    clock = ManualClock(START_MS)
    boots = BootClock(clock, {})
    assert boots.hear(5, 10) is not None
    for boot_id in range(100, 1100):
        assert boots.tie(boot_id, 1000, START_MS - boot_id, 5) is not None
    assert len(boots._anchors) == BOOTS_KEPT and len(boots._fresh) <= BOOTS_KEPT
    assert boots.date(5, 20)[2] == (), "the running boot keeps its date"
    assert boots.date(1099, 20)[2] == () and boots.date(100, 20)[2] == ("undated",)
