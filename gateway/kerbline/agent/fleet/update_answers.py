"""What an operator asks of campaigns at the gateway's own socket: start, status, pause ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

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
from kerbline.update.plan import MINUTE_MS, Member, Plan, PlanFault
from kerbline.update.roots import Roots
from kerbline.update.states import UNDER_WAY, State
from kerbwire.messages import ANCHOR_ZERO_S

LAMP = "streetlight"
NAMED = 8  # of nodes, in an error


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
        self._registry = registry
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
        stages = plans.stages_of(str(question.get("stages", "1,10,100%")))
        window = question.get("window")
        hours = None if window is None else plans.window_of(str(window))
        soak_min = question.get("soak_min", 30)
        if not isinstance(soak_min, int) or not 0 <= soak_min <= plans.MOST_SOAK_MIN:
            raise PlanFault(f"soak: 0 to {plans.MOST_SOAK_MIN} minutes are expected")
        chosen = self._chosen(question)
        bundle = await self._waiting(lambda: self._taken(path))
        assert isinstance(bundle, Bundle)
        members = self._members(bundle, chosen, path)
        there = {state.node for state in self._nodes.states() if state.online}
        light = self._config.light
        expires_s = bundle.about.expires_s
        following = bundle.next_root
        roots = await self._waiting(lambda: Roots.of(self._firmware))
        assert isinstance(roots, Roots)
        made = Plan(
            version=bundle.about.version,
            build=bundle.build,
            board=bundle.about.board,
            sequence=bundle.about.sequence,
            began_ms=self._clock.utc_ms(),
            members=tuple(plans.in_order(members, bundle.build, there.__contains__)),
            stages=stages,
            soak_min=soak_min,
            window=hours,
            time_zone="" if light is None else light.time_zone,
            expires_ms=1000 * (expires_s + ANCHOR_ZERO_S) if expires_s else 0,
            hands_over_to="" if following is None else str(following),
        )
        course = Course(at_ms=made.began_ms)
        await self._updates.start(made, course, bundle)
        ends = [made.stage_end(stage) for stage in range(len(stages))]
        return {
            "version": made.version,
            "build": made.build.hex(),
            "board": made.board,
            "sequence": made.sequence,
            "nodes": len(made.members),
            "stages": ends,
            "silent": sum(each.node not in there for each in made.members),
            "next_root": made.hands_over_to,
            "next_root_known": following is None or roots.knows(following),
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
        return bundle

    def _chosen(self, question: Question) -> set[str]:
        """The nodes that are named by themselves, their assets or their zones; all if none is."""
        by_asset = {node.asset: node.id for node in self._nodes.all()}
        nodes = set(by_asset.values())
        chosen: set[str] = set()
        asked = False
        for key, known in (("nodes", {each: each for each in nodes}), ("assets", by_asset)):
            names = _texts(question, key)
            asked |= bool(names)
            lacking = [name for name in names if name not in known]
            if lacking:
                raise PlanFault(f"{key}: none of this gateway's: {_some(lacking)}")
            chosen |= {known[name] for name in names}
        for zone in _texts(question, "zones"):
            asked = True
            if self._registry is None:
                raise PlanFault("zone: this gateway's config has no [city], so it knows no zones")
            found = [
                by_asset[a.id] for a in self._registry.zones().get(zone, ()) if a.id in by_asset
            ]
            if not found:
                zones = _some(sorted(self._registry.zones()))
                raise PlanFault(f"zone: no node of ours is in {zone!a}; zones: {zones}")
            chosen |= set(found)
        if not nodes:
            raise PlanFault("this gateway has no nodes")
        return chosen if asked else nodes

    def _members(self, bundle: Bundle, chosen: set[str], path: Path) -> list[Member]:
        """Those who may take it; a release that all of them would refuse is refused here."""
        boards = {each.node: each.board for each in self._nodes.states() if each.board}
        board = bundle.about.board
        others = sorted(node for node in chosen if boards.get(node, board) != board)
        if others and len(others) == len(chosen):
            told = ", ".join(f"{node} is {boards[node]}" for node in others[:NAMED])
            raise PlanFault(f"{path}: is for board {board}; {told}")
        before = self._updates.campaign
        if before is not None and before.plan.build != bundle.build:
            newer = [
                node
                for node in before.fleet.within(State.DONE)
                if node in chosen and before.plan.sequence >= bundle.about.sequence
            ]
            if newer:
                raise PlanFault(
                    f"{path}: its sequence {bundle.about.sequence} is not above "
                    f"{before.plan.sequence}, which {_some(sorted(newer))} confirmed; build it "
                    "with a higher --sequence"
                )
            missed = [
                node
                for node in before.fleet.members
                if node in chosen and before.fleet[node].state is not State.DONE
            ]
            if missed and before.plan.hands_over_to == bundle.root.hex():
                raise PlanFault(
                    f"{path}: is signed by the next root, which release {before.plan.version} "
                    f"(sequence {before.plan.sequence}) brings, and that {_some(sorted(missed))} "
                    "did not confirm; bring it to them first, or name the others with --nodes"
                )
        return [
            Member(node.id, node.port, self._street(node.asset, node.port, node.kind))
            for node in self._nodes.all()
            if node.id in chosen
        ]

    def _street(self, asset: str, line: str, kind: str) -> str:
        """Whose lamps may not all be restarting: those of a zone, else of a line."""
        if kind != LAMP:
            return ""
        zone = "" if self._registry is None else self._registry.asset(asset).zone
        return zone or line

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


def _texts(question: Question, key: str) -> list[str]:
    value = question.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PlanFault(f"{key}: a list of names is expected")
    return value


def _some(names: Iterable[str]) -> str:
    """A few of them."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
