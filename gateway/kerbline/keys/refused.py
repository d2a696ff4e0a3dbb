"""A node that does not join, or does not go."""

from __future__ import annotations

from kerbline.keys.faults import KeyFault


class Refused(KeyFault):
    """A node that does not join; `reason` is a word for counters and scripts."""

    code = "refused"

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)
