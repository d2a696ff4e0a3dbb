"""An outbox's dialect for IoT Agent JSON: entries as arrays of measures, each device's its own.

The agent's broker keeps what came last, not what is newest. So a message with values older than
what its device was told already ends with the newest known of these attributes, dated as before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from kerbline.assets import Registry
from kerbline.model import ANCHOR_KIND, CommandResult, CommandState, Entry, Gap, NodeState, Reading
from kerbline.north.dialect import Outgoing
from kerbline.north.fit import Fit
from kerbline.north.iota import measures as m
from kerbline.north.iota.measures import Measure
from kerbline.north.iota.names import Topics, device_id
from kerbline.north.live import Log, Mark, log_of, mark_of
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.models import device
from kerbline.north.port import Message
from kerbline.store import Batch
from kerbline.store.entries import decoded

MEASURES_PER_MESSAGE = 100  # of one device
MESSAGE_BYTES = 60_000
_FINAL = {
    CommandState.OK: "OK",
    CommandState.ERROR: "ERROR: {reason}",
    CommandState.EXPIRED: "ERROR: EXPIRED",
    CommandState.REJECTED: "ERROR: REJECTED: {reason}",
}

Changes = Callable[[Entry | NodeState], Sequence[Change]]


def answer(result: CommandResult) -> str:
    """What the agent is told of a command; empty while it is under way."""
    return m.plain(_FINAL.get(result.state, "").format(reason=result.reason))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which device was asked, and with which word."""

    device: str
    command: str


class IotaDialect:
    """A `Dialect`; `changes` tells what an entry changes, `asked` whose a command's id is."""

    def __init__(
        self,
        topics: Topics,
        registry: Registry,
        gateway: str,
        changes: Changes,
        asked: Callable[[CommandResult], Asked | None],
        *,
        arrays: bool = True,
    ) -> None:
        self._topics = topics
        self._registry = registry
        self._gateway = gateway
        self._changes = changes
        self._asked = asked
        self._arrays = arrays
        self.fit = Fit()
        self._newest: dict[str, dict[str, tuple[int, object]]] = {}

    def remember(self, readings: Iterable[Reading]) -> None:
        """These are the newest of what the log has: after a start the agent knows, or will."""
        for reading in readings:
            for measure in self.measures(reading):
                self._note(measure)

    def outgoing(self, entries: Iterable[Entry]) -> Sequence[Outgoing]:
        """Entries as messages, those of one log and asset together."""
        chunk = Chunk(self)
        for entry in entries:
            chunk.add(entry)
        return list(chunk.outgoing())

    def chunk(self) -> Chunk:
        """Room for entries that share messages."""
        return Chunk(self)

    def measures(self, entry: Entry) -> tuple[Measure, ...]:
        """What an entry says, nothing where the agent has no word for it."""
        made = self._changes(entry)
        return tuple([one for change in made for one in m.measures(change, self._registry)])

    def result(self, result: CommandResult) -> Outgoing:
        """What became of a command, under the word that asked for it."""
        told, asked = answer(result), self._asked(result)
        if not told or asked is None:
            return Outgoing(())
        payload = orjson.dumps({asked.command: told})
        return Outgoing((Message(self._topics.result(asked.device), payload),))

    def status(self, state: str, at_ms: int | None) -> Message:
        """The gateway as a device. Never retained: each agent that comes would take it as new."""
        name = device_id(device.TYPE, self._gateway)
        return self._message(name, m.body(Measure(name, at_ms, {m.HEARD[0]: state})))

    def state(self, state: NodeState) -> Message:
        """A node as a device."""
        (change,) = self._changes(state)
        measure = m.heard(change, self._registry)
        return self._message(measure.device, m.body(measure))

    def is_ack(self, topic: str) -> bool:
        """An agent has no such word."""
        return False

    def messages(self, device_name: str, told: Sequence[Measure]) -> list[Message]:
        """The measures of one device by their time, behind older ones the newest known.

        Several are an array, where the agent gets arrays; one is an object, as each takes it.
        """
        said: dict[str, int] = {}
        for measure in sorted(told, key=_at_ms):
            self._note(measure)
            said |= dict.fromkeys(measure.attributes, _at_ms(measure))
        known = self._newest.get(device_name, {})
        newer: dict[int, dict[str, object]] = {}
        for name, at_ms in said.items():
            newest_ms, value = known[name]
            if newest_ms > at_ms:
                newer.setdefault(newest_ms, {})[name] = value
        again = [Measure(device_name, at_ms, newer[at_ms]) for at_ms in sorted(newer)]
        bodies = [m.body(each) for each in (*sorted(told, key=_at_ms), *again)]
        if self._arrays and len(bodies) > 1:
            return [self._message(device_name, bodies)]
        return [self._message(device_name, each) for each in bodies]

    def _note(self, measure: Measure) -> None:
        known = self._newest.setdefault(measure.device, {})
        at_ms = _at_ms(measure)
        for name, value in measure.attributes.items():
            if name not in known or known[name][0] <= at_ms:
                known[name] = (at_ms, value)

    def _message(self, device_name: str, told: object) -> Message:
        return Message(self._topics.measures(device_name), orjson.dumps(told))


class Chunk:
    """Entries on their way: each log's and asset's in the order in which they came."""

    def __init__(self, dialect: IotaDialect) -> None:
        self._dialect = dialect
        self._groups: dict[tuple[Log, str], list[tuple[Mark, tuple[Measure, ...]]]] = {}
        self.size = 0

    def fill(self, batch: Batch) -> Iterator[None]:
        """Take what is in a batch; one that can't be read is a gap, and nobody's measure."""
        try:
            for texts in batch.pieces():
                for entry in decoded(b"[%b]" % b",".join(texts)):
                    if not isinstance(entry, Reading) or entry.kind != ANCHOR_KIND:
                        self.add(entry)
                yield
        except (ValueError, TypeError):  # Garbled, or what nobody could have written
            self.add(batch.lost())

    def add(self, entry: Entry) -> None:
        """Take one entry."""
        asset = "" if isinstance(entry, Gap) else entry.asset
        group = self._groups.setdefault((log_of(entry), asset), [])
        group.append((mark_of(entry), self._dialect.measures(entry)))
        self.size += 1

    def marks(self) -> Iterator[tuple[Log, Collection[Mark]]]:
        """All that is in it."""
        for (log, _), group in self._groups.items():
            yield log, [mark for mark, _ in group]

    def outgoing(
        self, done: Callable[[Log], Collection[Mark]] = lambda _: ()
    ) -> Iterator[Outgoing]:
        """Messages with all but what is `done`, each within MEASURES_PER_MESSAGE, MESSAGE_BYTES.

        Or what fits.
        """
        most_bytes = min(MESSAGE_BYTES, self._dialect.fit.most_bytes)
        for (log, _), group in self._groups.items():
            without = done(log)
            marks: list[Mark] = []
            parts: dict[str, list[Measure]] = {}
            sizes: dict[str, int] = {}
            for mark, measures in group:
                if mark in without:
                    continue
                if any(_is_full(parts, sizes, each, most_bytes) for each in measures):
                    yield self._outgoing(log, marks, parts)
                    marks, parts, sizes = [], {}, {}
                marks.append(mark)
                for each in measures:
                    parts.setdefault(each.device, []).append(each)
                    sizes[each.device] = sizes.get(each.device, 0) + _size(each)
            if marks:
                yield self._outgoing(log, marks, parts)

    def _outgoing(
        self, log: Log, marks: Sequence[Mark], parts: Mapping[str, Sequence[Measure]]
    ) -> Outgoing:
        messages = [
            each for name, told in parts.items() for each in self._dialect.messages(name, told)
        ]
        return Outgoing(tuple(messages), log, tuple(marks))


def _is_full(
    parts: Mapping[str, Sequence[Measure]],
    sizes: Mapping[str, int],
    more: Measure,
    most_bytes: int,
) -> bool:
    told = parts.get(more.device, ())
    too_long = sizes.get(more.device, 0) + _size(more) > most_bytes
    return bool(told) and (len(told) >= MEASURES_PER_MESSAGE or too_long)


def _size(measure: Measure) -> int:
    return len(orjson.dumps(m.body(measure))) + 1


def _at_ms(measure: Measure) -> int:
    return measure.at_ms or 0
