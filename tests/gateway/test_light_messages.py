"""Messages of a simulated street: late by half its latency and by each copy that is lost."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from kerbline.sim.lit_street_messages import AGAIN_MS, Line
from kerbwire.limits import COPIES, COPY_MS


def test_without_loss_each_takes_half_the_latency() -> None:
    line = Line(50, 0, Random(1))
    assert [line.arrival_ms(at) for at in (0, 7, 1000)] == [25, 32, 1025]


def test_with_every_copy_lost_none_arrives() -> None:
    assert Line(50, 1, Random(1)).arrival_ms(0) is None


@pytest.mark.parametrize("loss", [0.1, 0.5])
def test_each_copy_has_its_own_chance(loss: float) -> None:
    line = Line(20, loss, Random(2))
    found = Counter(line.arrival_ms(0) for _ in range(100_000))
    for copy in range(4):
        share = found[10 + copy * COPY_MS] / 100_000
        assert share == pytest.approx((1 - loss) * loss**copy, abs=0.005)


def test_after_the_copies_it_is_sent_again_more_slowly() -> None:
    line = Line(0, 0.95, Random(3))
    late = {line.arrival_ms(0) for _ in range(2000)}
    assert None not in late
    slow = sorted(at for at in late if at is not None and at > COPIES * COPY_MS)
    assert slow[0] == COPIES * COPY_MS + AGAIN_MS
    assert {(at - slow[0]) % AGAIN_MS for at in slow} == {0}
