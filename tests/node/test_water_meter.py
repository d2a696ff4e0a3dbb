"""A meter's totals, hours and rules; and that no cut and no restart loses or invents a pulse."""

import json

from kerbnode import nvs, store, uptake
from kerbnode.assets import flow as rules
from kerbnode.assets import water_meter
from kerbnode.drivers.battery import Battery
from kerbnode.drivers.pulses import PulseMeter
from kerbnode.drivers.quadrature import Quadrature
from kerbnode.drivers.tamper import Tamper
from kerbnode.instruments.water_register import WaterRegister
from kerbnode.sim.register import Cell, Chip, Seal, Wheel
from kerbwire import messages as m
from kerbwire.schema import by_name
from node.nvs_pages import Nvs
from node.ram_flash import TEARS, RamFlash, replay, tear

TYPE_CHECKING = False
if TYPE_CHECKING:
    Events = list[tuple[int, int]]

HOUR_MS = 3_600_000
UTC_MS = 1_750_464_000_000 + 17 * 60_000  # 2025-06-21 00:17


class Meter:
    """A register on a street of its own time; `pulses` flow in by hand."""

    def __init__(
        self, totals: "tuple[int, ...] | None" = None, litres: int = 1, per_litre: int = 1
    ):
        self.now = 0
        self.utc_ms: int | None = None  # of uptime 0
        self.forward = Chip(40_000)
        self.backward = Chip(65_000)
        self.cell = Cell(3600, ohms=0)
        self.seal = Seal()
        self.events: Events = []
        self.register = WaterRegister(
            PulseMeter(self.forward, per_litre, litres),
            PulseMeter(self.backward, per_litre, litres),
            Battery(self.cell),
            Tamper(self.seal),
        )
        self.register.begin(None, totals)

    def run(self, span_ms: int, tick_ms: int = 10_000) -> None:
        for _ in range(span_ms // tick_ms):
            self.now += tick_ms
            self.look()

    def look(self) -> None:
        street_ms = None if self.utc_ms is None else self.utc_ms + self.now
        self.events += self.register.tick(self.now, street_ms)

    def leak(self, lph: float, span_ms: int, tick_ms: int = 10_000) -> None:
        """Water that flows evenly, seen as pulses of the register's weight."""
        litres, pulses = self.register.asset.flow.weight
        began_ms, before = self.now, self.forward.pulses
        while self.now - began_ms < span_ms:
            self.now += tick_ms
            drawn_l = lph * (self.now - began_ms) / HOUR_MS
            self.forward.pulses = before + int(drawn_l * pulses / litres)
            self.look()

    @property
    def values(self) -> "tuple[int, ...]":
        return self.register.asset.values()


def test_a_report_is_as_wide_as_its_schema() -> None:
    meter = Meter()
    meter.run(60_000)
    assert len(meter.values) == by_name("water_meter").width


def test_volume_goes_on_and_flow_is_the_mean_since_the_last_report() -> None:
    meter = Meter((1000, 2))
    meter.look()
    assert meter.values[:3] == (1000, 0, 2)
    meter.forward.pulses += 30
    meter.run(HOUR_MS // 2)
    assert meter.values[:5] == (1030, 60, 2, 3600, 0)
    meter.run(HOUR_MS // 2)
    assert meter.values[:2] == (1030, 0)
    assert meter.values[5:] == (0,) * 23 + (30,)


def test_a_pulse_of_any_weight_gives_whole_litres_without_loss() -> None:
    meter = Meter(litres=10)
    meter.forward.pulses += 7
    meter.run(10_000)
    assert meter.values[0] == 70
    fine = Meter(per_litre=4)
    for _ in range(9):
        fine.forward.pulses += 1
        fine.run(10_000)
    assert fine.values[0] == 2
    assert fine.register.asset.totals()[0] == 9, "kept as pulses"
    again = Meter(fine.register.asset.totals(), per_litre=4)
    again.forward.pulses += 3
    again.run(10_000)
    assert again.values[0] == 3


def test_hours_are_the_last_24_full_ones() -> None:
    meter = Meter()
    for hour in range(31):
        meter.forward.pulses += hour
        meter.run(HOUR_MS, 60_000)
    assert meter.values[5:] == tuple(range(7, 31))
    meter.forward.pulses += 100
    meter.now += 9 * HOUR_MS
    meter.look()
    assert meter.values[5 + 14 :] == (30, 100) + (0,) * 8


def test_hours_begin_with_those_of_utc() -> None:
    meter = Meter()
    meter.utc_ms = UTC_MS
    meter.look()
    for minute in range(180):
        meter.forward.pulses += minute < 43 or 103 <= minute < 163
        meter.run(60_000)
    assert meter.values[5 + 21 :] == (43, 0, 60)


def test_hours_go_on_over_a_restart_and_over_hours_without_power() -> None:
    meter = Meter()
    meter.utc_ms = UTC_MS
    meter.look()
    meter.forward.pulses += 5
    meter.run(50 * 60_000)  # 00:17 to 01:07
    meter.forward.pulses += 2
    meter.run(60_000)
    assert meter.values[-1] == 5
    after = Meter(meter.register.asset.totals())
    after.forward.pulses += 1  # before UTC is known again
    after.run(60_000)
    after.utc_ms = UTC_MS + 3 * HOUR_MS
    after.forward.pulses += 4
    after.run(60_000)  # 03:19
    assert after.values[5 + 20 :] == (0, 5, 7, 0)
    after.run(HOUR_MS)
    assert after.values[-1] == 0
    assert after.values[0] == 12


def test_a_clock_set_back_closes_no_hour_twice() -> None:
    meter = Meter()
    meter.utc_ms = UTC_MS
    for back_ms in (0, 2 * HOUR_MS, 0):
        meter.utc_ms = UTC_MS - back_ms
        meter.forward.pulses += 3
        meter.run(30_000)
    assert sum(meter.values[5:]) <= 9
    meter.run(2 * HOUR_MS)
    assert sum(meter.values[5:]) == 9


def test_water_that_never_rests_is_told_once() -> None:
    meter = Meter()
    meter.leak(20, 9 * HOUR_MS)
    assert meter.events == [(m.EV_CONTINUOUS_FLOW, 6)]
    assert meter.values[4] == water_meter.CONTINUOUS_FLOW
    meter.run(2 * HOUR_MS)
    assert meter.values[4] == 0
    meter.leak(20, 9 * HOUR_MS)
    assert len(meter.events) == 2


def test_a_litre_an_hour_is_found_within_a_day_or_two() -> None:
    meter = Meter()
    meter.leak(1, 26 * HOUR_MS)
    assert [code for code, _ in meter.events] == [m.EV_CONTINUOUS_FLOW]
    slower = Meter()
    slower.leak(0.85, 72 * HOUR_MS)
    assert slower.events == [], "below what a pulse of one litre lets anyone see"


def test_the_least_leak_goes_with_the_weight_of_a_pulse() -> None:
    coarse = Meter(litres=10)
    coarse.leak(10, 27 * HOUR_MS)
    assert [code for code, _ in coarse.events] == [m.EV_CONTINUOUS_FLOW]
    blind = Meter(litres=10)
    blind.leak(8.5, 72 * HOUR_MS)
    assert blind.events == []
    fine = Meter(per_litre=10)
    fine.leak(1, 26 * HOUR_MS)
    assert [code for code, _ in fine.events] == [m.EV_CONTINUOUS_FLOW]


def test_a_leak_shows_between_the_draws_of_a_household() -> None:
    """One litre an hour beside taps that open for ten minutes of each waking hour."""
    for leak_lph, expected in ((0, 0), (1.05, 1)):
        meter = Meter()
        drawn_l = 0.0
        for minute in range(3 * 24 * 60):
            hour = minute // 60 % 24
            drawn_l += leak_lph / 60
            if 7 <= hour < 23 and minute % 60 < 10:
                drawn_l += 3
            meter.forward.pulses = 40_000 + int(drawn_l)
            meter.run(60_000, 60_000)
        assert len(meter.events) == expected, leak_lph


def test_a_house_that_rests_has_no_leak() -> None:
    meter = Meter()
    for _ in range(16):
        meter.leak(100, 2 * HOUR_MS)
        meter.run(70 * 60_000)
    assert meter.events == []


def test_a_burst_is_told_after_half_an_hour() -> None:
    meter = Meter()
    meter.leak(rules.BURST_LPH * 1.1, 25 * 60_000)
    assert meter.events == []
    meter.leak(rules.BURST_LPH * 1.1, 10 * 60_000)
    assert meter.events[0][0] == m.EV_BURST
    assert rules.BURST_LPH <= meter.events[0][1] <= rules.BURST_LPH * 1.2
    assert meter.values[4] & water_meter.BURST
    meter.run(10 * 60_000)
    assert not meter.values[4] & water_meter.BURST


def test_a_bath_is_no_burst() -> None:
    meter = Meter()
    for _ in range(5):
        meter.leak(rules.BURST_LPH * 1.2, 15 * 60_000)
        meter.run(10 * 60_000)
    assert meter.events == []


def test_backflow_is_told_and_breathing_is_not() -> None:
    meter = Meter()
    for _ in range(20):  # four litres out and back, then a rest
        meter.forward.pulses += 4
        meter.backward.pulses += 4
        meter.run(2 * HOUR_MS, 60_000)
    assert meter.events == []
    meter.backward.pulses += 7
    meter.run(60_000)
    assert meter.events == [(m.EV_BACKFLOW, 7)]
    volume_l, _, backflow_l, _, alarms = meter.values[:5]
    assert (volume_l, backflow_l, alarms) == (80, 87, water_meter.BACKFLOW)
    meter.run(2 * HOUR_MS, 60_000)
    assert meter.values[4] == 0
    meter.backward.pulses += 5
    meter.run(60_000)
    assert len(meter.events) == 2


def test_a_wheel_that_turns_back_counts_as_backflow() -> None:
    wheel = Wheel()
    register = WaterRegister(Quadrature(wheel.first, wheel.second))
    register.begin(None, None)
    for tick in range(80):
        wheel.at += 1 if tick < 40 else -1
        register.tick(100 * tick, None)
    assert register.asset.totals()[:2] == (10, 10)
    assert register.asset.values()[3] == 0, "no cell, no voltage"


def test_a_cell_that_runs_low_is_told_once_until_it_is_another() -> None:
    meter = Meter()
    meter.run(HOUR_MS)
    meter.cell.millivolts = 3050
    meter.run(HOUR_MS)
    assert meter.events == [(m.EV_BATTERY_LOW, 3050)]
    assert meter.values[3:5] == (3050, water_meter.LOW_BATTERY)
    meter.cell.millivolts = 3150
    meter.run(HOUR_MS)
    assert meter.values[4] == water_meter.LOW_BATTERY
    meter.cell.millivolts = 3650
    meter.run(HOUR_MS)
    meter.cell.millivolts = 3000
    meter.run(HOUR_MS)
    assert len(meter.events) == 2


def test_a_magnet_is_told_once() -> None:
    meter = Meter()
    meter.run(60_000)
    for _ in range(5):
        meter.seal.swipe()
        meter.run(60_000)
    assert meter.events == [(m.EV_TAMPER, 1)]
    assert meter.values[4] == water_meter.TAMPER
    meter.run(2 * HOUR_MS)
    assert meter.values[4] == 0


class Silent:
    """The part of a board that `Store` uses."""

    def __init__(self, blobs: Nvs):
        self.nvs = blobs


class Journal:
    """No record waits."""

    pending = ()
    dirty = False

    def flush(self) -> bool:
        return True


def test_no_cut_of_nvs_counts_a_pulse_twice_or_loses_one_that_was_saved() -> None:
    """The power goes at each operation of ten saves, in each way; a node starts from the rest."""
    flash = RamFlash()
    blobs = Nvs(flash)
    meter = Meter()
    meter.utc_ms = UTC_MS
    keeper = store.Store(Silent(blobs), Journal(), meter.register, None, None)
    saved = [(0, 0)]
    flash.note = lambda: len(saved)
    before = bytearray(flash.image)
    for save in range(10):
        meter.forward.pulses += 11 + save
        meter.backward.pulses += 1
        meter.run(HOUR_MS // 2, 60_000)
        saved.append(meter.register.asset.totals()[:2])
        keeper.save()
    left = RamFlash()
    cuts = 0
    for entry in flash.log:
        new = entry[3] - 1
        for how in TEARS:
            left.image[:] = before
            tear(left.image, entry, how)
            totals = uptake.load_totals(Nvs(left))
            after = Meter(totals)
            after.forward.pulses += 3
            after.run(60_000)
            found = after.register.asset.totals()
            counted = (found[0] - 3, found[1])
            assert counted in saved[new - 1 : new + 1], (counted, saved, entry[:2])
            cuts += 1
        replay(before, entry)
    assert cuts > 100
    print("restarts after a cut:", cuts)


def test_a_blob_that_is_damaged_is_no_total() -> None:
    blobs = Nvs(RamFlash())
    nvs.set_checked(blobs, "totals", json.dumps((5, 6)).encode())
    blob = bytearray(blobs.get("totals"))
    assert uptake.load_totals(blobs) == (5, 6)
    blob[1] ^= 4
    blobs.set("totals", bytes(blob))
    assert uptake.load_totals(blobs) is None
    for sound in (b"", b"7", b"{", b"null"):
        nvs.set_checked(blobs, "totals", sound)
        assert uptake.load_totals(blobs) is None, sound
