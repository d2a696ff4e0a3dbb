"""A node that sleeps between pulses, on a chip modelled with its start-up time and its bounces."""

from kerbnode import sleep
from kerbnode.assets.flow import CONTINUOUS, SAVED, TOTALS, Flow
from node.test_water_drivers import Dice

BOUNCE = (0.6, 0.3, 0.9, 0.2)
HOUR_S = 3600
UTC_S = 803_779_200 + 1020  # 2025-06-21 00:17, since 2000


class Reset(Exception):
    """The chip sleeps; nothing goes on."""


class Pin:
    """A contact's level over time."""

    def __init__(self) -> None:
        self.edges: "list[tuple[float, int]]" = []  # ms, level from then on
        self._next = 0  # the first behind the last look

    def close(self, at_ms: float, for_ms: float, bounces: "tuple[float, ...]" = ()) -> None:
        for start, level in ((at_ms, 0), (at_ms + for_ms, 1)):
            at = start
            self.edges.append((start, level))
            for index, length in enumerate(bounces):
                at += length
                self.edges.append((at, level if index & 1 else 1 - level))

    def level(self, ms: float) -> int:
        while self._next < len(self.edges) and self.edges[self._next][0] <= ms:
            self._next += 1
        while self._next and self.edges[self._next - 1][0] > ms:
            self._next -= 1
        return self.edges[self._next - 1][1] if self._next else 1

    def turns(self, ms: float, wanted: int) -> "float | None":
        """The first moment from `ms` on at which it has that level."""
        if self.level(ms) == wanted:
            return ms
        for index in range(self._next, len(self.edges)):
            if self.edges[index][1] == wanted:
                return self.edges[index][0]
        return None


class Chip:
    """Deep sleep as an ESP32 has it: levels wake, and the program starts WAKE_MS later."""

    def __init__(self, pins: "dict[int, Pin]"):
        self.ms = 0.0
        self.pins = pins
        self.kept = b""
        self.wakes = 0
        self.awake_ms = 0.0
        self.told_to_watch = False
        self._woke: "int | None" = None
        self._since = 0.0

    def memory(self, blob: "bytes | None" = None) -> bytes:
        if blob is not None:
            assert len(blob) <= 2048, "more than the RTC has"
            self.kept = blob
        return self.kept

    def rtc_s(self) -> int:
        return int(self.ms // 1000)

    def woke(self) -> "int | None":
        return self._woke

    def level(self, pin: int) -> int:
        return self.pins[pin].level(self.ms)

    def wait_ms(self, ms: int) -> None:
        self.ms += ms

    def watch(self, pins: "tuple[int, ...]") -> None:
        self.told_to_watch = True

    def sleep(self, ms: int, pins: "tuple[int, ...]", levels: "tuple[int, ...]") -> None:
        """Until the time is over or a pin has another level; then the start-up goes by."""
        self.awake_ms += self.ms - self._since
        end, self._woke = self.ms + ms, sleep.TIMER
        for index, pin in enumerate(pins):
            if pin != sleep.NO_PIN:
                at = self.pins[pin].turns(self.ms, 1 - levels[index])
                if at is not None and at < end:
                    end, self._woke = at, index
        self._since = end
        self.ms = end + sleep.WAKE_MS
        self.wakes += 1


def asleep(chip: Chip, due_s: int, utc_s: int = 0, pins: "tuple[int, int]" = (32, 33)) -> None:
    """The whole node has just gone to sleep."""
    levels = tuple([1 if pin == sleep.NO_PIN else chip.level(pin) for pin in pins])
    head = (chip.rtc_s(), due_s, utc_s, 1, 1) + pins + levels
    kept = sleep.Kept(head + Flow().saved())
    chip.memory(sleep.stored(chip.memory(), kept))
    chip.sleep(1000 * (due_s - chip.rtc_s()), kept.pins, kept.levels)


def until_due(chip: Chip, due_s: int) -> Flow:
    """Wake after wake, and the whole node at once asleep again after an alarm; its state then."""
    while True:
        while not sleep.awake(chip):
            pass
        kept = sleep.load(chip.memory())
        flow = Flow(kept.weight, kept.flow)
        flow.step(0, None, 0, 0)
        if chip.rtc_s() >= due_s:
            return flow
        assert flow.alarms
        kept.flow = flow.saved()
        chip.memory(sleep.stored(chip.memory(), kept))
        chip.sleep(1000 * (due_s - chip.rtc_s()), kept.pins, kept.levels)


def test_each_pulse_is_counted_once_at_the_highest_rate_however_it_bounces() -> None:
    apart_ms = 60_000 // sleep.ASLEEP_PULSES_PER_MINUTE
    for seed in range(30):
        dice = Dice(seed + 1)
        forward, backward = Pin(), Pin()
        chip = Chip({32: forward, 33: backward})
        made = [0, 0]
        for which, pin in enumerate((forward, backward)):
            if which and seed % 3:
                continue
            at = 5000.0 + dice.roll(0, 500) + 300_000 * which  # never both at once
            while at < 280_000 + 300_000 * which:
                closed = dice.roll(20, apart_ms - 60) if dice.roll(0, 1) else dice.roll(20, 60)
                pin.close(at, closed, BOUNCE[: 2 * dice.roll(0, 2)])
                at += max(apart_ms + 8, closed + 40) + dice.roll(0, 3) * dice.roll(0, 2000)
                made[which] += 1
        asleep(chip, 900)
        flow = until_due(chip, 900)
        assert [flow.forward, flow.backward] == made, (seed, flow.forward, made)
        assert chip.told_to_watch


def test_quicker_than_promised_pulses_are_lost_and_none_is_invented() -> None:
    pin = Pin()
    chip = Chip({32: pin, 33: Pin()})
    for number in range(100):
        pin.close(5000 + 250 * number, 100)
    asleep(chip, 600)
    assert 0 < until_due(chip, 600).forward < 100


def test_a_contact_that_rests_closed_wakes_nobody() -> None:
    pin = Pin()
    chip = Chip({32: pin, 33: Pin()})
    pin.close(10_000, 3_000_000, BOUNCE)
    asleep(chip, 2 * HOUR_S)
    assert until_due(chip, 2 * HOUR_S).forward == 1
    assert chip.wakes == 3  # the closing, the opening, the report


def test_without_a_second_contact_its_pin_is_not_touched() -> None:
    pin = Pin()
    chip = Chip({32: pin})
    pin.close(10_000, 100)
    asleep(chip, 60, pins=(32, sleep.NO_PIN))
    assert until_due(chip, 60).forward == 1


def test_a_leak_wakes_the_whole_node_and_is_told_by_it() -> None:
    pin = Pin()
    chip = Chip({32: pin, 33: Pin()})
    for number in range(40):  # one each quarter of an hour: four litres an hour
        pin.close(900_000.0 * number + 450_000, 200)
    asleep(chip, 30 * HOUR_S)
    while not sleep.awake(chip):
        pass
    assert 6 * HOUR_S <= chip.rtc_s() <= 6 * HOUR_S + 1800
    kept = sleep.load(chip.memory())
    flow = Flow(kept.weight, kept.flow)
    counted = flow.forward
    assert not flow.alarms
    assert flow.step(0, None, 0, 0) == [(CONTINUOUS, 6)]
    assert flow.forward == counted + 1


def test_hours_asleep_are_those_of_utc() -> None:
    pin = Pin()
    chip = Chip({32: pin, 33: Pin()})
    for minute in (10, 50, 55, 170):  # 00:27, 01:07, 01:12, 03:07
        pin.close(60_000.0 * minute, 200)
    asleep(chip, 4 * HOUR_S, utc_s=UTC_S)
    while not sleep.awake(chip):
        pass
    kept = sleep.load(chip.memory())
    flow = Flow(kept.weight, kept.flow)
    flow.step(0, (chip.rtc_s() + UTC_S) // HOUR_S + sleep.EPOCH_HOURS, 0, 0)
    assert flow.hours_l[-4:] == [1, 2, 0, 1]


def test_memory_that_is_damaged_or_of_a_power_on_starts_the_whole_node() -> None:
    chip = Chip({32: Pin(), 33: Pin()})
    assert sleep.awake(chip)
    chip.memory(bytes(700))
    assert sleep.awake(chip)
    asleep(chip, 60)
    chip.kept = bytes(len(chip.kept))
    assert sleep.awake(chip)


def test_a_reset_while_a_slot_is_written_leaves_the_old_count_or_the_new() -> None:
    chip = Chip({32: Pin(), 33: Pin()})
    asleep(chip, 60)
    for number in range(1, 6):
        old = chip.memory()
        kept = sleep.load(old)
        kept.flow = (number,) + kept.flow[1:]
        new = sleep.stored(old, kept)
        for cut in range(len(new) + 1):
            found = sleep.load(new[:cut] + old[cut:])
            assert found is not None, "neither slot is sound"
            assert found.flow[0] in (number - 1, number)
            assert found.numbers()[:9] == kept.numbers()[:9]
        assert sleep.load(new).flow[0] == number
        chip.memory(new)


def test_what_a_slot_holds_fits_the_chips_memory() -> None:
    assert 2 * sleep.SLOT_BYTES <= 2048
    assert len(Flow().saved()) == SAVED > TOTALS


def test_state_goes_on_as_if_there_had_been_no_sleep() -> None:
    whole, parts = Flow(), Flow()
    offset = 0
    for minute in range(0, 30 * 60, 7):
        at_s = 60 * minute
        first = whole.step(at_s, None, minute % 3, 0)
        second = parts.step(at_s - offset, None, minute % 3, 0)
        assert first == second
        if minute % 49 == 0:
            saved = parts.saved()
            parts = Flow((1, 1), saved)
            offset = at_s
    assert whole.saved()[TOTALS:] == parts.saved()[TOTALS:]
