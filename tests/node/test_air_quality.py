"""The air station: means, how complete they are, and what its sensors' troubles do to them."""

from kerbnode.assets import air_quality
from kerbnode.assets.air_quality import AirQuality
from kerbnode.drivers.ads1115 import Ads1115
from kerbnode.drivers.b4_cell import B4Cell, hundredth_n
from kerbnode.drivers.bme280 import Bme280
from kerbnode.drivers.pms5003 import Pms5003
from kerbnode.drivers.scd41 import Scd41
from kerbnode.drivers.sht4x import Sht4x
from kerbnode.drivers.sps30 import Sps30, framed
from kerbnode.instruments.air_station import AirStation
from kerbnode.settings import Settings
from kerbnode.sim import ads1115, b4_cell, bme280, pms5003, scd41, sht4x, sps30
from kerbnode.sim.i2c import Bus
from kerbnode.sim.noise import Noise
from kerbwire import messages as m
from kerbwire.schema import AIR_QUALITY
from node.metered import Clock
from wire.pair import Pair

ROUND_MS = 5000
HOUR_MS = 3_600_000
GOOD: "list[int | None]" = [70, 120, 210, 612, 134, 215, 447, 10_132, 301]
ALL = (0b111, 1 << 3, 0b11 << 5, 1 << 7, 1 << 4, 1 << 8)
SETTLED_MS = 7 * HOUR_MS


class Fed:
    """An asset that gets a sample each 5 s."""

    def __init__(self, period_s: int = 900, sources: "tuple[int, ...]" = ALL) -> None:
        self.asset = AirQuality(sources, 1000 * period_s)
        self.now = 0
        self.events: list[tuple[int, int]] = []
        self.count = 0
        self.sources = len(sources)

    def settle(self) -> None:
        """As if it had run for hours."""
        self.now = SETTLED_MS
        self.feed(1)
        self.asset.values()

    def feed(
        self,
        rounds: int,
        samples: "list[int | None]" = GOOD,
        *,
        frozen: bool = False,
        fan: int = 0,
    ) -> "list[tuple[int, int]]":
        events = []
        for _ in range(rounds):
            self.now += ROUND_MS
            self.count += not frozen
            events += self.asset.step(self.now, samples, (self.count,) * self.sources, fan)
        return events


def without(*fields: int) -> "list[int | None]":
    return [None if index in fields else value for index, value in enumerate(GOOD)]


def test_a_report_is_the_mean_of_whole_time() -> None:
    fed = Fed()
    fed.settle()
    assert fed.feed(90) == []
    assert fed.feed(90, [each and each + 11 for each in GOOD]) == []
    first = [each + 6 for each in GOOD if each is not None]
    assert fed.asset.values() == tuple(first[:8]) + (0, first[8])


def test_means_round_to_the_nearest_below_zero_too() -> None:
    fed = Fed(15)
    fed.settle()
    for celsius in (-4, -4, -3):
        fed.feed(1, GOOD[:5] + [celsius] + GOOD[6:])
    assert fed.asset.values()[5] == -4


def test_less_than_three_quarters_of_the_time_is_flagged() -> None:
    fed = Fed()
    fed.settle()
    fed.feed(135)
    fed.feed(45, without(1, 4))
    assert fed.asset.values()[8] == 0
    fed.feed(134)
    fed.feed(46, without(1, 4))
    assert fed.asset.values()[8] == 1 << 11 | 1 << 14 | 1 << 24, "the cell may have been off"
    fed.feed(180, without(1))
    values = fed.asset.values()
    assert (values[1], values[8]) == (0, 1 << 1 | 1 << 24), "no sample is no value"


def test_a_report_soon_after_the_start_is_incomplete() -> None:
    fed = Fed()
    fed.feed(60)
    status = fed.asset.values()[8]
    assert status & 1 << 15 and status & 1 << 10


def test_nothing_counts_until_the_sensor_is_warm() -> None:
    fed = Fed()
    assert fed.feed(5, without(0, 1, 2, 3)) == [], "what warms up has no fault"
    assert fed.asset.values()[8] & 0b1111 == 0b1111
    fed.feed(2)
    status = fed.asset.values()[8]
    assert status & 0b1111 == 0b1000, "particles after 30 s"
    fed.feed(5)
    assert fed.asset.values()[8] & 0b1111 == 0, "carbon dioxide after 60 s"


def test_a_cell_counts_at_once_and_is_marked_for_hours() -> None:
    fed = Fed()
    fed.feed(180)
    values = fed.asset.values()
    assert values[4] == 134 and values[9] == 301
    assert values[8] >> 20 == 1 << 4 | 1 << 8
    fed.now = 6 * HOUR_MS
    fed.feed(180)
    assert fed.asset.values()[8] == 0


def test_what_cannot_be_is_no_sample_and_four_in_a_row_a_fault() -> None:
    bad: tuple[tuple[int, int], ...] = (
        (0, 10_001),
        (1, -1),
        (3, 0),
        (3, 10_001),
        (4, 20_001),
        (5, -401),
        (5, 851),
        (6, 1001),
        (7, 2999),
        (7, 11_001),
        (8, -501),
    )
    for field, value in bad:
        fed = Fed()
        fed.settle()
        wrong = list(GOOD)
        wrong[field] = value
        assert fed.feed(3, wrong) == [], (field, value)
        assert fed.feed(1, wrong) == [(m.EV_SENSOR_FAULT, 1 << field)]
        assert fed.feed(20, wrong) == []
        assert fed.feed(1) == [(m.EV_SENSOR_FAULT, 0)]
        assert fed.asset.values()[field + (field == 8)] in (GOOD[field], 0)


def test_a_sensor_that_comes_back_warms_up_again() -> None:
    fed = Fed()
    fed.settle()
    assert fed.feed(4, without(0, 1, 2)) == [(m.EV_SENSOR_FAULT, 7)]
    fed.asset.values()
    assert fed.feed(6) == [(m.EV_SENSOR_FAULT, 0)]
    assert fed.asset.values()[8] & 7 == 7
    fed.feed(2)
    assert fed.asset.values()[8] & 7 == 0


def test_readings_that_never_move_are_no_readings() -> None:
    fed = Fed(600)
    fed.settle()
    assert fed.feed(119, frozen=True) == []
    assert fed.feed(1, frozen=True) == [(m.EV_SENSOR_STUCK, 0x1FF)]
    fed.asset.values()
    assert fed.feed(120, frozen=True) == []
    assert fed.asset.values()[8] == 0x1FF
    assert fed.feed(1) == [(m.EV_SENSOR_STUCK, 0)]
    assert fed.asset.values()[8] & 0x1FF == 0


def test_equal_values_from_a_sensor_that_moves_are_good() -> None:
    fed = Fed()
    fed.settle()
    assert fed.feed(400) == []


def test_a_fan_that_stands_takes_its_fields_away_and_says_so() -> None:
    fed = Fed()
    fed.settle()
    assert fed.feed(3, fan=2) == [(m.EV_FAN_FAILURE, 2)]
    assert fed.asset.values()[8] & 7 == 0, "a wrong speed is told, and its values too"
    assert fed.feed(3, fan=1) == [(m.EV_FAN_FAILURE, 1)]
    assert fed.asset.values()[8] & 7 == 7
    assert fed.feed(3) == [(m.EV_FAN_FAILURE, 0)]


def test_what_is_not_fitted_has_no_fault() -> None:
    fed = Fed(900, (0b111, 8, 0x60))
    assert len(fed.asset.values()) == AIR_QUALITY.width
    assert fed.feed(180, without(4, 7, 8)) == []
    assert fed.asset.values()[8] == 1 << 4 | 1 << 7
    assert fed.asset.SCHEMA is AIR_QUALITY


class Air:
    """What all chips of a station feel."""

    def __init__(self) -> None:
        self.noise = Noise(7)
        self.celsius = 21.5
        self.gases = (31.0, 14.0)  # NO2, O3 in ppb

    def particles(self) -> "tuple[int, ...]":
        return (7, 12, 21)

    def carbon(self) -> "tuple[int, int, int]":
        return (612, 215, 447)

    def climate(self) -> "tuple[float, float, float]":
        return self.celsius + self.noise.below(9) / 1000, 44.7, 987.3 + self.noise.below(9) / 1000

    def damp(self) -> "tuple[float, float]":
        return self.climate()[:2]

    def all_gases(self) -> "tuple[float, float, float]":
        return self.gases + (self.celsius,)


class Station:
    """A station with all its chips, ticked every 100 ms of their clock."""

    def __init__(self, *, plantower: bool = False) -> None:
        self.air = air = Air()
        self.clock = clock = Clock()
        self.no2 = b4_cell.B4Cell(air.all_gases, (223_000, 225_000), 309, 0, air.noise)
        self.o3 = b4_cell.B4Cell(air.all_gases, (237_000, 242_000), 429, 369, air.noise)
        self.carbon = scd41.Scd41(air.carbon, clock.now)
        self.converter = ads1115.Ads1115(self.volts, clock.now)
        self.bus = Bus(
            {
                0x44: sht4x.Sht4x(air.damp, clock.now),
                0x48: self.converter,
                0x62: self.carbon,
                0x76: bme280.Bme280(air.climate, clock.now),
            }
        )
        inputs = Ads1115(self.bus)
        no2 = B4Cell(inputs.channel(0), 223_000, 225_000, 309)
        self.sps30 = sps30.Sps30(air.particles, clock.now)
        if plantower:
            both = Bme280(self.bus)
            sensor = pms5003.Pms5003(air.particles, clock.now)
            self.station = AirStation(Pms5003(sensor), Scd41(self.bus), both, both, no2)
        else:
            o3 = B4Cell(inputs.channel(2), 237_000, 242_000, 369, 429)
            climate = Sht4x(self.bus)
            pressure = Bme280(self.bus)
            particles = Sps30(self.sps30)
            self.station = AirStation(particles, Scd41(self.bus), climate, pressure, no2, o3)
        self.station.begin(
            Settings({"node_id": "n", "asset": "air_quality", "report_s": 300}), None
        )
        self.asset = self.station.asset

    def volts(self, number: int) -> int:
        return (self.no2 if number < 2 else self.o3).microvolts(number & 1)

    def run(self, seconds: int) -> "list[tuple[int, int]]":
        events = []
        for _ in range(10 * seconds):
            self.clock.ms += 100
            events += self.station.tick(self.clock.ms, None)
        return events


def test_a_station_of_real_chips_reports_the_air() -> None:
    for plantower in (False, True):
        made = Station(plantower=plantower)
        assert made.run(300) == []
        made.asset.values()
        assert made.run(300) == []
        values = made.asset.values()
        assert values[:4] == (70, 120, 210, 612)
        assert abs(values[4] - 310) < 6, "NO2 to 0.6 ppb"
        assert abs(values[5] - 215) <= 1 and abs(values[6] - 447) <= 1
        assert abs(values[7] - 9873) <= 1
        cells = 1 << 24 if plantower else 1 << 24 | 1 << 28
        assert values[8] == cells
        assert len(values) == (9 if plantower else 10)
        if not plantower:
            assert abs(values[9] - 140) < 9, "and ozone, the NO2 that it feels taken off"
        assert made.carbon.hpa == 987, "carbon dioxide knows the pressure"


def test_no_tick_waits_and_a_round_takes_less_than_its_time() -> None:
    made = Station()
    made.run(90)
    written = []
    for _ in range(50):
        asked = made.sps30.asked
        made.clock.ms += 100
        made.station.tick(made.clock.ms, None)
        written.append(made.sps30.asked - asked)
    assert max(written) == 1 and sum(written) == 2


def test_a_cell_knows_warmth() -> None:
    assert [
        hundredth_n((13, 13, 13, 13, 10, 6, 4, 2, -15), c) for c in (-400, 0, 50, 100, 200)
    ] == [
        130,
        130,
        115,
        100,
        60,
    ]
    assert hundredth_n((9, 9, 10, 13, 15, 17, 20, 25, 37), 1000) == 368
    made = Station()
    for celsius in (-20.0, -7.5, 4.0, 18.0, 33.3):
        made.air.celsius = celsius
        made.run(300)
        made.asset.values()
        made.run(100)
        values = made.asset.values()
        assert abs(values[4] - 310) < 12, (celsius, values)
        assert abs(values[9] - 140) < 20, (celsius, values)


def test_a_dry_cell_takes_its_gas_away_and_ozone_with_it() -> None:
    made = Station()
    made.run(100)
    made.no2.dry = True
    assert made.run(30) == [(m.EV_SENSOR_FAULT, 1 << 4)]
    made.no2.dry = False
    assert made.run(30) == [(m.EV_SENSOR_FAULT, 0)]


def test_a_dead_bus_is_every_chip_on_it_and_comes_back() -> None:
    made = Station()
    made.run(100)
    made.bus.absent = True
    assert made.run(40)[-1] == (m.EV_SENSOR_FAULT, 0x1F8)
    made.bus.absent = False
    made.carbon.measuring = False
    events = made.run(120)
    assert events[-1] == (m.EV_SENSOR_FAULT, 0)


def test_a_sensor_that_cleans_itself_has_no_fault() -> None:
    for phase in range(0, 50, 7):
        made = Station()
        made.run(100)
        for _ in range(phase):
            made.clock.ms += 100
            made.station.tick(made.clock.ms, None)
        made.sps30.understand(framed(b"\x00\x56\x00"))
        assert made.run(60) == [], phase


def test_a_fan_of_the_station_fails_and_mends() -> None:
    made = Station()
    made.run(100)
    made.sps30.status = sps30.FAN
    assert made.run(10) == [(m.EV_FAN_FAILURE, 1)]
    made.sps30.status = 0
    assert made.run(10) == [(m.EV_FAN_FAILURE, 0)]
    made.sps30.frozen = True
    assert made.run(650) == [(m.EV_SENSOR_STUCK, 7)]
    made.sps30.frozen = False
    assert made.run(10) == [(m.EV_SENSOR_STUCK, 0)]


class Teaching(Pair):
    """A node with a schema that no gateway of this version knows."""

    def start_node(self) -> None:
        super().start_node()
        self.node.info.schema = air_quality.schema_of(ozone=1)
        self.node.info.schema_hash = self.node.info.schema.hash


def test_a_node_with_ozone_teaches_its_gateway_how_to_read_it() -> None:
    pair = Teaching()
    schema = air_quality.schema_of(ozone=1)
    made = Station()
    sent = []
    for _ in range(4):
        made.run(300)
        sent.append(made.asset.values())
        pair.make(values=sent[-1])
    assert pair.run(120_000, pair.drained)
    assert [pair.held[number] for number in (1, 2, 3, 4)] == sent
    learnt = [event for event in pair.gateway_events if event[0] == "SCHEMA"]
    assert learnt == [("SCHEMA", schema.hash, schema.encode(), b"")]
    known = pair.gateway.schema
    assert known is not None and known.name == "air_quality"
    assert [field.name for field in known.fields][8:] == ["status", "o3_ppb"]
    pair.restart_node()
    pair.make(values=sent[0])
    assert pair.run(120_000, pair.drained)
    assert pair.held[5] == sent[0]
