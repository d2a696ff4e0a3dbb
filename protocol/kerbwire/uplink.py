"""The node's end of a session: what is in flight to the gateway, and what the gateway says back.

A missing acknowledgement changes pacing, never the session: a report is sent once and, when it
is not seen in time, joins the backlog; an event or a gap is tried again first.
"""

from kerbwire import acks, cbor, report
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    ACK_SPANS,
    COMMAND_ARGS,
    COPY_MS,
    DEFERRED_COMMANDS,
    IDLE_MS,
    LOST_IN_ROW,
    TRIES,
    UNACKED_FRAMES,
)
from kerbwire.ranges import RangeSet
from kerbwire.retry import Backoff, RoundTrip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kerbwire.report import Record
    from kerbwire.schema import Schema

    Event = tuple[object, ...]
    Slot = list[Any]

_QUEUED = -1  # a slot whose frame has not gone yet
_ROUNDING_MS = 4  # of both ends' clocks in one exchange


# A slot: one frame that waits for `seen`, told by the last record number in it. It is a list, as an
# object takes half as much memory again.
RSEQ = 0
FIRST = 1
CLASS = 2
BODY = 3
TRIES_LEFT = 4
LIVE = 5  # a report sent live, which may become a base; a batch's last record
BATCH = 6  # its count, 0: none
SENT_MS = 7
DUE_MS = 8


class Uplink:
    """Sends records, gaps and results; takes POLL, CMD and NEED_KEYFRAME."""

    __slots__ = (
        "_backoff",
        "_base",
        "_batches",
        "_highest_sent",
        "_idle_ms",
        "_info",
        "_lasts",
        "_lost_in_row",
        "_next_ms",
        "_results",
        "_schema",
        "_slots",
        "copies",
        "kept",
        "round_trip",
        "seen",
    )

    def __init__(self, info: m.Info, random: "Callable[[int], bytes]"):
        self._info = info
        self._backoff = Backoff(random)
        self._slots: list[Slot] = []
        self._results: list[bytes] = []
        self._base: Record | None = None
        self._schema: Schema | None = None
        self._batches = 0  # sent so far, in any session
        self._lasts: list[tuple[int, Record]] = []  # of batches that are seen: count, last record
        self._highest_sent = 0  # in this session
        self._lost_in_row = 0
        self._next_ms = 0  # while backing off: no record before this time
        self._idle_ms = 0
        self.copies = 0  # of a fresh event, sent before its time-out
        self.round_trip = RoundTrip()
        self.seen = RangeSet(limit=ACK_SPANS)
        self.kept = RangeSet(limit=ACK_SPANS)

    def begin(self, now: int) -> None:
        """A new session: nothing is seen but what is kept, nothing in flight; no delta yet."""
        self._slots = []
        self._results = []
        self._base = None
        self._schema = self._info.schema
        if self._schema is None:
            from kerbwire.schema import by_hash

            self._schema = by_hash(self._info.schema_hash)
        self._highest_sent = 0
        self._resume()
        self.seen = self.kept.copy(ACK_SPANS)
        self._idle_ms = now + IDLE_MS

    def release(self) -> None:
        """The line broke: what was in flight is free to be sent again."""
        self._slots = []

    def heard(self) -> None:
        """A valid frame came: an end to backing off."""
        self._resume()

    def window(self, now: int) -> int:
        """How many records or gaps may be handed to `send` now."""
        self._expire(now)
        if self._lost_in_row >= LOST_IN_ROW:
            return 0 if self._slots or now < self._next_ms else 1
        return UNACKED_FRAMES - len(self._slots)

    def wants(self, rseq: int) -> bool:
        """Is this number neither kept nor seen nor in flight?"""
        for slot in self._slots:
            if slot[FIRST] <= rseq <= slot[RSEQ]:
                return False
        return rseq not in self.seen and rseq not in self.kept

    def send_report(self, record: "Record", now: int) -> None:
        """A record just made, as deltas where the gateway holds a base."""
        schema = self._schema
        if schema is not None and schema.profile and self._batch([record], now):
            return
        base = self._base
        if base is not None and report.usable(record, base, self._highest_sent):
            elapsed = () if schema is None else schema.elapsed
            body = report.encode_delta(record, base, self._info, elapsed)
        else:
            body = report.encode_keyframe(record, self._info)
        self._take(record[0], m.CLASS_REPORT, body, 1, now, record)

    def send_backfill(self, record: "Record", now: int) -> None:
        """A record from the backlog, whole, never a base."""
        body = report.encode_keyframe(record, self._info)
        self._take(record[0], m.CLASS_REPORT, body, 1, now)

    def send_batch(self, records: "list[Record]", now: int) -> int:
        """The first ones of these reports, of one boot and numbered in a row; how many went."""
        count = self._batch(records, now)
        if not count:
            self.send_backfill(records[0], now)
        return count or 1

    def _batch(self, records: "list[Record]", now: int) -> int:
        """As many as a BATCH takes; 0 where it takes none: an old schema, enormous numbers."""
        schema = self._schema
        if schema is None or schema.version < 2 or len(records[0][3]) != schema.width:
            return 0
        from kerbwire import batch

        base = batch.nearest(self._lasts, self._batches, records[0])
        body, count = batch.pack(records, base, schema, self._info)
        if count:
            last = records[count - 1]
            slot = self._take(last[0], m.CLASS_REPORT, body, 1, now, last)
            slot[FIRST] = records[0][0]
            self._batches += 1
            slot[BATCH] = self._batches
        return count

    def send_other(self, type_: int, record: "Record", now: int) -> None:
        """An EVENT or an ANCHOR."""
        rseq, boot_id, uptime_s, values = record
        boot = 0 if boot_id == self._info.boot_id else boot_id
        body = cbor.written([type_, rseq, boot, uptime_s] + list(values))
        slot = self._take(rseq, m.CLASS_REPORT, body, TRIES, now)
        if rseq + UNACKED_FRAMES > self._info.next_rseq:  # just made
            slot[TRIES_LEFT] += self.copies

    def send_gap(self, first: int, last: int, reason: int, now: int) -> None:
        """Numbers that will never come."""
        body = cbor.encode([m.GAP, first, last, reason])
        self._take(last, m.CLASS_CONTROL, body, TRIES, now)

    def send_result(self, command_id: int, code: int, value: int) -> None:
        """What became of a command (0: of a message of type `value`); it needs no window."""
        if len(self._results) == DEFERRED_COMMANDS:
            self._results.pop(0)  # its command comes again, and is answered again
        self._results.append(cbor.encode([m.RESULT, command_id, code, value]))

    def send_configured(self, version: int, code: int) -> None:
        """What became of a CONFIG; it needs no window."""
        self.send_result(0, code, m.CONFIG)
        self._results[-1] += cbor.encode([version])

    def send_diag(self, values: "dict[int, int | bytes]") -> None:
        """How the node is; it needs no window, and nobody answers it."""
        items: list[int | bytes] = [m.DIAG]
        for key in sorted(values):
            items += [key, values[key]]
        if len(self._results) < DEFERRED_COMMANDS:
            self._results.append(cbor.encode(items))

    def _take(
        self,
        rseq: int,
        class_: int,
        body: "bytes | bytearray",
        tries: int,
        now: int,
        live: "Record | None" = None,
    ) -> "Slot":
        if self.window(now) < 1:
            raise LocalError("window")
        slot: Slot = [rseq, rseq, class_, body, tries, live, 0, _QUEUED, _QUEUED]
        self._slots.append(slot)
        self._highest_sent = max(self._highest_sent, rseq)
        return slot

    def pull(self, now: int) -> "tuple[int, bytes] | None":
        """The next (class, body) to seal, or None."""
        self._expire(now)
        if now >= self._next_ms:
            self._next_ms = 0  # the wait is over: `deadline` need not say so again
        if self._results:
            return self._sent(m.CLASS_CONTROL, self._results.pop(0), now)
        for slot in self._slots:
            if now >= slot[DUE_MS]:  # Karn: no round trip from a repeat
                slot[SENT_MS] = now if slot[DUE_MS] == _QUEUED else _QUEUED
                slot[TRIES_LEFT] -= 1
                wait_ms = self.round_trip.timeout_ms if slot[TRIES_LEFT] < TRIES else COPY_MS
                slot[DUE_MS] = now + wait_ms
                return self._sent(slot[CLASS], slot[BODY], now)
        if now >= self._idle_ms:
            return self._sent(m.CLASS_CONTROL, cbor.encode([m.IDLE]), now)
        return None

    def deadline(self) -> int:
        """When `pull` or `window` changes by itself."""
        when = self._idle_ms
        for slot in self._slots:
            when = min(when, slot[DUE_MS])
        if self._next_ms and not self._slots:
            when = min(when, self._next_ms)
        return when

    def receive(
        self, type_: int, items: "list[int | bytes]", channel: Channel, now: int
    ) -> "list[Event]":
        """The events of one message from the gateway; RemoteError where it is malformed."""
        if type_ == m.POLL:
            return self._poll(items, channel, now)
        if type_ == m.COMMAND:
            numbers = report.integers(items, max(4, len(items)))
            wrong = not 0 < numbers[1] < 1 << 40 or min(numbers[2:4]) < 0
            if wrong or len(numbers) > 4 + COMMAND_ARGS:
                raise RemoteError("value")
            return [("COMMAND", numbers[1], numbers[2], numbers[3], tuple(numbers[4:]))]
        if type_ == m.CONFIG:
            from kerbwire import config

            return [("CONFIG",) + config.decode(items)]
        if type_ == m.NEED_KEYFRAME:
            self._base = None
            self._lasts = []
            return []
        self.send_result(0, m.UNSUPPORTED, type_)
        raise RemoteError("type")

    def _poll(self, items: "list[int | bytes]", channel: Channel, now: int) -> "list[Event]":
        if not channel.heard_newest:  # overtaken on the way: a newer one has said more
            return []
        numbers = report.integers(items, 4)
        seen = numbers[1]
        kept = seen - numbers[2]
        end = max(self._info.next_rseq, self._highest_sent + 1)  # nobody holds what is not made
        if not 0 <= kept <= seen < end:
            raise RemoteError("value")
        seen_spans = acks.decode_spans(items, 4, seen, end)
        at = 5 + 2 * numbers[4]
        kept_spans = acks.decode_spans(items, at, kept, end)
        events = _offer(items, at + 1 + 2 * numbers[at], channel, now)
        if seen < self.seen.cumulative:  # the gateway knows less than it did: believe it
            self.seen = RangeSet(limit=ACK_SPANS)
        for first, last in seen_spans:
            self.seen.add(first, last)
        changed = False
        for first, last in kept_spans:
            changed = self.kept.add(first, last) or changed
        if changed:
            events.insert(0, ("KEPT",))
        if self._settle(now):
            events.insert(0, ("SEEN",))
        return events

    def _settle(self, now: int) -> bool:
        """Free the slots whose records are seen; did any?"""
        slots = self._slots
        before = len(slots)
        for at in range(before - 1, -1, -1):
            slot = slots[at]
            if slot[RSEQ] not in self.seen:
                continue
            slots.pop(at)
            if slot[SENT_MS] != _QUEUED:
                self.round_trip.sample(now - slot[SENT_MS])
            if slot[BATCH]:
                self._lasts = self._lasts[-3:] + [(slot[BATCH], slot[LIVE])]
            elif slot[LIVE] and (self._base is None or slot[RSEQ] > self._base[0]):
                self._base = slot[LIVE]
        return len(slots) < before

    def _expire(self, now: int) -> None:
        """Slots whose last try is over time are lost: their records join the backlog."""
        slots = self._slots
        for at in range(len(slots) - 1, -1, -1):
            slot = slots[at]
            if slot[DUE_MS] == _QUEUED or now < slot[DUE_MS] or slot[TRIES_LEFT] > 0:
                continue
            slots.pop(at)
            self._lost_in_row += 1
            if self._lost_in_row >= LOST_IN_ROW:
                self._next_ms = now + self._backoff.next_ms()

    def _resume(self) -> None:
        self._lost_in_row = 0
        self._next_ms = 0
        self._backoff.reset()

    def _sent(self, class_: int, body: bytes, now: int) -> "tuple[int, bytes]":
        self._idle_ms = now + IDLE_MS
        return class_, body


def _offer(items: "list[int | bytes]", at: int, channel: Channel, now: int) -> "list[Event]":
    """The TIME event of an offer at that place, if it answers our latest frame."""
    if len(items) < at + 4:
        return []
    fseq, hold_ms, utc_ms, uncertainty_ms = report.integers(items, 4, at)[at : at + 4]
    if fseq != (channel.sent - 1) & 0xFFFF:
        return []
    if hold_ms < 0 or not 0 < utc_ms < 1 << 43 or uncertainty_ms < 0:
        raise RemoteError("value")
    trip = max(0, now - channel.last_sent_ms - hold_ms)  # rounding may give -1
    return [("TIME", utc_ms + trip // 2, uncertainty_ms + trip // 2 + _ROUNDING_MS)]
