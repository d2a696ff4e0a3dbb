"""What lamps are given for a night, as a decision that is kept, and back."""

from __future__ import annotations

import hashlib

from kerbline.control.light.calendar import Calendar
from kerbline.control.light.decision import Decision
from kerbline.control.light.profile import Limits, Stored
from kerbline.control.light.programs import Program
from kerbline.model import Value

SCHEDULE = "schedule"
PROGRAM = "program"


def given(
    at_ms: int, program: Program, calendar: Calendar, limits: Limits, why: str, stored: Stored
) -> Decision:
    """What a lamp of that program, calendar and limits keeps from a street time on, ms."""
    content = repr((program, calendar, limits)).encode()
    version = hashlib.sha256(content).hexdigest()[:8]
    inputs: dict[str, Value] = {
        "profile": tuple(number for step in stored.profile for number in step),
        "night_deg": stored.night_deg,
        "dusk_min": stored.dusk_min,
        "dawn_min": stored.dawn_min,
    }
    return Decision(at_ms, f"{PROGRAM} {program.name}", version, why, SCHEDULE, inputs=inputs)


def stored(decision: Decision) -> Stored | None:
    """What the lamps of such a decision kept; None where it is another one, or garbled."""
    inputs = decision.inputs
    flat, night_deg = inputs.get("profile"), inputs.get("night_deg")
    dusk_min, dawn_min = inputs.get("dusk_min"), inputs.get("dawn_min")
    if decision.operation != SCHEDULE or not isinstance(flat, tuple):
        return None
    if not isinstance(dusk_min, int) or not isinstance(dawn_min, int):
        return None
    if not isinstance(night_deg, int | float) or len(flat) % 2:
        return None
    numbers = [int(each) for each in flat]
    profile = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return Stored(profile, night_deg, dusk_min, dawn_min)
