"""Asks a node at its prompt for one check at a time, and compares its clock with ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kerbline.boardtools import Repl
from kerbline.errors import KerblineError

WATCHDOG_MS = 60_000
ASKED_TIMES = 5

Clock = Callable[[], float]

# Where main.py ran, its slot is mounted; at the prompt of a soft reset it is not yet. Feeds the
# watchdog that somebody else's step may have started.
PREPARE = f"""
import sys
try:w
except NameError:
 try:
  import machine
  w=machine.WDT(timeout={WATCHDOG_MS}).feed
 except Exception:w=lambda:0
w()
kt=None
try:import kerbnode.selftest as kt
except ImportError:
 try:
  import choice
  choice.main()
  import kerbnode.selftest as kt
 except (ImportError,OSError):pass
"""


class SelfTestFault(KerblineError):
    """The self-test could not be run; the text tells what to do."""

    code = "selftest"


@dataclass(frozen=True, slots=True)
class Instant:
    """The chip's ticks (ms) at our clock's `ours_s`: as of the quickest answer of a few.

    What every answer takes is in both instants of a comparison; `unsure_s` is what they differ by.
    """

    ours_s: float
    ticks: int
    unsure_s: float


class Asked:
    """A node that has its self-test loaded; SelfTestFault where it has none."""

    def __init__(self, repl: Repl, clock: Clock) -> None:
        self._repl = repl
        self._clock = clock
        told = repl.run(f"{PREPARE}\nprint(1 if hasattr(kt,'main') else 0)")
        if told.strip() != "1":
            raise SelfTestFault(
                f"{repl.port}: the node's build has no self-test; install this release's first"
            )

    def ask(self, what: str, *given: object, timeout_s: float = 20.0) -> dict[str, Any]:
        """The answer of one check."""
        words_ = ",".join(repr(each) for each in (what, *given))
        text = self._repl.run(f"w()\nkt.main({words_})", timeout_s)
        lines = [line for line in text.splitlines() if line.startswith("{")]
        if not lines:
            raise SelfTestFault(f"{self._repl.port}: no answer to {what}: {text.strip()[-80:]!r}")
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer

    def instant(self) -> Instant:
        """The chip's ticks beside our clock."""
        behind: list[float] = []
        for _ in range(ASKED_TIMES):
            ticks = int(self.ask("clock")["ticks"])
            now = self._clock()
            behind.append(now - ticks / 1000)
        behind.sort()
        unsure_s = behind[len(behind) // 2] - behind[0]
        return Instant(now, round((now - behind[0]) * 1000), unsure_s)

    def run(self, code: str) -> str:
        """Any other code there."""
        return self._repl.run(code)
