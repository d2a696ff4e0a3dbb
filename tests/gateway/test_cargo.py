"""What blocks of an update leave of a line's and a link's time to others."""

import pytest

from kerbline.south.cargo import LONGEST_PAUSE_MS, Pace
from kerbline.update.hearing import WORD_MS


@pytest.mark.parametrize(
    ("share", "took_ms", "pause_ms"), [(0.2, 250, 0), (0.2, 300, 1_200), (0.5, 1_000, 1_000)]
)
def test_a_slow_link_is_left_to_others_for_its_share(
    share: float, took_ms: float, pause_ms: float
) -> None:
    assert Pace(1_000, share).pause_ms(took_ms) == pytest.approx(pause_ms)


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_an_outage_does_not_end_a_transfer(share: float) -> None:
    """A campaign takes what is quiet for WORD_MS for a try that came to nothing."""
    pause_ms = Pace(1_000, share).pause_ms(50_000)
    assert pause_ms == LONGEST_PAUSE_MS < WORD_MS
