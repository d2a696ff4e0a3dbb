"""A moment on both clocks, handed in by whoever owns them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """The same instant twice, ms since 1970; the two are equal outside a simulation.

    Rules and holds run on street time, the expiry of a command on real time.
    """

    real_ms: int
    street_ms: int
