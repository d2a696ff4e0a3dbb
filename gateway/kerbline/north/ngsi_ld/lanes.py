"""The two ways to a broker: what is newest by upsert, what is older into the history.

ETSI GS CIM 009 V1.8.1, 6.15.3.1 (batch upsert) and 6.18.3.1 (temporal representations).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

import orjson

from kerbline.north.ngsi_ld.answers import (
    Again,
    Conflict,
    Done,
    Held,
    Partly,
    Refused,
    Split,
    Verdict,
)
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.gate import Lane
from kerbline.north.ngsi_ld.newest import Entity, Name, Newest

UPSERT = "/ngsi-ld/v1/entityOperations/upsert?options=update"
TEMPORAL = "/ngsi-ld/v1/temporal/entities"
MAX_ENTITIES = 500
MAX_BYTES = 500_000  # of a plain body: below 512 kB, however one counts them
CONFLICTS = 5  # then what is in conflict counts as refused
ALL_REFUSED = 5  # entities and no other one: then it is the config, or the broker
PATIENCE_S = 0.25  # of the history with what is live

Part = list[tuple[Entity, bytes]]  # of a batch, each with its text
Item = tuple[Name, Change]  # whose entry's
Bury = Callable[[str, Sequence[tuple[str, Change]]], Awaitable[None]]  # way; reasons, changes


class LiveLane:
    """Upserts what `newest` has, one request at a time."""

    def __init__(
        self,
        newest: Newest,
        form: Form,
        courier: Courier,
        lane: Lane,
        bury: Bury,
        landed: Callable[[], None],
    ) -> None:
        """`landed` is called when something is on its way no more."""
        self._newest = newest
        self._form = form
        self._courier = courier
        self._lane = lane
        self._bury = bury
        self._landed = landed
        self._most = MAX_ENTITIES
        self._conflicts = 0
        self._taken = False  # anything, in this life

    async def passed(self) -> None:
        """Wait until the next request may go, and would arrive.

        What never left is not to count as perhaps arrived: a kill in an outage costs no doubt.
        """
        await self._lane.passed()
        while not await self._courier.reachable():
            self._lane.failed()
            await self._lane.passed()

    def take(self) -> list[Entity]:
        """What goes next."""
        return self._newest.take(self._most)

    async def deliver(self, entities: Sequence[Entity]) -> None:
        """Upsert what was taken; what the broker can't take now waits again."""
        waiting = list(reversed(self._portions(entities)))
        refused: list[tuple[str, Entity]] = []
        try:
            while waiting and await self._upsert(waiting.pop(), waiting, refused):
                self._landed()
            if refused and (self._taken or len(refused) < ALL_REFUSED):
                gone = [entity for _, entity in refused]
                await self._bury("upsert", [(reason, each.change()) for reason, each in refused])
                self._newest.landed(gone)
            elif refused:  # it is not they that are bad
                self._lane.failed()
                self._courier.say(f"it refuses all of {len(refused)} entities: {refused[0][0]}")
        finally:
            self._newest.again([each for each in entities if self._newest.is_under_way(each)])

    async def _upsert(
        self, part: Part, waiting: list[Part], refused: list[tuple[str, Entity]]
    ) -> bool:
        """One request; parts of it may go to `waiting`. Is it worth going on at once?"""
        await self._lane.passed()
        body = b"[" + b",".join([text for _, text in part]) + b"]"
        names = {entity.id: entity for entity, _ in part}
        headers = self._form.headers(part[0][0].type)
        verdict = await self._courier.send(UPSERT, body, headers, names)
        if isinstance(verdict, Conflict):
            self._conflicts += 1
            tired = self._conflicts > CONFLICTS
            verdict = Refused(verdict.reason) if tired else Again(verdict.reason)
        elif not isinstance(verdict, Again):
            self._conflicts = 0
        match verdict:
            case Done():
                self._went(names.values())
                self._most = min(2 * self._most, MAX_ENTITIES)
            case Partly(again, bad):
                left = {*again, *bad}
                self._went([entity for name, entity in names.items() if name not in left])
                refused += [(reason, names[name]) for name, reason in bad.items()]
                self._newest.again([names[name] for name in again])
                if again:
                    self._lane.failed()
            case Refused(reason) | Split(reason) if len(part) == 1:
                refused.append((reason, part[0][0]))
            case Refused(_, named):
                waiting += _parted(part, named)
            case Split():
                self._most = max(1, len(part) // 2)
                waiting += _parted(part, ())
            case Again(_, after_s):
                self._lane.failed(after_s)
                return False
            case Held():
                self._lane.failed()
                return False
        return True

    def _went(self, entities: Collection[Entity]) -> None:
        self._lane.went()
        self._taken = self._taken or bool(entities)
        self._newest.landed(entities)

    def _portions(self, entities: Sequence[Entity]) -> list[Part]:
        """Entities that share a @context, in bodies within the bounds."""
        groups: dict[str, Part] = {}
        for entity in entities:
            text = orjson.dumps(self._form.entity(entity.change()), default=dict)
            groups.setdefault(self._form.group(entity.type), []).append((entity, text))
        found = []
        for group in groups.values():
            size = MAX_BYTES
            for entity, text in group:
                size += len(text) + 1
                if size >= MAX_BYTES:
                    found.append([(entity, text)])
                    size = len(text) + 3
                else:
                    found[-1].append((entity, text))
        return found


def _parted(part: Part, named: Sequence[str]) -> list[Part]:
    """Those that were named apart from the rest; else two halves."""
    bad = [each for each in part if each[0].id in named]
    if bad and len(bad) < len(part):
        return [[each for each in part if each[0].id not in named], bad]
    return [part[len(part) // 2 :], part[: len(part) // 2]]


class HistoryLane:
    """Sends what is not newest, an entity at a time, behind what is live."""

    def __init__(
        self,
        form: Form,
        courier: Courier,
        lane: Lane,
        bury: Bury,
        quiet: Callable[[], Awaitable[object]],
    ) -> None:
        """`quiet` returns when nothing live is on its way."""
        self._form = form
        self._courier = courier
        self._lane = lane
        self._bury = bury
        self._quiet = quiet

    async def deliver(
        self, items: Sequence[Item], landed: Callable[[Iterable[Item]], None]
    ) -> None:
        """Bring changes of one entity into its history; returns when all of them are settled.

        `landed` is called with those that are, as they are.
        """
        waiting = [list(items)]
        conflicts = 0
        while waiting:
            part = waiting.pop()
            changes = [change for _, change in part]
            body = self._form.temporal(changes)
            if body is None:
                landed(part)
                continue
            text = orjson.dumps(body, default=dict)
            if len(text) > MAX_BYTES and len(part) > 1:
                waiting += _halves(part)
                continue
            verdict = await self._send(changes[0], text)
            if isinstance(verdict, Conflict):
                conflicts += 1
                tired = conflicts > CONFLICTS
                verdict = Refused(verdict.reason) if tired else Again(verdict.reason)
            match verdict:
                case Done():
                    self._lane.went()
                    landed(part)
                case Partly(_, refused):
                    self._lane.went()
                    await self._bury("temporal", _only(changes, refused))
                    landed(part)
                case Refused(reason) | Split(reason) if len(part) == 1:
                    await self._bury("temporal", [(reason, changes[0])])
                    landed(part)
                case Refused() | Split():
                    waiting += _halves(part)
                case Again(_, after_s):
                    self._lane.failed(after_s)
                    waiting.append(part)
                case Held():
                    self._lane.failed()
                    waiting.append(part)

    async def _send(self, change: Change, text: bytes) -> Verdict:
        """One request, when nothing live is on its way, or has been for too long."""
        await self._lane.passed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._quiet()
        await self._lane.shut_since()
        return await self._courier.send(
            TEMPORAL, text, self._form.headers(change.type), [change.id]
        )


def _halves(part: list[Item]) -> list[list[Item]]:
    return [part[len(part) // 2 :], part[: len(part) // 2]]


def _only(part: Sequence[Change], refused: Mapping[str, str]) -> list[tuple[str, Change]]:
    """Of changes the attributes that were refused, each with the first reason."""
    found = []
    for change in part:
        rest = {name: each for name, each in change.attributes.items() if name in refused}
        if rest:
            reason = refused[next(iter(rest))]
            found.append((reason, Change(change.id, change.type, rest)))
    return found
