"""No frame brings down an engine or makes it grow: 20,000 a run, 1,000,000 in a nightly one."""

import os

from wire import fuzz

_FRAMES = 1_000_000 if os.getenv("KERBLINE_NIGHTLY") else 20_000


def test_nothing_that_comes_from_a_line_escapes_or_stays() -> None:
    rounds = _FRAMES // fuzz.FRAMES
    assert fuzz.run(0, rounds) == _FRAMES
