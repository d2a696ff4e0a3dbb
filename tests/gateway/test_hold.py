"""One object at a time on its way to a node, and the handles by which words about it are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from kerbline.south.cargo import Pace
from kerbline.south.hold import HANDLES, Hold
from kerbwire.gateway import GatewaySession
from kerbwire.limits import BLOCK_BYTES
from kerbwire.messages import OBJECT_UPDATE

FAST = Pace(1e9, 1.0)
FIRST, SECOND = bytes(2 * BLOCK_BYTES), bytes([1]) * BLOCK_BYTES


class Offers:
    """The engine's side: what it was told to say of which handle."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []
        self.changes = 0
        session = cast(GatewaySession, SimpleNamespace(objects=self))
        self.hold = Hold(session, lambda: 1_000, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def offer(self, handle: int, *_: object) -> None:
        self.said.append(("offer", handle))

    def give(self, handle: int, index: int, _: bytes) -> None:
        self.said.append((f"block {index}", handle))

    def withdraw(self, handle: int) -> None:
        self.said.append(("withdraw", handle))

    def load(self, data: bytes) -> int:
        """The handle under which it is offered."""
        self.hold.load(OBJECT_UPDATE, data, FAST)
        word, handle = self.said[-1]
        assert word == "offer"
        return handle


def test_an_object_goes_block_by_block_until_it_is_there() -> None:
    offers = Offers()
    handle = offers.load(FIRST)
    for index in (0, 1):
        offers.hold.wanted(handle, index)
    assert offers.said[1:] == [("block 0", handle), ("block 1", handle)]
    assert offers.changes == 3
    carrying = offers.hold.carrying
    assert carrying is not None and (carrying.index, carrying.blocks) == (1, 2)
    assert offers.hold.sent(handle)
    assert offers.hold.carrying is None
    assert offers.hold.sent(handle) is None


def test_the_next_has_a_handle_of_its_own_once_the_node_was_done_with_one() -> None:
    offers = Offers()
    first = offers.load(FIRST)
    assert offers.load(SECOND) == first, "offered in its place"
    offers.hold.sent(first)
    second = offers.load(FIRST)
    assert second == (first + 1) % HANDLES
    offers.hold.withdraw()
    offers.hold.withdraw()
    assert offers.said.count(("withdraw", second)) == 1
    assert offers.load(FIRST) == (second + 1) % HANDLES


def test_a_late_word_of_the_object_before_is_none_of_this_one() -> None:
    offers = Offers()
    late = offers.load(FIRST)
    offers.hold.withdraw()
    offers.hold.wanted(late, 0)  # nothing is carried
    now = offers.load(SECOND)
    offers.hold.wanted(late, 1)
    assert offers.hold.sent(late) is None
    assert offers.said[-1] == ("offer", now)
    assert offers.hold.carrying is not None
