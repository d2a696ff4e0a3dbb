"""The gateway's end of a polled two-wire bus: whose turn it is, and what came in it.

Sans-I/O, in microseconds: `outgoing` gives the bytes of the next turn when the bus is free,
`receive` takes all that is heard. The sessions of the nodes are PolledGateway's.
"""

from kerbwire import cobs, frame, handshake
from kerbwire import messages as m
from kerbwire.cbor import encode
from kerbwire.discovery import Census
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    ANSWER_MS,
    BABBLE_BYTES,
    BABBLE_MS,
    BUS_ALL,
    BUS_NODES,
    DISCOVER_PAUSE_MS,
    ENROL_MS,
    FRAME_BYTES,
    KEYING_MS,
    MISSED_TURNS,
    NODE_ID_BYTES,
    POLL_CREDIT,
    PROBE_MAX_MS,
    PROBE_MIN_MS,
    RELEASE_MS,
    REPOLLS,
    SLOT_GUARD_MS,
    SLOT_LEAD_MS,
    TURN_MS,
)
from kerbwire.poller import LAST, NOTHING, PolledGateway

TYPE_CHECKING = False
if TYPE_CHECKING:
    Event = tuple[object, ...]

UNNAMED = -1  # of stray bytes that are no frame
_MS = 1000
_HELLO_BYTES = 29 + NODE_ID_BYTES  # the longest in a slot, zeros included
_POLLS_PER_SEARCH = 6  # after a search the polls have a sixth of its time


class Place:
    """A node on the bus. `placed`: it is known to be here, so it is asked for by name."""

    __slots__ = ("credit", "missed", "placed", "probe_ms", "ready_us", "resting", "session")

    def __init__(self, session: PolledGateway, *, placed: bool):
        self.session = session
        self.placed = placed
        self.credit = 1  # frames of its next window
        self.ready_us = 0  # no turn before
        self.missed = 0  # turns in a row without an answer
        self.resting = False  # dead: probed now and then
        self.probe_ms = PROBE_MIN_MS


class _Window:
    """A window that is open: for whom, what is expected, what came."""

    __slots__ = ("expected", "got", "limit_us", "place", "tries")

    def __init__(self, place: Place, expected: int, tries: int):
        self.place = place
        self.expected = expected
        self.got = 0
        self.tries = tries  # those that went before
        self.limit_us = 0


class _Search:
    """The slots after a DISCOVER."""

    __slots__ = ("answers", "noise", "since_us", "slots", "window")

    def __init__(self, window: int, slots: int, since_us: int):
        self.window = window
        self.slots = slots
        self.since_us = since_us
        self.answers = 0
        self.noise = 0


class Bus:
    """Gives the turns of up to BUS_NODES nodes.

    Events: ("SILENT", node id), ("BACK", node id), ("UNKNOWN", node id) of a node that is not
    ours, ("BABBLE", node id or b"", bytes so far), ("FAULT", code).
    """

    def __init__(self, places: "list[Place]", byte_us: int, answer_ms: int = ANSWER_MS):
        """`byte_us`: the time of one byte on the line."""
        self.stray: dict[int, int] = {}  # bytes outside any window by address, or UNNAMED
        self.polls = 0
        self.repolls = 0
        self._places = places[:BUS_NODES]
        self._by_address = {place.session.address: place for place in self._places}
        self._by_id = {place.session.node_id: place for place in self._places}
        self._byte_us = byte_us
        self._answer_us = answer_ms * _MS
        self._slot_ms = (_HELLO_BYTES * byte_us + _MS - 1) // _MS + SLOT_GUARD_MS
        self._deframer = cobs.Deframer()
        self._partial = 0  # bytes since the last end of a frame
        self._events: list[Event] = []
        self._window: _Window | None = None
        self._search: _Search | None = None
        self._free_us = 0  # nothing goes out before
        self._at = 0  # whose turn it is next
        self._jumped = False  # was the last turn out of the row?
        self._probed = False  # was a dead node asked in this cycle?
        self._keying: list[Place] = []  # greeted, and not confirmed yet
        self._census = Census()
        self._search_us = 0  # the next search
        self._enrol_us = 0  # end of the enrolment window
        self._told_us: dict[int, int] = {}

    def enrol(self, now: int, ms: int) -> None:
        """Look for nodes, with the permit bit, for at most ENROL_MS."""
        self._enrol_us = now + min(ms, ENROL_MS) * _MS
        self._search_us = now
        self._census.restart()

    def next_event(self) -> "Event | None":
        """The next event, or None."""
        return self._events.pop(0) if self._events else None

    def failed(self) -> None:
        """The line broke: the window is closed, the sessions live on."""
        self._deframer.reset()
        self._partial = 0
        self._window = None
        self._search = None
        self._free_us = 0

    def deadline(self, now: int) -> int:
        """When `outgoing` may have something."""
        if self._window or self._search or now < self._free_us:
            return self._free_us
        times = [p.ready_us for p in self._places if p.placed]
        if self._searching(now):
            times.append(self._search_us)
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

    def _forget(self, now: int) -> None:
        """The bytes since the last frame are none."""
        self._noise(self._partial, UNNAMED, now)
        self._partial = 0

    def _noise(self, count: int, address: int, now: int) -> None:
        """Bytes that answer nothing: two in a slot, a spoilt answer, or a babbling node."""
        if self._search:
            self._search.noise += count
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
        if self._search:
            self._search.answers += 1

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
            if self._search:
                self._search.answers += 1
        if window and window.place is place:
            window.got += 1
            if what == LAST:
                window.expected = window.got
                place.credit = 1
        elif not self._search:
            self._babbled(len(data) + 2, place.session.address, now)
        self._alive(place, now)

    def _alive(self, place: Place, now: int) -> None:
        place.missed = 0
        place.probe_ms = PROBE_MIN_MS
        if place.resting:
            place.resting = False
            place.ready_us = now
            self._events.append(("BACK", place.session.node_id))

    def _finish(self, now: int) -> None:
        """Close the window if all that was expected came; the line gets a moment's rest."""
        window = self._window
        if window is None or window.got < window.expected:
            return
        self._window = None
        self._free_us = now + RELEASE_MS * _MS
        place = window.place
        if window.got >= place.credit and place.session.up and not place.session.ended:
            place.credit = min(2 * place.credit, POLL_CREDIT)  # it may have more
            place.ready_us = now

    # ------------------------------------------------------------------ what is said

    def outgoing(self, now: int) -> bytes:
        """The bytes of the next turn, b"" while the bus is not free or nobody's turn has come."""
        if now < self._free_us:
            return b""
        if self._window:
            again = self._missed(self._window, now)
            if again:
                return again
        if self._search:
            self._searched(self._search, now)
        return self._keys(now) or self._pressing(now) or self._look(now) or self._row(now)

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

    def _missed(self, window: _Window, now: int) -> bytes:
        """The window's time is over: once more at once, or the node's turn is lost."""
        self._window = None
        place = window.place
        place.credit = 1
        if window.got:
            return b""
        place.session.unanswered(now // _MS)
        if not place.resting and place.session.up and window.tries < REPOLLS:
            return self._open(place, now, window.tries + 1)
        place.missed += 1
        if place in self._keying and not place.session.up and place.missed < MISSED_TURNS:
            return b""
        if place.missed >= MISSED_TURNS or not place.session.up:
            self._keying = [other for other in self._keying if other is not place]
            if not place.resting:
                place.resting = True
                self._events.append(("SILENT", place.session.node_id))
            place.ready_us = now + place.probe_ms * _MS
            place.probe_ms = min(2 * place.probe_ms, PROBE_MAX_MS)
            place.session.doubt()
        return b""

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

    def _pressing(self, now: int) -> bytes:
        """A command goes out of turn, but never two turns in a row."""
        self._jumped = not self._jumped
        if self._jumped:
            for place in self._places:
                if not place.resting and place.session.pressing(now // _MS):
                    return self._open(place, now)
        self._jumped = False
        return b""

    def _row(self, now: int) -> bytes:
        """The next node in the row; of the dead ones at most one in a cycle."""
        for _ in self._places:
            place = self._places[self._at]
            self._at += 1
            if self._at == len(self._places):
                self._at = 0
                self._probed = False
            if place.placed and place.ready_us <= now and not (place.resting and self._probed):
                self._probed = self._probed or place.resting
                return self._open(place, now)
        return b""

    def _searching(self, now: int) -> bool:
        if now < self._enrol_us:
            return True
        for place in self._places:
            if not place.placed:
                return True
        return False

    def _look(self, now: int) -> bytes:
        """DISCOVER, where nodes are missing that may be anywhere, or strangers may enrol."""
        if now < self._search_us or not self._searching(now):
            return b""
        window, slots = self._census.round()
        permit = int(now < self._enrol_us)
        head = frame.plain_header(frame.DOWN, BUS_ALL)
        body = encode([m.DISCOVER, permit, window, slots, self._slot_ms])
        self._search = _Search(window, slots, now)
        out = self._send([head + body], now)
        self._free_us += (SLOT_LEAD_MS + slots * self._slot_ms + SLOT_GUARD_MS) * _MS
        return out

    def _searched(self, search: _Search, now: int) -> None:
        """The slots are over: how many may be left decides when and how wide the next are."""
        if self._partial:
            self._forget(now)
        self._search = None
        if self._census.count(search.window, search.slots, search.answers, search.noise):
            self._search_us = now + (now - search.since_us) // _POLLS_PER_SEARCH
        else:
            self._search_us = now + DISCOVER_PAUSE_MS * _MS
            self._census.restart()
