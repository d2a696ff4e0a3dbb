"""What is decided of a campaign becomes durable before it is carried out; a refusal waits."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from kerbline.agent.fleet.update_log import UpdateLog
from kerbline.clock import Clock
from kerbline.update.campaign import Campaign, Course
from kerbline.update.journal import Journal, JournalFault, Kept
from kerbline.update.states import Progress

KEEP_MS = 5_000  # what nothing hangs on is made durable after that

log = logging.getLogger("kerbline.update")


class Keeping:
    """The changes of one campaign on their way to the disk, and to the log."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        waiting: Callable[[Callable[[], object]], Awaitable[object]],
    ) -> None:
        """`waiting` calls what may wait for the disk, in a thread or not."""
        self.journal = journal
        self.refused = False  # by the disk, the last time
        self._clock = clock
        self._waiting = waiting
        self._log = UpdateLog()
        self._course: Course | None = None  # not durable yet, as what follows
        self._progress: dict[str, Progress] = {}
        self._kept_ms = 0  # monotonic

    @property
    def owes(self) -> bool:
        """Is there progress of a node that is not durable yet?"""
        return bool(self._progress)

    def begin(self, kept: Kept) -> None:
        """A campaign begins, or goes on from what the disk has."""
        self._course, self._progress = None, {}  # of the one before
        self._log.begin(kept.progress, kept.course.run)

    async def keep(self, campaign: Campaign, now_ms: int, *, pressing: bool) -> bool:
        """Make durable what changed; a disk that refuses is said once, and asked again.

        `pressing`: an order to start hangs on it. A transfer that is forgotten goes on anyway.
        """
        course, changed = campaign.changes()
        self._log.tell(campaign, course, changed, now_ms)
        course = self._course = course or self._course
        progress = self._progress = self._progress | changed
        steady_ms = self._clock.monotonic_ms()
        pressing = pressing or course is not None
        if not pressing and (not progress or steady_ms - self._kept_ms < KEEP_MS):
            return True
        self._kept_ms = steady_ms
        try:
            await self._waiting(lambda: self.journal.append(course, progress))
        except JournalFault as fault:
            if not self.refused:
                log.error("the campaign waits until its progress can be kept: %s", fault)
            self.refused = True
            return False
        self._course, self._progress = None, {}
        self.refused = False
        return True
