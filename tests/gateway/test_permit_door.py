"""The door of an enrolment window, by itself: what passes, how fast, and what is asked again."""

from __future__ import annotations

from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.keys.way import Way
from kerbline.south.arrivals import Claimed
from kerbline.south.door import BURST, CLAIMS_PER_S, Door, Window
from kerbwire.limits import ENROL_MS

UDP = Way("udp")
HINT = b"ours"


class ByHand(Clock):
    """A clock that stands still until it is told otherwise."""

    now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms


def sealed(number: int, hint: bytes = HINT) -> bytes:
    return b"\x01" + hint + number.to_bytes(40, "big")


class Scene:
    """A door, and the claims behind it, of which so many have room."""

    def __init__(self, room: int = 1_000) -> None:
        self.clock = ByHand()
        self.room = room
        self.passed: list[Claimed] = []
        self.door = Door(self.clock, Counters(), self._take)

    def _take(self, claimed: Claimed) -> bool:
        if len(self.passed) >= self.room:
            return False
        self.passed.append(claimed)
        return True


def test_a_few_claims_a_second_pass_and_the_rest_may_come_again() -> None:
    scene = Scene()
    scene.door.open(Window(600_000, HINT))
    taken = [scene.door.take(b"n-%d" % n, sealed(n), UDP) for n in range(100)]
    assert taken == [True] * BURST + [False] * (100 - BURST)
    scene.clock.now_ms += 1_000
    taken = [scene.door.take(b"n-%d" % n, sealed(n), UDP) for n in range(50, 100)]
    assert taken.count(True) == CLAIMS_PER_S
    assert scene.door.refused == {"busy": 100 - BURST + 50 - CLAIMS_PER_S}


def test_a_neighbours_claims_cost_no_place() -> None:
    scene = Scene()
    scene.door.open(Window(600_000, HINT))
    for number in range(1_000):
        scene.door.take(b"n", sealed(number, b"them"), UDP)
    assert scene.door.take(b"n", sealed(1), UDP) and len(scene.passed) == 1
    assert scene.door.refused == {"foreign": 1_000}


def test_where_the_agent_has_no_room_a_claim_comes_again() -> None:
    scene = Scene(room=0)
    scene.door.open(Window(600_000, HINT))
    assert not scene.door.take(b"n", sealed(1), UDP)
    scene.room = 1
    assert scene.door.take(b"n", sealed(1), UDP)
    scene.door.take(b"n", sealed(1), UDP)
    assert scene.door.refused == {"busy": 1, "repeated": 1}


def test_a_window_ends_by_itself_and_never_outlasts_its_bound() -> None:
    scene = Scene()
    assert not scene.door.asks(b"n")
    scene.door.open(Window(10 * ENROL_MS, HINT))
    scene.clock.now_ms = ENROL_MS - 1
    assert scene.door.asks(b"n") and scene.door.left_ms == 1
    scene.clock.now_ms = ENROL_MS
    assert not scene.door.asks(b"n") and not scene.door.left_ms
    scene.door.take(b"n", sealed(1), UDP)
    assert scene.door.refused == {"closed": 1} and not scene.passed


def test_who_was_judged_is_not_asked_until_something_changed() -> None:
    scene = Scene()
    scene.door.open(Window(600_000, HINT, frozenset(["n"])))
    assert scene.door.asks(b"n") and not scene.door.asks(b"other")
    scene.door.take(b"n", sealed(1), UDP)
    assert scene.door.asks(b"n"), "it may have been said in its name"
    scene.door.settle("n")
    assert not scene.door.asks(b"n")
    scene.door.again("n")
    assert scene.door.asks(b"n") and scene.door.take(b"n", sealed(1), UDP)
    assert len(scene.passed) == 2
    scene.door.take(b"other", sealed(2), UDP)
    scene.door.take(b"\xff\xfe", sealed(3), UDP)
    assert scene.door.refused == {"not_named": 2}
