"""The campaign of a running gateway: steps it, makes each step durable, then carries it out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from kerbline.agent.fleet.update_log import UpdateLog
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
from kerbline.update.states import OPEN, STARTING, UNDER_WAY, Progress, State
from kerbwire import messages as m

EVENT = m.EVENT_NAMES[m.EV_UPDATE]
STEP_S = 1.0
SHORTEST_STEP_S = 0.1  # however much comes in
ORDER_MS = 120_000  # an order to start is void after that: the node may be asleep again
KEEP_MS = 5_000  # what nothing hangs on is made durable after that
SET_MS = 5_000  # a clock that is that much off was set
REFUSED_S = 10.0  # after the disk refused

log = logging.getLogger("kerbline.update")


class Making(Protocol):
    """Makes the parts of a bundle that a node lacks which has none of its objects."""

    def __call__(self, bundle: Bundle) -> bytes: ...


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
        self._bundle: Bundle | None = None
        self._whole_parts = whole_parts
        self._whole = b""
        self._waiting = waiting
        self._wake = asyncio.Event()
        self._stepping = asyncio.Lock()
        self._told: dict[str, Runs] = {}  # what each node runs, whether there is a campaign or not
        self._unkept: tuple[Course | None, dict[str, Progress]] = (None, {})
        self._actions: list[Action] = []
        self._moved: dict[str, tuple[int, int] | None] = {}
        self._given: set[str] = set()  # to whom something is offered
        self._log = UpdateLog()
        self._refused = False
        self._kept_ms = 0  # monotonic
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
        self._log.begin(kept.progress, kept.course.run)
        now_ms = self._now_ms()
        self.campaign = campaign
        campaign.resume(now_ms)
        if not campaign.live:
            return
        try:
            self._bundle = roots.load(kept.bundle)
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
        self._bundle, self._whole = bundle, b""
        self._log.begin({})
        self._moved = {}
        self._actions, self._unkept = [], (None, {})  # of the one before
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
                self._given.discard(node)
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
            await asyncio.sleep(REFUSED_S if self._refused else SHORTEST_STEP_S)
            campaign = self.campaign
            waits = campaign is not None and (campaign.watched or bool(self._unkept[1]))
            try:
                async with asyncio.timeout(STEP_S if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    @property
    def has_bundle(self) -> bool:
        """Is there something to bring to the nodes?"""
        return self._bundle is not None

    @property
    def is_kept(self) -> bool:
        """Has the disk taken all that was decided?"""
        return not self._refused

    async def step(self) -> None:
        """Decide what is next, keep it, do it."""
        async with self._stepping:
            if self.campaign is not None:
                await self._step(self.campaign)

    async def _step(self, campaign: Campaign) -> None:
        now_ms = self._now_ms()
        if campaign.watched and not self._refused:
            self._look(campaign, now_ms)
            self._actions += campaign.tick(now_ms, self.carrier.there())
        if not await self._keep(campaign, now_ms):
            return
        actions, self._actions = self._actions, []
        for action in actions:
            running = campaign.course.run is Run.RUNNING  # a person may have paused it by now
            match action:
                case Offer() if running:
                    await self._offer(campaign, action)
                case Offer(node):
                    campaign.hearing.offered.discard(node)  # it is due when somebody resumes
                case Activate(node) if not running:
                    campaign.hearing.answered(node, "expired", now_ms)
                case Activate(node) if not self.carrier.activate(node, now_ms + ORDER_MS):
                    campaign.hearing.answered(node, "expired", now_ms)
        self._withdraw(campaign)

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

    def _withdraw(self, campaign: Campaign) -> None:
        """What is not to go now is offered no more; a node keeps what it has of it."""
        running = campaign.course.run is Run.RUNNING
        for node in [*self._given]:
            known = node in campaign.fleet
            if running and known and campaign.fleet[node].state in UNDER_WAY:
                continue
            self.carrier.drop(node)
            self._given.discard(node)
            campaign.hearing.offered.discard(node)

    async def _offer(self, campaign: Campaign, offer: Offer) -> None:
        assert self._bundle is not None
        self._given.add(offer.node)
        if offer.image:
            if self._bundle.image is None:  # it wants what the manifest does not name
                campaign.hearing.again(
                    offer.node, "asks for an image that is none of it", self._now_ms()
                )
                return
            self.carrier.offer(offer.node, m.OBJECT_IMAGE, self._bundle.image)
            return
        if not offer.parts:
            self.carrier.offer(offer.node, m.OBJECT_UPDATE, self._bundle.signed_manifest)
            return
        build = campaign.hearing.running[offer.node].build
        parts = None if offer.whole else self._bundle.parts_from(build)
        if parts is None and not self._whole:
            bundle = self._bundle
            made = await self._waiting(lambda: self._whole_parts(bundle))
            assert isinstance(made, bytes)
            self._whole = made
        self.carrier.offer(offer.node, m.OBJECT_PARTS, parts or self._whole)

    async def _keep(self, campaign: Campaign, now_ms: int) -> bool:
        """Make durable what changed; a disk that refuses is said once, and asked again.

        An order to start is durable before it goes; a transfer that is forgotten goes on anyway.
        """
        course, changed = campaign.changes()
        self._log.tell(campaign, course, changed, now_ms)
        before, progress = self._unkept
        course, progress = course or before, progress | changed
        self._unkept = (course, progress)
        pressing = course is not None or any(isinstance(a, Activate) for a in self._actions)
        steady_ms = self.clock.monotonic_ms()
        if not pressing and (not progress or steady_ms - self._kept_ms < KEEP_MS):
            return True
        self._kept_ms = steady_ms
        try:
            await self._waiting(lambda: self.journal.append(course, progress))
        except JournalFault as fault:
            if not self._refused:
                log.error("the campaign waits until its progress can be kept: %s", fault)
            self._refused = True
            return False
        self._unkept = (None, {})
        self._refused = False
        return True
