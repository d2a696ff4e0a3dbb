"""A sink before a strict broker: real sockets, virtual time, a log in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerbline.assets import Registry
from kerbline.counters import Counters
from kerbline.model import Entry, Key, Reading
from kerbline.north.ngsi_ld import models
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.client import Client
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.dead_letters import DeadLetters
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.memory import load
from kerbline.north.ngsi_ld.pace import Pace
from kerbline.north.ngsi_ld.sink import Models, NgsiLdSink, Terms
from kerbline.north.ngsi_ld.token import Anonymous, Tokens
from kerbline.north.tls import TlsFiles
from kerbline.sim import virtual_time
from kerbline.sim.ngsi_ld import Arrival, Fault, Request, Standin
from kerbline.store import Batch, Committed

T0_MS = 1_790_000_000_000
QUICK = Terms(window_s=0.05, a_second=0.0, start_s=0.0, backoff_s=(0.2, 2.0))


def lamp(number: int, asset: str = "lamp-1", at_s: float | None = None, level: int = 30) -> Reading:
    """A report of a lamp, of second `at_s` of the scene; its energy tells its number."""
    at_ms = T0_MS + round((number if at_s is None else at_s) * 1000)
    values = {"level_pct": level, "power_w": 24.5, "energy_wh": number, "status": 0}
    return Reading(Key(f"node-{asset}", 7, number), asset, "streetlight", at_ms, 50, values)


class Log:
    """A durable log in memory, one batch a commit."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.cursor = 0
        self.saved = asyncio.Event()

    def commit(self, entries: Sequence[Entry]) -> Committed:
        """Make entries durable."""
        batch = Batch.made(len(self.batches) + 1, T0_MS, entries)
        self.batches.append(batch)
        return Committed(batch.seq, tuple(entries), ())

    async def read(self, after: int, limit: int, sink: str = "") -> Sequence[Batch]:
        """The next batches."""
        assert sink == "ngsi_ld:city"
        await asyncio.sleep(0)
        found: list[Batch] = []
        for batch in self.batches[after:]:
            found.append(batch)
            limit -= len(batch)
            if limit <= 0:
                break
        return found

    def save_cursor(self, sink: str, seq: int) -> None:
        """Remember it."""
        assert sink == "ngsi_ld:city"
        self.cursor = seq
        self.saved.set()

    def latest(self) -> list[Reading]:
        """The newest reading of each asset and kind."""
        found: dict[tuple[str, str], Reading] = {}
        for batch in self.batches:
            for entry in batch.entries:
                if isinstance(entry, Reading):
                    name = (entry.asset, entry.kind)
                    known = found.get(name)
                    if known is None or known.observed_at_ms <= entry.observed_at_ms:
                        found[name] = entry
        return list(found.values())


async def inline(function: Callable[..., Any], *args: Any) -> Any:
    """At no time of the scene's."""
    return function(*args)


@dataclass
class Scene:
    """What a test acts on; `folder` has the sink's files."""

    folder: Path
    broker: Standin = field(default_factory=Standin)
    log: Log = field(default_factory=Log)
    counters: Counters = field(default_factory=Counters)
    terms: Terms = QUICK
    registry: Registry = field(default_factory=lambda: Registry("stad", (), {}))
    city: City | None = None  # one of more than lamps
    seed: int = 1
    tenant: str = ""
    compress: bool = False
    timeout_s: float = 10.0
    tls: TlsFiles | None = None
    form: Form = field(default_factory=Form)
    bands: dict[str, float] = field(default_factory=dict)
    tokens: Callable[[Client], Tokens] = lambda _: Anonymous()
    _sinks: list[tuple[NgsiLdSink, asyncio.Task[None]]] = field(default_factory=list)

    def now_ms(self) -> int:
        """Street time and UTC are one: the loop's."""
        return T0_MS + round(asyncio.get_running_loop().time() * 1000)

    def made(self) -> NgsiLdSink:
        """A sink at the log's cursor, as a gateway's start makes it."""
        city = self.city or City(self.registry, (), models.CHOOSE)
        client = Client(
            self.broker.url, timeout_s=self.timeout_s, tls=self.tls, compress=self.compress
        )
        headers = {"NGSILD-Tenant": self.tenant} if self.tenant else {}
        courier = Courier(
            "ngsi_ld:city",
            client,
            self.tokens(client),
            headers,
            self.now_ms,
            self.counters,
        )
        path = self.folder / "ngsi_ld-city.json"
        return NgsiLdSink(
            "ngsi_ld:city",
            Models(
                lambda entry: models.changes(entry, city),
                lambda: models.standing(city),
                lambda: city.registry.revision,
            ),
            self.form,
            courier,
            self.log,
            DeadLetters(self.folder / "dead-letters" / "city.jsonl"),
            cursor=self.log.cursor,
            latest=self.log.latest(),
            memory_path=path,
            remembered=load(path, self.broker.url, cursor=self.log.cursor),
            paces=(Pace(self.bands, 900), Pace(self.bands, 900)),
            terms=self.terms,
            street_ms=self.now_ms,
            utc_ms=self.now_ms,
            random=random.Random(self.seed).random,
            counters=self.counters,
            blocking=inline,
        )

    def start(self) -> NgsiLdSink:
        """Begin a life."""
        sink = self.made()
        self._sinks.append((sink, asyncio.create_task(sink.run())))
        return sink

    async def kill(self) -> None:
        """End the life, with nothing said or noted."""
        sink, task = self._sinks.pop()
        task.cancel()
        await asyncio.wait([task])
        await sink._courier.close()

    async def stop(self) -> None:
        """End it in order."""
        sink, task = self._sinks.pop()
        task.cancel()
        await asyncio.wait([task])
        await sink.close()

    async def until(self, wanted: Callable[[], bool], within_s: float = 600.0) -> None:
        """Wait, in the scene's time."""
        async with asyncio.timeout(within_s):
            while not wanted():  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.05)

    def came(self, way: str = "") -> list[tuple[str, str, str]]:
        """Keys of values that were taken, in their order."""
        return [
            value.key
            for arrival in self.broker.arrivals
            for value in arrival.taken
            if way in ("", value.way)
        ]

    def levels(self, asset: str = "lamp-1") -> dict[str, Any]:
        """The present state of a lamp, as the broker has it."""
        return self.broker.entities.now.get(f"urn:ngsi-ld:Streetlight:stad:{asset}", {})


def play(scene: Scene, story: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Run a story in virtual time."""

    async def whole() -> None:
        await scene.broker.start()
        try:
            await story(scene)
        finally:
            while scene._sinks:
                await scene.kill()
            await scene.broker.stop()

    virtual_time.run(whole())
    return scene


def once(*faults: Fault, path: str = "") -> Callable[[Request], Fault | None]:
    """These, one a request to `path`, then none."""
    left = list(faults)

    def next_fault(request: Request) -> Fault | None:
        return left.pop(0) if left and path in request.path else None

    return next_fault


def early(arrivals: Sequence[Arrival]) -> list[tuple[float, float]]:
    """Requests that came before the time that an answer had named: (came, not before).

    What came in the moment of that answer was on its way.
    """
    found = []
    said_s = until_s = 0.0
    events = [(each.came_as, True, each) for each in arrivals]
    events += [(each.answered_as, False, each) for each in arrivals if each.status]
    for _, came, arrival in sorted(events, key=lambda event: event[0]):
        if came and said_s < arrival.request.at_s < until_s:
            found.append((arrival.request.at_s, until_s))
        wish = arrival.headers.get("retry-after", "")
        if not came and wish.isdigit():
            said_s = arrival.answered_s
            until_s = max(until_s, said_s + float(wish))
    return found


__all__ = ["Fault", "Log", "Scene", "Terms", "early", "lamp", "once", "play", "replace"]
