"""Answers to who asks a running gateway to send dead letters again, or to drop them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from kerbline.local_socket import Answer, Declined, Question


class Refusing(Protocol):
    """A sink that keeps what is refused."""

    name: str

    def resend(self, numbers: Collection[int] | None) -> int:
        """Send dead letters again, by number or all; how many these are."""

    async def drop(self, numbers: Collection[int] | None) -> int:
        """Forget dead letters, by number or all; how many these were."""


class Letters:
    """Of all sinks that have any; `answer` answers "dead-letters"."""

    def __init__(self, sinks: Sequence[Refusing]) -> None:
        self._sinks: Mapping[str, Refusing] = {sink.name.partition(":")[2]: sink for sink in sinks}

    async def answer(self, question: Question) -> Answer:
        """{"sink", "do": "replay" or "drop", "numbers": a list, or null for all}."""
        sink = self._sinks.get(str(question.get("sink")))
        if sink is None:
            known = ", ".join(self._sinks) or "none"
            raise Declined(f'"sink" is one of {known}')
        numbers = question.get("numbers")
        if numbers is not None and not _are_numbers(numbers):
            raise Declined('"numbers" is a list of whole numbers, or null')
        wanted = None if numbers is None else frozenset(numbers)
        if question.get("do") == "replay":
            return {"count": sink.resend(wanted)}
        if question.get("do") == "drop":
            try:
                return {"count": await sink.drop(wanted)}
            except OSError as error:
                raise Declined(f"the file of the letters: {error.strerror}") from None
        raise Declined('"do" is replay or drop')


def _are_numbers(given: object) -> bool:
    return isinstance(given, list) and all(type(each) is int for each in given)
