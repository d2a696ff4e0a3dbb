"""The watchdog is fed only while every concern shows life, and a failed one starts again."""

import asyncio

from kerbnode.supervisor import Supervisor


class Kennel:
    """A board whose watchdog counts its meals."""

    def __init__(self) -> None:
        self.meals = 0

    def monotonic_ms(self) -> int:
        return 0

    def feed(self) -> None:
        self.meals += 1


class Worker:
    """A concern that fails at its first round and then lives."""

    def __init__(self) -> None:
        self.beats = 0
        self.failures = 0

    async def run(self) -> None:
        self.beats += 1
        if self.failures == 0:
            self.failures += 1
            raise ValueError("the first round")


def test_one_silent_concern_starves_the_watchdog() -> None:
    supervisor = Supervisor(Kennel())
    quick, slow = Worker(), Worker()
    supervisor.add(quick, 10)
    supervisor.add(slow, 30)
    assert supervisor.all_live(0)
    for second in range(1, 31):
        quick.beats += 1
        assert supervisor.all_live(1000 * second)
    quick.beats += 1
    assert not supervisor.all_live(31_000)
    slow.beats += 1
    assert supervisor.all_live(32_000)
    assert supervisor.all_live(42_000 - 1000)
    assert not supervisor.all_live(43_000)


def test_a_failed_concern_takes_no_other_with_it() -> None:
    async def live() -> "tuple[int, int]":
        kennel, worker = Kennel(), Worker()
        supervisor = Supervisor(kennel)
        supervisor.add(worker, 10)
        task = asyncio.create_task(supervisor.run())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        return worker.failures, kennel.meals

    assert asyncio.run(live()) == (1, 1)
