"""The life of an alarm as it is told: raised, told again, critical, cleared."""

from __future__ import annotations

from dataclasses import replace

from kerbline.control.leaks.alarm import HOUR_MS, Limits, Name, Terms, Told, due
from kerbline.control.leaks.watch import ZONE, Standing
from kerbline.model import Finding, Severity

STEP_MS = 900_000
NOW_MS = 100 * 24 * HOUR_MS
TERMS = Terms("dma-4", STEP_MS, Limits(2_000, 200_000), Limits(60, 10_000), "valve-1")
RAISED = NOW_MS // STEP_MS - 1
LEAK = Standing(
    ZONE, "district_balance", RAISED, RAISED - 8, 123.456, 300.0, 99.97, {"sigma": 6.26}
)


class Life:
    """What is told, hour by hour."""

    def __init__(self, asset: str = "dma-4") -> None:
        self.asset = asset
        self.told: dict[Name, Told] = {}

    def at(self, hour: float, *standing: Standing) -> list[Finding]:
        now_ms = NOW_MS + round(hour * HOUR_MS)
        found = list(due(self.told, [(self.asset, each) for each in standing], now_ms, TERMS))
        for each in found:
            name = each.asset, each.rule
            if each.active:
                self.told[name] = Told(each.severity, each.observed_at_ms, each.evidence)
            else:
                del self.told[name]
        return found


def test_an_alarm_says_what_was_seen_how_sure_and_what_was_lost() -> None:
    (found,) = Life().at(0, replace(LEAK, seen={"sigma": 6.26, "use_lph": 9.0}))
    assert (found.asset, found.rule, found.active) == ("dma-4", "district_balance", True)
    assert found.severity is Severity.WARNING
    assert found.observed_at_ms == NOW_MS
    assert found.evidence == {
        "version": 1,
        "zone": "dma-4",
        "lph": 123.0,
        "lost_l": 300,
        "sure_pct": 99.9,
        "since_ms": NOW_MS - 9 * STEP_MS,
        "raised_ms": NOW_MS,
        "sigma": 6.26,
        "valve": "valve-1",
    }


def test_it_is_told_again_once_a_day_and_soon_where_its_size_is_another() -> None:
    life = Life()
    life.at(0, LEAK)
    assert life.at(23, replace(LEAK, lph=150)) == []
    assert len(life.at(24, LEAK)) == 1
    larger = replace(LEAK, lph=170)
    assert life.at(26, larger) == []
    assert [each.evidence["lph"] for each in life.at(27, larger)] == [170]
    assert life.at(40, larger) == []


def test_it_grows_critical_by_size_or_loss_and_no_less_again() -> None:
    for grave in (replace(LEAK, lph=2_000), replace(LEAK, litres=200_000)):
        life = Life()
        life.at(0, LEAK)
        (found,) = life.at(0.25, grave)
        assert found.severity is Severity.CRITICAL
        assert life.at(1, LEAK) == []
        (again,) = life.at(30, LEAK)
        assert again.severity is Severity.CRITICAL


def test_behind_a_meter_less_is_critical() -> None:
    one = Standing(7, "meter_leak", RAISED, RAISED - 99, 61.0, 20.0, 98.0)
    (found,) = Life("meter-7").at(0, one)
    assert found.severity is Severity.CRITICAL
    (found,) = Life("meter-7").at(0, replace(one, lph=59))
    assert found.severity is Severity.WARNING


def test_what_stands_no_more_is_cleared_once_with_what_it_was() -> None:
    life = Life()
    life.at(0, LEAK)
    (over,) = life.at(5)
    assert not over.active
    assert over.observed_at_ms == over.evidence["cleared_ms"] == NOW_MS + 5 * HOUR_MS
    assert over.evidence["lost_l"] == 300
    assert life.at(6) == []
    (again,) = life.at(7, LEAK)
    assert again.active
    assert again.observed_at_ms > over.observed_at_ms  # or it would be over still
