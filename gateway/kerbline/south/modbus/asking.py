"""Whoever waits for a transaction of his own on a bus."""

from __future__ import annotations

import asyncio

from kerbline.south.modbus.framing import Response
from kerbline.south.modbus.schedule import Schedule, TooLate
from kerbline.south.modbus.transaction import Job, Transaction


class Asking:
    """The jobs of a schedule, and who waits for each."""

    __slots__ = ("_schedule", "_waiting")

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._waiting: dict[Job, asyncio.Future[Response]] = {}

    def enter(self, job: Job) -> asyncio.Future[Response]:
        """The job waits for its turn; raises TooLate when too many do."""
        self._schedule.submit(job)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[job] = future
        return future

    async def end(self, job: Job, future: asyncio.Future[Response]) -> Response:
        """What it came to; raises BusFault, TooLate or PortLost."""
        loop = asyncio.get_running_loop()
        expiry = loop.call_at(job.expires_s, self._expire)
        try:
            return await future
        finally:
            expiry.cancel()
            del self._waiting[job]
            self._schedule.withdraw(job)

    def answer(self, job: Job, transaction: Transaction) -> None:
        """The transaction is over."""
        future = self._waiting.get(job)
        if future is None or future.done():
            return
        if transaction.fault is not None:
            future.set_exception(transaction.fault)
        elif transaction.response is not None:
            future.set_result(transaction.response)

    def refuse_all(self, error: Exception) -> None:
        """None of them will be sent."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def _expire(self) -> None:
        for job in self._schedule.expired(asyncio.get_running_loop().time()):
            future = self._waiting.get(job)
            if future is not None and not future.done():
                future.set_exception(TooLate("the bus had no turn for it in time"))
