"""Reads every device of one bus when its time has come, and lets no dead one hold up the others."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from kerbline.clock import Clock
from kerbline.config import ModbusBus, ModbusDevice
from kerbline.counters import Counters
from kerbline.model import Value
from kerbline.ports import FIRST_RETRY_S, LAST_RETRY_S, Parity, PortLost, open_port
from kerbline.south.measured import Measured
from kerbline.south.modbus.bus import (
    GATEWAY_TARGET_SILENT,
    ILLEGAL_ADDRESS,
    Bus,
    BusFault,
    Framing,
    Garbled,
    Refused,
)
from kerbline.south.modbus.decode import Decoder
from kerbline.south.modbus.plan import Limits, Read, plan

QUEUE_BOUND = 256  # then polling waits: a poll not made is no reading lost
LONGEST_PAUSE_S = 60.0
FAILURES_SAID = 2  # one lost answer is not worth a line in the log
QUIET_TIMEOUTS = 3  # an RTU answer later than so many time-outs is not expected any more
SILENT_REQUESTS = 3  # on TCP: then the connection is taken for dead
GAPS = (16, 0, -1)  # how boldly reads are merged; one step down at each illegal address

log = logging.getLogger("kerbline.modbus")


@dataclass(slots=True)
class _Unit:
    """A device and where it stands: when to poll it next, and how."""

    device: ModbusDevice
    reads: tuple[Read, ...]
    boldness: int = 0  # index into GAPS
    failures: int = 0  # in a row
    due_s: float = 0.0
    polled_s: float = 0.0

    def schedule(self, now_s: float, timeout_s: float) -> None:
        """Due at the next whole multiple of its period: units of one period share a tick.

        After failures the unit rests for twice as long each time, and long enough that a late
        answer can't be taken for the next one's.
        """
        period_s = self.device.poll_s
        rest_s = 0.0
        if self.failures:
            doubled_s = period_s * 2 ** min(self.failures - 1, 10)
            rest_s = max(min(doubled_s, LONGEST_PAUSE_S), QUIET_TIMEOUTS * timeout_s)
        self.due_s = (math.floor((now_s + rest_s) / period_s) + 1) * period_s

    def narrow(self) -> None:
        """Merge reads less boldly: an address between those that are asked for may be illegal."""
        if self.boldness + 1 < len(GAPS):
            self.boldness += 1
            self.reads = plan(self.device.registers, Limits(max_gap=GAPS[self.boldness]))


def _turn(unit: _Unit) -> tuple[float, int, float]:
    """Who is first in a tick: those that answer, then whoever waited longest."""
    return unit.due_s, unit.failures, unit.polled_s


class Poller:
    """Polls one bus; `run` does it until cancelled, `next` gives what it found."""

    def __init__(self, config: ModbusBus, clock: Clock, counters: Counters) -> None:
        self._config = config
        self._clock = clock
        self._counters = counters
        self._units = [_Unit(device, plan(device.registers)) for device in config.devices]
        self._found: asyncio.Queue[Measured] = asyncio.Queue(QUEUE_BOUND)
        self._silent = 0  # requests in a row that nobody answered
        self._lost = False

    async def next(self) -> Measured:
        """The oldest poll that was not taken yet; waits for one."""
        return await self._found.get()

    async def run(self) -> None:
        """Open the line, poll, and open it again when it is lost; never ends by itself."""
        config = self._config
        pause_s = FIRST_RETRY_S
        while True:
            try:
                port = await open_port(config.port, config.baud, cast(Parity, config.parity))
                try:
                    await self._poll_all(Bus(port, cast(Framing, config.framer), config.baud))
                finally:
                    port.close()
            except PortLost as error:
                pause_s = min(2 * pause_s, LAST_RETRY_S) if self._lost else FIRST_RETRY_S
                await self._say_lost(error)
            await asyncio.sleep(pause_s)

    async def _poll_all(self, bus: Bus) -> None:
        """Poll whoever is due, until the connection is not to be trusted any more."""
        loop = asyncio.get_running_loop()
        self._silent = 0
        while True:
            unit = min(self._units, key=_turn)
            late_s = loop.time() - unit.due_s
            if late_s < 0:
                await asyncio.sleep(-late_s)
            elif unit.due_s > 0 and late_s > unit.device.poll_s:
                self._counters.count("modbus.late")
            try:
                fault = await self._poll(bus, unit)
            finally:
                unit.polled_s = loop.time()
                unit.schedule(unit.polled_s, self._config.timeout_s)
            if self._config.framer == "tcp" and (
                isinstance(fault, Garbled) or self._silent >= SILENT_REQUESTS
            ):
                return

    async def _poll(self, bus: Bus, unit: _Unit) -> BusFault | None:
        """Make a unit's reads and tell what came; the fault, if it was one that ended them."""
        values: dict[str, Value] = {}
        flags: set[str] = set()
        read_at_ms = self._clock.utc_ms()
        fault: BusFault | None = None
        for read in unit.reads:
            try:
                words = await bus.read(
                    unit.device.unit, read.table, read.address, read.count, self._config.timeout_s
                )
            except BusFault as error:
                flags.add(error.code)
                self._counters.count(f"modbus.{error.code}")
                if not self._refusal(unit, error):
                    fault = error
                    break
            else:
                self._lost = False
                self._silent = 0
                _take(read, words, values, flags)
        self._judge(unit, fault)
        quality = tuple(sorted(flags))
        await self._found.put(Measured(unit.device.asset, values, read_at_ms, quality))
        return fault

    def _refusal(self, unit: _Unit, fault: BusFault) -> bool:
        """True when the unit lives and only this read failed; else more reads only cost time."""
        if not isinstance(fault, Refused) or fault.exception == GATEWAY_TARGET_SILENT:
            return False
        if fault.exception == ILLEGAL_ADDRESS:
            unit.narrow()
        self._silent = 0
        return True

    def _judge(self, unit: _Unit, fault: BusFault | None) -> None:
        """Remember how a unit's poll went; log when it falls silent and when it comes back."""
        if fault is None:
            if unit.failures >= FAILURES_SAID:
                log.info("bus %s unit %d answers again", self._config.name, unit.device.unit)
            unit.failures = 0
            return
        self._silent += 1
        unit.failures += 1
        if unit.failures == FAILURES_SAID:
            log.warning("bus %s unit %d: %s", self._config.name, unit.device.unit, fault.code)

    async def _say_lost(self, error: PortLost) -> None:
        """Once an outage: log it, and tell each asset of the bus."""
        self._counters.count("modbus.port_lost")
        if self._lost:
            return
        self._lost = True
        log.warning("bus %s: %s", self._config.name, error)
        read_at_ms = self._clock.utc_ms()
        for unit in self._units:
            await self._found.put(Measured(unit.device.asset, {}, read_at_ms, (PortLost.code,)))


def _take(read: Read, words: Sequence[int], values: dict[str, Value], flags: set[str]) -> None:
    """Decode the words of a read into `values`."""
    found, missing = Decoder(read).decode(words)
    values.update(found)
    flags.update(missing)
