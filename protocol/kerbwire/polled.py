"""The node's end on a polled bus: silent but in the windows that the gateway opens for it."""

from kerbwire import cbor, cobs, frame, report
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.handshake import CONFIRMING, GREETING, KEEPING, items_of
from kerbwire.limits import BUS, CALL_MS, POLL_CREDIT, SLOT_LATE_MS, UNHEARD_MS, WINDOW_MS
from kerbwire.node import NodeSession
from kerbwire.retry import sooner
from kerbwire.uplink import BODY, DUE_MS, TRIES_LEFT, Uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.engine import Event
    from kerbwire.seal import Buffer

_NEVER = 1 << 62
_QUEUED = -1  # as in `uplink`
_IDLE = cbor.encode([m.IDLE])


class PolledUplink(Uplink):
    """An uplink whose time-out is the next POLL: what that does not answer is lost."""

    __slots__ = ("credit",)

    def __init__(self, info: m.Info, random: "Callable[[int], bytes]"):
        Uplink.__init__(self, info, random)
        self.credit = -1  # that the last message named; -1: it was no POLL

    def pull(self, now: int) -> "tuple[int, bytes] | None":
        """The next (class, body) to seal, or None."""
        self._idle_ms = _NEVER  # silence is the rule here
        item = Uplink.pull(self, now)
        for slot in self._slots:
            if slot[DUE_MS] > now:  # it has gone: no time-out but the next POLL
                slot[DUE_MS] = _NEVER
        return item

    def receive(
        self, type_: int, items: "list[int | bytes]", channel: Channel, now: int
    ) -> "list[Event]":
        """As in Uplink, and what a POLL's window is."""
        self.credit = -1
        if type_ != m.POLL:
            return Uplink.receive(self, type_, items, channel, now)
        short = len(items) == 2
        credit = report.integers(items[:4], 2 if short else 4)[-1]
        if credit < 0:
            raise RemoteError("value")
        events = [] if short else Uplink.receive(self, type_, items, channel, now)
        if channel.heard_newest:
            self.credit = min(credit, POLL_CREDIT)
            self._unanswered(now)
        return events

    def _unanswered(self, now: int) -> None:
        """What went before this POLL and is not seen: again, or free for the backlog."""
        waiting = []
        for slot in self._slots:
            if slot[DUE_MS] != _QUEUED:
                if slot[TRIES_LEFT] <= 0:
                    continue
                slot[DUE_MS] = now
            waiting.append(slot)
        self._slots = waiting


class PolledNode(NodeSession):
    """The engine of a node on a bus; events and calls are NodeSession's.

    `outgoing` gives bytes only inside a window or in the node's slot, and not later: the host
    writes them at once.
    """

    __slots__ = ("_credit", "_hello", "_polled", "_slot_ms", "_until_ms", "_welcome")

    def __init__(
        self,
        node_id: bytes,
        generation: int,
        key: bytes,
        info: m.Info,
        random: "Callable[[int], bytes]",
    ):
        NodeSession.__init__(self, node_id, generation, key, info, random, BUS)
        self._polled = PolledUplink(info, random)
        self._uplink = self._polled
        self._credit = 0  # frames that may still go in this window
        self._until_ms = 0
        self._slot_ms: int | None = None
        self._hello = b""  # what goes in the slot
        self._welcome = b""  # the last one taken

    def outgoing(self, now: int) -> bytes:
        """What to write now: a slot's greeting or a window's answer."""
        self._watch(now)
        out = b""
        if self._slot_ms is not None and now >= self._slot_ms:
            if now <= self._slot_ms + SLOT_LATE_MS:
                out = b"\0" + cobs.encode(self._hello)  # the zero ends what met before us
            self._slot_ms = None
        if now > self._until_ms:
            self._credit = 0
        while self._credit:
            self._credit -= 1
            data = self._next_frame(now)
            if data is None:
                self._credit = 0
                if self.channel is None:
                    break
                data = self.channel.seal(m.CLASS_CONTROL, _IDLE, now)
            out += cobs.encode(data)
        return out

    def deadline(self) -> "int | None":
        """When `outgoing` and `next_event` have something without a byte received."""
        if self._credit:
            return 0
        return sooner(sooner(self._slot_ms, self._ask_at_ms), self._silence_ms())

    def failed(self, now: int) -> None:
        """The line broke."""
        NodeSession.failed(self, now)
        self._credit = 0
        self._slot_ms = None

    def _concerns(self, header: frame.Header) -> bool:
        """Is it for us, or for all? Told by its first two bytes, before any crypto."""
        if header.direction != frame.DOWN or header.address < 0:
            return False  # another node's answer, or our own echo
        if header.class_ == m.CLASS_PLAIN:
            return True
        new, old = self._handshake.channel, self.channel  # a loop over both would allocate
        return (new is not None and new.address == header.address) or (
            old is not None and old.address == header.address
        )

    def _plain(self, data: bytes, header: frame.Header, now: int) -> bool:
        type_ = data[header.size] if len(data) > header.size else -1
        if type_ == m.WELCOME:
            return self._welcomed(data, header, now)
        items = cbor.decode(data[header.size :])
        if type_ == m.HELLO_REQUEST:
            if items[2:3] == [self._handshake.node_id]:
                self._called(now)
                if items[1] == 1:
                    self._events.append(("PERMIT",))
        elif type_ == m.DISCOVER:
            self._looked_for(items, now)
        elif type_ == m.CALL:
            numbers = report.integers(items, 3)
            at: int = (self.channel and self.channel.address) or 0
            for slot in self._polled._slots:  # none without a channel
                if slot[BODY][0] == m.EVENT and numbers[1] <= at <= numbers[2]:
                    slot[DUE_MS] = now  # a POLL would have told that it is seen
                    self._opened(1, now - (WINDOW_MS - CALL_MS))
        else:
            raise RemoteError("type")
        return False

    def _sealed(self, data: "Buffer", header: frame.Header, now: int) -> None:
        self._polled.credit = -1
        NodeSession._sealed(self, data, header, now)
        if self._polled.credit >= 0:
            self._opened(self._polled.credit, now)

    def _opened(self, credit: int, now: int) -> None:
        """A window opens: greetings go in windows alone, so they are due in each."""
        self._credit = credit
        self._until_ms = now + WINDOW_MS
        self._handshake.prompt(now)

    def _welcomed(self, data: bytes, header: frame.Header, now: int) -> bool:
        if items_of(data, header)[4:5] != [self._handshake.node_id]:
            return False
        if self._handshake.state == CONFIRMING and data == self._welcome:
            self._opened(1, now)  # once more: it asks for INFO
            return True
        if not NodeSession._plain(self, data, header, now):
            return False
        self._welcome = data
        self._heard_ms = now
        self._slot_ms = None
        return True

    def _called(self, now: int) -> None:
        """A HELLO? with our node id opens a window for HELLO."""
        if self._handshake.state != GREETING:
            self._asked(now)
        if self._handshake.state == GREETING:
            self._opened(1, now)

    def _looked_for(self, items: "list[int | bytes]", now: int) -> None:
        """DISCOVER: a node without an address answers, and one that nobody talks to."""
        state = self._handshake.state
        unheard = now - self._heard_ms >= UNHEARD_MS
        homeless = self.channel is None and state not in (KEEPING, CONFIRMING)
        if state == KEEPING or not (homeless or unheard):
            return
        from kerbwire import discovery  # only nodes that look for a gateway need it

        self._slot_ms = discovery.own_slot_ms(items, now, self._handshake.random)
        if state != GREETING:
            self._handshake.ask(now)
        self._handshake.prompt(now)
        self._hello = self._handshake.outgoing(now) or b""
