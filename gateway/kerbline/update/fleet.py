"""The nodes of a campaign by state, and which of them changed since they were made durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kerbline.update.plan import Member
from kerbline.update.states import STEPS, Progress, State


class Fleet:
    """What each node came to; in the order of the plan."""

    def __init__(self, members: Iterable[Member], known: Mapping[str, Progress]) -> None:
        self.members = {each.node: each for each in members}
        self._progress = {node: known.get(node, Progress()) for node in self.members}
        self._by_state: dict[State, dict[str, None]] = {state: {} for state in State}
        for node, progress in self._progress.items():
            self._by_state[progress.state][node] = None
        self._changed: dict[str, None] = {}

    def __getitem__(self, node: str) -> Progress:
        return self._progress[node]

    def __contains__(self, node: str) -> bool:
        return node in self._progress

    def items(self) -> Iterator[tuple[Member, Progress]]:
        """Each node with what it came to."""
        for node, member in self.members.items():
            yield member, self._progress[node]

    def within(self, *states: State) -> list[str]:
        """The nodes in any of these states."""
        return [node for state in states for node in self._by_state[state]]

    def count(self, *states: State) -> int:
        """How many these are."""
        return sum(len(self._by_state[state]) for state in states)

    def move(self, node: str, state: State, now_ms: int, **fields: Any) -> bool:  # noqa: ANN401
        """A step to `state` where the table has one, with more that changes; was there one?"""
        before = self._progress[node]
        if state != before.state and state not in STEPS[before.state]:
            return False
        after = replace(before, state=state, at_ms=now_ms, **{"why": "", **fields})
        del self._by_state[before.state][node]
        self._by_state[state][node] = None
        self._progress[node] = after
        self._changed[node] = None
        return True

    def note(self, node: str, **fields: Any) -> None:  # noqa: ANN401 - those of Progress
        """Something changes beside the state."""
        self._progress[node] = replace(self._progress[node], **fields)
        self._changed[node] = None

    def changes(self) -> dict[str, Progress]:
        """Those that changed since this was asked last."""
        changed, self._changed = self._changed, {}
        return {node: self._progress[node] for node in changed}
