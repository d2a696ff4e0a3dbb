"""The campaign of a running gateway: steps it, makes each step durable, then carries it out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from kerbline.agent.fleet.update_bringing import Bringing, Making
from kerbline.agent.fleet.update_keeping import Keeping
from kerbline.bundle import Bundle, BundleFault
from kerbline.clock import Clock
from kerbline.model import Reading
from kerbline.south.arrivals import Carried, Obeyed, Runs, UpdateWord
from kerbline.update.campaign import Action, Activate, Campaign, Course, Offer, Run
from kerbline.update.carrier import Carrier
from kerbline.update.hearing import Running
from kerbline.update.journal import Journal, JournalFault, Kept
from kerbline.update.plan import Plan
from kerbline.update.roots import Roots
from kerbline.update.states import OPEN, STARTING, UNDER_WAY, State
from kerbwire import messages as m

EVENT = m.EVENT_NAMES[m.EV_UPDATE]
STEP_S = 1.0
SHORTEST_STEP_S = 0.1  # however much comes in
ORDER_MS = 120_000  # an order to start is void after that: the node may be asleep again
SET_MS = 5_000  # a clock that is that much off was set
REFUSED_S = 10.0  # after the disk refused

log = logging.getLogger("kerbline.update")


class Updates:
    """One campaign at a time. `waiting` calls what may wait for the disk, in a thread or not."""

    def __init__(
        self,
        journal: Journal,
        carrier: Carrier,
        clock: Clock,
        whole_parts: Making,
        waiting: Callable[[Callable[[], object]], Awaitable[object]],
    ) -> None:
        self.journal = journal
        self.carrier = carrier
        self.clock = clock
        self.campaign: Campaign | None = None
        self._keeping = Keeping(journal, clock, waiting)
        self._bringing = Bringing(carrier, whole_parts, waiting)
        self._waiting = waiting
        self._wake = asyncio.Event()
        self._stepping = asyncio.Lock()
        self._told: dict[str, Runs] = {}  # what each node runs, whether there is a campaign or not
        self._actions: list[Action] = []
        self._moved: dict[str, tuple[int, int] | None] = {}
        self._offset_ms: int | None = None  # of UTC to what only goes forward

    def resume(self, roots: Roots) -> None:
        """Take up what the disk has of a campaign; may wait for it."""
        try:
            kept = self.journal.read()
        except JournalFault as fault:
            log.error("no campaign is taken up: %s", fault)
            return
        if kept is None:
            return
        campaign = Campaign(kept.plan, kept.course, kept.progress)
        self._keeping.begin(kept)
        now_ms = self._now_ms()
        self.campaign = campaign
        campaign.resume(now_ms)
        if not campaign.live:
            return
        try:
            self._bringing.begin(roots.load(kept.bundle))
            log.info("the campaign for release %s goes on: %s", kept.plan.version, kept.course.run)
        except BundleFault as fault:
            campaign.turn(Run.STOPPED, f"its bundle can't be used any more: {fault}", now_ms)
            log.error("the campaign for release %s stopped: %s", kept.plan.version, fault)

    async def start(self, plan: Plan, course: Course, bundle: Bundle) -> None:
        """Make a campaign durable, and begin it; raises JournalFault."""
        async with self._stepping:  # the one before is not being written meanwhile
            kept = await self._waiting(lambda: self.journal.begin(plan, course))
            assert isinstance(kept, Kept)
            self.begin(kept, bundle)

    def begin(self, kept: Kept, bundle: Bundle) -> None:
        """A campaign that is durable begins; the nodes that are there have told what they run."""
        self._bringing.begin(bundle)
        self._keeping.begin(kept)
        self._moved, self._actions = {}, []  # of the one before
        campaign = Campaign(kept.plan, kept.course, kept.progress)
        self.campaign = campaign
        campaign.resume(self._now_ms())
        for node, runs in self._told.items():
            self._joined(campaign, node, runs)
        log.info(
            "a campaign begins: release %s, build %s, to %d nodes",
            kept.plan.version,
            kept.plan.build.hex(),
            len(kept.plan.members),
        )
        self._wake.set()

    def turn(self, run: Run, why: str) -> None:
        """A person pauses, resumes or aborts."""
        assert self.campaign is not None
        self.campaign.turn(run, why, self._now_ms())
        self._wake.set()

    def hear(self, word: UpdateWord) -> None:
        """What a node's link has to say."""
        if isinstance(word, Runs):
            self._told[word.node] = word
        campaign = self.campaign
        if campaign is None or word.node not in campaign.fleet:
            return
        now_ms = self._now_ms()
        self._listen(campaign, [word.node])
        match word:
            case Runs(node):
                self._joined(campaign, node, word)
            case Carried(node, _, whole):
                self._bringing.carried(node)
                campaign.hearing.carried(node, now_ms, whole=whole)
            case Obeyed(node, reason):
                campaign.hearing.answered(node, reason, now_ms)
        self._wake.set()

    def consider(self, reading: Reading) -> None:
        """A node's record, which may be about an update."""
        if reading.kind != "event" or reading.values.get("event") != EVENT:
            return
        node, value = reading.key.source, reading.values.get("value")
        campaign = self.campaign
        if campaign is None or node not in campaign.fleet or not isinstance(value, int):
            return
        self._listen(campaign, [node])
        record = (reading.key.epoch, reading.key.number)
        campaign.hearing.told(node, value, record, self._now_ms())
        self._wake.set()

    async def run(self) -> None:
        """Step for ever."""
        while True:
            self._wake.clear()
            await self.step()
            await asyncio.sleep(REFUSED_S if self._keeping.refused else SHORTEST_STEP_S)
            campaign = self.campaign
            waits = campaign is not None and (campaign.watched or self._keeping.owes)
            try:
                async with asyncio.timeout(STEP_S if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    @property
    def has_bundle(self) -> bool:
        """Is there something to bring to the nodes?"""
        return self._bringing.bundle is not None

    @property
    def is_kept(self) -> bool:
        """Has the disk taken all that was decided?"""
        return not self._keeping.refused

    async def step(self) -> None:
        """Decide what is next, keep it, do it."""
        async with self._stepping:
            if self.campaign is not None:
                await self._step(self.campaign)

    async def _step(self, campaign: Campaign) -> None:
        now_ms = self._now_ms()
        if campaign.watched and not self._keeping.refused:
            self._look(campaign, now_ms)
            self._actions += campaign.tick(now_ms, self.carrier.there())
        starts = any(isinstance(action, Activate) for action in self._actions)
        if not await self._keeping.keep(campaign, now_ms, pressing=starts):
            return
        actions, self._actions = self._actions, []
        for action in actions:
            running = campaign.course.run is Run.RUNNING  # a person may have paused it by now
            match action:
                case Offer() if running:
                    await self._bringing.offer(campaign, action, self._now_ms())
                case Offer(node):
                    campaign.hearing.offered.discard(node)  # it is due when somebody resumes
                case Activate(node) if not running:
                    campaign.hearing.answered(node, "expired", now_ms)
                case Activate(node) if not self.carrier.activate(node, now_ms + ORDER_MS):
                    campaign.hearing.answered(node, "expired", now_ms)
        self._bringing.withdraw(campaign)

    def _now_ms(self) -> int:
        """UTC; where the clock was set, what the campaign waits for is set with it."""
        now_ms = self.clock.utc_ms()
        offset_ms = now_ms - self.clock.monotonic_ms()
        if self._offset_ms is None or self.campaign is None:
            self._offset_ms = offset_ms
        elif abs(offset_ms - self._offset_ms) > SET_MS:
            log.warning("the clock was set: the campaign goes on as if no time had passed")
            self.campaign.shift(offset_ms - self._offset_ms)
            self._offset_ms = offset_ms
        return now_ms

    def _joined(self, campaign: Campaign, node: str, runs: Runs) -> None:
        if node in campaign.fleet:
            running = Running(runs.build, runs.messages, runs.epoch, runs.number)
            campaign.hearing.joined(node, running, self._now_ms())

    def _listen(self, campaign: Campaign, nodes: Iterable[str]) -> None:
        """For how long was nothing heard of who is starting?"""
        for node in nodes:
            campaign.hearing.voice(node, self.carrier.heard_ms(node))

    def _look(self, campaign: Campaign, now_ms: int) -> None:
        """What the links know beside what nodes say."""
        self._listen(campaign, campaign.fleet.within(*STARTING))
        campaign.hearing.excuse(node for node in self.carrier.away() if node in campaign.fleet)
        for node in campaign.fleet.within(*OPEN):
            if not self.carrier.knows(node):
                campaign.hearing.left(node, now_ms)
        for node in campaign.fleet.within(State.DUE, *UNDER_WAY):  # these, where we began anew
            if node not in campaign.hearing.boards and (board := self.carrier.board(node)):
                campaign.hearing.has_board(node, board, now_ms)
        for node in campaign.fleet.within(*UNDER_WAY):
            progress = self.carrier.progress(node)
            if progress != self._moved.get(node):
                self._moved[node] = progress
                campaign.hearing.moved_ms[node] = now_ms
