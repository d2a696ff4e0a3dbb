"""A street whose lamps follow whoever moves along it: lamps, sensors, and what is asked."""

from __future__ import annotations

from dataclasses import dataclass

RISE_MS = 250  # of a lamp from 20 % to full: see the node's quick rise


@dataclass(frozen=True, slots=True)
class Corridor:
    """Lamps in their order along a street; each has a sensor that sees `sensor_range_m` both ways.

    What is asked: every lamp within `reach_m` of anybody is at `full_pct` while he is there.
    """

    lamps: tuple[str, ...]
    positions_m: tuple[float, ...]  # of each lamp along the street, rising
    sensor_range_m: float
    reach_m: float = 60.0
    beyond_m: float = 0.0  # how far the street goes on behind the last lamp
    full_pct: int = 100
    # From a decision to a lamp at full: a message that may be lost, and the rise.
    lead_ms: int = 600
    late_ms: int = 400  # from an edge until we know of it; what is later corrects us
    dating_ms: int = 2  # an edge is dated by so much after it at most
    hold_s: int = 30  # how long a lamp stays at full when we are heard of no more
    fall_ms: int = 2_000  # how long a lamp takes to fall: rests that are shorter are no rests
    busy_s: int = 3_600  # a sensor that sees somebody for longer is not believed
    sensor_misses: int = 1  # silent sensors in a row that somebody may pass unseen
    pace_change: float = 0.5  # from one sensor to the next; 0: everyone keeps his speed
    v_min_mps: float = 0.7
    v_max_mps: float = 40.0


def lead_ms(latency_ms: float, loss: float, every_ms: float, one_in: float = 1e-10) -> float:
    """How long a message may take that is sent again each `every_ms` until it is there, ms.

    `latency_ms`: of one copy; `loss`: the chance that one is lost; longer happens once in
    1 / `one_in` messages.
    """
    late, chance = latency_ms, loss
    while chance > one_in:
        late, chance = late + every_ms, chance * loss
    return late
