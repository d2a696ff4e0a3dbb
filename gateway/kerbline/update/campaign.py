"""A campaign: which node gets what next, stage by stage, and when it stops by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from kerbline.update.declared import as_declared
from kerbline.update.fleet import Fleet
from kerbline.update.hearing import Hearing
from kerbline.update.plan import MINUTE_MS, Plan
from kerbline.update.states import (
    ABORTED,
    ENDED,
    NOT_SEEN,
    OPEN,
    STARTING,
    UNDER_WAY,
    Progress,
    State,
)

STOP_PCT = 2  # of the nodes whose stage has begun: that many have failed, it stops
TRANSFERS = 32  # at a time, in all ...
TRANSFERS_PER_LINE = 2  # ... and on a serial line, ...
TRANSFERS_UDP = 16  # ... and of all nodes on UDP
TRIALS = 32  # nodes that start at a time, so that a bad release stops a campaign in time
TRIAL_MS = 600_000
FIRST_WORD_MS = 1_000  # for a node that restarted to say what became of what it had
STREET_PCT = 10  # of a street's lamps, at least one, start at a time ...
STREET_GAP_MS = 10_000  # ... and so long apart
ABSENT_MS = 26 * 3_600_000  # a stage waits no longer for a node of which nothing is heard
UDP = "udp"


class Run(StrEnum):
    """How a campaign as a whole stands; the last two end it."""

    RUNNING = "running"
    PAUSED = "paused"  # by a person
    STOPPED = "stopped"  # by itself
    ABORTED = "aborted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Course:
    """What is durable of the campaign itself.

    `why` for people; `settled_ms`: when all of the stage had ended, 0 before; `forgiven`:
    failures that somebody has looked at; `opened_ms`: when the stage began.
    """

    run: Run = Run.RUNNING
    why: str = ""
    at_ms: int = 0
    stage: int = 0
    opened_ms: int = 0
    settled_ms: int = 0
    forgiven: int = 0

    def encoded(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def decoded(cls, found: Mapping[str, Any]) -> Course:
        """From what `encoded` gave; ValueError or TypeError for anything else."""
        made = as_declared(cls(**{**found, "run": Run(found["run"])}))
        if made.stage < 0:
            raise ValueError("a stage below the first")
        return made


@dataclass(frozen=True, slots=True)
class Offer:
    """Offer a node the signed manifest, its parts (`whole` ones build on nothing), or its image."""

    node: str
    parts: bool
    whole: bool
    image: bool = False


@dataclass(frozen=True, slots=True)
class Activate:
    """Tell a node to start what it has staged."""

    node: str


Action = Offer | Activate


class Campaign:
    """Steps through a plan; what `changes` gives must be durable before an action is carried out.

    What the nodes say goes to `hearing`.
    """

    def __init__(self, plan: Plan, course: Course, known: Mapping[str, Progress]) -> None:
        self.plan = plan
        self.course = course
        self.fleet = Fleet(plan.members, known)
        self.hearing = Hearing(plan.build, plan.board, self.fleet)
        self._began_ms = 0  # of this life of the gateway
        self._lit_ms: dict[str, int] = {}  # when a lamp of each street was last told to start
        self._places = {each.node: place for place, each in enumerate(plan.members)}
        self._streets = Counter(each.street for each in plan.members if each.street)
        self._course_changed = False

    def resume(self, now_ms: int) -> None:
        """A gateway begins: whoever was starting went without it for a while."""
        self._began_ms = now_ms
        self.hearing.excuse(self.fleet.within(*STARTING))
        if not self.live:
            self._close(now_ms)  # a kill may have left it half done

    def shift(self, by_ms: int) -> None:
        """The clock was set by so much: no time has passed for what is waited for."""
        self._began_ms += by_ms
        self._lit_ms = {street: at_ms + by_ms for street, at_ms in self._lit_ms.items()}
        self.hearing.shift(by_ms)
        if self.course.settled_ms:
            self._change(settled_ms=self.course.settled_ms + by_ms)
        for node in self.fleet.within(*STARTING):
            self.fleet.note(node, at_ms=self.fleet[node].at_ms + by_ms)
        for node in self.fleet.within(State.DUE):
            if self.fleet[node].not_before_ms:
                later_ms = self.fleet[node].not_before_ms + by_ms
                self.fleet.note(node, not_before_ms=later_ms)

    @property
    def live(self) -> bool:
        """Is there something left to bring, now or when it is resumed?"""
        return self.course.run not in (Run.ABORTED, Run.ENDED)

    @property
    def watched(self) -> bool:
        """Is there a node whose state may still change by time alone?"""
        return self.live or self.fleet.count(*STARTING) > 0

    @property
    def failures(self) -> int:
        """Nodes that refused the release or rolled back, and nobody has looked at yet."""
        return self.fleet.count(State.FAILED) - self.course.forgiven

    def stage_of(self, node: str) -> int:
        """The stage that a node is in, from 0."""
        place = self._places[node]
        ends = map(self.plan.stage_end, range(len(self.plan.stages)))
        return next(stage for stage, end in enumerate(ends) if place < end)

    def turn(self, run: Run, why: str, now_ms: int) -> None:
        """Another state of the whole; to resume forgives the failures up to now."""
        forgiven = self.course.forgiven
        if run is Run.RUNNING and self.course.run is Run.STOPPED:
            forgiven = self.fleet.count(State.FAILED)
        self._change(run=run, why=why, at_ms=now_ms, forgiven=forgiven)
        if not self.live:
            self._close(now_ms)

    def _close(self, now_ms: int) -> None:
        """It is over: each node's state is final, but for who is starting the release just now."""
        self.hearing.over = True
        for node in self.fleet.within(*OPEN - STARTING):
            progress = self.fleet[node]
            begun = progress.tries or progress.state not in (State.WAITING, State.DUE)
            before = f"; before: {progress.why}" if progress.why else ""
            self.fleet.move(
                node,
                State.GIVEN_UP if begun else State.SKIPPED,
                now_ms,
                why=ABORTED[progress.state] + before,
            )

    def changes(self) -> tuple[Course | None, dict[str, Progress]]:
        """What is to be made durable since this was asked last."""
        course = self.course if self._course_changed else None
        self._course_changed = False
        return course, self.fleet.changes()

    def tick(self, now_ms: int, there: Collection[str]) -> list[Action]:
        """The next actions; `there` are the nodes that are heard now."""
        if not self.watched:
            return []
        for node in self.fleet.within(*UNDER_WAY, *STARTING):
            if node in there:
                self.hearing.watch(node, now_ms)
            else:
                self.hearing.moved_ms[node] = now_ms
                if not self.live and self._absent(node, self._began_ms, now_ms):
                    self.fleet.move(node, State.GIVEN_UP, now_ms, why=NOT_SEEN)
        if self.course.run is Run.RUNNING:
            self._judge(now_ms)
        if self.course.run is not Run.RUNNING:
            return []
        self._open(now_ms, there)
        return [*self._offers(now_ms, there), *self._activations(now_ms, there)]

    def _judge(self, now_ms: int) -> None:
        """Stop where too many have failed, or where nobody may take the release any more."""
        end = self.plan.stage_end(self.course.stage)
        begun = end - sum(self._places[node] < end for node in self.fleet.within(State.SKIPPED))
        if self.failures > 0 and 100 * self.failures >= STOP_PCT * begun:
            why = (
                f"{self.failures} of {begun} nodes whose stage has begun failed, "
                f"{STOP_PCT} % is too many"
            )
            self.turn(Run.STOPPED, why, now_ms)
        elif 0 < self.plan.expires_ms <= now_ms:
            self.turn(Run.STOPPED, "the release has expired: nodes would refuse it", now_ms)

    def _open(self, now_ms: int, there: Collection[str]) -> None:
        """Begin the stage, or the next one when this one has settled and soaked."""
        if not self.course.opened_ms:
            self._change(opened_ms=now_ms)
        end = self.plan.stage_end(self.course.stage)
        for node in self.fleet.within(State.WAITING):
            if self._places[node] < end:
                self.fleet.move(node, State.DUE, now_ms)
        if self.fleet.count(*ENDED) == len(self.plan.members):
            done, failed = self.fleet.count(State.DONE), self.fleet.count(State.FAILED)
            self.turn(Run.ENDED, f"{done} nodes run it, {failed} failed", now_ms)
        elif self.course.stage < len(self.plan.stages) - 1 and self._settled(end, now_ms, there):
            if not 0 < self.course.settled_ms <= now_ms:  # or by a clock that was wrong
                self._change(settled_ms=now_ms)
            if now_ms - self.course.settled_ms >= self.plan.soak_min * MINUTE_MS:
                stage = self.course.stage + 1
                self._change(stage=stage, opened_ms=now_ms, settled_ms=0)
                self._open(now_ms, there)
        elif self.course.settled_ms:  # one went back while its stage soaked
            self._change(settled_ms=0)

    def _settled(self, end: int, now_ms: int, there: Collection[str]) -> bool:
        """Has each come to an end, or not been heard for so long that nobody waits for it?"""
        since_ms = max(self.course.opened_ms, self._began_ms)
        for node in self.fleet.within(*OPEN):
            if self._places[node] >= end:
                continue
            if node in there or not self._absent(node, since_ms, now_ms):
                return False
        return self.fleet.count(State.DONE, State.SKIPPED) > 0

    def _absent(self, node: str, since_ms: int, now_ms: int) -> bool:
        """Has nothing been heard of it for so long that nobody waits for it?"""
        heard_ms = max(since_ms, self.hearing.heard_ms.get(node, 0), self.fleet[node].at_ms)
        return now_ms - heard_ms >= ABSENT_MS

    def _offers(self, now_ms: int, there: Collection[str]) -> list[Action]:
        """Transfers that begin or go on, as many as their lines have room for."""
        hearing, fleet = self.hearing, self.fleet
        busy: Counter[str] = Counter()
        going = [node for node in fleet.within(*UNDER_WAY) if node in there]
        for node in going:
            if node in hearing.offered:
                busy[fleet.members[node].line] += 1
        total = busy.total()
        waiting = [node for node in going if node not in hearing.offered]
        waiting += [node for node in fleet.within(State.DUE) if node in there]
        actions: list[Action] = []
        for node in waiting:
            if total >= TRANSFERS:
                break
            line = fleet.members[node].line
            if busy[line] >= (TRANSFERS_UDP if line == UDP else TRANSFERS_PER_LINE):
                continue  # asked first: it is so for most
            if not hearing.known(node, now_ms) or hearing.rests(node, now_ms):
                continue
            if fleet[node].state in UNDER_WAY and now_ms - hearing.joined_ms[node] < FIRST_WORD_MS:
                continue
            busy[line] += 1
            total += 1
            actions.append(self._offer(node, now_ms))
        return actions

    def _offer(self, node: str, now_ms: int) -> Offer:
        progress = self.fleet[node]
        if progress.state is State.DUE:
            known = self.hearing.running[node]
            epoch, number = progress.after
            after = (
                known.epoch,
                max(number, known.number) if epoch == known.epoch else known.number,
            )
            self.fleet.move(node, State.MANIFEST, now_ms, after=after, excused=False)
        self.hearing.offered.add(node)
        self.hearing.moved_ms[node] = now_ms
        state = self.fleet[node].state
        return Offer(node, state is State.PARTS, progress.whole, state is State.IMAGE)

    def _activations(self, now_ms: int, there: Collection[str]) -> list[Action]:
        """Who starts now: in the hours that are given, a street a few lamps at a time."""
        fleet = self.fleet
        staged = [node for node in fleet.within(State.STAGED) if node in there]
        if not staged or not self.plan.in_window(now_ms):
            return []
        starting = fleet.within(*STARTING)
        total = sum(
            node in there or now_ms - fleet[node].at_ms < TRIAL_MS for node in starting
        )  # a meter that is asleep on trial takes nobody's place
        dark = Counter(fleet.members[node].street for node in starting)
        actions: list[Action] = []
        for node in staged:
            if total >= TRIALS:
                break
            street = fleet.members[node].street
            if street:
                most = max(1, STREET_PCT * self._streets[street] // 100)
                lit_ms = self._lit_ms.get(street)
                if dark[street] >= most or (lit_ms is not None and now_ms - lit_ms < STREET_GAP_MS):
                    continue
                self._lit_ms[street] = now_ms
                dark[street] += 1
            total += 1
            fleet.move(node, State.ORDERED, now_ms, excused=False)
            self.hearing.ordered(node, now_ms)
            actions.append(Activate(node))
        return actions

    def _change(self, **fields: Any) -> None:  # noqa: ANN401 - those of Course
        self.course = replace(self.course, **fields)
        self._course_changed = True
