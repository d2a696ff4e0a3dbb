"""The places of the state of a district's Kalman filter (`baseline`)."""

from __future__ import annotations

HARMONICS = 3
BASE, USE, SQUARE, SWING, LATE = 0, 1, 2, 3, 3 + 2 * HARMONICS
EARLY, ERROR, ERROR_BEFORE, LEAK, STILL = range(LATE + 1, LATE + 6)
STATES = STILL + 1
