"""The watchdog is fed only while every concern shows life, and a failed one starts again."""

import asyncio

from kerbnode.supervisor import Supervisor


class Kennel:
    """A board whose watchdog counts its meals."""

    def __init__(self) -> None:
        self.meals = 0
        self.now = 0

    def monotonic_ms(self) -> int:
        return self.now

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


class Spinner:
    """A concern that never gives way: its loop looks at the clock until the watchdog has bitten."""

    BITE_MS = 30_000

    def __init__(self, kennel: Kennel):
        self.beats = 0
        self.kennel = kennel
        self.fed: "int | None" = None

    async def run(self) -> None:
        meals = self.kennel.meals
        for _ in range(self.BITE_MS):
            self.beats += 1  # it even pretends to live
            self.kennel.now += 1
        self.fed = self.kennel.meals - meals
        raise SystemExit


class Hanging:
    """A concern that waits for what never comes."""

    def __init__(self) -> None:
        self.beats = 0

    async def run(self) -> None:
        self.beats += 1
        await asyncio.Event().wait()


def test_a_concern_that_spins_starves_the_watchdog() -> None:
    kennel = Kennel()
    spinner = Spinner(kennel)
    supervisor = Supervisor(kennel)
    supervisor.add(spinner, 10)
    try:
        asyncio.run(supervisor.run())
    except SystemExit:
        pass
    assert spinner.fed == 0


def test_a_concern_that_hangs_starves_the_watchdog_and_nobody_else_is_asked() -> None:
    async def live() -> "tuple[int, int]":
        kennel = Kennel()
        looks: list[int] = []
        supervisor = Supervisor(kennel, lambda: looks.append(kennel.now))
        supervisor.add(Hanging(), 10)
        task = asyncio.create_task(supervisor.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert supervisor.all_live(kennel.now)
        kennel.now = 10_001
        assert not supervisor.all_live(kennel.now)
        task.cancel()
        return kennel.meals, len(looks)

    assert asyncio.run(live()) == (1, 1)


def test_a_look_that_fails_ends_nothing() -> None:
    async def live() -> "tuple[int, int, int]":
        kennel, looks = Kennel(), []

        def look() -> None:
            looks.append(kennel.now)
            raise MemoryError("no piece so long")

        worker = Worker()
        supervisor = Supervisor(kennel, look)
        supervisor.add(worker, 10)
        task = asyncio.create_task(supervisor.run())
        for _ in range(5):
            await asyncio.sleep(0)
        alive = not task.done()
        task.cancel()
        return len(looks), kennel.meals, int(alive)

    assert asyncio.run(live()) == (1, 1, 1)
