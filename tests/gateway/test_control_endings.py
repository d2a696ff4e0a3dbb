"""Every alert ends some day: by the node's word, by its reports, by a later boot, or with it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kerbline.agent.alerts import Alerts
from kerbline.agent.records import Records
from kerbline.clock import ManualClock
from kerbline.control.endings import DAY_MS, ENDED_BY_0, KNOWN, Endings, Over
from kerbline.model import Key, Reading, Value
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.models import alert, changes
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway import city_day
from tests.gateway.samples import stored

T0_MS = 1_790_000_000_000
NODES = {"n-wm": "wm-0001", "n-sl": "sl-0001", "n-air": "air-1"}
METER, LAMP, AIR = "water_meter", "streetlight", "air_quality"


def event(node: str, name: str, at_s: int, value: int = 1) -> Reading:
    values: dict[str, Value] = {"event": name, "value": value}
    return Reading(Key(node, 1, at_s + 1), NODES[node], "event", T0_MS + at_s * 1000, 50, values)


def report(node: str, at_s: int, bits: int = 0) -> Reading:
    kind = {"n-wm": METER, "n-sl": LAMP, "n-air": AIR}[node]
    values: dict[str, Value] = {"alarms" if kind == METER else "status": bits}
    return Reading(Key(node, 1, at_s + 2), NODES[node], kind, T0_MS + at_s * 1000, 50, values)


def told(endings: Endings, *readings: Reading) -> list[tuple[str, int, str]]:
    found = [over for reading in readings for over in endings.take(reading)]
    return [(over.of, (over.at_ms - T0_MS) // 1000, over.why) for over in found]


@pytest.mark.parametrize(
    ("node", "name", "bit"),
    [
        ("n-wm", "continuous_flow", 1),
        ("n-wm", "backflow", 2),
        ("n-wm", "battery_low", 4),
        ("n-wm", "tamper", 8),
        ("n-wm", "burst", 16),
        ("n-sl", "lamp_failure", 16),
        ("n-sl", "day_burner", 64),
        ("n-sl", "lamp_cycling", 128),
    ],
)
def test_what_stands_in_a_report_is_over_when_its_bit_is_clear(
    node: str, name: str, bit: int
) -> None:
    endings = Endings(NODES, {})
    assert told(endings, event(node, name, 0), report(node, 1, bit), report(node, 2, 255)) == []
    assert told(endings, report(node, 3)) != []
    endings = Endings(NODES, {})
    assert told(endings, event(node, name, 5), report(node, 6)) == [(name, 6, "clear")]
    assert told(endings, report(node, 7)) == []  # once


def test_an_event_that_comes_behind_newer_reports_is_over_at_once() -> None:
    """As after an outage, where what is newest goes first."""
    endings = Endings(NODES, {})
    assert told(endings, report("n-wm", 100), event("n-wm", "burst", 10)) == [
        ("burst", 100, "clear")
    ]
    assert told(endings, report("n-wm", 50, 16)) == []  # older than what is known
    assert told(endings, report("n-wm", 110, 16), event("n-wm", "burst", 90)) == []
    assert told(endings, report("n-wm", 120)) == [("burst", 120, "clear")]


def test_what_a_node_ends_by_its_own_word_is_not_ended_again() -> None:
    endings = Endings(NODES, {})
    lamp = [event("n-sl", "lamp_failure", 0), event("n-sl", "lamp_restored", 1)]
    assert told(endings, *lamp, report("n-sl", 2)) == []
    for name in ENDED_BY_0:
        assert told(endings, event("n-air", name, 0), event("n-air", name, 1, 0)) == []
    assert endings.saved("n-air")["open"] == {}
    late = [event("n-air", "fan_failure", 9), event("n-air", "fan_failure", 3, 0)]
    assert told(endings, *late) == []
    assert endings.saved("n-air")["open"] == {"fan_failure": T0_MS + 9_000}


def test_a_moment_is_over_a_day_later_and_a_boots_fault_with_another_boot() -> None:
    endings = Endings(NODES, {})
    day_s = DAY_MS // 1000
    begun = [event("n-air", each, 0) for each in ("boot", "brown_out", "safe_mode")]
    assert told(endings, *begun, report("n-air", 60), report("n-air", day_s - 1)) == []
    assert told(endings, report("n-air", day_s)) == [("brown_out", day_s, "a_day")]
    again = [event("n-air", each, day_s + 10) for each in ("boot", "safe_mode")]
    assert told(endings, *again, report("n-air", day_s + 20)) == []
    better = [event("n-air", "boot", day_s + 30), report("n-air", day_s + 40)]
    assert told(endings, *better) == [("safe_mode", day_s + 40, "later_boot")]


def test_what_was_open_of_a_node_goes_with_it() -> None:
    before = Endings(NODES, {})
    told(before, event("n-sl", "sensor_fault", 0), event("n-wm", "burst", 0))
    saved = {name: json.loads(json.dumps(before.saved(name))) for name in before.changed}
    swapped = Endings({"n-new": "sl-0001", "n-wm": "wm-0001"}, saved)
    gone = list(swapped.gone(T0_MS + 9_000))
    assert gone == [Over("n-sl", "sl-0001", "sensor_fault", T0_MS + 9_000, "node_gone")]
    assert swapped.changed == {"n-sl"}
    assert swapped.saved("n-sl")["open"] == {}
    assert told(swapped, report("n-wm", 4)) == [("burst", 4, "clear")]


def test_every_event_that_is_an_alert_has_an_end() -> None:
    assert alert.EVENTS.keys() == KNOWN


def ended(reading: Reading) -> Change:
    (change,) = changes(reading, city_day.city())
    return change


def test_the_city_gets_the_end_of_the_very_alert() -> None:
    begin = ended(event("n-wm", "burst", 0))
    values = Over("n-wm", "wm-0001", "burst", T0_MS + 5_000, "clear").values()
    end = ended(Reading(Key("gw-1", 1, 1), "wm-0001", "event", T0_MS + 5_000, 0, values))
    assert begin.id == end.id
    assert begin.attributes["alertSource"].value == end.attributes["alertSource"].value
    assert end.attributes["validTo"].value == end.attributes["dateIssued"].value
    assert (end.attributes["severity"].value, end.attributes["description"].value) == (
        "informational",
        "burst: over clear",
    )


def test_an_alert_ends_in_another_life_of_the_gateway(tmp_path: Path) -> None:
    async def life(*readings: Reading) -> None:
        store = Store.open(tmp_path / "k.db")
        clock = ManualClock(T0_MS)
        group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
        epoch = store.begin_epoch(clock.utc_ms() // 1_000)
        records = Records("gw", epoch, group, (), None, clock)  # type: ignore[arg-type]
        alerts = Alerts(NODES, store, group)
        await alerts.begin(records)
        for reading in readings:
            await records.take(reading)
            await alerts.consider(reading, records)
        group.stop()
        await group.run()
        lives.append([each.values for each in stored(store) if each.key.source == "gw"])  # type: ignore[union-attr]
        await group.close()

    lives: list[list[object]] = []
    asyncio.run(life(event("n-wm", "burst", 0), report("n-wm", 1, 16)))
    asyncio.run(life(report("n-wm", 2)))
    asyncio.run(life(report("n-wm", 3)))
    end = {"event": "over", "value": 0, "of": "burst", "node": "n-wm", "why": "clear"}
    assert lives == [[], [end], [end]]
