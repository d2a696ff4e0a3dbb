"""A district's state for another set of meters: what is known of those that stay goes along."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kerbline.control.leaks.kept import State


def regrouped(
    state: State, fresh: Callable[[int], State], before: Sequence[str], after: Sequence[str]
) -> State:
    """`state` of the meters `before` as that of `after`; new ones are as in a `fresh` state.

    `fresh` gives the state of so many meters of which nothing is known: by it an array tells
    which of its axes is that of the meters.
    """
    small, larger, whole = fresh(3), fresh(4), fresh(len(after))
    place = {name: number for number, name in enumerate(before)}
    stay = [(new, place[name]) for new, name in enumerate(after) if name in place]
    to, of = np.array(stay, np.intp).reshape(-1, 2).T
    found: State = {}
    for name, array in state.items():
        axis = -1
        if name in small:
            shapes = enumerate(zip(small[name].shape, larger[name].shape, strict=True))
            axis = next((at for at, (one, other) in shapes if one != other), -1)
        if axis < 0:
            found[name] = array
            continue
        moved = whole[name].copy()
        np.moveaxis(moved, axis, -1)[..., to] = np.moveaxis(array, axis, -1)[..., of]
        found[name] = moved
    return found
