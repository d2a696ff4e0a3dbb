"""CPython and MicroPython hear the same frames and do the same: events, bytes and deadlines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.trees import ROOT

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
ROUNDS = 4000 if NIGHTLY else 48  # 48 begin in each state, on each framing, at each end
FRAMES = 250


class Worker:
    """An interpreter that plays one round after the other."""

    def __init__(self, *command: str) -> None:
        paths = {"MICROPYPATH": ".frozen:protocol:tests", "PYTHONPATH": "protocol:tests"}
        self._process = subprocess.Popen(
            [*command, "tests/wire/twin.py"],
            cwd=ROOT,
            env=os.environ | paths,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> list[str]:
        """Play a round; the lines of the answer, its number last."""
        self.begin(question)
        return self.answer()

    def begin(self, question: str) -> None:
        """Play a round, and go on meanwhile."""
        assert self._process.stdin
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()

    def answer(self) -> list[str]:
        """What the round came to."""
        assert self._process.stdout
        lines = []
        for line in self._process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("= "):
                return lines
        raise AssertionError("an interpreter ended")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def twins(micropython: Path) -> Iterator[tuple[Worker, Worker]]:
    workers = (Worker(sys.executable), Worker(str(micropython), "-X", "heapsize=8M"))
    yield workers
    for worker in workers:
        worker.end()


def test_both_interpreters_say_the_same(twins: tuple[Worker, Worker]) -> None:
    ours, theirs = twins
    for seed in range(5000, 5000 + ROUNDS):
        theirs.begin(str(seed))
        if ours.ask(str(seed)) == theirs.answer():
            continue
        here, there = ours.ask(f"?{seed}"), theirs.ask(f"?{seed}")
        for number, (line, other) in enumerate(zip(here, there, strict=False)):
            assert line == other, f"round {seed}, line {number}"
        raise AssertionError(f"round {seed}: one says more than the other")


def test_a_round_is_told_in_full(twins: tuple[Worker, Worker]) -> None:
    """What is compared is not empty, and a round says the same when it is played again."""
    ours, theirs = twins
    lines = ours.ask("?5020")
    assert len(lines) > 2 * FRAMES
    assert theirs.ask("?5020") == lines
    assert ours.ask("5020") == lines[-1:]
