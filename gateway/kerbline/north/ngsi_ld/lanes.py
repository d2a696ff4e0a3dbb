"""The two ways to a broker: what is newest by upsert, what is older into the history.

ETSI GS CIM 009 V1.8.1, 6.15.3.1 (batch upsert) and 6.18.3.1 (temporal representations).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
from kerbline.north.ngsi_ld.trials import MANY, Doubts, Rests, Trials

UPSERT = "/ngsi-ld/v1/entityOperations/upsert?options=update"
TEMPORAL = "/ngsi-ld/v1/temporal/entities"
MAX_ENTITIES = 500
MAX_BYTES = 500_000  # of a plain body: below 512 kB, however one counts them
CONFLICTS = 5  # then what fails so together is parted
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
        rests: Rests,
    ) -> None:
        """`landed` is called when something is on its way no more."""
        self._rests = rests
        self._newest = newest
        self._form = form
        self._courier = courier
        self._lane = lane
        self._bury = bury
        self._landed = landed
        self._most = MAX_ENTITIES
        self._conflicts = 0
        self._before = 0  # how much was taken, when the first of these came
        self._trials = Trials()
        self._taken = False  # anything, in this life

    @property
    def taken(self) -> int:
        """How many entities the broker took."""
        return self._trials.taken

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
        conflicts = self._conflicts
        try:
            while waiting and await self._upsert(waiting.pop(), waiting, refused):
                self._landed()
            if self._conflicts == conflicts:
                self._conflicts = 0
            if refused and (self._taken or len(refused) < ALL_REFUSED):
                gone = [entity for _, entity in refused]
                await self._bury("upsert", [(reason, each.change()) for reason, each in refused])
                self._newest.landed(gone)
            elif refused:  # it is not they that are bad
                self._lane.failed()
                self._courier.say(f"it refuses all of {len(refused)} entities: {refused[0][0]}")
        finally:  # not before: another request would take them while they count as this one's
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
        match verdict:
            case Conflict(reason):
                return self._stumbled(reason, part, waiting, refused)
            case Done():
                self._went(names.values())
                self._most = min(2 * self._most, MAX_ENTITIES)
            case Partly(_, bad) if not bad.keys() <= names.keys():  # attributes, as of one entity
                if len(part) > 1:
                    waiting += _parted(part, ())
                else:
                    await self._bury("upsert", _only([part[0][0].change()], bad))
                    self._went(names.values())
            case Partly(again, bad):
                left = {*again, *bad}
                self._went([entity for name, entity in names.items() if name not in left])
                refused += [(reason, names[name]) for name, reason in bad.items()]
                if (
                    again
                    and len(left) == len(names)
                    and not any(map(self._rests.__contains__, left))
                ):
                    self._lane.failed()  # it takes nothing now
                else:
                    refused += self._rest([(why, names[name]) for name, why in again.items()])
            case Refused(reason) | Split(reason) if len(part) == 1:
                refused.append((reason, part[0][0]))
            case Refused(_, named):
                waiting += _parted(part, named)
            case Split():
                self._most = max(1, len(part) // 2)
                waiting += _parted(part, ())
            case Again(_, after_s, pending):
                self._lane.failed(after_s)
                for name in names if pending else ():  # or it turns back what goes before it
                    self._let_rest(name, self._courier.linger_s)
                return False
            case Held():
                self._lane.failed()
                return False
        return True

    def _stumbled(
        self, reason: str, part: Part, waiting: list[Part], refused: list[tuple[str, Entity]]
    ) -> bool:
        """Find out over whom: parted, until one alone is to blame. Is it worth going on?"""
        if not self._conflicts:
            self._before = self._trials.taken
        if len(part) > 1:
            self._conflicts += 1
            if self._conflicts > CONFLICTS:
                waiting += _parted(part, ())
                return True
            self._lane.failed()
            return False
        entity = part[0][0]
        if self._trials.failed(entity.id, self._before):
            refused.append((reason, entity))
            return True
        self._lane.failed()
        if self._trials.acquitted():
            self._conflicts = 0
            return False
        return True

    def _rest(self, again: Iterable[tuple[str, Entity]]) -> list[tuple[str, Entity]]:
        """Let these rest, which the broker puts off; what it does for too long comes back."""
        now_s = asyncio.get_running_loop().time()
        given_up = []
        for reason, entity in again:
            rest_s = self._rests.put_off(entity.id, now_s, self.taken)
            if rest_s is None:
                given_up.append((reason, entity))
            else:
                self._let_rest(entity.id, rest_s)
        return given_up

    def _let_rest(self, entity: str, rest_s: float) -> None:
        self._newest.rest(entity)
        asyncio.get_running_loop().call_later(rest_s, self._go_on, entity)

    def _go_on(self, entity: str) -> None:
        self._newest.go_on(entity)
        self._landed()

    def _went(self, entities: Collection[Entity]) -> None:
        self._lane.went()
        self._trials.took([entity.id for entity in entities])
        self._rests.took([entity.id for entity in entities])
        self._taken = self._taken or bool(entities)
        self._newest.landed(entities)

    def _portions(self, entities: Sequence[Entity]) -> list[Part]:
        """Entities that share a @context, in bodies within the bounds; who is on trial alone."""
        groups: dict[str, Part] = {}
        for entity in sorted(entities, key=lambda each: each.id in self._trials):
            text = orjson.dumps(self._form.entity(entity.change()), default=dict)
            alone = entity.id in self._trials
            group = entity.id if alone else self._form.group(entity.type)
            groups.setdefault(group, []).append((entity, text))
        found = []
        for together in groups.values():
            size = MAX_BYTES
            for entity, text in together:
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


@dataclass(slots=True)
class _Trial:
    """What is being found out about one entity's history."""

    entity: str
    before: int  # how much was taken when it began
    waiting: list[list[Item]]
    doubtful: list[Item] = field(default_factory=list)
    conflicts: int = 0
    guilty: int = 0

    def put_off(self, part: Sequence[Item], *, everything: bool) -> None:
        """Later, when others went; with `everything` that waits of the entity."""
        self.doubtful += part
        if everything:
            self.doubtful += itertools.chain.from_iterable(self.waiting)
            self.waiting.clear()


class HistoryLane:
    """Sends what is not newest, an entity at a time, behind what is live."""

    def __init__(
        self,
        form: Form,
        courier: Courier,
        lane: Lane,
        bury: Bury,
        quiet: Callable[[], Awaitable[object]],
        upserts: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        """`quiet` returns when nothing live is on its way; `upserts` tells how many were taken."""
        self._form = form
        self._courier = courier
        self._lane = lane
        self._bury = bury
        self._quiet = quiet
        self._upserts = upserts
        self._trials = Trials()
        self._doubts = Doubts(random)

    def due_s(self, entity: str) -> float:
        """Not before then, by the loop's time, an entity is to go again; 0 is at once."""
        return self._doubts.due_s(entity)

    async def deliver(
        self, items: Sequence[Item], landed: Callable[[Iterable[Item]], None]
    ) -> Sequence[Item]:
        """Bring changes of one entity into its history; returns when all of them are settled.

        But for what comes back: let others go first, which tells whether it is to blame. `landed`
        is called with those that are settled, as they are.
        """
        trial = _Trial(items[0][1].id, self._trials.taken, [list(items)])
        while trial.waiting:
            part = trial.waiting.pop()
            changes = [change for _, change in part]
            body = self._form.temporal(changes)
            if body is None:
                landed(part)
                continue
            text = orjson.dumps(body, default=dict)
            if len(text) > MAX_BYTES and len(part) > 1:
                trial.waiting += _halves(part)
                continue
            verdict = await self._send(changes[0], text)
            match verdict:
                case Conflict(reason):
                    guilty = self._stumbled(trial, part)
                    await self._bury("temporal", [(reason, change) for _, change in guilty])
                    landed(guilty)
                case Done():
                    self._went(part)
                    landed(part)
                case Partly(_, refused):
                    self._went(part)
                    await self._bury("temporal", _only(changes, refused))
                    landed(part)
                case Refused(reason) | Split(reason) if len(part) == 1:
                    await self._bury("temporal", [(reason, changes[0])])
                    landed(part)
                case Refused() | Split():
                    trial.waiting += _halves(part)
                case Again(_, after_s):
                    self._lane.failed(after_s)
                    trial.waiting.append(part)
                case Held():
                    self._lane.failed()
                    trial.waiting.append(part)
        if trial.doubtful:
            now_s = asyncio.get_running_loop().time()
            self._doubts.failed(trial.entity, now_s, trial.before, self._upserts())
        else:
            self._doubts.settled(trial.entity)
        return trial.doubtful

    def _stumbled(self, trial: _Trial, part: list[Item]) -> Sequence[Item]:
        """Find out over what; what is to blame beyond doubt comes back."""
        now_s, taken = asyncio.get_running_loop().time(), self._trials.taken
        known = self._doubts.is_well(trial.entity, now_s, taken, self._upserts())
        trial.conflicts += 1
        if trial.entity in self._doubts:
            if not known:
                trial.put_off(part, everything=True)
                return ()
        elif trial.conflicts <= CONFLICTS:
            self._lane.failed()
            trial.waiting.append(part)
            return ()
        if len(part) > 1:
            trial.waiting += _halves(part)
        elif self._trials.failed(_trial(part[0]), trial.before, known=known):
            trial.guilty += 1
            guilty = part
            if trial.guilty >= MANY and taken == trial.before:  # nothing of it is taken
                guilty = [*part, *itertools.chain.from_iterable(trial.waiting)]
                trial.waiting.clear()
            self._trials.forget(map(_trial, guilty))
            return guilty
        elif known or taken > trial.before:
            self._lane.failed()
            trial.waiting.append(part)
        else:
            self._lane.failed()
            trial.put_off(part, everything=self._trials.acquitted())
        return ()

    def _went(self, part: Sequence[Item]) -> None:
        self._lane.went()
        self._trials.took(map(_trial, part))

    async def _send(self, change: Change, text: bytes) -> Verdict:
        """One request, when nothing live is on its way, or has been for too long."""
        await self._lane.passed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._quiet()
        await self._lane.shut_since()
        headers = self._form.headers(change.type)
        verdict = await self._courier.send(TEMPORAL, text, headers, [change.id])
        if isinstance(verdict, Partly):  # as of a batch, of all that was sent
            if change.id in verdict.refused:
                return Refused(verdict.refused[change.id])
            if change.id in verdict.again:
                return Conflict(verdict.again[change.id])
        return verdict


def _trial(item: Item) -> str:
    """What is on trial of a history: one entry's change of one entity."""
    return f"{item[0]} {item[1].id}"


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
