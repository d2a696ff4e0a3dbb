"""The streetlight's steps: light that follows; and what no asset obeys."""

from kerbnode.assets import air_quality, streetlight, water_meter
from kerbnode.drivers import dali
from kerbnode.instruments.lamp_head import LampHead
from kerbnode.settings import Settings
from kerbwire import messages as m

HOUR_MS = 3_600_000
COARSE = 200  # below that, 1/1000 of the light is too much of a step to be held to one of DALI's
ARC_STEP = 1.029  # IEC 62386-102: 10 ** (3 / 253), and what rounding adds


class Lamp:
    """A streetlight in time: `run` ticks it and keeps the largest step of its level."""

    def __init__(self, tick_ms: int = 20) -> None:
        self.asset = streetlight.Streetlight()
        self.inputs = streetlight.Inputs()
        self.inputs.utc_known = True
        self.now = 0
        self.tick_ms = tick_ms
        self.inputs.scheduled_pct = 30
        self.events = []
        self.largest = 0  # step upward or downward, as a ratio
        self.arcs = 0  # the largest step in DALI's

    def run(self, span_ms: int) -> int:
        end = self.now + span_ms
        while self.now < end:
            self.now += min(self.tick_ms, self.asset.fading or self.tick_ms)
            before = self.asset.level
            self.inputs.power_dw = 5 + before * 6 // 10
            self.events += self.asset.step(self.now, self.inputs)
            high, low = max(self.asset.level, before), min(self.asset.level, before)
            if self.asset.fading and high > streetlight.FAINTEST:  # levels are rounded to 1/1000
                self.largest = max(self.largest, (high - 1) / max(low, streetlight.FAINTEST))
                if low >= COARSE:
                    self.arcs = max(self.arcs, dali.arc_power(high) - dali.arc_power(low))
        return self.asset.level

    def draw(self, power_dw: "int | None", span_ms: int, tick_ms: int = 100) -> None:
        """Draw that much, whatever the level."""
        self.inputs.power_dw = power_dw
        for _ in range(span_ms // tick_ms):
            self.now += tick_ms
            self.events += self.asset.step(self.now, self.inputs)


def test_motion_raises_holds_and_fades_back() -> None:
    lamp = Lamp()
    assert lamp.run(10_000) == 300
    lamp.inputs.motion = True
    assert lamp.run(40) > 300
    assert lamp.run(900) == 1000
    lamp.inputs.motion = False
    assert lamp.run(19_000) == 1000
    assert 300 < lamp.run(2000) < 1000
    assert lamp.run(2000) == 300
    assert lamp.events == [(m.EV_MOTION, 1), (m.EV_MOTION_CLEAR, 0)]
    assert 1 < lamp.largest <= ARC_STEP and lamp.arcs == 1


def test_a_rise_is_full_in_300_ms_in_steps_of_dali() -> None:
    for by_command in (False, True):
        lamp = Lamp()
        lamp.inputs.scheduled_pct = 20
        lamp.run(10_000)
        lamp.now += 100
        lamp.tick_ms = 2
        if by_command:
            lamp.asset.command(m.OP_SET_LEVEL, (100, 8, streetlight.RAISE_MS), lamp.now)
        lamp.inputs.motion = not by_command
        seen_ms = lamp.now
        assert 200 < lamp.run(2) < 210, "the first step comes with the first tick"
        while lamp.asset.level < 1000:
            lamp.run(2)
        assert lamp.now - seen_ms <= 150, "300 are allowed"
        assert lamp.arcs == 1


def test_a_sensors_edges_are_told_when_they_come() -> None:
    lamp = Lamp(100)
    lamp.run(10_000)
    told = []
    for high in (True, True, False, False, True, False):
        lamp.inputs.motion = high
        lamp.events.clear()
        lamp.run(1)
        told.append([code for code, _ in lamp.events])
    assert told == [[m.EV_MOTION], [], [m.EV_MOTION_CLEAR], [], [m.EV_MOTION], [m.EV_MOTION_CLEAR]]
    assert lamp.run(15_000) == 1000, "its own hold goes on"


def test_who_is_there_when_night_falls_is_told_and_told_to_be_gone_by_day() -> None:
    lamp = Lamp()
    lamp.inputs.night, lamp.inputs.motion = False, True
    lamp.run(5000)
    assert lamp.events == []
    lamp.inputs.night = True
    lamp.run(20)
    assert lamp.events == [(m.EV_MOTION, 1)] and lamp.asset.level > 300
    lamp.inputs.night = False
    lamp.run(5000)
    lamp.inputs.motion = False
    lamp.run(20)
    assert lamp.events[1:] == [(m.EV_MOTION_CLEAR, 0)]


def test_a_release_ends_the_lamps_own_hold_where_nobody_is() -> None:
    lamp = Lamp()
    lamp.run(10_000)
    lamp.inputs.motion = True
    lamp.run(500)
    lamp.asset.command(m.OP_RELEASE, (), lamp.now)
    assert lamp.run(3000) == 1000, "somebody is there"
    lamp.inputs.motion = False
    lamp.run(100)
    lamp.asset.command(m.OP_RELEASE, (), lamp.now)
    assert lamp.run(2100) == 300
    assert lamp.arcs == 1


def test_motion_asks_for_the_level_that_is_set_and_never_for_less_than_there_is() -> None:
    lamp = Lamp()
    lamp.asset.motion = 80, 5
    lamp.run(10_000)
    lamp.inputs.motion = True
    assert lamp.run(400) == 800
    lamp.asset.command(m.OP_SET_LEVEL, (90, 600, 0), lamp.now)
    assert lamp.run(400) == 900
    lamp.asset.command(m.OP_RELEASE, (), lamp.now)
    lamp.inputs.motion = False
    assert lamp.run(4500) == 800
    assert lamp.run(3000) == 300


def test_a_branch_in_the_wind_is_told_of_no_more_than_a_busy_street() -> None:
    lamp = Lamp(100)
    lamp.run(10_000)
    for second in range(3600):
        for _ in range(5):
            lamp.inputs.motion = not lamp.inputs.motion
            lamp.run(100)
        if second > 20:
            assert lamp.asset.level == 1000
    assert len(lamp.events) <= 2 * (1 + streetlight.BURST_MS // streetlight.EDGES_MS + 10)
    busy = Lamp(100)  # 20 cars a minute
    busy.run(10_000)
    for _ in range(400):
        busy.inputs.motion = True
        busy.run(700)
        busy.inputs.motion = False
        busy.run(2300)
    assert len(busy.events) == 800
    lamp.inputs.motion = False
    lamp.run(21_000)
    assert lamp.events[-1] == (m.EV_MOTION_CLEAR, 0), "it rests in the end"


def test_no_fade_has_a_visible_step() -> None:
    for start in (0, 1, 7, 30, 100):
        for end in (0, 1, 5, 64, 100):
            for fade_ms in (20, 700, 60_000):
                lamp = Lamp()
                lamp.asset.command(m.OP_SET_LEVEL, (start, 3600, 0), 0)
                lamp.run(100)
                lamp.asset.command(m.OP_SET_LEVEL, (end, 3600, fade_ms), lamp.now)
                lamp.run(fade_ms // 2)
                lamp.run(fade_ms // 2 + 8000)
                assert lamp.asset.level == end * 10
                assert lamp.largest <= ARC_STEP


def test_motion_hurries_a_fade_to_the_same_level() -> None:
    lamp = Lamp()
    lamp.run(10_000)
    lamp.inputs.scheduled_pct = 100
    assert 300 < lamp.run(500) < 500
    lamp.inputs.motion = True
    assert lamp.run(150) == 1000


def test_a_lamp_begins_as_bright_as_reset_left_it() -> None:
    lamp = Lamp()
    assert lamp.asset.level == 1000 and lamp.asset.lamp_on
    assert lamp.run(20) > 950
    lamp.inputs.scheduled_pct = 0
    assert lamp.run(6000) == 0


def test_motion_by_day_lights_nothing() -> None:
    lamp = Lamp()
    lamp.inputs.night, lamp.inputs.scheduled_pct = False, 0
    lamp.inputs.motion = True
    assert lamp.run(5000) == 0
    assert lamp.events == []


def test_a_command_overrides_until_its_hold_is_over() -> None:
    lamp = Lamp()
    lamp.run(10_000)
    assert lamp.asset.command(m.OP_SET_LEVEL, (80, 8, 1500), lamp.now) == m.OK
    assert 300 < lamp.run(700) < 800
    assert lamp.run(1000) == 800
    assert lamp.asset.values()[5] & streetlight.OVERRIDE
    assert lamp.run(6000) == 800
    assert lamp.run(5000) == 300
    assert lamp.largest <= ARC_STEP


def test_a_hold_of_zero_lasts_until_the_schedule_changes() -> None:
    lamp = Lamp()
    lamp.run(10_000)
    lamp.asset.command(m.OP_SET_LEVEL, (0, 0, 0), lamp.now)
    assert lamp.run(HOUR_MS // 10) == 0
    lamp.inputs.scheduled_pct = 100
    assert lamp.run(5000) == 1000


def test_release_gives_back_to_the_schedule() -> None:
    lamp = Lamp()
    lamp.asset.command(m.OP_SET_LEVEL, (90, 3600, 0), 0)
    assert lamp.run(100) == 900
    assert lamp.asset.command(m.OP_RELEASE, (), lamp.now) == m.OK
    assert lamp.run(5000) == 300


def test_wrong_arguments_and_operations_are_refused() -> None:
    lamp = Lamp()
    assert lamp.asset.command(m.OP_SET_LEVEL, (101, 0, 0), 0) == m.OUT_OF_RANGE
    assert lamp.asset.command(m.OP_SET_LEVEL, (1, 0), 0) == m.OUT_OF_RANGE
    assert lamp.asset.command(m.OP_IDENTIFY, (0,), 0) == m.OUT_OF_RANGE
    assert lamp.asset.command(99, (), 0) == m.UNSUPPORTED
    assert water_meter.WaterMeter().command(m.OP_RELEASE, (), 0) == m.UNSUPPORTED
    assert air_quality.AirQuality().command(m.OP_RELEASE, (), 0) == m.UNSUPPORTED


def test_identify_blinks_and_ends() -> None:
    lamp = Lamp(100)
    lamp.run(10_000)
    lamp.asset.command(m.OP_IDENTIFY, (2,), lamp.now)
    seen = [lamp.run(100) for _ in range(18)]
    assert 1000 in seen and 100 in seen
    assert lamp.run(6000) == 300


def test_energy_and_hours_add_up_over_a_restart() -> None:
    first = streetlight.Streetlight()
    inputs = streetlight.Inputs()
    inputs.power_dw = 605
    inputs.scheduled_pct = 100
    for minute in range(61):
        first.step(minute * 60_000, inputs)
    assert first.values()[2:4] == (60, 1)  # 60.5 Wh
    assert first.values()[6] == 3600
    second = streetlight.Streetlight(first.totals())
    for minute in range(61):
        second.step(minute * 60_000, inputs)
    assert second.values()[2:4] == (121, 2)


def test_a_lamp_that_draws_nothing_has_failed_once() -> None:
    lamp = Lamp()
    lamp.inputs.scheduled_pct = 100
    lamp.run(10_000)
    for _ in range(100):
        lamp.now += 100
        lamp.inputs.power_dw = 3
        lamp.events += lamp.asset.step(lamp.now, lamp.inputs)
    assert lamp.events == [(m.EV_LAMP_FAILURE, 3)]
    assert lamp.asset.values()[5] & streetlight.LAMP_FAILURE
    lamp.inputs.scheduled_pct = 0  # a day without light mends nothing ...
    lamp.draw(3, 50_000)
    assert lamp.asset.values()[5] & streetlight.LAMP_FAILURE
    lamp.inputs.scheduled_pct = 100
    lamp.draw(3, 50_000)
    assert lamp.events == [(m.EV_LAMP_FAILURE, 3)]
    lamp.draw(600, 50_000)  # ... a new lamp does
    assert lamp.events[1:] == [(m.EV_LAMP_RESTORED, 600)]
    assert not lamp.asset.values()[5] & streetlight.LAMP_FAILURE


def test_a_lamp_without_a_meter_is_not_judged() -> None:
    lamp = Lamp()
    lamp.inputs.scheduled_pct = 100
    lamp.draw(None, 100_000)
    assert lamp.events == [] and lamp.asset.values()[1] == 0


def test_a_lamp_that_is_off_and_draws_power_burns_by_day() -> None:
    lamp = Lamp()
    lamp.inputs.night, lamp.inputs.scheduled_pct = False, 0
    lamp.draw(400, 60_000)
    assert lamp.events == [] and lamp.asset.lamp_on
    lamp.draw(400, 10_000)
    assert not lamp.asset.lamp_on  # the relay is open: it should be dark by now
    lamp.draw(400, 120_000)
    assert lamp.events == [(m.EV_DAY_BURNER, 400)]
    assert lamp.asset.values()[5] & streetlight.DAY_BURNER
    lamp.draw(5, 1000)
    assert not lamp.asset.values()[5] & streetlight.DAY_BURNER


def test_a_lamp_that_goes_out_again_and_again_is_cycling() -> None:
    lamp = Lamp()
    lamp.inputs.scheduled_pct = 100
    for _ in range(12):
        lamp.draw(600, 100_000)
        lamp.draw(4, 60_000)
    codes = [code for code, _ in lamp.events]
    assert codes.count(m.EV_LAMP_CYCLING) == 1
    assert len(codes) <= 9  # and no more failures after that
    assert lamp.asset.values()[5] & streetlight.CYCLING
    lamp.draw(600, 3_700_000, 10_000)
    lamp.draw(600, 100_000)
    assert not lamp.asset.values()[5] & streetlight.CYCLING


def test_the_relay_rests_between_its_switchings() -> None:
    lamp = Lamp()
    closings = 0
    for _ in range(20):
        lamp.asset.command(m.OP_SET_LEVEL, (0, 3600, 0), lamp.now)
        for _ in range(500):
            before = lamp.asset.lamp_on
            lamp.run(20)
            closings += lamp.asset.lamp_on and not before
        lamp.asset.command(m.OP_SET_LEVEL, (80, 3600, 0), lamp.now)
        lamp.run(20)
        assert lamp.asset.lamp_on
    assert closings == 0
    lamp.asset.command(m.OP_SET_LEVEL, (0, 3600, 0), lamp.now)
    lamp.run(61_000)
    assert not lamp.asset.lamp_on
    lamp.inputs.motion = True
    lamp.run(20)
    assert lamp.asset.lamp_on and lamp.asset.level


def test_a_broken_sensor_is_told_when_it_lasts() -> None:
    lamp = Lamp(1000)
    lamp.inputs.faults = streetlight.LIGHT_FAULT
    lamp.run(30_000)
    lamp.inputs.faults = 0
    lamp.run(30_000)
    assert lamp.events == []
    lamp.inputs.faults = streetlight.LIGHT_FAULT | streetlight.POWER_FAULT
    lamp.run(100_000)
    assert lamp.asset.values()[5] & streetlight.SENSOR_FAULT
    lamp.inputs.faults = 0
    lamp.run(100_000)
    assert lamp.events == [(m.EV_SENSOR_FAULT, 3), (m.EV_SENSOR_FAULT, 0)]


class Shown:
    """A dimmer that keeps what it was told."""

    def __init__(self) -> None:
        self.outputs: list[int] = []

    def show(self, level: int) -> None:
        self.outputs.append(level)


def test_a_lamp_head_is_lit_before_its_first_tick() -> None:
    """A pin that can't be read, or was pulled the wrong way, must not dark it while it boots."""
    shown = Shown()
    LampHead(dimmer=shown)
    assert shown.outputs == [1000]


def test_constant_light_output_has_no_visible_step() -> None:
    for clo in (((0, 60), (1000, 100)), ((0, 100), (1000, 40))):
        shown = Shown()
        head = LampHead(dimmer=shown)
        wanted = Settings({"node_id": "n", "profile": [[-720, 100]], "clo": clo})
        head.begin(wanted, (0, 1000 * HOUR_MS - 200_000))
        for now in range(0, 400_000, 100):
            head.tick(now, None)
            if now == 150_000:
                assert shown.outputs[-1] == 10 * clo[0][1]
        assert shown.outputs[0] >= 999  # as the board's reset state left it
        assert shown.outputs[-1] == 10 * clo[1][1]
        for before, after in zip(shown.outputs, shown.outputs[1:]):
            assert max(before, after) <= 1.028 * min(before, after)
