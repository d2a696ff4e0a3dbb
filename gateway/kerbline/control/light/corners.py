"""Convex sets of passages: each passage a point (when it was at a place, ms; its slowness, ms/m).

A passage at a steady speed is at `metres` beyond that place at `when + slowness * metres`. So what
a sensor tells of it, before or after a moment, is a straight cut through the set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Corners: TypeAlias = tuple[tuple[float, float], ...]  # (when, slowness), around the set


def box(from_ms: float, to_ms: float, v_min_mps: float, v_max_mps: float) -> Corners:
    """Whoever is at the place within that time, at any speed from one to the other."""
    quick, slow = 1000 / v_max_mps, 1000 / v_min_mps
    return ((from_ms, quick), (to_ms, quick), (to_ms, slow), (from_ms, slow))


def later(corners: Corners, metres: float, at_ms: float) -> Corners:
    """Those who are `metres` on at `at_ms` or after it."""
    return _cut(corners, [when + slowness * metres - at_ms for when, slowness in corners])


def sooner(corners: Corners, metres: float, at_ms: float) -> Corners:
    """Those who are `metres` on at `at_ms` or before it."""
    return _cut(corners, [at_ms - when - slowness * metres for when, slowness in corners])


def carried(corners: Corners, metres: float, change: float) -> Corners:
    """The same passages by the place `metres` on, each with its speed changed by up to `change`.

    A convex set that holds them all.
    """
    factors = (1 - change, 1 + change)
    return hull(
        [(when + slowness * metres * on_the_way, slowness * there) for when, slowness in corners]
        for on_the_way in factors
        for there in factors
    )


def _cut(corners: Corners, inside: list[float]) -> Corners:
    """The part of the set where `inside`, a linear measure at each corner, is not negative."""
    if min(inside) >= 0:
        return corners
    if max(inside) < 0:
        return ()
    kept: list[tuple[float, float]] = []
    before, depth_before = corners[-1], inside[-1]
    for corner, depth in zip(corners, inside, strict=True):
        if (depth < 0) != (depth_before < 0):
            share = depth_before / (depth_before - depth)
            kept.append(
                (
                    before[0] + share * (corner[0] - before[0]),
                    before[1] + share * (corner[1] - before[1]),
                )
            )
        if depth >= 0:
            kept.append(corner)
        before, depth_before = corner, depth
    return tuple(kept)


def hull(sets: Iterable[Iterable[tuple[float, float]]]) -> Corners:
    """The least convex set that holds all of them."""
    ordered = sorted({corner for each in sets for corner in each})
    if len(ordered) < 3:
        return tuple(ordered)
    return (*_chain(ordered), *_chain(reversed(ordered)))


def _chain(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """One side of the hull, without its last point."""
    side: list[tuple[float, float]] = []
    for x, y in points:
        while len(side) > 1:
            (x1, y1), (x2, y2) = side[-2:]
            if (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) > 0:
                break
            side.pop()
        side.append((x, y))
    return side[:-1]


def quicker(corners: Corners, slowness: float) -> Corners:
    """Those who are not slower than `slowness`, ms/m."""
    return _cut(corners, [slowness - own for _, own in corners])


def slower(corners: Corners, slowness: float) -> Corners:
    """Those who are not quicker than `slowness`, ms/m."""
    return _cut(corners, [own - slowness for _, own in corners])
