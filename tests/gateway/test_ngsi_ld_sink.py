"""A sink into an NGSI-LD broker: each value once and one way, whatever befalls it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.assets import Asset, Registry
from kerbline.model import Alarm, Gap, Key, NodeState, Severity
from kerbline.sim.ngsi_ld import Arrival, Fault, Request, Standin
from tests.gateway.ngsi_ld_scene import QUICK, T0_MS, Scene, lamp, once, play

ENERGY = "lifetimePowerConsumption"
LEVEL = "illuminanceLevel"


def test_a_reading_of_the_log_arrives_as_an_upsert(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(1)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert scene.levels()[LEVEL] == {
        "type": "Property",
        "value": 0.3,
        "observedAt": "2026-09-21T14:13:21.000Z",
        "unitCode": "C62",
        "status": {"type": "Property", "value": "good"},
    }
    assert scene.came("temporal") == []


def test_what_is_live_does_not_wait_for_the_disk_and_goes_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        for number in range(1, 6):
            sink.offer(lamp(number))
            await asyncio.sleep(1)
            assert scene.levels()["lifetimePowerConsumption"]["value"] == number / 1000
        committed = scene.log.commit([lamp(number) for number in range(1, 6)])
        sink.log_grew(committed)
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert scene.came("temporal") == []


def test_a_backlog_is_history_but_for_what_is_newest(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for number in range(1, 21):
            at_s = number - 30
            scene.log.commit([lamp(number, "lamp-1", at_s), lamp(number, "lamp-2", at_s)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 20)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    newest = {key for key in scene.came("upsert") if key[1] == LEVEL}
    assert {key[2] for key in newest} == {"2026-09-21T14:13:10.000Z"}
    assert len([key for key in scene.came("temporal") if key[1] == LEVEL]) == 38
    assert scene.levels()["lifetimePowerConsumption"]["value"] == 0.02


def test_a_backlog_slows_down_for_a_broker_that_counts_and_what_is_live_stays_quick(
    tmp_path: Path,
) -> None:
    """A broker that takes five requests a second, and puts off by a second what is above."""
    came: list[float] = []
    waited: list[float] = []

    def counting(request: Request) -> Fault | None:
        recent = [at_s for at_s in came if at_s > request.at_s - 1]
        came[:] = [*recent, request.at_s]
        return Fault(status=429, headers={"retry-after": "1"}) if len(recent) >= 5 else None

    async def story(scene: Scene) -> None:
        scene.broker.fault = counting
        for n in range(2, 400):
            scene.log.commit([lamp(1, f"lamp-{n}", -20), lamp(2, f"lamp-{n}", -10)])
        sink = scene.start()
        await asyncio.sleep(20)
        for n in range(1, 60):
            begun_s = asyncio.get_running_loop().time()
            sink.offer(lamp(n, at_s=begun_s))
            wanted = n / 1000
            await scene.until(lambda: value(scene) == wanted)  # noqa: B023 - waited for here
            waited.append(asyncio.get_running_loop().time() - begun_s)
            await asyncio.sleep(1)
        await scene.until(lambda: scene.log.cursor == 398)

    scene = play(Scene(tmp_path, terms=replace(QUICK, a_second=20.0)), story)
    refused = [each for each in scene.broker.arrivals if each.status == 429]
    assert sorted(waited)[56] < 2
    assert len(refused) < len(scene.broker.arrivals) / 10
    assert set(scene.broker.acknowledged().values()) == {1}


def value(scene: Scene) -> float:
    """The energy of the first lamp, as the broker has it."""
    return float(scene.levels().get("lifetimePowerConsumption", {}).get("value", 0))


def ways(scene: Scene, number: int) -> list[str]:
    """How the report of that number went, by its energy."""
    return [
        value.way
        for arrival in scene.broker.arrivals
        for value in arrival.taken
        if value.attribute == ENERGY and float(value.value) == number / 1000
    ]


@pytest.mark.parametrize(
    ("history", "newest", "older"),
    [
        ("rest", ["upsert"], ["temporal"]),
        ("all", ["upsert", "temporal"], ["temporal"]),
        ("off", ["upsert"], []),
    ],
)
def test_each_way_of_history(
    tmp_path: Path, history: str, newest: list[str], older: list[str]
) -> None:
    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(n, at_s=n - 50) for n in range(1, 11)])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        sink.offer(lamp(11, at_s=0))
        await scene.until(lambda: bool(ways(scene, 11)))
        sink.log_grew(scene.log.commit([lamp(11, at_s=0)]))
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path, terms=replace(QUICK, history=history)), story)
    assert [ways(scene, n) for n in (9, 10, 11)] == [older, newest, newest]


def test_an_orderly_end_sends_nothing_twice_and_leaves_nothing_out(tmp_path: Path) -> None:
    """Not even where it ends with values that wait, and others that are delivered."""

    async def story(scene: Scene) -> None:
        sink = scene.start()
        sink.offer(lamp(1, "lamp-1", 0))
        await scene.until(lambda: bool(scene.levels("lamp-1")))
        scene.broker.fault = lambda _: Fault(status=503)
        sink.offer(lamp(1, "lamp-2", 1))
        sink.offer(lamp(2, "lamp-1", 2))
        await asyncio.sleep(20)
        await scene.stop()
        scene.broker.fault = lambda _: None
        first, second = lamp(1, "lamp-1", 0), lamp(2, "lamp-1", 2)
        scene.log.commit([first, lamp(1, "lamp-2", 1), second])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert scene.came("temporal") == []
    assert scene.levels("lamp-1")[ENERGY]["value"] == 0.002
    assert scene.levels("lamp-2")[ENERGY]["value"] == 0.001


def test_after_a_kill_an_uncommitted_value_is_not_overwritten_by_the_logs(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        await asyncio.sleep(5)
        scene.log.commit([lamp(1, at_s=0)])  # and the sink has not heard of it yet
        sink.offer(lamp(2, at_s=5))
        await scene.until(lambda: bool(ways(scene, 2)))
        await scene.kill()  # the second is lost with the disk's last group
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert scene.levels()[ENERGY]["value"] == 0.002
    assert (ways(scene, 1), ways(scene, 2)) == (["temporal"], ["upsert"])


def test_what_came_after_an_outage_and_a_kill_is_upserted_all_the_same(tmp_path: Path) -> None:
    """Nothing was upserted since: what the log has is newest."""

    async def story(scene: Scene) -> None:
        sink = scene.start()
        sink.offer(lamp(1, at_s=0))
        await scene.until(lambda: bool(ways(scene, 1)))
        scene.log.commit([lamp(1, at_s=0)])
        await scene.kill()
        await asyncio.sleep(3_600)
        scene.log.commit([lamp(2, at_s=3_000)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path), story)
    assert ways(scene, 2) == ["upsert"]


def test_a_kill_in_an_outage_leaves_what_is_newest_to_be_upserted(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.start().offer(lamp(1, at_s=0))
        await scene.until(lambda: bool(ways(scene, 1)))
        scene.log.commit([lamp(1, at_s=0)])
        port = int(scene.broker.url.rpartition(":")[2])
        await scene.broker.stop()
        for number in (2, 3):
            await asyncio.sleep(600)
            await scene.kill()
            scene.start().offer(lamp(number, at_s=600 * number))
            scene.log.commit([lamp(number, at_s=600 * number)])
        await asyncio.sleep(600)
        await scene.kill()
        await scene.broker.start(port=port)
        scene.start()
        await scene.until(lambda: scene.log.cursor == 3)

    scene = play(Scene(tmp_path), story)
    assert [ways(scene, n) for n in (1, 2, 3)] == [["upsert", "temporal"], ["temporal"], ["upsert"]]


def test_another_platform_gets_all_that_is_newest_and_history_by_replay(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(n, at_s=n - 50) for n in range(1, 11)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        await scene.stop()
        before = scene.broker
        scene.broker = Standin()
        await scene.broker.start()
        await before.stop()
        scene.start()
        await scene.until(lambda: bool(ways(scene, 10)))
        await asyncio.sleep(5)
        assert set(scene.came()) == set(scene.came("upsert"))
        await scene.stop()
        scene.log.cursor = 0  # what `store replay` orders
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert [ways(scene, n) for n in (1, 9)] == [["temporal"]] * 2
    assert ways(scene, 10) == ["upsert", "temporal"]  # replayed is replayed
    assert scene.levels()[ENERGY]["value"] == 0.01


def test_what_stands_goes_at_the_start_and_when_it_changed(tmp_path: Path) -> None:
    kinds = {"lamp-1": "streetlight", "lamp-2": "streetlight"}
    registry = Registry("stad", [Asset("lamp-1", "Streetlight", "A", group="north")], kinds)

    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(1, at_s=-5)])
        sink = scene.start()
        await asyncio.sleep(10)
        assert scene.levels()["name"]["value"] == "A"
        assert scene.levels("lamp-2") == {}  # nobody has heard of it
        count = len(scene.broker.arrivals)
        registry.take([Asset("lamp-1", "Streetlight", "B", group="north")])
        await asyncio.sleep(10)
        assert scene.levels()["name"]["value"] == "B"
        changed = [entity["id"] for entity in scene.broker.arrivals[count].request.json]
        assert changed == ["urn:ngsi-ld:Streetlight:stad:lamp-1"]
        state = NodeState("sl-1", "lamp-1", "streetlight", online=True, since_ms=T0_MS)
        for _ in range(3):
            sink.show(state)
            await asyncio.sleep(1)
        device = scene.broker.entities.now["urn:ngsi-ld:Device:stad:sl-1"]
        assert device["deviceState"]["value"] == "online"
        assert len(scene.broker.arrivals) == count + 2

    play(Scene(tmp_path, registry=registry), story)


def test_a_restart_takes_no_node_for_lost(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        unheard = NodeState("sl-1", "lamp-1", "streetlight", online=False, since_ms=None)
        for _ in range(80):
            sink.show(unheard)
            await asyncio.sleep(1)
        assert scene.broker.entities.now == {}
        await asyncio.sleep(20)
        sink.show(unheard)
        await scene.until(lambda: bool(scene.broker.entities.now))
        device = scene.broker.entities.now["urn:ngsi-ld:Device:stad:sl-1"]
        assert device["deviceState"]["value"] == "offline"

    play(Scene(tmp_path), story)


def test_alarms_arrive_as_alerts_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        found = Alarm(
            Key("gw", 1, 1),
            "lamp-1",
            "dark",
            active=True,
            severity=Severity.WARNING,
            observed_at_ms=T0_MS,
        )
        sink = scene.start()
        sink.offer(found)
        sink.log_grew(scene.log.commit([found, Gap("gw", 1, 2, 3, "power", T0_MS)]))
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert "urn:ngsi-ld:Alert:stad:lamp-1:dark" in scene.broker.entities.now
    assert set(scene.broker.acknowledged().values()) == {1}


def test_a_dead_band_thins_what_is_live_and_what_is_late(tmp_path: Path) -> None:
    bands = {"powerConsumption": 1.0, ENERGY: 1.0, "status": 0, "powerState": 0, LEVEL: 0.1}

    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(n, at_s=n - 100) for n in range(1, 51)])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        entries = [lamp(n, at_s=n - 51) for n in range(51, 61)]
        for entry in entries:
            await asyncio.sleep(1)
            sink.offer(entry)
        sink.log_grew(scene.log.commit(entries))
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path, bands=bands), story)
    energies = [key for key in scene.came() if key[1] == ENERGY]
    assert len(energies) == 2  # the first of the history, and what was newest


def test_requests_under_way_are_few_and_no_entity_is_in_two(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = lambda r: Fault(delay_s=6.0 if "Operations" in r.path else 1.4)
        for n in range(30):
            scene.log.commit([lamp(1, f"lamp-{n}", -20), lamp(2, f"lamp-{n}", -10)])
        sink = scene.start()
        for n in range(1, 40):
            sink.offer(lamp(n, f"own-{n % 9}", at_s=n))
            await asyncio.sleep(0.7)
        await scene.until(lambda: scene.log.cursor == 30)

    scene = play(Scene(tmp_path), story)
    most = {"entityOperations": 0, "temporal": 0}
    for way in most:
        under_way: list[Arrival] = []
        for arrival in scene.broker.arrivals:
            if way in arrival.request.path:
                under_way = [each for each in under_way if each.answered_as > arrival.came_as]
                there = {value.entity for each in under_way for value in each.values}
                assert there.isdisjoint(value.entity for value in arrival.values)
                under_way.append(arrival)
                most[way] = max(most[way], len(under_way))
    assert most == {"entityOperations": 6, "temporal": 1}


def test_a_request_that_hangs_holds_up_its_own_entities_alone(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        scene.broker.fault = once(Fault(silent=True))
        sink.offer(lamp(1, "lamp-1", 0))
        await asyncio.sleep(0.5)
        sink.offer(lamp(1, "lamp-2", 0.5))
        sink.offer(lamp(2, "lamp-1", 0.6))
        await asyncio.sleep(1)
        assert scene.levels("lamp-2")
        assert scene.levels("lamp-1")[ENERGY]["value"] == 0.001  # taken, but nobody said so
        await asyncio.sleep(scene.timeout_s)
        assert scene.levels("lamp-1")[ENERGY]["value"] == 0.002

    play(Scene(tmp_path), story)


def test_an_orderly_end_in_the_midst_of_a_backlog_costs_no_repeat(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for n in range(1, 11):
            scene.log.commit([lamp(n, f"lamp-{m}", n - 50) for m in range(20)])
        scene.start()
        for _ in range(3):
            await asyncio.sleep(4)
            assert 0 < len(scene.came("temporal")) < 20 * 9 * 5
            assert scene.log.cursor == 0
            await scene.stop()
            scene.start()
        await scene.until(lambda: scene.log.cursor == 10)

    scene = play(Scene(tmp_path, terms=replace(QUICK, a_second=1.0)), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert len([key for key in scene.came() if key[1] == ENERGY]) == 200


def test_a_kill_in_the_midst_of_a_backlog_costs_half_a_minute_of_it(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for n in range(1, 4):
            scene.log.commit([lamp(n, f"lamp-{m}", n - 50) for m in range(100)])
        scene.start()
        await asyncio.sleep(80)
        await scene.kill()
        scene.start()
        await scene.until(lambda: scene.log.cursor == 3)

    scene = play(Scene(tmp_path, terms=replace(QUICK, a_second=1.0)), story)
    came = Counter(key for key in scene.came() if key[1] == ENERGY)
    assert len(came) == 300
    repeated = [key for key in scene.came("temporal") if came[key] > 1 and key[1] == ENERGY]
    assert 0 < len({key[0] for key in repeated}) <= 31


SLOW = Fault(delay_s=15.0)


@pytest.mark.parametrize(
    ("faults", "others"),
    [((SLOW,), False), ((Fault(delay_s=6.0), SLOW), True), ((Fault(proxy_s=8, delay_s=15),), True)],
    ids=["it hangs as a whole", "it was slow before", "a proxy gave up"],
)
def test_what_is_taken_after_it_was_given_up_turns_nothing_back(
    tmp_path: Path, faults: tuple[Fault, ...], *, others: bool
) -> None:
    """A broker may take a request when nobody waits for it any more."""

    async def story(scene: Scene) -> None:
        left = list(faults)

        def slow(request: Request) -> Fault | None:
            return left.pop(0) if left and b"lamp-1" in request.body else None

        scene.broker.fault = slow
        sink = scene.start()
        for n in range(1, 40):
            for asset in ("lamp-1", "lamp-2") if others and n > 1 else ("lamp-1",):
                sink.offer(lamp(n, asset, at_s=asyncio.get_running_loop().time()))
            await asyncio.sleep(1)
            if others and n > 1:
                assert scene.levels("lamp-2")["lifetimePowerConsumption"]["value"] >= (n - 1) / 1000
        assert scene.levels()["lifetimePowerConsumption"]["value"] >= 0.038

    scene = play(Scene(tmp_path), story)
    taken = [
        value.observed_at
        for arrival in sorted(scene.broker.arrivals, key=lambda each: each.taken_as)
        for value in arrival.taken
        if value.entity.endswith("lamp-1") and value.attribute == "lifetimePowerConsumption"
    ]
    assert taken == sorted(taken)
