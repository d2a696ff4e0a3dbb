"""How noisy a district's balance is, learnt from what the baseline leaves.

Two kinds age differently: an inflow meter's error adds up, what rounding, clocks and imputation
put in comes out again with the next entry.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from kerbline.control.leaks.ledger import Entry

BLOCKS_A_DAY = 6
LEAST, MOST = 0.004, 0.03  # of an inflow meter, of a step's flow
TYPICAL = 0.005
TYPICAL_TIMING, MOST_TIMING = 0.05, 1.0
CLIP = 3.0  # sigma; a square beyond counts as this one's
UNQUIET = 0.3  # so much of a block counts while something seems to change
CLIPPED = 0.995  # what is left of a Gaussian's variance then
SAVED = (
    *("rounding_l2", "unit_l", "timing", "share", "quiet", "blocks", "count", "block", "before"),
    *("imputed_l2", "first_l2", "before_first_l2", "stays_l2", "before_stays_l2"),
    *("square_l2", "first_square_l2", "before_first_square_l2", "sums", "squares"),
)


class Noise:
    """Variances of one district's balance, both learnt.

    `share` of a step's flow squared adds up. `timing` of what the meters drew squared (clock
    errors, as shares of a step) and a rounding that is known come out again. Neighbouring blocks
    of n entries are compared, so that a leak that stands or grows slowly counts for nothing:
    of the difference of their sums and of their sums of squares is known how much of either
    variance they hold, and both are divided by what is expected, so that no hour outweighs
    the others.
    """

    def __init__(self, day_steps: int, meters: int) -> None:
        self.day_steps = day_steps
        self.length = max(day_steps // BLOCKS_A_DAY, 2)
        self.rounding_l2 = meters / 6  # whole litres at either end
        self.unit_l = 0  # of the inflow's totaliser, whole litres
        self.timing = TYPICAL_TIMING**2
        self.share = TYPICAL**2
        self.quiet = True  # nothing seems to change
        self.blocks = 0
        self.count = 0
        self.block = np.zeros(6)  # the sum of the open block and what it holds
        self.before = np.zeros(3)  # its sum, flow and what meters imputed for good put in
        # What is imputed and not known at the edges, and what of an edge still is at the next.
        self.imputed_l2 = self.first_l2 = self.before_first_l2 = 0.0
        self.stays_l2 = self.before_stays_l2 = 0.0
        self.square_l2 = self.first_square_l2 = self.before_first_square_l2 = 0.0
        self.sums = np.zeros(3)  # of differences: their square, the share's part, the timing's
        self.squares = np.zeros(3)

    def returning_l2(self, entry: Entry) -> float:
        """The variance of an entry's end, beside imputation, that comes out with the next."""
        return self.rounding_l2 + self.timing * entry.square_l2

    def flow_l2(self, entry: Entry) -> float:
        """What `share` is of."""
        flow_l = max(entry.inflow_l, entry.use_l, 0.0)
        return max(flow_l * flow_l / entry.steps, entry.mains_l2)

    def learn(self, off_l: float, entry: Entry) -> None:
        """Takes what an entry was off by."""
        self._rounding(entry)
        flow_l2 = self.flow_l2(entry)
        ends_l2 = self.returning_l2(entry) + self.rounding_l2 + self.timing * self.square_l2
        before_l2, self.imputed_l2 = self.imputed_l2, entry.unknown_l2
        square_l2, self.square_l2 = self.square_l2, entry.square_l2
        known_l2 = entry.unknown_l2 + before_l2 - 2 * entry.carried_l2 + entry.lost_l2
        limit_l = 4 * np.sqrt(self.share * flow_l2 + ends_l2 + max(known_l2, 0.0))
        off_l = float(np.clip(off_l, -limit_l, limit_l))
        if self.count == 0:
            self.first_l2 = self.stays_l2 = before_l2
            self.first_square_l2 = square_l2
        if before_l2 > 0:
            self.stays_l2 *= min(entry.carried_l2 / before_l2, 1.0)
        self.count += 1
        each_l2 = off_l * off_l - known_l2 - 2 * self.rounding_l2
        square_l2 += entry.square_l2
        self.block += (off_l, flow_l2, each_l2, square_l2, max(known_l2, 0.0), entry.lost_l2)
        if self.count < self.length:
            return
        if self.blocks:
            self._close(entry)
        self.blocks += 1
        self.before[:] = self.block[[0, 1, 5]]
        self.before_first_l2, self.before_stays_l2 = self.first_l2, self.stays_l2
        self.before_first_square_l2 = self.first_square_l2
        self.count = 0
        self.block[:] = 0

    def _rounding(self, entry: Entry) -> None:
        """The inflow's own unit: the greatest that all its volumes are whole multiples of."""
        if entry.inflow_l == round(entry.inflow_l):
            old, self.unit_l = self.unit_l, gcd(self.unit_l, round(entry.inflow_l))
            self.rounding_l2 += (min(self.unit_l, 1000) ** 2 - min(old, 1000) ** 2) / 12

    def _close(self, entry: Entry) -> None:
        sum_l, flow_l2, each_l2, each_square_l2, known_l2, lost_l2 = self.block
        middle_l2 = self.first_l2
        through_l2 = self.stays_l2 * self.before_stays_l2 / middle_l2 if middle_l2 > 0 else 0.0
        edges_l2 = entry.unknown_l2 + 4 * middle_l2 + self.before_first_l2
        edges_l2 += 2 * through_l2 - 4 * (self.stays_l2 + self.before_stays_l2)
        edges_l2 += 6 * self.rounding_l2 + lost_l2 + self.before[2]
        square_l2 = entry.square_l2 + 4 * self.first_square_l2 + self.before_first_square_l2
        both_l2 = flow_l2 + self.before[1]
        expected_l2 = self.share * both_l2 + self.timing * square_l2 + max(edges_l2, 0.0)
        apart_l2 = min((sum_l - self.before[0]) ** 2, CLIP**2 * expected_l2) / CLIPPED
        each_expected_l2 = self.share * flow_l2 + self.timing * each_square_l2
        each_expected_l2 += known_l2 + 2 * self.length * self.rounding_l2
        sums = np.array([apart_l2 - edges_l2, both_l2, square_l2]) / expected_l2
        squares = np.array([each_l2, flow_l2, each_square_l2]) / each_expected_l2
        if self.blocks == 1:  # as if what is typical had been seen
            self.sums[:] = sums
            self.sums[0] = self.share * sums[1] + self.timing * sums[2]
            self.squares[:] = squares
            self.squares[0] = self.share * squares[1] + self.timing * squares[2]
        known = 3 * self.day_steps + self.length * self.blocks
        rate = self.length / min(known, 21 * self.day_steps) * (1.0 if self.quiet else UNQUIET)
        self.sums += rate * (sums - self.sums)
        self.squares += rate * (squares - self.squares)
        self._solve()

    def _solve(self) -> None:
        """Two equations, two unknowns, each within what is sensible."""
        apart, share_apart, timing_apart = self.sums
        each, share_each, timing_each = self.squares
        bent = share_apart * timing_each - timing_apart * share_each
        timing = (each * share_apart - apart * share_each) / bent if bent > 0 else self.timing
        self.timing = float(np.clip(timing, 0.0, MOST_TIMING**2))
        if share_apart > 0:  # nothing is apart where nobody ever draws
            share = (apart - self.timing * timing_apart) / share_apart
            self.share = float(np.clip(share, LEAST**2, MOST**2))
