"""The topics of FIWARE's IoT Agent JSON, and its devices: each entity of ours is one. Pure.

An agent subscribes to measures and results below /json/; it publishes commands without that.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from kerbline.assets.asset import TYPES

DEVICE_CHARS = 100  # with the longest prefix and key a topic stays below 200
_UNFIT = re.compile(r"[^A-Za-z0-9_\-:@]")


def device_id(type_name: str, local: str) -> str:
    """The device of an entity: an asset's own id, or type and id of what is none.

    What no topic may hold becomes `_`, with a checksum that keeps such names apart.
    """
    name = local if type_name in TYPES else f"{type_name}:{local}"
    fit = _UNFIT.sub("_", name)[:DEVICE_CHARS]
    return fit if fit == name else f"{fit[: DEVICE_CHARS - 9]}-{zlib.crc32(name.encode()):08x}"


@dataclass(frozen=True, slots=True)
class Topics:
    """Of one agent; `prefix` is "/json/", "json/" or, for old agents, "/"."""

    prefix: str
    api_key: str

    def measures(self, device: str) -> str:
        """Where the measures of a device go."""
        return f"{self.prefix}{self.api_key}/{device}/attrs"

    def result(self, device: str) -> str:
        """Where the results of a device's commands go."""
        return f"{self.prefix}{self.api_key}/{device}/cmdexe"

    @property
    def commands(self) -> str:
        """The filter for the commands to all devices."""
        return f"{self._root}+/cmd"

    def commanded(self, topic: str) -> str:
        """The device of a command's topic, empty for any other topic."""
        root = self._root
        device, _, word = topic.removeprefix(root).partition("/")
        return device if topic.startswith(root) and word == "cmd" else ""

    @property
    def _root(self) -> str:
        slash = "/" if self.prefix.startswith("/") else ""
        return f"{slash}{self.api_key}/"
