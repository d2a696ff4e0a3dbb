"""A detector's state as arrays, exactly: what was restored goes on as if never stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[np.generic]]


def saved(part: object, names: Iterable[str]) -> State:
    """Copies of the attributes `names` of `part`; numbers become arrays of one."""
    return {name: np.atleast_1d(np.array(getattr(part, name))) for name in names}


def restore(part: object, names: Iterable[str], state: Mapping[str, NDArray[np.generic]]) -> None:
    """Sets what `saved` gave; ValueError where it is of another size or kind."""
    for name in names:
        mine, theirs = getattr(part, name), state[name]
        like = np.atleast_1d(np.array(mine))
        if like.shape != theirs.shape or like.dtype != theirs.dtype:
            raise ValueError(f"{name}: {theirs.dtype}{theirs.shape} is not this state's")
        if isinstance(mine, np.ndarray):
            mine[...] = theirs
        else:
            setattr(part, name, type(mine)(theirs[0]))


def under(prefix: str, state: Mapping[str, NDArray[np.generic]]) -> State:
    """The state with each name put under `prefix`."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


def part_of(prefix: str, state: Mapping[str, NDArray[np.generic]]) -> State:
    """What lies under `prefix`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: array for name, array in state.items() if name.startswith(start)}
