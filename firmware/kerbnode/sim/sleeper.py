"""A chip that sleeps, played by a process: it waits for the street's next litre, or the time.

What a wake counts and judges is the node's own kerbnode.sleep. A restart of the simulated node
begins it anew in the same process, so what a chip keeps is kept here, by the node's folder.
"""

import time

from kerbnode import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from kerbnode.sim.world import Water

    class Street(Protocol):
        """What hal.sim.Board has of the street."""

        counts: "list[int]"  # what its meter's counter gave first, and last
        rtc: "Rtc"

        def street_now(self) -> int: ...
        def feel_litres(self) -> int: ...
        def restart(self) -> None: ...


FORWARD, BACKWARD = 0, 1  # the contacts, as a slot of the RTC's memory names them
NAP_S = 0.02


class Rtc:
    """What outlives a restart."""

    def __init__(self) -> None:
        self.blob = b""
        self.woke: int | None = None  # what ended a sleep, None: there was none
        self.water: Water | None = None
        self.born_ms: int | None = None  # of the street, when its clock began
        self.seen = 0  # litres that are counted
        self.watched: int | None = None  # litres from which on nobody has counted


_kept: "dict[str, Rtc]" = {}


def rtc_of(place: str) -> Rtc:
    """That of the node in this folder."""
    return _kept.setdefault(place, Rtc())


class Sleeper:
    """The chip, as kerbnode.rest and kerbnode.sleep use it."""

    def __init__(self, street: "Street"):
        self._street = street
        self._rtc = street.rtc
        if self._rtc.born_ms is None:
            self._rtc.born_ms = street.street_now()
        self._end_ms = 0
        self._asleep = False

    def memory(self, blob: "bytes | None" = None) -> bytes:
        """What outlives a restart; `blob` replaces it."""
        if blob is not None:
            self._rtc.blob = blob
        return self._rtc.blob

    def rtc_s(self) -> int:
        """Seconds of the street since the process began."""
        return (self._street.street_now() - (self._rtc.born_ms or 0)) // 1000

    def woke(self) -> "int | None":
        """FORWARD, sleep.TIMER, or None when nobody slept."""
        return self._rtc.woke

    def level(self, pin: int) -> int:
        """A contact closes for no time at all."""
        return 1

    def wait_ms(self, ms: int) -> None:
        """And never bounces."""

    def watch(self, pins: "Sequence[int]") -> None:
        """What comes from here on is for the node that loads."""
        self._rtc.watched = self._rtc.seen

    def watched(self) -> "tuple[int, int]":
        """Litres until its counter began, once."""
        since, self._rtc.watched = self._rtc.watched, None
        return 0 if since is None else self._street.counts[0] - since, 0

    def nap(self) -> None:
        """A moment of real time."""
        time.sleep(NAP_S)

    def sleep(self, ms: int, pins: "Sequence[int]", levels: "Sequence[int]") -> None:
        """Wake after wake, until one wants the whole node; does not return then."""
        street, rtc = self._street, self._rtc
        self._end_ms = street.street_now() + ms
        if self._asleep:
            return  # a wake sleeps on
        self._asleep = True
        rtc.seen = street.counts[-1]
        awake = False
        while not awake:
            rtc.woke = sleep.TIMER
            while street.street_now() < self._end_ms:
                if street.feel_litres() > rtc.seen:
                    rtc.woke = FORWARD
                    rtc.seen += 1
                    break
                self.nap()
            awake = sleep.awake(self)
        street.restart()
