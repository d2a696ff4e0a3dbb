"""A clock that was wrong for some hours costs a district nothing of what it knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kerbline.agent.leaks.zone import Zone
from kerbline.model import Finding, Reading
from tests.gateway.test_agent_leaks import HOMES, MAIN, stream
from tests.gateway.test_leaks_district import DAY, HOUR_MS

AN_HOUR = HOMES + 1  # readings
YEAR_MS = 365 * DAY * HOUR_MS
WRONG = slice(4 * DAY * AN_HOUR - 60, 4 * DAY * AN_HOUR + 40)  # about the leak's begin


def in_time() -> list[Reading]:
    """None is late, so that nothing is gone over again."""
    log = sorted(stream(), key=lambda each: each.observed_at_ms)
    return [replace(each, received_at_ms=each.observed_at_ms) for each in log]


def made(saved: object = None) -> Zone:
    noted = json.loads(json.dumps(saved)) if saved is not None else {}
    zone = Zone(MAIN, None, noted, 1_000_000)
    zone.serve()
    return zone


def fed(zone: Zone, log: Sequence[Reading], found: list[Finding]) -> None:
    """What of the log the zone has not taken, as the agent does it."""
    numbers = dict(zone.routes())
    for seq, each in enumerate(log, 1):
        if seq <= zone.taken:
            continue
        taken = zone.take(numbers[each.asset], each, each.received_at_ms, seq)
        for _ in (*taken, *zone.judge()):
            pass
        zone.taken = seq
        for finding in list(zone.findings()):
            zone.issued(finding)
            found.append(finding)


def in_doubt(zone: Zone) -> bool:
    return zone._leap.aside is not None


def told(found: Sequence[Finding]) -> list[tuple[str, str, bool]]:
    return [(each.asset, each.rule, each.active) for each in found]


def moved(log: Sequence[Reading], ms: int) -> list[Reading]:
    return [
        replace(
            each,
            observed_at_ms=max(0, each.observed_at_ms + ms),
            received_at_ms=max(0, each.received_at_ms + ms),
        )
        for each in log
    ]


@pytest.mark.parametrize("wrong_ms", [YEAR_MS, -60 * YEAR_MS], ids=["ahead", "1970"])
def test_a_clock_that_was_wrong_for_hours_changes_no_alarm(wrong_ms: int) -> None:
    log = in_time()
    without = [*log[: WRONG.start], *log[WRONG.stop :]]
    right: list[Finding] = []
    fed(made(), without, right)
    assert ("dma-4", "district_balance", True) in told(right)
    log[WRONG] = moved(log[WRONG], wrong_ms)
    found: list[Finding] = []
    zone = made()
    fed(zone, log[: WRONG.stop - 5], found)
    fed(made(zone.saved()), log, found)  # stopped meanwhile
    assert found == right
    zone = made()
    found = []
    fed(zone, log, found)
    assert found == right
    assert zone.told()["too_late"] == 0


def test_a_gateway_that_begins_in_1970_does_not_walk_to_now() -> None:
    log = in_time()
    log[:AN_HOUR] = moved(log[:AN_HOUR], -60 * YEAR_MS)
    zone = made()
    found: list[Finding] = []
    fed(zone, log, found)
    assert ("dma-4", "district_balance", True) in told(found)


def test_where_nobody_read_for_a_month_it_is_another_district_after_three_days() -> None:
    log = in_time()
    at = 4 * DAY * AN_HOUR
    log[at:] = moved(log[at:], 60 * DAY * HOUR_MS)
    zone = made()
    fed(zone, log[: at + 2 * DAY * AN_HOUR], [])
    assert in_doubt(zone)
    fed(zone, log, [])
    assert not in_doubt(zone)
    assert zone.first_ms > log[at].observed_at_ms - DAY * HOUR_MS
    status = zone.told()
    assert log[-1].observed_at_ms - status["judged_ms"] < 4 * HOUR_MS
