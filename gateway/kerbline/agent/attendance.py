"""Which devices are there: nodes, and what hangs on Modbus and serial lines, told to the sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from kerbline.clock import Clock
from kerbline.config import Config
from kerbline.model import NodeState
from kerbline.north.sink import Display

LOOK_S = 1.0  # between two looks: a flap within it is no news


class Attended(Protocol):
    """Who knows how some devices are."""

    def states(self) -> list[NodeState]:
        """How each is now; times are real UTC."""


class Answering(Protocol):
    """A bus, which knows whether a unit answers."""

    def answers(self, unit: int) -> bool:
        """Is the line open, and did it lately?"""


class Talking(Protocol):
    """A serial device."""

    @property
    def talks(self) -> bool:
        """Is the line open, and do telegrams come?"""


class Lines:
    """The devices that are no nodes of ours, by what their lines say of them."""

    def __init__(
        self,
        config: Config,
        buses: Mapping[str, Answering],
        serials: Sequence[Talking],
        utc_ms: Callable[[], int],
    ) -> None:
        self._utc_ms = utc_ms
        self._asked: list[tuple[NodeState, Callable[[], bool]]] = []
        for section in config.buses:
            for unit in section.devices:
                state = _unheard(f"{section.name}:{unit.unit}", unit.asset, "modbus")
                self._asked.append((state, _answers(buses[section.name], unit.unit)))
        for device, talking in zip(config.serials, serials, strict=True):
            state = _unheard(device.name, device.asset, "serial")
            self._asked.append((state, _talks(talking)))

    def states(self) -> list[NodeState]:
        """How each is now, and since which look."""
        for at, (state, is_there) in enumerate(self._asked):
            if (there := is_there()) != state.online:
                state = replace(state, online=there, since_ms=self._utc_ms())
                self._asked[at] = (state, is_there)
        return [state for state, _ in self._asked]


async def show(attended: Attended, displays: Sequence[Display], clock: Clock) -> None:
    """Show what came, went or told of itself, dated in street time as readings are; for ever."""
    while displays:
        for state in attended.states():
            at_ms = state.since_ms
            dated = state if at_ms is None else replace(state, since_ms=clock.street_ms(at_ms))
            for display in displays:
                display.show(dated)
        await asyncio.sleep(LOOK_S)


def _unheard(name: str, asset: str, kind: str) -> NodeState:
    return NodeState(name, asset, kind, online=False, since_ms=None)


def _answers(bus: Answering, unit: int) -> Callable[[], bool]:
    return lambda: bus.answers(unit)


def _talks(device: Talking) -> Callable[[], bool]:
    return lambda: device.talks
