"""What bounds an update beside its parts: expiry, full flash, a silent gateway.

For MicroPython alone, as test_update.
"""

import asyncio

import slots

try:
    import vfs
except ImportError:
    vfs = None

__test__ = vfs is not None  # pytest passes the whole module by

if vfs is not None:
    from kerbnode import standing, trial
    from kerbwire import messages as m
    from node import release_key, updates
    from node.test_update import NEW, Pole

EXPIRES_S = 800_000_000  # since 2000
EXPIRES_MS = 1000 * (EXPIRES_S + 946_684_800)
STEPS = 8  # of 15 s


def served(pole: "Pole", utc_ms: int) -> "updates.Served":
    """A node whose gateway has given it the time."""
    node = pole.node()
    node.clock.trusted = True
    node.clock.utc_ms = lambda _now: utc_ms
    return node


def bring(node: "updates.Served") -> None:
    """A release that expires."""
    data = release_key.build(5, NEW, expires_s=EXPIRES_S)
    node.given(m.OBJECT_UPDATE, release_key.signed(data))
    node.given(m.OBJECT_PARTS, release_key.whole(data, NEW, (updates.COMMON,)), handle=4)


def test_a_release_that_expires_while_it_is_staged_is_not_started() -> None:
    """Whoever has the time; a node without it, or with another, starts it as before."""
    with Pole() as pole:
        node = served(pole, EXPIRES_MS - 1)
        bring(node)
        assert node.told == [m.UPDATE_TAKEN, m.UPDATE_STAGED]
        late = served(pole, EXPIRES_MS)
        before = pole.store.get("slots")
        assert not trial.activate(late)
        assert late.told == [m.UPDATE_EXPIRED] and pole.store.get("slots") == before
        assert pole.boot() == "old"
        bring(late)
        assert late.told[1] == m.UPDATE_EXPIRED
        assert trial.activate(served(pole, EXPIRES_MS - 1)), "the clock is set back"
        assert pole.boot() == "new"
        updates.acked(served(pole, EXPIRES_MS + 1))
        assert pole.boot() == "new" and not slots.trial, "what runs does not expire"


def test_a_node_without_the_time_starts_what_is_staged() -> None:
    with Pole() as pole:
        bring(pole.node())
        assert trial.activate(pole.node()) and pole.boot() == "new"


def left(fault: Exception) -> "list[int]":
    """What is told of a build that can't confirm itself, by the one before it."""

    def failing(_node: object) -> None:
        raise fault

    with Pole() as pole:
        bring(pole.node())
        assert trial.activate(pole.node()) and pole.boot() == "new"
        confirm, trial.confirm = trial.confirm, failing
        try:
            asyncio.run(trial.confirmed(pole.node()))
        finally:
            trial.confirm = confirm
        (timer,) = updates.Timer.made
        try:
            for _ in range(STEPS):
                timer.callback(timer)
            raise AssertionError("the trial goes on")
        except updates.Power:
            pass
        assert pole.boot() == "old"
        node = pole.node()
        standing.begin(node)
    return node.told


def test_a_build_without_memory_to_confirm_itself_says_so() -> None:
    assert left(MemoryError()) == [m.UPDATE_MEMORY]
    assert left(OSError(5)) == [m.UPDATE_FLASH]
