"""The gateway's end of a session: takes records and acknowledges them twice.

`seen` says "stop sending", `kept` says "durable here, you may delete": the host tells with
`keep` what has become durable, and POLL carries both.
"""

from kerbwire import acks, bases, catalogue, cbor, config, report, unpacking
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.limits import ACK_DELAY_MS, HELD_SPANS, OFFER_MS, SPANS_IN_POLL
from kerbwire.orders import Orders
from kerbwire.ranges import RangeSet
from kerbwire.schema import Schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Event = tuple[object, ...]

CREDIT = 1  # frames that a node on a polled bus may answer with; without meaning elsewhere
_NEVER = 1 << 62


class Intake:
    """Takes REPORT, EVENT, GAP, RESULT and IDLE; sends POLL, CMD and NEED_KEYFRAME."""

    __slots__ = (
        "_bases",
        "_need_keyframe",
        "_offer_ms",
        "_past",
        "_poll_ms",
        "_recent",
        "_top_ms",
        "_utc_offset_ms",
        "_utc_uncertainty_ms",
        "catalogue",
        "credit",
        "epoch",
        "info",
        "kept",
        "orders",
        "schema",
        "seen",
    )

    def __init__(
        self,
        epoch: "int | None",
        kept: RangeSet,
        random: "Callable[[int], bytes]",
        schemas: "catalogue.Schemas | None" = None,
    ):
        self.credit = CREDIT
        self.catalogue = catalogue.Catalogue(schemas)
        self.epoch = epoch
        self.kept = kept.copy(HELD_SPANS)
        self.seen = kept.copy(HELD_SPANS)
        self._past = epoch, self.kept  # the log before this one: a node may find it again
        self.info: m.Info | None = None
        self.schema: Schema | None = None
        self.orders = Orders(random)
        self._bases = bases.Bases()
        self._recent: list[int] = []  # of the latest frames: a POLL always answers these
        self._need_keyframe = False
        self._poll_ms = _NEVER
        self._offer_ms = 0
        self._top_ms = 0
        self._utc_offset_ms: int | None = None
        self._utc_uncertainty_ms = 0

    def begin(self, info: m.Info, now: int) -> None:
        """A new session: INFO names the log's epoch; one that is not known here starts empty."""
        self.info = info
        self.catalogue.lacking = b""
        self.schema = self.catalogue.find(info.schema_hash)
        if info.epoch != self.epoch:
            past, kept = self._past
            if self.epoch:
                self._past = self.epoch, self.kept
            self.epoch = info.epoch
            self.kept = kept if info.epoch == past else RangeSet(limit=HELD_SPANS)
            self._bases = bases.Bases()
        elif info.next_rseq <= self.seen.highest:
            self._bases = bases.Bases()  # its log was set back: numbers may mean other records
        if info.next_rseq <= self.kept.highest:  # a node refuses what it can't have made
            spans = [span for span in self.kept.spans() if span[0] < info.next_rseq]
            below = tuple([(first, min(last, info.next_rseq - 1)) for first, last in spans])
            self.kept = RangeSet(below, HELD_SPANS)
        self.seen = self.kept.copy(HELD_SPANS)
        self._bases.clear()
        self._recent = []
        self._need_keyframe = False
        self._offer_ms = now
        self.orders.begin(info.config_version, now)
        self.heard(now)
        self._poll_ms = now

    def look_up(self) -> None:
        """A schema more is known: perhaps that of the reports."""
        if self.schema is None and self.info is not None:
            self.schema = self.catalogue.find(self.info.schema_hash)

    def heard(self, now: int) -> None:
        """The node's newest frame came now: time offers count from it."""
        self._top_ms = now

    def set_utc(self, offset_ms: int, uncertainty_ms: int) -> None:
        """utc = now + offset, for time offers."""
        self._utc_offset_ms = offset_ms
        self._utc_uncertainty_ms = uncertainty_ms

    def keep(self, epoch: int, first: int, last: int) -> None:
        """first..last of this log are durable: the node may delete them."""
        if epoch != self.epoch:
            if epoch == self._past[0]:
                self._past[1].add(first, last)
            return
        self.kept.add(first, last)
        self.seen.add(first, last)
        if self.kept.cumulative > self.seen.cumulative:  # it forgot what is kept
            self.seen.add(1, self.kept.cumulative)
        self._poll_ms = 0  # with the next bytes out

    def ask_again(self) -> None:
        """Nothing is seen but what is kept: the node sends the rest again."""
        self.seen = self.kept.copy(HELD_SPANS)
        self._poll_ms = 0  # with the next bytes out

    def receive(
        self, type_: int, items: "list[int | bytes]", channel: Channel, now: int
    ) -> "list[Event]":
        """The events of one message from the node; RemoteError where it is malformed."""
        if type_ == m.REPORT:
            return self._report(items, channel.opened, now)
        if type_ == m.EVENT:
            return self._event(report.integers(items[:6], 6), now)
        if type_ == m.BATCH:
            return self._batch(items[1], now)
        if type_ == m.ANCHOR:
            return self._anchor(report.integers(items[:8], 8), now)
        if type_ == m.GAP:
            return self._gap(report.integers(items[:4], 4), now)
        if type_ == m.RESULT:
            if items[2:3] == [m.NO_TIME]:  # the offer was lost
                self._offer_ms = self._poll_ms = now
            return self.orders.result(items, now)
        if type_ == m.DIAG:
            return [("DIAG", config.pairs(items, 1))]
        if type_ in (m.IDLE, m.INFO):  # an INFO again: our answer to it was lost
            self._poll_ms = now
            return []
        raise RemoteError("type")

    def _report(self, items: "list[int | bytes]", fseq: int, now: int) -> "list[Event]":
        if self.schema is None or self.info is None:
            raise RemoteError("schema")
        try:
            record = bases.decode(
                items, fseq, self._bases, self.info, self.schema, self.seen.highest
            )
        except RemoteError as fault:
            self._need_keyframe = self._need_keyframe or fault.code == "base"
            raise
        self._bases.add(record, fseq)
        return self._record(m.REPORT, record, now)

    def _batch(self, packed: "int | bytes", now: int) -> "list[Event]":
        """All records of one frame, each an event of its own; they are seen together."""
        if self.schema is None or self.info is None or isinstance(packed, int):
            raise RemoteError("schema")
        try:
            find = self.catalogue.find
            records = unpacking.decode(packed, self._bases, self.info, self.schema, find)
        except RemoteError as fault:
            self._need_keyframe = self._need_keyframe or fault.code == "base"
            raise
        self._bases.add_last(records[-1])
        events: list[Event] = []
        for record in records:
            events += self._record(m.REPORT, record, now)
        return events

    def _event(self, numbers: "list[int]", now: int) -> "list[Event]":
        if self.info is None:
            raise RemoteError("type")
        rseq, boot, uptime_s = numbers[1:4]
        boot_id = boot or self.info.boot_id
        bases.check_number(rseq, boot_id, uptime_s)
        return self._record(m.EVENT, (rseq, boot_id, uptime_s, tuple(numbers[4:6])), now)

    def _anchor(self, numbers: "list[int]", now: int) -> "list[Event]":
        if self.info is None:
            raise RemoteError("type")
        rseq, boot, uptime_s, uptime_ms, utc_s, utc_ms, uncertainty_ms = numbers[1:8]
        boot_id = boot or self.info.boot_id
        bases.check_number(rseq, boot_id, uptime_s)
        if not (
            0 <= uptime_ms < 1000
            and 0 <= utc_s < 1 << 32
            and 0 <= utc_ms < 1000
            and 0 <= uncertainty_ms < 1 << 31
        ):
            raise RemoteError("value")
        return self._record(m.ANCHOR, (rseq, boot_id, uptime_s, tuple(numbers[4:8])), now)

    def _record(self, kind: int, record: "report.Record", now: int) -> "list[Event]":
        rseq, boot_id, uptime_s, values = record
        self._answer(rseq, now)
        if rseq in self.seen:
            return []
        self.seen.add(rseq, rseq)
        return [("RECORD", kind, self.epoch, rseq, boot_id, uptime_s, values)]

    def _gap(self, numbers: "list[int]", now: int) -> "list[Event]":
        first, last, reason = numbers[1:4]
        if not 0 < first <= last < 1 << 40 or not 0 <= reason < 256:
            raise RemoteError("value")
        self._answer(last, now)
        if self.seen.covers(first, last):
            return []
        self.seen.add(first, last)
        return [("GAP", self.epoch, first, last, reason)]

    def expired(self, now: int) -> "list[Event]":
        """An EXPIRED event for each command whose time is over."""
        if self._utc_offset_ms is None:
            return []
        return self.orders.expired((now + self._utc_offset_ms) // 1000)

    def pull(self, channel: Channel, now: int, taken: int = 0) -> "tuple[int, bytes] | None":
        """The next (class, body) to seal, or None; `taken` places on the line are a block's."""
        if now >= self._poll_ms and self._offers(now):  # a command before it would meet NO_TIME
            return self._polled(channel, now)
        body = self.orders.pull(now, taken)
        if body is not None:
            return m.CLASS_CONTROL, body
        if self._need_keyframe:
            self._need_keyframe = False
            return m.CLASS_CONTROL, cbor.encode([m.NEED_KEYFRAME])
        if now >= self._poll_ms:
            return self._polled(channel, now)
        return None

    def copy(self, now: int) -> "bytes | None":
        """A frame that goes once more as it is."""
        return self.orders.copy(now)

    def expiry(self) -> "int | None":
        """When the next command expires."""
        utc_s = self.orders.expiry()
        if self._utc_offset_ms is None or utc_s is None:
            return None
        return utc_s * 1000 - self._utc_offset_ms

    def deadline(self, taken: int = 0) -> int:
        """When `pull` has something next by itself."""
        if self._need_keyframe:
            return 0
        return min(self._poll_ms, self.orders.deadline(taken))

    def _answer(self, number: int, now: int) -> None:
        """A POLL soon, which tells of this number; RemoteError("value") in a log that is none."""
        if not self.epoch:
            raise RemoteError("value")
        self._recent = [n for n in self._recent if n != number][1 - SPANS_IN_POLL :] + [number]
        self._poll_ms = min(self._poll_ms, now + ACK_DELAY_MS)

    def _offers(self, now: int) -> bool:
        """Is a time offer due with the next POLL?"""
        return self._utc_offset_ms is not None and now >= self._offer_ms

    def _polled(self, channel: Channel, now: int) -> "tuple[int, bytes]":
        self._poll_ms = _NEVER
        seen = self.seen.cumulative
        items: list[int | bytes] = [m.POLL, seen, seen - self.kept.cumulative, self.credit]
        items += acks.encode_spans(self.seen, self._recent)
        items += acks.encode_spans(self.kept, self._recent)
        if self._utc_offset_ms is not None and self._offers(now):
            self._offer_ms = now + OFFER_MS
            utc_ms = now + self._utc_offset_ms
            items += [channel.top & 0xFFFF, now - self._top_ms, utc_ms, self._utc_uncertainty_ms]
        return m.CLASS_CONTROL, cbor.encode(items)
