"""Pulses that bounce, wrap, turn back and come late; a cell under load; a seal."""

from kerbnode.drivers.battery import EVERY_MS, Battery
from kerbnode.drivers.pulses import PulseMeter
from kerbnode.drivers.quadrature import Quadrature
from kerbnode.drivers.reed import Reed
from kerbnode.drivers.tamper import Tamper
from kerbnode.sim.register import Cell, Chip, Contact, Seal, Wheel

TICK_MS = 100
FLASH_MS = 300  # the longest that a write of littlefs holds handlers up
BOUNCE = (0.6, 0.3, 0.9, 0.2)


class Dice:
    """Numbers that a seed gives again."""

    def __init__(self, seed: int):
        self._state = seed

    def roll(self, low: int, high: int) -> int:
        self._state = (self._state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return low + (self._state >> 8) % (high - low + 1)


def reed_on(contact: Contact, bounce_ms: int = 10) -> Reed:
    return Reed(contact, bounce_ms=bounce_ms, ticks=contact.ticks)


def counted(contact: Contact, reed: Reed, until_ms: float) -> int:
    """What a node counts that looks each tick."""
    total = 0
    while contact.now < until_ms:
        contact.run(min(until_ms, contact.now + TICK_MS))
        total += reed.take()
    return total


def test_a_hardware_counter_goes_round_and_loses_nothing() -> None:
    chip = Chip(start=65_530)
    meter = PulseMeter(chip)
    assert meter.take() == 0, "what was counted before the node is not the node's"
    for new in (3, 10, 0, 65_535, 1, 40_000, 40_000):
        chip.pulses += new
        assert meter.take() == new
        assert meter.take() == 0


def test_a_counter_of_any_width_will_do() -> None:
    class Wide(Chip):
        def value(self) -> int:
            return self.pulses

    chip = Wide(start=(1 << 29) + 5)
    meter = PulseMeter(chip)
    chip.pulses += 77
    assert meter.take() == 77


def test_a_pulse_has_the_weight_that_the_board_says() -> None:
    assert PulseMeter(Chip()).weight == (1, 1)
    assert PulseMeter(Chip(), litres_per_pulse=10).weight == (10, 1)
    assert PulseMeter(Chip(), pulses_per_litre=4).weight == (1, 4)


def test_a_contact_that_bounces_counts_once() -> None:
    contact = Contact()
    reed = reed_on(contact)
    for pulse in range(20):
        contact.close(100 + 500 * pulse, 250, BOUNCE)
    assert counted(contact, reed, 11_000) == 20
    assert contact.dropped == 0


def test_without_the_filter_each_bounce_would_count() -> None:
    contact = Contact()
    reed = reed_on(contact, bounce_ms=0)
    contact.close(100, 250, BOUNCE)
    assert counted(contact, reed, 1000) > 1


def test_a_contact_that_stays_closed_is_one_pulse() -> None:
    contact = Contact()
    reed = reed_on(contact)
    contact.close(100, 3_600_000, BOUNCE)
    assert counted(contact, reed, 60_000) == 1


def test_a_contact_open_longer_than_flash_is_written_loses_nothing() -> None:
    for seed in range(60):
        dice = Dice(seed + 1)
        contact = Contact()
        reed = reed_on(contact)
        at = dice.roll(20, 400)
        made = 0
        while at < 30_000:
            closed = dice.roll(30, 150)
            contact.close(at, closed, BOUNCE[: 2 * dice.roll(0, 2)])
            at += closed + TICK_MS + FLASH_MS + dice.roll(4, 900)
            made += 1
        got = 0
        while contact.now < 31_000:
            if dice.roll(0, 9) == 0:
                contact.stall(dice.roll(1, FLASH_MS))
                contact.run(contact.now + FLASH_MS)
                got += reed.take()
            contact.run(contact.now + TICK_MS)
            got += reed.take()
        assert got == made, (seed, got, made)


def test_handlers_that_find_no_room_are_noticed_by_a_look() -> None:
    contact = Contact()
    reed = reed_on(contact)
    contact.close(10, 100_000, BOUNCE * 3)  # closes with more bounces than there is room for ...
    contact.run(5)
    contact.stall(12)
    contact.run(200)
    assert contact.dropped > 0
    assert counted(contact, reed, 1000) == 1
    contact.run(100_005)
    contact.stall(8)
    assert counted(contact, reed, 110_000) == 0
    contact.close(110_000, 100)  # ... and what the contact is by now is known again
    assert counted(contact, reed, 111_000) == 1


def test_a_look_between_an_edge_and_its_handler_counts_neither_twice_nor_not() -> None:
    contact = Contact()
    reed = reed_on(contact)
    total = 0
    for pulse in range(10):
        contact.close(1000 * pulse + 500, 200)
        for edge in (500, 700):
            contact.run(1000 * pulse + edge - 1)
            contact.stall(3)
            contact.run(1000 * pulse + edge + 1)
            total += reed.take()  # the level is new, the handler still waits
            contact.run(1000 * pulse + edge + 50)
            total += reed.take()
    assert total == 10


def test_a_wheel_that_turns_counts_whole_turns_either_way() -> None:
    wheel = Wheel()
    meter = Quadrature(wheel.first, wheel.second)
    forward = backward = 0
    for way, quarters in ((1, 4 * 7), (-1, 4 * 3), (1, 4 * 2)):
        for _ in range(quarters):
            wheel.at += way
            forward += meter.take()
            backward += meter.back.take()
    assert (forward, backward) == (9, 3)
    assert meter.fault == ""


def test_a_wheel_that_trembles_counts_nothing() -> None:
    for rest in range(4):
        wheel = Wheel()
        wheel.at = rest
        meter = Quadrature(wheel.first, wheel.second)
        for _ in range(1000):
            for way in (1, 1, -1, -1, -1, 1):
                wheel.at += way
                assert meter.take() == 0
        assert meter.back.take() == 0


def test_a_wheel_too_quick_to_follow_is_told() -> None:
    wheel = Wheel()
    meter = Quadrature(wheel.first, wheel.second)
    wheel.at += 2
    assert meter.take() == 0
    assert meter.fault == "skipped"


def test_a_cell_is_measured_under_load_and_the_load_is_off_again() -> None:
    cell = Cell(3600, ohms=10, load_ma=30)
    battery = Battery(cell, load=cell)
    assert battery.millivolts(0) is None
    assert battery.millivolts(100) == 3300
    assert cell.switched == 2
    for tick in range(2, 100):
        assert battery.millivolts(100 * tick) == 3300
    assert cell.switched == 2
    assert cell.read_uv() == 1_800_000, "the load is off"


def test_an_old_lithium_cell_tells_only_under_load() -> None:
    cell = Cell(3580, ohms=40, load_ma=30)
    assert Battery(cell).millivolts(0) == 3580
    loaded = Battery(cell, load=cell)
    loaded.millivolts(0)
    assert loaded.millivolts(100) == 2380 < loaded.low_mv


def test_one_odd_measurement_is_not_believed() -> None:
    cell = Cell(3600, ohms=0)
    battery = Battery(cell)
    seen = []
    for number, millivolts in enumerate((3600, 3600, 2000, 3600, 3600)):
        cell.millivolts = millivolts
        seen.append(battery.millivolts(number * EVERY_MS))
    assert seen == [3600] * 5
    assert Battery(cell, low_mv=2200, divider_pct=200).low_mv == 2200


def test_a_divider_that_is_broken_is_no_empty_cell() -> None:
    cell = Cell(0, ohms=0)
    battery = Battery(cell)
    assert (battery.millivolts(0), battery.fault) == (None, "range")
    cell.millivolts = 3600
    assert (battery.millivolts(EVERY_MS), battery.fault) == (3600, "")


def test_a_seal_stays_broken_for_its_time() -> None:
    seal = Seal()
    tamper = Tamper(seal, hold_s=60)
    assert not tamper.broken(0)
    seal.swipe()
    assert tamper.broken(1000)
    assert tamper.broken(60_999)
    assert not tamper.broken(61_000)
    seal.magnet = True
    for second in range(100, 500):
        assert tamper.broken(1000 * second)
    seal.magnet = False
    assert tamper.broken(500_000)
    assert not tamper.broken(559_000)
