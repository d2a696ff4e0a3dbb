"""How orders stand, to the broker: each state of each, in its order.

Not by way of what is newest, where a state that passes quickly would be overtaken unseen.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import orjson

from kerbline.north.ngsi_ld.answers import Again, Conflict, Done, Held, Partly
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.gate import Lane
from kerbline.north.ngsi_ld.lanes import UPSERT

MAX_WAITING = 4_000  # of all orders that can be open each state; then the oldest are forgotten
MAX_AT_ONCE = 200
_log = logging.getLogger(__name__)


class Reports:
    """A queue of states; `run` is its task."""

    def __init__(self, form: Form, courier: Courier, lane: Lane) -> None:
        self._form = form
        self._courier = courier
        self._lane = lane
        self._waiting: deque[Change] = deque()
        self._came = asyncio.Event()

    def put(self, change: Change) -> None:
        """One more state."""
        self._waiting.append(change)
        self._bound()
        self._came.set()

    async def run(self) -> None:
        """Tell, for ever; what the broker refuses for good is said and left."""
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await self._lane.passed()
            batch = self._batch()
            body = orjson.dumps([self._form.entity(each) for each in batch.values()])
            headers = self._form.headers(next(iter(batch.values())).type)
            verdict = await self._courier.send(UPSERT, body, headers, batch)
            if isinstance(verdict, Again | Conflict | Held):
                self._again(list(batch.values()))
                self._lane.failed(getattr(verdict, "after_s", None))
                continue
            self._lane.went()
            if isinstance(verdict, Partly):
                self._again([batch[each] for each in verdict.again])
                verdict = verdict if verdict.refused else Done()
            if not isinstance(verdict, Done):
                _log.warning("states of %d orders are refused: %s", len(batch), verdict)

    def _again(self, changes: Sequence[Change]) -> None:
        """These are next again."""
        self._waiting.extendleft(reversed(changes))
        self._bound()

    def _bound(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()

    def _batch(self) -> dict[str, Change]:
        """What waits longest, of each order the one state that is next."""
        batch: dict[str, Change] = {}
        while self._waiting and len(batch) < MAX_AT_ONCE and self._waiting[0].id not in batch:
            change = self._waiting.popleft()
            batch[change.id] = change
        return batch
