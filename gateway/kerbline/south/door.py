"""The door for nodes that nobody knows: open in an enrolment window, for a few claims a second.

Whatever comes is counted under "claims."; what passes goes to the agent, which alone opens claims.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from kerbline.clock import Clock
from kerbline.counters import Counters
from kerbline.keys.way import Way
from kerbline.south.arrivals import Claimed
from kerbwire.limits import ENROL_MS

log = logging.getLogger("kerbline.south")

CLAIMS_PER_S = 4  # a Raspberry Pi opens one in half a millisecond
BURST = 8
REMEMBERED = 256
HINT = slice(1, 5)  # of a sealed claim: whom it is for


@dataclass(frozen=True, slots=True)
class Window:
    """How long strangers may join, and which; `hint` tells claims for other gateways."""

    ms: int
    hint: bytes
    only: frozenset[str] = frozenset()


class Door:
    """One for all lines of a gateway. Times are monotonic milliseconds."""

    def __init__(
        self, clock: Clock, counters: Counters, pass_on: Callable[[Claimed], bool]
    ) -> None:
        """`pass_on`: takes a claim, or says that there is no room."""
        self._clock = clock
        self._counters = counters
        self._pass_on = pass_on
        self._window: Window | None = None
        self._until_ms = 0
        self._tokens = float(BURST)
        self._filled_ms = 0
        self._claims: dict[bytes, str] = {}  # digests of those that passed, and in whose name
        self._settled: set[str] = set()  # nodes whose own claims were judged
        self.opened = asyncio.Event()
        self.refused: Counter[str] = Counter()  # in this window, by reason
        self.gone: frozenset[str] = frozenset()  # nodes whose keys are revoked
        self._told: set[str] = set()

    def open(self, window: Window) -> None:
        """Let claims in from now on, for at most ENROL_MS."""
        self._window = window
        self._until_ms = self._clock.monotonic_ms() + min(window.ms, ENROL_MS)
        self._claims = {}
        self._settled = set()
        self.refused = Counter()
        self.opened.set()

    def close(self) -> None:
        """No more claims."""
        self._window = None
        self.opened.clear()

    @property
    def left_ms(self) -> int:
        """How long it stays open."""
        if self._window is None:
            return 0
        return max(0, self._until_ms - self._clock.monotonic_ms())

    def asks(self, node_id: bytes) -> bool:
        """Is a node that nobody knows to say its claim? Not again, once that was judged."""
        window = self._window
        if window is None or not self.left_ms or not _plain(node_id):
            return False
        named = not window.only or node_id.decode() in window.only
        return named and node_id.decode() not in self._settled

    def take(self, node_id: bytes, sealed: bytes, way: Way) -> bool:
        """A claim came: it is passed on, or counted; False where there was no time for it."""
        reason = self._refusal(node_id, sealed)
        if reason:
            self.count(reason)
            return reason != "busy"
        if len(self._claims) >= REMEMBERED:
            self._claims.clear()
        self._claims[_digest(sealed)] = node_id.decode()
        self._tokens -= 1
        if self._pass_on(Claimed(node_id.decode(), sealed, way)):
            return True
        del self._claims[_digest(sealed)]
        self.count("busy")
        return False

    def stranger(self, node_id: bytes) -> None:
        """A node that is none of ours greeted; of one that was, a person is told once."""
        name = node_id.decode("ascii", "replace")
        if name in self.gone and name not in self._told:
            self._told.add(name)
            log.warning("node %s: still there, but its key is revoked: not answered", name)
        if name in self.gone:
            self._counters.count("nodes.revoked")

    def settle(self, node_id: str) -> None:
        """A claim that was that node's own was judged: it need not come again."""
        if len(self._settled) < REMEMBERED:
            self._settled.add(node_id)

    def again(self, node_id: str) -> None:
        """What stood against that node is over: it may say its claim once more."""
        self._settled.discard(node_id)
        self._claims = {claim: each for claim, each in self._claims.items() if each != node_id}

    def count(self, reason: str) -> None:
        """One claim more that did not help its node."""
        self.refused[reason] += 1
        self._counters.count(f"claims.{reason}")

    def _refusal(self, node_id: bytes, sealed: bytes) -> str:
        window, left_ms = self._window, self.left_ms
        if window is None or not left_ms:
            return "closed"
        if not _plain(node_id) or (window.only and node_id.decode() not in window.only):
            return "not_named"
        if sealed[HINT] != window.hint:
            return "foreign"
        if _digest(sealed) in self._claims:
            return "repeated"
        now_ms = self._clock.monotonic_ms()
        gained = (now_ms - self._filled_ms) * CLAIMS_PER_S / 1000
        self._tokens = min(float(BURST), self._tokens + gained)
        self._filled_ms = now_ms
        return "" if self._tokens >= 1 else "busy"


def _plain(node_id: bytes) -> bool:
    return node_id.isascii() and node_id.decode("ascii").isprintable()


def _digest(sealed: bytes) -> bytes:
    return sha256(sealed).digest()[:16]
