"""One bus: opens its line, moves the bytes between it and the schedule, opens it again."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol, cast

from kerbline.clock import Clock
from kerbline.config import ModbusBus
from kerbline.counters import Counters
from kerbline.ports import FIRST_RETRY_S, LAST_RETRY_S, SOCKET, Parity, PortLost, open_port
from kerbline.south.measured import Measured
from kerbline.south.modbus.asking import Asking
from kerbline.south.modbus.burst import Burst
from kerbline.south.modbus.cache import Cache
from kerbline.south.modbus.framing import (
    ECHOED,
    NoAnswer,
    Request,
    Response,
    silence_library,
    wanted,
)
from kerbline.south.modbus.line import Line, Pace, RtuLine, TcpLine
from kerbline.south.modbus.schedule import Schedule
from kerbline.south.modbus.state import BusState, UnitState, Usage
from kerbline.south.modbus.transaction import Job, Polled, Priority, Transaction
from kerbline.south.modbus.unit import Health

FULL_S = 0.1  # while nobody takes what was found, others' jobs alone are looked for
BURST_S = 0.02  # how long what a fast line gave waits for the rest of its tick
SILENT_REQUESTS = 3  # in a row, of units that answered: then a connection is taken for dead
ANSWERING = frozenset([Health.GOOD, Health.FAILING])
DELIVER_S = 0.5  # a request that TCP still repeats would be a stale write when a cable is back
COARSE_S = 0.001  # the loop wakes so much late at most: so much early, a silence is slept out
SLEPT_S = 0.0012  # what of a silence is slept out at most

log = logging.getLogger("kerbline.modbus")


class Carrier(Protocol):
    """What carries the bytes: `kerbline.ports.Port`, or a model of a line."""

    def watch(self, arrived: Callable[[], None]) -> None:
        """Call `arrived` whenever something is there."""

    def take(self) -> bytes:
        """What is there; raises PortLost."""

    def write(self, data: bytes) -> None:
        """Send; raises PortLost."""

    def close(self) -> None:
        """Give the line back."""


async def open_line(config: ModbusBus) -> Carrier:
    """The line that a config names; raises PortLost."""
    return await open_port(
        config.port,
        config.baud,
        cast(Parity, config.parity),
        config.stop_bits,
        rs485=config.rs485,
        deliver_s=max(config.timeout_s, DELIVER_S),
    )


class Bus:
    """Polls the units of one bus, and carries others' transactions; `run` does it."""

    def __init__(
        self,
        config: ModbusBus,
        clock: Clock,
        counters: Counters,
        *,
        opening: Callable[[ModbusBus], Awaitable[Carrier]] = open_line,
        sleep: Callable[[float], None] = time.sleep,
        cache: Cache | None = None,
    ) -> None:
        silence_library()
        self._config = config
        self._clock = clock
        self._counters = counters
        self._opening = opening
        self._sleep = sleep
        self._cache = cache  # of a bus that is shared
        self._schedule = Schedule(config, nameless=config.framer == "rtu")
        self._assets = {group.unit: group.survey.asset for group in self._schedule.groups}
        self._burst = Burst(BURST_S if config.framer == "tcp" else 0.0)
        self._asking = Asking(self._schedule)
        self._waiter: asyncio.Future[None] | None = None
        self._usage = Usage()
        self._silent = 0  # requests in a row that units left unanswered which do answer
        self._late = 0
        self._up = False
        self._lost = False
        self._heard = False  # somebody answered on the line since it was opened

    def recall(self, alarms: Mapping[str, Collection[str]]) -> None:
        """Which alarms of each asset stood when the gateway stopped, by their names."""
        for group in self._schedule.groups:
            group.survey.reports.recall(alarms.get(group.survey.asset, ()))

    async def next(self) -> list[Measured]:
        """What was found since the last call: one burst a tick; waits for it."""
        full = self._burst.full
        found = await self._burst.next()
        if full:
            self._wake()
        return found

    async def transact(self, request: Request, *, priority: Priority, within_s: float) -> Response:
        """Somebody else's transaction, sent within `within_s`.

        Raises BusFault, TooLate, PortLost or WrongRequest.
        """
        loop = asyncio.get_running_loop()
        unit = self._schedule.unit(request.unit)
        if self._lost and not self._up:
            raise PortLost(f"{self._config.port}: not there")
        if priority is Priority.FOREIGN and self.rests(request.unit):
            raise NoAnswer(f"unit {request.unit}: it did not answer before")
        if not request.unit and self._config.framer == "rtu" and request.function not in ECHOED:
            raise NoAnswer("unit 0 is all units, of which none answers")
        job = Job(unit, wanted(request), priority, loop.time() + within_s)
        future = self._asking.enter(job)
        self._wake()
        return await self._asking.end(job, future)

    def answers(self, unit: int) -> bool:
        """Is the line open, and did the unit answer on it lately?"""
        return self._up and self._schedule.unit(unit).breaker.health in ANSWERING

    def rests(self, unit: int) -> bool:
        """Is the unit's breaker open, and its next probe not due?"""
        breaker = self._schedule.unit(unit).breaker
        return breaker.open and breaker.probe_s > asyncio.get_running_loop().time()

    def state(self) -> BusState:
        """How the bus and its units are."""
        units = tuple(
            UnitState(
                unit.address,
                self._assets.get(unit, ""),
                unit.breaker.health.value,
                round(unit.patience.timeout_s * 1_000, 1),
                unit.answers,
                dict(unit.faults),
            )
            for unit in self._schedule.units.values()
        )
        share = self._usage.share(asyncio.get_running_loop().time())
        return BusState(self._config.name, self._config.port, self._up, share, units)

    async def run(self) -> None:
        """Open the line, serve it, and open it again when it is lost; never ends by itself."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_RETRY_S
        while True:
            opened_s = -math.inf
            try:
                carrier = await self._opening(self._config)
                opened_s = loop.time()
                try:
                    await self._serve(carrier)
                finally:
                    self._up = False
                    carrier.close()
                pause_s = FIRST_RETRY_S if self._heard else pause_s
            except PortLost as error:
                again = self._lost or loop.time() - opened_s < LAST_RETRY_S  # it comes and goes
                pause_s = min(2 * pause_s, LAST_RETRY_S) if again else FIRST_RETRY_S
                self._say_lost(error)
            await asyncio.sleep(pause_s)

    async def _serve(self, carrier: Carrier) -> None:
        """Poll and transact until the line is lost, or not to be trusted any more."""
        loop = asyncio.get_running_loop()
        line = self._line(loop.time())
        carrier.watch(self._wake)
        if self._lost:
            self._schedule.reset(loop.time())
        self._up = True
        self._silent = 0
        self._heard = False
        try:
            while not (line.broken or self._silent >= SILENT_REQUESTS):
                now_s = loop.time()
                data = carrier.take()  # before time-outs: what is late may be we
                self._settle(line.receive(data, now_s), now_s)
                self._settle(line.expire(now_s), now_s)
                wake_s = self._send(carrier, line)
                over = line.deadline_s == math.inf  # nothing is under way: the tick is
                wake_s = min(wake_s, line.deadline_s, self._burst.settle(now_s, over=over))
                self._count(line)
                await self._wait(wake_s, line)
        except PortLost:
            under_way = line.abandon()
            self._schedule.leave(under_way, loop.time())
            if under_way or not self._hangs_up():
                raise
        self._settle(line.abandon(), loop.time())

    def _hangs_up(self) -> bool:
        """Was that a server which ends a connection that is idle, as many do? No outage, then."""
        return self._heard and self._config.port.startswith(SOCKET)

    def _count(self, line: Line) -> None:
        if line.strays:
            self._counters.count("modbus.stray", line.strays)
            line.strays = 0
        if line.echo_found:
            line.echo_found = False
            log.warning("bus %s: its adapter echoes; set echo = true", self._config.name)
        if self._schedule.late > self._late:
            self._counters.count("modbus.late", self._schedule.late - self._late)
            self._late = self._schedule.late

    def _line(self, now_s: float) -> Line:
        config = self._config
        if config.framer == "tcp":
            return TcpLine(config.pipeline, config.timeout_s)
        pace = Pace(config.baud, config.unit_switch_ms / 1_000)
        return RtuLine(pace, now_s, echo=config.echo)

    def _send(self, carrier: Carrier, line: Line) -> float:
        """Send whatever may go out now, in one write; when to look again."""
        frames: list[bytes] = []
        schedule, now_s, wake_s = self._schedule, asyncio.get_running_loop().time(), math.inf
        polls = not self._burst.full
        while line.room():
            wake_s = line.clear_s(None)
            if wake_s > now_s:
                break
            transaction = schedule.next(now_s, polls=polls)
            if transaction is None:
                wake_s = schedule.wake_s(now_s) if polls else now_s + FULL_S
                break
            wake_s = line.clear_s(transaction.unit)
            if wake_s > now_s:
                break
            schedule.begin(transaction, now_s)
            frames.append(line.send(transaction, now_s))
            wake_s = math.inf
        if frames:
            carrier.write(frames[0] if len(frames) == 1 else b"".join(frames))
        return wake_s

    async def _wait(self, wake_s: float, line: Line) -> None:
        """Until something comes or it is time; the silence of a line to a fraction of a ms."""
        loop = asyncio.get_running_loop()
        rest_s = wake_s - loop.time()
        precise = line.precise and line.room() > 0
        if precise and 0 < rest_s <= SLEPT_S:
            self._sleep(rest_s)
            return
        if rest_s <= 0:
            await asyncio.sleep(0)
            return
        self._waiter = loop.create_future()
        timer = None
        if wake_s < math.inf:
            timer = loop.call_at(wake_s - COARSE_S if precise else wake_s, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _settle(self, done: Iterable[Transaction], now_s: float) -> None:
        """What transactions came to goes to whoever waits for it."""
        for transaction in done:
            unit = transaction.unit
            was_open = unit.breaker.open
            self._usage.add(transaction.sent_s, now_s)
            for polled in self._schedule.done(transaction, now_s):
                self._keep(polled, now_s)
            if self._cache is not None and transaction.response is not None:
                request, words = transaction.wanted.request, transaction.response.words
                self._cache.saw(request, words, transaction.sent_s, now_s)
            if isinstance(transaction.asker, Job):
                self._asking.answer(transaction.asker, transaction)
            if transaction.fault is not None:
                self._counters.count(f"modbus.{transaction.fault.code}")
            if unit.breaker.open != was_open and unit in self._assets:
                self._say_changed(transaction)
            self._trust(transaction, was_open=was_open)

    def _keep(self, polled: Polled, now_s: float) -> None:
        read_at_ms = self._clock.utc_ms() - round((now_s - polled.begun_s) * 1_000)
        reports = polled.group.survey.reports
        self._burst.add(reports.told(polled.values, read_at_ms, polled.quality), now_s)

    def _trust(self, transaction: Transaction, *, was_open: bool) -> None:
        """A connection on which nobody answers any more is taken for dead; a serial line is not."""
        if transaction.answered:
            self._silent = 0
            self._lost = False
            self._heard = True
        elif self._config.port.startswith(SOCKET) and not (was_open and self._schedule.anybody()):
            self._silent += 1

    def _say_changed(self, transaction: Transaction) -> None:
        unit = transaction.unit
        who = f"unit {unit.address}, {self._assets[unit]}"
        if not unit.breaker.open:
            log.info("bus %s: %s, answers again", self._config.name, who)
        elif transaction.fault is not None:
            log.warning("bus %s: %s: %s", self._config.name, who, transaction.fault.code)

    def _say_lost(self, error: PortLost) -> None:
        """Once an outage: log it, and tell each asset of the bus."""
        self._counters.count("modbus.port_lost")
        self._asking.refuse_all(error)
        if self._lost:
            return
        self._lost = True
        log.warning("bus %s: %s", self._config.name, error)
        read_at_ms = self._clock.utc_ms()
        for group in self._schedule.groups:
            group.survey.reports.lost()
        whose = dict.fromkeys(self._assets.values())
        lost = [Measured(asset, {}, read_at_ms, (PortLost.code,)) for asset in whose]
        self._burst.add(lost, asyncio.get_running_loop().time())
        self._burst.release()
