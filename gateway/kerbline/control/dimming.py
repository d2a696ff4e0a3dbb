"""Light on demand along a street: the lamps around a motion rise, and those ahead of a car.

Only raising is commanded. Each command carries its hold, and the node itself fades back to its
profile when that is over, so that a gateway that dies never leaves a street bright or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kerbline.control.moment import Moment
from kerbline.model import Command, Reading

VERSION = 1
STALE_MS = 5_000  # a motion older than this came from a backlog: the car is gone
TRACK_MS = 20_000  # the next lamp must see a car within this time for it to be the same car
FASTEST_MS = 400  # from lamp to lamp: 30 m at 270 km/h
LOOK_AHEAD_MS = 3_000  # a lamp that the car reaches within this time rises now
REACH = 3  # lamps beyond `ahead` that a fast car may raise
CARS = 8  # cars followed at once in one corridor; the oldest is forgotten
EXPIRY_MS = 3_000  # light that comes later than this lights nobody


@dataclass(frozen=True, slots=True)
class Corridor:
    """Lamps in their order along a street, and how they answer to motion."""

    lamps: tuple[str, ...]
    high_pct: int = 100
    ahead: int = 1  # neighbours on each side
    hold_s: int = 8
    fade_ms: int = 1500


@dataclass(frozen=True, slots=True)
class Car:
    """Somebody on the move: last seen at `lamp` (index), and the pace, once two lamps saw it."""

    lamp: int
    at_ms: int
    direction: int = 0  # +1 up the list of lamps, -1 down, 0 not known yet
    lamp_ms: int = 0  # from one lamp to the next


@dataclass(frozen=True, slots=True)
class State:
    """The cars of each corridor (by index), and until when each lamp is already held high."""

    cars: Mapping[int, tuple[Car, ...]] = field(default_factory=dict)
    held_until_ms: Mapping[str, int] = field(default_factory=dict)


def step(
    corridors: Sequence[Corridor], state: State, readings: Sequence[Reading], now: Moment
) -> tuple[State, tuple[Command, ...]]:
    """The state after `readings` (others than motions are passed over) and the commands."""
    cars = dict(state.cars)
    held = {lamp: until for lamp, until in state.held_until_ms.items() if until > now.street_ms}
    commands: list[Command] = []
    for reading in readings:
        if not is_fresh_motion(reading, now):
            continue
        for index, corridor in enumerate(corridors):
            if reading.asset not in corridor.lamps:
                continue
            lamp = corridor.lamps.index(reading.asset)
            cars[index], car = follow(cars.get(index, ()), lamp, seen_at_ms(reading, now))
            for target in reach(corridor, car):
                command = raise_lamp(corridor, corridor.lamps[target], car, held, now)
                if command is not None:
                    commands.append(command)
    return State(cars, held), tuple(commands)


def is_fresh_motion(reading: Reading, now: Moment) -> bool:
    """Is this an onset of motion that may still matter?"""
    age_ms = now.street_ms - reading.observed_at_ms - reading.uncertainty_ms
    return reading.kind == "event" and reading.values.get("event") == "motion" and age_ms < STALE_MS


def seen_at_ms(reading: Reading, now: Moment) -> int:
    """The likeliest instant of a motion: now, as near as its own interval allows.

    A live one has just happened, but nodes count uptime in seconds, too coarse for a pace.
    """
    earliest_ms = reading.observed_at_ms - reading.uncertainty_ms
    latest_ms = reading.observed_at_ms + reading.uncertainty_ms
    return min(max(now.street_ms, earliest_ms), latest_ms)


def follow(cars: Sequence[Car], lamp: int, at_ms: int) -> tuple[tuple[Car, ...], Car]:
    """The cars after a motion at `lamp`, and the one that it was: the nearest that can be it."""
    recent = [car for car in cars if at_ms - car.at_ms < TRACK_MS]
    same = [car for car in recent if can_be(car, lamp, at_ms)]
    known = min(same, key=lambda car: (abs(lamp - car.lamp), at_ms - car.at_ms), default=None)
    if known is None:
        car = Car(lamp, at_ms)
    elif known.lamp == lamp:
        car = Car(lamp, max(at_ms, known.at_ms), known.direction, known.lamp_ms)
    else:
        steps = abs(lamp - known.lamp)
        direction = 1 if lamp > known.lamp else -1
        car = Car(lamp, at_ms, direction, (at_ms - known.at_ms) // steps)
    others = [other for other in recent if other is not known]
    return (*others, car)[-CARS:], car


def can_be(car: Car, lamp: int, at_ms: int) -> bool:
    """Can the motion be this car: the same lamp, or one or two on (one may have missed it)?

    Not when it would have doubled its pace or gone beyond FASTEST_MS: that is another car.
    """
    distance = lamp - car.lamp
    if distance == 0:
        return True
    onward = car.direction == 0 or (distance > 0) == (car.direction > 0)
    least_ms = abs(distance) * max(car.lamp_ms // 2, FASTEST_MS)
    return onward and abs(distance) <= 2 and at_ms - car.at_ms >= least_ms


def reach(corridor: Corridor, car: Car) -> list[int]:
    """The lamps to be lit for a car, itself first, then outwards; a known pace looks further."""
    last = len(corridor.lamps) - 1
    extra = 0
    if car.direction and car.lamp_ms > 0:
        soon = -(-LOOK_AHEAD_MS // car.lamp_ms)
        extra = min(max(soon - corridor.ahead, 0), REACH)
    up = corridor.ahead + (extra if car.direction > 0 else 0)
    down = corridor.ahead + (extra if car.direction < 0 else 0)
    span = range(max(car.lamp - down, 0), min(car.lamp + up, last) + 1)
    return sorted(span, key=lambda lamp: abs(lamp - car.lamp))


def raise_lamp(
    corridor: Corridor, lamp: str, car: Car, held: dict[str, int], now: Moment
) -> Command | None:
    """The command that raises `lamp` or renews its hold; None while half of it is still to come.

    Notes the new hold in `held`.
    """
    hold_ms = 1000 * corridor.hold_s
    if held.get(lamp, 0) - now.street_ms > hold_ms // 2:
        return None
    held[lamp] = now.street_ms + hold_ms
    seen_by = corridor.lamps[car.lamp]
    pace = f" {car.direction:+d} at {car.lamp_ms} ms/lamp" if car.direction else ""
    return Command(
        id=f"dimming-{lamp}-{now.real_ms}",
        asset=lamp,
        operation="set_level",
        arguments={
            "level_pct": corridor.high_pct,
            "hold_s": corridor.hold_s,
            "fade_ms": corridor.fade_ms,
        },
        expires_at_ms=now.real_ms + EXPIRY_MS,
        source=f"control/dimming v{VERSION}: motion at {seen_by} {car.at_ms}{pace}",
    )
