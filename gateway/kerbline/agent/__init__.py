"""The composition root of the gateway: everything is made, wired, started and stopped here."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from kerbline import health
from kerbline.agent.orders import Asker
from kerbline.agent.wiring import STORE_FILE, Gateway, made
from kerbline.config import Config
from kerbline.north.sink import Sink
from kerbline.store import GroupCommit

__all__ = ["STORE_FILE", "SWITCH_S", "run"]

log = logging.getLogger("kerbline.agent")

# What is live waits at most so long for the thread that reads a backlog; CPython's own is 5 ms.
SWITCH_S = 0.0005


async def run(config: Config) -> None:
    """Serve the nodes and devices that `config` names until cancelled; then stop in order.

    Raises KerblineError for what a person has to mend.
    """
    sys.setswitchinterval(SWITCH_S)
    gateway = made(config)
    committing = asyncio.create_task(gateway.log.group.run())
    confirming = asyncio.create_task(gateway.records.confirm())
    try:
        await _resume(gateway)
        async with asyncio.TaskGroup() as tasks:
            for own in (committing, confirming):
                tasks.create_task(_watch(own))
            for running in gateway.tasks():
                tasks.create_task(running)
            health.notify("READY=1")
    finally:
        health.notify("STOPPING=1")
        for follower in gateway.figured.all:
            follower.note()
        await _stop(committing, confirming, gateway.north.sinks, gateway.log.group)


async def _resume(gateway: Gateway) -> None:
    """Take up what an earlier life left: open orders, what nobody was told of."""
    others: dict[str, Asker] = {each.source: each for each in gateway.north.agents}
    others |= {each.source: each for each in gateway.city}
    await gateway.hears.orders.resume(gateway.north.outboxes, others)
    await gateway.records.resume(gateway.log.store.undeclared)


async def _stop(
    committing: asyncio.Task[None],
    confirming: asyncio.Task[None],
    north: Sequence[Sink],
    group: GroupCommit,
) -> None:
    """Commit what came, then let go of the city and the file."""
    group.stop()
    await asyncio.wait([committing])
    if not committing.cancelled() and committing.exception() is not None:
        log.error("stopped with records that are not stored: %s", committing.exception())
    confirming.cancel()
    for sink in north:
        await sink.close()
    await group.close()


async def _watch(own: asyncio.Task[None]) -> None:
    """End the agent when the store, or what confirms to nodes and sinks, can't go on."""
    await asyncio.wait([own])
    own.result()
