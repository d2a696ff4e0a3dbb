"""When to try again: the learnt time-out of a link and the back-off after it."""

from kerbwire.limits import BACKOFF_MAX_MS, BACKOFF_MIN_MS, RTO_MAX_MS, RTO_MIN_MS, RTO_START_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def sooner(left: "int | None", right: "int | None") -> "int | None":
    """The lesser of two times; None is never."""
    return right if left is None or (right is not None and right < left) else left


class RoundTrip:
    """RFC 6298's estimator in integers, with a floor fit for a local link; all in ms."""

    __slots__ = ("_smoothed_x8", "_variation_x4", "timeout_ms")

    def __init__(self) -> None:
        self._smoothed_x8 = -1
        self._variation_x4 = 0
        self.timeout_ms = RTO_START_MS

    def sample(self, rtt_ms: int) -> None:
        """One measured round trip of a frame that was sent once."""
        if self._smoothed_x8 < 0:
            self._smoothed_x8 = 8 * rtt_ms
            self._variation_x4 = 2 * rtt_ms
        else:
            error = rtt_ms - self._smoothed_x8 // 8
            self._variation_x4 += abs(error) - self._variation_x4 // 4
            self._smoothed_x8 += error
        learnt = self._smoothed_x8 // 8 + max(1, self._variation_x4)
        self.timeout_ms = min(max(learnt, RTO_MIN_MS), RTO_MAX_MS)


class Backoff:
    """Waits that double from 1 s to 5 min, each drawn from its upper half."""

    __slots__ = ("_random", "_step_ms")

    def __init__(self, random: "Callable[[int], bytes]"):
        self._random = random
        self._step_ms = BACKOFF_MIN_MS

    def next_ms(self) -> int:
        """The next wait."""
        step = self._step_ms
        self._step_ms = min(2 * step, BACKOFF_MAX_MS)
        half = step // 2
        return half + int.from_bytes(self._random(4), "big") % (half + 1)

    def reset(self) -> None:
        """The peer was heard: start from the shortest wait again."""
        self._step_ms = BACKOFF_MIN_MS
