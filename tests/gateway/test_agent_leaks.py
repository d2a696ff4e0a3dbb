"""Leaks from the log to whoever is told: the same alarms whatever kills the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kerbline.agent.leaks.districts import Leaks
from kerbline.agent.leaks.zone import Zone
from kerbline.agent.records import Records
from kerbline.assets import Asset, Registry
from kerbline.clock import ManualClock
from kerbline.config import District
from kerbline.control.leaks import WATER_BALANCE
from kerbline.control.leaks.district import INFLOW
from kerbline.local_socket import Declined
from kerbline.model import Alarm, Entry, Key, Reading, Severity
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests import steady
from tests.gateway.many_lives import killed
from tests.gateway.test_leaks_district import DAY, HOUR_MS, reads
from tests.gateway.test_privacy import Nobody

DAYS, HOMES = 8, 12
HOUSES = tuple(f"meter-{n}" for n in range(HOMES))
MAIN = District("dma-4", ("main",), meters=HOUSES, step_min=60)
SOME = 80  # readings between two looks at the log


def stream() -> list[Reading]:
    """A leak of 250 L/h from the fourth day on, as the log gets it: some reads hours late."""
    chance = random.Random(5)
    late = [
        (each.at_ms + chance.random() ** 8 * 6 * HOUR_MS, each) for each in reads(DAYS, homes=HOMES)
    ]
    found = []
    for number, (came_ms, each) in enumerate(sorted(late), 1):
        asset = "main" if each.meter == INFLOW else f"meter-{each.meter}"
        values = {"volume_l": round(each.litres)}
        key, came = Key("nodes", 1, number), round(came_ms)
        found.append(Reading(key, asset, "water_meter", each.at_ms, 500, values, (), came))
    return found


def hours() -> list[int]:
    """The ends of all that are closed."""
    begin_ms = stream()[0].observed_at_ms // HOUR_MS * HOUR_MS
    return [begin_ms + hour * HOUR_MS for hour in range(1, DAYS * DAY - 48)]


def kept(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    store = Store.open(path)
    found = [entry for batch in store.read(0, 1_000_000) for entry in batch.entries]
    store.close()
    return found


async def live(
    path: Path,
    registry: Registry | None = None,
    tell: int = -1,
    ask: Callable[[Leaks], Coroutine[Any, Any, None]] | None = None,
) -> list[dict[str, Any]]:
    """One life of a gateway: what the log lacks of the stream comes in; then it is asked."""
    had = {each.key for each in kept(path) if isinstance(each, Reading)}
    left = [each for each in stream() if each.key not in had]
    clock = ManualClock(left[0].received_at_ms if left else stream()[-1].received_at_ms)
    store = Store.open(path)
    group = GroupCommit(store, GroupPolicy(readings=SOME, interval_s=0.01), clock.utc_ms, "gw-1")
    leaks = Leaks("gw-1", [MAIN], registry, store, group, clock)
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    records = Records("gw-1", epoch, group, [leaks], Nobody(), clock)  # type: ignore[arg-type]
    committing = asyncio.create_task(group.run())
    tasks = [
        asyncio.create_task(leaks.run(records, look_s=0.005)),
        asyncio.create_task(records.confirm()),
    ]
    await records.resume(store.undeclared)
    if registry is not None:
        for number, end_ms in enumerate(hours()):
            values = {"consumed_l": 100, "completeness_pct": 100}
            own = Key("gw-1", 1, number + 1)
            await records.take(Reading(own, "dma-4", "zone_water", end_ms, 0, values))
    for number, reading in enumerate(left):
        clock.advance(max(0, reading.received_at_ms - clock.utc_ms()))
        await records.take(reading)
        if number % SOME == 0:
            await settled(group, leaks, store)
            if tell >= 0:
                os.write(tell, b".")
    await settled(group, leaks, store)
    while any(zone._district is None or zone._district.is_due for zone in leaks.zones):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await told(group, leaks, store)
    if ask is not None:
        await ask(leaks)
        await told(group, leaks, store)
    found = [dict(each) for each in (await leaks.answer({}))["districts"]]
    leaks.note()
    group.stop()
    await committing
    for task in tasks:
        task.cancel()
    await group.close()
    return found


async def settled(group: GroupCommit, leaks: Leaks, store: Store) -> None:
    while group.pending or leaks._log.cursor < store.head:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def told(group: GroupCommit, leaks: Leaks, store: Store) -> None:
    """It has looked by then, and what it told is durable."""
    for _ in range(2):
        await asyncio.sleep(0.05)
        await settled(group, leaks, store)


def alarms(entries: list[Entry]) -> list[Alarm]:
    return [each for each in entries if isinstance(each, Alarm)]


def standing(entries: list[Entry]) -> dict[tuple[str, str], tuple[Severity, int, object]]:
    """What is up at the end, by what was told."""
    found: dict[tuple[str, str], tuple[Severity, int, object]] = {}
    for each in alarms(entries):
        name = each.asset, each.rule
        if each.active:
            since_ms = each.evidence["since_ms"]
            found[name] = (each.severity, int(str(each.evidence["raised_ms"])), since_ms)
        else:
            found.pop(name, None)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "kerbline.db"
    (told,) = steady.run(live(path))
    assert told["zone"] == "dma-4"
    assert told["read_meters"] == told["meters"] == HOMES
    assert told["silent"] == []
    assert [each["rule"] for each in told["alarms"] if each["asset"] == "dma-4"] == [
        "district_balance"
    ]
    return path


def test_a_leak_is_told_with_its_size_its_loss_and_how_sure(whole: Path) -> None:
    told = [each for each in alarms(kept(whole)) if each.asset == "dma-4"]
    first, last = told[0], told[-1]
    assert first.rule == "district_balance"
    assert all(each.active for each in told)
    assert last.observed_at_ms > first.observed_at_ms
    onset_ms = reads(DAYS, homes=HOMES)[0].at_ms // HOUR_MS * HOUR_MS + DAYS // 2 * DAY * HOUR_MS
    assert abs(int(str(first.evidence["since_ms"])) - onset_ms) <= 3 * HOUR_MS
    assert first.observed_at_ms - onset_ms < 12 * HOUR_MS
    assert float(str(last.evidence["lph"])) == pytest.approx(250, rel=0.2)
    lost_h = (last.observed_at_ms - onset_ms) / HOUR_MS
    assert float(str(last.evidence["lost_l"])) == pytest.approx(250 * lost_h, rel=0.25)
    assert float(str(first.evidence["sure_pct"])) > 90
    assert "use_lph" not in first.evidence
    assert first.key.source == "gw-1"


def test_the_status_tells_what_was_lost_up_to_now() -> None:
    """Not up to when it was told last, which may be a day ago."""
    zone = Zone(MAIN, None, {}, 9)
    zone.serve()
    numbers = dict(zone.routes())
    lost_l = []
    for number, each in enumerate(stream(), 10):
        taken = zone.take(numbers[each.asset], each, each.received_at_ms, number)
        for _ in (*taken, *zone.judge()):
            pass
        for finding in list(zone.findings()):
            zone.issued(finding)
        if number % 100 == 0:  # eight hours
            status = zone.told()
            for one in status["alarms"]:
                if one["asset"] == "dma-4":
                    hours = (status["judged_ms"] - one["since_ms"]) / HOUR_MS
                    lost_l.append((one["lost_l"], 250 * hours))
    assert len(lost_l) > 5
    for lost, expected in lost_l:
        assert lost == pytest.approx(expected, rel=0.2)
    assert len({lost for lost, _ in lost_l}) == len(lost_l)


def test_each_day_has_one_water_balance(whole: Path) -> None:
    found = [
        each for each in kept(whole) if isinstance(each, Reading) and each.kind == WATER_BALANCE
    ]
    ends = [each.observed_at_ms for each in found]
    assert ends == sorted(set(ends))
    assert len(ends) >= DAYS - 4
    assert {each.asset for each in found} == {"dma-4"}
    for each in found[1:]:
        values = {name: float(str(value)) for name, value in each.values.items()}
        assert values["losses_l"] == values["input_l"] - values["consumed_l"]
        assert values["completeness_pct"] == 100


def test_killed_at_any_moment_the_same_alarms_stand(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "kerbline.db"
    killed(lambda tell: live(path, tell=tell), random.Random(1), range(3, 9), 3)
    assert standing(kept(path)) == standing(kept(whole))
    balances = [
        [
            (each.observed_at_ms, dict(each.values))
            for each in kept(which)
            if isinstance(each, Reading) and each.kind == WATER_BALANCE
        ]
        for which in (path, whole)
    ]
    assert balances[0] == balances[1]


ALARM = {"alarm": "dma-4:district_balance"}


def test_what_an_operator_accepted_is_usual_whatever_kills_the_gateway(
    whole: Path, tmp_path: Path
) -> None:
    """As soon as it is answered, and for ever; who asks again has the same answer."""
    path = tmp_path / "kerbline.db"
    shutil.copy(whole, path)
    answers: list[object] = []

    async def accept(leaks: Leaks) -> None:
        twice = await asyncio.gather(leaks.accept(ALARM), leaks.accept(ALARM))
        answers.extend(each["from_ms"] for each in twice)

    async def accepted_and_killed(tell: int) -> None:
        async def accept_and_wait(leaks: Leaks) -> None:
            answer = await leaks.accept(ALARM)
            os.write(tell, b"." if answer["from_ms"] else b"")
            await asyncio.Event().wait()

        is_up = ("dma-4", "district_balance") in standing(kept(path))
        await live(path, ask=accept_and_wait if is_up else None)

    killed(accepted_and_killed, random.Random(1), range(1, 2), 1)
    told = [each for each in alarms(kept(path)) if each.asset == "dma-4"]
    assert [each.active for each in told[-2:]] == [True, False]
    from_ms = told[-1].evidence["accepted_ms"]
    (status,) = steady.run(live(path, ask=accept))
    assert answers == [from_ms, from_ms]
    assert [each for each in status["alarms"] if each["asset"] == "dma-4"] == []
    assert len([each for each in alarms(kept(path)) if each.asset == "dma-4"]) == len(told)


def test_before_the_log_is_read_nothing_can_be_usual(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "kerbline.db"
    shutil.copy(whole, path)

    async def ask() -> None:
        store = Store.open(path)
        clock = ManualClock(0)
        group = GroupCommit(store, GroupPolicy(), clock.utc_ms, "gw-1")
        leaks = Leaks("gw-1", [MAIN], None, store, group, clock)
        with pytest.raises(Declined, match="it still reads what it has in store"):
            await leaks.accept(ALARM)
        await group.close()

    steady.run(ask())


def test_only_what_is_up_can_be_usual(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "kerbline.db"
    shutil.copy(whole, path)
    reasons = []

    async def others(leaks: Leaks) -> None:
        for alarm in ("dma-4:district_inflow", "dma-5:district_balance", "meter-1:meter_leak"):
            with pytest.raises(Declined) as caught:
                await leaks.accept({"alarm": alarm})
            reasons.append(str(caught.value))

    steady.run(live(path, ask=others))
    assert set(reasons) == {
        "only a district_balance or district_inflow that is up can be usual; "
        "up now: dma-4:district_balance"
    }


def test_a_home_left_out_is_in_no_balance() -> None:
    """The zone's sum has its water, so the zone's losses can't be told; the inflow can."""
    assets = [Asset(name, "WaterConsumptionObserved", zone="dma-4") for name in HOUSES]
    registry = Registry("stad", assets, dict.fromkeys(HOUSES, "water_meter"), gateway="gw-1")
    zone = Zone(replace(MAIN, meters=(), left_out=("meter-2",)), registry, {}, 9)
    zone.serve()
    assert "meter-2" not in [name for name, _ in zone.routes()]
    assert len(list(zone.routes())) == len(HOUSES)
    assert not zone._has_sum
    public = [Asset(one.id, one.type, zone="dma-4", privacy="public") for one in assets]
    registry.take(public, lost=False)
    zone.serve()
    assert zone._has_sum


def test_a_main_that_tells_another_value_is_named(caplog: pytest.LogCaptureFixture) -> None:
    zone = Zone(replace(MAIN, inflow_value=("total_m3", "volume_l")), None, {}, 9)
    zone.serve()

    def litres(**values: float) -> float | None:
        reading = Reading(Key("n", 1, 1), "main", "modbus", 9 * HOUR_MS, 0, values)
        return zone._litres(INFLOW, reading)

    assert litres() is None  # it did not answer
    assert litres(flow_m3_h=3.0) is litres(flow_m3_h=4.0) is None
    (record,) = caplog.records
    assert record.getMessage() == (
        "district dma-4: main tells no total_m3 or volume_l but flow_m3_h; "
        "write one of these as inflow_value"
    )
    assert litres(total_m3=2.5) == 2_500
    assert litres(volume_l=7) == 7


def test_households_enter_a_balance_by_the_sum_that_is_told_anyway(tmp_path: Path) -> None:
    assets = [Asset(f"meter-{n}", "WaterConsumptionObserved", zone="dma-4") for n in range(HOMES)]
    kinds = {f"meter-{n}": "water_meter" for n in range(HOMES)}
    registry = Registry("stad", assets, kinds, gateway="gw-1")
    assert not registry.personal("dma-4")
    assert registry.personal("meter-1")
    path = tmp_path / "kerbline.db"
    steady.run(live(path, registry))
    assert standing(kept(path))
    days = [each for each in kept(path) if isinstance(each, Reading) and each.kind == WATER_BALANCE]
    assert len(days) >= DAYS - 4
    assert {each.values["consumed_l"] for each in days[1:]} == {2_400}


def test_a_district_that_is_new_learns_from_the_log(whole: Path, tmp_path: Path) -> None:
    """And tells at once what it would have told, had it been there."""
    path = tmp_path / "kerbline.db"
    store = Store.open(path)
    came = [each for each in kept(whole) if isinstance(each, Reading) and each.key.source != "gw-1"]
    for number in range(0, len(came), 400):
        store.append(came[number : number + 400], came[number].received_at_ms)
    store.close()
    steady.run(live(path))
    assert standing(kept(path)) == standing(kept(whole))


def test_while_the_list_of_assets_is_lost_a_district_keeps_its_meters() -> None:
    assets = [Asset(name, "WaterConsumptionObserved", zone="dma-4") for name in HOUSES]
    registry = Registry("stad", assets, dict.fromkeys(HOUSES, "water_meter"), gateway="gw-1")
    by_list = District("dma-4", ("main",), step_min=60)
    zone = Zone(by_list, registry, {}, 9)
    zone.serve()
    assert [name for name, meter in zone.routes() if meter != INFLOW] == sorted(HOUSES)
    reading = Reading(Key("n", 1, 1), HOUSES[0], "water_meter", 9 * HOUR_MS, 0, {"volume_l": 1})
    assert list(zone.take(0, reading, 9 * HOUR_MS, 10)) == []
    zone.taken = 10
    noted = json.loads(json.dumps(zone.saved()))
    registry.take((), lost=True)
    zone.serve()
    again = Zone(by_list, registry, noted, 10)
    again.serve()
    assert list(again.routes()) == list(zone.routes())
    assert len(list(again.routes())) == len(HOUSES) + 1
    assert again.taken == noted["district"]["after"] == 9
