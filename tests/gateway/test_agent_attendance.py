"""Which devices are there, as the sinks get to know it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.agent.attendance import Lines, show
from kerbline.clock import ManualClock, StreetTable
from kerbline.model import NodeState
from tests.gateway.test_assets import config

T0_MS = 1_790_000_000_000


class Bus:
    """A bus on which some units answer."""

    def __init__(self) -> None:
        self.there: set[int] = set()

    def answers(self, unit: int) -> bool:
        """Does it?"""
        return unit in self.there


class Meter:
    """A serial device."""

    def __init__(self) -> None:
        self.talks = False


class Shown:
    """A display that notes what it is shown."""

    def __init__(self) -> None:
        self.states: list[NodeState] = []

    def show(self, state: NodeState) -> None:
        """Note it."""
        self.states.append(state)


@pytest.fixture(name="bus")
def _bus() -> Bus:
    return Bus()


def test_what_hangs_on_a_line_comes_and_goes(tmp_path: Path, bus: Bus) -> None:
    clock, meter = ManualClock(T0_MS), Meter()
    lines = Lines(config(tmp_path), {"cabinet": bus}, [meter], clock.utc_ms)
    cabinet = NodeState("cabinet:1", "cabinet-1", "modbus", online=False, since_ms=None)
    main = NodeState("main", "feeder-1", "serial", online=False, since_ms=None)
    assert lines.states() == [cabinet, main]
    bus.there.add(1)
    cabinet = replace(cabinet, online=True, since_ms=T0_MS)
    assert lines.states() == [cabinet, main]
    clock.advance(1_000)
    meter.talks = True
    main = replace(main, online=True, since_ms=T0_MS + 1_000)
    assert lines.states() == [cabinet, main]
    clock.advance(1_000)
    bus.there.clear()
    cabinet = replace(cabinet, online=False, since_ms=T0_MS + 2_000)
    assert lines.states() == [cabinet, main]


def test_a_state_is_dated_in_street_time_as_readings_are(tmp_path: Path, bus: Bus) -> None:
    hour_ms = 3_600_000
    table = StreetTable.parse(f"[[{T0_MS}, {T0_MS + hour_ms}, 10]]")
    clock, seen = ManualClock(T0_MS, table), Shown()
    lines = Lines(config(tmp_path), {"cabinet": bus}, [Meter()], clock.utc_ms)
    clock.advance(60_000)
    bus.there.add(1)

    async def scene() -> None:
        showing = asyncio.create_task(show(lines, [seen], clock))
        while not seen.states:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0)
        showing.cancel()

    asyncio.run(scene())
    assert [each.since_ms for each in seen.states] == [T0_MS + hour_ms + 600_000, None]
    asyncio.run(show(lines, [], clock))  # nobody to show it to: it ends
