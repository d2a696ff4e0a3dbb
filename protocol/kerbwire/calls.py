"""The gateway's CALLs on a bus: which nodes are asked next whether they have an event to tell.

Whom one frame answered has the next turn, which acknowledges it. Where several answered at once, or
an answer was spoilt, each half of those who were asked is asked alone.
"""

from kerbwire.limits import BUS_NODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.turns import Place


class Calls:
    """What is asked, and what came; times are microseconds."""

    __slots__ = (
        "_asked",
        "_halves",
        "_noise",
        "_places",
        "_told",
        "_twice",
        "limit_us",
        "next_us",
        "wanted",
    )

    def __init__(self, places: "list[Place]"):
        self.next_us = 0
        self.limit_us = 0  # when the one that is under way ends, whatever is heard
        self.wanted = False  # does somebody wait for their events?
        self._places = places
        self._asked: tuple[int, int] | None = None  # addresses, first and last
        self._halves: list[tuple[int, int]] = []
        self._noise = False
        self._twice = False  # are these asked once more?
        self._told: list[Place] = []  # who answered, and had no turn since

    @property
    def calling(self) -> bool:
        """Are nodes called? Not while one is there that does not know what that is."""
        if not self.wanted or not self._places:
            return False
        return all([place.session.knows_call for place in self._places])

    @property
    def open(self) -> bool:
        """Is one under way?"""
        return self._asked is not None

    @property
    def answered(self) -> bool:
        """Has somebody answered who had no turn since?"""
        return len(self._told) > 0

    def begin(self) -> "tuple[int, int]":
        """The addresses that are asked now."""
        self._asked = self._halves.pop() if self._halves else (1, BUS_NODES)
        self._noise = False
        return self._asked

    def spoilt(self) -> None:
        """Bytes came that are no frame."""
        self._noise = True

    def came(self, place: "Place") -> None:
        """A frame of that node came."""
        if place not in self._told:
            self._told.append(place)

    def told(self) -> "Place | None":
        """Who has the next turn for having answered."""
        return self._told.pop(0) if self._told else None

    def close(self, now: int) -> None:
        """It is over."""
        asked, self._asked = self._asked, None
        if asked is None or not self._noise or self.answered:
            self._twice = False
            return
        self._twice = not self._twice
        self.next_us = now
        if self._twice:
            self._halves.append(asked)
            return
        first, last = asked
        last = min(last, max([place.session.address for place in self._places]))
        if first < last:
            middle = (first + last) // 2
            self._halves += [(middle + 1, last), (first, middle)]

    def failed(self) -> None:
        """The line broke."""
        self._asked = None
        self._halves = []
        self._told = []
