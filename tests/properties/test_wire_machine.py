"""State machines: two ends, and a line on which each frame is lost, doubled, late or garbled.

Either end crashes at any step, before or after a key is durable. The step pair itself asserts that
no key seals two frames with one nonce and that the keys in store still lead to a session.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kerbwire import messages as m
from kerbwire.limits import DATAGRAM, STREAM
from tests.wire.pair import flipped
from tests.wire.steps import StepPair

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
VICTIMS = ("node", "gateway", "both")


class TwoEnds(RuleBasedStateMachine):
    """Records are made while anything happens; in the end all that was made is held, once."""

    @initialize(seed=st.integers(0, 1 << 30), framing=st.sampled_from([STREAM, DATAGRAM]))
    def begin(self, seed: int, framing: int) -> None:
        self.pair: Any = StepPair(seed, framing)
        self.made: dict[int, tuple[int, ...] | None] = {}
        self.old: list[bytes] = []

    @rule(count=st.integers(1, 6), value=st.integers(-1000, 1000))
    def reports(self, count: int, value: int) -> None:
        for number in range(count):
            values = (value, number, 7 * value, 1, 2, 3)
            self.made[self.pair.make(values=values)] = values

    @rule(value=st.integers(0, 1000))
    def event(self, value: int) -> None:
        values = (m.EV_MOTION, value)
        self.made[self.pair.make(m.EVENT, values)] = values

    @rule(count=st.integers(1, 64))
    def numbers_lost(self, count: int) -> None:
        first = self.pair.next_rseq
        self.pair.lose(count)
        self.made |= dict.fromkeys(range(first, first + count))

    @rule(ms=st.integers(1, 3000))
    def time_passes(self, ms: int) -> None:
        self.pair.run(ms)

    @rule(steps=st.integers(0, 40), victim=st.sampled_from(VICTIMS))
    def crash(self, steps: int, victim: str) -> None:
        self.pair.crash_in, self.pair.victim = steps, victim
        self.pair.run(60)

    @rule(loss=st.integers(0, 50), repeat=st.integers(0, 50), garble=st.integers(0, 25))
    def worse(self, loss: int, repeat: int, garble: int) -> None:
        for line in (self.pair.up_line, self.pair.down_line):
            line.loss, line.repeat, line.garble = loss, repeat, garble

    @rule(delay_ms=st.integers(0, 900), jitter_ms=st.integers(0, 300))
    def slower(self, delay_ms: int, jitter_ms: int) -> None:
        for line in (self.pair.up_line, self.pair.down_line):
            line.delay_ms, line.jitter_ms = delay_ms, jitter_ms

    @rule(upward=st.booleans(), at=st.integers(0, 10_000))
    def said_again(self, upward: bool, at: int) -> None:  # noqa: FBT001 - drawn
        """Something heard long ago comes once more."""
        written = (self.pair.up_line if upward else self.pair.down_line).written
        if written:
            end = self.pair.gateway if upward else self.pair.node
            end.receive(written[at % len(written)], self.pair.now)

    @rule(upward=st.booleans(), at=st.integers(0, 10_000), bit=st.integers(0, 10_000))
    def forged(self, upward: bool, at: int, bit: int) -> None:  # noqa: FBT001 - drawn
        """Something that was heard comes with a bit turned."""
        written = (self.pair.up_line if upward else self.pair.down_line).written
        if written:
            data = written[at % len(written)]
            end = self.pair.gateway if upward else self.pair.node
            end.receive(flipped(data, bit % (8 * len(data))), self.pair.now)

    @precondition(lambda self: self.pair.gateway.up)
    @rule(number=st.integers(1, 1000))
    def asked_anew(self, number: int) -> None:
        """The node wants a new session while the old one stands."""
        self.pair.node.start(self.pair.now + number % 2)

    @rule()
    def slow_disk(self) -> None:
        self.pair.hold_keep = not self.pair.hold_keep

    @invariant()
    def what_is_held_was_made(self) -> None:
        held = self.pair.held
        assert all(number in self.made and held[number] == self.made[number] for number in held)

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        self.worse(20, 10, 5)
        self.slower(20, 20)
        self.pair.hold_keep = False
        self.pair.start_gateway()  # what was only seen is asked for again
        assert self.pair.run(3_600_000, self.pair.drained)
        assert self.pair.held == self.made


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=2000 if NIGHTLY else 60, stateful_step_count=30)
