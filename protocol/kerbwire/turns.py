"""Whose turn it is on a bus: a row of nodes, those with a command first, the dead now and then."""

from kerbwire.limits import BUS_NODES, POLL_CREDIT, PROBE_MAX_MS, PROBE_MIN_MS
from kerbwire.poller import PolledGateway

_MS = 1000


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

    def heard(self, now: int) -> bool:
        """It said something valid; True if it was dead."""
        was_dead = self.resting
        self.missed = 0
        self.probe_ms = PROBE_MIN_MS
        self.resting = False
        if was_dead:
            self.ready_us = now
        return was_dead

    def filled(self, got: int, now: int) -> None:
        """Its window brought so many frames: who filled it may have more."""
        if got >= self.credit and self.session.up and not self.session.ended:
            self.credit = min(2 * self.credit, POLL_CREDIT)
            self.ready_us = now

    def rest(self, now: int) -> bool:
        """It is dead, and asked ever more seldom; True if it was not before."""
        newly = not self.resting
        self.resting = True
        self.ready_us = now + self.probe_ms * _MS
        self.probe_ms = min(2 * self.probe_ms, PROBE_MAX_MS)
        self.session.doubt()
        return newly


class Row:
    """The places of a bus, at most BUS_NODES, and which of them is next."""

    __slots__ = ("_at", "_jumped", "_probed", "places")

    def __init__(self, places: "list[Place]"):
        self.places = places[:BUS_NODES]
        self._at = 0
        self._jumped = False  # was the last turn out of the row?
        self._probed = False  # was a dead node asked in this cycle?

    def remove(self, place: Place) -> None:
        """That one is none of them any more."""
        at = self.places.index(place)
        del self.places[at]
        if at < self._at:
            self._at -= 1
        elif self._at == len(self.places):
            self._at = 0

    @property
    def complete(self) -> bool:
        """Are all of them known to be here?"""
        return all([place.placed for place in self.places])

    def ready_us(self) -> "list[int]":
        """When each of those that are here may have its turn."""
        return [place.ready_us for place in self.places if place.placed]

    def pressing(self, now: int) -> "Place | None":
        """One with a command that is due goes out of turn, but never two turns in a row."""
        self._jumped = not self._jumped
        if self._jumped:
            for place in self.places:
                if not place.resting and place.session.pressing(now // _MS):
                    return place
        self._jumped = False
        return None

    def next(self, now: int) -> "Place | None":
        """The next one in the row; of the dead ones at most one in a cycle."""
        for _ in self.places:
            place = self.places[self._at]
            self._at += 1
            if self._at == len(self.places):
                self._at = 0
                self._probed = False
            if place.placed and place.ready_us <= now and not (place.resting and self._probed):
                self._probed = self._probed or place.resting
                return place
        return None
