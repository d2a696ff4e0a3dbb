"""What control needs of the gateway around it, and a replay of a night gives it, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kerbline.model import Command, Finding, Reading


class Notebook(Protocol):
    """Where control notes what is kept: `kerbline.store.GroupCommit`."""

    def note_decision(self, at_ms: int, body: str) -> None:
        """Note what was decided at a street time."""

    def save_memory(self, rule: str, asset: str, body: str) -> None:
        """Note what a rule remembers of an asset."""


class Memory(Protocol):
    """What is known from before: `kerbline.store.Store`."""

    def memories(self, rule: str) -> Mapping[str, str]:
        """What a rule remembers, by asset."""

    def latest(self) -> tuple[Reading, ...]:
        """The newest reading of each asset and kind."""


class Issuer(Protocol):
    """Who sends what control commands: `kerbline.agent.own_commands.OwnCommands`."""

    def issue(self, command: Command) -> str:
        """To its lamp now, or why not."""


class Finder(Protocol):
    """Who tells of what rules find: `kerbline.agent.records.Records`."""

    async def found(self, finding: Finding) -> None:
        """An alarm begins or ends."""
