"""A strict broker that fails in every way, a backlog, what is live, and restarts; who counts what.

All follows from a seed, in virtual time, over real sockets. What is asked of the record at the end:
nothing lost, no older value over a newer one, nothing again after its acknowledgement, no early
retry, and how long what is live took.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from kerbline.model import Entry, Reading
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.sink import NgsiLdSink
from kerbline.sim.ngsi_ld import Fault, Request, Standin
from tests.gateway.ngsi_ld_scene import T0_MS, Scene, Terms, early, lamp, play

NIGHTLY = bool(os.environ.get("KERBLINE_NIGHTLY"))
Key = tuple[str, str, str]
ATTRIBUTE = "lifetimePowerConsumption"  # tells a reading's number
COMMIT_S = 5.0


@dataclass
class Street:
    """What happens in one scene."""

    seed: int
    lamps: int
    backlog: int  # readings of each lamp from before the beginning
    live_s: float
    period_s: float
    share: float  # of requests that fail
    restarts: int = 0
    kills: int = 0
    offered: dict[Key, float] = field(default_factory=dict)  # what is live, and when it came
    committed: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.numbers: dict[str, int] = defaultdict(int)
        self.pending: list[Reading] = []  # not durable yet; their nodes have them
        self.sink: NgsiLdSink | None = None

    def make(self, name: str, at_s: float) -> Reading:
        """The next report of a lamp."""
        self.numbers[name] += 1
        return lamp(self.numbers[name], name, at_s, level=self.numbers[name] % 101)

    def fault(self, request: Request) -> Fault | None:
        """What goes wrong with a request: one kind after the other, whatever it asks."""
        chance = self.random
        if chance.random() > self.share:
            return None
        body = request.json
        entities = [each["id"] for each in body] if isinstance(body, list) else []
        kinds = [
            Fault(status=429, headers={"retry-after": str(chance.randint(1, 2))}),
            Fault(status=503, headers={"retry-after": "1"}),
            Fault(status=503),
            Fault(status=500),
            Fault(lost="request"),
            Fault(lost="answer"),
            Fault(lost="answer", delay_s=0.3),
            Fault(silent=True),
            Fault(delay_s=chance.uniform(0.1, 1.5)),
            Fault(delay_s=chance.uniform(0.1, 0.5)),
        ]
        if len(entities) > 1:
            some = chance.sample(entities, 1 + len(entities) // 3)
            kinds += [Fault(refused=dict.fromkeys(some, 503)), Fault(status=413)]
        return chance.choice(kinds)


def key_of(reading: Reading) -> Key:
    """The name of the value that tells its number."""
    name = f"urn:ngsi-ld:Streetlight:stad:{reading.asset}"
    return name, ATTRIBUTE, rfc3339(reading.observed_at_ms)


async def live(street: Street) -> None:
    """Each lamp reports in its own rhythm; some go dark and tell later what they kept."""
    chance = street.random
    names = [f"lamp-{n}" for n in range(street.lamps)]
    due = sorted((chance.random() * street.period_s, name) for name in names)
    kept: dict[str, list[Reading]] = defaultdict(list)
    began_s = asyncio.get_running_loop().time()
    while due[0][0] < street.live_s:
        at_s, name = due.pop(0)
        await asyncio.sleep(began_s + at_s - asyncio.get_running_loop().time())
        reading = street.make(name, asyncio.get_running_loop().time())
        dark = chance.random() < 0.1
        for each in (*kept.pop(name, []), reading) if not dark else ():
            give(street, each)
        if dark:
            kept[name].append(reading)
        due.append((at_s + street.period_s, name))
        due.sort()
    for late in kept.values():
        for each in late:
            give(street, each)


def give(street: Street, reading: Reading) -> None:
    """A reading comes in: to the sink at once, and to the disk with the next commit."""
    street.offered[key_of(reading)] = asyncio.get_running_loop().time()
    street.pending.append(reading)
    if street.sink is not None:
        street.sink.offer(reading)


def commit(scene: Scene, street: Street) -> None:
    """Make durable what waits."""
    entries: list[Entry] = [*street.pending]
    for reading in street.pending:
        street.committed[key_of(reading)] = reading.key.number
    street.pending.clear()
    if entries:
        committed = scene.log.commit(entries)
        if street.sink is not None:
            street.sink.log_grew(committed)


async def commits(scene: Scene, street: Street) -> None:
    """For ever."""
    while True:
        await asyncio.sleep(COMMIT_S)
        commit(scene, street)


async def restarts(scene: Scene, street: Street) -> None:
    """Orderly ends, and kills, after which the nodes send again what was not durable."""
    ends = ["stop"] * street.restarts + ["kill"] * street.kills
    street.random.shuffle(ends)
    for end in ends:
        await asyncio.sleep(street.live_s / (len(ends) + 1) * street.random.uniform(0.7, 1.2))
        street.sink = None
        if end == "stop":
            commit(scene, street)
            await scene.stop()
        else:
            await scene.kill()
        await asyncio.sleep(street.random.uniform(0.1, 3.0))
        street.sink = scene.start()
        again, street.pending = street.pending, []
        for reading in again:
            give(street, reading)


def run(folder: Path, street: Street, a_second: float = 20.0) -> Scene:
    """Play it until all is delivered."""

    async def story(scene: Scene) -> None:
        scene.broker.fault = street.fault
        await asyncio.sleep(1)
        for at in range(street.backlog):
            minutes = street.backlog - at
            for n in range(street.lamps):
                street.pending.append(street.make(f"lamp-{n}", -60.0 * minutes))
            commit(scene, street)
        street.sink = scene.start()
        own = [asyncio.create_task(commits(scene, street))]
        own.append(asyncio.create_task(restarts(scene, street)))
        await live(street)
        await asyncio.wait(own[1:])
        await scene.until(lambda: not street.pending)
        await scene.until(lambda: scene.log.cursor == len(scene.log.batches), 36_000)
        own[0].cancel()

    terms = Terms(start_s=0.5, backoff_s=(0.5, 5.0), a_second=a_second)
    return play(Scene(folder, terms=terms, seed=street.seed), story)


def lost(scene: Scene, street: Street) -> set[Key]:
    """What is durable here and nowhere at the broker, by no way."""
    return set(street.committed) - set(scene.broker.acknowledged()) - set(scene.came())


def regressions(broker: Standin) -> Iterator[tuple[str, str]]:
    """Upserts of something older than what an upsert had put there."""
    newest: dict[tuple[str, str], str] = {}
    for arrival in sorted(broker.arrivals, key=lambda each: each.taken_as):
        for value in arrival.taken:
            if value.way == "upsert" and value.observed_at:
                what = (value.entity, value.attribute)
                if value.observed_at < newest.get(what, ""):
                    yield value.observed_at, newest[what]
                newest[what] = value.observed_at


def again(broker: Standin) -> list[Key]:
    """What came once more, after the answer that acknowledged it."""
    acked: set[Key] = set()
    found = []
    events = [(each.came_as, True, each) for each in broker.arrivals]
    events += [(each.answered_as, False, each) for each in broker.arrivals if each.is_acknowledged]
    for _, came, arrival in sorted(events, key=lambda event: event[0]):
        if came:
            found += [v.key for v in arrival.values if v.observed_at and v.key in acked]
        else:
            acked.update(value.key for value in arrival.taken)
    return found


def latencies(scene: Scene, street: Street) -> list[float]:
    """Of each live reading, how long until the broker's state was as new as it."""
    upserts: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for arrival in scene.broker.arrivals:
        for value in arrival.taken:
            if value.way == "upsert" and value.attribute == ATTRIBUTE:
                upserts[value.entity].append((arrival.taken_s, value.observed_at))
    found = []
    for (entity, _, stamp), came_s in street.offered.items():
        times = [at_s for at_s, known in upserts[entity] if known >= stamp and at_s >= came_s]
        newer = any(known >= stamp and at_s < came_s for at_s, known in upserts[entity])
        found.append(0.0 if newer else min(times, default=float("inf")) - came_s)
    return sorted(found)


def drained_s(scene: Scene) -> float:
    """When the last of what was measured before the beginning was acknowledged."""
    began = rfc3339(T0_MS)
    return max(
        arrival.answered_s
        for arrival in scene.broker.arrivals
        if arrival.status in (201, 204)
        and any(value.way == "temporal" and value.observed_at < began for value in arrival.taken)
    )


def meanwhile(scene: Scene, street: Street) -> list[float]:
    """The same of what came while the backlog drained, and of nothing else."""
    until_s = drained_s(scene)
    came = {key: at_s for key, at_s in street.offered.items() if at_s <= until_s}
    return latencies(scene, replace(street, offered=came))


def p95(found: list[float]) -> float:
    """The 95th percentile."""
    return found[int(0.95 * len(found))]


@pytest.mark.parametrize("seed", range(12 if NIGHTLY else 3))
def test_no_fault_loses_repeats_or_turns_back_a_value(tmp_path: Path, seed: int) -> None:
    street = Street(seed, lamps=8, backlog=40, live_s=300, period_s=10, share=0.3, restarts=2)
    scene = run(tmp_path, street)
    assert lost(scene, street) == set()
    assert list(regressions(scene.broker)) == []
    assert again(scene.broker) == []
    assert early(scene.broker.arrivals) == []


@pytest.mark.parametrize("seed", range(100, 112 if NIGHTLY else 103))
def test_a_kill_repeats_a_little_and_loses_nothing(tmp_path: Path, seed: int) -> None:
    street = Street(seed, lamps=8, backlog=40, live_s=300, period_s=10, share=0.2, kills=3)
    scene = run(tmp_path, street)
    assert lost(scene, street) == set()
    assert list(regressions(scene.broker)) == []
    assert early(scene.broker.arrivals) == []
    repeated = {key for key in again(scene.broker) if key[1] == ATTRIBUTE}
    # A minute of what is live, and what was not durable: 8 lamps each 10 s. The rest is backlog.
    assert len(repeated) <= 3 * (8 * 6 + 8) + 8 * 40
    last = {f"lamp-{n}": street.numbers[f"lamp-{n}"] for n in range(8)}
    assert {name: 1000 * scene.levels(name)[ATTRIBUTE]["value"] for name in last} == last


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3] if NIGHTLY else [0.15])
def test_a_day_of_a_hundred_assets_drains_and_what_is_live_stays_quick(
    tmp_path: Path, share: float
) -> None:
    """A report each quarter of an hour, or, nightly, a minute; slow, so that it lasts."""
    backlog, a_second = (1_440, 10.0) if NIGHTLY else (96, 2.0)
    street = Street(7, 100, backlog, live_s=240, period_s=10, share=share)
    scene = run(tmp_path, street, a_second=a_second)
    assert lost(scene, street) == set()
    assert list(regressions(scene.broker)) == []
    assert again(scene.broker) == []
    assert early(scene.broker.arrivals) == []
    found = meanwhile(scene, street)
    assert len(found) > 900
    assert p95(found) <= 2.0, (p95(found), found[-1])
