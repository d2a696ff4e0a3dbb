"""Our Modbus TCP server before a bus: other masters take turns on it by their priority.

A master that the config does not name is turned away; one without `write` may only read. Reads
that the bus answered lately, or that are under way, cost it nothing. Units and addresses are
passed through as they are, configured or not.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import itertools
import logging
from collections.abc import Mapping

from kerbline.config.modbus_share import Master
from kerbline.config.modbus_share import Share as ShareConfig
from kerbline.counters import Counters
from kerbline.ports import FIRST_RETRY_S, PortLost
from kerbline.south.modbus.bus import Bus
from kerbline.south.modbus.cache import Cache
from kerbline.south.modbus.framing import (
    GATEWAY_TARGET_SILENT,
    ILLEGAL_FUNCTION,
    READS,
    BusFault,
    Function,
    OutOfStep,
    Refused,
    Request,
    Response,
    WrongRequest,
    answered,
    refused,
    requested,
    tcp_frame,
    tcp_frames,
)
from kerbline.south.modbus.schedule import TooLate
from kerbline.south.modbus.transaction import Priority

MAX_MASTERS = 32  # connections; for one more the one that asked nothing for longest is closed
MAX_PENDING = 16  # requests of one connection; then it is not read from
MAX_UNSENT_BYTES = 65_536  # a master that takes nothing is left
MAX_SAID = 256  # things said once of masters
LAST_RETRY_S = 30.0
SEARCH_SHARE = 0.25  # of the line's time, for requests to units that do not answer
SERVER_BUSY = 6
GATEWAY_PATH = 10
# Modbus Application Protocol V1.1b3, 7
_EXCEPTIONS: Mapping[type[Exception], int] = {
    TooLate: SERVER_BUSY,
    TimeoutError: SERVER_BUSY,
    PortLost: GATEWAY_PATH,
    WrongRequest: 3,
}
_READS = frozenset([*READS.values(), Function.READ_DEVICE_IDENTIFICATION])

log = logging.getLogger("kerbline.modbus")


class Caller:
    """A master's connection; `round` is that of its last turn, or of the last that waits."""

    __slots__ = ("master", "round", "who")

    def __init__(self, master: Master, who: str) -> None:
        self.master = master
        self.who = who
        self.round = 0


class Turns:
    """So many at a time; of those who wait the lowest priority goes first, one of each a round."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._round = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []

    async def take(self, caller: Caller) -> None:
        """Wait for a turn, to be given back."""
        caller.round = max(caller.round + 1, self._round)
        if self._free:
            self._free -= 1
            self._round = caller.round
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (caller.master.priority, caller.round, next(self._order), turn)
        heapq.heappush(self._waiting, entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """A turn is over."""
        while self._waiting:
            _, at, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._round = max(self._round, at)
                turn.set_result(None)
                return
        self._free += 1


class Share:
    """Serves one bus to the masters that `config` names; `run` does it."""

    def __init__(
        self,
        name: str,
        config: ShareConfig,
        bus: Bus,
        cache: Cache,
        counters: Counters,
        at_once: int = 1,
    ) -> None:
        self._name = name
        self._config = config
        self._bus = bus
        self._cache = cache
        self._counters = counters
        self._turns = Turns(at_once)
        self._search = asyncio.Lock()  # for units that do not answer, one after another
        self._search_s = 0.0  # when the next may go
        self._masters = [(ipaddress.ip_network(each.address), each) for each in config.masters]
        self._under_way: dict[Request, asyncio.Task[Response]] = {}
        self._connected: dict[asyncio.StreamWriter, None] = {}  # who asked last is last
        self._said: set[str] = set()

    async def run(self) -> None:
        """Listen until cancelled; an address that is taken is tried again."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                server = await asyncio.start_server(self._meet, *self._config.address)
            except OSError as error:
                self._say(f"can't listen at {self._config.listen}: {error.strerror or error}")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_RETRY_S)
                continue
            log.info("bus %s: shared at %s", self._name, self._config.listen)
            async with server:
                await server.serve_forever()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from beginning to end."""
        peer = writer.get_extra_info("peername")
        master = self._master(peer[0]) if peer else None
        if master is None:
            self._counters.count("modbus.master_refused")
            self._say(f"{peer[0] if peer else 'somebody'} is no master of it")
            writer.close()
            return
        if len(self._connected) >= MAX_MASTERS:
            self._leave_idlest()
        self._connected[writer] = None
        try:
            await self._serve(Caller(master, peer[0]), reader, writer)
        except (OSError, OutOfStep):  # gone, or speaks no Modbus TCP
            self._counters.count("modbus.master_lost")
        except asyncio.CancelledError:  # we stop; the streams' own callback would log it
            log.debug("bus %s: %s is left", self._name, peer[0])
        finally:
            self._connected.pop(writer, None)
            writer.close()

    def _leave_idlest(self) -> None:
        """Whose power went says no farewell (Modbus messaging on TCP/IP V1.0b, 4.2.1)."""
        idlest = next(iter(self._connected))
        del self._connected[idlest]
        idlest.transport.abort()
        self._counters.count("modbus.master_lost")
        self._say(f"more than {MAX_MASTERS} masters; who asked nothing for longest is left")

    async def _serve(
        self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pending = b""
        room = asyncio.Semaphore(MAX_PENDING)
        answering: set[asyncio.Task[None]] = set()

        async def answer(tid: int, unit: int, payload: bytes) -> None:
            try:
                told = await self._answer(caller, unit, payload)
                if writer.is_closing():
                    return
                if writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                    writer.transport.abort()
                else:
                    writer.write(tcp_frame(tid, unit, told))
            finally:
                room.release()

        try:
            while data := await reader.read(4_096):
                if writer in self._connected:
                    self._connected[writer] = self._connected.pop(writer)
                used, frames = tcp_frames(pending + data)
                pending = (pending + data)[used:]
                for frame in frames:
                    await room.acquire()
                    if writer.is_closing():  # gone: nobody waits for what it asked
                        return
                    task = asyncio.create_task(answer(*frame))
                    answering.add(task)
                    task.add_done_callback(answering.discard)
            if answering:  # the last answers, to one who only closed his half
                await asyncio.wait(answering)
        finally:
            for task in answering:
                task.cancel()

    async def _answer(self, caller: Caller, unit: int, payload: bytes) -> bytes:
        """The payload that a master gets for his."""
        function = payload[0]
        try:
            request = requested(unit, payload)
            if request.function not in _READS:
                self._judge_write(caller, request)
            return answered(request, await self._response(caller, request))
        except Refused as error:
            return refused(function, error.exception)
        except (BusFault, TooLate, TimeoutError, PortLost, WrongRequest) as error:
            return refused(function, _EXCEPTIONS.get(type(error), GATEWAY_TARGET_SILENT))

    async def _response(self, caller: Caller, request: Request) -> Response:
        """From what is known, from what is under way, or from the bus."""
        if request.function not in _READS:
            async with asyncio.timeout(self._config.answer_s):
                response = await self._transact(caller, request)
            for read in [read for read in self._under_way if read.unit == request.unit]:
                del self._under_way[read]  # it may still tell what was there before
            return response
        now_s = asyncio.get_running_loop().time()
        words = self._cache.words(request, now_s)
        if words is not None:
            self._counters.count("modbus.shared_cached")
            return Response(words)
        task = self._under_way.get(request)
        if task is None:
            task = asyncio.create_task(self._transact(caller, request))
            self._under_way[request] = task
            task.add_done_callback(lambda done: self._over(request, done))
        async with asyncio.timeout(self._config.answer_s):
            return await asyncio.shield(task)

    async def _transact(self, caller: Caller, request: Request) -> Response:
        """In turn; who looks for units that do not answer waits for the search's share, too."""
        unit = request.unit
        if self._bus.answers(unit) or self._bus.rests(unit):
            return await self._in_turn(caller, request)
        now_s = asyncio.get_running_loop().time
        async with asyncio.timeout(self._config.answer_s) as patience, self._search:
            await asyncio.sleep(self._search_s - now_s())
            patience.reschedule(None)
            begun_s = now_s()
            try:
                return await self._in_turn(caller, request)
            finally:
                if self._bus.rests(unit):
                    spent_s = now_s() - begun_s
                    self._search_s = now_s() + spent_s * (1 / SEARCH_SHARE - 1)

    async def _in_turn(self, caller: Caller, request: Request) -> Response:
        within_s = self._config.answer_s
        async with asyncio.timeout(within_s):
            await self._turns.take(caller)
        try:
            return await self._bus.transact(request, priority=Priority.FOREIGN, within_s=within_s)
        finally:
            self._turns.give()

    def _over(self, request: Request, task: asyncio.Task[Response]) -> None:
        """A shared read has ended; whoever asked may be gone, and nobody else look at its fault."""
        if self._under_way.get(request) is task:
            del self._under_way[request]
        if not task.cancelled():
            task.exception()

    def _judge_write(self, caller: Caller, request: Request) -> None:
        """Writes are for those who may, and each place that is written to is in the log once."""
        place = f"unit {request.unit}, function {request.function}, address {request.address}"
        if not caller.master.write:
            self._counters.count("modbus.write_refused")
            self._say(f"{caller.who} may not write ({place})")
            raise Refused(ILLEGAL_FUNCTION)
        self._counters.count("modbus.foreign_writes")
        self._say(f"{caller.who} writes: {place}")

    def _master(self, address: str) -> Master | None:
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return next((each for network, each in self._masters if found in network), None)

    def _say(self, what: str) -> None:
        """Once: masters repeat themselves every second."""
        if what not in self._said and len(self._said) < MAX_SAID:
            self._said.add(what)
            log.warning("bus %s: %s", self._name, what)
