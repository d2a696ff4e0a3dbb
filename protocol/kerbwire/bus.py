"""The gateway's end of a polled two-wire bus: whose turn it is, and what came in it.

Sans-I/O, in microseconds: `outgoing` gives the bytes of the next turn when the bus is free,
`receive` takes all that is heard. The sessions of the nodes are PolledGateway's.
"""

from kerbwire import cbor, claiming, cobs, frame, handshake
from kerbwire import messages as m
from kerbwire.calls import Calls
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    ANSWER_MS,
    BABBLE_BYTES,
    BABBLE_MS,
    BUS_ALL,
    CALL_MS,
    CALL_PAUSE_MS,
    DISCOVER_PAUSE_MS,
    FRAME_BYTES,
    KEYING_MS,
    MISSED_TURNS,
    RELEASE_MS,
    REPOLLS,
    TURN_MS,
)
from kerbwire.poller import LAST, NOTHING
from kerbwire.search import Search
from kerbwire.strangers import Strangers
from kerbwire.turns import Place as Place
from kerbwire.turns import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    Event = tuple[object, ...]

UNNAMED = -1  # of stray bytes that are no frame
_MS = 1000


class _Window:
    """A window that is open: for whom, what is expected, what came."""

    __slots__ = ("expected", "got", "limit_us", "place", "tries")

    def __init__(self, place: Place, expected: int, tries: int):
        self.place = place
        self.expected = expected
        self.got = 0
        self.tries = tries  # those that went before
        self.limit_us = 0


class Bus:
    """Gives the turns of up to BUS_NODES nodes.

    Events: ("SILENT", node id), ("BACK", node id), ("UNKNOWN", node id) of a node that is not
    ours, ("CLAIM", node id, sealed) of one who would be, ("BABBLE", node id or b"", bytes so far),
    ("FAULT", code).
    """

    def __init__(
        self,
        places: "list[Place]",
        byte_us: int,
        answer_ms: int = ANSWER_MS,
    ):
        """`byte_us`: the time of one byte on the line."""
        self.stray: dict[int, int] = {}  # bytes outside any window by address, or UNNAMED
        self.polls = 0
        self.repolls = 0
        self._row = Row(places)
        self._by_address = {place.session.address: place for place in self._row.places}
        self._by_id = {place.session.node_id: place for place in self._row.places}
        self._byte_us = byte_us
        self._answer_us = answer_ms * _MS
        self._deframer = cobs.Deframer()
        self._partial = 0  # bytes since the last end of a frame
        self._events: list[Event] = []
        self._window: _Window | None = None
        self._search = Search(byte_us)
        self._strangers = Strangers()
        self._free_us = 0  # nothing goes out before
        self._keying: list[Place] = []  # greeted, and not confirmed yet
        self._told_us: dict[int, int] = {}
        self._calls = Calls(self._row.places)
        self._rushed = False  # was that what was said last?
        self._invited = False  # or that?
        self._again: tuple[Place, int] | None = None  # who is asked once more, after so many tries

    def enrol(self, now: int, ms: int) -> None:
        """Look for nodes, with the permit bit, for at most ENROL_MS; 0 ends it."""
        self._search.enrol(now, ms)
        self._strangers.begin()

    def judged(self, node_id: bytes) -> None:
        """The claim of that node was looked at: it need not come again."""
        self._strangers.judged(node_id)

    def add(self, place: Place, *, calls: bool = False) -> None:
        """One more node, at an address that no other one has.

        `calls`: somebody waits for its events, so all are asked for theirs between turns.
        """
        self._row.places.append(place)
        self._calls.wanted = self._calls.wanted or calls
        self._by_address[place.session.address] = place
        self._by_id[place.session.node_id] = place

    def remove(self, node_id: bytes) -> None:
        """That node is none of ours any more."""
        place = self._by_id.pop(node_id)
        del self._by_address[place.session.address]
        self._keying = [other for other in self._keying if other is not place]
        self._row.remove(place)
        self._calls.failed()
        if self._window and self._window.place is place:
            self._window = None
        if self._again and self._again[0] is place:
            self._again = None

    def next_event(self) -> "Event | None":
        """The next event, or None."""
        return self._events.pop(0) if self._events else None

    def failed(self) -> None:
        """The line broke: the window is closed, the sessions live on."""
        self._deframer.reset()
        self._partial = 0
        self._window = None
        self._again = None
        self._search.failed()
        self._strangers.failed()
        self._calls.failed()
        self._free_us = 0

    def deadline(self, now: int) -> int:
        """When `outgoing` may have something."""
        busy = self._window or self._again or self._search.open or self._calls.open
        busy = busy or self._strangers.open
        if busy or now < self._free_us:
            return self._free_us
        times = self._row.ready_us()
        times += [place.session.urgent_ms() * _MS for place in self._row.places]
        if self._calls.calling:
            times.append(self._calls.next_us)
        if self._searching(now):
            times.append(self._search.next_us)
        if self._strangers.waiting and self._search.enrolling(now):
            times.append(now)
        return max(now, min(times)) if times else now + DISCOVER_PAUSE_MS * _MS

    # ------------------------------------------------------------------ what is heard

    def receive(self, data: bytes, now: int) -> None:
        """Bytes of the line, in any portions."""
        at = 0
        while at < len(data):
            start = at
            at = self._deframer.take(data, at)
            self._partial += at - start
            length = self._deframer.length
            if length > 0:
                self._partial = 0
                self._frame(self._deframer.frame(), now)
            elif length < 0:
                self._events.append(("FAULT", "cobs" if length == -1 else "long"))
                self._forget(now)
            elif not data[at - 1]:
                self._partial = 0  # zeros alone
            elif self._partial > FRAME_BYTES + 1:
                self._forget(now)
        if self._window:
            self._free_us = min(now + self._answer_us, self._window.limit_us)
            self._finish(now)
        elif self._calls.open:
            self._free_us = min(now + CALL_MS * _MS, self._calls.limit_us)
            if self._calls.answered:
                self._free_us = now + RELEASE_MS * _MS
        elif self._strangers.open:
            self._free_us = min(now + self._answer_us, self._strangers.limit_us)

    def _forget(self, now: int) -> None:
        """The bytes since the last frame are none."""
        self._noise(self._partial, UNNAMED, now)
        self._partial = 0

    def _noise(self, count: int, address: int, now: int) -> None:
        """Bytes that answer nothing: two in a slot, a spoilt answer, or a babbling node."""
        if self._search.open:
            self._search.spoilt(count)
        elif self._calls.open:
            self._calls.spoilt()
        elif self._strangers.open:
            pass  # it greets again
        elif not (self._window and address == UNNAMED):
            self._babbled(count, address, now)

    def _babbled(self, count: int, address: int, now: int) -> None:
        total = self.stray.get(address, 0) + count
        self.stray[address] = total
        told = self._told_us.get(address)
        if total >= BABBLE_BYTES and (told is None or now - told >= BABBLE_MS * _MS):
            self._told_us[address] = now
            place = self._by_address.get(address)
            self._events.append(("BABBLE", place.session.node_id if place else b"", total))

    def _frame(self, data: bytes, now: int) -> None:
        try:
            header = frame.Header(data)
            if header.direction == frame.DOWN:
                return  # our own echo
            plain = header.class_ == m.CLASS_PLAIN
            if plain and claiming.is_claim(data, header):
                self._claimed(data, header)
                return
            if plain:
                place = self._by_id.get(handshake.node_id_of(data, header))
            else:
                place = self._by_address.get(header.address)
            if place is not None:
                self._taken(place, data, now)
            elif plain:
                self._unknown(handshake.node_id_of(data, header))
            else:
                raise RemoteError("unknown_session")
        except RemoteError as fault:
            self._events.append(("FAULT", fault.code))
            self._noise(len(data) + 2, UNNAMED, now)

    def _unknown(self, node_id: bytes) -> None:
        self._events.append(("UNKNOWN", node_id))
        if self._search.open:
            self._strangers.greeted(node_id)
        self._search.answered()

    def _claimed(self, data: bytes, header: frame.Header) -> None:
        """A CLAIM counts in the window that was opened for it alone."""
        node_id, sealed = claiming.claim_of(data, header)
        if not self._strangers.answers(node_id):
            raise RemoteError("claim")
        self._events.append(("CLAIM", node_id, sealed))

    def _taken(self, place: Place, data: bytes, now: int) -> None:
        """A frame from the node of that place, or in its name."""
        window = self._window
        what = place.session.take(data, now // _MS)
        if what == NOTHING:
            self._noise(len(data) + 2, UNNAMED, now)
            return
        if data[0] & 3 == m.CLASS_PLAIN:
            place.placed = True
            if place not in self._keying:
                self._keying.append(place)
            self._search.answered()
        if window and window.place is place:
            window.got += 1
            if what == LAST:
                window.expected = window.got
                place.credit = 1
        elif self._calls.open:
            self._calls.came(place)
        elif not self._search.open:
            self._babbled(len(data) + 2, place.session.address, now)
        if place.heard(now):
            self._events.append(("BACK", place.session.node_id))

    def _finish(self, now: int) -> None:
        """Close the window if all that was expected came; the line gets a moment's rest."""
        window = self._window
        if window is None or window.got < window.expected:
            return
        self._window = None
        self._free_us = now + RELEASE_MS * _MS
        window.place.filled(window.got, now)

    # ------------------------------------------------------------------ what is said

    def outgoing(self, now: int) -> bytes:
        """The bytes of the next turn, b"" while the bus is not free or nobody's turn has come."""
        if now < self._free_us:
            return b""
        if self._window:
            self._missed(self._window, now)
        if self._search.open:
            if self._partial:
                self._forget(now)
            self._search.close(now)
        if self._calls.open:
            if self._partial:
                self._forget(now)
            self._calls.close(now)
        if self._strangers.open:
            if self._partial:
                self._forget(now)
            self._strangers.close()
            # The nodes of the bus have their turns between two strangers.
            self._search.next_us = max(self._search.next_us, now + 2 * self._answer_us)
        return (
            self._keys(now)
            or self._rush(now)
            or self._turn(self._calls.told(), now)
            or self._call(now)
            or self._ask_again(now)
            or self._turn(self._row.pressing(now), now)
            or self._invite(now)
            or self._look(now)
            or self._turn(self._row.next(now), now)
        )

    def _send(self, frames: "list[bytes]", now: int, *, again: bool = False) -> bytes:
        """These frames, encoded; the bus is free when they are out."""
        if self._partial:
            self._forget(now)
        self._deframer.reset()
        out = b"\0" if again or self.stray else b""  # ends what noise has begun
        for data in frames:
            out += cobs.encode(data)
        self._free_us = now + len(out) * self._byte_us
        return out

    def _turn(self, place: "Place | None", now: int) -> bytes:
        return b"" if place is None else self._open(place, now)

    def _open(self, place: Place, now: int, tries: int = 0) -> bytes:
        """The turn of a node: what there is to say to it, then its window."""
        session = place.session
        frames = session.turn(place.credit, now // _MS)
        place.ready_us = now + TURN_MS * _MS
        if not frames:
            return b""
        out = self._send(frames, now, again=tries > 0)
        window = _Window(place, session.expected, tries)
        longest_us = window.expected * (FRAME_BYTES + 2) * self._byte_us
        window.limit_us = self._free_us + 2 * self._answer_us + longest_us
        self._window = window
        self._free_us += self._answer_us
        self.polls += 1
        self.repolls += tries > 0
        return out

    def _ask_again(self, now: int) -> bytes:
        """Whose answer is missing has a turn at once."""
        again, self._again = self._again, None
        return b"" if again is None else self._open(again[0], now, again[1])

    def _missed(self, window: _Window, now: int) -> None:
        """The window's time is over: once more at once, or the node's turn is lost."""
        self._window = None
        place = window.place
        place.credit = 1
        if window.got:
            return
        place.session.unanswered(now // _MS)
        if not place.resting and place.session.up and window.tries < REPOLLS:
            self._again = place, window.tries + 1
            return
        place.missed += 1
        if place in self._keying and not place.session.up and place.missed < MISSED_TURNS:
            return
        if place.missed >= MISSED_TURNS or not place.session.up:
            self._keying = [other for other in self._keying if other is not place]
            if place.rest(now):
                self._events.append(("SILENT", place.session.node_id))

    def _keys(self, now: int) -> bytes:
        """What moves greetings on: WELCOMEs, windows for INFO, and the POLL that confirms."""
        for place in self._keying:
            session = place.session
            if not session.keying:
                self._keying = [other for other in self._keying if other is not place]
                if not session.channel:
                    return b""
                return self._send([session.poll(session.channel, 0, now // _MS)], now)
            welcome = session.welcome()
            if welcome is not None:
                place.ready_us = now + KEYING_MS * _MS  # it derives its keys and stores one
                return self._send([welcome], now)
            if session.welcomed and place.ready_us <= now and not place.resting:
                return self._open(place, now)
        return b""

    def _rush(self, now: int) -> bytes:
        """Urgent commands to all whom they are for, back to back; no window opens."""
        self._rushed = not self._rushed
        if not self._rushed:
            return b""
        frames: list[bytes] = []
        for place in self._row.places:
            if not place.resting:
                frames += place.session.rush(now // _MS)
        self._rushed = len(frames) > 0
        return self._send(frames, now) if frames else b""

    def _call(self, now: int) -> bytes:
        """CALL: a window for one who has an event to tell."""
        if now < self._calls.next_us or not self._calls.calling:
            return b""
        first, last = self._calls.begin()
        head = frame.plain_header(frame.DOWN, BUS_ALL)
        out = self._send([head + cbor.encode([m.CALL, first, last])], now)
        longest_us = (FRAME_BYTES + 2) * self._byte_us
        self._free_us += CALL_MS * _MS
        self._calls.limit_us = self._free_us + longest_us
        self._calls.next_us = self._free_us + CALL_PAUSE_MS * _MS
        return out

    def _searching(self, now: int) -> bool:
        return self._search.enrolling(now) or not self._row.complete

    def _invite(self, now: int) -> bytes:
        """HELLO? with the permit bit opens a window for the claim of a stranger."""
        self._invited = not self._invited
        node_id = self._strangers.next() if self._invited and self._search.enrolling(now) else b""
        if not node_id:
            self._invited = False
            return b""
        out = self._send([claiming.ask(BUS_ALL, node_id)], now)
        longest_us = (FRAME_BYTES + 2) * self._byte_us
        self._strangers.limit_us = self._free_us + 2 * self._answer_us + longest_us
        self._free_us += self._answer_us
        return out

    def _look(self, now: int) -> bytes:
        """DISCOVER, where nodes are missing that may be anywhere, or strangers may enrol."""
        if now < self._search.next_us or not self._searching(now):
            return b""
        data, slots_us = self._search.discover(now)
        out = self._send([data], now)
        self._free_us += slots_us
        return out
