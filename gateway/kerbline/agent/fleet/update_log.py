"""What a campaign leaves in the gateway's log: each step of a node and of the whole, once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kerbline.update.campaign import Campaign, Course, Run
from kerbline.update.states import STARTING, Progress, State

log = logging.getLogger("kerbline.update")


class UpdateLog:
    """Tells what changed; what an earlier life of the gateway told is not told again."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[State, int]] = {}  # of each node, that the log has
        self._run = Run.RUNNING

    def begin(self, known: Mapping[str, Progress], run: Run = Run.RUNNING) -> None:
        """A campaign, of which the log has this."""
        self._run = run
        self._steps = {node: (each.state, each.at_ms) for node, each in known.items()}

    def tell(
        self, campaign: Campaign, course: Course | None, changed: dict[str, Progress], now_ms: int
    ) -> None:
        """What a person wants to find in the log."""
        aborted = course is not None and course.run is Run.ABORTED
        for node, progress in changed.items():
            step = (progress.state, progress.at_ms)
            if self._steps.get(node) == step:
                continue  # something else of it was noted
            self._steps[node] = step
            if aborted and progress.state in (State.GIVEN_UP, State.SKIPPED):
                continue  # one line for all of them
            if progress.state is State.DONE:
                log.info("node %s: runs release %s", node, campaign.plan.version)
            elif progress.state in (State.FAILED, State.GIVEN_UP, State.SKIPPED):
                state = progress.state.replace("_", " ")
                log.warning("node %s: update %s: %s", node, state, progress.why)
            elif progress.state is State.DUE and progress.why:
                log.warning("node %s: update: again later: %s", node, progress.why)
            elif progress.state is State.ORDERED:
                log.info("node %s: is told to start release %s", node, campaign.plan.version)
        before = self._run
        self._run = before if course is None else course.run
        if self._run is Run.RUNNING is not before:
            log.info("the campaign is resumed: by an operator")
        if course is not None and aborted:
            fleet = campaign.fleet
            done, starting = fleet.count(State.DONE), fleet.count(*STARTING)
            log.info(
                "the campaign is aborted: %d nodes run the release, %d are starting it, all others "
                "stay on what they run",
                *(done, starting),
            )
        elif course is not None and course.run is not Run.RUNNING:
            level = logging.WARNING if course.run is Run.STOPPED else logging.INFO
            log.log(level, "the campaign is %s: %s", course.run, course.why or "by an operator")
        elif course is not None and course.opened_ms == now_ms:
            stages = len(campaign.plan.stages)
            log.info("stage %d of %d begins", course.stage + 1, stages)
