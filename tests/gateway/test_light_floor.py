"""Whatever a program says and wherever its lamps stand: by night no node shows less than the class.

The node's settings take what was compiled, its schedule is stepped minute by minute, and the sun is
the independent checker's.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kerbline.agent.light.programs import Sky, values
from kerbline.control.light.classes import Floor, Segment
from kerbline.control.light.limits import Cap
from kerbline.control.light.profile import Limits, compiled
from kerbline.control.light.programs import (
    DAWN,
    DUSK,
    OPERATIONS,
    Absolute,
    AstroClock,
    AstroTime,
    FixedTime,
    Motion,
    Night,
    Period,
    Program,
)
from kerbnode import checking, settings
from kerbnode.schedule import Schedule
from kerbwire import messages as m
from tests.light_checker import elevation_deg
from tests.node.test_settings import changed, stored

PLACES = (
    (52.37, 4.9, "Europe/Amsterdam"),
    (1.3, 103.8, "Asia/Singapore"),
    (-33.9, 151.2, "Australia/Sydney"),
    (40.4, -3.7, "Europe/Madrid"),  # an hour and more behind its sun
    (64.1, -21.9, "Atlantic/Reykjavik"),
    (-45.9, 170.5, "Pacific/Auckland"),
    (69.6, 18.9, "Europe/Oslo"),
)
NIGHTS = 25
SURE_DEG = 0.1  # a minute of the sun at 65 degrees, and what two formulas differ by


def any_program(chance: Random) -> Program:
    """With all that a program may have."""
    periods: list[Period] = []
    for _ in range(chance.randrange(3)):
        if chance.random() < 0.5:
            periods.append(Absolute(chance.randrange(1440), chance.randrange(1440)))
        else:
            dusk_min, dawn_min = chance.randrange(-120, 121), chance.randrange(-120, 121)
            periods.append(AstroClock(dusk_min, dawn_min, chance.choice((-0.8333, -6.0, 0.5))))
    fixed = [
        FixedTime(at, chance.randrange(0, 101, 10))
        for at in sorted(chance.sample(range(1440), chance.randrange(5)))
    ]
    astro = [
        AstroTime(
            chance.choice((DUSK, DAWN)),
            chance.randrange(-200, 201),
            chance.choice(list(OPERATIONS)),
            chance.randrange(101),
        )
        for _ in range(chance.randrange(3))
    ]
    motion = Motion(chance.randrange(101), 20) if chance.random() < 0.5 else None
    return Program("any", tuple(periods), tuple(fixed), tuple(astro), motion)


def least(segment: Segment, of: Night) -> dict[int, int]:
    """The floor of each minute by its local time, walked through from two days before."""
    floor = 0
    found = {}
    for at in range(of.begin_s // 60 * 60 - 2 * 86_400, of.end_s + 60, 60):
        local = datetime.fromtimestamp(at, of.zone)
        minute = local.hour * 60 + local.minute
        floor = next((e.level_pct for e in segment.floors if e.from_min == minute), floor)
        found[at] = floor
    return found


@pytest.mark.parametrize("place", PLACES, ids=[zone for _, _, zone in PLACES])
def test_no_night_is_darker_than_its_class(place: tuple[float, float, str]) -> None:
    latitude, longitude, name = place
    chance = Random(name)
    zone, sky = ZoneInfo(name), Sky((latitude, longitude))
    minutes = 0
    for _ in range(NIGHTS):
        on = date(2026, 1, 1) + timedelta(days=chance.randrange(3650))
        late = datetime(on.year, on.month, on.day, 23, 59, tzinfo=zone)
        night_deg = chance.choice((-2.5, 0.0, -6.0))
        of = Night(sky.midnight(int(late.timestamp())), sky, zone, night_deg)
        begins = sorted(chance.sample(range(1440), chance.randrange(1, 4)))
        segment = Segment("road", tuple(Floor(at, chance.randrange(5, 101, 5)) for at in begins))
        cap = Cap("feeder", {"lamp": 60.0, "other": 90.0}, chance.uniform(5, 150), *begins[:2])
        if len(begins) < 2:
            cap = Cap("feeder", {"lamp": 60.0, "other": 90.0}, chance.uniform(5, 150))
        limits = Limits(segment, (cap,) if chance.random() < 0.5 else (), {"lamp": segment})
        program = any_program(chance)

        store = stored(changed(position=[latitude, longitude]))
        kept = settings.load(store)
        told = values(compiled(program, limits, of), ())
        assert checking.configure(store, kept, 1, told) == m.OK, (program, told)
        schedule = Schedule((latitude, longitude), 0)
        schedule.configure(kept.profile, kept.night)
        floors = least(segment, of)
        times = np.arange(of.begin_s + 90, of.end_s - 90, 60)
        heights = elevation_deg(times.astype(float), latitude, longitude)
        for at, height in zip(times.tolist(), heights.tolist(), strict=True):
            level = schedule.step(at - of.begin_s, at, None)
            if height < night_deg - SURE_DEG:
                minutes += 1
                assert level >= floors[at // 60 * 60], (program, on, at, told)
    assert minutes > 1000
