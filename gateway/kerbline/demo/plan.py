"""When things happen in the demo: a pure function of how long it may last."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kerbline.clock import StreetRow, StreetTable
from kerbline.sim.street import SPACING_M, Car, Street

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FAST = 3600.0  # an hour a second
EVENING_MS = 22 * HOUR_MS + HOUR_MS // 2  # UTC: night in Amsterdam on every day of the year
WHOLE_S = 25.0  # a shorter run is for tests: it breaks things for a shorter while


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds after the nodes' start, and the street that goes with them."""

    seconds: float
    start_real_ms: int
    command_s: float  # the latest moment for all sessions to be up
    car_s: float
    fast_s: float
    cut_s: float  # a node loses power ...
    cut_for_s: float
    outage_s: float  # the broker is killed ...
    outage_for_s: float
    second_command_s: float
    stop_s: float  # sources stop
    street: Street

    def real_ms(self, seconds: float) -> int:
        """Real UTC at `seconds` after the start, ms."""
        return self.start_real_ms + round(1000 * seconds)


def slack() -> float:
    """How many times longer than usual this machine may take to start things, 1 to 3."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), 3.0)


def plan(seconds: float, start_real_ms: int, lamps: int, boot_s: float) -> Plan:
    """The story told in `seconds` from `start_real_ms` (UTC) on; the nodes get `boot_s` to boot."""
    whole = seconds >= WHOLE_S
    command_s = boot_s
    car_s = command_s + 1.5
    drive_s = min(max(seconds / 5 + 1, 6.0), 13.0) * (lamps + 1) / 7
    fast_s = car_s + drive_s + 0.5
    stop_s = seconds + max(boot_s - 3, 0) - max(0.15 * seconds, 3.0)
    day_s = stop_s - fast_s
    cut_s, cut_for_s = fast_s + 0.12 * day_s, 3.0 if whole else 1.0
    outage_for_s = 5.0 if whole else 1.5
    outage_s = max(stop_s - outage_for_s - 1.5 - max(day_s - 13, 0) / 2, cut_s + cut_for_s)

    def real(at_s: float) -> int:
        return start_real_ms + round(1000 * at_s)

    evening = start_real_ms // DAY_MS * DAY_MS - DAY_MS + EVENING_MS
    begins_fast = evening + round(1000 * fast_s)
    fast_ms = real(stop_s) - real(fast_s)  # of rounded ends, or street time would turn back
    clock = StreetTable(
        (
            StreetRow(start_real_ms, evening, 1.0),
            StreetRow(real(fast_s), begins_fast, FAST),
            StreetRow(real(stop_s), begins_fast + round(fast_ms * FAST), 1.0),
        )
    )
    car = Car(clock.street_ms(real(car_s)), 0, round((lamps + 1) * SPACING_M / drive_s, 2), 1)
    street = Street(
        clock=clock,
        lamps=lamps,
        cars=(car,),
        leak_from_ms=begins_fast,
        stop_real_ms=real(stop_s),
        continuous_flow_h=6 if day_s > 9 else 3,
    )
    return Plan(
        seconds,
        start_real_ms,
        command_s,
        car_s,
        fast_s,
        cut_s,
        cut_for_s,
        outage_s,
        outage_for_s,
        stop_s - 0.8,
        stop_s,
        street,
    )
