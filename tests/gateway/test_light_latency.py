"""From motion to light, a few times on each line; `make bench-light` measures its percentiles."""

from __future__ import annotations

import pytest

from kerbline.sim import virtual_time
from tests.budgets import bench_light_latency as bench
from tests.budgets import light_line


@pytest.mark.parametrize(("kind", "times"), [(light_line.Air, 40), (light_line.Bus, 8)])
def test_lamps_are_full_soon_after_somebody_came(
    kind: type[light_line.Air | light_line.Bus], times: int
) -> None:
    own, others = virtual_time.run(light_line.measured(kind, bench.POLES, times, 7))
    assert len(own) == times and max(own) <= bench.OWN_MS
    assert len(others) > 2 * times
    assert bench.percentile(others, 95) <= bench.NEIGHBOUR_MS
    assert max(others) <= 2 * bench.NEIGHBOUR_MS


def test_a_line_that_loses_all_lights_nobody_but_who_is_seen() -> None:
    async def lost() -> dict[int, float]:
        return await light_line.once(light_line.Air, 4, 1, loss_then=1.0)

    spent = virtual_time.run(lost())
    assert spent.pop(1) <= bench.OWN_MS
    assert set(spent.values()) == {float("inf")}
