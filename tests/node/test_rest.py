"""Days of a meter on a cell: wakes, reports, resets and cuts; each pulse counted once."""

from kerbnode import sleep
from kerbnode.instruments.water_register import WaterRegister
from kerbnode.rest import AWAKE_MS, FIRST_MS, Rest
from kerbwire import messages as m
from node.test_sleep import Chip, Pin
from node.test_water_drivers import Dice

DAY_S = 86_400
FLASH_MS = 400  # which a node takes for its last word before it sleeps
LOAD_MS = 2500  # from the wake's end until the whole node's contacts count
EPOCH_S = 946_684_800
UTC_S = 1_750_464_000  # at second 0 of the chip's clock


class Asleep(Exception):
    """The chip sleeps: nothing of the node goes on."""


class Awake:
    """A whole node around a `Rest`: the parts of kerbnode.app.Node that it uses."""

    serving = False
    update = None

    def __init__(self, chip: "Board", report_s: int, *, answered: bool):
        self.board = self.settings = self.clock = self.journal = self.session = self
        self.sense = self.instruments = self.kept = self
        self.chip = chip
        self.report_s = report_s
        self.trusted = answered
        self.next = 1
        self.cumulative = 0
        self.stopped = False
        self.began_ms = chip.ms
        self.reports: "list[int]" = []

    def uptime_ms(self) -> int:
        return int(self.chip.ms - self.began_ms)

    monotonic_ms = uptime_ms

    def known_ms(self, now: int) -> "int | None":
        return 1000 * UTC_S + int(self.chip.ms) if self.trusted else None

    def record(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        assert kind == m.REPORT
        self.reports.append(values[0])
        self.next += 1
        if self.trusted:
            self.cumulative += 1

    def stop(self) -> None:
        assert not self.stopped
        self.stopped = True
        self.slept_ms = self.uptime_ms()
        for at_ms, closed_ms in self.chip.late:
            self.chip.pins[32].close(self.chip.ms + at_ms, closed_ms)
        self.chip.late = []
        self.chip.ms += FLASH_MS
        self.chip.flash = self.asset.totals()

    def run(self, taken: "Taken", stop_ms: float) -> None:
        """Until it sleeps, or the power goes."""
        rest = Rest(self, (32, 33), self.chip)
        register = WaterRegister(taken, taken.back)
        register.begin(None, rest.totals(self.chip.flash))
        self.asset = register.asset
        while self.chip.ms < stop_ms:
            register.tick(self.uptime_ms(), self.known_ms(0))
            self.take = register.take
            self.chip.ms += 100
            try:
                rest.look()
            except Asleep:
                return
            self.chip.ms += 1000


class Board(Chip):
    """The chip, with flash, and interrupts from `watch` on."""

    def __init__(self, pins: "dict[int, Pin]"):
        Chip.__init__(self, pins)
        self.flash: "tuple[int, ...] | None" = None
        self.whole = False
        self.late: "list[tuple[int, int]]" = []  # pulses: after the last tick, how long
        self._watching: "float | None" = None
        self.rtc_from_ms = 0.0

    def rtc_s(self) -> int:
        return int((self.ms - self.rtc_from_ms) // 1000)

    def watch(self, pins: "tuple[int, ...]") -> None:
        self._watching = self.ms

    def watched(self) -> "tuple[int, int]":
        """By then the node is loaded."""
        if self._watching is None:
            return 0, 0
        since, self._watching = self._watching, None
        self.ms += LOAD_MS
        return closings(self.pins[32], since, self.ms), closings(self.pins[33], since, self.ms)

    def sleep(self, ms: int, pins: "tuple[int, ...]", levels: "tuple[int, ...]") -> None:
        Chip.sleep(self, ms, pins, levels)
        if self.whole:
            raise Asleep

    def reset(self, *, power: bool, sagged: bool = False) -> None:
        """A watchdog's reset, or a power cut, which the RTC's memory does not outlive.

        Its clock may begin anew with the memory still there, where the supply `sagged`.
        """
        self._woke = None
        if power or sagged:
            self.rtc_from_ms = self.ms
        if power:
            self.kept = b""


def closings(pin: Pin, since_ms: float, until_ms: float) -> int:
    return len([at for at, level in pin.edges if level == 0 and since_ms < at <= until_ms])


class Taken:
    """An awake node's driver: each closing between two looks."""

    weight = (1, 1)

    def __init__(self, chip: Board, pin: int, back: "Taken | None" = None):
        self.back = back
        self._chip = chip
        self._pin = pin
        self._since: "float | None" = None

    def take(self) -> int:
        since = self._chip.ms if self._since is None else self._since
        self._since = self._chip.ms
        return closings(self._chip.pins[self._pin], since, self._since)


class Life:
    """A chip with water that flows now and then."""

    def __init__(self, seed: int, days: int, report_s: int):
        self.dice = Dice(seed)
        self.report_s = report_s
        self.forward = Pin()
        self.chip = Board({32: self.forward, 33: Pin()})
        self.reports: "list[int]" = []
        at = 1_000_000.0
        while at < days * DAY_S * 1000:
            for _ in range(self.dice.roll(1, 30)):
                closed = self.dice.roll(700, 3000)  # a contact's: longer than the chip's start
                self.forward.close(at, closed)
                at += closed + self.dice.roll(700, 9000)
            at += self.dice.roll(60_000, 6_000_000)

    def made(self) -> int:
        return closings(self.forward, -1, self.chip.ms)

    def wake(self, *, answered: bool = True, stop_ms: float = 1e12) -> None:
        """Whatever comes next: a wake between pulses, or the whole node until it sleeps again."""
        self.chip.whole = False
        if sleep.awake(self.chip):
            self.chip.whole = True
            node = Awake(self.chip, self.report_s, answered=answered)
            node.run(Taken(self.chip, 32, Taken(self.chip, 33)), stop_ms)
            self.reports += node.reports
            self.node = node

    def counted(self) -> int:
        kept = sleep.load(self.chip.memory())
        return kept.flow[0] + kept.flow[-2]


def test_days_asleep_lose_no_pulse_and_report_each_period() -> None:
    for seed in range(3):
        life = Life(seed + 1, days=1, report_s=2 * 3600)
        life.wake()
        assert life.chip.ms >= FIRST_MS, "time for who fits it"
        while life.chip.ms < DAY_S * 1000:
            life.wake()
        made = life.made() - (life.forward.level(life.chip.ms) == 0)
        assert life.counted() in (made, made + 1), (life.counted(), made)
        assert len(life.reports) == 11  # the twelfth is due at the very end
        assert life.reports == sorted(life.reports)


def test_a_pulse_while_the_last_word_goes_to_flash_counts_once() -> None:
    """Closed and open again, or still closed as the chip falls asleep."""
    for after_ms in range(10, 560, 10):
        for closed_ms in (60, 900, 5000):
            life = Life(1, days=0, report_s=3600)
            life.chip.late = [(after_ms, closed_ms)]
            life.wake()
            assert life.chip.late == []
            while life.chip.ms < FIRST_MS + 20_000:
                life.wake()
            assert life.counted() == 1, (after_ms, closed_ms)


def test_a_gateway_that_is_silent_keeps_nobody_awake() -> None:
    life = Life(5, days=1, report_s=3600)
    life.wake(answered=False)
    while life.chip.ms < DAY_S * 500:
        life.wake(answered=False)
    assert life.node.slept_ms <= AWAKE_MS + LOAD_MS + 3000
    assert life.chip.awake_ms < DAY_S * 500 * 0.05 + FIRST_MS
    assert len(life.reports) >= 10


def test_a_watchdog_at_any_second_loses_and_doubles_nothing() -> None:
    for second in range(1, 60, 13):
        life = Life(7, days=1, report_s=3600)
        life.wake(stop_ms=FIRST_MS + 800_000 + second * 10_000)
        made = life.made()
        life.chip.reset(power=False)
        life.wake(stop_ms=life.chip.ms + 60_000)
        assert made - 1 <= life.counted() <= life.made(), "of one look at most"
        assert life.made() - life.counted() <= 2


def test_a_power_cut_costs_at_most_what_came_since_the_last_report() -> None:
    for hours in (3, 13):
        life = Life(11, days=1, report_s=6 * 3600)
        life.wake()
        saved = 0
        while life.chip.ms < hours * 3_600_000:
            life.wake()
            if life.chip.flash is not None:
                saved = life.chip.flash[0]
        before = life.counted()
        life.chip.reset(power=True)
        life.wake(stop_ms=life.chip.ms + 1500)
        after = life.node.asset.flow.forward
        assert saved <= after <= before
        assert after - saved <= 2, "an old pulse came again"


def test_a_clock_that_begins_anew_makes_no_meter_silent() -> None:
    """A cell that sags in the cold resets the RTC's clock before its memory is gone."""
    life = Life(13, days=3, report_s=3600)
    life.wake()
    while life.chip.ms < 2 * DAY_S * 1000:
        life.wake()
    life.chip.reset(power=False, sagged=True)
    before = len(life.reports)
    counted = life.counted()
    while life.chip.ms < 3 * DAY_S * 1000:
        life.wake()
    assert len(life.reports) - before in (22, 23, 24), len(life.reports) - before
    assert counted <= life.counted() <= life.made()
