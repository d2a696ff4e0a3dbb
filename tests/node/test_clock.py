"""UTC from offers, the periods of reports, and a street that runs faster than the world."""

from kerbnode.clock import DISPUTE_MS, DRIFT_PPB, FIRST_S, LEARNT_PPB, LOST_MS, SPAN_S, Clock
from kerbnode.sense import is_due
from kerbnode.sim.world import StreetTime
from kerbwire.messages import ANCHOR_ZERO_S
from node.street_night import DAY_MS, Crystal, Dice, RamNvs

BILLION = 1_000_000_000
UTC_MS = 1_795_300_000_000


def test_no_time_before_the_first_offer() -> None:
    clock = Clock()
    assert clock.utc_ms(5) is None
    assert clock.known_ms(5) is None
    assert not clock.trusted


LAST_MS = 1000 * (FIRST_S + SPAN_S) - 1
ABSURD_MS = (
    -1,
    0,  # a gateway's clock that was never set,
    1000 * ANCHOR_ZERO_S,  # or a chip's
    1000 * FIRST_S - 1,
    LAST_MS + 1,
    1000 * (ANCHOR_ZERO_S + (1 << 31)) - 1,  # January 2068: the last that a record can say
    1000 * (ANCHOR_ZERO_S + (1 << 31)),
    4_294_967_296_000,  # 2106
    1 << 48,
    1 << 63,
)


def test_no_time_is_taken_that_can_not_be() -> None:
    for utc_ms in ABSURD_MS:
        clock = Clock()
        assert clock.offer(utc_ms, 20, 1000) == 0
        assert clock.utc_ms(1000) is None and not clock.trusted
        clock.offer(UTC_MS, 20, 1000)
        assert clock.offer(utc_ms, 20, 61_000) == 0
        assert clock.known_ms(61_000) == UTC_MS + 60_000, "no dispute for that"


def test_the_last_time_that_is_taken_never_becomes_one_that_no_record_can_say() -> None:
    clock = Clock()
    clock.offer(LAST_MS, 20, 0)
    assert clock.trusted
    lost = LOST_MS * BILLION // LEARNT_PPB  # with the best of crystals
    assert clock.known_ms(lost) is None
    seconds = clock.anchor(0, lost)[1]
    assert seconds + 8 * 365 * 86_400 < 1 << 31, "and eight years without a restart are left"


def test_doubt_grows_with_drift_until_the_clock_is_lost() -> None:
    clock = Clock()
    assert clock.offer(UTC_MS, 20, 1000) == 0
    assert clock.trusted
    assert clock.utc_ms(61_000) == UTC_MS + 60_000
    day_ms = 86_400_000
    assert clock.uncertainty_ms(1000 + day_ms) == 20 + day_ms * DRIFT_PPB // BILLION
    lost = 1000 + LOST_MS * BILLION // DRIFT_PPB
    assert clock.known_ms(lost - 1_000_000) is not None
    assert clock.known_ms(lost) is None
    assert clock.utc_ms(lost) is not None


def test_a_surer_offer_wins_and_a_vaguer_one_is_left() -> None:
    clock = Clock()
    clock.offer(UTC_MS, 50, 0)
    clock.offer(UTC_MS + 30, 10, 0)
    assert clock.utc_ms(0) == UTC_MS + 30
    clock.offer(UTC_MS + 60, 40, 0)
    assert clock.utc_ms(0) == UTC_MS + 30


def test_a_contradiction_is_believed_and_a_jump_is_told() -> None:
    clock = Clock()
    clock.offer(UTC_MS, 10, 0)
    assert clock.offer(UTC_MS + 10_000, 50, 0) == 0
    assert clock.utc_ms(0) == UTC_MS + 10_000
    assert clock.offer(UTC_MS + 510_000, 50, 0) == 500
    assert clock.offer(UTC_MS + 10_000, 50, 0) == -500


def test_street_time_is_piecewise_and_rate_one_before_its_first_row() -> None:
    street = StreetTime([[1000, 50_000, 1], [2000, 51_000, 3600], [3000, 3_651_000, 0.5]])
    assert street.street_ms(400) == 49_400
    assert street.street_ms(1500) == 50_500
    assert street.street_ms(2100) == 51_000 + 360_000
    assert street.street_ms(5000) == 3_652_000
    assert StreetTime([]).street_ms(77) == 77


def due_times(tick_ms: int, period_ms: int, span_ms: int, shift_ms: "int | None") -> "list[int]":
    """Uptimes of the reports that a node makes when ticked so."""
    reported = 0
    found = []
    for uptime in range(0, span_ms, tick_ms):
        street = None if shift_ms is None else uptime + shift_ms
        if is_due(reported, uptime, street, period_ms):
            reported = uptime
            found.append(uptime)
    return found


def test_reports_are_aligned_to_the_period() -> None:
    assert due_times(100, 900_000, 3_700_000, None) == [900_000, 1_800_000, 2_700_000, 3_600_000]
    five_past_ms = UTC_MS // 900_000 * 900_000 + 300_000
    assert due_times(100, 900_000, 1_500_000, five_past_ms) == [600_000]


def test_a_street_too_fast_for_its_ticks_makes_one_report_a_tick_at_most() -> None:
    assert due_times(360_000, 900_000, 7_200_000, None) == [
        1_080_000,
        1_800_000,
        2_880_000,
        3_600_000,
        4_680_000,
        5_400_000,
        6_480_000,
    ]
    assert due_times(360_000, 60_000, 1_500_000, None) == [360_000, 720_000, 1_080_000, 1_440_000]


def test_a_clock_set_back_over_a_boundary_makes_no_second_report() -> None:
    assert not is_due(900_000, 900_100, 899_900, 900_000)
    assert not is_due(900_000, 900_300, 900_100, 900_000)
    assert is_due(900_000, 1_800_300, 1_800_100, 900_000)


def test_an_anchor_is_made_when_it_tells_something_new() -> None:
    clock = Clock()
    assert clock.anchor(5250, 0) is None  # no time yet
    clock.offer(UTC_MS, 30, 1000)
    made = clock.anchor(5250, 1000)
    assert made == (250, UTC_MS // 1000 - ANCHOR_ZERO_S, UTC_MS % 1000, 30)
    clock.offer(UTC_MS + 60_000, 25, 61_000)
    assert clock.anchor(65_250, 61_000) is None  # hardly better
    day_ms = 86_400_000
    clock.offer(UTC_MS + day_ms, 25, 1000 + day_ms)
    again = clock.anchor(5250 + day_ms, 1000 + day_ms)  # by now the old one is seconds off
    assert again == (250, (UTC_MS + day_ms) // 1000 - ANCHOR_ZERO_S, UTC_MS % 1000, 25)


def test_a_clock_that_was_wrong_is_anchored_anew() -> None:
    clock = Clock()
    clock.offer(UTC_MS, 30, 0)
    assert clock.anchor(0, 0) is not None
    clock.offer(UTC_MS + 9000, 30, 1000)
    made = clock.anchor(1000, 1000)
    assert made is not None and made[1] == (UTC_MS + 9000) // 1000 - ANCHOR_ZERO_S


class Years:
    """A clock on a crystal; `offer` each ten minutes for so many days, with honest errors."""

    def __init__(self, seed: int, nvs: "RamNvs | None" = None) -> None:
        self.dice = Dice(seed)
        self.crystal = Crystal(self.dice)
        self.nvs = nvs or RamNvs()
        self.clock = Clock(self.nvs)
        self.passed_ms = 0
        self.worst_ms = 0

    def go(self, days: int, *, offers: bool, lie_ms: int = 0) -> None:
        for _ in range(days * 144):
            self.passed_ms += 600_000
            now = self.crystal.ticks(self.passed_ms)
            truth = UTC_MS + self.passed_ms
            if offers:
                lie = lie_ms if self.dice.below(200) == 0 else 0
                error = self.dice.between(-25, 25) + lie
                self.clock.offer(truth + error, self.dice.between(25, 400), now)
            utc_ms = self.clock.utc_ms(now)
            if utc_ms is not None and not lie_ms:
                assert abs(utc_ms - truth) <= self.clock.uncertainty_ms(now) + 1
                self.worst_ms = max(self.worst_ms, abs(utc_ms - truth))


def test_thirty_days_without_network_are_a_minute_at_most() -> None:
    worst_ms = 0
    for seed in range(40):
        years = Years(seed)
        years.go(4, offers=True)
        assert years.clock.rate_is_known
        years.go(30, offers=False)
        worst_ms = max(worst_ms, years.worst_ms)
        assert years.clock.uncertainty_ms(years.crystal.ticks(years.passed_ms)) <= 60_000
    assert 1000 < worst_ms <= 60_000
    print("worst drift in 30 days without network:", worst_ms, "ms")


def test_the_rate_outlives_a_power_cut() -> None:
    years = Years(3)
    years.go(4, offers=True)
    kept = years.nvs.blobs["rate"]
    again = Years(3, years.nvs)
    assert again.clock.rate_is_known
    again.clock.offer(UTC_MS, 30, 0)
    again.go(30, offers=False)
    assert again.worst_ms <= 60_000
    for damaged in (kept[:-1], bytes(8), b"", kept[:4] + bytes(4)):
        years.nvs.set("rate", damaged)
        assert not Clock(years.nvs).rate_is_known


def test_bad_offers_teach_no_bad_rate() -> None:
    for seed in range(20):
        for lie_ms in (-7_000_000, -2000, 1000, 4000, 60_000):
            years = Years(seed)
            years.go(12, offers=True, lie_ms=lie_ms)
            truth_ppb = -years.crystal.offset * BILLION
            if years.clock.rate_is_known:
                assert abs(years.clock._rate_ppb - truth_ppb) <= 20_000


def test_a_jump_is_disputed_until_the_old_time_comes_back() -> None:
    clock = Clock()
    clock.offer(UTC_MS, 30, 0)
    assert clock.offer(UTC_MS + 36_000_000, 30, 60_000) == 35_940
    assert clock.known_ms(60_000) is None  # the schedule does without ...
    assert clock.utc_ms(60_000) == UTC_MS + 36_000_000  # ... commands and records do not
    clock.offer(UTC_MS + 120_000, 30, 120_000)
    assert clock.known_ms(120_000) == UTC_MS + 120_000
    clock.offer(UTC_MS - 36_000_000, 30, 180_000)
    assert clock.known_ms(180_000 + DISPUTE_MS - 1) is None
    assert clock.known_ms(180_000 + DISPUTE_MS) is not None
    assert DAY_MS < DISPUTE_MS
