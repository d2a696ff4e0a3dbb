"""The node's own code for what is simulated without a node: its sun, its schedule, its lamp.

Loaded at run time from the sources that are carried for the boards, so that the gateway imports
none of it; what is used of it is stated here. Angles are degrees, north and east positive; `_s` and
`_ms` are whole seconds and milliseconds, of the node's uptime or of UTC since 1970.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Protocol, cast

from kerbline import carried

Profile = tuple[tuple[int, int], ...]  # (minutes from the night's middle, percent from then on)
Night = tuple[float, int, int]  # the sun's height at dusk and dawn; each later by so many minutes
CIVIL: Night = (-2.5, 0, 0)  # what a node has by itself


class Sun(Protocol):
    """kerbnode.sun: times within 6 s of NREL's SPA between 65 degrees north and south."""

    def place(self, utc_s: int) -> tuple[float, float]:
        """(declination in radians, hour angle at Greenwich in degrees)."""

    def midnight(self, utc_s: int, longitude: float) -> int:
        """The solar midnight nearest to a time."""

    def crossing(
        self, midnight_s: int, latitude: float, longitude: float, elevation: float, sense: int
    ) -> int:
        """When the sun's centre passes an elevation before (-1) or after (1) a midnight.

        The midnight itself where it stays above, and HALF_S from it where it stays below.
        """

    HALF_S: int


class Inputs(Protocol):
    """What a lamp's step is told: deci-watts, degrees Celsius; None where nothing is known."""

    motion: bool  # the sensor's state now
    night: bool
    scheduled_pct: int
    utc_known: bool
    power_dw: int | None
    temperature_c: int | None
    faults: int


class Streetlight(Protocol):
    """kerbnode.assets.streetlight.Streetlight: one lamp, stepped at instants of its uptime.

    `level` is what is shown, in 1/1000 of full light; `fading` asks for a step each so many ms.
    `motion` is (percent, hold in seconds) of what its own sensor asks for.
    """

    level: int
    lamp_on: bool
    motion: tuple[int, int]
    fading: int

    def step(self, now: int, inputs: Inputs) -> Sequence[tuple[int, int]]:
        """The events (code, value) that an instant brings; good until the next step."""

    def show(self, now: int) -> None:
        """The level and `fading` of an instant of a fade, as between two steps."""

    def command(self, op: int, args: tuple[int, ...], now: int) -> int:
        """Carry out an operation of kerbwire.messages; a result's code."""


class Schedule(Protocol):
    """kerbnode.schedule.Schedule: `night` tells whether the last step was one of night."""

    night: bool

    def configure(self, profile: Profile, night: Night) -> None:
        """From now on."""

    def step(self, uptime_s: int, utc_s: int | None, lux: int | None) -> int:
        """The level in percent."""


def sun() -> Sun:
    """The node's sun."""
    return cast(Sun, _module("sun"))


def inputs() -> Inputs:
    """A lamp's inputs: night, no motion, nothing known."""
    return cast(Inputs, _module("assets.streetlight").Inputs())


def streetlight() -> Streetlight:
    """A lamp as it is at a start: full light."""
    return cast(Streetlight, _module("assets.streetlight").Streetlight())


def schedule(
    profile: Profile,
    position: tuple[float, float] | None,
    lead_s: int = 0,
    night: Night = CIVIL,
) -> Schedule:
    """A lamp's schedule; it goes on `lead_s` seconds before dusk."""
    made = cast(Schedule, _module("schedule").Schedule(position, lead_s))
    made.configure(profile, night)
    return made


def _module(name: str) -> ModuleType:
    """One of kerbnode's, from a checkout or from what the wheel carries."""
    if "kerbnode" not in sys.modules:
        folder = carried.firmware() / "kerbnode"
        spec = spec_from_file_location(
            "kerbnode", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        package = module_from_spec(spec)
        sys.modules["kerbnode"] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"kerbnode.{name}")
