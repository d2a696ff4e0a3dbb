"""The gateway's search for nodes on a bus: DISCOVER, its slots, and the enrolment window."""

from kerbwire import frame
from kerbwire import messages as m
from kerbwire.cbor import encode
from kerbwire.discovery import Census
from kerbwire.limits import (
    BUS_ALL,
    DISCOVER_PAUSE_MS,
    ENROL_MS,
    NODE_ID_BYTES,
    SLOT_GUARD_MS,
    SLOT_LEAD_MS,
)

_MS = 1000
_HELLO_BYTES = 29 + NODE_ID_BYTES  # the longest in a slot, zeros included
_POLLS_PER_SEARCH = 6  # after a search the polls have a sixth of its time


class Search:
    """When the next DISCOVER is due, and what its slots bring; times are microseconds."""

    __slots__ = (
        "_answers",
        "_census",
        "_enrol_us",
        "_noise",
        "_since_us",
        "_slot_ms",
        "_slots",
        "_window",
        "next_us",
    )

    def __init__(self, byte_us: int):
        """`byte_us`: the time of one byte on the line."""
        self.next_us = 0
        self._census = Census()
        self._enrol_us = 0  # end of the enrolment window
        self._slot_ms = (_HELLO_BYTES * byte_us + _MS - 1) // _MS + SLOT_GUARD_MS
        self._window = 0
        self._slots = 0  # under way; 0: none
        self._since_us = 0
        self._answers = 0
        self._noise = 0

    @property
    def open(self) -> bool:
        """Are slots under way?"""
        return self._slots > 0

    def enrol(self, now: int, ms: int) -> None:
        """Strangers may enrol from now on, for at most ENROL_MS."""
        self._enrol_us = now + min(ms, ENROL_MS) * _MS
        self.next_us = now
        self._census.restart()

    def enrolling(self, now: int) -> bool:
        """Is the enrolment window open?"""
        return now < self._enrol_us

    def discover(self, now: int) -> "tuple[bytes, int]":
        """DISCOVER, and how long its slots take after it."""
        self._window, self._slots = self._census.round()
        self._since_us = now
        self._answers = self._noise = 0
        permit = int(self.enrolling(now))
        body = encode([m.DISCOVER, permit, self._window, self._slots, self._slot_ms])
        slots_ms = SLOT_LEAD_MS + self._slots * self._slot_ms + SLOT_GUARD_MS
        return frame.plain_header(frame.DOWN, BUS_ALL) + body, slots_ms * _MS

    def answered(self) -> None:
        """A valid HELLO came in a slot, if one is under way."""
        self._answers += 1

    def spoilt(self, count: int) -> None:
        """So many bytes that are no frame came in a slot."""
        self._noise += count

    def close(self, now: int) -> None:
        """The slots are over: how many nodes may be left decides when and how wide the next are."""
        if self._census.count(self._window, self._slots, self._answers, self._noise):
            self.next_us = now + (now - self._since_us) // _POLLS_PER_SEARCH
        else:
            self.next_us = now + DISCOVER_PAUSE_MS * _MS
            self._census.restart()
        self._slots = 0

    def failed(self) -> None:
        """The line broke: nothing is learnt from these slots."""
        self._slots = 0
