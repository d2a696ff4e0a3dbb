"""How long a message of readings may be for one broker: as it says, or as it turns out."""

from __future__ import annotations

import logging
from collections.abc import Iterable

MESSAGE_BYTES = 64 * 1024  # every broker takes as much unless its config says less
LEAST_BYTES = 2_048
AROUND_BYTES = 1_024  # of a packet, beside the readings: topic, head and numbers
LOSSES = 2  # in a row: one may be chance

_log = logging.getLogger(__name__)


class Fit:
    """How long a dialect is to make a message at most, learned from what the port sees.

    A broker of MQTT 5 may say what it takes (3.2.2.3.6, Maximum Packet Size). Others hang up, each
    time: where LOSSES connections in a row end with a message unacknowledged that is longer than
    any that was acknowledged, the next are half as long.
    """

    def __init__(self) -> None:
        self._said = self._found = MESSAGE_BYTES
        self._taken = 0
        self._losses = 0

    @property
    def most_bytes(self) -> int:
        """Of all the readings in a message; one alone may be longer."""
        return min(self._said, self._found)

    def told(self, packet_bytes: int | None) -> None:
        """A broker says on a new connection how long a packet it takes, or says nothing."""
        room = MESSAGE_BYTES if packet_bytes is None else packet_bytes - AROUND_BYTES
        self._said = max(0, room)

    def taken(self, length: int) -> None:
        """A message of so many bytes is acknowledged."""
        if length > self._taken:
            self._taken = length
            self._losses = 0

    def lost(self, lengths: Iterable[int]) -> None:
        """A connection is over; of what is not acknowledged each had so many bytes."""
        longest = max(lengths, default=0)
        if longest <= max(self._taken, LEAST_BYTES):
            return
        self._losses += 1
        if self._losses >= LOSSES:
            self._losses = 0
            half = min(self.most_bytes, longest) // 2
            self._found = max(LEAST_BYTES, half, min(self._taken, self._found))
            said = "a message of %d bytes is never acknowledged: now %d at most, or one reading"
            _log.warning(said, longest, self._found)
