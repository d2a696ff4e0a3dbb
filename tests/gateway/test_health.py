"""Counting by kind, saying it once a minute, and life signs to systemd over a real socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

import pytest

from kerbline import health
from kerbline.counters import MAX_KINDS, OTHER, Counters
from kerbline.sim import virtual_time


def test_kinds_are_bounded() -> None:
    counters = Counters()
    for number in range(MAX_KINDS + 10):
        counters.count(f"kind-{number}")
    counters.count("kind-0", 4)
    totals = counters.totals()
    assert len(totals) == MAX_KINDS + 1
    assert (totals["kind-0"], totals[OTHER]) == (5, 10)


def test_only_what_changed_is_said() -> None:
    assert health.difference({"a": 1, "b": 2}, {"b": 2, "a": 4, "c": 1}) == "a +3 (4), c +1 (1)"
    assert health.difference({"a": 1}, {"a": 1}) == ""


def test_counts_are_logged_each_time_and_then_only_new_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        counters = Counters()
        counters.count("nodes.tag", 2)
        task = asyncio.create_task(health.report(counters, every_s=0.02))
        await asyncio.wait([task], timeout=0.09)
        assert not task.done()
        task.cancel()

    with caplog.at_level(logging.WARNING):
        virtual_time.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "in the last 0 s: nodes.tag +2 (2)"
    ]


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not health.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not health.notify("READY=1")
    name = f"kerb-{os.getpid()}"  # of which there is one on a machine
    for address, bound in [(str(tmp_path / "s"), str(tmp_path / "s")), (f"@{name}", f"\0{name}")]:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(bound)
            assert health.notify("READY=1")
            assert listener.recv(100) == b"READY=1"


def test_the_watchdog_is_fed_twice_in_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "s"))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")

    async def main(listener: socket.socket) -> None:
        listener.settimeout(0)
        task = asyncio.create_task(health.report(Counters()))  # says counts once a minute only
        loop = asyncio.get_running_loop()
        assert [await loop.sock_recv(listener, 100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        assert loop.time() == pytest.approx(3 * 0.05)
        task.cancel()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "s"))
        virtual_time.run(main(listener))
