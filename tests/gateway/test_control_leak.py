"""The leak rule: what it finds, what clears it, and what it shrugs off."""

import json
import random
from collections.abc import Iterable

from kerbline.control import leak
from kerbline.model import Finding, Key, Reading

MINUTE_MS = 60_000
RULES = {"meter-2": leak.Rule("meter-2", continuous_flow_h=6)}


def reading(at_ms: int, litres: int, meter: str = "meter-2") -> Reading:
    values = {"volume_l": litres, "flow_lph": 0}
    return Reading(Key("wm", 1, at_ms), meter, "water_meter", at_ms, 100, values)


def run(readings: Iterable[Reading], state: leak.State | None = None) -> list[Finding]:
    state = {} if state is None else state
    found: list[Finding] = []
    for one in readings:
        state, findings = leak.step(RULES, state, [one])
        found += findings
    return found


def flow(hours: int, lph: int, *, start_h: int = 0, litres: int = 1000) -> list[Reading]:
    """Reads each 15 minutes of a steady flow."""
    start_ms = start_h * leak.HOUR_MS
    return [
        reading(start_ms + n * 15 * MINUTE_MS, litres + n * lph // 4) for n in range(4 * hours + 1)
    ]


def test_an_absurd_totaliser_is_passed_over() -> None:
    sane = flow(12, 20)
    absurd = [reading(13 * leak.HOUR_MS + n * MINUTE_MS, 2**60 * (n + 1)) for n in range(15)]
    back = flow(2, 20, start_h=14, litres=1280)
    assert run([*sane, *absurd, *back]) == run([*sane, *back])


def test_a_flow_that_never_rests_is_found_once_with_its_evidence() -> None:
    (found,) = run(flow(12, 20))
    assert (found.active, found.rule, found.asset) == (True, "continuous_flow", "meter-2")
    assert found.observed_at_ms == 6 * leak.HOUR_MS
    assert dict(found.evidence) == {
        "version": 1,
        "limit_h": 6,
        "never_rested_h": 6.0,
        "since_ms": 0,
        "smallest_flow_lph": 20,
        "lost_l": 120,
        "passed_l": 120,
        "reads": 24,
    }


def test_the_loss_is_the_smallest_flow_not_the_showers() -> None:
    litres, reads = 0, []
    for n in range(26):
        litres += 5 + (60 if n % 7 == 3 else 0)
        reads.append(reading(n * 15 * MINUTE_MS, litres))
    (found,) = run(reads)
    assert found.evidence["smallest_flow_lph"] == 20
    assert found.evidence["lost_l"] == 120
    assert found.evidence["passed_l"] == 24 * 5 + 4 * 60


def test_a_household_that_sleeps_is_no_leak() -> None:
    litres, reads = 0, []
    for n in range(4 * 24 * 7):
        litres += 30 if 7 <= n // 4 % 24 < 23 and n % 3 == 0 else 0
        reads.append(reading(n * 15 * MINUTE_MS, litres))
    assert run(reads) == []


def test_a_rest_clears_the_alarm_and_the_rule_begins_anew() -> None:
    reads = flow(7, 20) + [reading((7 * 60 + n) * MINUTE_MS, 1140) for n in (15, 30, 45)]
    raised, cleared = run(reads + flow(7, 20, start_h=8, litres=1140))[:2]
    assert raised.active and not cleared.active
    assert cleared.observed_at_ms == 7 * leak.HOUR_MS + leak.REST_MS
    assert cleared.evidence["never_rested_h"] == 7.0
    assert cleared.evidence["lost_l"] == 140
    assert len(run(reads + flow(7, 20, start_h=8, litres=1140))) == 3


def test_late_repeated_and_unordered_reads_change_nothing() -> None:
    chance = random.Random(7)
    clean = flow(12, 20)
    noisy: list[Reading] = []
    for n, one in enumerate(clean):
        noisy += [one, *chance.choices(clean[: n + 1], k=3)]
    assert run(noisy) == run(clean)


def test_an_old_read_of_a_smaller_volume_does_not_look_like_a_meter_swap() -> None:
    clean = flow(7, 20)
    assert len(run([*clean[:20], clean[2], *clean[20:]])) == 1


def test_hours_without_reads_prove_nothing() -> None:
    before, after = flow(4, 20), flow(12, 20)[4 * 7 :]
    (found,) = run(before + after + flow(4, 20, start_h=12, litres=1240))
    assert found.observed_at_ms == 13 * leak.HOUR_MS


def test_a_swapped_meter_starts_anew() -> None:
    found = run(flow(4, 20) + flow(5, 20, start_h=5, litres=3))
    assert found == []


def test_an_alarm_stands_through_blindness() -> None:
    reads = flow(7, 20) + flow(3, 20, start_h=20, litres=1400)
    assert [found.active for found in run(reads)] == [True]


def test_the_state_goes_through_json_at_any_read() -> None:
    state: leak.State = {}
    found: list[Finding] = []
    for one in flow(12, 20):
        state = leak.restored(json.loads(json.dumps(leak.saved(state))))
        state, findings = leak.step(RULES, state, [one])
        found += findings
    assert found == run(flow(12, 20))


def test_other_meters_and_readings_are_passed_over() -> None:
    state: leak.State = {}
    state, found = leak.step(RULES, state, [reading(0, 1, "meter-1")])
    assert (state, found) == ({}, ())
