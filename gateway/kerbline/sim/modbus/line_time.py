"""When bytes arrive on a serial line: the time of each character, and whose turn it is.

Pure: times are seconds of one clock, given as arguments. A character has 11 bits and 3.5 of them
in silence part two frames (Modbus over serial line V1.02, 2.5.1); above 19,200 baud the silence
is 1.75 ms whatever the speed (2.5.1.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

CHARACTER_BITS = 11
SILENCE_CHARACTERS = 3.5
WITHIN_CHARACTERS = 1.5  # between two characters of one frame, the same clause
FAST_BAUD = 19_200
FAST_SILENCE_S = 0.00175
TOLERANCE = 0.1  # of a silence: a master's clock and ours are read at different moments


@dataclass(frozen=True, slots=True)
class Speed:
    """A line's speed and what stands at its ends.

    `turn_round_s` lies between a request's last bit and the answer's first, and is never below
    the silence. The master's UART hands bytes over in groups of `fifo`, and what is left when a
    frame is over.
    """

    baud: int
    turn_round_s: float = 0.0
    fifo: int = 16

    @property
    def character_s(self) -> float:
        """The time of one character."""
        return CHARACTER_BITS / self.baud

    @property
    def silence_s(self) -> float:
        """What parts two frames."""
        if self.baud > FAST_BAUD:
            return FAST_SILENCE_S
        return SILENCE_CHARACTERS * self.character_s

    @property
    def answer_after_s(self) -> float:
        """From a request's last bit to the answer's first."""
        return max(self.turn_round_s, self.silence_s)


@dataclass(slots=True)
class LineTime:
    """One half-duplex line: who has it until when, and how long it carried something."""

    speed: Speed
    busy_s: float = 0.0  # requests, answers, a silence after each request and each answer or more
    silences_broken: int = 0
    collisions: int = 0
    _requested_until: float = -math.inf
    _answered_until: float = -math.inf
    _spoiled_until: float = -math.inf

    def request(self, now: float, count: int) -> float:
        """The master writes `count` characters; when the last bit of them has passed."""
        start = max(now, self._requested_until)
        carried_s = count * self.speed.character_s
        end = start + carried_s
        if start < self._answered_until:
            self.collisions += 1
            self._spoiled_until = end
        elif self._breaks_silence(start):
            self.silences_broken += 1
        self._requested_until = end
        self.busy_s += carried_s + self.speed.answer_after_s
        return end

    def _breaks_silence(self, start: float) -> bool:
        """Does a frame begin too soon? One that goes on is no beginning."""
        wanted_s = self.speed.silence_s * (1 - TOLERANCE)
        goes_on = start - self._requested_until <= WITHIN_CHARACTERS * self.speed.character_s
        if self._requested_until > self._answered_until and goes_on:
            return False
        return start - max(self._answered_until, self._requested_until) < wanted_s

    def answer(self, now: float, count: int) -> Iterator[tuple[float, int]]:
        """A device begins to answer: until when how many of its characters have arrived."""
        free = max(self._requested_until + self.speed.answer_after_s, self._answered_until)
        start = max(now, free)
        character_s = self.speed.character_s
        self._answered_until = start + count * character_s
        self.busy_s += count * character_s + self.speed.silence_s
        for arrived in range(self.speed.fifo, count, self.speed.fifo):
            yield start + arrived * character_s, arrived
        yield self._answered_until, count

    def spoiled(self, now: float) -> bool:
        """Do two talk at once?"""
        return now <= self._spoiled_until
