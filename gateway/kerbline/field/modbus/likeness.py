"""Which profile a unit is like: its registers are there, and their values make sense.

A guess, for a person to confirm at the device's plate: two meters with one register map look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kerbline.config import Register
from kerbline.config.faults import ConfigFault
from kerbline.config.modbus import BIT_TABLES
from kerbline.config.profiles import Profile, Profiles
from kerbline.field.modbus.line import Master
from kerbline.model import Value
from kerbline.south.modbus.decode import Decoder
from kerbline.south.modbus.framing import READS, BusFault, Refused, Request
from kerbline.south.modbus.plan import Limits, Read, plan

MAX_READS = 8  # of one profile: those with the most registers tell the most
FITS = 0.5  # below that it is no likeness
NAMED = 0.5  # what the maker's name in the device's own words is worth
SENSE = 1.0  # a value that its unit leads one to expect
NO_SENSE = -1.0
PRESENT = 0.3  # a bit, or a number that could be anything
ABSENT = -1.0
# What the last word of a name leads one to expect, besides 0; zeros say nothing.
EXPECTED: Mapping[str, tuple[float, float]] = {
    "v": (5.0, 1_000.0),
    "hz": (1.0, 400.0),
    "a": (1e-3, 6_000.0),
    "w": (0.1, 1e7),
    "kw": (1e-3, 1e4),
    "va": (0.1, 1e7),
    "kva": (1e-3, 1e4),
    "var": (0.1, 1e7),
    "kvar": (1e-3, 1e4),
    "kwh": (1e-3, 1e9),
    "wh": (1.0, 1e12),
    "kvarh": (1e-3, 1e9),
    "varh": (1.0, 1e12),
    "pct": (0.05, 200.0),
    "c": (0.1, 150.0),
    "m3h": (1e-3, 1e4),
    "m3": (1e-3, 1e8),
    "mps": (1e-3, 20.0),
    "rpm": (1.0, 20_000.0),
    "hours": (0.1, 1e6),
    "factor": (0.01, 1.0),
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """A profile and how well a unit fits it: up to 1, and more where it says so itself."""

    profile: str
    title: str
    score: float


async def nearest(
    master: Master, unit: int, profiles: Profiles, words: str, timeout_s: float
) -> Likeness | None:
    """The profile that a unit is most like, None where none fits; `words` are its own of itself."""
    found = []
    for name in profiles.names():
        try:
            profile, registers = profiles.get(name)
        except ConfigFault:  # one of the user's own; `profile check` says what is wrong with it
            continue
        score = await _score(master, unit, profile, registers, timeout_s)
        score += NAMED * (profile.about.maker.split()[0].lower() in words.lower())
        found.append(Likeness(name, profile.about.title, score))
    best = max(found, key=lambda each: each.score, default=None)
    return best if best is not None and best.score >= FITS else None


async def _score(
    master: Master, unit: int, profile: Profile, registers: Iterable[Register], timeout_s: float
) -> float:
    """The mean of what each register tells; a unit that does not answer at all is not like it."""
    limits = profile.limits
    reads = plan(registers, Limits(limits.max_words, limits.max_bits, limits.max_gap))
    points: list[float] = []
    for each in _fullest(reads):
        try:
            points += await _told(master, unit, each, timeout_s)
        except BusFault:
            return ABSENT
    return sum(points) / len(points)


def _fullest(reads: Iterable[Read]) -> list[Read]:
    return sorted(reads, key=lambda read: -len(read.registers))[:MAX_READS]


async def _told(master: Master, unit: int, read: Read, timeout_s: float) -> list[float]:
    """What each register of a read tells; a device may refuse the gaps between them alone."""
    request = Request(unit, READS[read.table], read.address, read.count)
    try:
        values, _ = Decoder(read).decode((await master.transact(request, timeout_s)).words)
    except Refused:
        parts = _fullest(plan(read.registers, Limits(max_gap=0)))
        absent = [ABSENT] * len(read.registers)
        if parts[0].registers == read.registers:
            return absent
        points = await _told(master, unit, parts[0], timeout_s)
        if points == [ABSENT] * len(points):
            return absent
        for part in parts[1:]:
            points += await _told(master, unit, part, timeout_s)
        return points
    return [_points(register, values) for register in read.registers]


def _points(register: Register, values: Mapping[str, Value]) -> float:
    value = values.get(register.name)
    if register.table in BIT_TABLES or register.type in ("bool", "bits"):
        return PRESENT
    if isinstance(value, str):
        return SENSE
    if not isinstance(value, int | float) or value == 0:
        return 0.0  # the device says that it has none, or nothing at all
    expected = EXPECTED.get(_unit(register.name))
    if expected is None:
        return PRESENT if register.type != "float32" or 1e-6 < abs(value) < 1e12 else NO_SENSE
    low, high = expected
    return SENSE if low <= abs(value) <= high else NO_SENSE


def _unit(name: str) -> str:
    """The last word that is no number or phase: power_factor_l1 is a factor."""
    words = name.split("_")
    if "factor" in words:
        return "factor"
    return words[-1]
