"""What is newest of each attribute, waits to be upserted or is under way; pure.

A value is upserted only while nothing newer of its attribute was: neither in this life, nor, by
`Past`, in one before. What may not be upserted any more belongs into the history.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kerbline.north.live import Log, Mark
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.pace import Key, Pace

Name = tuple[Log, Mark]  # of an entry
FUTURE_MS = 5_000  # a value that is dated beyond our clock by more is for the history alone
WRONG_MS = 3_600_000  # what is dated beyond our clock by more is of a clock that was wrong
EARLIEST_MS = 1_704_067_200_000  # 2024: who dates before has not been told the time yet
PARTS_KEPT = 4_096  # entries that went by both ways, until the durable lane has passed them


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier lives may have upserted: whatever is dated up to `until_ms`, but not `open`."""

    until_ms: int = -1
    open: frozenset[tuple[str, str, int]] = frozenset()

    def may_have(self, key: Key, at_ms: int) -> bool:
        """Could this value, or a newer one, be there already?"""
        return at_ms <= self.until_ms and (*key, at_ms) not in self.open


class Value(NamedTuple):
    """One value on its way: `at_ms` orders it among its attribute's, `entry` is done with it."""

    attribute: Attribute
    at_ms: int
    entry: Entry | None


@dataclass(slots=True, eq=False)
class Entry:
    """An entry of the log with values on their way."""

    name: Name
    left: int = 0
    overtaken: bool = False
    done: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class Entity:
    """What of an entity waits or is under way."""

    id: str
    type: str
    values: dict[str, Value] = field(default_factory=dict)

    def change(self) -> Change:
        """As the mapping of forms wants it."""
        return Change(self.id, self.type, {n: each.attribute for n, each in self.values.items()})


class Newest:
    """One sink's state of the live lane; bounded by the attributes that there are."""

    def __init__(
        self, pace: Pace, past: Past | None = None, elsewhere: Container[Key] = ()
    ) -> None:
        """`elsewhere`: the present state of these the broker asks us for, so they never go up."""
        self._pace = pace
        self._elsewhere = elsewhere
        self._past = past or Past()
        self._known: dict[Key, int] = {}  # the newest of the log, of what waits and what went
        self._last: dict[Key, tuple[int, Attribute]] = {}  # what was taken for upsert last
        self._waiting: dict[str, Entity] = {}
        self._under_way: dict[str, Entity] = {}
        self._resting: set[str] = set()  # entities that are not to go for now
        self._open: dict[Name, Entry] = {}
        self._parts: dict[Name, frozenset[Key]] = {}
        self._held: dict[str, Change] = {}  # what stands of entities that nobody has measured yet
        self.finished: list[Name] = []  # all of theirs was taken: to be fetched and emptied
        self.furthest_ms = self._past.until_ms  # nothing dated later was under way

    def __len__(self) -> int:
        """Entities that wait."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Does any wait of which nothing is under way?"""
        return not self._waiting.keys() <= self._under_way.keys() | self._resting

    @property
    def quiet(self) -> bool:
        """Is nothing on its way, but what rests?"""
        return not self._under_way and self._waiting.keys() <= self._resting

    def know(self, changes: Iterable[Change]) -> None:
        """These are in the log: nothing older of theirs is news."""
        for change in changes:
            for name, attribute in change.attributes.items():
                if attribute.observed_at_ms is not None:
                    key = (change.id, name)
                    self._known[key] = max(self._known.get(key, -1), attribute.observed_at_ms)

    def offer(
        self,
        changes: Sequence[Change],
        name: Name,
        at_ms: int,
        latest_ms: int,
        *,
        late: bool = False,
    ) -> None:
        """Take what is newest of an entry of `at_ms`; `latest_ms`: no value may be dated later.

        `late`: of two values with one name the other one came after it. What is not taken the
        durable lane learns by `lacking`.
        """
        if name in self._open:
            return
        entry = Entry(name)
        entry.left = 1  # until all of it was looked at
        for change in changes:
            self._take(change, entry, at_ms, latest_ms, late=late)
        self._open[name] = entry
        self._landed(entry)

    def stand(self, change: Change, lacks: str = "") -> None:
        """What stands and is in no log: it goes at once, and with it what goes next.

        Where its entity `lacks` an attribute that was never seen, it goes with the first value.
        """
        if lacks and (change.id, lacks) not in self._known:
            self._held[change.id] = change
            return
        into = self._entity(change)
        for name, attribute in change.attributes.items():
            into.values[name] = Value(attribute, attribute.observed_at_ms or 0, None)

    def is_open(self, name: Name) -> bool:
        """Has an entry values that wait or are under way?"""
        return name in self._open

    def parts(self, name: Name) -> Collection[Key] | None:
        """What of an entry is there already, None where it never was in this lane."""
        return self._parts.get(name)

    def forget(self, names: Iterable[Name]) -> None:
        """The cursor has passed these."""
        for name in names:
            self._parts.pop(name, None)

    def take(self, most: int) -> list[Entity]:
        """Up to `most` entities, those that wait longest; they are under way now.

        Of what is under way nothing newer goes before that has landed.
        """
        stay = self._under_way.keys() | self._resting
        free = (name for name in self._waiting if name not in stay)
        names = list(islice(free, most))
        taken = [self._waiting.pop(name) for name in names]
        for entity in taken:
            self._under_way[entity.id] = entity
            for value in entity.values.values():
                if value.attribute.observed_at_ms is not None:
                    self.furthest_ms = max(self.furthest_ms, value.at_ms)
        return taken

    def is_under_way(self, entity: Entity) -> bool:
        """Was it taken, and neither landed nor waits again?"""
        return self._under_way.get(entity.id) is entity

    def landed(self, entities: Iterable[Entity]) -> None:
        """These are there, or kept as dead letters."""
        for entity in entities:
            del self._under_way[entity.id]
            for name, value in entity.values.items():
                if value.entry is not None:
                    value.entry.done.add((entity.id, name))
                    self._landed(value.entry)

    def again(self, entities: Iterable[Entity]) -> None:
        """These may not be there: they wait again, unless they were overtaken meanwhile."""
        back = {}
        for entity in entities:
            del self._under_way[entity.id]
            newer = self._waiting.pop(entity.id, None)
            for name, value in (newer.values if newer else {}).items():
                self._overtake(entity.values.get(name))
                entity.values[name] = value
            back[entity.id] = entity
        self._waiting = {**back, **self._waiting}

    def rest(self, entity: str) -> None:
        """What of it waits is not to go until `go_on`."""
        self._resting.add(entity)

    def go_on(self, entity: str) -> None:
        """It may go again."""
        self._resting.discard(entity)

    def open_values(self) -> Iterator[tuple[str, str, int]]:
        """What waits or is under way, dated: for a `Past`."""
        for entities in (self._under_way, self._waiting):
            for entity in entities.values():
                for name, value in entity.values.items():
                    if value.attribute.observed_at_ms is not None:
                        yield entity.id, name, value.at_ms

    def _take(
        self, change: Change, entry: Entry, at_ms: int, latest_ms: int, *, late: bool
    ) -> None:
        riders: dict[str, Attribute] = {}
        into: Entity | None = None
        dated = any(each.observed_at_ms is not None for each in change.attributes.values())
        for name, attribute in change.attributes.items():
            if attribute.observed_at_ms is None and dated:
                riders[name] = attribute
                continue
            key = (change.id, name)
            when_ms = at_ms if attribute.observed_at_ms is None else attribute.observed_at_ms
            last_ms, last = self._last.get(key, (-1, None))
            same_name = last_ms == when_ms
            if not self._is_news(key, when_ms, latest_ms) or (
                late and same_name and last != attribute
            ):
                entry.overtaken = True
                continue
            self._known[key] = when_ms
            if (same_name and last == attribute) or not self._pace.wants(key, when_ms, attribute):
                entry.done.add(key)
                continue
            self._last[key] = (when_ms, attribute)
            into = into or self._entity(change)
            self._overtake(into.values.get(name))
            into.values[name] = Value(attribute, when_ms, entry)
            entry.left += 1
        if into is not None:
            for name, attribute in riders.items():
                into.values[name] = Value(attribute, 0, None)
            held = self._held.pop(change.id, None)
            if held is not None:
                self.stand(held)

    def _is_news(self, key: Key, at_ms: int, latest_ms: int) -> bool:
        known_ms = self._known.get(key, -1)
        sane_ms = latest_ms + WRONG_MS
        if not EARLIEST_MS <= at_ms <= latest_ms or at_ms < known_ms <= sane_ms:
            return False
        if self._past.until_ms <= sane_ms and self._past.may_have(key, at_ms):
            return False
        return key not in self._elsewhere

    def _entity(self, change: Change) -> Entity:
        return self._waiting.setdefault(change.id, Entity(change.id, change.type))

    def _overtake(self, value: Value | None) -> None:
        if value is not None and value.entry is not None:
            value.entry.overtaken = True
            self._landed(value.entry)

    def _landed(self, entry: Entry) -> None:
        """One of its values is on its way no more."""
        entry.left -= 1
        if entry.left:
            return
        del self._open[entry.name]
        if not entry.overtaken:
            self.finished.append(entry.name)
        elif entry.done:
            self._parts[entry.name] = frozenset(entry.done)
            while len(self._parts) > PARTS_KEPT:
                del self._parts[next(iter(self._parts))]


def lacking(changes: Sequence[Change], done: Collection[Key]) -> list[Change]:
    """What of an entry is dated and not `done`: it goes into the history."""
    found = []
    for change in changes:
        rest = {
            name: attribute
            for name, attribute in change.attributes.items()
            if attribute.observed_at_ms is not None and (change.id, name) not in done
        }
        if rest:
            found.append(Change(change.id, change.type, rest))
    return found


def without(changes: Sequence[Change], pace: Pace) -> list[Change]:
    """What of changes a pace wants told."""
    found = []
    for change in changes:
        rest: Mapping[str, Attribute] = {
            name: attribute
            for name, attribute in change.attributes.items()
            if pace.wants((change.id, name), attribute.observed_at_ms or 0, attribute)
        }
        if rest:
            found.append(Change(change.id, change.type, rest))
    return found
