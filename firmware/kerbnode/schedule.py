"""When a streetlight burns and how bright: the sun, a photocell, the night's middle, a profile.

The lamp is lit when the sun or the cell says night, and when nothing is known: a street is never
dark because a clock is lost or a cell is broken. docs/understand/lighting.md has the whole table.
"""

from kerbnode import loaded

DAY_S = 86_400
NIGHT_LUX = 35  # EN 13201 practice: on at 35 lx ...
DAY_LUX = 70  # ... and off at twice that, so that the lamp's own light never toggles it ...
DAY_AFTER_S = 120  # ... for so long: no headlight and no lightning is day ...
LATER_S = 3600  # ... and so much later where no night came before: it may be the lamp's own light
FULL_PCT = 100
SHORT_NIGHT_S = 3 * 3600  # a shorter darkness was a storm or a covered sensor
FRESH_NIGHTS_S = 3 * DAY_S  # dusk and dawn learnt before that say nothing any more
FROZEN_S = 600  # daylight changes: a cell without a clock that does not is no witness of day
LAMPS_LUX = 1000  # lamps of all kinds give less; daylight below it comes and goes at dusk and dawn
LONG_DAY_S = 20 * 3600  # the longest at 60 degrees; beyond them a summer's lamp needs a position
DEEP_S = 3600  # a cell that sees day so far inside the night, the sun's or a learnt one, is broken
SILENT = 1
COVERED = 2  # dark from one day to the next, and the sun is up
BLINDED = 4  # bright deep in the night
ASTRAY = 16  # not the cell: position or UTC are against it, by day and by night
ODD_DAYS = 2  # in a row, and the sun is not relied on
OVERLAP_S = 60  # a solar midnight is at most half of that more or less than a day after the last


def level(steps: "tuple[tuple[int, int], ...]", at: "int | None") -> int:
    """The percentage of the last step that starts at or before `at`; full when unknown.

    A dimming profile in minutes from the night's middle, or constant light output in lamp hours.
    """
    if at is None:
        return FULL_PCT
    current = steps[-1][1]  # before the first step the last one of the day before holds
    for start, pct in steps:
        if at < start:
            break
        current = pct
    return current


class VirtualMidnight:
    """The middle of the night, learnt from dusk and dawn on the clock since boot."""

    __slots__ = ("_dusk_s", "_middle_s", "_night", "half_s")

    def __init__(self) -> None:
        self._night: bool | None = None
        self._dusk_s: int | None = None
        self._middle_s = -FRESH_NIGHTS_S
        self.half_s = 0  # from there to dawn

    def see(self, uptime_s: int, *, night: bool) -> None:
        """What the light sensor says now."""
        if self._night is False and night:
            self._dusk_s = uptime_s
        if self._night and not night and self._dusk_s is not None:
            if uptime_s - self._dusk_s >= SHORT_NIGHT_S:
                self.half_s = (uptime_s - self._dusk_s) // 2
                self._middle_s = uptime_s - self.half_s
            self._dusk_s = None
        self._night = night

    def minutes(self, uptime_s: int) -> "int | None":
        """Minutes from the nearest night's middle, or None when no recent night was seen whole."""
        if uptime_s - self._middle_s >= FRESH_NIGHTS_S:
            return None
        return (uptime_s - self._middle_s + DAY_S // 2) % DAY_S // 60 - 720


class Photocell:
    """What a light sensor may be believed: `dark` is None while it says nothing sound.

    Where no sun contradicts it, its day must live: what stays nearly the same is a lamp's light or
    a broken cell, and is doubted until there is a dark reading, or movement that no lamp makes.
    """

    __slots__ = (
        "_bright_s",
        "_dark_s",
        "_dim_s",
        "_lux",
        "_moved_s",
        "_since_s",
        "dark",
        "fault",
    )

    def __init__(self) -> None:
        self.dark: bool | None = None
        self.fault = 0  # SILENT, COVERED or BLINDED, and so until it has shown the contrary
        self._lux = -1
        # When it moved away from `_lux` the last time, doubted where that is FROZEN_S ago.
        self._moved_s = -FROZEN_S
        self._dark_s = 0  # when it was dark the last time
        self._since_s: int | None = None  # bright since then or a later time, and counts as dark
        self._bright_s = -SHORT_NIGHT_S  # when it was day the last time
        self._dim_s = 0  # when it was no more than a lamp gives

    def look(
        self,
        uptime_s: int,
        lux: "int | None",
        sun_s: "int | None",
        is_deep: bool,  # noqa: FBT001 - by keyword it is 30 bytes more
    ) -> None:
        """One reading; `sun_s` is how long the sun's night lasts or will last, negative by day.

        `is_deep`: sun, or learnt night, are so far from dusk and dawn that it can't be day.
        """
        if lux is None:
            self.dark = None
            self.fault = SILENT
            return
        is_sky = lux >= LAMPS_LUX
        self._dim_s = self._dim_s if is_sky else uptime_s
        if abs(lux - self._lux) > lux >> (9 if is_sky else 5):
            if self._lux >= 0 and (is_sky or uptime_s - self._moved_s < FROZEN_S):
                self._moved_s = uptime_s
            self._lux = lux
        if lux < (NIGHT_LUX if self.dark is False else DAY_LUX):
            self.dark = True
            self._since_s = None
            self._moved_s = self._dark_s = uptime_s
            self.fault &= COVERED
            if sun_s is not None and sun_s < 0 and uptime_s - self._bright_s > DAY_S:
                self.fault = COVERED
            if self.fault:
                self.dark = None
            return
        if self.dark is not False:
            if self._since_s is None:
                self._since_s = uptime_s + LATER_S * (uptime_s - self._bright_s < SHORT_NIGHT_S)
            if uptime_s - min(self._since_s, self._dim_s) >= DAY_AFTER_S:
                self.dark = False
        self._bright_s = self._bright_s if self.dark else uptime_s
        self.fault &= BLINDED
        if is_deep or (sun_s is None and uptime_s - self._dark_s > LONG_DAY_S):
            self.fault = BLINDED
        if self.fault:
            self._moved_s = -FROZEN_S
        if sun_s is None and uptime_s - self._moved_s >= FROZEN_S:
            self.dark = None
            if self._moved_s >= 0:  # from here on it must move, not from where it was long ago
                self._moved_s = -FROZEN_S
                self._lux = lux


class Schedule:
    """The level that the time of night asks for; `configure` it before the first step."""

    __slots__ = (
        "_cell",
        "_halves",
        "_lead_s",
        "_learnt",
        "_midnight_s",
        "_odd_days",
        "_position",
        "_seen",
        "_wanted",
        "cell_fault",
        "night",
        "profile",
    )

    def __init__(self, position: "tuple[float, float] | None", lead_s: int):
        self._position = position
        self._lead_s = lead_s  # so much sooner than others, lest a street's inrush add up
        self._learnt = VirtualMidnight()
        self._cell = Photocell()
        self._midnight_s = 0  # the middle of the night nearest to now
        self._seen = 0  # since then: bits of (sun's day, night) x (bright, dark)
        self._odd_days = 0  # in a row
        self.night = True
        self.cell_fault = 0  # SILENT, COVERED or BLINDED; ASTRAY beside it

    def configure(
        self, profile: "tuple[tuple[int, int], ...]", night: "tuple[float, int, int]"
    ) -> None:
        """From now on; `night` is as in kerbnode.settings."""
        self.profile = profile
        self._wanted = night
        self._halves: tuple[int, int, int] | None = None  # of the night, and dark: kerbnode.sun

    def step(self, uptime_s: int, utc_s: "int | None", lux: "int | None") -> int:
        """The level in percent now; None for what is not known (UTC) or broken (lux)."""
        cell = self._cell
        sun_s = None
        night = False
        minutes = self._learnt.minutes(uptime_s)
        is_deep = minutes is not None and self._learnt.half_s - abs(minutes) * 60 > DEEP_S
        if utc_s is not None and self._position is not None:
            at_s = utc_s - self._midnight_s  # small from here on: UTC has more than 30 bits
            is_over = abs(at_s) > DAY_S // 2 + OVERLAP_S
            if is_over or self._halves is None:
                from kerbnode import sun  # once a day, and not in memory in between

                self._midnight_s, self._halves = sun.night(utc_s, self._position, self._wanted)
                at_s = utc_s - self._midnight_s
                if is_over:
                    self._odd_days = sun.odd_days(self._odd_days, self._seen)
                    self._seen = 0
                loaded.forget("kerbnode", ("sun",))
            before_s, after_s, dark_s = self._halves
            night = -self._lead_s - before_s <= at_s <= after_s
            sun_s = dark_s - abs(at_s)
            is_deep = sun_s > DEEP_S
            minutes = at_s // 60
        cell.look(uptime_s, lux, sun_s, is_deep)
        astray = self._odd_days >= ODD_DAYS
        self.cell_fault = cell.fault + ASTRAY * astray
        dark = cell.dark
        if dark is None:
            dark = sun_s is None or astray
        else:
            self._learnt.see(uptime_s, night=dark)
            if sun_s is not None and abs(sun_s) > DEEP_S:
                self._seen |= 1 << (2 * (sun_s > 0) + dark)
        self.night = dark or night
        if not self.night:
            return 0
        return level(self.profile, minutes)
