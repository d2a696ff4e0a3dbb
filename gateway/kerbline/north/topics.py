"""The names under which a gateway speaks: topics, at most 7 levels deep and 200 characters long."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LEVELS = 7
# A broker on NATS turns dots and spaces into something else; `+`, `#`, `$` and `/` are MQTT's own.
_UNFIT = re.compile(r"[^A-Za-z0-9_\-:@]")


def level(name: str) -> str:
    """A name as one topic level: what does not fit becomes `_` (payloads carry the true name)."""
    return _UNFIT.sub("_", name)[:40] or "_"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway; `prefix` may have up to 3 levels."""

    prefix: str
    gateway: str

    def readings(self, source: str) -> str:
        """Where the readings and events of a source go."""
        return self._of(source, "readings")

    def gap(self, source: str) -> str:
        """Where the gaps of a source are declared."""
        return self._of(source, "gap")

    def state(self, source: str) -> str:
        """Where it is told whether a node is there (retained)."""
        return self._of(source, "state")

    def alarm(self, asset: str) -> str:
        """Where the alarms of an asset go."""
        return self._of(asset, "alarm")

    def result(self, asset: str) -> str:
        """Where the results of an asset's commands go."""
        return self._of(asset, "result")

    @property
    def status(self) -> str:
        """Where the gateway says whether it is there (retained, and its will)."""
        return f"{self._root}/status"

    @property
    def commands(self) -> str:
        """The filter for the commands to all assets."""
        return self._of("+", "command")

    @property
    def acks(self) -> str:
        """The filter for the acknowledgements of all sources."""
        return self._of("+", "ack")

    def acknowledges(self, topic: str) -> bool:
        """Is it the topic of an acknowledgement?"""
        return self._last_word(topic)[1] == "ack"

    def commanded(self, topic: str) -> str | None:
        """The asset level of a command topic, None for any other topic."""
        asset, word = self._last_word(topic)
        return asset if word == "command" else None

    def _last_word(self, topic: str) -> tuple[str, str]:
        """What follows our root: a name and what is told or asked of it; empty for others'."""
        head, _, rest = topic.rpartition(f"{self._root}/")
        name, _, word = rest.partition("/")
        return ("", "") if head else (name, word)

    @property
    def _root(self) -> str:
        levels = [level(part) for part in self.prefix.split("/")[: MAX_LEVELS - 4]]
        return "/".join([*levels, level(self.gateway)])

    def _of(self, name: str, word: str) -> str:
        return f"{self._root}/{name if name == '+' else level(name)}/{word}"
