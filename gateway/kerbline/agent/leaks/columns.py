"""Which assets' values tell of a district's inflow: its mains, its neighbours', the weather."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from kerbline.config import District as Config
from kerbline.model import Reading

DEGREES = "temperature_c"

log = logging.getLogger("kerbline.agent")


class Columns:
    """Of one district, in the order that a Row has them."""

    def __init__(self, config: Config, near: Sequence[Config]) -> None:
        """`near`: its neighbours."""
        self._zone = config.zone
        mains = [(main, one.inflow_value) for one in (config, *near) for main in one.mains]
        warmth = [] if config.temperature is None else [(config.temperature, (DEGREES,))]
        self.names = tuple(name for name, _ in (*mains, *warmth))
        self._values = [values for _, values in (*mains, *warmth)]
        self._mute = set(self.names)  # those that never told it

    def value(self, column: int, reading: Reading) -> float | None:
        """Litres of a totaliser, or degrees; None where the reading has none."""
        names = self._values[column]
        name = next((name for name in names if name in reading.values), "")
        if not name:
            self._wonder(reading, names)
            return None
        self._mute.discard(reading.asset)
        value = reading.values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        found = float(value * 1000 if name.endswith("_m3") else value)
        return found if math.isfinite(found) and (found >= 0 or name == DEGREES) else None

    def _wonder(self, reading: Reading, names: Sequence[str]) -> None:
        """Said once, while it never told it."""
        silent = not reading.values  # the device did not answer
        if reading.asset not in self._mute or reading.kind == "event" or silent:
            return
        self._mute.discard(reading.asset)
        wanted, has = " or ".join(names), ", ".join(sorted(reading.values))
        remedy = "name another asset" if DEGREES in names else "write one of these as inflow_value"
        log.warning(
            "district %s: %s tells no %s but %s; %s", self._zone, reading.asset, wanted, has, remedy
        )
