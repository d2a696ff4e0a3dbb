"""Nodes that a bus does not know: whom it asks next for a claim, and whom no more."""

from kerbwire.limits import STRANGERS


class Strangers:
    """Who greeted in an enrolment window; each greeting may bring one question."""

    __slots__ = ("_asked", "_done", "_waiting", "limit_us")

    def __init__(self) -> None:
        self.limit_us = 0  # when the window under way ends, whatever is heard
        self._waiting: list[bytes] = []
        self._done: list[bytes] = []  # whose claims were judged in this enrolment window
        self._asked = b""

    @property
    def open(self) -> bool:
        """Is a window for a claim under way?"""
        return len(self._asked) > 0

    @property
    def waiting(self) -> bool:
        """Is there somebody to ask?"""
        return len(self._waiting) > 0

    def begin(self) -> None:
        """Another enrolment window opens: all may be asked again."""
        self._waiting = []
        self._done = []

    def greeted(self, node_id: bytes) -> None:
        """A stranger greeted; too many at a time are asked after their next greeting."""
        known = node_id in self._done or node_id in self._waiting
        if not known and len(self._waiting) < STRANGERS:
            self._waiting.append(node_id)

    def judged(self, node_id: bytes) -> None:
        """The host has its claim: it is not asked again while this enrolment window is open."""
        self._waiting = [each for each in self._waiting if each != node_id]
        if node_id not in self._done:
            self._done = self._done[-STRANGERS + 1 :] + [node_id]

    def next(self) -> bytes:
        """Who is asked now, b"" for nobody."""
        self._asked = self._waiting.pop(0) if self._waiting else b""
        return self._asked

    def answers(self, node_id: bytes) -> bool:
        """Was it asked just now?"""
        return self._asked == node_id

    def close(self) -> None:
        """The window for a claim is over, whether one came or not."""
        self._asked = b""

    def failed(self) -> None:
        """The line broke."""
        self._asked = b""
