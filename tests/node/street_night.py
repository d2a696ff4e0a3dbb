"""A streetlight node through a night in virtual time, with everything around it failing.

Sense, Clock, LampHead, Schedule, Streetlight and Supervisor are the node's own; pole and sky are
here. Time goes in steps: a second around all that happens, up to a minute where nothing does.
What must hold is judged against an almanac of our own (`elevation`), not against kerbnode.sun.
"""

from math import asin, atan2, cos, degrees, pi, radians, sin

from kerbnode.assembly import SENSE_SILENCE_S
from kerbnode.assets.streetlight import OVERRIDE
from kerbnode.clock import Clock
from kerbnode.drivers.motion import Motion
from kerbnode.instruments.lamp_head import LampHead
from kerbnode.safe import Steady
from kerbnode.schedule import DAY_LUX, FROZEN_S, LAMPS_LUX, NIGHT_LUX
from kerbnode.sense import Sense
from kerbnode.settings import Settings
from kerbnode.sim import world
from kerbnode.store import Store
from kerbnode.supervisor import FIRST_WAIT_S, LONGEST_WAIT_S, Supervisor
from kerbwire import messages as m
from kerbwire.schema import STREETLIGHT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    Fault = tuple[str, int, int]  # what, from and until, in ms of the run

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
SWITCHING = -2.5  # degrees
PROFILE = ((-720, 100), (-120, 30), (180, 55), (300, 100))
DARK_MS = 1000  # no darkness longer than that
SLACK_MS = 60_000  # by which the schedule may be off
FADE_MS = 9000
STEP_MS = 60_000
BOOT_MS = 3000
OFFER_MS = 600_000
KINDS = (
    "link", "link", "power", "power", "no_cell", "silent_cell", "covered", "stuck", "blinded",
    "lie", "small_lie", "meter", "nvs", "safe", "raises", "headlights", "noisy", "no_position",
    "astray", "storm", "storm", "config", "config", "branch", "jammed",
)  # fmt: skip
CELL_KINDS = ("silent_cell", "covered", "stuck", "noisy", "blinded", "headlights", "raises")
STORM_MS = 1_200_000
FADES_MS = (0, 1, 200, 5000)
NIGHTS = ((-2.5, 0, 0), (-1.0, -20, 30), (0.3, 0, 0), (-2.5, -90, 0))  # none is shorter


class Dice:
    """The same on both interpreters."""

    def __init__(self, seed: int):
        self._state = (seed * 2_654_435_761 + 12_345) & 0xFFFF_FFFF
        for _ in range(8):
            self.below(2)

    def below(self, limit: int) -> int:
        self._state = (self._state * 1_664_525 + 1_013_904_223) & 0xFFFF_FFFF
        return (self._state >> 4) * limit >> 28

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)


def elevation(utc_s: float, latitude: float, longitude: float) -> float:
    """The Astronomical Almanac's low-precision formula: 0.01 degrees between 1950 and 2050."""
    days = (utc_s - 946_728_000) / 86_400
    anomaly = radians(357.528 + 0.9856003 * days)
    ecliptic = radians(280.460 + 0.9856474 * days + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    tilt = radians(23.439 - 0.0000004 * days)
    declination = asin(sin(tilt) * sin(ecliptic))
    ascension = atan2(cos(tilt) * sin(ecliptic), cos(ecliptic))
    hour = radians(280.46062 + 360.98564737 * days + longitude) - ascension
    north = radians(latitude)
    return degrees(asin(sin(north) * sin(declination) + cos(north) * cos(declination) * cos(hour)))


class Sky:
    """Nights of a place, by bisection; and the light on the ground under clouds."""

    def __init__(self, dice: Dice, start_ms: int, span_ms: int):
        self.place = self.choose(dice)
        self.turns: list[int] = []  # ms at which it gets night or day
        self._clouds = [dice.between(25, 100) for _ in range(24)]
        step_ms = 600_000
        before = self.is_night(start_ms - DAY_MS)
        self.night_first = before
        for at in range(start_ms - DAY_MS, start_ms + span_ms + DAY_MS, step_ms):
            after = self.is_night(at + step_ms)
            if after != before:
                low, high = at, at + step_ms
                while high - low > 500:
                    middle = (low + high) // 2
                    if self.is_night(middle) == before:
                        low = middle
                    else:
                        high = middle
                self.turns.append(high)
            before = after
        self.at = 0

    def choose(self, dice: Dice) -> "tuple[float, float]":
        """(latitude, longitude) in degrees."""
        return dice.between(-6000, 6400) / 100, dice.between(-18_000, 18_000) / 100

    def is_night(self, at_ms: int) -> bool:
        return elevation(at_ms / 1000, self.place[0], self.place[1]) < SWITCHING

    def night(self, at_ms: int) -> bool:
        """The same from the table; time goes on."""
        while self.at < len(self.turns) and self.turns[self.at] <= at_ms:
            self.at += 1
        return self.night_first == (self.at % 2 == 0)

    def from_turn(self, at_ms: int) -> int:
        """Milliseconds to the nearest dusk or dawn."""
        near = self.turns[max(0, self.at - 1) : self.at + 1]
        return min([abs(at_ms - turn) for turn in near]) if near else DAY_MS

    def minutes(self, at_ms: int) -> "int | None":
        """From the night's middle: the mean of dusk and dawn, which differ by seconds from it."""
        if not self.night(at_ms) or not 0 < self.at < len(self.turns):
            return None
        return (at_ms - (self.turns[self.at - 1] + self.turns[self.at]) // 2) // 60_000

    def lux(self, at_ms: int) -> int:
        clear = world.lux(at_ms, self.place[0], self.place[1])
        cloud = self._clouds[at_ms // HOUR_MS % 24]
        return clear * cloud // 100 + (at_ms // 1000 % 3 if clear > 200 else 0)


class Crystal:
    """An ESP32's, at true time: an offset in ppm, the day's swing, and age."""

    def __init__(self, dice: Dice):
        self.offset = dice.between(-40_000, 40_000) / 1e9
        self._swing = dice.between(0, 10_000) / 1e9
        self._phase = dice.between(0, 628) / 100
        self._season = dice.between(-8000, 8000) / 1e9 / (30 * DAY_MS)  # more each 30 days

    def ticks(self, span_ms: int) -> int:
        daily = 2 * pi / DAY_MS
        swing = self._swing * (cos(self._phase) - cos(daily * span_ms + self._phase)) / daily
        return int(span_ms + self.offset * span_ms + swing + self._season * span_ms * span_ms / 2)


class Pause:
    """What `tick_wait` awaits: the loop below is asked for so many milliseconds."""

    def __init__(self, ms: int):
        self._ms = ms

    def __await__(self) -> "Generator[int, None, None]":
        yield self._ms

    __iter__ = __await__


class RamNvs:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def get(self, name: str) -> "bytes | None":
        return self.blobs.get(name)

    def set(self, name: str, blob: bytes) -> None:
        self.blobs[name] = blob


class NoRecords:
    """Counts what the node would tell."""

    def __init__(self) -> None:
        self.events: list[tuple[int, ...]] = []

    def make(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        if kind == m.EVENT:
            self.events.append(values)


class Pole:
    """The board and what hangs on it. `now` is true UTC in ms; `output` what the lamp shows."""

    sky_of = Sky

    def __init__(self, seed: int, span_ms: int, head: type = LampHead):
        dice = self._dice = Dice(seed)
        self._head = head
        self.start = (
            1_735_689_600_000 + dice.below(9000) * DAY_MS + dice.below(DAY_MS // 1000) * 1000
        )
        self.end = self.start + span_ms
        self.now = self.start
        self.sky = self.sky_of(dice, self.start, span_ms)
        self.nvs = RamNvs()
        self.records = NoRecords()
        self.crystal = Crystal(dice)
        self.broken: list[str] = []  # what did not hold
        self.worst_ms = 0  # darkness by night
        self.output = 1000
        self.on = True
        self.motion = False
        self.profile = PROFILE
        self.lights: dict[str, object] = {"profile": PROFILE}  # of the settings
        self.longer = False  # is the night that is asked for
        self.orders = 0
        self._asked_ms = 0  # when it asks again
        self.faults = self._plan(span_ms)
        self._changed_ms = 0  # when they were others the last time
        # After a day that was none in the midst of a night only the sky's own light is day at once.
        doubted = [kind for kind, _, _ in self.faults if kind in CELL_KINDS]
        self._day_lux = 3 * LAMPS_LUX // 2 if doubted else 2 * DAY_LUX
        self._marks = sorted(
            [at for _, since, until in self.faults for at in (since, until)]
        )  # when something changes
        self._active: list[str] = []
        self._activate()
        self._sky_lux = 0
        self._ticks = (0, 0)
        self._frozen: int | None = None
        self._frozen_ms = 0  # when it froze
        self._boot = self.start
        self._cars = [self.start + dice.below(span_ms) for _ in range(4 + span_ms // DAY_MS)]
        self._cars.sort()
        self._moved_ms = -DAY_MS
        self._dark_ms: int | None = None
        self._toggles: list[int] = []
        self._clear_ms = 0  # since when nothing is wrong with what the lamp knows
        self._sure = False  # every offer of this boot told the truth
        self.unsure_ms = 0

    def _plan(self, span_ms: int) -> "list[Fault]":
        dice = self._dice
        found: list[Fault] = []
        for _ in range(dice.between(0, 4 + span_ms // (5 * DAY_MS))):
            kind = KINDS[dice.below(len(KINDS))]
            since = dice.below(span_ms)
            lasts = dice.between(5, 16 * 60) * 60_000
            if kind == "link" and span_ms > 10 * DAY_MS:
                lasts = dice.between(1, 25) * DAY_MS
            if kind == "storm":
                lasts = min(lasts, STORM_MS)
            if kind == "power":  # a bad contact: again and again
                for _ in range(dice.between(1, 12)):
                    off_ms = dice.between(200, 30_000)
                    found.append(("power", since, since + off_ms))
                    since += off_ms + dice.between(500, 400_000)
            else:
                found.append((kind, since, since + lasts))
        if dice.below(3) == 0:  # never a network
            found.append(("link", -1, span_ms + 1))
        return found

    def _activate(self) -> None:
        """Which faults there are now."""
        at = self.now - self.start
        while self._marks and self._marks[0] <= at:
            self._marks.pop(0)
            self._changed_ms = self.now
        self._active = [kind for kind, since, until in self.faults if since <= at < until]

    def has(self, kind: str) -> bool:
        return kind in self._active

    # What the node sees of its board.

    def monotonic_ms(self) -> int:
        if self._ticks[0] != self.now:
            self._ticks = (self.now, self.crystal.ticks(self.now - self.start))
        return self._ticks[1]

    def uptime_ms(self) -> int:
        return self.monotonic_ms() - self._boot_ticks

    def street_ms(self, utc_ms: int) -> int:
        return utc_ms

    def quiet(self) -> bool:
        return False

    def feed(self) -> None:
        pass

    async def tick_wait(self, ms: int) -> None:
        await Pause(ms)

    # Its drivers.

    def show(self, level: int) -> None:
        self.output = level

    def switch(self, *, on: bool) -> None:
        self.on = on

    def lux(self) -> "int | None":
        lux = self._sky_lux
        if self.has("raises"):
            raise ValueError("a driver's bug")
        if self.has("silent_cell"):
            return None
        if self.has("covered"):
            return 0
        if self.has("blinded"):
            return 400 + self.now // 1000 % 7
        if self.has("stuck") or self.has("noisy"):
            if self._frozen is None:
                self._frozen = lux
                self._frozen_ms = self.now
            noise = self.now // 1000 % 2 if self.has("noisy") else 0
            return self._frozen + noise
        self._frozen = None
        if self.has("headlights") and self.now // 1000 % 120 < 40:
            return lux + 300
        return lux

    def sample(self) -> "tuple[int, int, int] | None":
        lit = self.output if self.on else 0
        return None if self.has("meter") else (5 + lit * 6 // 10, 2300, 260)

    def take(self) -> bool:
        moved, self.motion = self.motion, False
        if self.has("jammed") or (self.has("branch") and self.now // 700 % 3):
            self._moved_ms = self.now
            return True
        return moved

    # What a gateway asks, sound or mad; never for darkness.

    def _storm(self) -> None:
        """A second of commands, in an order that none would give."""
        dice = self._dice
        for _ in range(dice.between(1, 30)):
            self.orders += 1
            op, args = m.OP_RELEASE, ()
            kind = dice.below(4)
            if kind == 0:
                op, args = m.OP_IDENTIFY, (dice.between(1, 3),)
            elif kind != 1:
                level, hold_s = dice.between(1, 100), dice.below(3) * 300
                op, args = m.OP_SET_LEVEL, (level, hold_s, FADES_MS[dice.below(4)])
            self.head.asset.command(op, args, self.uptime_ms())

    def _configure(self) -> None:
        """Other settings, which hold after a restart too."""
        dice = self._dice
        deg, dusk, dawn = NIGHTS[dice.below(len(NIGHTS))]
        self.longer = deg > SWITCHING or dusk < 0 or dawn > 0
        self.profile = tuple([(start, dice.between(1, 100)) for start, _ in PROFILE])
        self.lights = {
            "profile": self.profile,
            "night_deg": deg,
            "dusk_min": dusk,
            "dawn_min": dawn,
            "motion_pct": dice.between(1, 100),
            "motion_hold_s": dice.between(1, 50),
        }
        self.head.configure(self._settings())

    def _settings(self) -> Settings:
        given = {"node_id": "n", "asset": "streetlight", "position": self.place}
        given.update(self.lights)
        return Settings(given)

    # Time.

    def _offer(self) -> None:
        error = self._dice.between(-15, 15)
        if self.has("lie"):
            error = self._dice.between(1, 3) * 5 * HOUR_MS
            self._sure = False
        elif self.has("small_lie"):
            error = self._dice.between(-240, 240) * 1000
            self._sure = False
        self.clock.offer(self.now + error, self._dice.between(20, 60), self.monotonic_ms())

    def _start(self) -> "Generator[int, None, None]":
        """A boot: the lamp is lit by the board until the node's first tick."""
        self.output, self.on = 1000, True
        self._boot = self.now
        self._boot_ticks = self.monotonic_ms()
        self._toggles = []
        self._sure = True
        if self.has("nvs"):
            for name in self.nvs.blobs:
                self.nvs.blobs[name] = bytes([byte ^ 0x55 for byte in self.nvs.blobs[name]])
        self.clock = Clock(self.nvs)
        self.safe = self.has("safe")
        self.place: tuple[float, float] | None = self.sky.place
        if self.has("no_position"):
            self.place = None
        elif self.has("astray"):
            self.place = (self.sky.place[0], -self.sky.place[1])
        wanted = self._settings()
        head = Steady(STREETLIGHT)
        if not self.safe:
            self.no_cell = self.has("no_cell")
            head = self._head(
                dimmer=self,
                relay=self,
                light=None if self.no_cell else self,
                power=self,
                motion=Motion(self, warm_s=0),
            )
        head.begin(wanted, None)
        self.head = head
        store = Store(self, None, head, None, None)
        self.sense = Sense(self, self.clock, head, self.records, (), 900, store)
        self.supervisor = Supervisor(self)
        self.supervisor.add(self.sense, SENSE_SILENCE_S + STEP_MS // 1000)
        return self.sense.run()

    def run(self) -> None:
        """To the end, power cuts and all."""
        wait_s = FIRST_WAIT_S
        task = None
        self._step_ms = 1000
        offer_ms = 0
        while self.now < self.end:
            self.sky.night(self.now)
            self._sky_lux = self.sky.lux(self.now)
            if self.has("power"):
                if task is not None:
                    task.close()
                    task = None
                self.output, self._dark_ms = 0, None
                self._skip(STEP_MS)
                continue
            if task is None:
                self.output, self.on = 1000, True
                self._skip(BOOT_MS)
                if self.has("power"):
                    continue
                task = self._start()
                wait_s = FIRST_WAIT_S
                offer_ms = self.now + self._dice.between(1000, 20_000)
            if self.now >= offer_ms:
                offer_ms = self.now + OFFER_MS
                if not self.has("link"):
                    self._offer()
            if self._cars and self.now >= self._cars[0]:
                self._cars.pop(0)
                self.motion = True
                self._moved_ms = self.now
            if self.has("storm"):
                self._storm()
            if self.has("config") and not self.safe and self.now >= self._asked_ms:
                self._asked_ms = self.now + 3_600_000
                self._configure()
            try:
                task.send(None)
            except ValueError:  # as the supervisor does it
                task = self.sense.run()
                self._judge(crashed=True)
                self._skip(1000 * wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            if not self.supervisor.all_live(self.monotonic_ms()):
                task.close()  # the watchdog bites
                task = None
                continue
            self._judge(crashed=False)
            self._skip(min(self._next_ms(), max(100, offer_ms - self.now)))

        if task is not None:
            task.close()

    def _next_ms(self) -> int:
        """How long nothing can happen that a node would see in a tick of 100 ms."""
        if self.has("storm"):
            return self._dice.between(2, 2000)
        if self.head.asset.fading:
            return 200
        self._step_ms = min(STEP_MS, 2 * self._step_ms)
        near = 18_000 < self.now - self._moved_ms < 22_000
        if self.clock.known_ms(self.monotonic_ms()) is None:
            near = near or 25 <= self._sky_lux <= 45
        else:
            near = near or self.sky.from_turn(self.now) < 20_000
        return min(self._step_ms, 1000) if near else self._step_ms

    def _skip(self, ms: int) -> None:
        """Go on, but not past a change."""
        gone = ms
        if self._marks:
            gone = min(gone, self._marks[0] + self.start - self.now)
        if self._cars:
            gone = min(gone, self._cars[0] - self.now)
        turns = self.sky.turns
        if self.sky.at < len(turns):
            gone = min(gone, max(1000, turns[self.sky.at] - 19_000 - self.now))
        self.now += max(1, gone)
        if self._marks and self._marks[0] <= self.now - self.start:
            self._activate()
            self._step_ms = 1000

    # What must hold.

    def _fail(self, what: str) -> None:
        self.broken.append(
            "{} at {:.3f} h, place {}, faults {}".format(
                what, (self.now - self.start) / HOUR_MS, self.sky.place, self.faults
            )
        )

    def _judge(self, *, crashed: bool) -> None:
        lit = self.on and self.output > 0
        must = self._must_be_lit()
        if lit or not must:
            self._dark_ms = None
        else:
            if self._dark_ms is None:
                self._dark_ms = self.now
            dark_ms = self.now - self._dark_ms
            if dark_ms > self.worst_ms:
                self.worst_ms = dark_ms
            if dark_ms > DARK_MS and not self.broken:
                self._fail("dark for {} ms".format(dark_ms))
        if self.has("storm"):  # by day its commands and releases are light and none
            self._toggles = []
        if self._toggles and lit == bool(self._toggles[-1] & 1):
            pass
        else:
            self._toggles.append(self.now << 1 | lit)
            recent = [t for t in self._toggles[-4:] if self.now - (t >> 1) < 60_000]
            if len(recent) > 3:
                self._fail("flicker")
        if not crashed and not self.safe:
            self._judge_time()

    def _cell_is_sound(self) -> bool:
        if self.no_cell:
            return False
        return not any([kind in CELL_KINDS for kind in self._active])

    def _must_be_lit(self) -> bool:
        """By what the node can know: a true clock, a sound cell, or nothing at all."""
        if self.safe:
            return True
        known = self.clock.known_ms(self.monotonic_ms())
        off_ms = DAY_MS if known is None else abs(known - self.now)
        if off_ms <= SLACK_MS and self.place == self.sky.place:
            return self.sky.night(self.now) and self.sky.from_turn(self.now) > off_ms + 5000
        if self._cell_is_sound():
            return self._sky_lux < NIGHT_LUX and self._sky_lux >= 0 and self._settled(1000)
        if known is not None and self.place is not None:
            return False  # misled, and blind: no lamp can know
        shadowed = self.has("silent_cell") or self.has("covered")  # what `lux` looks at first
        frozen = self._frozen is not None and self._frozen >= NIGHT_LUX
        if not shadowed and (self.has("blinded") or frozen):
            since = max(self._frozen_ms, self._changed_ms)
            return self.now - since > 2 * FROZEN_S * 1000 + STEP_MS
        if self.has("headlights"):
            return False
        return self._settled(1000)

    def _settled(self, ms: int) -> bool:
        """Has nothing changed for so long?"""
        return self.now - self._changed_ms >= ms

    def _judge_time(self) -> None:
        now = self.monotonic_ms()
        utc_ms = self.clock.utc_ms(now)
        if utc_ms is None or not self._sure:
            return
        error_ms = abs(utc_ms - self.now)
        if error_ms > self.clock.uncertainty_ms(now) + 1:
            self._fail("{} ms off and sure of {}".format(error_ms, self.clock.uncertainty_ms(now)))
        self.unsure_ms = max(self.unsure_ms, error_ms)
        known = self.clock.known_ms(now)
        if error_ms > SLACK_MS and self.clock.rate_is_known:
            self._fail("the clock is {} ms off".format(error_ms))
        asset = self.head.asset
        if self.place != self.sky.place:
            return
        if known is None or error_ms > SLACK_MS or asset.fading or not self._cell_is_sound():
            return
        if self.has("storm") or asset.values()[5] & OVERRIDE:
            return
        if self.now - self._moved_ms < 60_000 or not self._settled(200_000):
            return
        if self.now - self._boot < 200_000 or self.sky.from_turn(self.now) < SLACK_MS + FADE_MS:
            return
        minutes = self.sky.minutes(self.now)
        if not self.sky.night(self.now):
            if (
                not self.longer
                and self._sky_lux > self._day_lux
                and asset.level
                and self.now % HOUR_MS > 5 * STEP_MS
            ):
                self._fail("lit by day at {}".format(asset.level))
        elif minutes is not None:
            slack = SLACK_MS // 60_000 + 1
            allowed = [_level(self.profile, minutes + shift) for shift in (-slack, 0, slack)]
            if asset.level not in allowed:
                self._fail("level {} at minute {}".format(asset.level, minutes))


def _level(profile: "tuple[tuple[int, int], ...]", minutes: int) -> int:
    return 10 * [pct for start, pct in profile if start <= minutes][-1]
