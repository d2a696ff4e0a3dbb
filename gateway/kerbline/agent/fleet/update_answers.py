"""What an operator asks of campaigns at the gateway's own socket: start, status, pause ..."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline.agent.fleet.update_choice import Choice
from kerbline.agent.fleet.updates import Updates
from kerbline.assets import Registry
from kerbline.bundle import Bundle, BundleFault, demand
from kerbline.bundle.archive import MOST_BYTES
from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.local_socket import Answer, Answering, Declined, Question
from kerbline.south.nodes import Nodes
from kerbline.update import plan as plans
from kerbline.update.campaign import Campaign, Course, Run
from kerbline.update.journal import JournalFault
from kerbline.update.plan import MINUTE_MS, Plan, PlanFault
from kerbline.update.roots import Roots
from kerbline.update.signatures import Signatures
from kerbline.update.states import UNDER_WAY
from kerbwire.messages import ANCHOR_ZERO_S

log = logging.getLogger("kerbline.update")


class Answers:
    """Answers "update-start", "update-status" and "update-turn"."""

    def __init__(
        self,
        config: Config,
        updates: Updates,
        nodes: Nodes,
        registry: Registry | None,
        clock: Clock,
        waiting: Callable[[Callable[[], object]], Awaitable[object]],
    ) -> None:
        """`waiting` calls what may wait for the disk."""
        assert config.firmware is not None
        self._config = config
        self._firmware = config.firmware
        self._updates = updates
        self._nodes = nodes
        self._choice = Choice(nodes, registry)
        self._signatures = Signatures(config.gateway.state_dir)
        self._clock = clock
        self._waiting = waiting
        self._starting = False

    def all(self) -> Mapping[str, Answering]:
        """The answers by what is asked."""
        return {
            "update-start": self.start,
            "update-status": self.status,
            "update-turn": self.turn,
        }

    async def start(self, question: Question) -> Answer:
        """Begin a campaign with the `bundle` at a path; it is durable before the answer."""
        running = self._updates.campaign
        if self._starting or (running is not None and running.live):
            told = "another one is being begun"
            if running is not None and running.live:
                told = f"the one for release {running.plan.version} is {running.course.run}"
            raise Declined(f"one campaign at a time: {told}; `kerbline update abort` ends it")
        self._starting = True
        try:
            return await self._start(question)
        except (PlanFault, BundleFault, JournalFault) as fault:
            raise Declined(str(fault)) from None
        finally:  # in this order: the next one's draft has the same place
            await self._waiting(self._updates.journal.forget_draft)
            self._starting = False

    async def _start(self, question: Question) -> Answer:
        path = Path(str(question.get("bundle", "")))
        schedule = _schedule(question)
        chosen = self._choice.asked(question)
        bundle = await self._waiting(lambda: self._taken(path))
        assert isinstance(bundle, Bundle)
        members = self._choice.members(bundle, path, chosen, self._updates.campaign)
        there = {state.node for state in self._nodes.states() if state.online}
        following = bundle.next_root
        roots = await self._waiting(lambda: Roots.of(self._firmware))
        assert isinstance(roots, Roots)
        light = self._config.light
        expires_s = bundle.about.expires_s
        made = Plan(
            version=bundle.about.version,
            build=bundle.build,
            board=bundle.about.board,
            sequence=bundle.about.sequence,
            began_ms=self._clock.utc_ms(),
            members=tuple(plans.in_order(members, bundle.build, there.__contains__)),
            stages=schedule.stages,
            soak_min=schedule.soak_min,
            window=schedule.window,
            time_zone="" if light is None else light.time_zone,
            expires_ms=1000 * (expires_s + ANCHOR_ZERO_S) if expires_s else 0,
            hands_over_to="" if following is None else str(following),
        )
        await self._updates.start(made, Course(at_ms=made.began_ms), bundle)
        return _begun(made, there) | {
            "next_root_known": following is None or roots.knows(following)
        }

    def _taken(self, path: Path) -> Bundle:
        """The bundle, copied and verified; may wait for the disk."""
        try:
            if not path.is_file():
                raise PlanFault(f"{path}: is no file that the gateway can see")
            if path.stat().st_size > MOST_BYTES:
                raise PlanFault(f"{path}: is no bundle: more than {MOST_BYTES >> 20} MiB")
        except OSError as error:
            raise PlanFault(
                f"{path}: the gateway can't read it: {error.strerror}; put it where its user can"
            ) from None
        copy = self._updates.journal.take(path)
        try:
            data = copy.read_bytes()
        except OSError as error:
            raise JournalFault(f"{copy}: can't be read again: {error.strerror}") from None
        bundle = Roots.of(self._firmware).loads(data, path)
        demand(bundle, path, now_s=self._clock.utc_ms() // 1000 - ANCHOR_ZERO_S)
        self._demand_own_signature(bundle, path)
        return bundle

    def _demand_own_signature(self, bundle: Bundle, path: Path) -> None:
        """A key that was copied brings its successor, and nothing else."""
        wrong = self._signatures.take(bundle)
        if wrong and bundle.next_root is None:
            raise PlanFault(
                f"{path}: {wrong}; find out who signed which, make a new root, and bring it to "
                "every node by a release with --next-root"
            )
        if wrong:
            log.warning("a release is taken for its next root alone: %s", wrong)

    async def status(self, _question: Question) -> Answer:
        """The campaign as it stands, or the last one, with each node."""
        campaign = self._updates.campaign
        if campaign is None:
            return {"campaign": None}
        plan, course, fleet = campaign.plan, campaign.course, campaign.fleet
        there = self._updates.carrier.there()
        counts = Counter(str(progress.state) for _, progress in fleet.items())
        settled_ms = course.settled_ms
        return {
            "campaign": {
                "version": plan.version,
                "build": plan.build.hex(),
                "board": plan.board,
                "sequence": plan.sequence,
                "began_ms": plan.began_ms,
                "run": course.run,
                "why": course.why,
                "stage": course.stage + 1,
                "stages": [plan.stage_end(stage) for stage in range(len(plan.stages))],
                "soaks_until_ms": settled_ms + plan.soak_min * MINUTE_MS if settled_ms else None,
                "window": plan.window,
                "in_window": plan.in_window(self._clock.utc_ms()),
                "counts": counts,
            },
            "at_ms": self._clock.utc_ms(),
            "nodes": [self._told(campaign, node, online=node in there) for node in fleet.members],
        }

    def _told(self, campaign: Campaign, node: str, *, online: bool) -> dict[str, Any]:
        """A node of the status."""
        progress = campaign.fleet[node]
        running = campaign.hearing.running.get(node)
        link = self._nodes.link(node)
        told: dict[str, Any] = {
            "node": node,
            "asset": "" if link is None else link.node.asset,
            "stage": campaign.stage_of(node) + 1,
            "state": progress.state,
            "why": progress.why,
            "at_ms": progress.at_ms,
            "tries": progress.tries,
            "online": online,
            "runs": None if running is None else running.build.hex(),
        }
        carrying = None if link is None else link.hold.carrying
        if carrying is not None and progress.state in UNDER_WAY:
            told |= {"block": carrying.index, "blocks": carrying.blocks, "left_s": carrying.left_s}
        return told

    async def turn(self, question: Question) -> Answer:
        """`to`: "pause", "resume" or "abort"."""
        campaign = self._updates.campaign
        if campaign is None:
            raise Declined("there is no campaign; `kerbline update start` begins one")
        run = campaign.course.run
        wanted = {"pause": Run.PAUSED, "resume": Run.RUNNING, "abort": Run.ABORTED}
        to = wanted.get(str(question.get("to")))
        if to is None:
            raise Declined(f'"to" is one of {", ".join(wanted)}')
        if not campaign.live:
            raise Declined(f"the campaign for release {campaign.plan.version} is {run} already")
        if to is run:
            raise Declined(f"the campaign for release {campaign.plan.version} is {run} already")
        if to is Run.RUNNING and not self._updates.has_bundle:
            raise Declined("its bundle can't be used any more; abort it and start another one")
        self._updates.turn(to, "by an operator")
        await self._updates.step()
        return {
            "version": campaign.plan.version,
            "run": campaign.course.run,
            "kept": self._updates.is_kept,
        }


@dataclass(frozen=True, slots=True)
class _Schedule:
    """When the nodes of a campaign get its release, as `Plan` has it."""

    stages: tuple[float, ...]
    soak_min: int
    window: tuple[int, int] | None


def _schedule(question: Question) -> _Schedule:
    """As it is asked for; raises PlanFault."""
    stages = plans.stages_of(str(question.get("stages", "1,10,100%")))
    window = question.get("window")
    hours = None if window is None else plans.window_of(str(window))
    soak_min = question.get("soak_min", 30)
    if not isinstance(soak_min, int) or not 0 <= soak_min <= plans.MOST_SOAK_MIN:
        raise PlanFault(f"soak: 0 to {plans.MOST_SOAK_MIN} minutes are expected")
    return _Schedule(stages, soak_min, hours)


def _begun(plan: Plan, there: set[str]) -> dict[str, Any]:
    """What the asker is told of a campaign that begins."""
    return {
        "version": plan.version,
        "build": plan.build.hex(),
        "board": plan.board,
        "sequence": plan.sequence,
        "nodes": len(plan.members),
        "stages": [plan.stage_end(stage) for stage in range(len(plan.stages))],
        "silent": sum(each.node not in there for each in plan.members),
        "next_root": plan.hands_over_to,
    }
