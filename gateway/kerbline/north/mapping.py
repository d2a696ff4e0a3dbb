"""What an entry looks like to the city: topic and payload. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from kerbline.model import ANCHOR_KIND, Alarm, CommandResult, Entry, Gap, NodeState
from kerbline.north.dialect import Outgoing
from kerbline.north.encoding import JSON, Encoding
from kerbline.north.fit import Fit
from kerbline.north.live import Log, Mark, log_of, mark_of
from kerbline.north.port import Message
from kerbline.north.texts import Texts
from kerbline.north.topics import Topics
from kerbline.store import Batch
from kerbline.store.entries import READING, Garbled, decoded, written

READINGS_PER_MESSAGE = 200
LATEST_MS = 253_402_300_799_999  # the last moment of the year 9999
_DIGITS, _MINUS = 13, ord("-")  # of milliseconds from the year 2001 to 2286
_ITEM = b'{"n":%b,"kind":%b,"observed_at":"%b",%b}'
_ANCHOR = b'"%b"' % ANCHOR_KIND.encode()


class Mapper:
    """Turns entries into messages for one gateway's topics."""

    def __init__(self, topics: Topics, encoding: Encoding = JSON) -> None:
        self._topics = topics
        self._encoding = encoding
        self.fit = Fit()

    def outgoing(self, entries: Iterable[Entry]) -> list[Outgoing]:
        """Entries as messages: gaps and alarms, then readings by source, epoch and asset."""
        chunk = self.chunk()
        for _ in chunk.fill(Batch.made(0, 0, entries)):
            pass
        return list(chunk.outgoing())

    def chunk(self) -> Chunk:
        """Room for entries that share messages."""
        return Chunk(self)

    def item(self, number: bytes, kind: bytes, observed_at_ms: bytes, rest: bytes) -> bytes:
        """A reading in its place in a message, from its parts as the log has them in JSON."""
        return self._encoding.taken(_ITEM % (number, kind, _stamp(observed_at_ms), rest))

    def result(self, result: CommandResult) -> Outgoing:
        """What became of a command."""
        payload = {
            "id": result.command_id,
            "asset": result.asset,
            "state": result.state,
            "reason": result.reason,
            "at": rfc3339(result.at_ms),
        }
        message = Message(self._topics.result(result.asset), self._encoding.one(payload))
        return Outgoing((message,))

    def status(self, state: str, at_ms: int | None) -> Message:
        """Whether the gateway is there: "online" or "offline"; a will can't know when."""
        payload = {"state": state, "at": None if at_ms is None else rfc3339(at_ms)}
        return Message(self._topics.status, self._encoding.one(payload), retained=True)

    def state(self, state: NodeState) -> Message:
        """Whether a node is there, and what runs on it."""
        payload = {
            "source": state.node,
            "asset": state.asset,
            "kind": state.kind,
            "state": "online" if state.online else "offline",
            "since": None if state.since_ms is None else rfc3339(state.since_ms),
            "firmware": state.firmware or None,
            "board": state.board or None,
            "build": state.build or None,
        }
        topic = self._topics.state(state.node)
        return Message(topic, self._encoding.one(payload), retained=True)

    def is_ack(self, topic: str) -> bool:
        """Does a consumer acknowledge here?"""
        return self._topics.acknowledges(topic)

    def readings(
        self, log: Log, asset: str, marks: Sequence[int], items: Sequence[bytes]
    ) -> Outgoing:
        """Readings of one log and asset, each written by `item`."""
        source, epoch = log
        head: dict[str, object] = {
            "source": source,
            "asset": asset,
            "epoch": epoch,
            "first": min(marks),
            "last": max(marks),
            "readings": [],
        }
        payload = self._encoding.joined(head, items)
        return Outgoing((Message(self._topics.readings(source), payload),), log, marks)

    def gap(self, gap: Gap) -> Outgoing:
        """Numbers that will never come."""
        payload = {
            "source": gap.source,
            "epoch": gap.epoch,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
            "declared_at": rfc3339(gap.declared_at_ms),
        }
        message = Message(self._topics.gap(gap.source), self._encoding.one(payload))
        return Outgoing((message,), log_of(gap), (mark_of(gap),))

    def alarm(self, alarm: Alarm) -> Outgoing:
        """A rule's finding."""
        payload = {
            "source": alarm.key.source,
            "epoch": alarm.key.epoch,
            "n": alarm.key.number,
            "asset": alarm.asset,
            "rule": alarm.rule,
            "active": alarm.active,
            "severity": alarm.severity,
            "observed_at": rfc3339(alarm.observed_at_ms),
            "evidence": alarm.evidence,
        }
        message = Message(self._topics.alarm(alarm.asset), self._encoding.one(payload))
        return Outgoing((message,), log_of(alarm), (mark_of(alarm),))


class _Group:
    """Readings of one log and asset, as places in a chunk's texts."""

    __slots__ = ("asset", "ends", "log", "marks", "starts")

    def __init__(self, source: bytes, epoch: bytes, asset: bytes) -> None:
        self.log: Log = (orjson.loads(source), int(epoch))
        self.asset: str = orjson.loads(asset)
        self.marks = array("q")
        self.starts = array("I")
        self.ends = array("I")


class Chunk:
    """Entries on their way, written as they come: a fifth of the memory of what they say."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self._alone: list[Outgoing] = []
        self._groups: dict[tuple[bytes, bytes, bytes], _Group] = {}
        self._texts = Texts()
        self.size = 0

    def fill(self, batch: Batch) -> Iterator[None]:
        """Take what is in a batch, some of it each time that the next is asked for.

        What dates a node's records is nobody's but ours, and left out.
        """
        try:
            for texts in batch.pieces():
                for text in texts:
                    self._add(text)
                yield
        except (ValueError, TypeError, OverflowError):  # Garbled, or what nobody could have written
            self._alone.append(self._mapper.gap(batch.lost()))
            self.size += 1

    def _add(self, text: bytes) -> None:
        reading = READING.fullmatch(text)
        if reading is None:
            self._add_decoded(text)
            return
        source, epoch, number, asset, kind, at_ms, rest = reading.groups()
        if kind == _ANCHOR:
            return
        item = self._mapper.item(number, kind, at_ms, rest)
        name = (source, epoch, asset)
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(source, epoch, asset)
        group.marks.append(int(number))
        start, end = self._texts.add(item)
        group.starts.append(start)
        group.ends.append(end)
        self.size += 1

    def _add_decoded(self, text: bytes) -> None:
        for entry in decoded(b"[%b]" % text):
            if isinstance(entry, Gap):
                self._alone.append(self._mapper.gap(entry))
            elif isinstance(entry, Alarm):
                self._alone.append(self._mapper.alarm(entry))
            else:
                again = written([entry])[1:-1]
                if again == text:
                    raise Garbled("numbers of a reading are none")
                self._add(again)  # somebody else wrote it
                continue
            self.size += 1

    def marks(self) -> Iterator[tuple[Log, Collection[Mark]]]:
        """All that is in it."""
        for outgoing in self._alone:
            yield outgoing.log, outgoing.marks
        for group in self._groups.values():
            yield group.log, group.marks

    def outgoing(
        self, done: Callable[[Log], Collection[Mark]] = lambda _: ()
    ) -> Iterator[Outgoing]:
        """Messages with all but what is `done`, each made when it is asked for.

        Readings share one up to READINGS_PER_MESSAGE and what is fit; a longer one goes alone.
        """
        for outgoing in self._alone:
            if outgoing.marks[0] not in done(outgoing.log):
                yield outgoing
        for group in self._groups.values():
            without = done(group.log)
            places: Sequence[int] = range(len(group.marks))
            if without:
                places = [i for i in places if group.marks[i] not in without]
            for some in _portions(places, group, self._mapper.fit):
                marks = array("q", [group.marks[i] for i in some])
                items = [self._texts.at(group.starts[i], group.ends[i]) for i in some]
                yield self._mapper.readings(group.log, group.asset, marks, items)


def _portions(places: Sequence[int], group: _Group, fit: Fit) -> Iterator[Sequence[int]]:
    """Places in a group, parted so that what is at those of each part fits a message."""
    start = size = 0
    for end, place in enumerate(places):
        length = group.ends[place] - group.starts[place] + 1
        size += length
        if end > start and (size > fit.most_bytes or end - start == READINGS_PER_MESSAGE):
            yield places[start:end]
            start, size = end, length
    if places[start:]:
        yield places[start:]


def rfc3339(utc_ms: int) -> str:
    """UTC in milliseconds since 1970 as `2026-01-31T12:00:00.000Z`; clipped to 1970..9999."""
    return _stamp(b"%d" % utc_ms).decode()


def _stamp(utc_ms: bytes) -> bytes:
    """The same from digits to text: the last four are the seconds' last and the milliseconds."""
    if len(utc_ms) != _DIGITS or utc_ms[0] == _MINUS:
        utc_ms = b"%04d" % min(max(int(utc_ms), 0), LATEST_MS)
    return b"%b%b.%bZ" % (_ten_seconds(utc_ms[:-4]), utc_ms[-4:-3], utc_ms[-3:])


@lru_cache(256)
def _ten_seconds(tens: bytes) -> bytes:
    return datetime.fromtimestamp(10 * int(tens or b"0"), UTC).isoformat()[:18].encode()
