"""A sink of the durable log into one NGSI-LD broker: each value once, one way.

The live side upserts what is newest of each attribute, at once. The durable side follows the log
and brings the rest into the history, slower. Neither writes an older value over a newer one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.counters import Counters
from kerbline.model import ANCHOR_KIND, Entry, Gap, NodeState, Reading
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.dead_letters import DeadLetters
from kerbline.north.ngsi_ld.durable import Durable
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.gate import Gate, Lane
from kerbline.north.ngsi_ld.lanes import HistoryLane, LiveLane
from kerbline.north.ngsi_ld.memory import Memory
from kerbline.north.ngsi_ld.newest import FUTURE_MS, Newest, Past
from kerbline.north.ngsi_ld.pace import Key, Pace
from kerbline.north.ngsi_ld.present import Blocking, Present
from kerbline.north.ngsi_ld.reports import Reports
from kerbline.north.ngsi_ld.trials import Rests
from kerbline.north.sink import Journal
from kerbline.store import Committed

CLOSE_S = 2.0
HEARD_S = 90.0  # a node that has not been heard by then is silent
LIVE_BACKOFF_S = 0.1  # after the first failure, at most
LOOK_S = 2.0  # between two looks at the list of assets
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed with one broker."""

    history: str = "rest"  # or "all", "off"
    window_s: float = 0.2  # what comes within it shares a body
    a_second: float = 20.0  # requests of the history
    start_s: float = 2.0  # gateways that come back together begin apart by up to so much
    backoff_s: tuple[float, float] = (0.5, 60.0)


@dataclass(frozen=True, slots=True)
class Models:
    """What the sink asks of the models; all pure."""

    changes: Callable[[Entry | NodeState], Sequence[Change]]
    standing: Callable[[], Sequence[Change]]
    revision: Callable[[], int]  # rises when something else stands


class NgsiLdSink:
    """One broker. `run` is its task; it ends by cancellation only."""

    def __init__(
        self,
        name: str,
        models: Models,
        form: Form,
        courier: Courier,
        journal: Journal,
        letters: DeadLetters,
        *,
        cursor: int,
        latest: Sequence[Reading],
        memory_path: Path,
        remembered: Memory,
        paces: tuple[Pace, Pace],
        terms: Terms,
        street_ms: Callable[[], int],
        utc_ms: Callable[[], int],
        random: Callable[[], float],
        counters: Counters | None = None,
        blocking: Blocking = asyncio.to_thread,
        elsewhere: Container[Key] = (),
    ) -> None:
        """`paces`: of the live side and of the durable one; `blocking` runs what waits for disks.

        `latest` is what is newest in the log, `remembered` what earlier lives knew of the broker.
        `elsewhere`: of these attributes the broker has no state of its own, it asks us.
        """
        self.name = name
        self.letters = letters
        self._models = models
        self._courier = courier
        self._terms = terms
        self._utc_ms = utc_ms
        self._random = random
        self._counters = counters or Counters()
        self._blocking = blocking
        self._revision = -1  # of what was told to stand
        self._listened = False  # for as long as every node takes to be heard
        newest_ms = max((each.observed_at_ms for each in latest), default=0)
        begun_ms = max(street_ms(), newest_ms) + FUTURE_MS
        past = Past(min(remembered.past.until_ms, begun_ms), remembered.past.open)
        self._newest = Newest(paces[0], past, elsewhere)
        self._present = present = Present(
            name,
            self._newest,
            remembered,
            past,
            memory_path,
            window_s=terms.window_s,
            street_ms=street_ms,
            cursor=lambda: self.cursor,
            blocking=blocking,
            whole=terms.history != "all",
        )
        gate = Gate(random)
        quick_s = (min(LIVE_BACKOFF_S, terms.backoff_s[0]), terms.backoff_s[1])
        lane = Lane(gate, quick_s, random)
        slow = Lane(gate, terms.backoff_s, random, terms.a_second)
        self._reports = Reports(form, courier, Lane(gate, terms.backoff_s, random))
        rests = Rests(terms.backoff_s[1], random)
        self._live = LiveLane(self._newest, form, courier, lane, self._bury, present.landed, rests)
        self._durable = Durable(
            name,
            journal,
            present,
            HistoryLane(form, courier, slow, self._bury, present.quiet, self._upserts, random),
            letters,
            models.changes,
            cursor=cursor,
            history=terms.history,
            pace=paces[1],
            blocking=blocking,
        )
        self._begin(latest)

    @property
    def cursor(self) -> int:
        """The batch up to which the broker has everything."""
        return self._durable.cursor

    @property
    def connected(self) -> bool:
        """Did the broker answer as it should, the last time?"""
        return self._courier.connected

    def offer(self, entry: Entry) -> None:
        """Upsert what is newest in it as soon as may be; the durable side has the rest."""
        if not isinstance(entry, Gap):
            self._present.offer(entry, self._models.changes(entry))

    def log_grew(self, committed: Committed | None = None) -> None:
        """Something was committed: the durable side has work, or sees that it has none."""
        self._durable.log_grew(committed)

    def show(self, state: NodeState) -> None:
        """Tell how a node is, if that is news.

        One that was not heard yet is no news while our own start may be the reason.
        """
        if state.since_ms is None and not self._listened:
            return
        if self._present.is_news(state):
            self._present.stand(self._models.changes(state))

    def report(self, change: Change) -> None:
        """Tell how an order stands, after what was told of it before."""
        self._reports.put(change)

    def restate(self, change: Change) -> None:
        """Tell again what is so: somebody wrote otherwise at the broker, and it did not come so."""
        self._present.repeat(change)

    def resend(self, numbers: Collection[int] | None) -> int:
        """Send dead letters again, by number or all; how many these are."""
        return self._durable.resend(numbers)

    async def drop(self, numbers: Collection[int] | None) -> int:
        """Forget dead letters, by number or all; how many these were."""
        return int(await self._blocking(self.letters.drop, numbers))

    async def run(self) -> None:
        """Deliver until cancelled."""
        await asyncio.sleep(self._terms.start_s * self._random())
        asyncio.get_running_loop().call_later(HEARD_S, self._listen)
        async with asyncio.TaskGroup() as sides:
            sides.create_task(self._present.run(self._live))
            sides.create_task(self._durable.run())
            sides.create_task(self._watch_standing())
            sides.create_task(self._reports.run())

    async def close(self) -> None:
        """Note how far it came, and let go; after `run` was cancelled."""
        await self._present.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._courier.close()
        except TimeoutError:
            _log.debug("%s: left without a word", self.name)

    def _begin(self, latest: Sequence[Reading]) -> None:
        """What stands, and what is newest in the log: the city has it before a backlog goes."""
        found = [(each, self._models.changes(each)) for each in latest if each.kind != ANCHOR_KIND]
        for _, changes in found:
            self._newest.know(changes)
        self._stand()
        for reading, changes in found:
            if changes:
                self._present.offer(reading, changes)

    def _upserts(self) -> int:
        return self._live.taken

    def _listen(self) -> None:
        self._listened = True

    async def _watch_standing(self) -> None:
        """Tell what stands otherwise: there is another list of assets, or a node joined or went."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._models.revision() != self._revision:
                self._stand()

    def _stand(self) -> None:
        self._revision = self._models.revision()
        self._present.stand(self._models.standing())

    async def _bury(self, way: str, found: Sequence[tuple[str, Change]]) -> None:
        if not found:
            return
        self._counters.count("ngsi_ld.refused", len(found))
        reason, change = found[0]
        self._courier.say(f"{reason}: {change.id}", f"{len(found)} are dead letters now")
        letters = [(way, reason, change) for reason, change in found]
        try:
            await self._blocking(self.letters.add, letters, self._utc_ms())
        except OSError as error:
            self._courier.say(f"{error.strerror}: {self.letters.path}", "kept in memory so far")
